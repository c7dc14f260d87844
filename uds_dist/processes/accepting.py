"""Incoming connections: the listening socket, and the answers to the names that peers claim.

A peer that dials this node only *claims* a name until it has proved the cookie, and anybody can
claim any name. A claim can neither end an attempt of this node nor delay it for long: see
`dialling`.

Source: Distribution Protocol, section "The Handshake in Detail".
"""

from __future__ import annotations

import secrets
import socket

from uds_dist.errors import ClosedError, ConfigError, LocalProtocolError, UdsDistError
from uds_dist.processes.claims import Claims
from uds_dist.processes.network import Network
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import Role
from uds_dist.transport.activation import inherited_socket
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.connection import Connection
from uds_dist.transport.folder import warn_of_folder
from uds_dist.transport.listener import Listener


class Accepting:
    """Accepts peers.

    Args:
        network: this node among the others.
    """

    def __init__(self, network: Network) -> None:
        self.claims = Claims(network.loop.time)
        self.listener: Listener | None = None
        self._network = network
        self._loop = network.loop
        self._this = network.this
        self._nodes = network.nodes
        self._closed = False

    @property
    def own_address(self) -> SocketAddress:
        """Where this node listens, or would listen."""
        return self._network.places.own.address(self._this.name)

    def listen(self, sock: socket.socket | None = None, *, inherit: bool = False) -> SocketAddress:
        """Open the listening socket, or take one; if the node already listens, check its file.

        Args:
            sock: a socket that listens already.
            inherit: take the socket that a service manager has opened.
        Raises:
            ConfigError: both were given.
        """
        if not inherit or self.listener is not None:
            return self._listen(sock)
        if sock is not None:
            raise ConfigError("listen takes one socket: give sock or inherit, not both")
        inherited = inherited_socket(self.own_address)
        try:
            return self._listen(inherited)
        except BaseException:
            inherited.close()
            raise

    def _listen(self, sock: socket.socket | None) -> SocketAddress:
        if self._closed:
            raise ClosedError(f"the node {self._this.name} is closed")
        if self._this.dynamic:
            raise LocalProtocolError("a node that asks its peer for a name cannot listen")
        if self.listener is not None:
            if sock is not None:
                listening = f"{self._this.name} already listens at {self.listener.address}"
                raise LocalProtocolError(listening)
            self.listener.check()
            return self.listener.address
        if sock is None and self._network.places.folder is not None:
            warn_of_folder(self._network.places.folder)
        self.listener = Listener(
            self._loop, self.own_address, self._network.config, self._accepted, sock
        )
        return self.listener.address

    def _accepted(self, accepted: socket.socket) -> None:
        assert self.listener is not None
        self.accept_over(accepted, self.listener.address)
        if len(self.claims) >= self._network.config.max_pending_handshakes:
            self.listener.hold_back()

    def accept_over(self, accepted: socket.socket, address: SocketAddress) -> None:
        """Wait for a peer's handshake on a non-blocking, connected socket."""
        handshake = Handshake(
            Role.ACCEPTOR,
            self._this.name,
            self._this.creation,
            self._this.flags,
            cookie_for=self._this.cookie_for,
            choose_status=lambda peer: self._choose_status(connection, peer),
            assign_name=self._assign_name,
            outstanding=self._loop.challenges,
        )
        connection = self._network.connection(handshake)
        self.claims.add(connection)
        connection.accept(accepted, address)

    def _choose_status(self, connection: Connection, peer: Peer) -> Status:
        """The status to send to a peer's name. Source: Distribution Protocol, "send_status"."""
        if peer.name == self._this.name or not self._this.admits(peer.name):
            return Status.NOT_ALLOWED
        known = self._nodes.get(peer.name)
        if known is not None and known.connection is not None:
            status = Status.ALIVE
        elif known is None or known.attempt is None:
            status = Status.OK
        elif peer.name > self._this.name:
            status = Status.OK_SIMULTANEOUS  # that peer answers this node's own attempt with nok
        else:
            return Status.NOK
        # A handshake of the same peer that is still pending is a leftover: it dials once at a time.
        self.claims.claim(connection, peer.name)
        return status

    def _assign_name(self, host: str) -> tuple[str, int]:
        """A name for a node that has none. Source: Distribution Protocol, flag NAME_ME."""
        while True:
            name = f"{secrets.token_hex(6).upper()}@{host}"
            if name not in self._nodes:
                return name, secrets.randbelow(2**32 - 4) + 4

    def handshake_over(self, connection: Connection) -> None:
        """A handshake has ended, successful or not: there is room for another one."""
        self.claims.over(connection)
        if (
            self.listener is not None
            and len(self.claims) < self._network.config.max_pending_handshakes
        ):
            self.listener.go_on()

    def close(self, error: UdsDistError) -> None:
        """Stop listening, and end handshakes without a proof of the cookie."""
        self._closed = True
        if self.listener is not None:
            self.listener.close()
        for connection in tuple(self.claims.incoming):
            connection.fail(error)
