"""Frames out of a byte stream, however it is cut."""

from __future__ import annotations

import random
import resource
import struct
import sys

import pytest

from uds_dist.config import Config
from uds_dist.errors import LocalProtocolError, RemoteProtocolError
from uds_dist.protocol.framing import (
    TICK,
    VIEWED_FRAME,
    Frame,
    FrameReader,
    handshake_frame,
)


def wire(frames: list[bytes], prefix: str = ">I") -> bytes:
    return b"".join(struct.pack(prefix, len(frame)) + frame for frame in frames)


def some_frames(rng: random.Random, largest: int = 400_000) -> list[bytes]:
    sizes = [
        rng.choice([0, 1, rng.randrange(64), rng.randrange(5000), rng.randrange(largest)])
        for _ in range(60)
    ]
    return [rng.randbytes(size) for size in sizes]


def receive_into(reader: FrameReader, data: bytes) -> None:
    """Receive bytes and cut frames as a connection does."""
    while data:
        buffer = reader.large_buffer
        if buffer is None:
            reader.feed(data)
            return
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        reader.large_filled(count)
        data = data[count:]


@pytest.mark.parametrize("prefix_size, prefix", [(2, ">H"), (4, ">I")])
def test_byte_by_byte(prefix_size: int, prefix: str) -> None:
    frames = [b"", b"a", b"bc" * 150, b"", b"d" * 5000, b"e"]
    reader = FrameReader(Config(), prefix_size)
    found = []
    for byte in wire(frames, prefix):
        reader.feed(bytes((byte,)))
        frame = reader.next_frame()
        if frame is not None:
            found.append(frame)
    assert found == frames
    assert reader.unread == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_cuts(seed: int) -> None:
    rng = random.Random(seed)
    frames = some_frames(rng)
    data = wire(frames)
    reader = FrameReader(Config(), 4)
    found: list[Frame] = []
    at = 0
    while at < len(data):
        count = rng.choice([1, rng.randrange(1, 100), rng.randrange(1, 20_000)])
        chunk = data[at : at + count]
        at += count
        if rng.random() < 0.5:
            reader.feed(chunk)
        else:
            receive_into(reader, chunk)
        if rng.random() < 0.7:
            found += reader.frames(rng.randrange(1, 10))
    while len(found) < len(frames):
        more = reader.frames(3)
        assert more
        found += more
    assert found == frames
    assert reader.frames(3) == []
    # Small ones take part in dicts and slices, large ones are not copied without need.
    assert all(type(frame) is bytes for frame in found if len(frame) < VIEWED_FRAME)


def test_many_frames_come_in_one_sweep_and_in_order() -> None:
    frames = [b"%d" % n for n in range(10_000)]
    reader = FrameReader(Config(), 4)
    reader.feed(wire(frames))
    assert reader.frames(100) == frames[:100]
    assert reader.frames(100_000) == frames[100:]
    # A reader at rest holds nothing.
    assert reader.accumulator == b""


def test_a_frame_of_some_size_is_a_view_of_what_was_received() -> None:
    reader = FrameReader(Config(), 4)
    frames = [bytes(VIEWED_FRAME - 1), bytes(VIEWED_FRAME), b"", bytes(65_536)]
    data = wire([*frames, frames[1]])
    reader.feed(data)
    found = reader.frames(4)
    assert found == frames
    assert [type(frame) for frame in found] == [bytes, memoryview, bytes, memoryview]
    assert all(frame.obj is data for frame in found if isinstance(frame, memoryview))
    # In the handshake, one by one, they are bytes at any size.
    assert type(reader.next_frame()) is bytes


@pytest.mark.parametrize("cut", [4, 5, 30_000, 65_539])
def test_a_frame_in_two_parts_is_joined_and_keeps_neither(cut: int) -> None:
    reader = FrameReader(Config(), 4)
    frame = random.Random(2).randbytes(65_536)
    data = wire([frame, b"behind"])
    reader.feed(data[:cut])
    assert reader.frames() == []
    reader.feed(data[cut:])
    whole, behind = reader.frames()
    assert (whole, behind) == (frame, b"behind")
    assert type(whole) is bytes
    assert reader.accumulator == b"" and reader.unread == 0


def test_a_large_frame_is_received_into_a_buffer_of_its_own() -> None:
    reader = FrameReader(Config(), 4)
    frame = random.Random(1).randbytes(3_000_000)
    data = wire([b"first", frame, b"last"])
    receive_into(reader, data[:1000])
    assert reader.frames(10) == [b"first"]
    assert reader.unread == 1000 - 9 - 4
    buffer = reader.large_buffer
    assert buffer is not None
    assert len(buffer) == len(frame) - reader.unread  # the rest of the frame, and no more
    receive_into(reader, data[1000:-1])
    assert reader.frames(10) == [frame]
    receive_into(reader, data[-1:])
    assert reader.frames(10) == [b"last"]


