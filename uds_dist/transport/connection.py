"""One connection to one node, from connect or accept to its close.

A Connection moves bytes; the protocol package gives the bytes their meaning, and the owner acts on
them. Its state is in plain fields, and `repr` shows them. Its rarer work is in separate modules,
which act on those fields:

    connecting    from an address to a connected socket        CONNECTING
    handshaking   the steps of the handshake, and their time   HANDSHAKE
    ticks         own ticks, and a peer's silence              UP
    holding       requests that wait while answers pile up     UP
    hang_up       a peer that closes while nothing is read     UP
    parting       the last bytes                               CLOSING

Writing. A message that the program sends outside the loop is written at once, so a program that
computes for a while afterwards does not delay it. Inside a round, messages wait for the round's end
and leave together: one `sendmsg` of many buffers. Inside `Node.batch` they wait for its end, or for
the end of a round if the loop runs before that. What the socket does not take stays in
`write_queue`, and only then is the descriptor watched for writing.

Signals. A signal handler of the program may raise anywhere, even between a recv and the line that
stores its bytes. If that may have lost, doubled or torn bytes, the connection ends, as if the
network had broken it; nothing is ever patched up. In the code below a local `torn` is true while an
exception would leave such a state.

Time. One timer serves first the handshake's deadline, then the ticks, then the end.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Protocol

from uds_dist.config import Config
from uds_dist.errors import NoConnectionError, RemoteProtocolError, UdsDistError
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.session import Session
from uds_dist.transport import connecting, handshaking, hang_up, holding, parting, reasons, ticks
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.backpressure import Held, Pressure, Waiters
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.loop import CLOSED as LOOP_CLOSED
from uds_dist.transport.loop import IDLE, READ, WRITE, EventLoop
from uds_dist.transport.ownership import refusal
from uds_dist.transport.phase import CLOSED, CLOSING, CONNECTING, HANDSHAKE, UP
from uds_dist.transport.receive_size import FIRST_RECEIVE, size_after
from uds_dist.transport.sigpipe import suppress_sigpipe
from uds_dist.transport.timers import Timer
from uds_dist.transport.write_queue import WriteQueue

logger = logging.getLogger(__name__)

# Not a plain None: compiled, a field that was once set to that is taken for None from then on.
_NO_WAITERS: Waiters | None = None


class Inbox(Protocol):
    """Acts on the messages of peers."""

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Act on a control message of a peer, with its payload or NO_PAYLOAD."""


class ConnectionOwner(Protocol):
    """The owner of a connection, called always from inside `run_once`."""

    @property
    def inbox(self) -> Inbox:
        """Receives the connection's messages."""

    def connection_up(self, connection: Connection) -> None:
        """The handshake is done."""

    def connection_silent(self, connection: Connection) -> None:
        """Nothing has come for three quarters of the tick time: provoke an answer."""

    def connection_ended(self, connection: Connection) -> None:
        """The connection has just been closed; its `error` says why. Must not raise."""

    def connection_down(self, connection: Connection, error: UdsDistError) -> None:
        """The round in which the connection was closed ends. This is the last call."""


