"""Ticks that a signal handler sends while the program computes."""

from __future__ import annotations

import signal
import time

import pytest

from tests.inside import settle
from tests.transport.conftest import MakeNode
from tests.transport.support import Interrupted, received
from uds_dist import (
    ConfigError,
    EventLoop,
    Node,
)
from uds_dist.testing import FakeClock


def bytes_out(node: Node) -> int:
    return sum(connection.bytes_out for connection in node.statistics().connections)


@pytest.fixture
def ticking(make_node: MakeNode) -> tuple[FakeClock, Node, Node]:
    """Two connected nodes with a tick time of 60 s, on one loop whose clock stands still."""
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    settle(a.loop)
    clock = FakeClock(a.loop.time())
    loop = a.loop
    loop._clock = clock
    loop._parts = (loop._parts[0], clock, *loop._parts[2:])
    return clock, a, b


def test_signal_ticks_sends_what_is_due_while_the_program_computes(
    ticking: tuple[FakeClock, Node, Node],
) -> None:
    clock, a, b = ticking
    loop = a.loop
    with loop.signal_ticks(interval=1000):
        signal.raise_signal(signal.SIGALRM)
        assert received(b) == 0  # not due yet
        clock.advance(15)
        signal.raise_signal(signal.SIGALRM)
        assert received(b) == 4
        signal.raise_signal(signal.SIGALRM)
        assert received(b) == 4  # it was sent a moment ago
        clock.advance(15)
        signal.raise_signal(signal.SIGALRM)
        assert received(b) == 8
    loop.run_once()
    assert a.ping("b@test")


def test_signal_ticks_does_nothing_inside_run_once_nor_into_a_message(
    ticking: tuple[FakeClock, Node, Node],
) -> None:
    clock, a, b = ticking
    loop = a.loop
    with loop.signal_ticks(interval=1000):
        clock.advance(14.9)
        seen: list[int] = []

        def in_handler() -> None:
            clock.advance(0.2)
            signal.raise_signal(signal.SIGALRM)
            seen.append(received(b))

        loop.call_soon(in_handler)
        loop.run_once()
        assert seen == [0]
        loop.run_once()
        connection = a._peers.nodes["b@test"].connection
        assert connection is not None
        clock.advance(20)
        before = received(b)
        connection.write_queue.append(b"half a message")
        signal.raise_signal(signal.SIGALRM)
        assert received(b) == before
        connection.write_queue.clear()


@pytest.mark.parametrize(
    ("timer", "number"),
    [
        (signal.ITIMER_REAL, signal.SIGALRM),
        (signal.ITIMER_VIRTUAL, signal.SIGVTALRM),
        (signal.ITIMER_PROF, signal.SIGPROF),
    ],
)
def test_signal_ticks_gives_everything_back(loop: EventLoop, timer: int, number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        with loop.signal_ticks(interval=50, timer=timer):
            assert signal.getitimer(timer)[1] == 50
            with pytest.raises(ConfigError, match="in use"):
                with loop.signal_ticks(timer=timer):
                    pass
            assert signal.getitimer(timer)[1] == 50
            raise Interrupted
    assert signal.getitimer(timer) == (0.0, 0.0)
    assert signal.getsignal(number) == before
    for interval in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="interval"):
            with loop.signal_ticks(interval=interval):
                pass


def test_signal_ticks_ticks_in_real_time_between_bytecodes(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a", tick_time=0.08), make_node("b")
    assert a.ping("b@test")
    settle(loop)
    with loop.signal_ticks(interval=0.005):
        until = time.monotonic() + 5
        while received(b) < 12 and time.monotonic() < until:
            sum(range(1000))  # the program computes
    assert received(b) >= 12 and received(b) % 4 == 0
