"""A connection that does not read: how it still notices that its peer is gone.

A connection stops reading while a mailbox is full, or while it holds as many requests as it may. No
selector reports only a hang-up. So the connection sends a tick every quarter of a second, which
fails if the peer is gone; if the socket accepts nothing, it is watched for writing, which reports
the hang-up. Bytes that the peer wrote before it was gone are still read and delivered.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Protocol

from uds_dist.errors import RemoteProtocolError, UdsDistError
from uds_dist.protocol.session import Session
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.parting import LINGER
from uds_dist.transport.phase import UP, Phase
from uds_dist.transport.timers import Timer

# Seconds between two checks that a peer we do not read from is still there.
HANG_UP_CHECK: Final = 0.25
# Bytes to read at most after the peer has closed: more than the system's buffers hold.
LAST_WORDS: Final = 16 * 1024 * 1024


class Reading(Protocol):
    """A connection that is up, as this module sees it."""

    loop: EventLoop
    phase: Phase
    sock: socket.socket | None
    session: Session
    interest: int
    paused: bool
    choked: bool
    ended: bool
    error: UdsDistError | None
    bytes_in: int
    hang_up_timer: Timer | None

    def watch(self, interest: int) -> None: ...

    def set_timer(self, seconds: float, callback: Callable[..., object], *args: object) -> None: ...

    def tick(self) -> None: ...

    def go_on(self) -> None: ...

    def finish(self) -> None: ...


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
        if not connection.ended and connection.phase is UP:
            fit_reading(connection)


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
    connection.ended = True
    connection.error = error
    connection.set_timer(LINGER, connection.finish)
    fit_reading(connection)
    end = connection.bytes_in + LAST_WORDS
    try:
        while connection.bytes_in < end and receive():
            pass
    except (OSError, RemoteProtocolError):
        pass  # it ends in any case
    connection.loop.call_soon(connection.go_on)
