"""Event managers in Python: their handlers, calls and ends."""

from __future__ import annotations

import pytest

from tests.services.calc import SOON, A
from uds_dist import (
    Atom,
    ConfigError,
    EventHandler,
    EventManager,
    ImproperList,
    Node,
)


class Log(EventHandler):
    def __init__(self) -> None:
        self.seen: list[object] = []
        self.ended: list[object] = []

    def handle_event(self, event: object) -> None:
        if event == "raise":
            raise ValueError("bad event")
        self.seen.append(event)

    def handle_call(self, query: object) -> object:
        if query == "object":
            return object()
        return self.seen if query == "seen" else super().handle_call(query)

    def terminate(self, reason: object) -> object:
        self.ended.append(reason)
        return Atom("bye")


class Events:
    """An event manager at a@localhost and a caller at b@localhost."""

    def __init__(self, a: Node, b: Node) -> None:
        self.log = Log()
        self.manager = EventManager()
        self.manager.add_handler("log", self.log)
        self.manager.add_handler("other", Log())
        a.serve("events", self.manager)
        self.box = b.mailbox()

    def ask(self, request: object) -> object:
        """What gen_event's functions get."""
        tag = ImproperList((Atom("alias"),), self.box.alias())
        self.box.send(("events", A), (self.box.pid, (self.box.pid, tag), request))
        message = self.box.receive(timeout=SOON)
        assert isinstance(message, tuple) and message[0] == tag
        return message[1]


@pytest.fixture
def events(a: Node, b: Node) -> Events:
    """An event manager with two handlers."""
    return Events(a, b)


def test_events_are_handled(events: Events) -> None:
    events.box.send(("events", A), (Atom("notify"), 1))
    assert events.ask((Atom("sync_notify"), 2)) == "ok"
    assert events.log.seen == [1, 2]
    assert events.ask(Atom("which_handlers")) == ["log", "other"]
    assert events.ask((Atom("call"), Atom("log"), Atom("seen"))) == [1, 2]
    assert events.ask((Atom("call"), Atom("log"), 5)) == (Atom("error"), Atom("bad_query"))
    assert events.ask((Atom("call"), Atom("no"), 5)) == (Atom("error"), Atom("bad_module"))


def test_a_handler_that_raises_is_removed(
    events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    events.manager.delete_handler("other")
    assert events.ask((Atom("sync_notify"), Atom("raise"))) == "ok"
    assert events.ask(Atom("which_handlers")) == []
    assert "log raised and is removed" in caplog.text


def test_handlers_are_removed_but_not_added_from_afar(events: Events) -> None:
    assert events.ask((Atom("delete_handler"), Atom("log"), [])) == "bye"
    assert events.log.ended == ["remove_handler"]
    missing = (Atom("error"), Atom("module_not_found"))
    assert events.ask((Atom("delete_handler"), Atom("log"), [])) == missing
    added = events.ask((Atom("add_handler"), Atom("os"), []))
    assert added == (Atom("EXIT"), (Atom("undef"), []))
    with pytest.raises(ConfigError):
        events.manager.add_handler("other", Log())


def test_an_answer_that_is_no_term_is_an_error(events: Events) -> None:
    answer = events.ask((Atom("call"), Atom("log"), Atom("object")))
    assert isinstance(answer, tuple) and answer[0] == "error"


def test_the_end_of_the_manager_is_the_end_of_its_handlers(events: Events) -> None:
    events.manager.stop(Atom("shutdown"))
    assert events.log.ended == [(Atom("stop"), Atom("shutdown"))]
