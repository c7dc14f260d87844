"""When a connection sends ticks, and when it gives up a silent peer.

After a quarter of the tick time without a byte written, a tick is sent. A peer with a shorter tick
time would not wait that long, so whatever comes in is answered with a tick if nothing was sent for
a second. Silence alone proves nothing, since deployed carriers send no ticks at all: after three
silent quarters the owner is asked to provoke an answer, and one more silent quarter ends the
connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Protocol

from uds_dist.config import Config
from uds_dist.errors import UdsDistError
from uds_dist.protocol.framing import TICK
from uds_dist.protocol.session import Session
from uds_dist.transport import reasons
from uds_dist.transport.loop import EventLoop
from uds_dist.transport.phase import UP, Phase
from uds_dist.transport.sigpipe import NO_SIGPIPE
from uds_dist.transport.write_queue import WriteQueue

# Whatever comes in is answered with a tick if nothing was sent for this many seconds.
ANSWER_AFTER: Final = 1.0
SILENT_QUARTERS: Final = 3


class Ticking(Protocol):
    """A connection that is up, as this module sees it."""

    loop: EventLoop
    config: Config
    name: str | None
    phase: Phase
    session: Session
    sock: socket.socket | None
    write_queue: WriteQueue
    paused: bool
    choked: bool
    bytes_in: int
    bytes_out: int
    last_sent: float
    silent_quarters: int
    in_at_quarter: int
    out_at_quarter: int

    def set_timer(self, seconds: float, callback: Callable[..., object], *args: object) -> None: ...

    def go_on(self) -> None: ...

    def flush(self) -> None: ...

    def quarter(self) -> None: ...

    def provoke_answer(self) -> None: ...

    def fail(self, error: UdsDistError) -> None: ...


def start(connection: Ticking) -> None:
    """Begin the first quarter."""
    connection.in_at_quarter = connection.bytes_in
    connection.out_at_quarter = connection.bytes_out
    connection.last_sent = connection.loop.time()
    connection.set_timer(connection.config.tick_time / 4, connection.quarter)


def quarter(connection: Ticking) -> None:
    """A quarter of the tick time is over: tick if nothing was sent, check for silence."""
    if connection.phase is not UP:
        return
    tick_time = connection.config.tick_time
    connection.set_timer(tick_time / 4, connection.quarter)
    if connection.session.backlog:
        connection.loop.call_soon(connection.go_on)  # redundant unless an exception lost a call
    if connection.loop.now - connection.last_sent >= tick_time / 4 - 0.001:
        tick(connection)
    # A connection that does not read may still write: see `backpressure`.
    moved = connection.paused or (
        connection.choked and connection.bytes_out != connection.out_at_quarter
    )
    if connection.bytes_in != connection.in_at_quarter or moved:
        connection.in_at_quarter = connection.bytes_in
        connection.out_at_quarter = connection.bytes_out
        connection.silent_quarters = 0
        return
    connection.silent_quarters += 1
    if connection.silent_quarters > SILENT_QUARTERS:
        told = reasons.blocked if connection.choked else reasons.silent
        connection.fail(told(connection.name, tick_time))
    elif connection.silent_quarters == SILENT_QUARTERS and not connection.choked:
        connection.provoke_answer()


def tick(connection: Ticking) -> None:
    """Send a tick, or what waits to be written."""
    # Unwritten bytes count as a tick, and a tick before them would break a frame. Try them once
    # more, in case an exception kept them from being watched.
    if connection.phase is UP:
        if not connection.write_queue.size:
            connection.write_queue.append(TICK)
        connection.flush()


def urgent_tick(connection: Ticking, now: float) -> None:
    """Send a tick from a signal handler if none was sent for a quarter of the tick time."""
    # This may run between any two bytecodes: touch only a connection at rest, and leave the
    # queue alone, because the interrupted code may be about to read it.
    if connection.phase is not UP or connection.write_queue.size or connection.sock is None:
        return
    if now - connection.last_sent >= connection.config.tick_time / 4:
        connection.last_sent = now
        try:
            connection.sock.send(TICK, NO_SIGPIPE)
        except OSError:
            pass  # full: bytes are already under way; broken: the next read reports it