class Connection:
    """A socket, the protocol on it, its unread and its unwritten bytes.

    Args:
        loop: the loop that watches the socket.
        config: sizes and times.
        owner: receives messages and changes.
        handshake: this side's part of the handshake, not begun.
        name: the peer's node name where it is known already.
        pressure: shared by the connections of a node.
    """

    __slots__ = (
        "address", "addresses", "bytes_in", "bytes_out", "choked", "config", "ended", "error",
        "hang_up_timer", "held", "in_at_quarter", "initiator", "interest", "last_sent", "loop",
        "messages_in", "messages_out", "name", "out_at_quarter", "owner", "parting", "passed_over",
        "paused", "peer_uid", "phase", "pressure", "receive_size", "session", "silent_quarters",
        "sock", "tick_deadline", "timer", "waiters", "write_queue", "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        owner: ConnectionOwner,
        handshake: Handshake,
        name: str | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        self.loop = loop
        self.config = config
        self.owner = owner
        self.session = Session(handshake, config)
        self.name = name
        self.initiator = name is not None
        self.address: SocketAddress | None = None
        self.addresses: tuple[SocketAddress, ...] = ()  # where the peer may listen
        self.sock: socket.socket | None = None
        self.peer_uid: int | None = None  # of the process that listens, if known
        self.phase = CONNECTING
        self.error: UdsDistError | None = None
        self.receive_size = min(FIRST_RECEIVE, config.receive_size)
        self.write_queue = WriteQueue(config.send_buffer_size)
        self.bytes_in = self.bytes_out = 0
        self.messages_in = self.messages_out = 0
        self.paused = False  # a mailbox is full
        self.held: Held | None = None  # a queue is too full for answers: see `backpressure`
        self.choked = False  # no more can be held
        self.ended = False  # the peer has closed; its last messages are still being handed on
        self.pressure = Pressure() if pressure is None else pressure
        self.waiters: Waiters = []  # waiting for the write queue to reach its low-water mark
        self.last_sent = loop.now
        self.silent_quarters = 0
        self.in_at_quarter = self.out_at_quarter = 0  # what bytes_in and bytes_out were
        self.interest = 0  # what the socket is watched for
        self.passed_over = 0  # rounds in which the backlog went first
        self.parting = False  # the peer has not closed its side yet
        self.hang_up_timer: Timer | None = None
        self.timer: Timer | None = None
        self.tick_deadline: float | None = None
        self.set_timer(config.handshake_timeout, self.too_late)

    def __repr__(self) -> str:
        state = self.phase.value
        held = "" if self.held is None else f" held={self.held.size}"
        if self.phase is HANDSHAKE:
            state = f"handshake:{self.session.state}"
        return (
            f"<Connection {self.name or '?'} {state} {'out' if self.initiator else 'in'}"
            f" prefix={self.prefix_size} unread={self.session.reader.unread}"
            f" backlog={len(self.session.backlog)}{held} unwritten={self.write_queue.size}"
            f" in={self.bytes_in} out={self.bytes_out} messages={self.messages_in}"
            f"/{self.messages_out} deadline={self.tick_deadline}>"
        )

    @property
    def prefix_size(self) -> int:
        """2 during the handshake, 4 after it."""
        return self.session.prefix_size

    def set_timer(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Set the connection's one timer, which replaces what it was set for before."""
        timer, before = self.loop.call_later(seconds, callback, *args), self.timer
        self.timer = timer
        self.tick_deadline = timer.when
        if before is not None:
            before.cancel()

    # -- the way up ------------------------------------------------------------------------

    def connect(
        self,
        address: SocketAddress,
        sock: socket.socket | None = None,
        more: tuple[SocketAddress, ...] = (),
    ) -> None:
        """Start connecting; the outcome comes as `connection_up` or `connection_down`.

        Args:
            address: where the peer listens.
            sock: a non-blocking socket already connected to it, if there is one.
            more: where to look next if nobody listens there.
        """
        self.address = address
        self.addresses = (address, *more)
        if sock is not None:
            self.sock = sock
            self.begin_handshake()  # the caller made it and knows the peer
            return
        try:
            self.sock = sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
        except OSError as error:
            self.fail(reasons.no_socket(self.name, error.strerror))
            return
        connecting.connect(self, sock)

    def begin_handshake(self) -> None:
        """The socket is connected to the peer: send this node's name."""
        assert self.sock is not None
        suppress_sigpipe(self.sock)
        self.phase = HANDSHAKE
        self.watch(READ)
        self.write(self.session.begin())

    def accept(self, sock: socket.socket, address: SocketAddress) -> None:
        """Use a socket that the listener has accepted."""
        self.sock = sock
        suppress_sigpipe(sock)
        self.address = address
        self.phase = HANDSHAKE
        self.watch(READ)

    def handshake_done(self) -> None:
        """Both sides have proved that they know the cookie."""
        self.phase = UP
        ticks.start(self)
        self.loop.urgent.add(self)
        self.owner.connection_up(self)
        self.session.end_handshake()

    def too_late(self) -> None:
        """End a handshake whose time is over."""
        handshaking.too_late(self)

    # -- reading ---------------------------------------------------------------------------

    def _on_events(self, events: int) -> None:
        try:
            if self.phase is CONNECTING:
                assert self.sock is not None
                connecting.finish(self, self.sock)
                return
            if events & WRITE:
                self.flush()
            if self.phase is CLOSED:
                parting.release(self)  # an exception interrupted `finish`
            elif events & READ:
                if self.phase is CLOSING:
                    parting.drop_what_comes(self)
                elif self.session.backlog:
                    self._pass_over()
                elif not self.ended:
                    _hand_on(self, receive=True)
                    if self.loop.now - self.last_sent >= ticks.ANSWER_AFTER:
                        self.tick()
        except Exception as error:
            self.end_if_own_fault(error)

    def _pass_over(self) -> None:
        """Leave the socket for a later round: hand on the rest of an earlier recv first.

        Queues `go_on` again if an exception interrupted it at its start.
        """
        self.passed_over += 1
        if self.passed_over > 2:
            _hand_on(self)

    def go_on(self) -> None:
        """Hand on what an earlier round has left."""
        self.passed_over = 0
        if self.phase is UP:
            _hand_on(self)

    def hand_over(self, control: tuple[object, ...], payload: object) -> None:
        """Hand one message on."""
        assert self.name is not None
        self.owner.inbox.received(self.name, control, payload)

    def end_if_own_fault(self, error: Exception) -> None:
        """End the connection if a peer's message broke the library; else raise again."""
        if error is self.loop.program_error or not is_own_fault(error):
            raise error
        if isinstance(error, RemoteProtocolError):
            self.fail(error)
            return
        logger.error("%s: this library failed on a message from it", self.name, exc_info=error)
        self.fail(reasons.own_fault(self.name, error))

    def pause(self) -> None:
        """Stop reading for now; what was read already is still handed on."""
        if self.phase is UP and not self.paused:
            self.paused = True
            hang_up.fit_reading(self)

    def resume(self) -> None:
        """Read again after `pause`."""
        if self.paused:
            self.paused = False
            if self.phase is UP:
                hang_up.fit_reading(self)

    # -- writing ---------------------------------------------------------------------------

    def send(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> None:
        """Write one control message.

        Args:
            control: the control message in its wire shape.
            payload: the message term, or NO_PAYLOAD.
        Raises:
            EncodeError: a term cannot be encoded; nothing was written.
            NoConnectionError: the connection is not up.
        """
        if self.phase is not UP:
            raise NoConnectionError(f"the connection to {self.name} is {self.phase.value}")
        loop = self.loop
        if loop.process.forked or loop.state == LOOP_CLOSED:
            # A forked child must not write into its parent's stream.
            raise refusal(loop.process, True)
        torn = True
        try:
            self.write_queue.extend(self.session.send(control, payload))
            torn = False
        except UdsDistError:
            torn = False  # the encoder refused the term and is unchanged
            raise
        finally:
            if torn:
                self._interrupted("encoding")
        self.messages_out += 1
        if loop.writers and self in loop.writers:
            return
        at_rest = loop.state == IDLE
        batch = self.pressure.batch
        if not at_rest or batch is not None:
            loop.writers.add(self)
            if at_rest and batch is not None:
                batch.append(self.flush_at_round_end)
        elif not self.interest & WRITE:
            self.flush()

    def flush_at_round_end(self) -> None:
        """Write what was sent in this round, or in a batch."""
        if self.phase is not CLOSED and not self.interest & WRITE:
            self.flush()
        self.loop.writers.discard(self)

    def write(self, data: bytes) -> None:
        """Write bytes of the handshake."""
        self.write_queue.append(data)
        self.flush()

    def flush(self) -> None:
        """Write as much of the queue as the socket takes now."""
        sock = self.sock
        if sock is None or self.phase is CLOSED:
            return
        queue = self.write_queue
        torn = True
        try:
            written = queue.write(sock)
            torn = False
        except OSError as error:
            self._write_failed(error)
            torn = False
            return
        finally:
            if torn:
                self._interrupted("writing")
        if written:
            self.bytes_out += written
            self.last_sent = self.loop.now
        if queue.blocked:
            self.watch(self.interest | WRITE)
        elif self.interest & WRITE:
            self.watch(self.interest & ~WRITE)
        if self.waiters and queue.size <= self.config.write_low_water:
            self.call_waiters()
        if self.phase is CLOSING and not queue.size:
            parting.part(self)

    def call_waiters(self) -> None:
        """In the next round, call what waits for the write queue to be low."""
        waiters, self.waiters = self.waiters, []
        self.pressure.drained(waiters)
        for callback in waiters:
            self.loop.call_soon(callback)

    def _write_failed(self, error: OSError) -> None:
        # The peer's last messages are still unread, and may say why.
        self.write_queue.clear()
        self.call_waiters()
        if self.phase is CLOSING:
            self.finish()
        elif error.errno in (errno.EPIPE, errno.ECONNRESET):
            if self.interest & WRITE:
                self.watch(self.interest & ~WRITE)
            if self.phase is UP:
                lost = handshaking.why_lost(self, "the peer closed it")
                hang_up.peer_gone(self, lost, partial(_receive, self))
        else:
            self.fail(handshaking.why_lost(self, error.strerror or str(error)))

    def watch(self, interest: int) -> None:
        """Watch the socket for READ, WRITE, both or nothing."""
        assert self.sock is not None
        if interest == self.interest:
            return
        torn = True
        try:
            if not self.interest:
                self.loop.register(self.sock, interest, self._on_events)
            elif not interest:
                # With nothing to watch for, it must not stay registered: a hang-up would be
                # reported in every round.
                self.loop.unregister(self.sock)
            else:
                self.loop.modify(self.sock, interest)
            self.interest = interest
            torn = False
        except OSError as error:
            # The system cannot watch it.
            torn = False
            self.fail(handshaking.why_lost(self, error.strerror or str(error)))
        finally:
            if torn:
                self._interrupted("waiting")

    def _interrupted(self, what: str) -> None:
        """End the connection: an exception left its state beyond repair."""
        self.fail(reasons.interrupted(self.name, what))

    def tick(self) -> None:
        """Send a tick, or what waits to be written."""
        ticks.tick(self)

    def quarter(self) -> None:
        """A quarter of the tick time is over."""
        ticks.quarter(self)

    def provoke_answer(self) -> None:
        """Ask the owner to make a silent peer answer."""
        self.owner.connection_silent(self)

    # -- the way down ----------------------------------------------------------------------

    def fail(self, error: UdsDistError) -> None:
        """Close at once, with a reason."""
        if self.phase is CLOSED:
            return
        if self.error is None:
            self.error = error
        self.finish()

    def close(self) -> None:
        """Close once the queue is written, or when that takes too long."""
        if self.phase in (CLOSING, CLOSED):
            return
        if self.error is None:
            self.error = reasons.closed_here(self.name)
        if self.phase is UP and not self.loop.process.forked:
            parting.linger(self)
        else:
            self.finish()

    def finish(self) -> None:
        """Mark, unregister, close; tell the owner now, programs at the end of the round."""
        if self.phase is CLOSED:
            return
        # The notice first: an exception of a signal handler may come at any moment, and the notice
        # does what the exception prevented.
        self.loop.round_end.append(self._report_down)
        self.phase = CLOSED
        parting.release(self)
        self.owner.connection_ended(self)

    def urgent_tick(self, now: float) -> None:
        """Send a tick from a signal handler if none was sent for a quarter of the tick time."""
        ticks.urgent_tick(self, now)

    def _report_down(self) -> None:
        assert self.error is not None
        self.phase = CLOSED
        parting.release(self)
        logger.debug("%s: %s", self.name, self.error)
        self.owner.connection_down(self, self.error)


# The code that every message passes is in functions of this module, not in a separate one:
# compiled, they read the connection's fields directly.


def _receive(connection: Connection) -> int | None:
    """One recv, whose bytes go to the session.

    Returns:
        How many came, 0 at the end of the stream; None when there is nothing now.
    Raises:
        OSError: the socket is broken. If a signal handler raises, it is unknown whether bytes were
            received.
        RemoteProtocolError: the peer announced a frame above the limit.
    """
    assert connection.sock is not None
    session = connection.session
    reader = session.reader
    buffer = reader.large_buffer
    try:
        if buffer is not None:
            count = connection.sock.recv_into(buffer)
            connection.bytes_in += count
            reader.large_filled(count)
            if session.is_up:
                session.cut_frames()
            return count
        size = connection.receive_size
        data = connection.sock.recv(size)
    except (BlockingIOError, InterruptedError):
        return None
    count = len(data)
    connection.bytes_in += count
    if count == size or count < size - FIRST_RECEIVE >> 3:
        connection.receive_size = size_after(count, size, connection.config.receive_size)
    if session.is_up:
        session.backlog.extend(reader.receive(data))
    else:
        reader.feed(data)
    return count


def _takes(connection: Connection) -> bool:
    """Receive once; True if what has come should be handed on in this round."""
    try:
        count = _receive(connection)
    except OSError as error:
        why = handshaking.why_lost(connection, error.strerror or str(error))
        hang_up.stream_ended(connection, why)
        return False
    if count is None:
        return False
    if not count:
        hang_up.stream_ended(connection, handshaking.why_lost(connection, "the peer closed it"))
        return False
    session = connection.session
    if connection.phase is HANDSHAKE:
        handshaking.take_steps(connection)
        if session.is_up and session.cut_frames():
            # The owner's notices of a new node go out first, at this round's end.
            connection.loop.call_soon(connection.go_on)
        return False
    return connection.phase is UP and bool(session.backlog)


def _hand_on(connection: Connection, receive: bool = False) -> None:
    """Decode and hand on a round's share of the backlog; queue the rest."""
    session = connection.session
    backlog = session.backlog
    pressure = connection.pressure
    left = connection.config.messages_per_round
    torn = True
    try:
        if receive and not _takes(connection):
            torn = False
            return
        name = connection.name
        assert name is not None
        received = connection.owner.inbox.received
        decoder = session.decoder
        pressure.source = connection
        pressure.decoder = decoder
        pressure.waiters = _NO_WAITERS
        while backlog and left and connection.phase is UP and connection.held is None:
            message = decoder.decode(backlog.popleft())
            if message is None:  # a tick or a fragment
                if not backlog:
                    session.cut_frames()  # raises if what follows is too large
                continue
            left -= 1
            connection.messages_in += 1
            torn = False
            received(name, message[0], message[1])
            torn = True
            if pressure.waiters is not None:
                holding.begin_to_hold(connection)
        if connection.held is not None:
            holding.hold(connection, connection.held, left)
        torn = False
    except RemoteProtocolError as error:
        torn = False
        connection.end_if_own_fault(error)
    except Exception as error:
        torn = torn and not is_own_fault(error)
        connection.end_if_own_fault(error)
    finally:
        pressure.source = None
        pressure.decoder = None
        if torn:
            connection.fail(reasons.interrupted(connection.name, "reading"))
        # Also if a handler raised: the messages after its own are not lost.
        elif backlog and connection.phase is UP:
            connection.loop.call_soon(connection.go_on)
        elif connection.ended and connection.held is None:
            connection.finish()
