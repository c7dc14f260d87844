"""The connections of a node to other nodes, and what is sent over them.

A peer is known from the first signal for it, or once it has proved the cookie. Signals for a peer
that is not connected start an attempt and wait for it, in order (`dialling`). A peer that dials
this node only claims a name until it has proved the cookie, which changes nothing here
(`accepting`).

The state of a peer is in the fields of its `RemoteNode`:

    connection   up
    attempt      this node dials
    closing      closed by this node, with bytes still to be written: the next attempt waits for
                 them, so that they do not arrive on a connection that the peer has given up
    deadline     set as long as somebody waits for a connection: when this node gives up

The tables are correct at any moment: a connection reports its end in the call in which it ends, and
the links and monitors on it fire there. Only the program's callbacks wait for the end of the round.

Source: Distribution Protocol, section "The Handshake in Detail".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from sys import maxsize

from uds_dist.config import Config
from uds_dist.errors import (
    AddressError,
    BusyError,
    ClosedError,
    NoConnectionError,
    NodeNameError,
    SimultaneousConnectError,
    UdsDistError,
)
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.processes.accepting import Accepting
from uds_dist.processes.dialect import dialect
from uds_dist.processes.dialling import Dialling
from uds_dist.processes.full_mailbox import FullMailboxes
from uds_dist.processes.future import Future
from uds_dist.processes.inboxes import SENT, NoInbox, Trace, TracedInbox, harmless
from uds_dist.processes.names import NODEDOWN, NODEUP, NOTSUP
from uds_dist.processes.network import Network
from uds_dist.processes.notices import Notices
from uds_dist.processes.process import Process
from uds_dist.processes.remote_node import RemoteNode
from uds_dist.processes.router import Inbox, Router
from uds_dist.processes.this_node import ThisNode
from uds_dist.protocol.control import NO_PAYLOAD, OPENS_CONNECTION, SPAWN_REPLY, SPAWN_REQUEST
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.handshake import Handshake
from uds_dist.transport import reasons
from uds_dist.transport.backpressure import Pressure, Source, Waiters
from uds_dist.transport.connection import Connection
from uds_dist.transport.credentials import peer_pid, peer_uid
from uds_dist.transport.listener import Listener
from uds_dist.transport.log_rate import BoundedLog
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)


class Peers:
    """The table of other nodes; the owner of every connection.

    Args:
        loop: the loop of all the sockets.
        config: the settings.
        this: this node's name, creation and cookies.
        open_inbox: starts the processes, as soon as this node has its name and creation.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        this: ThisNode,
        open_inbox: Callable[[Router, str, int], Inbox],
    ) -> None:
        self.config = config
        # Connections that have ended, until all links and monitors on them have fired.
        self._ends: dict[Connection, RemoteNode] = {}
        self.notices = Notices(loop)
        self.pressure = Pressure(self)
        network = Network(loop, config, this, self, self.pressure)
        self.nodes = network.nodes
        self.accepting = Accepting(network)
        self._claims = self.accepting.claims
        self.dialling = Dialling(network, self._claims)
        self._loop = loop
        self._this = this
        self._undelivered = BoundedLog(logger, loop.time)
        self._full_mailboxes = FullMailboxes(loop, config)
        self._closed = False
        self._high_water = config.write_high_water
        self._open_inbox = open_inbox
        self._trace: Trace | None = None
        self.inbox: Inbox = (
            NoInbox() if this.dynamic else open_inbox(self, this.name, this.creation)
        )

    def trace(self, trace: Trace) -> None:
        """Show each message to a function: those that come, and those sent to nodes coming up."""
        self._trace = harmless(trace, self._loop)
        self.inbox = TracedInbox(self.inbox, self._trace)

    # -- sending ---------------------------------------------------------------------------

    def route_message(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a program's message; BusyError when too much waits to be written."""
        peer = self.nodes.get(node)
        if peer is not None:
            connection = peer.connection
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

    def is_answer(self, control: tuple[object, ...]) -> bool:
        """Tell whether a control message of a peer is the answer to a call of this node."""
        return self.inbox.is_answer(control)

    def _check_busy(self, peer: RemoteNode, waiting: int) -> None:
        config = self.config
        connection = peer.connection
        # The peer's held requests must be served first: see `backpressure`.
        holds = connection is not None and connection.held is not None
        low = config.write_low_water
        peer.busy = holds or waiting > (low if peer.busy else config.write_high_water)
        if holds:
            raise BusyError(
                f"requests of {peer.name} wait for answers, and {waiting} bytes wait to be written"
                " to some node: run the loop, or call Node.flush(), and try again"
            )
        if peer.busy:
            raise BusyError(
                f"{waiting} bytes wait to be written to {peer.name}: run the loop until there are"
                f" no more than {low}, or call Node.flush(), and try again"
            )

    def begins_to_hold(self, source: Source) -> None:
        """A connection holds its peer's requests: the program's sends to it raise BusyError."""
        name = source.name if isinstance(source, Connection) else None
        peer = None if name is None else self.nodes.get(name)
        if peer is not None:
            peer.busy = True

    def full_queue(self, node: str) -> Waiters | None:
        """The waiters of a node's queue if it is above its high-water mark, else None."""
        peer = self.nodes.get(node)
        if peer is None:
            return None
        connection = peer.connection
        if connection is None:
            return peer.waiters if peer.size > self._high_water else None
        return connection.waiters if connection.write_queue.size > self._high_water else None

    def route(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a signal, now or when the connection is up; it is never refused.

        After this, a peer's requests are served only while the queue is not above its mark.
        """
        peer = self.nodes.get(node)
        if peer is not None:
            connection = peer.connection
            if connection is not None:
                self._write(peer, connection, control, payload)
                if connection.write_queue.size > self._high_water:
                    self.pressure.waiters = connection.waiters
                return
        self._queue(node, control, payload)

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
            # The payload is not sent, but it must still be a term.
            encode(payload, max_depth=self.config.max_term_depth, default=self.config.default)
        translated = translation(control, payload)
        if translated is not None:
            connection.send(*translated)
        elif op == SPAWN_REQUEST:
            reply = (SPAWN_REPLY, control[1], control[2], 0, NOTSUP)
            self._loop.call_soon(partial(self.inbox.received, peer.name, reply, NO_PAYLOAD))

    def _queue(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Queue a signal for the connection, and start connecting if necessary."""
        known = self.nodes.get(node)
        connecting = known is not None and known.connecting
        if self._closed or not (connecting or control[0] in OPENS_CONNECTION):
            return
        depth = self.config.max_term_depth
        # Encoded now, so that an invalid term fails here, at its sender, and later changes of a
        # value do not change the message. The bytes also take the least memory.
        default = self.config.default
        data = None
        if payload is not NO_PAYLOAD:
            data = encode(payload, max_depth=depth, default=default)
        encode(control, max_depth=depth, default=default)
        try:
            peer = self.dialling.attempt(node)
        except (NodeNameError, AddressError) as error:
            # The node counts as down, but only in the next round, like any other.
            self._loop.call_soon(partial(self._unreachable, node, NoConnectionError(str(error))))
            return
        peer.waiting.append((control, data))
        peer.size += 64 if data is None else len(data) + 64
        if peer.size > self._high_water:
            self.pressure.waiters = peer.waiters

    def _unreachable(self, node: str, error: UdsDistError) -> None:
        self.inbox.node_down(node, error)
        self.notices.tell_loss(node, error)

    # -- coming and going ------------------------------------------------------------------

    @property
    def listener(self) -> Listener | None:
        """The listening socket of this node, if it listens."""
        return self.accepting.listener

    def connect(self, name: str) -> Future[None]:
        """A future that is done when there is a connection to `name`, or there can be none."""
        future: Future[None] = Future(self._loop, f"the connection to {name}")
        if self._closed:
            future.set_exception(ClosedError(f"the node {self._this.name} is closed"))
            return future
        peer = self.nodes.get(name)
        if peer is not None and peer.connection is not None:
            future.set_result(None)
            return future
        try:
            self.dialling.attempt(name).futures.append(future)
        except (NodeNameError, AddressError) as error:
            future.set_exception(error)
        return future

    def disconnect(self, name: str) -> bool:
        """Close the connection to a node; False when there is none."""
        peer = self.nodes.get(name)
        if peer is None or peer.connection is None:
            return False
        self._part(peer, peer.connection)
        return True

    def _part(self, peer: RemoteNode, connection: Connection) -> None:
        connection.close()
        if peer.connection is connection:  # it has not ended: it has still to write
            peer.closing = connection
            self._lost(peer, connection)

    def close(self) -> None:
        """Stop listening and close every connection."""
        if self._closed:
            return
        self._closed = True
        error = ClosedError(f"the node {self._this.name} is closed")
        self.accepting.close(error)
        for peer in tuple(self.nodes.values()):
            attempt, peer.attempt = peer.attempt, None
            if attempt is not None:
                attempt.fail(error)
            waiting = peer.connecting
            self._give_up(peer, error)
            if peer.connection is not None:
                self._part(peer, peer.connection)
            elif waiting:
                self.inbox.node_down(peer.name, error)

    # -- the connection's events -----------------------------------------------------------

    # An exception of a signal handler may come anywhere here. What it leaves half done is started
    # again, or the connection ends with everything that waits for it.

    def connection_up(self, connection: Connection) -> None:
        """A handshake is done: this is the connection to that node from now on."""
        try:
            self._up(connection)
        except BaseException:
            connection.fail(reasons.interrupted(connection.name, "beginning"))
            raise

    def _up(self, connection: Connection) -> None:
        self.accepting.handshake_over(connection)
        name = connection.name
        handshake = connection.session.handshake
        assert name is not None and handshake is not None
        if connection.initiator and handshake.flags & Flag.NAME_ME:
            if not self._this.dynamic:
                # Two nodes were asked for a name at once. This one gave the second, and must learn
                # the first.
                connection.fail(SimultaneousConnectError("another node gave a name first"))
                return
            self._take_name(handshake)
        peer = self.nodes.get(name) or RemoteNode(name)
        old, attempt = peer.connection, peer.attempt
        if attempt is not None and attempt is not connection:
            peer.attempt = None
            attempt.fail(SimultaneousConnectError(f"the attempt of {name} took precedence"))
        if old is not None:
            # The peer has forgotten the old connection, for example after a restart.
            old.fail(NoConnectionError(f"{name} has replaced its connection"))
        self.nodes[name] = peer
        peer.dialect = dialect(handshake.effective_flags)
        if self._trace is not None:
            connection.session.watch_sent(partial(self._trace, SENT, name))
        peer.connection = connection
        peer.attempt = None
        peer.stop_waiting()
        for future in peer.futures:
            if not future.done():
                future.set_result(None)
        peer.futures = []
        for control, data in peer.waiting:
            self._write(peer, connection, control, self._payload(data))
        # The end of the round writes, and calls the waiters once the queue is low, perhaps at once.
        connection.waiters += peer.waiters
        if not peer.waiting:
            connection.call_waiters()
        peer.waiting, peer.size, peer.waiters = [], 0, []
        self.notices.tell(NODEUP, name, None)

    def _payload(self, data: bytes | None) -> object:
        if data is None:
            return NO_PAYLOAD
        depth = self.config.max_term_depth
        return decode(data, max_depth=depth, max_size=len(data), max_terms=maxsize)

    def _take_name(self, handshake: Handshake) -> None:
        self._this.take_name(handshake.name, handshake.creation)
        inbox = self._open_inbox(self, handshake.name, handshake.creation)
        self.inbox = inbox if self._trace is None else TracedInbox(inbox, self._trace)

    def connection_silent(self, connection: Connection) -> None:
        """A peer has said nothing for three quarters of the tick time."""
        assert connection.name is not None
        self.inbox.node_silent(connection.name)

    def connection_ended(self, connection: Connection) -> None:
        """A connection has just ended: nothing is sent over it any more."""
        peer = self._ends.get(connection) or self.nodes.get(connection.name or "")
        if peer is not None and (peer.connection is connection or connection in self._ends):
            self._lost(peer, connection)

    def connection_down(self, connection: Connection, error: UdsDistError) -> None:
        """A connection has ended, or an attempt has failed, in this round."""
        try:
            self.connection_ended(connection)  # normally done; an exception may have prevented it
            self._down(connection, error)
        except BaseException:
            self._loop.call_soon(self.connection_down, connection, error)
            raise

    def _down(self, connection: Connection, error: UdsDistError) -> None:
        self.accepting.handshake_over(connection)
        peer = self.nodes.get(connection.name or "")
        if peer is not None and peer.attempt is connection:
            peer.attempt = None
            try:
                self.dialling.failed(peer, error)
            except BaseException:
                if peer.attempt is None:
                    peer.attempt = connection  # `connection_down` does it once more
                raise
        elif peer is not None and peer.closing is connection:
            peer.closing = None
            self.dialling.closing_ended(peer)
            self._forget_if_idle(peer)
        elif not connection.session.is_up and not connection.initiator:
            if not self._closed:
                up = peer is not None and peer.connection is not None
                self._claims.failed(self._this.name, connection, error, up=up)
            if peer is not None:
                self.dialling.dial_if_free(peer)

    def _lost(self, peer: RemoteNode, connection: Connection) -> None:
        """A connection that was up has ended: all links and monitors on it fire."""
        self._ends[connection] = peer
        if peer.connection is connection:
            peer.connection = None
        error = connection.error or NoConnectionError(f"the connection to {peer.name} was lost")
        if peer.waiting or peer.futures:
            self._give_up(peer, error)  # what an exception prevented from being sent
        self._forget_if_idle(peer)
        self.inbox.node_down(peer.name, error)
        self.notices.tell(NODEDOWN, peer.name, error)
        self.notices.tell_loss(peer.name, error)
        self._ends.pop(connection, None)

    def no_connection(self, peer: RemoteNode, error: UdsDistError) -> None:
        """There is no connection to a node, and no attempt any more."""
        try:
            self._give_up(peer, error)
            self.inbox.node_down(peer.name, error)
            self.notices.tell_loss(peer.name, error)
        except BaseException:
            self._loop.call_soon(self.no_connection, peer, error)
            raise

    def _give_up(self, peer: RemoteNode, error: UdsDistError) -> None:
        """No connection and no attempt: tell everything that waits for one why."""
        peer.stop_waiting()
        for waiter in peer.waiters:
            self._loop.call_soon(waiter)
        peer.waiters = []
        self._forget_if_idle(peer)
        if peer.waiting:
            # At a bounded rate: a peer can make up names that no answer can be delivered to.
            text = "%s: %d signals could not be delivered: %s"
            self._undelivered.warning(text, peer.name, len(peer.waiting), error)
            peer.waiting, peer.size = [], 0
        for future in peer.futures:
            if not future.done():
                future.set_exception(error)
        peer.futures = []

    def _forget_if_idle(self, peer: RemoteNode) -> None:
        if peer.idle and self.nodes.get(peer.name) is peer:
            del self.nodes[peer.name]

    # -- lookups ---------------------------------------------------------------------------

    def hold_back(self, process: Process) -> None:
        """Stop reading from the peer whose message filled a mailbox until it is half empty."""
        connection = self.pressure.source
        if isinstance(connection, Connection):
            self._full_mailboxes.hold_back(connection, process)

    def credentials(self, node: str) -> tuple[int | None, int | None]:
        """The uid and the process id of a connected node, as far as the system tells them."""
        peer = self.nodes.get(node)
        sock = None if peer is None or peer.connection is None else peer.connection.sock
        return (None, None) if sock is None else (peer_uid(sock), peer_pid(sock))

    def up(self) -> list[str]:
        """The names of the connected nodes."""
        return [name for name, peer in self.nodes.items() if peer.connection is not None]
