"""The end of a connection that closes in order: its last bytes, and the peer's.

A BEAM of OTP 29 that writes to a closed socket before it has read everything learns of the end only
at its next tick. If it reads the end first, all is well. So when everything is written, this side
shuts its half of the stream down and gives the peer a moment to read the rest and to close.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Protocol

from uds_dist.config import Config
from uds_dist.protocol.session import Session
from uds_dist.transport.backpressure import Held
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.phase import CLOSING, UP, Phase
from uds_dist.transport.timers import Timer
from uds_dist.transport.write_queue import WriteQueue, unread_bytes

# Seconds that a closing connection may take for its last bytes.
LINGER: Final = 2.0
# Seconds that a peer may take, after this side has closed, to read the last bytes or to close.
PARTING: Final = 0.1
# Seconds until the first check that the peer has read everything; each pause doubles.
PARTING_LOOK: Final = 0.001


class Parting(Protocol):
    """A connection that closes, as this module sees it."""

    loop: EventLoop
    config: Config
    phase: Phase
    sock: socket.socket | None
    session: Session
    write_queue: WriteQueue
    held: Held | None
    bytes_in: int
    parting: bool
    interest: int
    timer: Timer | None
    hang_up_timer: Timer | None
    tick_deadline: float | None

    def set_timer(self, seconds: float, callback: Callable[..., object], *args: object) -> None: ...

    def watch(self, interest: int) -> None: ...

    def flush(self) -> None: ...

    def call_waiters(self) -> None: ...

    def urgent_tick(self, now: float) -> None: ...

    def finish(self) -> None: ...


def linger(connection: Parting) -> None:
    """Close as soon as everything is written, or when that takes too long."""
    connection.parting = connection.phase is UP
    connection.phase = CLOSING
    connection.set_timer(LINGER, connection.finish)
    connection.flush()


def part(connection: Parting) -> None:
    """Everything is written: shut down this side, and give the peer a moment to close its own."""
    if not connection.parting:
        connection.finish()
        return
    connection.parting = False
    assert connection.sock is not None
    try:
        connection.sock.shutdown(socket.SHUT_WR)
    except OSError:
        connection.finish()
        return
    connection.watch(READ)
    end_when_read(connection, connection.loop.time() + PARTING, PARTING_LOOK)


def end_when_read(connection: Parting, deadline: float, pause: float) -> None:
    """End once the peer has read everything: a deployed carrier never closes its side."""
    assert connection.sock is not None
    unread = unread_bytes(connection.sock)
    left = deadline - connection.loop.time()
    if unread == 0 or left <= 0:
        connection.finish()
        return
    if unread is None or pause > left:
        pause = left
    connection.set_timer(pause, end_when_read, connection, deadline, 2 * pause)


def drop_what_comes(connection: Parting) -> None:
    """Read until the peer has closed its side too."""
    assert connection.sock is not None
    try:
        data = connection.sock.recv(connection.config.receive_size)
    except (BlockingIOError, InterruptedError):
        return
    except OSError:
        data = b""
    connection.bytes_in += len(data)
    if not data and not connection.write_queue.size:
        connection.finish()
    elif not data:
        connection.watch(connection.interest & ~READ)


def release(connection: Parting) -> None:
    """Release what a closed connection still holds; a second call has no effect."""
    if connection.timer is not None:
        connection.timer.cancel()
        connection.timer = None
    if connection.hang_up_timer is not None:
        connection.hang_up_timer.cancel()
        connection.hang_up_timer = None
    connection.tick_deadline = None
    connection.session.end_handshake()
    loop = connection.loop
    loop.urgent.discard(connection)
    if connection.sock is not None:
        if not loop.process.forked:
            try:
                loop.unregister(connection.sock)
            except (KeyError, ValueError):
                pass  # not watched at the moment, or done already
            _hang_up(connection.sock)
        connection.interest = 0
        connection.sock.close()
    connection.write_queue.clear()
    connection.session.backlog.clear()
    connection.session.reader.drop()
    connection.held = None
    if not loop.process.forked:
        connection.call_waiters()


def _hang_up(sock: socket.socket) -> None:
    """End the stream for the peer, even if another process still holds this side's socket."""
    # A forked child holds the socket too: its copy would keep the stream open, and the peer
    # waiting, after close.
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # not connected, or no longer
