"""Test helpers for programs that use uds_dist: a clock set by hand, and sockets in memory.

Nothing here waits for real time or touches the file system. A tick time, a timeout or a peer that
hangs for a minute is tested in a millisecond, with the same result in every run:

    from uds_dist import Node
    from uds_dist.testing import FakeClock, connect, fake_loop

    def test_a_peer_that_hangs_is_disconnected() -> None:
        clock = FakeClock()
        with fake_loop(clock) as loop:
            ours = Node("ours@test", loop=loop, cookie="secret")
            theirs = Node("theirs@test", loop=loop, cookie="secret")
            wire = connect(ours, theirs)         # a real handshake, in memory
            wire.mute()                          # from now on neither side receives a byte
            assert loop.run_until(lambda: not ours.nodes(), timeout=120)
            assert clock() > 60                  # fake seconds: the test did not wait
            ours.close()
            theirs.close()

The loop is an ordinary EventLoop with another selector. `MemorySelector` watches in-memory sockets
and real descriptors. When nothing is ready it does not wait: it advances the clock by the time that
it was allowed to wait. So an answer from another process or thread may seem hours late; for such a
test use an ordinary loop, and node sockets in a temporary folder.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Mapping
from typing import cast

from uds_dist.errors import ConfigError
from uds_dist.node import Node
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.loop import EventLoop

# How many bytes an in-memory socket holds for its reader before its writer must wait.
CAPACITY = 64 * 1024
# Seconds of fake time after which a wait counts as endless.
PATIENCE = 7 * 24 * 3600.0


class FakeClock:
    """A monotonic clock that moves only when told to.

    Args:
        start: its first value, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def __call__(self) -> float:
        """The time in seconds, as `time.monotonic` gives it."""
        return self._now

    def __repr__(self) -> str:
        return f"<FakeClock {self._now:.3f}>"

    def advance(self, seconds: float) -> None:
        """Move the clock on; timers that expire by then run in the loop's next round.

        Args:
            seconds: 0 or more.
        Raises:
            ValueError: less than 0; a monotonic clock does not go back.
        """
        if seconds < 0:
            raise ValueError(f"seconds is {seconds}: a monotonic clock does not go back")
        self._now += seconds


