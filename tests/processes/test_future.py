"""Futures: outcomes, callbacks, and what happens to those that nobody holds."""

from __future__ import annotations

import gc

import pytest

from uds_dist import (
    CancelledError,
    EventLoop,
    Future,
    InvalidStateError,
    LoopReentryError,
    RemoteTimeoutError,
)


def test_a_result(loop: EventLoop) -> None:
    future: Future[int] = Future(loop, "the number")
    assert not future.done() and "the number: pending" in repr(future)
    loop.call_soon(lambda: future.set_result(42))
    assert future.result(timeout=5) == 42
    assert future.exception() is None and future.done() and not future.cancelled()


def test_an_exception(loop: EventLoop) -> None:
    future: Future[int] = Future(loop)
    error = ZeroDivisionError("oops")
    future.set_exception(error)
    with pytest.raises(ZeroDivisionError, match="oops"):
        future.result()
    assert future.exception() is error
    assert "ZeroDivisionError" in repr(future)


def test_there_is_one_outcome(loop: EventLoop) -> None:
    future: Future[int] = Future(loop)
    future.set_result(1)
    with pytest.raises(InvalidStateError, match="finished"):
        future.set_result(2)
    with pytest.raises(InvalidStateError):
        future.set_exception(ZeroDivisionError())
    assert not future.cancel()
    assert future.result() == 1


def test_a_timeout_leaves_it_pending(loop: EventLoop) -> None:
    future: Future[int] = Future(loop, "the answer of s")
    with pytest.raises(RemoteTimeoutError, match="the answer of s did not come within 0.01 s"):
        future.result(timeout=0.01)
    future.set_result(1)
    assert future.result(timeout=0) == 1


def test_cancel_withdraws_once(loop: EventLoop) -> None:
    withdrawn: list[int] = []
    future: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(1))
    assert future.cancel() and not future.cancel()
    assert withdrawn == [1] and future.cancelled() and future.done()
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()
    del future
    loop.run_once(0)
    assert withdrawn == [1]


def test_callbacks_run_in_the_loop_in_their_order(loop: EventLoop) -> None:
    called: list[object] = []
    future: Future[int] = Future(loop)
    future.add_done_callback(lambda done: called.append(("first", done.result())))
    future.add_done_callback(lambda done: called.append(("second", done.result())))
    future.set_result(1)
    assert called == []
    loop.run_once(0)
    future.add_done_callback(lambda done: called.append(("late", done.result())))
    assert called == [("first", 1), ("second", 1)]
    loop.run_once(0)
    assert called[2:] == [("late", 1)]


def test_a_callback_that_raises_does_not_keep_others_from_running(loop: EventLoop) -> None:
    called: list[object] = []
    future: Future[int] = Future(loop)
    future.add_done_callback(lambda done: 1 / 0)
    future.add_done_callback(called.append)
    future.set_result(1)
    with pytest.raises(ZeroDivisionError):
        loop.run_once(0)
    loop.run_once(0)
    assert called == [future]


def test_a_dropped_future_is_withdrawn(loop: EventLoop) -> None:
    withdrawn: list[int] = []
    future: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(1))
    del future
    assert withdrawn == []  # not in the middle of anything
    loop.run_once(0)
    assert withdrawn == [1]


def test_a_future_with_a_callback_lives_until_it_has_run(loop: EventLoop) -> None:
    withdrawn: list[int] = []
    called: list[int] = []
    future: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(1))

    def callback(done: Future[int]) -> None:
        called.append(done.result())

    future.add_done_callback(callback)
    loop.call_soon(lambda setter=future.set_result: setter(7))
    del future
    gc.collect()
    loop.run_once(0)
    loop.run_once(0)
    assert (called, withdrawn) == ([7], [])


def test_a_callback_taken_back_lets_go(loop: EventLoop) -> None:
    withdrawn: list[int] = []
    called: list[object] = []
    future: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(1))
    future.add_done_callback(called.append)
    assert future.remove_done_callback(called.append)
    assert not future.remove_done_callback(called.append)
    del future
    gc.collect()
    loop.run_once(0)
    assert (called, withdrawn) == ([], [1])


def test_a_handler_may_look_but_not_wait(loop: EventLoop) -> None:
    future: Future[int] = Future(loop)
    done: Future[int] = Future(loop)
    done.set_result(1)

    def handler() -> None:
        assert done.result() == 1
        with pytest.raises(LoopReentryError):
            future.result()

    loop.call_soon(handler)
    assert loop.run_once(0) == 1


# --- then -----------------------------------------------------------------------------------------


def test_then_goes_on_with_the_result(loop: EventLoop) -> None:
    first: Future[int] = Future(loop, "the number")
    text = first.then(lambda number: str(number + 1))
    loop.call_soon(first.set_result, 41)
    assert text.result(timeout=5) == "42"
    assert text.then(len).result(timeout=5) == 2  # of one that is done


def test_then_waits_for_a_future_that_the_function_returns(loop: EventLoop) -> None:
    first: Future[int] = Future(loop)
    second: Future[str] = Future(loop)
    chained = first.then(lambda number: second)
    first.set_result(1)
    loop.run_once()
    assert not chained.done()
    second.set_result("two")
    assert chained.result(timeout=5) == "two"


def test_then_passes_exceptions_on(loop: EventLoop) -> None:
    first: Future[int] = Future(loop)
    seen: list[int] = []
    chained = first.then(seen.append)
    first.set_exception(ZeroDivisionError("oops"))
    with pytest.raises(ZeroDivisionError, match="oops"):
        chained.result(timeout=5)
    assert not seen
    second: Future[int] = Future(loop)
    broken = second.then(lambda number: 1 // number)
    second.set_result(0)
    with pytest.raises(ZeroDivisionError):
        broken.result(timeout=5)


def test_then_happens_though_nobody_keeps_its_future(loop: EventLoop) -> None:
    withdrawn: list[bool] = []
    seen: list[int] = []
    first: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(True))
    first.then(seen.append)
    finish = first.set_result
    gc.collect()
    loop.run_once()
    finish(7)
    loop.run_once()
    assert seen == [7] and not withdrawn


def test_to_cancel_what_follows_withdraws_what_it_waits_for(loop: EventLoop) -> None:
    withdrawn: list[int] = []
    first: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(1))
    chained = first.then(str)
    del first
    assert chained.cancel()
    gc.collect()
    loop.run_once()
    assert withdrawn == [1]
    third: Future[int] = Future(loop, withdraw=lambda: withdrawn.append(3))
    start: Future[int] = Future(loop)
    second = start.then(lambda _number: third)
    start.set_result(1)
    loop.run_once()
    second.cancel()
    del third, start, second
    gc.collect()
    loop.run_once()
    assert withdrawn == [1, 3]


def test_what_follows_is_cancelled_in_the_round_of_the_result(loop: EventLoop) -> None:
    first: Future[int] = Future(loop)
    seen: list[int] = []
    chained = first.then(seen.append)
    first.set_result(1)
    chained.cancel()
    loop.run_once()
    assert not seen


def test_a_cancelled_future_cancels_what_follows(loop: EventLoop) -> None:
    first: Future[int] = Future(loop)
    chained = first.then(str)
    first.cancel()
    with pytest.raises(CancelledError):
        chained.result(timeout=5)
