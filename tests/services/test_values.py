"""How terms become a program's values, and values terms, wherever a node passes them on.

Node `a` is in text mode, with its own types; `b` takes terms unconverted, and shows what `a` has
sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from uds_dist import (
    Atom,
    ConfigError,
    ErlangError,
    EventHandler,
    EventLoop,
    EventManager,
    Exit,
    From,
    Future,
    GenServer,
    Node,
    NoReply,
    RemoteError,
    Stop,
    record,
)
from uds_dist.elixir import from_elixir, to_elixir
from uds_dist.processes.mailbox import Mailbox
from uds_dist.services.kernel import remote_logger

STRUCT = Atom("__struct__")
ISO = Atom("Elixir.Calendar.ISO")
DAY = date(2024, 5, 6)
# What `b` sends and receives; what `a` must see of it.
SENT = {
    STRUCT: Atom("Elixir.Date"),
    Atom("calendar"): ISO,
    Atom("year"): 2024,
    Atom("month"): 5,
    Atom("day"): 6,
}
PLAIN: Any = (Atom("user"), b"ann", [SENT])
BROKEN = {STRUCT: Atom("Elixir.Broken"), Atom("text"): b"t"}

User = record("user", "name", "days")
SEEN: Any = User("ann", [DAY])


def hook(term: object) -> object:
    if isinstance(term, dict) and term[STRUCT] == "Elixir.Broken":
        raise ValueError("the struct is broken")
    return from_elixir(term)


@pytest.fixture
def a(make_node: MakeNode) -> Node:
    return make_node(
        "a@localhost", text=True, default=to_elixir, object_hook=hook, records=[User]
    )


def is_seen(found: object) -> bool:
    """Whether a term is what `a` must see, and has the types that `==` does not tell apart."""
    if type(found) is not User or found != SEEN:
        return False
    parts: Any = tuple(found)
    return type(parts[1]) is str and [type(day) for day in parts[2]] == [date]


def is_plain(term: Any) -> bool:
    return type(term) is tuple and bool(term == PLAIN)


def test_the_two_forms_of_the_test_are_told_apart() -> None:
    assert is_seen(SEEN) and not is_seen(PLAIN)
    assert is_plain(PLAIN) and not is_plain(SEEN)


# --- messages and signals ---------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_messages(a: Node, b: Node, there: bool, priority: bool) -> None:
    box = a.mailbox("box")
    sender = (b if there else a).mailbox()
    alias = box.alias(priority=True)
    for dest in (box.pid, ("box", "a@localhost"), alias):
        sender.send(dest, PLAIN if there else SEEN, priority=priority and dest == alias)
        assert is_seen(box.receive(timeout=5))
    other = b.mailbox()
    box.send(other.pid, SEEN)
    assert is_plain(other.receive(timeout=5))


def test_messages_that_a_handler_is_given(a: Node, b: Node, loop: EventLoop) -> None:
    seen: list[object] = []
    box = a.mailbox(on_message=seen.append)
    b.send(box.pid, PLAIN)
    a.send(box.pid, SEEN)
    assert loop.run_until(lambda: len(seen) == 2, 5)
    assert all(map(is_seen, seen))


def test_the_reasons_of_signals(a: Node, b: Node) -> None:
    box = a.mailbox(trap_exit=True)
    for node, reason in ((b, PLAIN), (a, SEEN)):
        other = node.mailbox()
        ref = box.monitor(other.pid)
        box.link(other.pid)
        node.exit(box.pid, reason)
        message: Any = box.receive(timeout=5)
        assert message[0] == "EXIT" and is_seen(message[2])
        other.close(reason)
        got: list[Any] = [box.receive(timeout=5), box.receive(timeout=5)]
        assert {message[0] for message in got} == {"DOWN", "EXIT"}
        assert all(is_seen(message[-1]) for message in got)
        assert ref in [message[1] for message in got]
    watched = b.mailbox()
    watched.monitor(box.pid)
    a.loop.run_until(lambda: bool(inside(box).watchers), 5)
    box.close(SEEN)
    assert is_plain(watched.receive(timeout=5)[4])  # type: ignore[index]
    assert is_seen(box.exit_reason)


def test_a_down_that_waits_is_flushed(a: Node, b: Node) -> None:
    box, other = a.mailbox(), b.mailbox()
    ref = box.monitor(other.pid)
    a.loop.run_until(lambda: bool(inside(other).watchers), 5)
    other.close(PLAIN)
    a.loop.run_until(lambda: len(box) == 1, 5)
    box.demonitor(ref, flush=True)
    assert len(box) == 0 and not inside(box)._downs


# --- calls ------------------------------------------------------------------------------------------


class Echo(GenServer):
    """Keeps what its handlers were given, and gives it back."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def handle_call(self, request: object, from_: From) -> object:
        self.got.append(request)
        if request == "stop":
            return Stop(self.got[0])
        if request == "raise":
            raise Exit(self.got[0])
        return request

    def handle_cast(self, request: object) -> object:
        self.got.append(request)
        return None

    def handle_info(self, message: object) -> object:
        self.got.append(message)
        return None

    def terminate(self, reason: object) -> object:
        self.got.append(("end", reason))
        return None

    def set_state(self, state: object) -> object:
        self.got.append(state)
        return None


