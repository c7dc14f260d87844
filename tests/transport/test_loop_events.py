"""Rules 9 to 13, 15 and 16 of the event loop: descriptors, exceptions, selectors and clocks."""

from __future__ import annotations

import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.transport.support import CountingSelector, Pair, close_all, pairs, raiser
from uds_dist import ConfigError, EventLoop
from uds_dist.testing import FakeClock, fake_loop
from uds_dist.transport.loop import READ, WRITE
from uds_dist.transport.waiting import LONGEST_WAIT


# --- 9: closing -----------------------------------------------------------------------------------


def test_9_what_is_unregistered_in_a_round_is_not_called_in_it(loop: EventLoop) -> None:
    made = pairs(3)
    called: list[int] = []

    def first_of_all(index: int, _mask: int) -> None:
        called.append(index)
        for left, _ in made:
            loop.unregister(left)

    for index, (left, _) in enumerate(made):
        loop.register(left, READ, partial(first_of_all, index))
    assert loop.run_once() == 1
    assert len(called) == 1
    close_all(made)


def test_9_a_descriptor_number_that_is_used_again_gets_no_event_of_its_forerunner(
    loop: EventLoop,
) -> None:
    made = pairs(4)
    fresh: list[socket.socket] = []
    wrong: list[int] = []
    ran: list[int] = []

    def close_the_others_and_open_new(index: int, _mask: int) -> None:
        ran.append(index)
        if len(ran) > 1:
            return
        numbers = set()
        for other, (left, _) in enumerate(made):
            if other != index:
                numbers.add(left.fileno())
                loop.unregister(left)
                left.close()
        while len(numbers & {sock.fileno() for sock in fresh}) < 3:
            fresh.extend(socket.socketpair())
        for sock in fresh:
            loop.register(sock, READ, wrong.append)

    for index, (left, _) in enumerate(made):
        loop.register(left, READ, partial(close_the_others_and_open_new, index))
    loop.run_once()
    assert len(ran) == 1 and wrong == []
    for sock in fresh:
        loop.unregister(sock)
        sock.close()
    close_all(made)


def test_9_interest_that_was_taken_back_in_a_round_is_not_reported_in_it(
    loop: EventLoop,
) -> None:
    made = pairs(2)
    masks: list[tuple[int, int]] = []

    def handler(index: int, mask: int) -> None:
        masks.append((index, mask))
        loop.modify(made[1 - index][0], WRITE)

    for index, (left, _) in enumerate(made):
        loop.register(left, READ | WRITE, partial(handler, index))
    loop.run_once()
    assert [mask for _, mask in masks] == [READ | WRITE, WRITE]
    close_all(made)


# --- 10: see test_listener and test_connection: EOF, EMFILE ---------------------------------------


@pytest.mark.parametrize("events", [0, 8])
def test_10_no_descriptor_is_kept_with_nothing_to_watch_for(
    loop: EventLoop, pair: Pair, events: int
) -> None:
    with pytest.raises(ValueError):
        loop.register(pair[0], events, print)
    loop.register(pair[0], READ, print)
    with pytest.raises(ValueError):
        loop.modify(pair[0], 0)
    with pytest.raises(KeyError):
        loop.register(pair[0], READ, print)
    loop.unregister(pair[0])
    with pytest.raises(KeyError):
        loop.unregister(pair[0])
    with pytest.raises(KeyError):
        loop.modify(pair[0], READ)
    assert loop.statistics().descriptors == 0


# --- 11: fileno and next_timeout ------------------------------------------------------------------


def readable(descriptor: int) -> bool:
    poll = selectors.PollSelector()
    poll.register(descriptor, selectors.EVENT_READ)
    ready = bool(poll.select(0))
    poll.close()
    return ready


