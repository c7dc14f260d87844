"""From a stream of bytes to frames and back: the length prefix, and nothing else.

Every message of the handshake has a prefix of 2 bytes, every later one a prefix of 4; both are
big-endian and do not count themselves. An empty frame behind a 4-byte prefix is a tick.

How the bytes travel, and why:

- Small frames are received many at a time into one accumulator and cut out of it in one sweep.
  The sweep works on a `bytes` snapshot, because slicing `bytes` costs a third of slicing a
  memoryview and turning the slice into bytes.
- A large frame gets a buffer of its own as soon as its prefix is known, and the socket receives
  straight into it. That buffer is a BytesIO over `bytes(size)`: the zeroed pages of `bytes(n)`
  take no memory before they are written, so a peer cannot make this node allocate what it only
  announces, and `BytesIO.getvalue()` hands over the filled object instead of copying it.
- What is left of a partial small frame moves to the front of the accumulator when room gets
  short: once per frame at most, so the whole is linear however the bytes arrive.

Source: Distribution Protocol, sections "Distribution Handshake" and "Protocol between Connected
Nodes".
"""

from __future__ import annotations

from io import BytesIO
from struct import Struct

from uds_dist.config import Config
from uds_dist.errors import LocalProtocolError, RemoteProtocolError

HANDSHAKE_PREFIX = 2
MESSAGE_PREFIX = 4

TICK = b"\0\0\0\0"

# How much of the accumulator is made `bytes` at a time.
_SNAPSHOT = 64 * 1024

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


