"""The connections of a node to other nodes: made on demand, accepted, watched, given up.

A peer is known from the first signal for it, or when it has proved the cookie. Signals for a peer
that is not connected start an attempt and wait for it, in their order. An attempt ends in one of
two ways: there is a connection; or there is none by the deadline, or the attempt failed before, and
everything that waited hears why. A timer keeps the deadline, so nothing waits for ever.

What is going on with a peer is in the fields of its `RemoteNode`:

    connection   up
    attempt      this node dials
    closing      closed by this node, with bytes still to be written: the next attempt waits for
                 them, so that they do not arrive on a connection that the peer has given up
    deadline     set as long as somebody waits for a connection: the end of this node's patience

Who dials this node *claims* a name until it has proved the cookie, and anybody can claim any name.
A claim changes nothing in these fields: it cannot end an attempt of this node, nor keep it waiting
for long.

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

import fnmatch
import logging
import secrets
import socket
from collections.abc import Callable
from functools import partial
from sys import maxsize

from uds_dist.config import Config
from uds_dist.errors import (
    AddressError,
    Busy,
    ClosedError,
    CookieMismatchError,
    HandshakeError,
    HandshakeTimeoutError,
    LocalProtocolError,
    NoConnection,
    NodeNameError,
    SimultaneousConnectError,
    UdsDistError,
)
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom
from uds_dist.processes.claims import Claims
from uds_dist.processes.dialect import dialect
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.remote_node import PeerStatistics, RemoteNode
from uds_dist.protocol.control import (
    NO_PAYLOAD,
    OPENS_CONNECTION,
    SPAWN_REPLY,
    SPAWN_REQUEST,
)
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.handshake import Handshake, Role
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.node_names import split_node_name
from uds_dist.transport.address import SocketAddress, places
from uds_dist.transport.backpressure import Pressure, Source, Waiters
from uds_dist.transport.connection import UP, Connection, Phase
from uds_dist.transport.credentials import peer_pid, peer_uid
from uds_dist.transport.folder import warn_of_folder
from uds_dist.transport.listener import Listener
from uds_dist.transport.log_rate import BoundedLog
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)

NODEUP = Atom("nodeup")
NODEDOWN = Atom("nodedown")
NOTSUP = Atom("notsup")

# Seconds to wait for the peer's own attempt before this node tries again.
AFTER_NOK = 0.1
# Seconds to wait for a peer that has claimed its name to prove it: it takes milliseconds.
CLAIM_PATIENCE = 0.5
# Seconds between two looks at a full mailbox whose peer is not read from.
FULL_CHECK = 0.02

# What an attempt fails with that the other side has broken off.
BROKEN_OFF = (HandshakeError, CookieMismatchError)

Notice = Callable[[str, str, "UdsDistError | None"], object]
# What acts on a message: (node, control message, payload or NO_PAYLOAD).
Received = Callable[[str, tuple[object, ...], object], None]


class Peers:
    """The table of other nodes; the owner of every connection.

    Args:
        loop: the loop of all the sockets.
        config: the settings.
        name: this node's full name, or with `dynamic` only its host part.
        creation: this node's creation.
        cookie: this node's cookie.
        node_down: fires what was tied to a node.
        silent: provokes an answer from a node that has said nothing for long.
        named: told the name and creation that a peer has given this node.
        dynamic: ask the first peer for a name.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        name: str,
        creation: int,
        cookie: str,
        *,
        node_down: Callable[[str, UdsDistError], None],
        silent: Callable[[str], None],
        named: Callable[[str, int], None],
        dynamic: bool = False,
    ) -> None:
        self.name = name
        self.creation = creation
        self.config = config
        self.places = places(config)
        self.cookie = cookie
        self.cookies: dict[str, str] = {}
        self.allowed: list[str] | None = None
        self.nodes: dict[str, RemoteNode] = {}
        self.notices: list[Notice] = []  # of nodes that come, and go again
        self.losses: list[Callable[[str, UdsDistError], object]] = []  # attempts among them
        self.listener: Listener | None = None
        self.dynamic = dynamic
        self._loop = loop
        self._received: Received = _unreceived
        self._node_down = node_down
        self._silent = silent
        self._named = named
        self._claims = Claims(loop.time)
        self._undelivered = BoundedLog(logger, loop.time)
        self._closed = False
        self.pressure = Pressure()
        self.pressure.on_hold = self._holds
        self.pressure.full_queue = self._full_queue
        self._high_water = config.write_high_water

    def hand_to(self, received: Received) -> None:
        """Say what acts on the messages of peers from now on."""
        self._received = received

    # -- identity --------------------------------------------------------------------------

    def cookie_for(self, name: str) -> str:
        """The cookie that goes with a peer."""
        return self.cookies.get(name, self.cookie)

    def _flags(self) -> int:
        flags = default_flags(self.config)
        return flags | Flag.NAME_ME if self.dynamic else flags

    def _is_allowed(self, name: str) -> bool:
        if self.allowed is None:
            return True
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.allowed)

    # -- sending ---------------------------------------------------------------------------

    def route_message(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a program's message; Busy when too much waits to be written."""
        peer = self.nodes.get(node)
        if peer is not None:
            connection = peer.connection
            if connection is not None and connection.phase is not UP:
                connection = self._living(peer)
            waiting = peer.size if connection is None else connection.write_queue.size
            if waiting or peer.busy:
                self._check_busy(peer, waiting)
            if connection is not None:
                if control[0] in peer.dialect:
                    self._write(peer, connection, control, payload)
                else:
                    connection.send(control, payload)
                return
        self._queue(node, control, payload)

    def _check_busy(self, peer: RemoteNode, waiting: int) -> None:
        config = self.config
        connection = peer.connection
        # What is held of the peer's requests is to be served first: see `backpressure`.
        holds = connection is not None and connection.held is not None
        low = config.write_low_water
        peer.busy = holds or waiting > (low if peer.busy else config.write_high_water)
        if holds:
            raise Busy(
                f"{peer.name} is still to be answered, and {waiting} bytes wait to be written to"
                " some node: run the loop, or call Node.flush(), and try again"
            )
        if peer.busy:
            raise Busy(
                f"{waiting} bytes wait to be written to {peer.name}: run the loop until there are"
                f" no more than {low}, or call Node.flush(), and try again"
            )

    def _holds(self, source: Source) -> None:
        """A connection holds what its peer asks: the program's own sends to it are busy."""
        name = source.name if isinstance(source, Connection) else None
        peer = None if name is None else self.nodes.get(name)
        if peer is not None:
            peer.busy = True

    def _full_queue(self, node: str) -> Waiters | None:
        """The waiters of a node's queue, if that is above its high-water mark."""
        peer = self.nodes.get(node)
        if peer is None:
            return None
        connection = peer.connection
        if connection is None:
            return peer.waiters if peer.size > self._high_water else None
        return connection.waiters if connection.write_queue.size > self._high_water else None

    def route(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a signal, now or when the connection is up; it is never refused.

        What a peer asks for is served on only when the queue is not above its mark.
        """
        peer = self.nodes.get(node)
        if peer is not None:
            connection = self._living(peer)
            if connection is not None:
                self._write(peer, connection, control, payload)
                if connection.write_queue.size > self._high_water:
                    self.pressure.waiters = connection.waiters
                return
        self._queue(node, control, payload)

    def refresh(self, node: str) -> None:
        """Take the connection to a node off the books if it has ended in this round."""
        peer = self.nodes.get(node)
        if peer is not None:
            self._living(peer)

    def _living(self, peer: RemoteNode) -> Connection | None:
        """A peer's connection; one that has ended in this round is taken off the books first."""
        connection = peer.connection
        if connection is not None and connection.phase is not UP:
            self._lost(peer, connection)
            return None
        return connection

    def _write(
        self,
        peer: RemoteNode,
        connection: Connection,
        control: tuple[object, ...],
        payload: object,
    ) -> None:
        op = control[0]
        translation = peer.dialect.get(op) if isinstance(op, int) else None
        if translation is None:
            connection.send(control, payload)
            return
        if payload is not NO_PAYLOAD:
            # What the peer is not sent must be a term all the same.
            encode(payload, max_depth=self.config.max_term_depth)
        translated = translation(control, payload)
        if translated is not None:
            connection.send(*translated)
        elif op == SPAWN_REQUEST:
            reply = (SPAWN_REPLY, control[1], control[2], 0, NOTSUP)
            self._loop.call_soon(partial(self._received, peer.name, reply, NO_PAYLOAD))

    def _queue(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Have a signal wait for the connection, and see to it that there will be one."""
        known = self.nodes.get(node)
        connecting = known is not None and known.connecting
        if self._closed or not (connecting or control[0] in OPENS_CONNECTION):
            return
        depth = self.config.max_term_depth
        # Encoded now, so that a term that has no encoding fails here, at its sender, and what is
        # changed afterwards is not changed in the message; and kept so, which takes least memory.
        data = None if payload is NO_PAYLOAD else encode(payload, max_depth=depth)
        encode(control, max_depth=depth)
        try:
            peer = self._attempt(node)
        except (NodeNameError, AddressError) as error:
            # Down like any other, in the next round.
            self._loop.call_soon(partial(self._unreachable, node, NoConnection(str(error))))
            return
        peer.waiting.append((control, data))
        peer.size += 64 if data is None else len(data) + 64
        if peer.size > self._high_water:
            self.pressure.waiters = peer.waiters

    def _unreachable(self, node: str, error: UdsDistError) -> None:
        self._node_down(node, error)
        self._tell_loss(node, error)

    # -- connecting ------------------------------------------------------------------------

    def connect(self, name: str) -> Future[None]:
        """A future that is done when there is a connection to `name`, or there can be none."""
        future: Future[None] = Future(self._loop, f"the connection to {name}")
        if self._closed:
            future.set_exception(ClosedError(f"the node {self.name} is closed"))
            return future
        peer = self.nodes.get(name)
        if peer is not None and self._living(peer) is not None:
            future.set_result(None)
            return future
        try:
            self._attempt(name).futures.append(future)
        except (NodeNameError, AddressError) as error:
            future.set_exception(error)
        return future

    def _attempt(self, name: str) -> RemoteNode:
        """The record of a peer to which an attempt to connect is under way."""
        peer = self.nodes.get(name)
        if peer is None:
            split_node_name(name)
            if name == self.name and not self.dynamic:
                raise NodeNameError(f"{name} is this node itself")
            peer = RemoteNode(name)
        if not peer.connecting:
            self.places.addresses(name)  # an address that cannot be fails here, at once
            self.nodes[name] = peer
            self._start_waiting(peer)
            self._dial_if_free(peer)
        return peer

    def dial_over(self, name: str, sock: socket.socket) -> Future[None]:
        """Connect to `name` through a non-blocking socket that leads there already.

        Returns:
            A future as that of `connect`.
        Raises:
            LocalProtocolError: there is a connection to it or an attempt under way.
        """
        if name in self.nodes:
            raise LocalProtocolError(f"{name} is connected or being connected to")
        split_node_name(name)
        future: Future[None] = Future(self._loop, f"the connection to {name}")
        peer = self.nodes[name] = RemoteNode(name)
        self._start_waiting(peer)
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
            split_node_name(self.name)[1] if self.dynamic else self.name,
            self.creation,
            self._flags(),
            cookie_for=self.cookie_for,
            expected=peer.name,
            still_connected=self._is_connected,
            before_proof=self._claims.end,
            outstanding=self._loop.challenges,
        )
        peer.attempt = Connection(
            self._loop, self.config, self, handshake, peer.name, self.pressure
        )
        peer.attempt.connect(addresses[0], sock, addresses[1:])

    def _is_connected(self, name: str) -> bool:
        peer = self.nodes.get(name)
        return peer is not None and self._living(peer) is not None

    def _dial_if_free(self, peer: RemoteNode) -> None:
        """Dial if somebody still waits and nothing that is waited for is under way."""
        if (
            not peer.connecting
            or peer.attempt is not None
            or peer.closing is not None
            or self.nodes.get(peer.name) is not peer
        ):
            return
        left = peer.patience - self._loop.time()
        if peer.name in self._claims and left > 0:
            self._loop.call_later(left, self._dial_if_free, peer)
        else:
            self._dial(peer, self.places.addresses(peer.name))

    def _start_waiting(self, peer: RemoteNode) -> None:
        """From now on somebody waits for a connection; until a time that nothing puts off."""
        now, seconds = self._loop.time(), self.config.handshake_timeout
        self._stop_waiting(peer)
        peer.deadline = now + seconds
        peer.timer = self._loop.call_later(seconds, self._too_late, peer)
        peer.patience = now + self._claim_patience()
        peer.yielded = False

    def _claim_patience(self) -> float:
        return min(CLAIM_PATIENCE, self.config.handshake_timeout / 4)

    def _stop_waiting(self, peer: RemoteNode) -> None:
        peer.deadline = None
        if peer.timer is not None:
            peer.timer.cancel()
            peer.timer = None

    def _too_late(self, peer: RemoteNode) -> None:
        peer.timer = None
        if peer.attempt is not None:
            peer.attempt.too_late()
        elif peer.connecting and peer.closing is None:  # that has an end of its own
            self._attempt_over(peer, self._refused_for_long(peer))

    def _refused_for_long(self, peer: RemoteNode) -> HandshakeTimeoutError:
        return HandshakeTimeoutError(
            f"{peer.name} refused this node's attempt for its own, which did not come within"
            f" {self.config.handshake_timeout:g} s"
        )

    def _closing_ended(self, peer: RemoteNode) -> None:
        """What this node had still to write is written: now it is the turn of the attempt."""
        if peer.connecting:
            self._start_waiting(peer)
            self._dial_if_free(peer)
        self._forget_if_idle(peer)

    def _forget_if_idle(self, peer: RemoteNode) -> None:
        if peer.idle and self.nodes.get(peer.name) is peer:
            del self.nodes[peer.name]

    # -- accepting -------------------------------------------------------------------------

    def listen(self, sock: socket.socket | None = None) -> SocketAddress:
        """Open the listening socket, or take one; of a node that listens, look after its file."""
        if self._closed:
            raise ClosedError(f"the node {self.name} is closed")
        if self.dynamic:
            raise LocalProtocolError("a node that asks its peer for a name cannot listen")
        if self.listener is not None:
            if sock is not None:
                raise LocalProtocolError(f"{self.name} listens already at {self.listener.address}")
            self.listener.check()
            return self.listener.address
        if sock is None and self.places.folder is not None:
            warn_of_folder(self.places.folder)
        address = self.places.own.address(self.name)
        self.listener = Listener(self._loop, address, self.config, self._accepted, sock)
        return self.listener.address

    def _accepted(self, accepted: socket.socket) -> None:
        assert self.listener is not None
        self.accept_over(accepted, self.listener.address)
        if len(self._claims) >= self.config.max_pending_handshakes:
            self.listener.hold_back()

    def _handshake_over(self, connection: Connection) -> None:
        self._claims.over(connection)
        if self.listener is not None and len(self._claims) < self.config.max_pending_handshakes:
            self.listener.go_on()

    def accept_over(self, accepted: socket.socket, address: SocketAddress) -> None:
        """Wait for a peer's handshake on a non-blocking socket that it has connected."""
        handshake = Handshake(
            Role.ACCEPTOR,
            self.name,
            self.creation,
            self._flags(),
            cookie_for=self.cookie_for,
            choose_status=lambda peer: self._choose_status(connection, peer),
            assign_name=self._assign_name,
            outstanding=self._loop.challenges,
        )
        connection = Connection(
            self._loop, self.config, self, handshake, pressure=self.pressure
        )
        self._claims.add(connection)
        connection.accept(accepted, address)

    def _choose_status(self, connection: Connection, peer: Peer) -> Status:
        """What to answer to a peer's name. Source: Distribution Protocol, "send_status"."""
        if peer.name == self.name or not self._is_allowed(peer.name):
            return Status.NOT_ALLOWED
        known = self.nodes.get(peer.name)
        if known is not None and self._living(known) is not None:
            status = Status.ALIVE
        elif known is None or known.attempt is None:
            status = Status.OK
        elif peer.name > self.name:
            status = Status.OK_SIMULTANEOUS  # to this node's own attempt that peer answers nok
        else:
            return Status.NOK
        # A handshake of the same peer that is still pending is a leftover: it dials once at a time.
        self._claims.claim(connection, peer.name)
        return status

    def _assign_name(self, host: str) -> tuple[str, int]:
        """A name for a node that has none. Source: Distribution Protocol, flag NAME_ME."""
        while True:
            name = f"{secrets.token_hex(6).upper()}@{host}"
            if name not in self.nodes:
                return name, secrets.randbelow(2**32 - 4) + 4

    # -- the connection's events -----------------------------------------------------------

    def connection_up(self, connection: Connection) -> None:
        """A handshake is done: this is the connection to that node from now on."""
        self._handshake_over(connection)
        name = connection.name
        handshake = connection.handshake
        assert name is not None and handshake is not None
        if connection.initiator and handshake.flags & Flag.NAME_ME:
            if not self.dynamic:
                # Two nodes were asked for a name at once. This one has given the second, and is
                # to learn the first.
                connection.fail(SimultaneousConnectError("another node gave a name first"))
                return
            self._take_name(handshake)
        peer = self.nodes.get(name)
        if peer is None:
            peer = self.nodes[name] = RemoteNode(name)
        old, attempt = self._living(peer), peer.attempt
        peer.attempt = None
        if attempt is not None and attempt is not connection:
            attempt.fail(SimultaneousConnectError(f"the attempt of {name} went first"))
        if old is not None:
            # The peer has forgotten the old connection, as it does when it was started anew.
            old.fail(NoConnection(f"{name} has replaced its connection"))
            self._lost(peer, old)
        self.nodes[name] = peer
        peer.connection = connection
        peer.dialect = dialect(handshake.effective_flags)
        self._stop_waiting(peer)
        waiting, peer.waiting, peer.size = peer.waiting, [], 0
        futures, peer.futures = peer.futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)
        for control, data in waiting:
            self._write(peer, connection, control, self._payload(data))
        # The round's end writes, and calls them when the queue is low, which it may be already.
        waiters, peer.waiters = peer.waiters, []
        connection.waiters += waiters
        if not waiting:
            connection.call_waiters()
        self._tell(NODEUP, name, None)

    def _payload(self, data: bytes | None) -> object:
        if data is None:
            return NO_PAYLOAD
        depth = self.config.max_term_depth
        return decode(data, max_depth=depth, max_size=len(data), max_terms=maxsize)

    def _take_name(self, handshake: Handshake) -> None:
        self.dynamic = False
        self.name = handshake.name
        self.creation = handshake.creation
        self._named(self.name, self.creation)

    def connection_message(
        self, connection: Connection, control: tuple[object, ...], payload: object
    ) -> None:
        """A message has come."""
        name = connection.name
        assert name is not None
        self._received(name, control, payload)

    def connection_silent(self, connection: Connection) -> None:
        """A peer has said nothing for three quarters of the tick time."""
        assert connection.name is not None
        self._silent(connection.name)

    def connection_down(self, connection: Connection, error: UdsDistError) -> None:
        """A connection has ended, or an attempt has failed."""
        self._handshake_over(connection)
        peer = self.nodes.get(connection.name or "")
        if peer is not None and peer.connection is connection:
            self._lost(peer, connection)
        elif peer is not None and peer.attempt is connection:
            peer.attempt = None
            self._attempt_failed(peer, error)
        elif peer is not None and peer.closing is connection:
            peer.closing = None
            self._closing_ended(peer)
        elif connection.decoder is None and not connection.initiator:
            if not self._closed:
                up = peer is not None and peer.connection is not None
                self._claims.failed(self.name, connection, error, up=up)
            if peer is not None:
                self._dial_if_free(peer)

    def _lost(self, peer: RemoteNode, connection: Connection) -> None:
        """A connection that was up has ended: everything that was tied to it fires."""
        peer.connection = None
        if connection.phase is Phase.CLOSING:
            peer.closing = connection
        self._forget_if_idle(peer)
        error = connection.error or NoConnection(f"the connection to {peer.name} was lost")
        self._node_down(peer.name, error)
        self._tell(NODEDOWN, peer.name, error)
        self._tell_loss(peer.name, error)

    def _attempt_failed(self, peer: RemoteNode, error: UdsDistError) -> None:
        assert peer.deadline is not None
        now = self._loop.time()
        if isinstance(error, SimultaneousConnectError):
            if now + AFTER_NOK < peer.deadline:
                self._loop.call_later(AFTER_NOK, self._dial_if_free, peer)
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
            self._dial_if_free(peer)
            return
        self._attempt_over(peer, error)

    def _attempt_over(self, peer: RemoteNode, error: UdsDistError) -> None:
        self._give_up(peer, error)
        self._node_down(peer.name, error)
        self._tell_loss(peer.name, error)

    def _give_up(self, peer: RemoteNode, error: UdsDistError) -> None:
        """No connection, and none under way: whoever waits for one hears why."""
        self._stop_waiting(peer)
        futures, peer.futures = peer.futures, []
        lost, peer.waiting, peer.size = len(peer.waiting), [], 0
        waiters, peer.waiters = peer.waiters, []
        for waiter in waiters:
            self._loop.call_soon(waiter)
        self._forget_if_idle(peer)
        if lost:
            # At a bounded rate: an answer to a name that a peer has made up cannot be delivered.
            text = "%s: %d signals could not be delivered: %s"
            self._undelivered.warning(text, peer.name, lost, error)
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def _tell(self, event: Atom, name: str, error: UdsDistError | None) -> None:
        # At the round's end, before any message of the peer and after every one; and each by
        # itself: one that raises must not keep the news from the others.
        for notice in self.notices:
            self._loop.call_at_round_end(partial(notice, event, name, error))

    def _tell_loss(self, name: str, error: UdsDistError) -> None:
        for notice in self.losses:
            self._loop.call_at_round_end(partial(notice, name, error))

    # -- a full mailbox --------------------------------------------------------------------

    def hold_back(self, process: Mailbox) -> None:
        """Read no more from the peer whose message has filled a mailbox until it is half empty."""
        connection = self.pressure.source
        if not isinstance(connection, Connection) or connection.paused:
            return
        logger.warning(
            "%s: the mailbox %s holds %d messages, about %d bytes:"
            " nothing is read until it is half empty",
            connection.name,
            process.name or process.pid,
            len(process),
            process.size,
        )
        connection.pause()
        config = self.config
        held_back = connection

        def look() -> None:
            if held_back.phase is UP:
                half_empty = (
                    len(process) <= config.max_mailbox_length // 2
                    and process.size <= config.max_mailbox_size // 2
                )
                if process.alive and not half_empty:
                    self._loop.call_later(FULL_CHECK, look)
                else:
                    held_back.resume()

        self._loop.call_later(FULL_CHECK, look)

    def credentials(self, node: str) -> tuple[int | None, int | None]:
        """The uid and the process id of a connected node, as far as the system tells them."""
        peer = self.nodes.get(node)
        sock = None if peer is None or peer.connection is None else peer.connection.sock
        return (None, None) if sock is None else (peer_uid(sock), peer_pid(sock))

    # -- looking and leaving ---------------------------------------------------------------

    def up(self) -> list[str]:
        """The names of the connected nodes."""
        return [
            name
            for name, peer in self.nodes.items()
            if peer.connection is not None and peer.connection.phase is Phase.UP
        ]

    def flushed(self) -> Callable[[], bool]:
        """What tells whether everything is written; made for one wait, to be asked many times.

        It looks again at the peer that it found unwritten the last time, and only then at others.
        """
        unwritten: list[RemoteNode] = []

        def is_flushed() -> bool:
            while unwritten and _is_written(unwritten[-1]):
                unwritten.pop()
            if not unwritten:
                unwritten.extend(peer for peer in self.nodes.values() if not _is_written(peer))
            return not unwritten

        return is_flushed

    def unwritten(self) -> int:
        """How many bytes wait to be written, for connections or to the sockets."""
        return sum(
            peer.size if peer.connection is None else peer.connection.write_queue.size
            for peer in self.nodes.values()
        )

    def parted(self) -> Callable[[], bool]:
        """What tells whether all connections that this node has closed are closed by the peers too.

        Made for one wait, like `flushed`.
        """
        parting: list[RemoteNode] = []

        def are_parted() -> bool:
            while parting and parting[-1].closing is None:
                parting.pop()
            if not parting:
                parting.extend(peer for peer in self.nodes.values() if peer.closing is not None)
            return not parting

        return are_parted

    def disconnect(self, name: str) -> bool:
        """Close the connection to a node; False when there is none."""
        peer = self.nodes.get(name)
        connection = None if peer is None else self._living(peer)
        if peer is None or connection is None:
            return False
        connection.close()
        self._lost(peer, connection)
        return True

    def statistics(self) -> list[PeerStatistics]:
        """A snapshot of each connection's counters."""
        return [
            PeerStatistics(
                name=peer.name,
                phase=connection.phase.value,
                initiator=connection.initiator,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                messages_in=connection.messages_in,
                messages_out=connection.messages_out,
                unwritten=connection.write_queue.size,
            )
            for peer in self.nodes.values()
            if (connection := peer.connection or peer.attempt) is not None
        ]

    def close(self) -> None:
        """Stop listening and close every connection."""
        if self._closed:
            return
        self._closed = True
        if self.listener is not None:
            self.listener.close()
        error = ClosedError(f"the node {self.name} is closed")
        for connection in tuple(self._claims.incoming):
            connection.fail(error)
        for peer in tuple(self.nodes.values()):
            attempt, peer.attempt = peer.attempt, None
            if attempt is not None:
                attempt.fail(error)
            waiting = peer.connecting
            self._give_up(peer, error)
            living = self._living(peer)
            if living is not None:
                living.close()
                self._lost(peer, living)
            elif waiting:
                self._node_down(peer.name, error)


def _is_written(peer: RemoteNode) -> bool:
    """True when a program may send to a peer whatever the write marks are."""
    connection = peer.connection
    if connection is None:
        return not peer.size
    return connection.phase is not UP or not (
        connection.write_queue.size or connection.held is not None
    )


def _unreceived(_node: str, _control: tuple[object, ...], _payload: object) -> None:
    """Nobody is here yet: this node has no name."""