def test_generic_servers_of_the_program(a: Node, b: Node, loop: EventLoop) -> None:
    server = Echo()
    ended: list[object] = []
    a.on_service_down = lambda name, reason: ended.append(reason)
    pid = a.serve("echo", server)
    assert is_plain(b.call(pid, PLAIN).result(5))
    b.cast(pid, PLAIN)
    b.send(pid, PLAIN)
    assert b.call(pid, None).result(5) is None
    b.send(pid, None)
    assert is_plain(b.call(pid, PLAIN).result(5))
    assert is_seen(a.call("echo", SEEN).result(5))
    assert len(server.got) == 7
    assert server.got[3] is server.got[4] is None
    assert all(map(is_seen, server.got[:3] + server.got[5:]))
    for request, client in (("raise", b), ("stop", a)):
        if client is a:
            a.serve("echo", server)
        with pytest.raises(RemoteError) as caught:
            client.call(("echo", "a@localhost"), request).result(5)
        reason: Any = caught.value.reason
        assert is_seen(reason) if client is a else is_plain(reason)
    assert loop.run_until(lambda: len(ended) == 2, 5)
    assert all(map(is_seen, ended))
    ends = [term for term in server.got if isinstance(term, tuple) and term[0] == "end"]
    assert [is_seen(reason) for _, reason in ends] == [True, True]


def test_sys_requests_of_a_server_of_the_program(a: Node, b: Node, loop: EventLoop) -> None:
    server = Echo()
    server.got.append(SEEN)
    pid = a.serve("echo", server)
    b.expose("erlang", {"apply": lambda function, arguments: PLAIN})

    def sys_call(request: object) -> Any:
        box = b.mailbox()
        ref = box.monitor(pid)
        box.send(pid, (Atom("system"), (box.pid, ref), request))
        answer: Any = box.receive(5, match=lambda message: message[0] == ref)  # type: ignore[index]
        return answer[1]

    (state,) = sys_call(Atom("get_state"))[1].values()
    assert [is_plain(term) for term in state] == [True]


def test_calls_from_the_program(a: Node, b: Node) -> None:
    b.serve("echo", Echo())
    assert is_seen(a.call(("echo", "b@localhost"), SEEN).result(5))
    replies = a.multi_call(["b@localhost"], "echo", SEEN).result(5).replies
    assert is_seen(replies["b@localhost"])
    with pytest.raises(RemoteError) as caught:
        a.call(("echo", "b@localhost"), Atom("raise")).result(5)
    assert is_seen(caught.value.reason)


