"""The loop and the system: signals, many descriptors, none left, many cycles."""

from __future__ import annotations

import errno
import gc
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from tests.transport.conftest import MakeNode
from tests.transport.support import (
    Interrupted,
    alarm,
    in_child,
    interrupt,
    on_signal,
    open_descriptors,
)
from uds_dist import (
    ConnectFailedError,
    EventLoop,
    Node,
)
from uds_dist.testing import FakeClock, connect, fake_loop
from uds_dist.transport.connection import Connection
from uds_dist.transport.listener import PAUSE
from uds_dist.transport.log_rate import BURST
from uds_dist.transport.loop import READ

# --- signals --------------------------------------------------------------------------------------


def test_a_signal_during_a_wait_does_not_end_it(loop: EventLoop) -> None:
    seen: list[int] = []
    started = time.monotonic()
    with alarm(0.01, lambda: seen.append(1)):
        assert loop.run_once(0.05) == 0
    assert seen == [1]
    assert time.monotonic() - started >= 0.05
    assert loop.statistics().rounds == 1


def test_a_signal_handler_that_wakes_the_loop_ends_the_wait(loop: EventLoop) -> None:
    ran: list[str] = []

    def stop_the_program() -> None:
        loop.call_soon(lambda: ran.append("soon"))
        loop.wakeup()

    with alarm(0.01, stop_the_program):
        assert loop.run_until(lambda: bool(ran), timeout=30)
    assert loop.statistics().rounds <= 2


