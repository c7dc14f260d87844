"""From an address to a connected socket: which address, when to try again, and who listens there.

A Unix socket's connect succeeds or fails at once. If the listener's backlog is full, it fails with
EAGAIN; the attempt is not queued, and the socket does not become ready later. So it is repeated
after a pause, until the handshake's time is over.
"""

from __future__ import annotations

import errno
import socket
from typing import Protocol

from uds_dist.config import Config
from uds_dist.errors import UdsDistError
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.credentials import may_dial, peer_uid
from uds_dist.transport.loop import WRITE, EventLoop
from uds_dist.transport.phase import CONNECTING, Phase

# Seconds between two attempts to connect while the other side's backlog is full: the first pause,
# and the longest.
BACKLOG_RETRY = (0.002, 0.05)


class Caller(Protocol):
    """A connection that dials, as this module sees it."""

    loop: EventLoop
    config: Config
    name: str | None
    phase: Phase
    address: SocketAddress | None
    addresses: tuple[SocketAddress, ...]
    peer_uid: int | None

    def watch(self, interest: int) -> None: ...

    def begin_handshake(self) -> None: ...

    def fail(self, error: UdsDistError) -> None: ...


def connect(caller: Caller, sock: socket.socket, pause: float = BACKLOG_RETRY[0]) -> None:
    """Connect to the first of the caller's addresses that has a listener.

    Args:
        caller: what dials.
        sock: its socket, not connected.
        pause: seconds until the next attempt if the backlog is full.
    """
    if caller.phase is not CONNECTING:
        return
    error = knock(caller, sock)
    if error == 0:
        _connected(caller, sock)
    elif error == errno.EAGAIN:
        caller.loop.call_later(pause, connect, caller, sock, min(pause * 2, BACKLOG_RETRY[1]))
    elif error == errno.EINPROGRESS:
        caller.watch(WRITE)
    else:
        caller.fail(reasons.connect_failed(caller.name, caller.addresses, error))


def knock(caller: Caller, sock: socket.socket) -> int:
    """Connect to the first address with a listener; return errno, or 0.

    Afterwards the caller's addresses are the ones that errno is about.
    """
    dead: SocketAddress | None = None
    for address in caller.addresses:
        error = sock.connect_ex(address.value)
        if error == errno.ECONNREFUSED and dead is None:
            dead = address
        elif error not in (errno.ENOENT, errno.ECONNREFUSED):
            caller.address = address
            caller.addresses = (address,)
            return error
    if dead is None:
        return errno.ENOENT
    caller.address = dead
    caller.addresses = (dead,)
    return errno.ECONNREFUSED


def finish(caller: Caller, sock: socket.socket) -> None:
    """The socket is ready: it is connected, or the attempt has failed."""
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        caller.fail(reasons.connect_failed(caller.name, caller.addresses, error))
    else:
        _connected(caller, sock)


def _connected(caller: Caller, sock: socket.socket) -> None:
    assert caller.address is not None
    caller.peer_uid = peer_uid(sock)
    if may_dial(caller.peer_uid, caller.address, caller.config):
        caller.begin_handshake()
    else:
        caller.fail(reasons.listener_refused(caller.peer_uid, caller.address))
