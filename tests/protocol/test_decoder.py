"""Received frames: distribution header, atom cache, fragments and pass-through."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable

import pytest

from tests.protocol.support import (
    BOTH,
    CACHE,
    COMBINATIONS,
    CONFIG,
    CONTROL,
    FRAGMENTS,
    NONE,
    SEND,
    SEND_BY_REF,
    SEND_INLINE,
    SMALL,
    P,
    Q,
    every_combination,
    frames_of,
    table,
)
from uds_dist.config import Config
from uds_dist.errors import DecodeError, EncodeError, RemoteProtocolError
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom, BitString, Pid
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.decoder import FrameDecoder, Postponed
from uds_dist.protocol.encoder import FrameEncoder
from uds_dist.protocol.framing import Frame, FrameReader

# --- the guide's own example ----------------------------------------------------------------------

GUIDE_CONTROL = bytes((104, 4, 97, 6, 103, 82, 0, 0, 0, 0, 85, 0, 0, 0, 0, 2, 82, 1, 82, 2))
GUIDE_FIRST = (
    bytes((131, 69, 0, 0, 2, 168, 0, 0, 5, 83, 0, 0, 0, 0, 0, 0, 0, 2))
    + bytes((5, 4, 137, 9, 10, 5, 236, 3, 114, 101, 103, 9, 4, 99, 97, 108, 108))
    + bytes((238, 13))
    + b"set_get_state"
    + GUIDE_CONTROL
    + bytes((104, 3, 82, 3, 103, 82, 0, 0, 0, 0, 245, 0, 0, 0, 2, 2))
    + bytes((104, 2, 82, 4, 109, 0, 0, 0, 128))
    + bytes(103)
)
GUIDE_LAST = bytes((131, 70, 0, 0, 2, 168, 0, 0, 5, 83, 0, 0, 0, 0, 0, 0, 0, 1)) + bytes(25)
# What must have come before it: its entries 1034 and 5.
GUIDE_BEFORE = (
    b"\x83D"
    + table((1034, b"a@host"), (5, b""))
    + b"h\x03a\x02R\x01gR\x00\0\0\0\x01\0\0\0\0\x02"
    + b"m\0\0\0\0"
)


def test_the_guides_example() -> None:
    decoder = FrameDecoder(BOTH, CONFIG)
    assert decoder.decode(GUIDE_BEFORE) == ((2, "", Pid("a@host", 1, 0, 2)), b"")
    assert decoder.decode(GUIDE_FIRST) is None
    assert decoder.unfinished_sequences == 1
    assert decoder.unfinished_bytes == 128
    assert decoder.decode(GUIDE_LAST) == (
        (6, Pid("a@host", 85, 0, 2), Atom(""), Atom("reg")),
        (Atom("call"), Pid("a@host", 245, 2, 2), (Atom("set_get_state"), bytes(128))),
    )
    assert decoder.unfinished_sequences == decoder.unfinished_bytes == 0


def test_the_guides_example_without_what_came_before() -> None:
    with pytest.raises(RemoteProtocolError, match="entry 1034"):
        FrameDecoder(BOTH, CONFIG).decode(GUIDE_FIRST)


# --- the four combinations, by hand ---------------------------------------------------------------

PASSED = b"p\x83" + SEND_INLINE + b"\x83a\x05"
PASSED_WITHOUT_PAYLOAD = b"p\x83" + SEND_INLINE
NO_ATOMS = b"\x83D\x00" + SEND_INLINE + b"a\x05"
NO_ATOMS_WITHOUT_PAYLOAD = b"\x83D\x00" + SEND_INLINE
ATOMS = b"\x83D" + table((0, b"myapp@localhost"), (1, b"")) + SEND_BY_REF + b"a\x05"
IDS = struct.pack(">QQ", 99, 2)
FIRST = b"\x83E" + IDS + b"\x00" + SEND_INLINE
FIRST_ATOMS = b"\x83E" + IDS + table((0, b"myapp@localhost"), (1, b"")) + SEND_BY_REF
LAST = b"\x83F" + struct.pack(">QQ", 99, 1) + b"a\x05"


def test_pass_through() -> None:
    decoder = FrameDecoder(NONE, CONFIG)
    assert decoder.decode(PASSED) == (SEND, 5)
    assert decoder.decode(PASSED_WITHOUT_PAYLOAD) == (SEND, NO_PAYLOAD)


@pytest.mark.parametrize("flags", [FRAGMENTS, CACHE, BOTH])
def test_a_header_with_no_atoms_is_good_wherever_headers_are(flags: int) -> None:
    decoder = FrameDecoder(flags, CONFIG)
    assert decoder.decode(NO_ATOMS) == (SEND, 5)
    assert decoder.decode(NO_ATOMS_WITHOUT_PAYLOAD) == (SEND, NO_PAYLOAD)


@pytest.mark.parametrize("flags", [CACHE, BOTH])
def test_a_header_with_atoms(flags: int) -> None:
    decoder = FrameDecoder(flags, CONFIG)
    assert decoder.decode(ATOMS) == (SEND, 5)
    again = b"\x83D" + table((0, None), (1, None)) + SEND_BY_REF + b"a\x05"
    for _ in range(3):
        assert decoder.decode(again) == (SEND, 5)


@every_combination
def test_a_hopeful_frame_is_good_at_any_size(flags: int) -> None:
    """What a BEAM wrote before the handshake was over comes unfragmented, with no atoms."""
    big = bytes(200_000)
    if flags == NONE:
        frame = b"p\x83" + SEND_INLINE + encode(big)
    else:
        frame = b"\x83D\x00" + SEND_INLINE + encode(big)[1:]
    assert FrameDecoder(flags, CONFIG).decode(frame) == (SEND, big)


@pytest.mark.parametrize("flags, first", [(FRAGMENTS, FIRST), (BOTH, FIRST), (BOTH, FIRST_ATOMS)])
def test_fragments(flags: int, first: bytes) -> None:
    decoder = FrameDecoder(flags, CONFIG)
    assert decoder.decode(first) is None
    assert decoder.decode(b"") is None
    assert decoder.decode(LAST) == (SEND, 5)


@pytest.mark.parametrize(
    ("flags", "frame", "kind"),
    [
        (NONE, NO_ATOMS, 68),
        (NONE, ATOMS, 68),
        (NONE, FIRST, 69),
        (NONE, LAST, 70),
        (FRAGMENTS, PASSED, 112),
        (CACHE, PASSED, 112),
        (CACHE, FIRST, 69),
        (CACHE, LAST, 70),
        (BOTH, PASSED, 112),
        (BOTH, b"\x83G" + bytes(20), 71),
        (BOTH, b"\x82" + bytes(20), 130),
    ],
)
def test_what_the_flags_do_not_sanction_is_refused(flags: int, frame: bytes, kind: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"kind {kind}; the flags"):
        FrameDecoder(flags, CONFIG).decode(frame)


@pytest.mark.parametrize("frame", [ATOMS, FIRST_ATOMS])
def test_atoms_without_the_cache_are_refused(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="2 atoms"):
        FrameDecoder(FRAGMENTS, CONFIG).decode(frame)


@every_combination
def test_a_tick_is_no_message(flags: int) -> None:
    assert FrameDecoder(flags, CONFIG).decode(b"") is None


# --- fragments ------------------------------------------------------------------------------------


def fragmented(rng: random.Random, encoder: FrameEncoder) -> tuple[list[bytes], object]:
    payload = (Atom(f"sender_{rng.randrange(9)}"), rng.randbytes(rng.randrange(300, 3000)))
    return frames_of(encoder.encode(CONTROL, payload)), (CONTROL, payload)


@pytest.mark.parametrize("seed", range(10))
def test_interleaved_sequences(seed: int) -> None:
    """Frames of several senders in random turns: what counts is the order within a sequence, and
    that first fragments come in the order they were encoded, for the sake of the atom cache."""
    rng = random.Random(seed)
    encoder, decoder = FrameEncoder(BOTH, SMALL), FrameDecoder(BOTH, SMALL)
    due: list[tuple[list[bytes], object]] = []
    to_come = [fragmented(rng, encoder) for _ in range(30)]
    expected = [message for _, message in to_come]
    found = []
    while due or to_come:
        if to_come and (not due or rng.random() < 0.2):
            due.append(to_come.pop(0))
            frame = due[-1][0].pop(0)
        else:
            frame = rng.choice(due)[0].pop(0)
        message = decoder.decode(frame)
        finished = [entry for entry in due if not entry[0]]
        if message is None:
            assert not finished
        else:
            assert message == finished[0][1]
            due.remove(finished[0])
            found.append(message)
    assert len(found) == len(expected)
    assert decoder.unfinished_sequences == decoder.unfinished_bytes == 0


def test_whole_messages_between_fragments() -> None:
    encoder, decoder = FrameEncoder(BOTH, SMALL), FrameDecoder(BOTH, SMALL)
    first, second, third = frames_of(encoder.encode(CONTROL, [Atom("a"), bytes(250)]))
    between = frames_of(encoder.encode(CONTROL, Atom("between")))
    assert decoder.decode(first) is None
    assert decoder.decode(between[0]) == (CONTROL, Atom("between"))
    assert decoder.decode(second) is None
    assert decoder.decode(b"") is None
    assert decoder.decode(third) == (CONTROL, [Atom("a"), bytes(250)])


def test_atoms_of_a_sequence_are_those_of_its_first_fragment() -> None:
    """An entry written over while a sequence is under way does not change the sequence."""
    decoder = FrameDecoder(BOTH, CONFIG)
    first = b"\x83E" + struct.pack(">QQ", 1, 2) + table((3, b"old")) + b"h\x01a\x05"
    assert decoder.decode(first) is None
    other = b"\x83D" + table((3, b"new")) + b"h\x01a\x05R\x00"
    assert decoder.decode(other) == ((5,), Atom("new"))
    last = b"\x83F" + struct.pack(">QQ", 1, 1) + b"R\x00"
    assert decoder.decode(last) == ((5,), Atom("old"))


def test_a_sequence_of_one_fragment_and_one_of_empty_ones() -> None:
    decoder = FrameDecoder(FRAGMENTS, CONFIG)
    alone = b"\x83E" + struct.pack(">QQ", 1, 1) + b"\x00h\x01a\x05a\x06"
    assert decoder.decode(alone) == ((5,), 6)
    assert decoder.decode(b"\x83E" + struct.pack(">QQ", 1, 3) + b"\x00h\x01a\x05") is None
    assert decoder.decode(b"\x83F" + struct.pack(">QQ", 1, 2)) is None
    assert decoder.decode(b"\x83F" + struct.pack(">QQ", 1, 1)) == ((5,), NO_PAYLOAD)


def test_tiny_fragments() -> None:
    decoder = FrameDecoder(FRAGMENTS, CONFIG)
    payload = encode(random.Random(3).randbytes(20_000))[1:]
    total = len(payload)
    frame = b"\x83E" + struct.pack(">QQ", 1, total) + b"\x00h\x01a\x05" + payload[:1]
    assert decoder.decode(frame) is None
    for n in range(1, total - 1):
        frame = b"\x83F" + struct.pack(">QQ", 1, total - n) + payload[n : n + 1]
        assert decoder.decode(frame) is None
    last = b"\x83F" + struct.pack(">QQ", 1, 1) + payload[-1:]
    message = decoder.decode(last)
    assert message is not None and encode(message[1])[1:] == payload


Received = Callable[[bytes], Frame]
bytes_or_view = pytest.mark.parametrize("received", [bytes, memoryview])


def fragments(payload: bytes, count: int) -> list[bytes]:
    """A payload in fragments of this many bytes each."""
    pieces = [payload[at : at + count] for at in range(0, len(payload), count)]
    heads = [b"\x83E" + struct.pack(">QQ", 1, len(pieces)) + b"\x00h\x01a\x05"]
    heads += [b"\x83F" + struct.pack(">QQ", 1, n) for n in range(len(pieces) - 1, 0, -1)]
    return [head + piece for head, piece in zip(heads, pieces)]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([LAST], "never began"),
        ([FIRST, FIRST], "again"),
        ([FIRST, LAST, LAST], "never began"),
        ([FIRST, LAST[:17] + b"\x02" + LAST[18:]], "fragment 2 .* expected 1"),
        ([FIRST[:17] + b"\x00" + FIRST[18:]], "fragment id 0"),
        ([FIRST, LAST[:18]], None),
        ([FIRST, LAST + b"a"], "1 bytes after"),
        ([FIRST[:18]], "within its header"),
        ([FIRST[:10]], "within its header"),
        ([FIRST, LAST[:10]], "within its header"),
        ([FIRST[:19]], "bad term"),
        ([FIRST[:19] + b"a\x05"], "not a tuple"),
    ],
)
@bytes_or_view
def test_broken_sequences(received: Received, frames: list[bytes], text: str | None) -> None:
    decoder = FrameDecoder(BOTH, CONFIG)
    for frame in frames[:-1]:
        decoder.decode(received(frame))
    last = received(frames[-1])
    if text is None:
        assert decoder.decode(last) == (SEND, NO_PAYLOAD)
    else:
        with pytest.raises(RemoteProtocolError, match=text):
            decoder.decode(last)


@bytes_or_view
@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 300, 20_000, 70_000])
def test_a_binary_in_fragments_is_bytes_wherever_it_is_cut(received: Received, count: int) -> None:
    decoder = FrameDecoder(FRAGMENTS, CONFIG)
    binary = random.Random(count).randbytes(70_000)
    frames = fragments(b"m" + struct.pack(">I", len(binary)) + binary, count)
    messages = [decoder.decode(received(frame)) for frame in frames]
    assert messages[:-1] == [None] * (len(frames) - 1)
    assert messages[-1] is not None
    control, payload = messages[-1]
    assert control == (5,) and payload == binary and type(payload) is bytes
    assert decoder.unfinished_bytes == 0


@bytes_or_view
@pytest.mark.parametrize(
    ("announced", "text"), [(69_999, "1 bytes after its terms"), (70_001, "bad term")]
)
@pytest.mark.parametrize("count", [3, 20_000])
def test_a_binary_that_is_not_as_long_as_it_says(
    received: Received, count: int, announced: int, text: str
) -> None:
    decoder = FrameDecoder(FRAGMENTS, CONFIG)
    with pytest.raises(RemoteProtocolError, match=text):
        for frame in fragments(b"m" + struct.pack(">I", announced) + bytes(70_000), count):
            decoder.decode(received(frame))


@bytes_or_view
def test_a_term_that_begins_like_a_binary_and_one_around_it(received: Received) -> None:
    decoder = FrameDecoder(FRAGMENTS, CONFIG)
    like: object = ([],) * 70_000  # as long as a binary that had its number of elements for its size
    for term in (like, (b"first", bytes(70_000)), BitString(b"m" * 70_000, 3)):
        frames = fragments(encode(term)[1:], 20_000)
        assert [decoder.decode(received(frame)) for frame in frames][-1] == ((5,), term)


def test_later_fragments_are_views_of_what_was_received() -> None:
    frames = fragments(b"m" + struct.pack(">I", 300_000) + bytes(300_000), 50_000)
    data = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames[:3])
    reader, decoder = FrameReader(CONFIG, 4), FrameDecoder(FRAGMENTS, CONFIG)
    tracemalloc.start()
    try:
        reader.feed(data)
        for frame in reader.frames():
            assert decoder.decode(frame) is None
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 75_000  # only the first has its terms decoded from bytes
    assert decoder.unfinished_bytes == 150_000


@every_combination
def test_views_are_taken_as_bytes_are(flags: int) -> None:
    """Whatever the kind of the frame, what is sanctioned and what is not."""
    payload = [Atom("a"), bytes(70_000), 1]
    for sender in COMBINATIONS:
        frames = frames_of(FrameEncoder(sender, CONFIG).encode(CONTROL, payload))
        results: list[list[object]] = []
        for received in (bytes, memoryview):
            decoder = FrameDecoder(flags, CONFIG)
            try:
                results.append([decoder.decode(received(frame)) for frame in frames])
            except RemoteProtocolError as error:
                results.append([str(error)])
        assert results[0] == results[1]


def test_a_later_fragment_that_is_not_sanctioned_is_refused_as_such() -> None:
    frame = b"\x83F" + struct.pack(">QQ", 1, 1) + bytes(20_000)
    for received in (bytes, memoryview):
        with pytest.raises(RemoteProtocolError, match="kind 70"):
            FrameDecoder(CACHE, CONFIG).decode(received(frame))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"\x83", "within its header"),
        (b"\x83D", "within its header"),
        (b"\x83D\x01", "within its header"),
        (b"\x83D\x01\x08", "within its header"),
        (b"\x83D\x01\x08\x00", "within its header"),
        (b"\x83D\x01\x08\x00\x05abcd", "within its header"),
        (b"\x83D\x01\x18\x00\x05", "within its header"),
        (b"\x83D\x02\x88\x00\x00\x01a", "within its header"),
        (b"\x83D\xff" + bytes(100), "within its header"),
        (b"\x83D\x01\x00\x05h\x01a\x05", "entry 5"),
        (b"\x83D\x01\x08\x00\x02\xff\xfeh\x01a\x05", "bad term"),
        (b"\x83D\x00", "bad term"),
        (b"\x83D\x00a\x05", "not a tuple but int"),
        (b"\x83D\x00h\x01", "bad term"),
        (b"\x83D\x00h\x01R\x00", "bad term"),
        (b"\x83D\x00h\x01a\x05a", "bad term"),
        (b"\x83D\x00h\x01a\x05a\x06a\x07", "2 bytes after"),
    ],
)
@bytes_or_view
def test_malformed_frames(received: Received, frame: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        FrameDecoder(BOTH, CONFIG).decode(received(frame))


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"p", "version"),
        (b"ph\x01a\x05", "version"),
        (b"p\x83", "bad term"),
        (b"p\x83a\x05", "not a tuple"),
        (b"p\x83h\x01a\x05a\x06", "payload of a frame does not start"),
        (b"p\x83h\x01a\x05\x83", "bad term"),
        (b"p\x83h\x01a\x05\x83a\x06a", "1 bytes after"),
    ],
)
def test_malformed_pass_through(frame: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        FrameDecoder(NONE, CONFIG).decode(frame)


def test_a_bad_term_tells_its_cause() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        FrameDecoder(BOTH, CONFIG).decode(b"\x83D\x00h\x01a\x05\x01")
    assert isinstance(caught.value.__cause__, DecodeError)


def test_limit_of_sequences() -> None:
    decoder = FrameDecoder(FRAGMENTS, Config(max_fragment_sequences=3))
    for n in range(3):
        decoder.decode(b"\x83E" + struct.pack(">QQ", n, 2) + b"\x00h\x01a\x05")
    # A sequence of one fragment is finished at once.
    alone = b"\x83E" + struct.pack(">QQ", 9, 1) + b"\x00h\x01a\x05"
    assert decoder.decode(alone) == ((5,), NO_PAYLOAD)
    with pytest.raises(RemoteProtocolError, match="Config.max_fragment_sequences"):
        decoder.decode(b"\x83E" + struct.pack(">QQ", 3, 2) + b"\x00h\x01a\x05")


def test_limit_of_a_message_and_of_all_unfinished_ones() -> None:
    config = Config(max_message_size=10_000, fragment_size=100)
    decoder = FrameDecoder(FRAGMENTS, config)
    encoder = FrameEncoder(FRAGMENTS, config)
    fits = frames_of(encoder.encode((5,), bytes(9_995)))
    assert [decoder.decode(frame) for frame in fits][-1] == ((5,), bytes(9_995))
    too_large = frames_of(encoder.encode((5,), bytes(9_996)))
    with pytest.raises(RemoteProtocolError, match="10001 bytes.*Config.max_message_size"):
        [decoder.decode(frame) for frame in too_large]
    decoder = FrameDecoder(FRAGMENTS, config)
    sequences = [frames_of(encoder.encode((5,), bytes(6_000))) for _ in range(2)]
    with pytest.raises(RemoteProtocolError, match="Config.max_message_size"):
        for pair in zip(*sequences):
            for frame in pair:
                decoder.decode(frame)
    whole = frames_of(FrameEncoder(CACHE, config).encode((5,), bytes(10_001)))
    with pytest.raises(RemoteProtocolError, match="Config.max_message_size"):
        FrameDecoder(CACHE, config).decode(whole[0])


def test_limits_of_the_terms_are_the_configs() -> None:
    deep: object = 1
    for _ in range(20):
        deep = (deep,)
    (frame,) = frames_of(FrameEncoder(FRAGMENTS, CONFIG).encode((5,), deep))
    assert FrameDecoder(FRAGMENTS, Config(max_term_depth=20)).decode(frame) == ((5,), deep)
    with pytest.raises(RemoteProtocolError, match="deep"):
        FrameDecoder(FRAGMENTS, Config(max_term_depth=19)).decode(frame)
    packed = b"\x83D\x00h\x01a\x05" + encode(bytes(10_000), compressed=9)[1:]
    assert FrameDecoder(FRAGMENTS, CONFIG).decode(packed) == ((5,), bytes(10_000))
    with pytest.raises(RemoteProtocolError):
        FrameDecoder(FRAGMENTS, Config(max_decompressed_size=9_000)).decode(packed)


# --- control messages -----------------------------------------------------------------------------


def test_a_control_message_has_a_limit_of_its_own() -> None:
    decoder = FrameDecoder(FRAGMENTS, Config())
    fits = (22, P, bytes(60_000))
    (frame,) = frames_of(FrameEncoder(FRAGMENTS, Config()).encode(fits, 1))
    assert decoder.decode(frame) == (fits, 1)
    (frame,) = frames_of(FrameEncoder(FRAGMENTS, Config()).encode((22, P, bytes(70_000)), 1))
    with pytest.raises(RemoteProtocolError, match="control message of 7.* at most 65536"):
        decoder.decode(frame)


def test_unfinished_messages_count_with_their_control_messages() -> None:
    config = Config(max_message_size=1 << 24, fragment_size=100)
    decoder = FrameDecoder(FRAGMENTS, config)
    encoder = FrameEncoder(FRAGMENTS, config)
    control: tuple[object, ...] = (22, P, [[] for _ in range(60_000)])
    held = 0
    with pytest.raises(RemoteProtocolError, match="Config.max_message_size"):
        for _ in range(100):
            decoder.decode(frames_of(encoder.encode(control, bytes(1000)))[0])
            held += 1
    assert 1 <= held <= 4


def test_one_depth_limit_holds_for_what_is_sent_and_received() -> None:
    deep: object = b"x"
    for _ in range(1500):
        deep = (deep,)
    config = Config(max_term_depth=2000)
    (frame,) = frames_of(FrameEncoder(FRAGMENTS, config).encode((5,), deep))
    control, payload = FrameDecoder(FRAGMENTS, config).decode(frame) or ((), None)
    assert FrameEncoder(FRAGMENTS, config).encode(control, payload)
    with pytest.raises(EncodeError, match="deeper than 512"):
        FrameEncoder(FRAGMENTS, Config()).encode(control, payload)


def test_the_elements_of_a_message_are_limited_by_the_settings() -> None:
    config = Config(max_message_terms=1000)
    (frame,) = frames_of(FrameEncoder(FRAGMENTS, config).encode((5,), [300] * 1100))
    with pytest.raises(RemoteProtocolError, match="max_message_terms"):
        FrameDecoder(FRAGMENTS, config).decode(frame)
    assert FrameDecoder(FRAGMENTS, Config()).decode(frame) == ((5,), [300] * 1100)


@pytest.mark.parametrize("flags", [0, FRAGMENTS], ids=["passed through", "with a header"])
@pytest.mark.parametrize("postponing", [False, True])
def test_a_compressed_message_counts_for_what_it_was(flags: int, postponing: bool) -> None:
    decoder = FrameDecoder(flags, Config())
    control = (22, P, Q)
    payload = encode(bytes(100_000), compressed=9)
    (frame,) = frames_of(FrameEncoder(flags, Config()).encode(control, 1))
    frame = bytes(frame[:-2]) + payload[1:]
    decoder.postponing = postponing
    message = decoder.decode(frame)
    assert message is not None
    if postponing:
        assert isinstance(message[1], Postponed)
        assert decoder.payload(message[1]) == bytes(100_000)
    else:
        assert message[1] == bytes(100_000)
    assert decoder.message_size == 100_005


def test_unfinished_messages_count_with_the_atoms_of_their_headers() -> None:
    config = Config(max_message_size=1 << 20)
    flags = FRAGMENTS | CACHE
    decoder = FrameDecoder(flags, config)
    encoder = FrameEncoder(flags, config)
    held = 0
    with pytest.raises(RemoteProtocolError, match="Config.max_message_size"):
        for number in range(100):
            atoms = [Atom(f"{number}-{index}".ljust(255, "\u20ac")) for index in range(250)]
            decoder.decode(frames_of(encoder.encode((5,), [*atoms, bytes(70_000)]))[0])
            held += 1
    assert 1 <= held <= 4
