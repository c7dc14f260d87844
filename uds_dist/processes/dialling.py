"""Dialling other nodes: attempts, deadlines, and which one yields when two dial each other.

An attempt ends with a connection, or with a failure by the deadline at the latest; then everything
that waits gets the reason. A timer enforces the deadline, so nothing waits forever.

If two nodes dial each other at once, the attempt of the node with the greater name continues. The
other side answers its name with ok_simultaneous, and its own attempt is answered with nok; without
that answer, the peer that claims the name is another node. If a claim came first, this node waits
for it before it dials, for `CLAIM_PATIENCE`: two attempts that end each other would leave no
connection at all. That cannot happen later either: before a node proves itself on its own attempt,
it ends every claim of the same name, so it never accepts a claim that the other end might drop for
this attempt.

Source: Distribution Protocol, section "The Handshake in Detail".
"""

from __future__ import annotations

import socket

from uds_dist.errors import (
    CookieMismatchError,
    HandshakeError,
    HandshakeTimeoutError,
    LocalProtocolError,
    NodeNameError,
    SimultaneousConnectError,
    UdsDistError,
)
from uds_dist.processes.claims import Claims
from uds_dist.processes.future import Future
from uds_dist.processes.network import Network
from uds_dist.processes.remote_node import RemoteNode
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_table import Role
from uds_dist.protocol.node_names import split_node_name
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress

# Seconds to wait for the peer's own attempt before this node tries again.
AFTER_NOK = 0.1
# Seconds to wait for a peer to prove the name that it claims: it takes milliseconds.
CLAIM_PATIENCE = 0.5

# The error of an attempt that the other side broke off.
BROKEN_OFF = (HandshakeError, CookieMismatchError)


class Dialling:
    """The attempts of a node to connect to others.

    Args:
        network: this node among the others.
        claims: the names that callers claim.
    """

    def __init__(self, network: Network, claims: Claims) -> None:
        self._network = network
        self._loop = network.loop
        self._this = network.this
        self._nodes = network.nodes
        self._claims = claims

    def attempt(self, name: str) -> RemoteNode:
        """The record of a peer to which this node is connecting.

        Raises:
            NodeNameError: no other node can have this name.
            AddressError: no socket can have its address.
        """
        peer = self._nodes.get(name)
        if peer is None:
            split_node_name(name)
            if name == self._this.name and not self._this.dynamic:
                raise NodeNameError(f"{name} is this node itself")
            peer = RemoteNode(name)
        if not peer.connecting:
            addresses = self._network.places.addresses(name)  # an invalid one fails here, at once
            self._nodes[name] = peer
            try:
                self.start_waiting(peer)
                self.dial_if_free(peer, addresses)
            except BaseException:
                self._interrupted(peer)
                raise
        elif peer.deadline is not None and self._loop.time() > peer.deadline:
            # The program was busy when the timer was due, or an exception stopped the timer. Not
            # at once: what the caller adds to this record must be told, too.
            self._loop.call_soon(self._too_late, peer)
        return peer

    def _interrupted(self, peer: RemoteNode) -> None:
        """Start again: an exception interrupted an attempt halfway."""
        attempt, peer.attempt = peer.attempt, None
        if attempt is not None:
            attempt.fail(reasons.interrupted(peer.name, "connecting"))
        self._loop.call_soon(self.dial_if_free, peer)

    def dial_over(self, name: str, sock: socket.socket) -> Future[None]:
        """Connect to `name` through a non-blocking socket that is already connected.

        Returns:
            A future like that of `Peers.connect`.
        Raises:
            LocalProtocolError: there is a connection to it or an attempt under way.
        """
        if name in self._nodes:
            raise LocalProtocolError(f"{name} is connected or being connected to")
        split_node_name(name)
        future: Future[None] = Future(self._loop, f"the connection to {name}")
        peer = self._nodes[name] = RemoteNode(name)
        self.start_waiting(peer)
        peer.futures.append(future)
        self._dial(peer, (SocketAddress(f"a socket given for {name}", False),), sock)
        return future

    def _dial(
        self,
        peer: RemoteNode,
        addresses: tuple[SocketAddress, ...],
        sock: socket.socket | None = None,
    ) -> None:
        handshake = Handshake(
            Role.INITIATOR,
            self._this.name_to_send,
            self._this.creation,
            self._this.flags,
            cookie_for=self._this.cookie_for,
            expected=peer.name,
            still_connected=self._network.is_connected,
            before_proof=self._claims.end,
            outstanding=self._loop.challenges,
        )
        peer.attempt = self._network.connection(handshake, peer.name)
        peer.attempt.connect(addresses[0], sock, addresses[1:])

    def dial_if_free(
        self, peer: RemoteNode, addresses: tuple[SocketAddress, ...] | None = None
    ) -> None:
        """Dial if anything still waits and no attempt or claim is under way.

        Args:
            peer: the node to connect to.
            addresses: where it may listen, if the caller knows it.
        """
        if (
            not peer.connecting
            or peer.attempt is not None
            or peer.closing is not None
            or self._nodes.get(peer.name) is not peer
        ):
            return
        try:
            left = peer.patience - self._loop.time()
            if peer.name in self._claims and left > 0:
                self._loop.call_later(left, self.dial_if_free, peer)
            else:
                self._dial(peer, addresses or self._network.places.addresses(peer.name))
        except BaseException:
            self._interrupted(peer)
            raise

    def start_waiting(self, peer: RemoteNode) -> None:
        """Wait for a connection from now on, until a fixed deadline."""
        now, seconds = self._loop.time(), self._network.config.handshake_timeout
        peer.stop_waiting()
        peer.timer = self._loop.call_later(seconds, self._too_late, peer)
        peer.deadline = now + seconds  # after the timer: there is none without one
        peer.patience = now + self._claim_patience()
        peer.yielded = False

    def _claim_patience(self) -> float:
        return min(CLAIM_PATIENCE, self._network.config.handshake_timeout / 4)

    def _too_late(self, peer: RemoteNode) -> None:
        if peer.deadline is None or self._loop.time() < peer.deadline:
            return  # the timer belongs to a wait that an exception has ended
        peer.timer = None
        if peer.attempt is not None:
            peer.attempt.too_late()
        elif peer.connecting and peer.closing is None:  # `closing` has a timeout itself
            self._network.owner.no_connection(peer, self._refused_for_long(peer))

    def _refused_for_long(self, peer: RemoteNode) -> HandshakeTimeoutError:
        return HandshakeTimeoutError(
            f"{peer.name} refused this node's attempt in favour of its own, which did not come"
            f" within {self._network.config.handshake_timeout:g} s"
        )

    def failed(self, peer: RemoteNode, error: UdsDistError) -> None:
        """An attempt has failed: try again if the two nodes agreed on that."""
        assert peer.deadline is not None
        now = self._loop.time()
        if isinstance(error, SimultaneousConnectError):
            if now + AFTER_NOK < peer.deadline:
                self._loop.call_later(AFTER_NOK, self.dial_if_free, peer)
                return
            error = self._refused_for_long(peer)
        elif (
            type(error) in BROKEN_OFF
            and peer.name in self._claims
            and now < peer.deadline
            and not peer.yielded
        ):
            # The claim may be that node's, which has ended this attempt in favour of its own.
            peer.yielded = True
            peer.patience = now + self._claim_patience()
            self.dial_if_free(peer)
            return
        self._network.owner.no_connection(peer, error)

    def closing_ended(self, peer: RemoteNode) -> None:
        """This node has written everything: now the attempt can begin."""
        if peer.connecting:
            self.start_waiting(peer)
            self.dial_if_free(peer)