def test_11_the_two_hooks_say_when_there_is_something_to_do(pair: Pair) -> None:
    clock = FakeClock()
    left, right = pair
    with EventLoop(clock=clock) as loop:
        loop.register(left, READ, lambda _: left.recv(100))

        def in_five_seconds() -> None:
            loop.call_later(5, lambda: None)
            clock.advance(5)

        stimuli: list[Callable[[], object]] = [
            lambda: right.send(b"x"),
            lambda: loop.call_soon(lambda: None),
            lambda: loop.round_end.append(lambda: None),
            lambda: loop.call_later(0, lambda: None),
            in_five_seconds,
            loop.wakeup,
        ]
        for stimulus in stimuli:
            assert not readable(loop.fileno()) and loop.next_timeout() != 0.0
            assert loop.run_once() == 0
            stimulus()
            assert readable(loop.fileno()) or loop.next_timeout() == 0.0
            assert loop.run_once() == 1
        loop.call_later(7, lambda: None)
        assert loop.next_timeout() == 7.0


def test_11_an_unfinished_round_is_something_to_do() -> None:
    made = pairs(1)
    with EventLoop(clock=FakeClock()) as loop:
        loop.call_later(0, raiser(RuntimeError("first")))
        loop.call_later(0, lambda: None)
        with pytest.raises(RuntimeError):
            loop.run_once()
        assert loop.next_timeout() == 0.0
        assert loop.run_once() == 1
        assert loop.next_timeout() is None
    close_all(made)


def test_11_a_selector_without_a_descriptor_says_so() -> None:
    with EventLoop(selector=selectors.PollSelector()) as loop:
        with pytest.raises(ConfigError, match="PollSelector"):
            loop.fileno()


# --- 12: exceptions -------------------------------------------------------------------------------


def test_12_the_next_call_goes_on_with_the_rest_of_the_round(loop: EventLoop) -> None:
    made = pairs(3)
    done: list[str] = []

    def handler(index: int, _mask: int) -> None:
        if not done:
            done.append("raised")
            raise RuntimeError("the first of three")
        done.append("descriptor")

    for index, (left, _) in enumerate(made):
        loop.register(left, READ, partial(handler, index))
    loop.call_later(0, lambda: done.append("timer"))
    loop.call_soon(lambda: done.append("soon"))
    loop.round_end.append(lambda: done.append("end"))
    with pytest.raises(RuntimeError, match="the first of three"):
        loop.run_once()
    assert done == ["raised"]
    assert loop.next_timeout() == 0.0
    assert loop.run_once(30) == 5  # without waiting
    assert done == ["raised", "descriptor", "descriptor", "timer", "soon", "end"]
    assert loop.run_once() == 3  # and the one that raised is still ready
    close_all(made)


@pytest.mark.parametrize("where", ["descriptor", "timer", "soon", "end"])
def test_12_one_that_always_raises_starves_nobody(loop: EventLoop, where: str) -> None:
    made = pairs(2)
    counts = dict.fromkeys(["descriptor", "timer", "soon", "end"], 0)

    def bad(*_args: object) -> None:
        starters[where]()
        raise RuntimeError("again")

    starters: dict[str, Callable[[], object]] = {
        "descriptor": lambda: None,
        "timer": lambda: loop.call_later(0, bad),
        "soon": lambda: loop.call_soon(bad),
        "end": lambda: loop.round_end.append(bad),
    }

    def count(what: str) -> None:
        counts[what] += 1
        if what == "timer":
            loop.call_later(0, lambda: count("timer"))
        elif what == "soon":
            loop.call_soon(lambda: count("soon"))
        elif what == "end":
            loop.round_end.append(lambda: count("end"))

    if where == "descriptor":
        loop.register(made[0][0], READ, bad)
    else:
        starters[where]()
    loop.register(made[1][0], READ, lambda _: count("descriptor"))
    for what in ("timer", "soon", "end"):
        count(what)
    raised = 0
    for _ in range(20):
        try:
            loop.run_once(1)
        except RuntimeError:
            raised += 1
    assert raised >= 9
    assert min(counts.values()) >= 9, counts
    close_all(made)


def test_12_what_the_interrupted_round_has_lost_meanwhile_is_not_called(
    loop: EventLoop,
) -> None:
    made = pairs(3)
    called: list[int] = []

    def handler(index: int, _mask: int) -> None:
        called.append(index)
        if len(called) == 1:
            raise RuntimeError("first")

    for index, (left, _) in enumerate(made):
        loop.register(left, READ, partial(handler, index))
    with pytest.raises(RuntimeError):
        loop.run_once()
    assert loop.next_timeout() == 0.0
    gone, read = [index for index in range(3) if index not in called]
    loop.unregister(made[gone][0])
    made[read][0].recv(1)
    assert loop.run_once() == 0
    assert len(called) == 1
    close_all(made)