def failing(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_functions_at_other_nodes(a: Node, b: Node) -> None:
    b.expose(
        "m",
        {
            "f": lambda *arguments: list(arguments),
            "error": failing(ErlangError(PLAIN)),
            "exit": failing(Exit(PLAIN)),
        },
    )
    back: Any = a.rpc("b@localhost", "m", "f", [SEEN]).result(5)
    assert len(back) == 1 and is_seen(back[0])
    for name in ("error", "exit"):
        with pytest.raises(RemoteError) as caught:
            a.rpc("b@localhost", "m", name).result(5)
        assert is_seen(caught.value.reason)
    with pytest.raises(RemoteError) as caught:
        a.rpc("b@localhost", "m", "none", ["text"]).result(5)
    stack: Any = caught.value.stack
    assert type(stack[0][2][0]) is str


def test_functions_of_the_program(a: Node, b: Node, loop: EventLoop) -> None:
    got: list[object] = []
    later: Future[object] = Future(loop, "later")

    def echo(*arguments: object) -> object:
        got.extend(arguments)
        return list(arguments)

    functions = {"f": echo, "error": failing(ErlangError(SEEN)), "later": lambda: later}
    a.expose("m", functions)
    a.expose("m", {"unsendable": lambda: [DAY, object()]})
    back: Any = b.rpc("a@localhost", "m", "f", [PLAIN]).result(5)
    assert len(back) == 1 and is_plain(back[0])
    loop.call_later(0.01, later.set_result, SEEN)
    assert is_plain(b.rpc("a@localhost", "m", "later").result(5))
    with pytest.raises(RemoteError) as caught:
        b.rpc("a@localhost", "m", "error").result(5)
    assert is_plain(caught.value.reason)
    with pytest.raises(RemoteError) as caught:
        b.rpc("a@localhost", "m", "unsendable").result(5)
    assert b"object has no equivalent in Elixir (at term[1])" in caught.value.reason[2]  # type: ignore[index]
    rex = (Atom("call"), Atom("m"), Atom("f"), [PLAIN], b.pid)
    back = b.call(("rex", "a@localhost"), rex).result(5)
    assert len(back) == 1 and is_plain(back[0])
    rex = (Atom("call"), Atom("m"), Atom("error"), [], b.pid)
    answer: Any = b.call(("rex", "a@localhost"), rex).result(5)
    assert answer[0] == "badrpc" and is_plain(answer[1][1][0])
    assert len(got) == 2 and all(map(is_seen, got))


def test_tasks(a: Node, b: Node) -> None:
    a.serve_tasks("tasks")
    got: list[object] = []

    def keep(term: object) -> object:
        got.append(term)
        return SEEN

    a.expose("m", {"f": keep})
    owner = b.mailbox()
    start = (Atom("start_task"), [(1, 2, owner.pid), Atom("monitor")], Atom("temporary"), None)
    started: Any = b.call(("tasks", "a@localhost"), start).result(5)
    pid = started[1]
    ref = owner.monitor(pid)
    owner.send(pid, (owner.pid, ref, owner.pid, [], (Atom("m"), Atom("f"), [PLAIN])))
    answer: Any = owner.receive(timeout=5)
    assert answer[0] == ref and is_plain(answer[1])
    assert len(got) == 1 and is_seen(got[0])


def test_event_handlers(a: Node, b: Node) -> None:
    class Handler(EventHandler):
        def __init__(self) -> None:
            self.got: list[object] = []

        def handle_event(self, event: object) -> object:
            self.got.append(event)
            return None

        def handle_call(self, query: object) -> object:
            self.got.append(query)
            return SEEN

    manager, handler = EventManager(), Handler()
    manager.add_handler("h", handler)
    pid = a.serve("events", manager)
    box = b.mailbox()
    box.send(pid, (Atom("notify"), PLAIN))
    ref = box.monitor(pid)
    box.send(pid, (box.pid, (box.pid, ref), (Atom("call"), Atom("h"), PLAIN)))
    answer: Any = box.receive(timeout=5)
    assert answer[0] == ref and is_plain(answer[1])
    assert len(handler.got) == 2 and all(map(is_seen, handler.got))


# --- the library's own services ---------------------------------------------------------------------


def test_groups_of_pg(make_node: MakeNode) -> None:
    settings: dict[str, Any] = {"default": to_elixir, "object_hook": hook, "records": [User]}
    a = make_node("a@localhost", hidden=False, text=True, **settings)
    b = make_node("b@localhost", hidden=False)
    here, there = a.pg(), b.pg()
    a.connect("b@localhost").result(5)
    mine, yours = a.mailbox(), b.mailbox()
    here.join(SEEN, mine.pid)
    there.join(PLAIN, yours.pid)
    there.join(b"workers", yours.pid)
    a.loop.run_until(lambda: len(here.members(SEEN)) == 2 and len(there.members(PLAIN)) == 2, 5)
    assert here.members(SEEN) == [mine.pid, yours.pid]
    assert there.members(PLAIN) == [yours.pid, mine.pid]
    groups = here.groups()
    assert len(groups) == 2 and is_seen(groups[0]) and type(groups[1]) is str
    assert here.members("workers") == here.members(b"workers") == [yours.pid]
    assert here.leave(SEEN, mine.pid)


def test_log_events(
    a: Node, b: Node, loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    formatted: list[object] = []

    def text(event: object, _template: object) -> object:
        formatted.append(event)
        return [b"h\xc3\xa9llo"]

    b.expose("logger_formatter", {"format": text})
    meta = {Atom("pid"): b.pid, Atom("of"): PLAIN}
    for event in ((Atom("log"), Atom("error"), b"text", meta), (Atom("log"), Atom("error"), b"~p", [BROKEN], meta)):
        caplog.clear()
        with caplog.at_level(logging.INFO, remote_logger.name):
            b.send(("logger_proxy", "a@localhost"), event)
            assert loop.run_until(lambda: bool(caplog.records), 5)
        assert caplog.records[0].getMessage() == "b@localhost: h\xe9llo"
        assert is_seen(caplog.records[0].erlang_meta[Atom("of")])  # type: ignore[attr-defined]
    assert formatted[0][Atom("msg")] == (Atom("string"), b"text")  # type: ignore[index]


@pytest.mark.parametrize(
    ("request_", "printed"),
    [
        ((Atom("put_chars"), Atom("unicode"), [b"\xc3\xa9", 233]), "\xe9\xe9"),
        ((Atom("put_chars"), Atom("latin1"), b"\xc3\xa9"), "\xc3\xa9"),
        ((Atom("put_chars"), Atom("latin1"), Atom("m"), Atom("text"), []), "\xc3\xa9"),
        ((Atom("put_chars"), Atom("unicode"), Atom("m"), Atom("text"), []), "\xe9"),
    ],
)
def test_what_is_printed_is_the_text_that_was_sent(
    a: Node, b: Node, request_: object, printed: str
) -> None:
    out: list[str] = []
    a.output = out.append
    b.expose("m", {"text": lambda: b"\xc3\xa9"})
    box = b.mailbox()
    ref = box.monitor(a._leader.pid)
    reply_as = (ref, BROKEN)
    box.send(a._leader.pid, (Atom("io_request"), box.pid, reply_as, request_))
    assert box.receive(timeout=5) == (Atom("io_reply"), reply_as, Atom("ok"))
    assert out == [printed]


def test_a_console_prints_and_reads_text(a: Node, b: Node) -> None:
    a.serve_console({"call": lambda: a.rpc("b@localhost", "m", "f")})
    b.expose("m", {"f": lambda: b"text"})
    terminal = b.mailbox()
    spawned = b.spawn("a@localhost", "shell", "start", parent=terminal)
    b._leader.process.on_message = None  # the terminal, at this node: it answers by hand
    lines = ["call().result() + '!'\n", "print('h\xe9')\n"]
    shown: list[bytes] = []
    spawned.result(5)
    b._leader.process.adapt = None
    leader = Mailbox(b.processes, b._leader.process)
    while lines or len(shown) < 2:
        message: Any = leader.receive(timeout=5)
        if message[0] != Atom("io_request"):
            continue
        _, shell, ref, request = message
        answer: object = Atom("ok")
        if request[0] == "get_line":
            if not lines:
                break
            answer = lines.pop(0).encode()
        else:
            shown.append(request[2])
        leader.send(shell, (Atom("io_reply"), ref, answer))
    assert b"".join(shown).decode().splitlines()[-1] == "h\xe9"


def test_pings_and_calls_by_name_work(a: Node, b: Node) -> None:
    assert a.ping("b@localhost") and b.ping("a@localhost")


# --- a hook that raises -----------------------------------------------------------------------------


def test_what_the_hook_raises_fails_a_call(a: Node, b: Node) -> None:
    b.expose("m", {"f": lambda: BROKEN, "error": failing(ErlangError(BROKEN))})
    b.serve("echo", Echo())
    with pytest.raises(ValueError, match="the struct is broken"):
        a.rpc("b@localhost", "m", "f").result(5)
    with pytest.raises(ValueError, match="the struct is broken"):
        a.call(("echo", "b@localhost"), BROKEN).result(5)
    with pytest.raises(RemoteError) as caught:
        a.rpc("b@localhost", "m", "error").result(5)
    assert caught.value.reason == BROKEN


def test_what_the_hook_raises_is_told_to_a_caller_and_ends_nothing(a: Node, b: Node) -> None:
    server = Echo()
    pid = a.serve("echo", server)
    a.expose("m", {"f": lambda term: 1})
    for call in (b.call(pid, BROKEN), b.rpc("a@localhost", "m", "f", [BROKEN])):
        with pytest.raises(RemoteError) as caught:
            call.result(5)
        reason: Any = caught.value.reason
        if caught.value.class_ == "exit":
            reason, _stack = reason
        assert reason == (Atom("python_error"), Atom("ValueError"), b"the struct is broken")
    assert b.call(pid, 1).result(5) == 1 and server.got == [1]


def test_a_message_that_the_hook_raises_at_comes_as_it_was_sent(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    box = a.mailbox()
    for _ in range(100):
        b.send(box.pid, BROKEN)
    for _ in range(100):
        assert box.receive(timeout=5) == BROKEN
    logged = [record.getMessage() for record in caplog.records]
    assert 1 <= len(logged) < 20 and "the object_hook raised at" in logged[0]


def test_a_peer_that_sends_what_breaks_the_hook_stays(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, a)
    box = a.mailbox("box")
    peer.send((6, peer.pid(), Atom(""), Atom("box")), BROKEN)
    peer.send((6, peer.pid(), Atom(""), Atom("box")), PLAIN)
    assert box.receive(timeout=5) == BROKEN
    assert is_seen(box.receive(timeout=5))


# --- out --------------------------------------------------------------------------------------------


def test_a_default_that_raises_is_an_encode_error_of_the_sender(make_node: MakeNode) -> None:
    def default(value: object) -> object:
        raise KeyError(value)

    a = make_node("a@localhost", default=default)
    b = make_node("b@localhost")
    a.serve("echo", Echo())
    a.expose("m", {"f": lambda: {1}})
    for connected in (False, True):
        with pytest.raises(Exception, match="default made no term of a set"):
            a.send(("box", "b@localhost"), [{1}])
        a.connect("b@localhost").result(5)
    with pytest.raises(RemoteError, match="default made no term"):
        b.rpc("a@localhost", "m", "f").result(5)


def test_a_message_that_waits_for_its_connection_is_converted(a: Node, b: Node) -> None:
    box = b.mailbox("box")
    a.send(("box", "b@localhost"), SEEN)  # there is no connection yet
    assert is_plain(box.receive(timeout=5))


def test_the_argument_of_a_node_precedes_its_config(folder: str, loop: EventLoop) -> None:
    with Node("c@localhost", loop=loop, cookie="c", socket_dir=folder, text=True) as node:
        assert node.config.text
        box = node.mailbox()
        node.send(box.pid, b"text")
        assert type(box.receive(timeout=5)) is str


def test_records_may_be_of_any_collection(make_node: MakeNode) -> None:
    node = make_node("c@localhost", records={User})
    assert node.config.records == (User,) and hash(node.config) == hash(node.config)
    box = node.mailbox()
    node.send(box.pid, (Atom("user"), 1, 2))
    assert type(box.receive(timeout=5)) is User


def test_settings_that_cannot_be_used_are_refused(make_node: MakeNode) -> None:
    for settings in ({"default": 1}, {"object_hook": 1}, {"records": [1]}, {"records": 1}, {"records": "user"}):
        with pytest.raises(ConfigError, match="default|object_hook|records"):
            make_node("c@localhost", **settings)


def test_a_reply_that_comes_later_finds_its_caller(a: Node, b: Node) -> None:
    class Later(GenServer):
        def handle_call(self, request: object, from_: From) -> object:
            self.reply(from_, request)
            return NoReply()

    pid = a.serve(None, Later())
    assert is_plain(b.call(pid, PLAIN).result(5))