def test_a_signal_handler_that_raises_during_a_wait_loses_nothing(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a"), make_node("b")
    box = b.mailbox("box")
    assert a.ping("b@test")
    with alarm(0.01, interrupt), pytest.raises(Interrupted):
        loop.run_until(lambda: False, timeout=30)
    assert not loop.running
    for number in range(100):
        a.send(("box", "b@test"), number)
    assert [box.receive(timeout=5) for _ in range(100)] == list(range(100))


def test_a_signal_that_raises_in_handlers_loses_no_message(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a"), make_node("b")
    got: list[object] = []

    def on_message(message: object) -> None:
        got.append(message)
        if len(got) % 7 == 0:
            signal.raise_signal(signal.SIGUSR1)

    b.mailbox("box", on_message=on_message)
    assert a.ping("b@test")
    for number in range(500):
        a.send(("box", "b@test"), number)
    interrupted = 0
    with on_signal(interrupt):
        while len(got) < 500:
            try:
                assert loop.run_once(5)
            except Interrupted:
                interrupted += 1
    assert got == list(range(500))
    assert interrupted == 500 // 7


def test_control_c_in_a_handler_leaves_the_loop_usable(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a"), make_node("b")
    loop.on_error = lambda error: None  # even then
    b.mailbox("box", on_message=lambda message: signal.raise_signal(signal.SIGINT))
    box = b.mailbox("other")
    assert a.ping("b@test")
    a.send(("box", "b@test"), 1)
    a.send(("other", "b@test"), 2)
    with on_signal(lambda: (_ for _ in ()).throw(KeyboardInterrupt), signal.SIGINT):
        with pytest.raises(KeyboardInterrupt):
            loop.run_until(lambda: False, timeout=5)
    assert box.receive(timeout=5) == 2
    assert a.ping("b@test")


def test_re_entry_by_a_signal_handler_is_refused(loop: EventLoop) -> None:
    loop.call_soon(lambda: signal.raise_signal(signal.SIGUSR1))
    loop.on_error = None
    with on_signal(loop.run_once), pytest.raises(RuntimeError, match="running already"):
        loop.run_once()
    assert loop.run_once() == 0


# --- descriptors ----------------------------------------------------------------------------------


def test_descriptors_above_1023(
    loop: EventLoop, make_node: MakeNode
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"the hard limit of descriptors is {hard}")
    kind = type(loop._descriptors.selector)

    def child() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
        filler = [os.dup(0) for _ in range(1050)]
        assert max(filler) > 1023
        with EventLoop(selector=kind()) as high, EventLoop() as default:
            for own in (high, default):
                x = Node("x@test", loop=own, cookie="c", socket_dir=a.config.socket_dir)
                y = Node("y@test", loop=own, cookie="c", socket_dir=a.config.socket_dir)
                x.listen()
                assert y.ping("x@test")
                connection = y._peers.nodes["x@test"].connection
                assert connection is not None and connection.sock is not None
                assert connection.sock.fileno() > 1023
                x.close()
                y.close()
        return "reached"

    a = make_node("a")
    assert in_child(child) == "reached"


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Use up every descriptor of this process; only for a child."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    filler = []
    try:
        while True:
            filler.append(os.dup(0))
    except OSError:
        pass
    try:
        yield
    finally:
        for number in filler:
            os.close(number)


def test_no_descriptor_left_at_accept_pauses_and_resumes(
    loop: EventLoop, tmp_path: Path
) -> None:
    kind = type(loop._descriptors.selector)

    def child() -> object:
        clock = FakeClock()
        with EventLoop(selector=kind(), clock=clock) as own:
            node = Node("a@test", loop=own, cookie="c", socket_dir=str(tmp_path))
            node.listen()
            listener = node._peers.listener
            assert listener is not None
            with socket.socket(socket.AF_UNIX) as caller:
                with no_descriptors_left():
                    caller.connect(str(tmp_path / "a.sock"))
                    assert own.run_once() == 1
                    assert "paused" in repr(listener)
                    # No spin: the listener is not watched, and the wait is the pause's.
                    assert [own.run_once() for _ in range(5)] == [0] * 5
                    assert own.next_timeout() == pytest.approx(PAUSE)
                    clock.advance(PAUSE)
                    own.run_once()
                    assert own.run_once() == 1 and "paused" in repr(listener)
                clock.advance(PAUSE)
                own.run_once()
                assert own.run_once() == 1
                assert listener.accepted == 1 and "open" in repr(listener)
            node.close()
        return os.listdir(tmp_path)

    assert in_child(child) == []


def test_the_log_of_pauses_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def child() -> object:
        clock = FakeClock()
        with EventLoop(clock=clock) as own:
            node = Node("a@test", loop=own, cookie="c", socket_dir=str(tmp_path))
            node.listen()
            listener = node._peers.listener
            with socket.socket(socket.AF_UNIX) as caller, no_descriptors_left():
                caller.connect(str(tmp_path / "a.sock"))
                for _ in range(4 * BURST):
                    own.run_once()
                    assert "paused" in repr(listener)
                    clock.advance(PAUSE)
                    own.run_once()
            node.close()
        return [line for line in caplog.messages if "accepting" in line]

    told = f"accepting pauses for {PAUSE} s: {os.strerror(errno.EMFILE)}"
    assert in_child(child) == [f"{tmp_path}/a.sock: {told}"] * BURST


def test_a_listener_that_pauses_can_be_closed(loop: EventLoop, tmp_path: Path) -> None:
    def child() -> object:
        with EventLoop() as own:
            node = Node("a@test", loop=own, cookie="c", socket_dir=str(tmp_path))
            node.listen()
            with socket.socket(socket.AF_UNIX) as caller:
                with no_descriptors_left():
                    caller.connect(str(tmp_path / "a.sock"))
                    own.run_once()
                    node.close()
                own.run_once()
            return own.statistics().timers, own.statistics().descriptors, os.listdir(tmp_path)

    assert in_child(child) == (0, 0, [])


def test_no_descriptor_left_at_connect(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    kind = type(loop._descriptors.selector)

    def child() -> object:
        with EventLoop(selector=kind()) as own:
            x = Node("x@test", loop=own, cookie="c", socket_dir=a.config.socket_dir)
            y = Node("y@test", loop=own, cookie="c", socket_dir=a.config.socket_dir)
            y.listen()
            with no_descriptors_left():
                future = x.connect("y@test")
                error = future.exception(timeout=5)
                assert isinstance(error, ConnectFailedError)
                assert x.connect("y@test").exception(timeout=5) is not error
            assert x.ping("y@test")
            x.close()
            y.close()
        return str(error)

    assert "Too many open files" in str(in_child(child))


# --- cycles ---------------------------------------------------------------------------------------


def objects(*kinds: type) -> int:
    gc.collect()
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


def test_1000_cycles_of_open_and_close(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    box = b.mailbox("box")

    def cycle(number: int) -> None:
        a.send(("box", "b@test"), number)
        assert box.receive(timeout=5) == number
        a.disconnect("b@test")
        loop.run_until(lambda: not a.nodes() and not b.nodes(), timeout=5)

    for number in range(20):
        cycle(number)
    loop.run_once()
    descriptors, connections = open_descriptors(), objects(Connection)
    everything = len(gc.get_objects())
    before = loop.statistics()
    for number in range(1000):
        cycle(number)
    loop.run_once()
    after = loop.statistics()
    assert open_descriptors() == descriptors
    assert objects(Connection) == connections
    assert len(gc.get_objects()) < everything + 500
    assert after.descriptors == before.descriptors
    assert after.timers <= before.timers + 1
    # No spin: this many rounds do the work, and each of them does something.
    assert (after.rounds - before.rounds) / 1000 <= 12
    assert len(box) == 0
    assert loop.run_once() == 0


def test_1000_cycles_of_register_and_unregister(loop: EventLoop) -> None:
    descriptors = open_descriptors()
    seen: list[bytes] = []

    def note(sock: socket.socket, _events: int) -> None:
        seen.append(sock.recv(1))

    for _ in range(1000):
        left, right = socket.socketpair()
        loop.register(left, READ, partial(note, left))
        right.send(b"x")
        assert loop.run_once() == 1
        loop.unregister(left)
        left.close()
        right.close()
    assert len(seen) == 1000
    assert loop.statistics().rounds == 1000
    assert open_descriptors() == descriptors


def test_an_idle_loop_sleeps(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    loop.run_until(lambda: False, timeout=0.01)
    before = loop.statistics().rounds
    loop.run_until(lambda: False, timeout=0.1)
    assert loop.statistics().rounds - before <= 3


def test_a_connection_at_rest_is_woken_for_its_ticks_only() -> None:
    clock = FakeClock()
    with fake_loop(clock) as loop:
        a = Node("a@test", loop=loop, cookie="c")
        b = Node("b@test", loop=loop, cookie="c")
        connect(a, b)
        before = loop.statistics().rounds
        assert not loop.run_until(lambda: False, timeout=600)
        # In a quarter of the tick time each side ticks once and reads once.
        assert loop.statistics().rounds - before <= 4 * 4 * 10
        assert a.nodes() and b.nodes()
        a.close()
        b.close()
        loop.run_once()


def calls_of(function: Callable[[], object]) -> list[str]:
    """The functions that a function calls, C functions too."""
    names: list[str] = []

    def note(frame: FrameType, event: str, function: object) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)
        elif event == "c_call":
            names.append(getattr(function, "__name__", repr(function)))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return names[:-1]  # without the setprofile that ends it


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_an_idle_round_calls_select_and_the_clock_and_nothing_else(
    selector: selectors.BaseSelector, count: int
) -> None:
    # What it costs is in the benchmarks; that it does not grow with what is open can be counted.
    def clock() -> float:  # in Python: compiled, the loop's calls of C functions cannot be seen
        return 0.0

    loop = EventLoop(selector=selector, clock=clock)
    sockets = [socket.socketpair() for _ in range(min(count, 300))]
    for left, _ in sockets:
        loop.register(left, READ, lambda _: None)
    for number in range(count):
        loop.call_later(1000 + number, lambda: None)
    bare = calls_of(lambda: loop._descriptors.selector.select(0.0))
    assert calls_of(loop.run_once) == ["run_once", *bare[1:], "clock"]
    for left, right in sockets:
        loop.unregister(left)
        left.close()
        right.close()
    loop.close()


def test_select_is_not_used() -> None:
    # select(2) cannot watch a descriptor above 1023.
    with EventLoop() as loop:
        assert type(loop._descriptors.selector).__name__ != "SelectSelector"
