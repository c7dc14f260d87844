"""From a stream of bytes to frames and back: the length prefix, and nothing else.

Every message of the handshake has a prefix of 2 bytes, every later one a prefix of 4; both are
big-endian and do not count themselves. An empty frame after a 4-byte prefix is a tick.

How the bytes travel, and why:

- The bytes of one recv are kept by reference, and their frames are cut out in one pass: small ones
  as bytes, others, mostly fragments of large messages, as views without a copy. A connection at
  rest holds no buffer at all, so a thousand idle ones take little memory.
- An incomplete frame at the end of a recv is joined with later bytes only once it is complete, and
  only that frame: the cost is linear however the bytes arrive.
- A large frame gets its own buffer as soon as its prefix is known, and the socket receives directly
  into it. That buffer is a BytesIO over `bytes(size)`: the zeroed pages of `bytes(n)` take no
  memory until they are written, so a peer cannot make this node allocate what it only announces;
  and `BytesIO.getvalue()` returns the filled object without copying it.

Source: Distribution Protocol, sections "Distribution Handshake" and "Protocol between Connected
Nodes".
"""

from __future__ import annotations

from io import BytesIO
from struct import Struct
from sys import maxsize
from typing import Final, Union

from uds_dist.config import Config
from uds_dist.errors import LocalProtocolError, RemoteProtocolError

HANDSHAKE_PREFIX: Final = 2
MESSAGE_PREFIX: Final = 4

TICK: Final = b"\0\0\0\0"

_U16 = Struct(">H")
_U32 = Struct(">I")


def handshake_frame(message: bytes) -> bytes:
    """A handshake message, preceded by its 2-byte length.

    Args:
        message: one of the messages that `Handshake.begin` or `Handshake.receive` returned.
    Returns:
        The bytes for the wire.
    Raises:
        LocalProtocolError: the message is longer than 65,535 bytes.
    """
    if len(message) > 0xFFFF:
        raise LocalProtocolError(
            f"a handshake message of {len(message)} bytes cannot be sent: the limit is 65535"
        )
    return _U16.pack(len(message)) + message


# An unfinished frame above this size gets its own buffer.
LARGE_FRAME: Final = 256 * 1024
# A frame of at least this size is a view of what was received, not a copy.
VIEWED_FRAME: Final = 16 * 1024

Frame = Union[bytes, memoryview]


