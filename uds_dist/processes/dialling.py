"""Dialling other nodes: attempts, their deadlines, and who gives way when two dial each other.

An attempt ends in one of two ways: there is a connection; or there is none by the deadline, or the
attempt failed before, and everything that waited hears why. A timer keeps the deadline, so nothing
waits for ever.

Two nodes that dial each other at once: the attempt of the node with the greater name goes on. The
other side answers its name with ok_simultaneous; its own attempt is answered with nok, and where it
is not, whoever claims that name is not that node. Where a claim was there first, this node waits
for it before it dials, for `CLAIM_PATIENCE`: two attempts that each end the other would leave no
connection at all. That cannot happen later either, because a node that proves itself on its own
attempt first ends every claim of the same name: it never accepts one that might be given up at the
other end for the attempt that it has just proved itself on.

Source: Distribution Protocol, section "The Handshake in Detail".
"""

from __future__ import annotations

import socket
from typing import Protocol

from uds_dist.config import Config
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
from uds_dist.processes.remote_node import RemoteNode
from uds_dist.processes.this_node import ThisNode
from uds_dist.protocol.handshake import Handshake, Role
from uds_dist.protocol.node_names import split_node_name
from uds_dist.transport import reasons
from uds_dist.transport.address import Places, SocketAddress
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.connection import Connection, ConnectionOwner
from uds_dist.transport.loop import EventLoop

# Seconds to wait for the peer's own attempt before this node tries again.
AFTER_NOK = 0.1
# Seconds to wait for a peer that has claimed its name to prove it: it takes milliseconds.
CLAIM_PATIENCE = 0.5

# What an attempt fails with that the other side has broken off.
BROKEN_OFF = (HandshakeError, CookieMismatchError)


class DiallingOwner(ConnectionOwner, Protocol):
    """What owns the connections that are dialled, and hears of those that cannot be had."""

    def no_connection(self, peer: RemoteNode, error: UdsDistError) -> None:
        """There is no connection to a node, and this one no longer tries."""


class Dialling:
    """The attempts of a node to connect to others.

    Args:
        loop: the loop of all the sockets.
        config: the settings.
        this: the node that dials.
        places: where others listen.
        nodes: what is known of other nodes, by name.
        claims: the names that callers claim.
        owner: of the connections.
        pressure: what the connections share.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        this: ThisNode,
        places: Places,
        nodes: dict[str, RemoteNode],
        claims: Claims,
        owner: DiallingOwner,
        pressure: Pressure,
    ) -> None:
        self._loop = loop
        self._config = config
        self._this = this
        self._places = places
        self._nodes = nodes
        self._claims = claims
        self._owner = owner
        self._pressure = pressure

    def attempt(self, name: str) -> RemoteNode:
        """The record of a peer to which an attempt to connect is under way.

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
            self._places.addresses(name)  # an address that cannot be fails here, at once
            self._nodes[name] = peer
            begun = False
            try:
                self.start_waiting(peer)
                self.dial_if_free(peer)
                begun = True
            finally:
                if not begun:
                    self._interrupted(peer)
        elif peer.deadline is not None and self._loop.time() > peer.deadline:
            self._too_late(peer)  # normally done; an exception may have prevented it
        return peer

    def _interrupted(self, peer: RemoteNode) -> None:
        """Begin again: an exception came where an attempt is neither under way nor over."""
        attempt, peer.attempt = peer.attempt, None
        if attempt is not None:
            attempt.fail(reasons.interrupted(peer.name, "connecting"))
        self._loop.call_soon(self.dial_if_free, peer)

    def dial_over(self, name: str, sock: socket.socket) -> Future[None]:
        """Connect to `name` through a non-blocking socket that leads there already.

        Returns:
            A future as that of `Peers.connect`.
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
            still_connected=self._is_connected,
            before_proof=self._claims.end,
            outstanding=self._loop.challenges,
        )
        peer.attempt = Connection(
            self._loop, self._config, self._owner, handshake, peer.name, self._pressure
        )
        peer.attempt.connect(addresses[0], sock, addresses[1:])

    def _is_connected(self, name: str) -> bool:
        peer = self._nodes.get(name)
        return peer is not None and peer.connection is not None

    def dial_if_free(self, peer: RemoteNode) -> None:
        """Dial if somebody still waits and nothing that is waited for is under way."""
        if (
            not peer.connecting
            or peer.attempt is not None
            or peer.closing is not None
            or self._nodes.get(peer.name) is not peer
        ):
            return
        begun = False
        try:
            left = peer.patience - self._loop.time()
            if peer.name in self._claims and left > 0:
                self._loop.call_later(left, self.dial_if_free, peer)
            else:
                self._dial(peer, self._places.addresses(peer.name))
            begun = True
        finally:
            if not begun:
                self._interrupted(peer)

    def start_waiting(self, peer: RemoteNode) -> None:
        """From now on somebody waits for a connection; until a time that nothing puts off."""
        now, seconds = self._loop.time(), self._config.handshake_timeout
        peer.stop_waiting()
        peer.timer = self._loop.call_later(seconds, self._too_late, peer)
        peer.deadline = now + seconds  # after the timer: there is none without one
        peer.patience = now + self._claim_patience()
        peer.yielded = False

    def _claim_patience(self) -> float:
        return min(CLAIM_PATIENCE, self._config.handshake_timeout / 4)

    def _too_late(self, peer: RemoteNode) -> None:
        if peer.deadline is None or self._loop.time() < peer.deadline:
            return  # the timer is of a wait that an exception has ended
        peer.timer = None
        if peer.attempt is not None:
            peer.attempt.too_late()
        elif peer.connecting and peer.closing is None:  # that has an end of its own
            self._owner.no_connection(peer, self._refused_for_long(peer))

    def _refused_for_long(self, peer: RemoteNode) -> HandshakeTimeoutError:
        return HandshakeTimeoutError(
            f"{peer.name} refused this node's attempt for its own, which did not come within"
            f" {self._config.handshake_timeout:g} s"
        )

    def failed(self, peer: RemoteNode, error: UdsDistError) -> None:
        """An attempt has failed: try again, if that is what the two nodes have agreed on."""
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
            # The claim may be that node's, which has ended this attempt for its own.
            peer.yielded = True
            peer.patience = now + self._claim_patience()
            self.dial_if_free(peer)
            return
        self._owner.no_connection(peer, error)

    def closing_ended(self, peer: RemoteNode) -> None:
        """What this node had still to write is written: now the attempt can begin."""
        if peer.connecting:
            self.start_waiting(peer)
            self.dial_if_free(peer)
