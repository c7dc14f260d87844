"""Rules 1 to 7 of the event loop, as conftest.py lists them, and its beginning and end.

Rule 8 is in test_connection, rules 9 to 13, 15 and 16 in test_loop_events, what takes another
process, signals and forks, in test_loop_system.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.transport.conftest import MakeNode
from tests.transport.support import CountingSelector, Pair, raiser
from uds_dist import Atom, ClosedError, EventLoop, Future, LoopReentryError
from uds_dist.testing import FakeClock
from uds_dist.transport.loop import READ, WRITE
from uds_dist.transport.waiting import LOOKS, SHORT_WAIT


# --- 1: one verb ----------------------------------------------------------------------------------


def test_1_zero_polls(loop: EventLoop) -> None:
    loop.call_later(0.5, lambda: None)
    started = time.monotonic()
    assert loop.run_once() == loop.run_once(0) == loop.run_once(0.0) == 0
    assert time.monotonic() - started < 0.4


def test_1_a_positive_timeout_waits_that_long_and_no_longer(loop: EventLoop) -> None:
    started = time.monotonic()
    assert loop.run_once(0.02) == 0
    assert 0.02 <= time.monotonic() - started < 1.0


def test_1_none_waits_until_something_happens(loop: EventLoop) -> None:
    fired: list[float] = []
    started = time.monotonic()
    loop.call_later(0.02, lambda: fired.append(time.monotonic() - started))
    assert loop.run_once(None) == 1
    assert fired and fired[0] >= 0.02


@pytest.mark.parametrize("timeout", [-1, -0.001, float("-inf"), float("nan")])
def test_1_a_timeout_that_is_none_is_refused(loop: EventLoop, timeout: float) -> None:
    with pytest.raises(ValueError):
        loop.run_once(timeout)
    assert loop.run_once() == 0


@pytest.mark.parametrize("busy", [True, False])
def test_1_only_a_wait_after_a_short_one_looks_before_it_sleeps(pair: Pair, busy: bool) -> None:
    left, right = pair
    selector = CountingSelector()
    looks = [0.0] * LOOKS * busy

    def waits(timeout: float) -> list[float | None]:
        selector.timeouts.clear()
        loop.run_once(timeout)
        return selector.timeouts

    # On this clock no wait takes time, so a wait is short if it has found something.
    with EventLoop(selector=selector, clock=lambda: 0.0, busy_wait=busy) as loop:
        loop.register(left, READ, lambda _: left.recv(100))
        assert waits(0.01) == [0.01]
        right.send(b"x")
        assert waits(0.01) == [0.01]
        assert waits(0.0) == [0.0]
        assert waits(SHORT_WAIT / 2) == [SHORT_WAIT / 2]
        right.send(b"x")
        assert waits(0.01) == [0.01]
        right.send(b"x")
        assert waits(0.01) == ([0.0] if busy else [0.01])
        assert waits(0.01) == [*looks, 0.01]
        assert waits(0.01) == [0.01]
        loop.unregister(left)


def test_1_a_long_wait_is_not_followed_by_looks(pair: Pair) -> None:
    left, right = pair
    selector = CountingSelector()
    times = iter(range(100))
    with EventLoop(selector=selector, clock=lambda: float(next(times)), busy_wait=True) as loop:
        loop.register(left, READ, lambda _: left.recv(100))
        for _ in range(3):
            right.send(b"x")
            assert loop.run_once(0.01) == 1
        assert selector.timeouts == [0.01] * 3
        loop.unregister(left)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("affinity", [True, False])
def test_1_who_looks_on_the_only_processor_would_keep_others_from_answering(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, count: int, affinity: bool
) -> None:
    left, right = pair
    if affinity:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(count)), raising=False)
    else:  # macOS has no such function
        monkeypatch.delattr("os.sched_getaffinity", raising=False)
        monkeypatch.setattr("os.cpu_count", lambda: count)
    selector = CountingSelector()
    with EventLoop(selector=selector, clock=lambda: 0.0) as loop:
        loop.register(left, READ, lambda _: left.recv(100))
        for _ in range(2):
            right.send(b"x")
            loop.run_once(0.01)
        assert selector.timeouts == [0.01, 0.01 if count == 1 else 0.0]
        loop.unregister(left)


def test_1_one_call_does_reads_writes_timers_and_callbacks_in_a_fixed_order(
    loop: EventLoop, pair: Pair
) -> None:
    order: list[str] = []
    left, right = pair
    loop.register(left, READ | WRITE, lambda mask: order.append(f"descriptor {mask}"))
    loop.call_later(0, lambda: order.append("timer"))
    loop.call_soon(lambda: order.append("soon"))
    loop.round_end.append(lambda: order.append("end"))
    right.send(b"x")
    assert loop.run_once() == 4
    assert order == [f"descriptor {READ | WRITE}", "timer", "soon", "end"]


# --- 2: the timeout bounds the waiting ------------------------------------------------------------


def test_2_run_until_ends_by_its_deadline_however_busy_the_loop_is(loop: EventLoop) -> None:
    def again() -> None:
        loop.call_soon(again)

    again()
    started = time.monotonic()
    assert loop.run_until(lambda: False, timeout=0.03) is False
    assert 0.03 <= time.monotonic() - started < 1.0


def test_2_sleep_serves_everything_meanwhile(loop: EventLoop) -> None:
    seen: list[int] = []
    loop.call_later(0.01, seen.append, 1)
    loop.call_soon(seen.append, 0)
    begun = loop.time()
    loop.sleep(0.05)
    assert loop.time() - begun >= 0.05
    assert seen == [0, 1]
    loop.sleep(0)
    with pytest.raises(ValueError, match="use 0"):
        loop.sleep(-1)


def test_3_another_thread_ends_a_wait(loop: EventLoop) -> None:
    seen: list[str] = []
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, (seen.append, "from a thread"))
    thread.start()
    assert loop.run_until(lambda: bool(seen), 10)
    thread.join()


def test_2_run_until_returns_as_soon_as_it_holds(loop: EventLoop) -> None:
    future: Future[int] = Future(loop)
    loop.call_later(0.001, lambda: future.set_result(7))
    assert loop.run_until(future, timeout=30) is True
    assert future.result() == 7
    assert loop.run_until(future) is True  # no round is needed
    assert loop.run_until(lambda: True, timeout=0) is True


def test_2_run_until_with_no_time_does_one_round(loop: EventLoop) -> None:
    done: list[int] = []
    loop.call_soon(lambda: done.append(1))
    assert loop.run_until(lambda: bool(done), timeout=0) is True
    with pytest.raises(ValueError, match="0 to poll"):
        loop.run_until(lambda: True, timeout=-1)


def test_2_a_full_socket_does_not_block_a_round(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    connection = b._peers.nodes["a@test"].connection
    assert connection is not None
    connection.pause()
    a.send(("nobody", "b@test"), b"x" * 8_000_000)
    started = time.monotonic()
    for _ in range(50):
        loop.run_once()
    assert a.statistics().unwritten > 1_000_000
    assert time.monotonic() - started < 2.0
    connection.resume()
    assert a.flush(timeout=10)


# --- 3: user code runs only inside run_once -------------------------------------------------------


def test_3_nothing_calls_back_inline(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    outside: list[str] = []
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(what)
        if not loop.running:
            outside.append(what)

    a.monitor_nodes(lambda event, name, error: tell(event))
    box = a.mailbox("box", on_message=lambda message: tell("message"))
    future = a.connect("b@test")
    future.add_done_callback(lambda _: tell("done"))
    box.monitor(("gone", "a@test"))
    box.send("box", 1)
    a.send(box.pid, 2)
    a.disconnect("b@test")
    assert told == []
    assert loop.run_until(lambda: len(told) == 5, timeout=5)
    assert sorted(told) == ["done", "message", "message", "message", "nodedown"]
    assert outside == []


# --- 4 and 5: no loop within the loop -------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run_once", "run_until", "result", "receive", "ping", "close"])
def test_4_re_entry_is_an_error_in_every_kind_of_handler(
    loop: EventLoop, make_node: MakeNode, pair: Pair, verb: str
) -> None:
    a, b = make_node("a"), make_node("b")
    box = a.mailbox("box")
    assert a.ping("b@test")
    calls: dict[str, Callable[[], object]] = {
        "run_once": loop.run_once,
        "run_until": lambda: loop.run_until(lambda: False, timeout=1),
        "result": lambda: a.rpc("b@test", "m", "f", []).result(timeout=1),
        "receive": lambda: box.receive(timeout=1),
        "ping": lambda: a.ping("b@test"),
        "close": loop.close,
    }
    errors: list[BaseException] = []

    def handler(*_args: object) -> None:
        try:
            calls[verb]()
        except LoopReentryError as error:
            errors.append(error)

    loop.call_soon(handler)
    loop.call_later(0, handler)
    loop.round_end.append(handler)
    loop.register(pair[0], WRITE, handler)
    loop.run_once()
    loop.unregister(pair[0])
    assert len(errors) == 4
    assert a.ping("b@test")


def test_4_the_flag_is_reset_by_an_exception(loop: EventLoop) -> None:
    for error in (RuntimeError("once"), KeyboardInterrupt(), SystemExit()):
        loop.call_soon(raiser(error))
        with pytest.raises(type(error)):
            loop.run_once()
        assert not loop.running
        assert loop.run_once() == 0


def test_5_an_outcome_that_is_there_needs_no_loop(loop: EventLoop) -> None:
    future: Future[str] = Future(loop)
    future.set_result("there")
    seen: list[str] = []
    loop.call_soon(lambda: seen.append(future.result()))
    loop.run_once()
    assert seen == ["there"]


# --- 6: level-triggered and bounded ---------------------------------------------------------------


def test_6_what_a_handler_leaves_unread_is_reported_again(loop: EventLoop, pair: Pair) -> None:
    left, right = pair
    right.send(b"abc")
    got: list[bytes] = []
    loop.register(left, READ, lambda _: got.append(left.recv(1)))
    assert [loop.run_once() for _ in range(4)] == [1, 1, 1, 0]
    assert got == [b"a", b"b", b"c"]


def test_6_a_connection_hands_on_its_share_and_the_next_wait_is_zero(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a"), make_node("b", messages_per_round=10)
    box = b.mailbox("box")
    assert a.ping("b@test")
    for number in range(95):
        a.send(("box", "b@test"), number)
    sizes: list[int] = []
    while len(box) < 95:
        loop.run_once(1)
        sizes.append(len(box))
        if 0 < len(box) < 95:
            assert loop.next_timeout() == 0.0
    steps = [after - before for before, after in zip([0, *sizes], sizes)]
    assert max(steps) == 10
    assert [box.poll() for _ in range(95)] == list(range(95))


# --- 7: fair --------------------------------------------------------------------------------------


def test_7_only_what_was_there_at_entry_runs(loop: EventLoop) -> None:
    rounds: list[int] = []

    def again() -> None:
        rounds.append(loop.statistics().rounds)
        loop.call_soon(again)
        loop.call_later(0, lambda: rounds.append(-loop.statistics().rounds))

    loop.call_soon(again)
    for _ in range(3):
        loop.run_once()
    assert rounds == [1, -2, 2, -3, 3]


@pytest.mark.parametrize("where", ["descriptor", "timer", "soon", "end"])
def test_7_a_zero_delay_timer_fires_in_the_next_round_even_if_the_clock_stands(
    selector: selectors.BaseSelector, pair: Pair, where: str
) -> None:
    clock = FakeClock(100.0)
    with EventLoop(selector=selector, clock=clock) as loop:
        fired: list[int] = []

        def start(*_args: object) -> None:
            if where == "descriptor":
                loop.unregister(pair[0])
            loop.call_later(0, lambda: fired.append(loop.statistics().rounds))

        if where == "descriptor":
            loop.register(pair[0], WRITE, start)
        elif where == "timer":
            loop.call_later(0, start)
        elif where == "soon":
            loop.call_soon(start)
        else:
            loop.round_end.append(start)
        loop.run_once()
        assert fired == []
        loop.run_once()
        assert fired == [2]


def test_7_one_now_a_round(loop: EventLoop) -> None:
    seen: list[float] = []

    def note() -> None:
        until = loop.time() + 0.002
        while loop.time() < until:
            pass
        seen.append(loop.now)

    loop.call_later(0, note)
    loop.call_soon(note)
    loop.round_end.append(note)
    loop.run_once()
    assert len(seen) == 3 and len(set(seen)) == 1


def test_7_timers_fire_in_the_order_of_their_times(selector: selectors.BaseSelector) -> None:
    clock = FakeClock()
    with EventLoop(selector=selector, clock=clock) as loop:
        order: list[str] = []
        for name, delay in [("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0), ("d", 4.0)]:
            loop.call_later(delay, partial(order.append, name))
        loop.run_once()
        assert order == []
        clock.advance(3.5)
        assert loop.run_once() == 4  # late by no more than this one round
        assert order == ["a", "a2", "b", "c"]
        assert loop.next_timeout() == pytest.approx(0.5)


def test_7_a_cancelled_timer_does_not_fire_nor_wake(selector: selectors.BaseSelector) -> None:
    clock = FakeClock()
    with EventLoop(selector=selector, clock=clock) as loop:
        fired: list[int] = []
        second = loop.call_later(2, lambda: fired.append(2))
        loop.call_later(2, lambda: fired.append(3))
        loop.call_later(1, second.cancel)
        first = loop.call_later(0.5, lambda: fired.append(1))
        first.cancel()
        first.cancel()
        assert loop.next_timeout() == 1.0
        assert loop.statistics().timers == 3
        clock.advance(5)  # the cancellation and its timer are due in the same round
        loop.run_once()
        assert fired == [3]
        assert loop.statistics().timers == 0 and loop.next_timeout() is None
        second.cancel()
        assert loop.statistics().timers == 0


def test_7_cancelled_timers_do_not_pile_up(loop: EventLoop) -> None:
    keep = [loop.call_later(1000 + number, lambda: None) for number in range(10)]
    for _ in range(10_000):
        loop.call_later(500, lambda: None).cancel()
    assert loop.statistics().timers == 10
    assert len(loop.timers.heap) < 200
    waiting = sorted(when for when, _, timer in loop.timers.heap if timer.callback is not None)
    assert [timer.when for timer in keep] == waiting


def test_7_timers_that_are_cancelled_by_a_timer_in_numbers(
    selector: selectors.BaseSelector,
) -> None:
    clock = FakeClock()
    with EventLoop(selector=selector, clock=clock) as loop:
        fired: list[int] = []
        timers = [loop.call_later(1, partial(fired.append, number)) for number in range(500)]

        def cancel_most() -> None:
            for timer in timers[:499]:
                timer.cancel()

        loop.call_later(0.5, cancel_most)
        clock.advance(1)
        loop.run_once()  # the heap is swept while the round goes through it
        assert fired == [499]
        assert loop.statistics().timers == 0


# --- the loop's end and its statistics ------------------------------------------------------------


def test_run_forever_ends_by_stop_and_can_be_run_again(loop: EventLoop) -> None:
    for _ in range(2):
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
    loop.call_soon(raiser(RuntimeError("out")))
    with pytest.raises(RuntimeError):
        loop.run_forever()
    loop.stop()
    loop.run_forever()  # a stop that came before it counts


def test_a_closed_loop_says_so() -> None:
    loop = EventLoop()
    timer = loop.call_later(1, lambda: None)
    loop.close()
    loop.close()
    timer.cancel()
    assert loop.closed and loop.statistics().timers == loop.statistics().descriptors == 0
    with pytest.raises(ClosedError):
        loop.run_once()
    with pytest.raises(ClosedError):
        loop.run_until(lambda: True)
    with pytest.raises(ClosedError):
        loop.register(0, READ, print)
    loop.unregister(0)
    assert "closed" in repr(loop)


def test_statistics_count(loop: EventLoop, pair: Pair) -> None:
    before = loop.statistics()
    assert (before.rounds, before.events, before.descriptors) == (0, 0, 0)
    loop.register(pair[0], WRITE, lambda _: None)
    loop.call_later(50, lambda: None)
    loop.call_soon(lambda: None)
    loop.round_end.append(lambda: None)
    assert loop.statistics().queued == 2
    loop.run_once()
    after = loop.statistics()
    assert (after.rounds, after.events, after.descriptors) == (1, 3, 1)
    assert (after.timers, after.queued) == (1, 0)
    assert "descriptors=1 timers=1" in repr(loop)


def test_a_closed_loop_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        EventLoop().close()
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before


def test_delays_below_zero_are_refused(loop: EventLoop) -> None:
    with pytest.raises(ValueError, match="delay"):
        loop.call_later(-0.1, lambda: None)


def test_an_atom_is_no_condition(loop: EventLoop) -> None:
    with pytest.raises(TypeError):
        loop.run_until(Atom("done"))  # type: ignore[arg-type]
