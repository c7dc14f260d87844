"""A connection that does not read: how it still notices that its peer is gone.

A connection stops reading while a mailbox is full, or while it holds as many requests as it may. No
selector reports only a hang-up. So the connection sends a tick every quarter of a second, which
fails if the peer is gone; if the socket accepts nothing, it is watched for writing, which reports
the hang-up. A peer that has closed only its own half still accepts ticks: Linux is asked for that.

What the peer wrote before it was gone is still read and delivered, however long the program takes
for that, and so is what the connection holds.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final, Protocol

from uds_dist.errors import RemoteProtocolError, UdsDistError
from uds_dist.protocol.session import Session
from uds_dist.transport.backpressure import Held
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.parting import LINGER
from uds_dist.transport.phase import UP, Phase
from uds_dist.transport.timers import Timer

# Seconds between two checks that a peer we do not read from is still there.
HANG_UP_CHECK: Final = 0.25
# Bytes to read at most after the peer has closed: more than the system's buffers hold.
LAST_WORDS: Final = 16 * 1024 * 1024
# The event that the peer has closed its half of the stream; 0 where there is none.
HALF_CLOSED: Final[int] = getattr(select, "POLLRDHUP", 0)


class Reading(Protocol):
    """A connection that is up, as this module sees it."""

    loop: EventLoop
    phase: Phase
    sock: socket.socket | None
    session: Session
    interest: int
    paused: bool
    choked: bool
    held: Held | None
    ended: bool
    error: UdsDistError | None
    bytes_in: int
    hang_up_timer: Timer | None

    def watch(self, interest: int) -> None: ...

    def set_timer(self, seconds: float, callback: Callable[..., object], *args: object) -> None: ...

    def tick(self) -> None: ...

    def go_on(self) -> None: ...

    def flush(self) -> None: ...

    def fail(self, error: UdsDistError) -> None: ...


def fit_reading(connection: Reading) -> None:
    """Read if nothing prevents it; otherwise notice the peer's end by writing."""
    if not (connection.paused or connection.choked or connection.ended):
        connection.watch(connection.interest | READ)
        return
    connection.watch(connection.interest & ~READ)
    if connection.hang_up_timer is None and not connection.ended:
        connection.hang_up_timer = connection.loop.call_later(HANG_UP_CHECK, _look, connection)


def _look(connection: Reading) -> None:
    connection.hang_up_timer = None
    if connection.phase is UP and (connection.paused or connection.choked):
        connection.tick()
        if connection.ended or connection.phase is not UP:
            return
        if _is_half_closed(connection.sock):
            # What is left to read is bounded, and the end of the stream follows it.
            connection.watch(connection.interest | READ)
        else:
            fit_reading(connection)


def _is_half_closed(sock: socket.socket | None) -> bool:
    """Whether the peer writes no more, even if there are bytes to read before the end."""
    if sock is None or sock.fileno() < 0 or not HALF_CLOSED:
        return False  # the system does not tell, or the socket is not one of the system's
    poll = select.poll()
    poll.register(sock, HALF_CLOSED)
    return any(events & HALF_CLOSED for _, events in poll.poll(0))


def stream_ended(connection: Reading, error: UdsDistError) -> None:
    """The peer has closed, and everything was read: hand on what is held, and end."""
    if connection.held is None or connection.phase is not UP or connection.sock is None:
        connection.fail(error)
        return
    # From now on all writing fails, so that what is held no longer waits for room.
    try:
        connection.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other half is closed as well
    _end(connection, error)
    connection.flush()


def peer_gone(connection: Reading, error: UdsDistError, receive: Callable[[], int | None]) -> None:
    """Writing has failed: the peer is gone. Hand on its last messages, and end.

    Reads even if the connection is paused: what the system's buffers hold is bounded.

    Args:
        connection: one that is up.
        error: why it ends.
        receive: does one recv of it, and returns how many bytes came.
    """
    if connection.ended or connection.sock is None:
        return
    _end(connection, error)
    end = connection.bytes_in + LAST_WORDS
    try:
        while connection.bytes_in < end and receive():
            pass
    except (OSError, RemoteProtocolError):
        pass  # it ends in any case
    connection.loop.call_soon(connection.go_on)


def _end(connection: Reading, error: UdsDistError) -> None:
    """Read no more; `go_on` ends the connection once everything is handed on."""
    connection.ended = True
    connection.error = error
    connection.set_timer(LINGER, _continue, connection)
    fit_reading(connection)


def _continue(connection: Reading) -> None:
    """Hand on the rest; redundant unless an exception lost a call."""
    connection.set_timer(LINGER, _continue, connection)
    connection.loop.call_soon(connection.go_on)