class FrameReader:
    """Cuts frames out of the bytes of one connection.

    Either `feed` it bytes, or receive into `get_buffer()` and report with `buffer_updated(n)`;
    then take frames with `next_frame` (in the handshake, where the prefix may change between two
    frames) or `frames` (afterwards).

    Args:
        config: ``max_frame_size`` and ``receive_size`` (both bytes) are read.
        prefix_size: 2 or 4 bytes.
    """

    __slots__ = (
        "prefix_size",
        "accumulator",
        "max_frame_size",
        "_capacity",
        "_start",
        "_end",
        "_large",
        "_large_view",
        "_large_size",
        "_large_filled",
        "_lent",
    )

    def __init__(self, config: Config, prefix_size: int = HANDSHAKE_PREFIX) -> None:
        self.prefix_size = prefix_size
        self.max_frame_size = config.max_frame_size
        # The unread bytes are accumulator[_start:_end].
        self._capacity = max(config.receive_size, 4096)
        self.accumulator = bytearray(self._capacity)
        self._start = 0
        self._end = 0
        self._large: BytesIO | None = None
        self._large_view: memoryview | None = None
        self._large_size = 0
        self._large_filled = 0
        self._lent: memoryview | None = None

    def use_message_prefix(self) -> None:
        """Go over from the handshake's 2-byte prefix to the 4-byte prefix of messages.

        Raises:
            LocalProtocolError: a frame has begun to be read with the old prefix.
        """
        if self._large is not None:
            raise LocalProtocolError("the prefix cannot change in the middle of a frame")
        self.prefix_size = MESSAGE_PREFIX

    @property
    def unread(self) -> int:
        """How many bytes are held that no frame has been made of yet."""
        return self._end - self._start + self._large_filled

    # --- bytes in ---

    def get_buffer(self) -> memoryview:
        """A writable place for the next bytes; good until `buffer_updated` is called.

        Returns:
            A view of at least one byte.
        """
        if self._lent is not None:
            self._lent.release()
        if self._large_view is not None and self._large_filled < self._large_size:
            self._lent = self._large_view[self._large_filled :]
        else:
            self._make_room(1)
            self._lent = memoryview(self.accumulator)[self._end :]
        return self._lent

    def buffer_updated(self, count: int) -> None:
        """Say how many bytes were received into the buffer of the last `get_buffer` call.

        Args:
            count: bytes, 0 or more.
        """
        lent = self._lent
        if lent is None or not 0 <= count <= len(lent):
            raise LocalProtocolError(
                f"buffer_updated({count}) does not fit what get_buffer() gave"
            )
        # Released here so that a buffer kept by mistake fails at once, and so that the
        # accumulator may change its size.
        lent.release()
        self._lent = None
        if self._large_view is not None and self._large_filled < self._large_size:
            self._large_filled += count
        else:
            self._end += count

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in bytes that were received elsewhere.

        Args:
            data: any number of bytes, cut anywhere.
        """
        if self._lent is not None:
            self._lent.release()
            self._lent = None
        view = memoryview(data)
        taken = 0
        if self._large_view is not None:
            filled = self._large_filled
            taken = min(len(view), self._large_size - filled)
            self._large_view[filled : filled + taken] = view[:taken]
            self._large_filled = filled + taken
        count = len(view) - taken
        if count:
            self._make_room(count)
            self.accumulator[self._end : self._end + count] = view[taken:]
            self._end += count

    def _make_room(self, count: int) -> None:
        size = len(self.accumulator)
        if self._start == self._end:
            self._start = self._end = 0
            if size > self._capacity and count <= self._capacity:
                self.accumulator = bytearray(self._capacity)
                size = self._capacity
        room = size - self._end
        if self._start and (room < count or room < size // 2):
            unread = self._end - self._start
            self.accumulator[:unread] = self.accumulator[self._start : self._end]
            self._start = 0
            self._end = unread
            room = size - unread
        if room < count:
            # Only for a caller that goes on reading without taking frames out.
            self.accumulator.extend(bytes(max(size, count - room)))

    # --- frames out ---

    def next_frame(self) -> bytes | None:
        """Take one frame, without its prefix.

        Returns:
            The frame; ``b""`` is a tick when the prefix is 4; None when more bytes are needed.
        Raises:
            RemoteProtocolError: the peer announced a frame above ``max_frame_size``.
        """
        found = self.frames(1)
        return found[0] if found else None

    def frames(self, limit: int) -> list[bytes]:
        """Take all frames that are complete, in their order, without their prefixes.

        Args:
            limit: at most this many frames; the rest stays for the next call.
        Returns:
            The frames; ticks are among them as ``b""``.
        Raises:
            RemoteProtocolError: the peer announced a frame above ``max_frame_size``. Frames
                in front of that one are returned first; the next call raises.
        """
        found: list[bytes] = []
        if self._large is not None:
            if self._large_filled < self._large_size:
                return found
            found.append(self._take_large())
        start = self._start
        end = self._end
        prefix = self.prefix_size
        unpack = (_U32 if prefix == MESSAGE_PREFIX else _U16).unpack_from
        accumulator = self.accumulator
        snapshot = b""
        base = covered = start
        while len(found) < limit and end - start >= prefix:
            (size,) = unpack(accumulator, start)
            if size > self.max_frame_size:
                self._start = start
                if found:
                    return found
                raise RemoteProtocolError(
                    f"the peer announced a frame of {size} bytes; the limit is"
                    f" {self.max_frame_size}: raise Config.max_frame_size if such messages are"
                    " wanted"
                )
            begin = start + prefix
            after = begin + size
            if after > end:
                self._start = start
                self._await_frame(begin, size)
                return found
            if limit == 1 or size > _SNAPSHOT:
                found.append(bytes(memoryview(accumulator)[begin:after]))
            else:
                if after > covered:
                    # Bounded, so that a backlog taken in many small helpings stays linear.
                    base = begin
                    covered = min(end, begin + _SNAPSHOT)
                    snapshot = bytes(memoryview(accumulator)[begin:covered])
                found.append(snapshot[begin - base : after - base])
            start = after
        self._start = start
        return found

    def _await_frame(self, begin: int, size: int) -> None:
        """The frame whose bytes start at ``begin`` is not complete: see to its buffer."""
        if self.prefix_size + size <= self._capacity // 2:
            return
        self._large = BytesIO(bytes(size))
        self._large_view = self._large.getbuffer()
        self._large_size = size
        self._large_filled = self._end - begin
        self._large_view[: self._large_filled] = memoryview(self.accumulator)[begin : self._end]
        self._start = self._end = 0

    def _take_large(self) -> bytes:
        large = self._large
        view = self._large_view
        assert large is not None and view is not None
        if self._lent is not None:
            self._lent.release()
            self._lent = None
        view.release()
        self._large = None
        self._large_view = None
        self._large_size = self._large_filled = 0
        return large.getvalue()

    def __repr__(self) -> str:
        return f"<FrameReader prefix_size={self.prefix_size} unread={self.unread}>"
