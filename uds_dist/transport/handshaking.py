"""A connection's handshake on its socket: the session's steps, their time, and how they fail."""

from __future__ import annotations

from typing import Protocol

from uds_dist.errors import HandshakeError, NoConnectionError, ProtocolError, UdsDistError
from uds_dist.protocol.handshake_table import State
from uds_dist.protocol.session import Answer, Refused
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.parting import Parting, linger
from uds_dist.transport.phase import CONNECTING, HANDSHAKE


class Handshaker(Parting, Protocol):
    """A connection that is not up yet, as this module sees it."""

    name: str | None
    initiator: bool
    address: SocketAddress | None
    peer_uid: int | None
    error: UdsDistError | None

    def write(self, data: bytes) -> None: ...

    def handshake_done(self) -> None: ...

    def fail(self, error: UdsDistError) -> None: ...


def take_steps(connection: Handshaker) -> None:
    """Take the steps that the received bytes allow."""
    session = connection.session
    handshake = session.handshake
    while connection.phase is HANDSHAKE:
        try:
            event = session.next_event()
        except (HandshakeError, ProtocolError) as error:
            connection.fail(error)
            return
        if event is None:
            return
        if handshake is not None and handshake.peer is not None:
            connection.name = handshake.peer.name
        if isinstance(event, Answer):
            connection.write(event.data)
        elif isinstance(event, Refused):
            connection.error = event.error
            linger(connection)
        else:
            connection.handshake_done()


def too_late(connection: Handshaker) -> None:
    """End a handshake whose time is over."""
    if _awaits_proof(connection):
        connection.fail(reasons.no_proof(connection.name, "went silent"))
        return
    if connection.phase not in (CONNECTING, HANDSHAKE):
        return
    where = connection.session.state if connection.phase is HANDSHAKE else "connecting"
    seconds = connection.config.handshake_timeout
    connection.fail(reasons.too_late(connection.name, seconds, where))


def why_lost(connection: Handshaker, reason: str) -> NoConnectionError:
    """The error for the end of the stream, during the handshake or after it."""
    name = connection.name
    if connection.phase is not HANDSHAKE:
        return reasons.lost(name, reason)
    if _awaits_proof(connection):
        return reasons.no_proof(name, "closed the connection")
    uid = connection.peer_uid
    if uid is not None and not connection.bytes_in:
        assert connection.address is not None
        return reasons.unanswered(name, connection.address, reason, uid)
    if not connection.initiator and name is not None:
        return reasons.caller_left(name, reason)
    return reasons.broke_off(name, reason)


def _awaits_proof(connection: Handshaker) -> bool:
    handshake = connection.session.handshake
    return handshake is not None and handshake.state is State.RECV_CHALLENGE_ACK
