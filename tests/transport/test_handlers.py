"""What handlers may do to the loop, and what follows from it; no peer can starve another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Thread
from types import SimpleNamespace

import pytest

from tests.inside import settle
from tests.transport.conftest import MakeNode
from uds_dist import Atom, EventLoop, LoopReentryError, Node, Pid


@pytest.fixture
def trio(make_node: MakeNode) -> tuple[Node, Node, Node]:
    """A hub and two peers that are connected to it, at rest."""
    hub, a, b = make_node("hub"), make_node("a"), make_node("b")
    assert a.ping("hub@test") and b.ping("hub@test")
    settle(hub.loop)
    return hub, a, b


def send_all(node: Node, count: int, to: str = "box") -> None:
    for number in range(count):
        node.send((to, "hub@test"), (node.name, number))


def numbers(got: list[object], node: Node) -> list[int]:
    """The numbers of the messages that came from a node, in their order."""
    return [entry[1] for entry in got if isinstance(entry, tuple) and entry[0] == node.name]


def test_one_that_raises(loop: EventLoop, trio: tuple[Node, Node, Node]) -> None:
    # Stated outcome: the exception comes out of run_once, the message counts as handled, and all
    # others are handed over in the calls after it, each once and in their order.
    hub, a, b = trio
    got: list[object] = []

    def handler(message: object) -> None:
        got.append(message)
        if isinstance(message, tuple) and message[1] % 10 == 3:
            raise ArithmeticError(message)

    hub.mailbox("box", on_message=handler)
    send_all(a, 100)
    send_all(b, 100)
    raised = 0
    while len(got) < 200:
        try:
            assert loop.run_once(5)
        except ArithmeticError:
            raised += 1
    assert raised == 20
    assert numbers(got, a) == numbers(got, b) == list(range(100))
    assert sorted(hub.nodes()) == ["a@test", "b@test"]


def test_one_that_raises_with_on_error(loop: EventLoop, trio: tuple[Node, Node, Node]) -> None:
    hub, a, _ = trio
    errors: list[Exception] = []
    loop.on_error = errors.append

    def handler(message: object) -> None:
        raise ArithmeticError(message)

    hub.mailbox("box", on_message=handler)
    send_all(a, 50)
    settle(loop)
    # Also then the exception ends its connection's share of the round, and no more.
    assert [error.args[0][1] for error in errors] == list(range(50))
    loop.on_error = None


def test_one_that_closes_its_own_connection(
    loop: EventLoop, trio: tuple[Node, Node, Node]
) -> None:
    # Stated outcome: nothing more of that peer is handed over; both sides hear nodedown once.
    hub, a, b = trio
    got: list[object] = []
    events: list[tuple[str, str]] = []
    hub.monitor_nodes(lambda event, name, error: events.append((event, name)))
    a.monitor_nodes(lambda event, name, error: events.append((event, name)))

    def handler(message: object) -> None:
        got.append(message)
        if len(got) == 5:
            assert hub.disconnect("a@test")
            assert not hub.disconnect("a@test")

    hub.mailbox("box", on_message=handler)
    send_all(a, 20)
    settle(loop)
    assert numbers(got, a) == list(range(5))
    assert sorted(events) == [("nodedown", "a@test"), ("nodedown", "hub@test")]
    send_all(b, 3)
    settle(loop)
    assert numbers(got, b) == [0, 1, 2]
    assert a.ping("hub@test")


def test_one_that_closes_another_that_is_ready_in_the_same_round(
    loop: EventLoop, trio: tuple[Node, Node, Node]
) -> None:
    # Stated outcome: the one that is closed is not read in that round, nor later.
    hub, a, b = trio
    got: list[object] = []

    def handler(message: object) -> None:
        got.append(message)
        if len(got) == 1 and isinstance(message, tuple):
            hub.disconnect("b@test" if message[0] == "a@test" else "a@test")

    hub.mailbox("box", on_message=handler)
    send_all(a, 5)
    send_all(b, 5)
    settle(loop)
    assert sorted([numbers(got, a), numbers(got, b)]) == [[], list(range(5))]
    assert len(hub.nodes()) == 1


def test_one_that_closes_its_node(loop: EventLoop, trio: tuple[Node, Node, Node]) -> None:
    hub, a, b = trio
    got: list[object] = []

    def handler(message: object) -> None:
        got.append(message)
        hub.close()

    hub.mailbox("box", on_message=handler)
    send_all(a, 5)
    send_all(b, 5)
    settle(loop)
    assert len(got) == 1
    assert a.nodes() == b.nodes() == []
    assert loop.statistics().descriptors == 2  # the listeners of a and b


def test_one_that_opens_100_more(
    loop: EventLoop, trio: tuple[Node, Node, Node], make_node: MakeNode
) -> None:
    # Stated outcome: the handler returns at once; all of them come up in the rounds after it.
    hub, a, _ = trio
    others = [make_node(f"n{number}") for number in range(100)]
    up: list[str] = []
    hub.monitor_nodes(lambda event, name, error: up.append(name))

    def handler(message: object) -> None:
        for other in others:
            hub.connect(other.name)
        assert up == []

    hub.mailbox("box", on_message=handler)
    send_all(a, 1)
    assert loop.run_until(lambda: len(up) == 100, timeout=20)
    assert sorted(up) == sorted(other.name for other in others)
    assert len(hub.nodes()) == 102


def test_one_that_sends_10000_messages(loop: EventLoop, trio: tuple[Node, Node, Node]) -> None:
    # Stated outcome: they are queued, leave from the round's end on as the peer reads, and arrive
    # complete and in their order; meanwhile the other peer is served.
    hub, a, b = trio
    sink = a.mailbox("sink")
    other = hub.mailbox("other")

    def handler(message: object) -> None:
        for number in range(10_000):
            hub.send(("sink", "a@test"), number)
        assert len(sink) == 0

    hub.mailbox("box", on_message=handler)
    send_all(a, 1)
    b.send(("other", "hub@test"), b"served")
    rounds = loop.statistics().rounds
    assert other.receive(timeout=5) == b"served"
    assert loop.statistics().rounds - rounds <= 2
    assert [sink.receive(timeout=5) for _ in range(10_000)] == list(range(10_000))
    assert hub.statistics().unwritten == 0


def test_one_that_calls_result(loop: EventLoop, trio: tuple[Node, Node, Node]) -> None:
    # Stated outcome: LoopReentryError in the handler; the call itself goes on, and its outcome
    # comes to a done callback.
    hub, a, _ = trio
    a.mailbox("server", on_message=lambda request: answer(a, request))
    outcome: list[object] = []

    def handler(message: object) -> None:
        future = hub.call(("server", "a@test"), message)
        with pytest.raises(LoopReentryError, match="return a Future or use add_done_callback"):
            future.result(timeout=1)
        future.add_done_callback(lambda done: outcome.append(done.result()))

    hub.mailbox("box", on_message=handler)
    send_all(a, 1)
    assert loop.run_until(lambda: bool(outcome), timeout=5)
    assert outcome == [("a@test", 0)]


def answer(node: Node, request: object) -> None:
    """Answer a generic call with its own request."""
    match request:
        case ("$gen_call", (Pid() as caller, tag), question):
            node.send(caller if not hasattr(tag, "tail") else tag.tail, (tag, question))


def test_one_that_lets_the_exception_of_result_out(
    loop: EventLoop, trio: tuple[Node, Node, Node]
) -> None:
    hub, a, _ = trio
    hub.mailbox("box", on_message=lambda message: hub.ping("b@test") and hub.ping("c@test"))
    send_all(a, 1)
    with pytest.raises(LoopReentryError):
        loop.run_until(lambda: False, timeout=5)
    settle(loop)
    assert hub.ping("a@test")


# --- fairness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_handler", [False, True])
def test_a_flood_keeps_nobody_waiting_for_more_than_two_rounds(
    loop: EventLoop, trio: tuple[Node, Node, Node], with_handler: bool
) -> None:
    hub, a, b = trio
    flood: list[object] = []
    box = hub.mailbox("box", on_message=flood.append if with_handler else None)
    quiet = hub.mailbox("quiet")
    fired: list[int] = []
    sent = 0
    for number in range(12):
        while a.statistics().unwritten < 300_000:  # the flood never ebbs
            a.send(("box", "hub@test"), sent)
            sent += 1
        rounds = loop.statistics().rounds
        b.send(("quiet", "hub@test"), number)
        loop.call_later(0, lambda: fired.append(loop.statistics().rounds))
        assert loop.run_until(lambda: bool(quiet), timeout=10)
        assert quiet.receive(timeout=0) == number
        assert loop.statistics().rounds - rounds <= 2
        assert fired.pop() == rounds + 1
    assert len(flood) + len(box) > 1000
    assert loop.run_until(lambda: len(flood) + len(box) == sent, timeout=20)
    got = flood if with_handler else [box.poll() for _ in range(sent)]
    assert got == list(range(sent))


def test_two_that_keep_each_other_busy_leave_room(
    loop: EventLoop, trio: tuple[Node, Node, Node]
) -> None:
    hub, a, b = trio
    bounces = [0]

    def bounce(node: Node, other: str) -> Callable[[object], None]:
        def handler(message: object) -> None:
            bounces[0] += 1
            node.send(("ball", other), message)

        return handler

    hub.mailbox("ball", on_message=bounce(hub, "a@test"))
    a.mailbox("ball", on_message=bounce(a, "hub@test"))
    hub.send(("ball", "a@test"), Atom("ping"))
    for number in range(20):
        hub.loop.run_once(1)
        rounds = loop.statistics().rounds
        assert b.ping("hub@test")
        assert loop.statistics().rounds - rounds <= 8
    assert bounces[0] > 20


# --- calls from elsewhere -------------------------------------------------------------------------


def told_by(call: Callable[[], object]) -> str:
    with pytest.raises(LoopReentryError) as caught:
        call()
    return str(caught.value)


def test_a_call_from_another_thread_is_told_what_it_is(loop: EventLoop) -> None:
    texts: list[str] = []

    def in_thread(call: Callable[[], object]) -> None:
        thread = Thread(target=lambda: texts.append(told_by(call)))
        thread.start()
        thread.join()

    def handler() -> None:
        texts.append(told_by(loop.run_once))
        in_thread(loop.run_once)
        in_thread(lambda: loop.sleep(1))

    loop.call_soon(handler)
    loop.run_once()
    own, *others = texts
    assert "a handler must not wait" in own
    for text in others:
        assert "another thread" in text and "handler must not wait" not in text


def test_a_call_from_another_thread_while_the_loop_waits(loop: EventLoop) -> None:
    texts: list[str] = []

    def meddle() -> None:
        while "running" not in repr(loop):
            pass
        try:
            texts.append(told_by(loop.run_once))
        finally:
            loop.wakeup()

    thread = Thread(target=meddle)
    thread.start()
    loop.run_once(5)
    thread.join()
    assert "another thread" in texts[0]


def test_a_call_from_another_greenlet_is_told_what_it_is(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = [object()]
    greenlet = SimpleNamespace(getcurrent=lambda: current[0])
    monkeypatch.setitem(sys.modules, "greenlet", greenlet)
    texts: list[str] = []

    def handler() -> None:
        texts.append(told_by(loop.run_once))
        current.insert(0, object())  # as if it had been switched to another
        texts.append(told_by(loop.run_once))

    loop.call_soon(handler)
    loop.run_once()
    assert "a handler must not wait" in texts[0]
    assert "another greenlet" in texts[1] and "handler must not wait" not in texts[1]
