"""The timers of a loop: in their order, each once, and not when they were cancelled."""

from __future__ import annotations

from functools import partial

from uds_dist.transport.timers import Timers


def due(timers: Timers, now: float, below: int = 1000) -> list[object]:
    """The results of the callbacks that are due."""
    found = []
    while timers.any_due(now, below):
        callback = timers.take()
        if callback is not None:
            found.append(callback())
    return found


def test_the_next_one_first_and_of_two_the_older() -> None:
    timers = Timers()
    for when, name in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a2")]:
        timers.start(when, partial(str, name))
    assert timers.next_when() == 1.0
    assert due(timers, 0.9) == []
    assert due(timers, 2.0) == ["a", "a2", "b"]
    assert len(timers) == 1 and timers.next_when() == 3.0


def test_a_timer_that_is_too_new_is_not_due() -> None:
    timers = Timers()
    timers.start(1.0, lambda: "old")
    new = timers.number
    timers.start(1.0, lambda: "new")
    assert due(timers, 1.0, below=new) == ["old"]
    assert due(timers, 1.0) == ["new"]


def test_a_cancelled_timer_is_none_any_more() -> None:
    timers = Timers()
    first, second, third = (timers.start(float(when), lambda: "due") for when in (1, 2, 3))
    first.cancel()
    first.cancel()
    assert len(timers) == 2 and timers.next_when() == 2.0
    second.cancel()
    assert due(timers, 2.0) == []
    assert len(timers) == 1 and repr(second) == "<Timer spent>"
    assert due(timers, 3.0) == ["due"]
    third.cancel()
    assert len(timers) == 0 and timers.next_when() is None


def test_after_clear_there_is_nothing_to_cancel() -> None:
    timers = Timers()
    started = [timers.start(1.0, lambda: "due") for _ in range(3)]
    started[0].cancel()
    timers.clear()
    for timer in started:
        timer.cancel()
    assert len(timers) == 0 and due(timers, 1.0) == []
    timers.start(1.0, lambda: "due")
    assert len(timers) == 1