def test_what_has_begun_can_be_dropped() -> None:
    for size in (300, 300_000):
        reader = FrameReader(Config(), 4)
        receive_into(reader, wire([b"x" * size])[:200])
        assert reader.frames() == [] and reader.unread > 100
        view = reader.large_buffer
        reader.drop()
        assert reader.unread == 0 and reader.frames() == [] and reader.large_buffer is None
        if view is not None:
            # Python's development mode reports a BytesIO that is collected before its views.
            with pytest.raises(ValueError, match="released"):
                len(view)


def test_feed_behind_a_large_frame() -> None:
    reader = FrameReader(Config(), 4)
    frame = b"x" * 300_000
    data = wire([frame, b"y", frame])
    reader.feed(data[:10])
    assert reader.frames(10) == []
    reader.feed(data[10:])
    assert reader.frames(1) == [frame]
    assert reader.frames(10) == [b"y", frame]


def test_the_prefix_changes_between_two_frames() -> None:
    reader = FrameReader(Config())
    assert reader.prefix_size == 2
    reader.feed(wire([b"sok"], ">H") + wire([b"message", b""]))
    assert reader.next_frame() == b"sok"
    reader.use_message_prefix()
    assert reader.prefix_size == 4
    assert reader.next_frame() == b"message"
    assert reader.next_frame() == b""
    assert reader.next_frame() is None


def test_the_prefix_does_not_change_within_a_frame() -> None:
    reader = FrameReader(Config())
    reader.feed(b"\xff\xffabc")
    assert reader.next_frame() is None
    with pytest.raises(LocalProtocolError, match="middle of a frame"):
        reader.use_message_prefix()


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_prefix_changes_wherever_the_next_message_is_cut(cut: int) -> None:
    reader = FrameReader(Config())
    after = wire([b"message"])
    reader.feed(wire([b"ack"], ">H") + after[:cut])
    assert reader.next_frame() == b"ack"
    reader.use_message_prefix()
    assert reader.next_frame() is None
    reader.feed(after[cut:])
    assert reader.next_frame() == b"message"


def test_a_tick_is_an_empty_frame() -> None:
    reader = FrameReader(Config(), 4)
    reader.feed(TICK * 2)
    assert reader.frames(5) == [b"", b""]


@pytest.mark.parametrize("there", [0, 5, 1001])
def test_a_frame_above_the_limit_is_refused_however_much_of_it_is_there(there: int) -> None:
    reader = FrameReader(Config(max_frame_size=1000), 4)
    reader.feed(wire([b"ok", b"x" * 1000]) + b"\x00\x00\x03\xe9" + bytes(there))
    # The frames before it are not lost, and another call raises again.
    assert reader.frames(10) == [b"ok", b"x" * 1000]
    for _ in range(2):
        with pytest.raises(RemoteProtocolError, match="1001 bytes.*Config.max_frame_size"):
            reader.frames(10)


def test_an_announced_frame_takes_no_memory() -> None:
    def most_memory() -> int:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024

    reader = FrameReader(Config(), 4)
    before = most_memory()
    size = Config().max_frame_size
    reader.feed(struct.pack(">I", size) + b"x")
    assert reader.frames(1) == []
    assert reader.unread == 1
    assert len(reader.large_buffer or b"") == size - 1
    assert most_memory() - before < size // 4


def test_large_filled_is_checked() -> None:
    reader = FrameReader(Config(), 4)
    with pytest.raises(LocalProtocolError):
        reader.large_filled(1)
    reader.feed(struct.pack(">I", 300_000))
    assert reader.frames() == []
    with pytest.raises(LocalProtocolError):
        reader.large_filled(300_001)


def test_a_lent_buffer_is_dead_after_use() -> None:
    reader = FrameReader(Config(), 4)
    reader.feed(struct.pack(">I", 300_000))
    assert reader.frames() == []
    buffer = reader.large_buffer
    assert buffer is not None
    reader.large_filled(0)
    with pytest.raises(ValueError):
        buffer[0] = 1


def test_handshake_frame() -> None:
    assert handshake_frame(b"sok") == b"\x00\x03sok"
    with pytest.raises(LocalProtocolError):
        handshake_frame(bytes(65536))


def test_repr_shows_the_state() -> None:
    reader = FrameReader(Config())
    reader.feed(b"abc")
    assert repr(reader) == "<FrameReader prefix_size=2 unread=3>"


def test_a_tick_leads_to_a_frame_above_the_limit() -> None:
    reader = FrameReader(Config(max_frame_size=1000), 4)
    assert reader.receive(wire([b"ok"]) + b"\x00\x00\x03\xe9") == [b"ok", b""]
    with pytest.raises(RemoteProtocolError, match="1001 bytes"):
        reader.frames()