class MemorySocket:
    """One end of a stream in memory, with the socket methods that a connection uses.

    Made in pairs by `memory_pair`. Only a loop with a `MemorySelector` can watch it.
    """

    def __init__(self, capacity: int, chunk: int | None) -> None:
        self._capacity = capacity
        self._chunk = chunk
        self._unread = bytearray()
        self._peer: MemorySocket | None = None
        self._closed = False
        self._ended = False  # this side is shut down for writing
        self._deaf = False  # this side is shut down for reading
        self.muted = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "muted" if self.muted else "open"
        return f"<MemorySocket {state} unread={len(self._unread)}>"

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """Accept False: it never blocks."""
        if flag:
            raise ValueError("an in-memory socket cannot block")

    def getsockopt(self, _level: int, _option: int) -> int:
        """0, which is SO_ERROR's value for no error."""
        return 0

    def setsockopt(self, _level: int, _option: int, _value: int) -> None:
        """Accept any option; the capacity does not change."""

    def shutdown(self, how: int) -> None:
        """Stop sending; with SHUT_RDWR stop receiving too.

        Args:
            how: socket.SHUT_WR or socket.SHUT_RDWR.
        """
        self._ended = True
        if how == socket.SHUT_RDWR:
            self._unread.clear()
            self._deaf = True

    @property
    def readable(self) -> bool:
        """True when `recv_into` would not raise BlockingIOError."""
        return bool(self._unread) or self._deaf or (self._at_end and not self.muted)

    @property
    def writable(self) -> bool:
        """True when `send` would not raise BlockingIOError."""
        return self._broken or self._room() > 0

    @property
    def _at_end(self) -> bool:
        return self._peer is None or self._peer._closed or self._peer._ended

    @property
    def _broken(self) -> bool:
        return self._ended or self._peer is None or self._peer._closed or self._peer._deaf

    def _room(self) -> int:
        if self._peer is None or self._peer.muted:
            return self._capacity
        return self._capacity - len(self._peer._unread)

    def send(self, data: bytes | bytearray | memoryview, _flags: int = 0) -> int:
        """Write as many bytes as there is room for.

        Returns:
            How many bytes were written.
        Raises:
            BlockingIOError: there is no room.
            BrokenPipeError: the other end is closed.
        """
        self._check_open()
        if self._peer is None or self._broken:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        room = self._room()
        if not room:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        taken = bytes(memoryview(data)[: min(room, self._chunk or room)])
        if not self._peer.muted:
            self._peer._unread += taken
        return len(taken)

    def sendmsg(
        self, buffers: list[bytes | memoryview], _ancillary: tuple[()] = (), _flags: int = 0
    ) -> int:
        """Write several buffers as one; see `send`."""
        return self.send(b"".join(buffers))

    def recv(self, size: int) -> bytes:
        """Read the available bytes, at most `size`.

        Returns:
            The bytes; empty when the other end is closed and everything is read.
        Raises:
            BlockingIOError: nothing is available yet.
        """
        self._check_open()
        if not self.readable:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        found = bytes(self._unread[: min(size, self._chunk or size)])
        del self._unread[: len(found)]
        return found

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        """Read into a buffer; see `recv`. Returns how many bytes were read."""
        found = self.recv(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def close(self) -> None:
        """Close this end; the other reads what was written, then the end of the stream."""
        self._closed = True
        self._unread.clear()


def memory_pair(
    capacity: int = CAPACITY, chunk: int | None = None
) -> tuple[MemorySocket, MemorySocket]:
    """Two in-memory sockets, each the other's peer.

    Args:
        capacity: bytes that each holds for its reader before the writer must wait.
        chunk: bytes that one send or receive moves at most; None for no limit.
    """
    first, second = MemorySocket(capacity, chunk), MemorySocket(capacity, chunk)
    first._peer, second._peer = second, first
    return first, second


class MemorySelector(selectors.BaseSelector):
    """Watches in-memory sockets and real descriptors; advances a clock instead of waiting.

    Args:
        clock: the clock of the loop that uses this selector.
        patience: seconds that waits may advance the clock, in total.
    """

    def __init__(self, clock: FakeClock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._memory: dict[MemorySocket, selectors.SelectorKey] = {}
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        """Watch an in-memory socket or a real descriptor."""
        if not isinstance(fileobj, MemorySocket):
            return self._real.register(cast(int, fileobj), events, data)
        if fileobj in self._memory:
            raise KeyError(f"{fileobj!r} is already registered")
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        self._memory[fileobj] = key = selectors.SelectorKey(cast(int, fileobj), -1, events, data)
        return key

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        """Stop watching a socket or descriptor."""
        if isinstance(fileobj, MemorySocket):
            return self._memory.pop(fileobj)
        return self._real.unregister(cast(int, fileobj))

    def modify(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        """Change the events that a socket or descriptor is watched for."""
        if not isinstance(fileobj, MemorySocket):
            return self._real.modify(cast(int, fileobj), events, data)
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now; if nothing is, advance the clock by `timeout`.

        Raises:
            TimeoutError: the patience is used up; what the test waits for will not happen.
        """
        ready = self._real.select(0)
        for fileobj, key in self._memory.items():
            events = selectors.EVENT_READ * fileobj.readable
            events |= selectors.EVENT_WRITE * fileobj.writable
            if events & key.events:
                ready.append((key, events & key.events))
        if not ready and timeout != 0:
            self._pass(self._patience if timeout is None else max(timeout, 0.0))
        return ready

    def _pass(self, seconds: float) -> None:
        self._patience -= seconds
        if self._patience <= 0:
            raise TimeoutError(
                "the patience is used up: what the test waits for will not happen"
                " (give a longer test a larger patience)"
            )
        self._clock.advance(seconds)

    def get_key(self, fileobj: object) -> selectors.SelectorKey:
        """The registration of a socket or descriptor."""
        if isinstance(fileobj, MemorySocket):
            return self._memory[fileobj]
        return self._real.get_key(cast(int, fileobj))

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:  # type: ignore[override]
        """All registrations."""
        found: dict[object, selectors.SelectorKey] = {}
        found.update((key.fd, key) for key in self._real.get_map().values())
        found.update((fileobj, key) for fileobj, key in self._memory.items())
        return found

    def close(self) -> None:
        """Forget everything and close the real selector."""
        self._memory.clear()
        self._real.close()


def fake_loop(clock: FakeClock | None = None, patience: float = PATIENCE) -> EventLoop:
    """An event loop in fake time, for nodes that `connect` connects.

    Args:
        clock: the clock; by default a new one.
        patience: seconds of fake time that waits may take, in total; a longer wait raises
            TimeoutError.
    Returns:
        A loop that never waits.
    """
    clock = FakeClock() if clock is None else clock
    return EventLoop(selector=MemorySelector(clock, patience), clock=clock)


class Wire:
    """An in-memory connection that a test can break."""

    def __init__(self, ends: tuple[MemorySocket, MemorySocket]) -> None:
        self.ends = ends

    def mute(self) -> None:
        """Drop every byte, as if both peers hung; neither side sees an error."""
        for end in self.ends:
            end.muted = True

    def unmute(self) -> None:
        """Carry bytes again; bytes written while it was muted are lost."""
        for end in self.ends:
            end.muted = False

    def cut(self) -> None:
        """Break the connection: both ends read the bytes in transit, then the end of the stream."""
        first, second = self.ends
        first._peer = second._peer = None


def connect(
    initiator: Node, acceptor: Node, capacity: int = CAPACITY, chunk: int | None = None
) -> Wire:
    """Connect two nodes through memory, with the same handshake as over a socket.

    Args:
        initiator, acceptor: nodes on the same `fake_loop`; neither needs to listen.
        capacity: bytes in transit before a writer must wait, each way.
        chunk: bytes that one send or receive moves at most; None for no limit.
    Returns:
        The wire between them, once both are connected.
    Raises:
        ConfigError: the nodes are not on one loop.
        NoConnectionError: the handshake failed; its subclass says why.
    """
    if initiator.loop is not acceptor.loop:
        raise ConfigError("the nodes are on different loops: give both the same fake_loop()")
    ends = memory_pair(capacity, chunk)
    outgoing, incoming = (cast(socket.socket, end) for end in ends)
    address = SocketAddress(f"{initiator.name} to {acceptor.name}, in memory", False)
    acceptor._peers.accepting.accept_over(incoming, address)
    initiator._peers.dialling.dial_over(acceptor.name, outgoing).result()
    initiator.loop.run_until(lambda: initiator.name in acceptor.nodes())
    return Wire(ends)