class FrameReader:
    """Cuts frames out of the bytes of one connection.

    While there is a `large_buffer`, receive into that and report with `large_filled`; else `feed`
    the received bytes. Then take frames with `next_frame` (in the handshake, where the prefix may
    change between two frames) or `frames` (afterwards).

    Args:
        config: ``max_frame_size`` (bytes) is read.
        prefix_size: 2 or 4 bytes.
    """

    __slots__ = (
        "accumulator",
        "large_buffer",
        "max_frame_size",
        "prefix_size",
        "_completed",
        "_filled",
        "_large",
        "_start",
        "_wanted",
    )

    def __init__(self, config: Config, prefix_size: int = HANDSHAKE_PREFIX) -> None:
        self.prefix_size = prefix_size
        self.max_frame_size = config.max_frame_size
        # The bytes not yet cut into frames; a bytearray while a frame is being completed.
        self.accumulator: bytes | bytearray = b""
        self._start = 0  # how many of them are taken already
        self._completed: bytes | None = None  # the prefix before them
        self._wanted = 0  # the bytes needed before there is a frame to take
        self._large: BytesIO | None = None
        self.large_buffer: memoryview | None = None  # still to be filled
        self._filled = 0

    def use_message_prefix(self) -> None:
        """Switch from the handshake's 2-byte prefix to the 4-byte prefix of messages.

        Raises:
            LocalProtocolError: a frame was begun with the old prefix.
        """
        # The first byte of a prefix alone has not begun a frame yet.
        if self._wanted > self.prefix_size or self._large is not None:
            raise LocalProtocolError("the prefix cannot change in the middle of a frame")
        self._wanted = 0
        self.prefix_size = MESSAGE_PREFIX

    @property
    def unread(self) -> int:
        """How many bytes are held that are not cut into frames yet."""
        completed = 0 if self._completed is None else self.prefix_size + len(self._completed)
        return len(self.accumulator) - self._start + completed + self._filled

    # --- bytes in ---

    def large_filled(self, count: int) -> None:
        """Report how many bytes were received into the buffer of `large_buffer`.

        Args:
            count: bytes, 0 or more.
        """
        if self.large_buffer is None or not 0 <= count <= len(self.large_buffer):
            raise LocalProtocolError(f"large_filled({count}) does not fit large_buffer")
        rest = self.large_buffer[count:]
        self.large_buffer.release()
        self._filled += count
        self.large_buffer = rest if len(rest) else None

    def feed(self, data: bytes) -> None:
        """Add received bytes.

        Args:
            data: any number of bytes, cut anywhere.
        """
        if self.large_buffer is not None:
            count = min(len(data), len(self.large_buffer))
            self.large_buffer[:count] = memoryview(data)[:count]
            self.large_filled(count)
            data = data[count:]
        if self._start:
            self.accumulator = self.accumulator[self._start :]
            self._start = 0
        begun = self.accumulator
        missing = self._wanted - len(begun)
        if not begun:
            self.accumulator = data
        elif self._wanted > self.prefix_size and 0 < missing <= len(data):
            # Join only the frame that was begun; what follows stays where it is.
            self._completed = b"".join(
                (memoryview(begun)[self.prefix_size :], memoryview(data)[:missing])
            )
            self._wanted = 0
            self._start = missing
            self.accumulator = data
        elif type(begun) is bytearray:
            begun += data
        else:
            self.accumulator = bytearray(begun) + data

    def receive(self, data: bytes) -> list[Frame]:
        """Add received bytes, and take all complete frames: `feed` and `frames` in one."""
        if self.accumulator or self._large is not None:
            self.feed(data)
        else:
            self.accumulator = data  # nothing is begun
        return self.frames()

    # --- frames out ---

    def next_frame(self) -> bytes | None:
        """Take one frame, without its prefix.

        Returns:
            The frame; ``b""`` is a tick when the prefix is 4; None when more bytes are needed.
        Raises:
            RemoteProtocolError: the peer announced a frame above ``max_frame_size``.
        """
        found = self.frames(1)
        return bytes(found[0]) if found else None

    def frames(self, limit: int = maxsize) -> list[Frame]:
        """Take all complete frames, in order, without their prefixes.

        Args:
            limit: at most this many frames; the rest stays for the next call.
        Returns:
            The frames; a tick is ``b""``. A view keeps the whole recv in memory: copy what must
            live longer.
        Raises:
            RemoteProtocolError: the peer announced a frame above ``max_frame_size``. Frames before
                that one are returned first, without a limit with a tick after them; the next call
                raises.
        """
        found: list[Frame] = []
        if self._large is not None:
            if self.large_buffer is not None:
                return found
            found.append(self._take_large())
        if self._completed is not None:
            found.append(self._completed)
            self._completed = None
        end = len(self.accumulator)
        if end < self._wanted or not end:
            return found
        data = bytes(self.accumulator)  # no copy if it is bytes already
        prefix = self.prefix_size
        unpack = (_U32 if prefix == MESSAGE_PREFIX else _U16).unpack_from
        start = self._start
        self._start = 0
        self._wanted = 0
        while len(found) < limit and end - start >= prefix:
            (size,) = unpack(data, start)
            if size > self.max_frame_size:
                if found:
                    if limit == maxsize:
                        found.append(b"")  # as after any tick, the caller asks for more next
                    break
                raise self._too_large(size)
            after = start + prefix + size
            if after > end:
                if size > LARGE_FRAME:
                    self._begin_large(size, data[start + prefix :])
                    start = end
                else:
                    self._wanted = prefix + size
                break
            if size < VIEWED_FRAME:
                found.append(data[start + prefix : after])
            else:
                found.append(memoryview(data)[start + prefix : after])
            start = after
        else:
            if start < end < start + prefix:
                self._wanted = prefix
        self.accumulator = data[start:]
        return found

    def drop(self) -> None:
        """Drop what is held: no more bytes will come."""
        view, self.large_buffer = self.large_buffer, None
        if view is not None:
            view.release()  # Python's development mode reports a BytesIO that is collected before it
        self._large = None
        self._filled = 0
        self._completed = None
        self.accumulator = b""
        self._start = 0
        self._wanted = 0

    def _too_large(self, size: int) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"the peer announced a frame of {size} bytes; the limit is"
            f" {self.max_frame_size}: raise Config.max_frame_size to allow it"
        )

    def _begin_large(self, size: int, begun: bytes) -> None:
        self._large = BytesIO(bytes(size))
        view = self._large.getbuffer()
        self._filled = len(begun)
        view[: self._filled] = begun
        self.large_buffer = view[self._filled :]
        view.release()

    def _take_large(self) -> bytes:
        assert self._large is not None
        frame = self._large.getvalue()
        self._large = None
        self._filled = 0
        return frame

    def __repr__(self) -> str:
        return f"<FrameReader prefix_size={self.prefix_size} unread={self.unread}>"
