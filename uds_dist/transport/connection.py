"""One connection to one node, from connect or accept to its close.

A Connection moves bytes and keeps time; the protocol storey gives the bytes their meaning, and the
owner acts on them. Everything that it knows is in plain fields, and `repr` shows them:

    CONNECTING --connected--> HANDSHAKE --challenge answered--> UP
        \\                        |                              |
         `------------------------+--------- failed, closed -----+--> CLOSING --> CLOSED

A CLOSING connection still has bytes to send, a refusal in the handshake or what was written before
`close`, and a limited time to send them.

Writing. A message that the program sends outside the loop is written at once, so a program that
computes for a while afterwards does not delay it. Inside a round, messages wait for the round's end
and leave together: one `sendmsg` of many buffers. Inside `Node.batch` they wait for its end, or for
the end of a round if the loop runs before that. What the socket does not take stays in
`write_queue`, and only then is the descriptor watched for writing.

Signals. A signal handler of the program may raise anywhere, even between a recv and the line that
stores its bytes. If that may have lost, doubled or torn bytes, the connection ends, as if the
network had broken it; nothing is ever patched up. In the code below a local `torn` is true while an
exception would leave such a state.

Time. One timer serves first the handshake's deadline, then the ticks. After a quarter of the tick
time without a byte written, a tick is sent. A peer with a shorter tick time would not wait that
long, so whatever comes in is answered with a tick if nothing was sent for a second. Silence alone
proves nothing, since deployed carriers send no ticks at all: after three silent quarters the owner
is asked to provoke an answer, and one more silent quarter ends the connection.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from enum import Enum
from typing import Final, Literal, Protocol

from uds_dist.config import Config
from uds_dist.errors import (
    HandshakeError,
    NoConnectionError,
    ProtocolError,
    RemoteProtocolError,
    UdsDistError,
)
from uds_dist.protocol.framing import TICK
from uds_dist.protocol.handshake import Handshake, State
from uds_dist.protocol.decoder import NO_PAYLOAD, Postponed
from uds_dist.protocol.session import Answer, Refused, Session
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.backpressure import Held, Pressure, Waiters
from uds_dist.transport.credentials import may_dial, peer_uid
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.loop import READ, WRITE, EventLoop
from uds_dist.transport.receive_size import Receiver
from uds_dist.transport.sigpipe import NO_SIGPIPE, suppress_sigpipe
from uds_dist.transport.timers import Timer
from uds_dist.transport.write_queue import WriteQueue, unread_bytes

logger = logging.getLogger(__name__)

# Seconds between two attempts to connect while the other side's backlog is full.
BACKLOG_RETRY = (0.002, 0.05)
# Whatever comes in is answered with a tick if nothing was sent for this many seconds.
ANSWER_AFTER: Final = 1.0
SILENT_QUARTERS: Final = 3
# Seconds that a closing connection may take for its last bytes.
LINGER: Final = 2.0
# Seconds that a peer may take, after this side has closed, to read the last bytes or to close.
PARTING: Final = 0.1
# Seconds until the first check that the peer has read everything; each pause doubles.
PARTING_LOOK: Final = 0.001
# Seconds between two checks that a peer we do not read from is still there.
HANG_UP_CHECK: Final = 0.25
# Bytes to read at most after the peer has closed: more than the system's buffers hold.
LAST_WORDS: Final = 16 * 1024 * 1024


class Phase(Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    UP = "up"
    CLOSING = "closing"
    CLOSED = "closed"


PhaseName = Literal["connecting", "handshake", "up", "closing", "closed"]

# Plain names: finding a member in its Enum takes ten times as long, and a message does it eight
# times.
CONNECTING: Final = Phase.CONNECTING
HANDSHAKE: Final = Phase.HANDSHAKE
UP: Final = Phase.UP
CLOSING: Final = Phase.CLOSING
CLOSED: Final = Phase.CLOSED


class ConnectionOwner(Protocol):
    """What a connection tells its owner, always from inside `run_once`."""

    def connection_up(self, connection: Connection) -> None:
        """The handshake is done."""

    def connection_message(
        self, connection: Connection, control: tuple[object, ...], payload: object
    ) -> None:
        """A control message has come, with its payload or NO_PAYLOAD."""

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
        "_addresses",
        "address",
        "bytes_in",
        "bytes_out",
        "choked",
        "config",
        "ended",
        "error",
        "held",
        "initiator",
        "last_sent",
        "loop",
        "messages_in",
        "messages_out",
        "name",
        "owner",
        "paused",
        "peer_uid",
        "phase",
        "pressure",
        "receiver",
        "session",
        "silent_quarters",
        "sock",
        "tick_deadline",
        "waiters",
        "write_queue",
        "_bytes_in_at_tick",
        "_bytes_out_at_tick",
        "_flushing",
        "_hang_up_timer",
        "_interest",
        "_passed_over",
        "_parting",
        "_retry_delay",
        "_timer",
        "__weakref__",
    )

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
        self._addresses: tuple[SocketAddress, ...] = ()  # where the peer may listen
        self.sock: socket.socket | None = None
        self.peer_uid: int | None = None  # of the process that listens, if known
        self.phase = CONNECTING
        self.error: UdsDistError | None = None
        self.receiver = Receiver(self.session.reader, config.receive_size)
        self.write_queue = WriteQueue(config.send_buffer_size)
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.messages_out = 0
        self.paused = False  # a mailbox is full
        self.held: Held | None = None  # a queue is too full for answers: see `backpressure`
        self.choked = False  # no more can be held
        self.ended = False  # the peer has closed; its last messages are still being handed on
        self.pressure = Pressure() if pressure is None else pressure
        self.waiters: Waiters = []  # waiting for the write queue to reach its low-water mark
        self.silent_quarters = 0
        self.last_sent = loop.now
        self.tick_deadline: float | None = None
        self._bytes_in_at_tick = 0
        self._bytes_out_at_tick = 0
        self._hang_up_timer: Timer | None = None
        self._flushing = False
        self._interest = 0
        self._parting = False  # the peer has still to agree to the end
        self._passed_over = 0
        self._retry_delay = BACKLOG_RETRY[0]
        self._timer: Timer | None = loop.call_later(config.handshake_timeout, self.too_late)
        self.tick_deadline = self._timer.when

    def __repr__(self) -> str:
        state = self.phase.value
        held = "" if self.held is None else f" held={self.held.size}"
        if self.phase is HANDSHAKE:
            state = f"handshake:{self.session.handshake.state.name.lower()}"
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
        self._addresses = (address, *more)
        if sock is not None:
            self.sock = sock
            self._begin_handshake()  # the caller made it and knows the peer
            return
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.setblocking(False)
        except OSError as error:
            self.fail(reasons.no_socket(self.name, error.strerror))
            return
        self._try_connect()

    def _try_connect(self) -> None:
        assert self.sock is not None and self.address is not None
        if self.phase is not CONNECTING:
            return
        error = self._knock(self.sock)
        if error == 0:
            self._connected()
        elif error == errno.EAGAIN:
            # The backlog is full. A Unix socket neither queues this attempt nor becomes ready
            # later: try again until the handshake's time is over.
            self.loop.call_later(self._retry_delay, self._try_connect)
            self._retry_delay = min(self._retry_delay * 2, BACKLOG_RETRY[1])
        elif error == errno.EINPROGRESS:
            self._watch(WRITE)
        else:
            self.fail(reasons.connect_failed(self.name, self._addresses, error))

    def _knock(self, sock: socket.socket) -> int:
        """Connect to the first address with a listener; return errno, or 0.

        Afterwards `_addresses` are the ones that errno is about.
        """
        dead: SocketAddress | None = None
        for address in self._addresses:
            error = sock.connect_ex(address.value)
            if error == errno.ECONNREFUSED and dead is None:
                dead = address
            elif error not in (errno.ENOENT, errno.ECONNREFUSED):
                self.address = address
                self._addresses = (address,)
                return error
        if dead is None:
            return errno.ENOENT
        self.address = dead
        self._addresses = (dead,)
        return errno.ECONNREFUSED

    def _connected(self) -> None:
        assert self.sock is not None and self.address is not None
        self.peer_uid = peer_uid(self.sock)
        if may_dial(self.peer_uid, self.address, self.config):
            self._begin_handshake()
        else:
            self.fail(reasons.listener_refused(self.peer_uid, self.address))

    def _begin_handshake(self) -> None:
        assert self.sock is not None
        suppress_sigpipe(self.sock)
        self.phase = HANDSHAKE
        self._watch(READ)
        self._answer(self.session.begin())

    def accept(self, sock: socket.socket, address: SocketAddress) -> None:
        """Use a socket that the listener has accepted."""
        self.sock = sock
        suppress_sigpipe(sock)
        self.address = address
        self.phase = HANDSHAKE
        self._watch(READ)

    def _shake_hands(self) -> None:
        """Take the handshake steps that the received bytes allow."""
        session = self.session
        while self.phase is HANDSHAKE:
            try:
                event = session.next_event()
            except (HandshakeError, ProtocolError) as error:
                self.fail(error)
                return
            if event is None:
                return
            if session.handshake.peer is not None:
                self.name = session.handshake.peer.name
            if isinstance(event, Answer):
                self._answer(event.data)
            elif isinstance(event, Refused):
                self.error = event.error
                self._linger()
            else:
                self._up()

    def _answer(self, data: bytes) -> None:
        self.write_queue.append(data)
        self.flush()

    def _up(self) -> None:
        self.phase = UP
        self._start_ticking()
        self.owner.connection_up(self)

    # -- reading ---------------------------------------------------------------------------

    def _on_events(self, events: int) -> None:
        try:
            if self.phase is CONNECTING:
                self._finish_connecting()
                return
            if events & WRITE:
                self.flush()
            if self.phase is CLOSED:
                self._release()  # an exception interrupted `_finish`
            elif events & READ:
                if self.phase is CLOSING:
                    self._drop_what_comes()
                elif self.session.backlog:
                    self._pass_over()
                elif not self.ended:
                    self._hand_on(receive=True)
                    if self.loop.now - self.last_sent >= ANSWER_AFTER:
                        self._tick()
        except Exception as error:
            self._end_if_own_fault(error)

    def _finish_connecting(self) -> None:
        assert self.sock is not None and self.address is not None
        error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.fail(reasons.connect_failed(self.name, self._addresses, error))
        else:
            self._connected()

    def _pass_over(self) -> None:
        """Leave the socket for a later round: hand on the rest of an earlier recv first.

        Queues `_go_on` again if an exception interrupted it at its start.
        """
        self._passed_over += 1
        if self._passed_over > 2:
            self._hand_on()

    def _receive(self) -> bool:
        """One recv; True if its bytes should be handed on in this round."""
        assert self.sock is not None
        try:
            count = self.receiver.receive(self.sock)
        except OSError as error:
            self.fail(self._lost(error.strerror or str(error)))
            return False
        if count is None:
            return False
        if not count:
            self.fail(self._lost("the peer closed it"))
            return False
        self.bytes_in += count
        if self.phase is HANDSHAKE:
            self._shake_hands()
            if self.session.is_up and self.session.cut_frames():
                # The owner's notices of a new node go out first, at this round's end.
                self.loop.call_soon(self._go_on)
            return False
        return self.phase is UP and self.session.cut_frames()

    def _go_on(self) -> None:
        self._passed_over = 0
        if self.phase is UP:
            self._hand_on()

    def _hand_on(self, receive: bool = False) -> None:
        """Decode and hand on a round's share of the backlog; queue the rest."""
        session = self.session
        hand_on = self.owner.connection_message
        left = self.config.messages_per_round
        pressure = self.pressure
        torn = True
        try:
            if receive and not self._receive():
                torn = False
                return
            pressure.begin(self, session.decoder)
            backlog = session.backlog
            while backlog and left and self.phase is UP and self.held is None:
                message = session.next_message()
                if message is None:
                    break
                left -= 1
                self.messages_in += 1
                torn = False
                hand_on(self, message[0], message[1])
                torn = True
                if pressure.waiters is not None:
                    self._begin_to_hold()
            if self.held is not None:
                self._hold(self.held, left)
            torn = False
        except RemoteProtocolError as error:
            torn = False
            self._end_if_own_fault(error)
        except Exception as error:
            torn = torn and not is_own_fault(error)
            self._end_if_own_fault(error)
        finally:
            pressure.end()
            if torn:
                self._interrupted("reading")
            # Also if a handler raised: the messages after its own are not lost.
            elif session.backlog and self.phase is UP:
                self.loop.call_soon(self._go_on)
            elif self.ended and self.held is None:
                self._finish()

    def _end_if_own_fault(self, error: Exception) -> None:
        """End the connection if a peer's message broke the library; else raise again."""
        if error is self.loop.program_error or not is_own_fault(error):
            raise error
        if isinstance(error, RemoteProtocolError):
            self.fail(error)
            return
        logger.error("%s: a message of it broke this node", self.name, exc_info=error)
        self.fail(reasons.own_fault(self.name, error))

    # -- holding: see `backpressure` -------------------------------------------------------

    def _begin_to_hold(self) -> None:
        self.held = Held(self.config)
        self.session.decoder.postponing = True
        self.pressure.wait(self._serve_held)
        self.pressure.owner.begins_to_hold(self)

    def _hold(self, held: Held, left: int) -> None:
        """Hand on the answers in the backlog, hold the rest of it."""
        session = self.session
        while left and self.phase is UP:
            message = session.next_message()
            if message is None:
                break
            left -= 1
            self.messages_in += 1
            if self.pressure.owner.is_answer(message[0]):
                self.owner.connection_message(self, message[0], self._payload(message[1]))
            else:
                held.add(message[0], message[1], session.decoder.message_size)
        if held.full and not self.choked:
            self.choked = True
            self._fit_reading()

    def _payload(self, payload: object) -> object:
        decoder = self.session.decoder
        return decoder.payload(payload) if isinstance(payload, Postponed) else payload

    def _serve_held(self) -> None:
        """Hand on a round's share of what is held, until a queue is too full again."""
        held, pressure = self.held, self.pressure
        if held is None or self.phase is not UP:
            return
        left = self.config.messages_per_round
        waits = False
        pressure.begin(self, self.session.decoder)
        try:
            while held.messages and left and self.phase is UP and not waits:
                left -= 1
                control, payload = held.take()
                self.owner.connection_message(self, control, self._payload(payload))
                waits = pressure.wait(self._serve_held)
        except Exception as error:
            self._end_if_own_fault(error)
        finally:
            pressure.end()
            if held.messages and not waits:
                self.loop.call_soon(self._serve_held)
            elif not held.messages and not waits:
                self._serve_again()
            if self.phase is UP and self.choked and not held.full:
                self.choked = False
                self._fit_reading()

    def _serve_again(self) -> None:
        """Note that nothing is held any more."""
        self.held = None
        self.session.decoder.postponing = False
        if self.session.backlog or self.ended:
            self.loop.call_soon(self._go_on)

    def _interrupted(self, what: str) -> None:
        """End the connection: an exception left its state beyond repair."""
        self.fail(reasons.interrupted(self.name, what))

    def _lost(self, reason: str) -> NoConnectionError:
        if self.phase is not HANDSHAKE:
            return reasons.lost(self.name, reason)
        if self._awaits_proof():
            return reasons.no_proof(self.name, "closed the connection")
        if self.peer_uid not in (None, os.geteuid()) and not self.bytes_in:
            assert self.address is not None and self.peer_uid is not None
            return reasons.refused_there(self.name, self.address, reason, self.peer_uid)
        if not self.initiator and self.name is not None:
            return reasons.caller_left(self.name, reason)
        return reasons.broke_off(self.name, reason)

    def _awaits_proof(self) -> bool:
        return self.session.handshake.state is State.RECV_CHALLENGE_ACK

    def pause(self) -> None:
        """Stop reading for now; what was read already is still handed on."""
        if self.phase is UP and not self.paused:
            self.paused = True
            self._fit_reading()

    def resume(self) -> None:
        """Read again after `pause`."""
        if self.paused:
            self.paused = False
            if self.phase is UP:
                self._fit_reading()

    def _fit_reading(self) -> None:
        """Read if nothing prevents it; otherwise notice the peer's end by writing."""
        if not (self.paused or self.choked or self.ended):
            self._watch(self._interest | READ)
            return
        self._watch(self._interest & ~READ)
        if self._hang_up_timer is None and not self.ended:
            self._hang_up_timer = self.loop.call_later(HANG_UP_CHECK, self._look_for_hang_up)

    def _look_for_hang_up(self) -> None:
        # No selector reports a hang-up alone. A tick to a peer that is gone fails; and a socket
        # that takes nothing is watched for writing, which reports the hang-up.
        self._hang_up_timer = None
        if self.phase is UP and (self.paused or self.choked):
            self._tick()
            if not self.ended and self.phase is UP:
                self._fit_reading()

    def _peer_gone(self) -> None:
        """Writing has failed: the peer is gone. Hand on its last messages, and end.

        Reads even if the connection is paused: what the system's buffers hold is bounded.
        """
        if self.ended or self.sock is None:
            return
        self.ended = True
        self.error = self._lost("the peer closed it")
        self._wait_at_most(LINGER)
        self._fit_reading()
        end = self.bytes_in + LAST_WORDS
        try:
            while self.bytes_in < end:
                count = self.receiver.receive(self.sock)
                if not count:
                    break
                self.bytes_in += count
                self.session.cut_frames()
        except (OSError, RemoteProtocolError):
            pass  # it ends in any case
        self.loop.call_soon(self._go_on)

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
        at_rest = self.loop.at_rest()  # a forked child must not write into its parent's stream
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
        if self._flushing:
            return
        batch = self.pressure.batch
        if not at_rest or batch is not None:
            self.loop.call_at_round_end(self._flush_at_round_end)
            self._flushing = True
            if at_rest and batch is not None:
                batch.append(self._flush_at_round_end)
        elif not self._interest & WRITE:
            self.flush()

    def _flush_at_round_end(self) -> None:
        self._flushing = False
        if self.phase is not CLOSED and not self._interest & WRITE:
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
            self._watch(self._interest | WRITE)
        elif self._interest & WRITE:
            self._watch(self._interest & ~WRITE)
        if self.waiters and queue.size <= self.config.write_low_water:
            self.call_waiters()
        if self.phase is CLOSING and not queue.size:
            self._part()

    def call_waiters(self) -> None:
        """In the next round, call what waits for the write queue to be low."""
        waiters, self.waiters = self.waiters, []
        for callback in waiters:
            self.loop.call_soon(callback)

    def _write_failed(self, error: OSError) -> None:
        # The peer's last messages are still unread, and may say why.
        self.write_queue.clear()
        self.call_waiters()
        if self.phase is CLOSING:
            self._finish()
        elif error.errno in (errno.EPIPE, errno.ECONNRESET):
            if self._interest & WRITE:
                self._watch(self._interest & ~WRITE)
            if self.phase is UP:
                self._peer_gone()
        else:
            self.fail(self._lost(error.strerror or str(error)))

    def _watch(self, interest: int) -> None:
        assert self.sock is not None
        if interest == self._interest:
            return
        torn = True
        try:
            if not self._interest:
                self.loop.register(self.sock, interest, self._on_events)
            elif not interest:
                # Unregister it if there is nothing to watch for: a hang-up would be reported for
                # ever.
                self.loop.unregister(self.sock)
            else:
                self.loop.modify(self.sock, interest)
            self._interest = interest
            torn = False
        except OSError as error:
            torn = False
            self.fail(self._lost(error.strerror or str(error)))  # the system cannot watch it
        finally:
            if torn:
                self._interrupted("waiting")

    # -- time ------------------------------------------------------------------------------

    def too_late(self) -> None:
        """End a handshake whose time is over."""
        if self._awaits_proof():
            self.fail(reasons.no_proof(self.name, "fell silent"))
            return
        if self.phase not in (CONNECTING, HANDSHAKE):
            return
        where = "connecting" if self.phase is CONNECTING else self.session.handshake.state.value
        self.fail(reasons.too_late(self.name, self.config.handshake_timeout, where))

    def _start_ticking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._bytes_in_at_tick = self.bytes_in
        self._bytes_out_at_tick = self.bytes_out
        self.last_sent = self.loop.time()
        self._next_quarter()
        self.loop.add_urgent(self._urgent_tick)

    def _next_quarter(self) -> None:
        self._timer = self.loop.call_later(self.config.tick_time / 4, self._on_quarter)
        self.tick_deadline = self._timer.when

    def _on_quarter(self) -> None:
        """A quarter of the tick time is over: tick if nothing was sent, check for silence."""
        self._next_quarter()
        if self.session.backlog:
            self.loop.call_soon(self._go_on)  # redundant unless an exception lost a call
        if self.loop.now - self.last_sent >= self.config.tick_time / 4 - 0.001:
            self._tick()
        # A connection that does not read may still write: see `backpressure`.
        moved = self.paused or (self.choked and self.bytes_out != self._bytes_out_at_tick)
        if self.bytes_in != self._bytes_in_at_tick or moved:
            self._bytes_in_at_tick = self.bytes_in
            self._bytes_out_at_tick = self.bytes_out
            self.silent_quarters = 0
            return
        self.silent_quarters += 1
        if self.silent_quarters > SILENT_QUARTERS:
            told = reasons.blocked if self.choked else reasons.silent
            self.fail(told(self.name, self.config.tick_time))
        elif self.silent_quarters == SILENT_QUARTERS and not self.choked:
            self.owner.connection_silent(self)

    def _tick(self) -> None:
        # Unwritten bytes count as a tick, and a tick before them would break a frame. Try them once
        # more, in case an exception kept them from being watched.
        if self.phase is UP:
            if not self.write_queue.size:
                self.write_queue.append(TICK)
            self._flushing = False
            self.flush()

    def _urgent_tick(self, now: float) -> None:
        # This may run between any two bytecodes: touch only a connection at rest, and leave the
        # queue alone, because the interrupted code may be about to read it.
        if self.phase is not UP or self.write_queue.size or self.sock is None:
            return
        if now - self.last_sent >= self.config.tick_time / 4:
            self.last_sent = now
            try:
                self.sock.send(TICK, NO_SIGPIPE)
            except OSError:
                pass  # full: bytes are already under way; broken: the next read reports it

    # -- the way down ----------------------------------------------------------------------

    def fail(self, error: UdsDistError) -> None:
        """Close at once, with a reason."""
        if self.phase is CLOSED:
            return
        if self.error is None:
            self.error = error
        self._finish()

    def close(self) -> None:
        """Close once the queue is written, or when that takes too long."""
        if self.phase in (CLOSING, CLOSED):
            return
        if self.error is None:
            self.error = reasons.closed_here(self.name)
        if self.phase is UP and not self.loop.forked:
            self._linger()
        else:
            self._finish()

    def _linger(self) -> None:
        self._parting = self.phase is UP
        self.phase = CLOSING
        self._wait_at_most(LINGER)
        self.flush()

    def _wait_at_most(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._finish)
        self.tick_deadline = self._timer.when

    def _part(self) -> None:
        """Everything is written: shut down this side, and give the peer a moment to close its own.

        A BEAM of OTP 29 that writes to a closed socket before it has read everything learns of the
        end only at its next tick. If it reads the end first, all is well.
        """
        if not self._parting:
            self._finish()
            return
        self._parting = False
        assert self.sock is not None
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._finish()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._watch(READ)
        self._end_when_read(self.loop.time() + PARTING, PARTING_LOOK)

    def _end_when_read(self, deadline: float, pause: float) -> None:
        """End once the peer has read everything: a deployed carrier never closes its side."""
        assert self.sock is not None
        unread = unread_bytes(self.sock)
        left = deadline - self.loop.time()
        if unread == 0 or left <= 0:
            self._finish()
            return
        if unread is None or pause > left:
            pause = left
        self._timer = self.loop.call_later(pause, self._end_when_read, deadline, 2 * pause)
        self.tick_deadline = self._timer.when

    def _drop_what_comes(self) -> None:
        """Read until the peer has closed its side too."""
        assert self.sock is not None
        try:
            data = self.sock.recv(self.config.receive_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self.bytes_in += len(data)
        if not data and not self.write_queue.size:
            self._finish()
        elif not data:
            self._watch(self._interest & ~READ)

    def _finish(self) -> None:
        """Mark, unregister, close; tell the owner now, programs at the end of the round."""
        if self.phase is CLOSED:
            return
        # The notice first: an exception of a signal handler may come at any moment, and it does
        # what that has kept from being done.
        self.loop.call_at_round_end(self._report_down)
        self.phase = CLOSED
        self._release()
        self.owner.connection_ended(self)

    def _release(self) -> None:
        """Release what the connection still holds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hang_up_timer is not None:
            self._hang_up_timer.cancel()
            self._hang_up_timer = None
        self.tick_deadline = None
        self.session.handshake.end()
        self.loop.remove_urgent(self._urgent_tick)
        if self.sock is not None:
            if not self.loop.forked:
                try:
                    self.loop.unregister(self.sock)
                except (KeyError, ValueError):
                    pass  # not watched at the moment, or done already
                self._hang_up(self.sock)
            self._interest = 0
            self.sock.close()
        self.write_queue.clear()
        self.session.backlog.clear()
        self.held = None
        if not self.loop.forked:
            self.call_waiters()

    @staticmethod
    def _hang_up(sock: socket.socket) -> None:
        # A forked child holds the socket too: its copy would keep the stream open, and the peer
        # waiting, after close.
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # not connected, or no longer

    def _report_down(self) -> None:
        assert self.error is not None
        self.phase = CLOSED
        self._release()
        logger.debug("%s: %s", self.name, self.error)
        self.owner.connection_down(self, self.error)
