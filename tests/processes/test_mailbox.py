"""What a process does with its messages, on one node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeNode
from tests.inside import inside
from tests.scripted import ScriptedPeer
from uds_dist import (
    EMPTY,
    Atom,
    ClosedError,
    ConfigError,
    EncodeError,
    EventLoop,
    LoopReentryError,
    Node,
    ReceiveTimeoutError,
)

NORMAL = Atom("normal")


def test_messages_come_in_their_order_and_as_copies(a: Node) -> None:
    box = a.mailbox()
    message = [1, "two"]
    box.send(box.pid, message)
    box.send(box.pid, 2)
    message.append(3)
    assert box.receive() == [1, b"two"]
    assert box.poll() == 2
    assert box.poll() is EMPTY and not EMPTY and repr(EMPTY) == "EMPTY"


def test_none_is_a_message(a: Node) -> None:
    box = a.mailbox()
    box.send(box.pid, None)
    assert len(box) == 1 and box.poll() is None


def test_what_is_no_term_is_refused_at_the_call(a: Node) -> None:
    box = a.mailbox("box")
    for dest in (box.pid, "box", ("box", "a@localhost"), box.alias()):
        with pytest.raises(EncodeError):
            box.send(dest, object())
    with pytest.raises(EncodeError):
        box.exit(a.mailbox().pid, object())
    with pytest.raises(EncodeError):
        box.close(object())
    assert box.alive and len(box) == 0


def test_a_destination_must_be_one(a: Node) -> None:
    box = a.mailbox()
    for dest in (None, 1, ("name",), ("name", 1), b"name"):
        with pytest.raises(EncodeError, match="not a destination"):
            box.send(dest, 1)  # type: ignore[arg-type]


def test_receive_takes_the_first_match_and_leaves_the_rest(a: Node) -> None:
    box = a.mailbox()
    for number in range(6):
        box.send(box.pid, number)
    looked_at: list[object] = []

    def is_four(message: object) -> bool:
        looked_at.append(message)
        return message == 4

    assert box.receive(match=is_four) == 4
    assert looked_at == [0, 1, 2, 3, 4]
    assert [box.poll() for _ in range(5)] == [0, 1, 2, 3, 5]


def test_a_match_does_not_look_twice_at_what_it_saw(a: Node, loop: EventLoop) -> None:
    box = a.mailbox()
    looked_at: list[object] = []
    for number in range(3):
        box.send(box.pid, number)
        loop.call_soon(box.send, box.pid, number + 10)

    def is_last(message: object) -> bool:
        looked_at.append(message)
        return message == 12

    assert box.receive(match=is_last, timeout=5) == 12
    assert looked_at == [0, 1, 2, 10, 11, 12]


def test_a_handler_that_takes_a_message_does_not_upset_a_waiting_receive(
    a: Node, loop: EventLoop
) -> None:
    box = a.mailbox()
    for number in range(4):
        box.send(box.pid, number)

    def meddle() -> None:
        assert box.poll() == 0
        box.send(box.pid, Atom("wanted"))

    loop.call_soon(meddle)
    assert box.receive(match=lambda message: message == "wanted", timeout=5) == "wanted"
    assert [box.poll() for _ in range(3)] == [1, 2, 3]


def test_receive_gives_up_after_its_time(a: Node) -> None:
    box = a.mailbox("patient")
    box.send(box.pid, 1)
    with pytest.raises(ReceiveTimeoutError, match="patient"):
        box.receive(match=lambda message: False, timeout=0.01)
    assert box.poll() == 1
    with pytest.raises(ReceiveTimeoutError):
        box.receive(timeout=0)


def test_iteration_takes_what_has_come_and_does_not_wait(a: Node) -> None:
    box = a.mailbox()
    prior = box.alias(priority=True)
    assert list(box) == []
    for number in range(3):
        box.send(box.pid, number)
    box.send(prior, Atom("first"), priority=True)
    found = []
    for message in box:
        found.append(message)
        if message == 2:
            box.send(box.pid, 3)  # what comes meanwhile is taken, too
    assert found == ["first", 0, 1, 2, 3] and len(box) == 0
    for number in range(3):
        box.send(box.pid, number)
    for message in box:
        if message == 1:
            break
    assert list(box) == [2]  # the rest waits


def test_iteration_goes_on_after_the_end_of_the_process(a: Node) -> None:
    box = a.mailbox()
    box.send(box.pid, 1)
    box.close()
    assert list(box) == [1] and list(box) == []


def test_a_message_is_not_looked_for_with_in(a: Node) -> None:
    box = a.mailbox()
    box.send(box.pid, 1)
    with pytest.raises(TypeError):
        1 in box
    assert len(box) == 1


def test_the_first_argument_of_receive_is_the_time_to_wait(a: Node) -> None:
    box = a.mailbox("patient")
    with pytest.raises(ReceiveTimeoutError, match=r"within 0\.01 s"):
        box.receive(0.01)
    box.send(box.pid, 1)
    assert box.receive(5) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"timeout": lambda message: True}, TypeError, "give seconds, or None"),
        ({"timeout": "5"}, TypeError, "timeout is '5': give seconds"),
        ({"timeout": -1}, ValueError, "timeout is -1: use 0"),
        ({"timeout": float("nan")}, ValueError, "timeout is nan: use 0"),
        ({"match": 5}, TypeError, "match is 5: give a function of a message"),
    ],
)
def test_receive_refuses_wrong_arguments_at_once(
    a: Node, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    box = a.mailbox()
    for _ in range(2):  # with no message there, and with one
        with pytest.raises(error, match=text):
            box.receive(**arguments)
        box.send(box.pid, 1)
    assert len(box) == 2


def test_receive_in_a_handler_takes_what_is_there_and_waits_for_nothing(
    a: Node, loop: EventLoop
) -> None:
    box = a.mailbox()
    box.send(box.pid, 1)
    got: list[object] = []

    def handler() -> None:
        got.append(box.receive())
        with pytest.raises(LoopReentryError):
            box.receive()

    loop.call_soon(handler)
    loop.run_once()
    assert got == [1]


def test_a_handler_runs_only_inside_the_loop(a: Node, loop: EventLoop) -> None:
    got: list[object] = []
    box = a.mailbox(on_message=got.append)
    box.send(box.pid, 1)
    assert got == []
    loop.run_once()
    assert got == [1]


def test_what_a_handler_sends_itself_waits_for_the_next_round(a: Node, loop: EventLoop) -> None:
    rounds: list[tuple[int, object]] = []

    def handler(message: object) -> None:
        rounds.append((loop.statistics().rounds, message))
        if isinstance(message, int) and message < 3:
            box.send(box.pid, message + 1)

    box = a.mailbox(on_message=handler)
    box.send(box.pid, 1)
    while len(rounds) < 3:
        loop.run_once()
    assert [message for _round, message in rounds] == [1, 2, 3]
    assert len({number for number, _message in rounds}) == 3


def test_an_exception_of_a_handler_loses_no_message(a: Node, loop: EventLoop) -> None:
    got: list[object] = []

    def handler(message: object) -> None:
        got.append(message)
        if message == 1:
            raise ZeroDivisionError

    box = a.mailbox(on_message=handler)
    for number in range(4):
        box.send(box.pid, number)
    with pytest.raises(ZeroDivisionError):
        loop.run_once()
    loop.run_once()
    assert got == [0, 1, 2, 3]


def test_a_handler_may_poll_its_own_mailbox(a: Node, loop: EventLoop) -> None:
    got: list[object] = []

    def handler(message: object) -> None:
        got.append((message, box.poll()))

    box = a.mailbox(on_message=handler)
    for number in range(4):
        box.send(box.pid, number)
    loop.run_once()
    assert got == [(0, 1), (2, 3)]


def test_names(a: Node) -> None:
    box = a.mailbox("box")
    assert a.whereis("box") == box.pid and box.name == "box"
    with pytest.raises(ConfigError, match="taken"):
        a.mailbox("box")
    with pytest.raises(ConfigError, match="registered as box already"):
        box.register("other")
    for name in ("", "undefined"):
        with pytest.raises(ConfigError, match="cannot be a registered name"):
            a.mailbox(name)
    box.close()
    assert a.whereis("box") is None
    a.mailbox("box")


def test_messages_to_nobody_are_dropped(a: Node) -> None:
    box = a.mailbox()
    gone = a.mailbox()
    alias = box.alias()
    assert box.unalias(alias) and not box.unalias(alias)
    gone.close()
    for dest in (gone.pid, "nobody", ("nobody", "a@localhost"), alias):
        box.send(dest, 1)
    assert len(box) == 0


def test_aliases_reach_their_process_until_they_are_taken_back(a: Node) -> None:
    box, other = a.mailbox(), a.mailbox()
    alias = box.alias()
    other.send(alias, 1)
    assert box.poll() == 1
    assert not other.unalias(alias)
    other.send(alias, 2)
    assert box.poll() == 2
    box.close()
    assert a.statistics().aliases == 0


def test_priority_goes_before_what_waits_and_behind_other_priority(a: Node) -> None:
    box = a.mailbox()
    plain, prior = box.alias(), box.alias(priority=True)
    box.send(box.pid, 1)
    box.send(prior, 2)  # sent without priority
    box.send(plain, 3, priority=True)  # no alias for priority
    box.send(box.pid, 4, priority=True)  # no alias
    box.send(prior, 5, priority=True)
    box.send(prior, 6, priority=True)
    assert [box.poll() for _ in range(6)] == [5, 6, 1, 2, 3, 4]
    box.send(prior, 7, priority=True)
    box.send(box.pid, 8)
    box.send(prior, 9, priority=True)
    assert box.receive(match=lambda message: message == 9) == 9
    box.send(prior, 10, priority=True)
    assert [box.poll() for _ in range(3)] == [7, 10, 8]


def test_priority_reaches_a_receive_that_has_looked_further(a: Node, loop: EventLoop) -> None:
    box = a.mailbox()
    prior = box.alias(priority=True)
    box.send(box.pid, 1)
    loop.call_soon(lambda: box.send(prior, Atom("now"), priority=True))
    assert box.receive(match=lambda message: message == "now", timeout=5) == "now"
    assert box.poll() == 1


# --- exit signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trap", "reason", "ends_with"),
    [
        (False, NORMAL, None),
        (False, Atom("shutdown"), Atom("shutdown")),
        (False, b"normal", b"normal"),
        (False, Atom("kill"), Atom("killed")),
        (True, Atom("kill"), Atom("killed")),
        (True, NORMAL, None),
        (True, b"kill", None),
    ],
)
def test_an_exit_signal(a: Node, trap: bool, reason: object, ends_with: object) -> None:
    sender, box = a.mailbox(), a.mailbox(trap_exit=trap)
    sender.exit(box.pid, reason)
    assert box.alive == (ends_with is None)
    assert box.exit_reason == ends_with
    if trap and ends_with is None:
        assert box.poll() == (Atom("EXIT"), sender.pid, reason)
    assert len(box) == 0


def test_normal_to_oneself_ends_oneself(a: Node) -> None:
    box = a.mailbox()
    box.exit(box.pid, NORMAL)
    assert not box.alive and box.exit_reason == "normal"


def test_an_exit_signal_to_an_alias(a: Node) -> None:
    sender, box = a.mailbox(), a.mailbox(trap_exit=True)
    prior, plain = box.alias(priority=True), box.alias()
    box.send(box.pid, 1)
    sender.exit(plain, Atom("one"), priority=True)
    sender.exit(prior, Atom("two"), priority=True)
    signals = [(Atom("EXIT"), sender.pid, Atom(reason)) for reason in ("two", "one")]
    assert [box.poll() for _ in range(3)] == [signals[0], 1, signals[1]]
    sender.exit(a.processes.numbers.new_reference(), Atom("nobody"))
    sender.exit(plain, Atom("kill"))
    assert box.exit_reason == "killed"


def test_links_carry_reasons_but_normal(a: Node) -> None:
    one, two, three = a.mailbox(), a.mailbox(), a.mailbox(trap_exit=True)
    one.link(two.pid)
    two.link(three.pid)
    one.close()
    assert two.alive
    other = a.mailbox()
    two.link(other.pid)
    other.close(Atom("oops"))
    assert two.exit_reason == "oops"
    assert three.poll() == (Atom("EXIT"), two.pid, Atom("oops"))
    assert a.statistics().links == 0 and not a.processes.ties


def test_kill_over_a_link_is_a_reason_like_any_other(a: Node) -> None:
    one, two, three = a.mailbox(), a.mailbox(), a.mailbox(trap_exit=True)
    one.link(two.pid)
    one.link(three.pid)
    one.close(Atom("kill"))
    assert two.exit_reason == "kill"
    assert three.poll() == (Atom("EXIT"), one.pid, Atom("kill"))


def test_unlink_holds_back_the_exit_signal(a: Node) -> None:
    one, two = a.mailbox(), a.mailbox()
    one.link(two.pid)
    one.link(two.pid)
    two.unlink(one.pid)
    one.unlink(two.pid)
    one.close(Atom("oops"))
    assert two.alive and not a.processes.ties


def test_a_link_to_nobody_and_to_oneself(a: Node) -> None:
    gone, box, trapping = a.mailbox(), a.mailbox(), a.mailbox(trap_exit=True)
    gone.close()
    box.link(box.pid)
    assert box.alive
    trapping.link(gone.pid)
    assert trapping.poll() == (Atom("EXIT"), gone.pid, Atom("noproc"))
    box.link(gone.pid)
    assert box.exit_reason == "noproc"


def test_a_long_chain_of_links_ends_at_once(a: Node) -> None:
    chain = [a.mailbox() for _ in range(5000)]
    for left, right in zip(chain, chain[1:], strict=False):
        left.link(right.pid)
    chain[0].close(Atom("oops"))
    assert not any(box.alive for box in chain)
    assert a.statistics().links == 0


# --- monitors -------------------------------------------------------------------------------------


def test_a_monitor_tells_of_the_end_once(a: Node) -> None:
    box, other = a.mailbox(), a.mailbox("other")
    by_pid = box.monitor(other.pid)
    by_name = box.monitor("other")
    by_both = box.monitor(("other", "a@localhost"))
    other.close(Atom("oops"))
    process, reason = Atom("process"), Atom("oops")
    name = (Atom("other"), Atom("a@localhost"))
    assert [box.poll() for _ in range(4)] == [
        (Atom("DOWN"), by_pid, process, other.pid, reason),
        (Atom("DOWN"), by_name, process, name, reason),
        (Atom("DOWN"), by_both, process, name, reason),
        EMPTY,
    ]
    assert inside(box).monitors == set() and a.statistics().monitors == 0 and not a.processes.ties


def test_a_monitor_of_nobody_tells_noproc(a: Node) -> None:
    box = a.mailbox()
    ref = box.monitor("nobody")
    name = (Atom("nobody"), Atom("a@localhost"))
    assert box.poll() == (Atom("DOWN"), ref, Atom("process"), name, Atom("noproc"))


def test_demonitor(a: Node) -> None:
    box, other = a.mailbox(), a.mailbox()
    ref, late = box.monitor(other.pid), box.monitor(other.pid)
    assert box.demonitor(ref) and not box.demonitor(ref)
    box.send(box.pid, 1)
    other.close()
    assert not box.demonitor(late, flush=True)
    assert [box.poll(), box.poll()] == [1, EMPTY]
    assert not inside(other).watchers


def test_the_monitors_of_a_process_end_with_it(a: Node) -> None:
    box, other = a.mailbox(), a.mailbox()
    box.monitor(other.pid)
    box.monitor(box.pid)
    box.close()
    assert not inside(other).watchers and a.statistics().monitors == 0 and not a.processes.ties


# --- the end --------------------------------------------------------------------------------------


def test_a_closed_mailbox_keeps_its_messages_and_does_nothing(a: Node) -> None:
    with a.mailbox("box") as box:
        box.send(box.pid, 1)
    assert box.receive() == 1
    assert "exited: Atom('normal')" in repr(box)
    actions: list[Callable[[], object]] = [
        lambda: box.send(box.pid, 1),
        lambda: box.receive(timeout=1),
        lambda: box.monitor(box.pid),
        lambda: box.link(box.pid),
        lambda: box.alias(),
        lambda: box.register("name"),
        lambda: box.exit(box.pid, 1),
    ]
    for action in actions:
        with pytest.raises(ClosedError, match="normal"):
            action()
    box.close()
    assert box.poll() is EMPTY


def test_a_mailbox_that_ends_while_it_waits(a: Node, loop: EventLoop) -> None:
    box = a.mailbox()
    loop.call_soon(lambda: a.exit(box.pid, Atom("oops")))
    with pytest.raises(ClosedError, match="oops"):
        box.receive(timeout=5)


def test_on_exit_is_told_in_the_next_round(a: Node, loop: EventLoop) -> None:
    reasons: list[object] = []
    box = a.mailbox()
    box.on_exit = reasons.append
    box.close(Atom("oops"))
    assert reasons == []
    loop.run_once()
    assert reasons == [Atom("oops")]


# --- a full mailbox -------------------------------------------------------------------------------


def test_a_peer_is_not_read_from_while_a_mailbox_is_full(
    make_node: MakeNode, peer: ScriptedPeer, folder: str, loop: EventLoop
) -> None:
    node = make_node("c@localhost", max_mailbox_length=100, messages_per_round=10)
    peer.connect(folder, node)
    box = node.mailbox("box")
    alias = box.alias()
    frames = [peer.frames_of((22, peer.pid(), box.pid), (n, bytes(200))) for n in range(5000)]
    left = memoryview(b"".join(frame for (frame,) in frames))
    connection = node._peers.nodes[peer.name].connection
    assert connection is not None
    while not connection.paused:
        left = peer.write_some(left)
        loop.run_once(0)
    for _ in range(50):
        left = peer.write_some(left)
        loop.run_once(0)
    # What was read is handed on; what was not stays where the peer sees it.
    assert left and 100 <= len(box) < 4000
    numbers: list[object] = []
    while len(numbers) < 5000:
        message = box.receive(timeout=5)
        assert isinstance(message, tuple)
        numbers.append(message[0])
        left = peer.write_some(left) if left else left
    assert numbers == list(range(5000))
    peer.until(lambda: not connection.paused)
    assert peer.settle() == []
    for _ in range(150):
        peer.send((33, peer.pid(), alias), 1)
    peer.until(lambda: connection.paused)
    while box.poll() is not EMPTY:
        pass
    peer.until(lambda: not connection.paused)


# --- many messages --------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def test_messages_with_priority_take_time_in_proportion_to_their_number(a: Node) -> None:
    box = a.mailbox()
    count = 200_000

    def deliver() -> None:
        for number in range(count):
            inside(box).deliver(number, priority=True)

    assert seconds(deliver) < 2.5
    inside(box).deliver("last")
    assert [box.poll() for _ in range(count + 1)] == [*range(count), "last"]


def test_a_receive_finds_messages_with_priority_and_others_in_their_order(a: Node) -> None:
    box = a.mailbox()
    for number in range(5):
        inside(box).deliver(number)
        inside(box).deliver(-number, priority=True)
    assert box.receive(match=lambda message: message == 3) == 3
    assert box.receive(match=lambda message: message == -2) == -2
    assert len(box) == 8
    assert [box.poll() for _ in range(8)] == [0, -1, -3, -4, 0, 1, 2, 4]


def test_to_flush_a_monitor_without_a_message_looks_at_no_others(a: Node) -> None:
    box = a.mailbox()
    refs = [box.monitor("nobody") for _ in range(5000)]
    for _ in refs:
        assert box.receive(timeout=5) is not EMPTY  # the DOWN of each
    for number in range(20_000):
        inside(box).deliver(number)
    assert seconds(lambda: [box.demonitor(ref, flush=True) for ref in refs]) < 1
    last = box.monitor("nobody")
    assert len(box) == 20_001
    box.demonitor(last, flush=True)
    assert len(box) == 20_000
