"""Uses the event loop as a program does; mypy is the test."""

from __future__ import annotations

import selectors
import signal
import socket

from typing_extensions import assert_type

from uds_dist import EventLoop, Future, LoopStatistics, Timer


def legacy(loop: EventLoop, future: Future[int]) -> None:
    assert_type(loop.run_once(), int)
    assert_type(loop.run_once(timeout=None), int)
    assert_type(loop.run_until(future, timeout=2), bool)
    assert_type(loop.run_until(lambda: True), bool)
    assert_type(loop.run_forever(), None)
    loop.stop()


def started(loop: EventLoop, sock: socket.socket) -> None:
    timer = loop.call_later(0.5, lambda: print("later"))
    assert_type(timer, Timer)
    timer.cancel()
    loop.call_soon(sock.close)
    loop.register(sock, selectors.EVENT_READ, lambda events: print(events))
    loop.register(0, selectors.EVENT_READ | selectors.EVENT_WRITE, print)
    loop.modify(sock, selectors.EVENT_WRITE)
    loop.unregister(sock)


def nested(loop: EventLoop) -> None:
    assert_type(loop.fileno(), int)
    assert_type(loop.next_timeout(), float | None)
    assert_type(loop.wakeup(), None)
    assert_type(loop.time(), float)
    assert_type(loop.statistics(), LoopStatistics)
    assert_type(loop.statistics().rounds, int)
    with loop.signal_ticks(interval=0.5, timer=signal.ITIMER_VIRTUAL):
        pass


def made() -> None:
    with EventLoop(selector=selectors.PollSelector(), clock=lambda: 0.0, on_error=print) as loop:
        assert_type(loop, EventLoop)


def mistakes(loop: EventLoop) -> None:
    EventLoop(None)  # type: ignore[call-arg]
    loop.call_later(print, 1)  # type: ignore[arg-type]
    loop.call_soon(1)  # type: ignore[arg-type]
    loop.run_until(True)  # type: ignore[arg-type]
    loop.register("socket", 1, print)  # type: ignore[arg-type]
