"""One connection's protocol without a socket and without a clock: bytes in, events out.

This is where the protocol is put together. A connection, a test's peer, a fuzzer or a relay moves
the bytes and uses it in the same way:

    session = Session(handshake, config)
    write(session.begin())
    while True:
        session.receive_data(read())
        while (event := session.next_event()) is not None:
            ...

Why events come one by one
--------------------------
One read can bring thousands of messages, and a later one may be malformed. So received bytes are
cut into frames at once, which is cheap, and a frame is decoded only when its event is asked for.
The caller decides how many messages it takes at a time; the others wait in ``backlog`` as bytes. A
message is returned before the error of the one after it is raised.

What changes at the end of the handshake
----------------------------------------
The length prefix goes from 2 to 4 bytes, and a decoder and an encoder are made for the flags that
both nodes have. All three change at one place, between two events: the last answer of the
handshake, an `Answer`, comes before `Up`, so it is written with the old prefix; and the peer's
first messages, which may have come together with its last answer, are read with the new one. A peer
that is refused gets an `Answer` before `Refused`: the caller writes, then closes.

A caller that moves very many messages may use ``reader``, ``backlog`` and ``decoder`` itself, as
`next_message` does.

After an exception the session cannot be used: the caller closes the connection.

Source: Distribution Protocol, sections "Distribution Handshake" and "Protocol between Connected
Nodes".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Union

from uds_dist.config import Config
from uds_dist.errors import HandshakeError, LocalProtocolError
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.decoder import FrameDecoder
from uds_dist.protocol.encoder import Buffer, FrameEncoder
from uds_dist.protocol.framing import Frame, FrameReader, handshake_frame
from uds_dist.protocol.handshake import Handshake


class Answer:
    """The handshake's answer: write ``data``, which includes its length prefixes."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Up:
    """The handshake is done: messages can be sent and received from now on. `UP` is the only one."""

    __slots__ = ()


class Refused:
    """This side refuses the peer, and the `Answer` before says so: close the connection."""

    __slots__ = ("error",)

    def __init__(self, error: HandshakeError) -> None:
        self.error = error


# A control message as a tuple, not parsed yet, and its payload or NO_PAYLOAD.
Message = tuple[tuple[object, ...], object]
Event = Union[Answer, Up, Refused, Message]
# Called with each message that is sent: its control tuple and its payload or NO_PAYLOAD.
Watch = Callable[[tuple[object, ...], object], object]

UP: Final = Up()


class Session:
    """The protocol of one connection, in either role.

    Args:
        handshake: this side's part of the handshake, not begun.
        config: the limits of frames and messages, and the size of fragments.

    Attributes:
        handshake: the handshake, and its results after it; None after `end_handshake`.
        reader: cuts frames out of the bytes; a socket may receive directly into it.
        backlog: received frames whose events were not asked for yet.
        is_up: whether `Up` has been handed out.
        decoder: decodes the peer's frames from then on.
    """

    __slots__ = (
        "backlog",
        "decoder",
        "handshake",
        "is_up",
        "reader",
        "_config",
        "_encoder",
        "_refused",
        "_watch",
    )

    def __init__(self, handshake: Handshake, config: Config) -> None:
        self.handshake: Handshake | None = handshake
        self.reader = FrameReader(config)
        self.backlog: deque[Frame] = deque()
        self.is_up = False
        self._config = config
        self.decoder = FrameDecoder(0, config)  # decodes no frame before the handshake is done
        self._encoder: FrameEncoder | None = None
        self._watch: Watch | None = None
        self._refused = False

    def __repr__(self) -> str:
        return (
            f"<Session {self.state} prefix={self.prefix_size} unread={self.reader.unread}"
            f" backlog={len(self.backlog)}>"
        )

    @property
    def state(self) -> str:
        """The next step of the handshake; "up" after it, "ended" if it was broken off."""
        if self.is_up:
            return "up"
        return "ended" if self.handshake is None else self.handshake.state.value

    @property
    def prefix_size(self) -> int:
        """The bytes of a length prefix: 2 in the handshake, 4 after it."""
        return self.reader.prefix_size

    def begin(self) -> bytes:
        """Start the handshake.

        Returns:
            The bytes to write: the name of the side that connects; nothing for the other side.
        Raises:
            LocalProtocolError: the handshake has begun already.
        """
        assert self.handshake is not None
        return b"".join([handshake_frame(message) for message in self.handshake.begin()])

    def end_handshake(self) -> None:
        """Forget the handshake: it was broken off, or it is done and its results were read.

        An idle connection takes less memory without it.
        """
        if self.handshake is not None:
            self.handshake.end()  # an exception before the next line leaves it for another call
            self.handshake = None

    # --- in ---

    def receive_data(self, data: bytes) -> None:
        """Add bytes from the peer; `next_event` gives their events.

        Args:
            data: any number of bytes, cut anywhere.
        """
        self.reader.feed(data)

    def next_event(self) -> Event | None:
        """The next event in the peer's bytes.

        Returns:
            In the handshake an Answer, Up or Refused; afterwards messages. None when more bytes
            are needed.
        Raises:
            HandshakeError: the handshake has failed.
            RemoteProtocolError: the peer sent what the protocol forbids, or exceeded a limit.
        """
        return self.next_message() if self.is_up else self._next_step()

    def next_message(self) -> Message | None:
        """The next message of a session that is up; otherwise like `next_event`."""
        backlog = self.backlog
        decoder = self.decoder
        while True:
            if not backlog and not self.cut_frames():
                return None
            message = decoder.decode(backlog.popleft())
            if message is not None:  # neither a tick nor a fragment
                return message

    def cut_frames(self) -> bool:
        """Cut received bytes into frames for `backlog`; True if there was a frame."""
        frames = self.reader.frames()
        self.backlog.extend(frames)
        return bool(frames)

    def _next_step(self) -> Event | None:
        """The next event of the handshake."""
        handshake = self.handshake
        while handshake is not None and not self._refused:
            if handshake.refusal is not None:
                self._refused = True
                return Refused(handshake.refusal)
            if handshake.is_up:
                self._switch(handshake)
                return UP
            frame = self.reader.next_frame()
            if frame is None:
                return None
            answers = handshake.receive(frame)
            if answers:
                return Answer(b"".join([handshake_frame(answer) for answer in answers]))
        return None

    def _switch(self, handshake: Handshake) -> None:
        flags = handshake.effective_flags
        self.reader.use_message_prefix()
        self.decoder = FrameDecoder(flags, self._config)
        self._encoder = FrameEncoder(flags, self._config)
        self.is_up = True

    # --- out ---

    def send(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> list[Buffer]:
        """Make the bytes of one message.

        Args:
            control: a control message in its shape on the wire.
            payload: the message term, or NO_PAYLOAD.
        Returns:
            Buffers to write in order, all of them: the peer's atom cache follows what it receives.
        Raises:
            EncodeError: a value cannot be encoded; the session is unchanged.
            LocalProtocolError: the handshake is not done, or the message does not fit in a frame.
        """
        if self._encoder is None:
            raise LocalProtocolError("the handshake is not done: wait for the event Up")
        if self._watch is not None:
            self._watch(control, payload)
        return self._encoder.encode(control, payload)

    def watch_sent(self, watch: Watch) -> None:
        """Pass each message to a function before it is encoded."""
        self._watch = watch
