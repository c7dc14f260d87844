"""From a stream of bytes to frames and back: the length prefix, and nothing else.

Every message of the handshake has a prefix of 2 bytes, every later one a prefix of 4; both are
big-endian and do not count themselves. An empty frame behind a 4-byte prefix is a tick.

How the bytes travel, and why:

- What one recv brought is kept by reference and its frames are cut out of it in one sweep: small
  ones as bytes, others, fragments of large messages above all, as views that cost no copy. A
  connection at rest holds no buffer at all, so that a thousand idle ones take little memory.
- The rest of a recv, the beginning of a frame, is joined with what comes next only when the
  frame is complete, and that frame alone: the whole is linear however the bytes arrive.
- A large frame gets a buffer of its own as soon as its prefix is known, and the socket receives
  straight into it. That buffer is a BytesIO over `bytes(size)`: the zeroed pages of `bytes(n)`
  take no memory before they are written, so a peer cannot make this node allocate what it only
  announces, and `BytesIO.getvalue()` hands over the filled object instead of copying it.

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
    """A handshake message with its 2-byte length in front.

    Args:
        message: what `Handshake.begin` or `Handshake.receive` returned, one item of it.
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


# An unfinished frame above this size gets a buffer of its own.
LARGE_FRAME: Final = 256 * 1024
# A frame of at least this size is a view of what was received, not a copy.
VIEWED_FRAME: Final = 16 * 1024

Frame = Union[bytes, memoryview]


class FrameReader:
    """Cuts frames out of the bytes of one connection.

    While there is a `large_buffer`, receive into that and report with `large_filled`; else `feed`
    what was received. Then take frames with `next_frame` (in the handshake, where the prefix may
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
        # The bytes that no frame was made of yet; a bytearray while a frame is being completed.
        self.accumulator: bytes | bytearray = b""
        self._start = 0  # so many of them are taken already
        self._completed: bytes | None = None  # the frame in front of them
        self._wanted = 0  # what the accumulator must hold before there is anything to take
        self._large: BytesIO | None = None
        self.large_buffer: memoryview | None = None  # of what is still to be filled
        self._filled = 0

    def use_message_prefix(self) -> None:
        """Go over from the handshake's 2-byte prefix to the 4-byte prefix of messages.

        Raises:
            LocalProtocolError: a frame has begun to be read with the old prefix.
        """
        # A lone first byte of a prefix that no frame was read by yet is no hindrance.
        if self._wanted > self.prefix_size or self._large is not None:
            raise LocalProtocolError("the prefix cannot change in the middle of a frame")
        self._wanted = 0
        self.prefix_size = MESSAGE_PREFIX

    @property
    def unread(self) -> int:
        """How many bytes are held that no frame has been made of yet."""
        completed = 0 if self._completed is None else self.prefix_size + len(self._completed)
        return len(self.accumulator) - self._start + completed + self._filled

    # --- bytes in ---

    def large_filled(self, count: int) -> None:
        """Say how many bytes were received into the buffer of `large_buffer`.

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
        """Take in bytes that were received.

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
            # Only the frame that was begun is joined; what follows it stays where it is.
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
        """Take all frames that are complete, in their order, without their prefixes.

        Args:
            limit: at most this many frames; the rest stays for the next call.
        Returns:
            The frames; ticks are among them as ``b""``. A view keeps all that came with it in
            memory: what is to stay is to be copied.
        Raises:
            RemoteProtocolError: the peer announced a frame above ``max_frame_size``. Frames
                in front of that one are returned first; the next call raises.
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
        data = bytes(self.accumulator)  # no copy where it is bytes already
        prefix = self.prefix_size
        unpack = (_U32 if prefix == MESSAGE_PREFIX else _U16).unpack_from
        start = self._start
        self._start = 0
        self._wanted = 0
        while len(found) < limit and end - start >= prefix:
            (size,) = unpack(data, start)
            if size > self.max_frame_size:
                if found:
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

    def _too_large(self, size: int) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"the peer announced a frame of {size} bytes; the limit is"
            f" {self.max_frame_size}: raise Config.max_frame_size if such messages are wanted"
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