def test_12_on_error_is_told_and_the_round_goes_on(selector: selectors.BaseSelector) -> None:
    errors: list[Exception] = []
    with EventLoop(selector=selector, on_error=errors.append) as loop:
        ran: list[int] = []
        loop.call_later(0, raiser(ValueError("timer")))
        loop.call_soon(raiser(KeyError("soon")))
        loop.round_end.append(raiser(OSError("end")))
        loop.round_end.append(lambda: ran.append(1))
        assert loop.run_once() == 4
        assert [type(error) for error in errors] == [ValueError, KeyError, OSError]
        assert ran == [1]
        for fatal in (KeyboardInterrupt(), SystemExit(3)):
            loop.call_soon(raiser(fatal))
            with pytest.raises(type(fatal)):
                loop.run_once()
        assert len(errors) == 3


def test_12_an_on_error_that_raises_is_heard(selector: selectors.BaseSelector) -> None:
    with EventLoop(selector=selector, on_error=raiser(ZeroDivisionError())) as loop:
        loop.call_soon(raiser(ValueError("first")))
        loop.call_soon(lambda: None)
        with pytest.raises(ZeroDivisionError):
            loop.run_once()
        assert loop.run_once() == 1


# --- 13: wakeup -----------------------------------------------------------------------------------


def test_13_wakeup_ends_a_wait_from_another_thread(loop: EventLoop) -> None:
    waiting = threading.Event()
    loop.call_soon(waiting.set)
    loop.run_once()

    def wake() -> None:
        waiting.wait(10)
        loop.call_soon(lambda: None)
        loop.wakeup()

    thread = threading.Thread(target=wake)
    thread.start()
    assert loop.run_until(lambda: loop.statistics().events >= 3, timeout=10)
    thread.join()


def test_13_any_number_of_wakeups_ends(loop: EventLoop) -> None:
    for _ in range(200_000):
        loop.wakeup()  # more than the pipe holds: it must neither block nor raise
    rounds = 0
    while loop.run_once():
        rounds += 1
    assert 0 < rounds < 1000
    assert loop.run_once(0.001) == 0


def test_13_no_signal_handler_is_installed() -> None:
    handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    with EventLoop() as loop:
        loop.call_later(0, lambda: None)
        loop.run_once(None)
        assert handlers == [signal.getsignal(number) for number in sorted(signal.valid_signals())]


def test_13_wakeup_after_close_does_nothing() -> None:
    loop = EventLoop()
    loop.close()
    loop.wakeup()
    loop.stop()


# --- 15 and 16: selector and clock ----------------------------------------------------------------


def test_15_one_select_a_round_on_the_selector_that_was_given() -> None:
    selector = CountingSelector()
    with EventLoop(selector=selector) as loop:
        loop.call_soon(lambda: None)
        loop.run_once(5)
        loop.run_once(5)
        loop.run_once()
        assert selector.timeouts == [0.0, 5, 0.0]


def test_16_waits_are_clamped() -> None:
    selector = CountingSelector()
    with EventLoop(selector=selector, clock=FakeClock()) as loop:
        loop.run_once(None)
        loop.run_once(1e9)
        loop.call_later(1e12, lambda: None)
        loop.run_once(None)
        assert loop.next_timeout() == LONGEST_WAIT
        assert selector.timeouts == [LONGEST_WAIT] * 3


def test_16_the_next_timer_bounds_the_wait() -> None:
    selector = CountingSelector()
    with EventLoop(selector=selector, clock=FakeClock()) as loop:
        loop.call_later(3, lambda: None)
        loop.run_once(None)
        loop.run_once(10)
        loop.run_once(1)
        assert selector.timeouts == [3, 3, 1]


def test_16_run_until_goes_by_the_given_clock() -> None:
    clock = FakeClock()
    with fake_loop(clock) as loop:
        started = time.monotonic()
        assert loop.run_until(lambda: False, timeout=5000) is False
        assert clock() == 5000
        assert time.monotonic() - started < 2
