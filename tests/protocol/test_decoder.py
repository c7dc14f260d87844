"""Distribution header, atom cache, fragments and pass-through, both ways."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from itertools import islice

import pytest

from uds_dist.config import Config
from uds_dist.errors import DecodeError, EncodeError, LocalProtocolError, RemoteProtocolError
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom, BitString, Pid, Reference
from uds_dist.protocol.control import NO_PAYLOAD, RegSend, SendSender
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.framing import Frame, FrameReader
from uds_dist.protocol.decoder import CACHE_SIZE, Buffer, FrameDecoder, FrameEncoder, Postponed

NONE = 0
FRAGMENTS = Flag.FRAGMENTS
CACHE = Flag.DIST_HDR_ATOM_CACHE
BOTH = FRAGMENTS | CACHE
COMBINATIONS = [NONE, FRAGMENTS, CACHE, BOTH]
every_combination = pytest.mark.parametrize(
    "flags", COMBINATIONS, ids=["none", "fragments", "cache", "both"]
)

P = Pid("py@localhost", 1, 0, 7)
Q = Pid("myapp@localhost", 85, 0, 8)
R = Reference("myapp@localhost", 8, (1, 2, 3))
CONTROL = (22, P, Q)
CONFIG = Config()
SMALL = Config(fragment_size=100)


def frames_of(buffers: list[Buffer]) -> list[bytes]:
    """The frames that a peer would cut out of what was sent."""
    reader = FrameReader(CONFIG, 4)
    for buffer in buffers:
        reader.feed(bytes(buffer))
    frames = reader.frames(1_000_000)
    assert reader.unread == 0
    return [bytes(frame) for frame in frames]


def receive(decoder: FrameDecoder, buffers: list[Buffer]) -> list[object]:
    found: list[object] = []
    for frame in frames_of(buffers):
        message = decoder.decode(frame)
        if message is not None:
            found.append(message)
    return found


def table(*entries: tuple[int, bytes | None], wide: bool = False) -> bytes:
    """A header's table of atoms by hand: (entry, text of a new atom or None)."""
    halves = [entry >> 8 | (8 if text is not None else 0) for entry, text in entries]
    halves += [1 if wide else 0, 0]
    flags = bytes(
        halves[2 * n] | halves[2 * n + 1] << 4 for n in range(len(entries) // 2 + 1)
    )
    refs = b"".join(
        bytes((entry & 255,))
        + (b"" if text is None else struct.pack(">H" if wide else ">B", len(text)) + text)
        for entry, text in entries
    )
    return bytes((len(entries),)) + flags + refs


# A control tuple by hand, its atoms the first two of the header: {6, Pid, '', ''}, {2, '', Pid}.
PID_BY_REF = b"XR\x00" + struct.pack(">III", 85, 0, 8)
SEND_BY_REF = b"h\x03a\x02R\x01" + PID_BY_REF
SEND_INLINE = b"h\x03a\x02w\x00Xw\x0fmyapp@localhost" + struct.pack(">III", 85, 0, 8)
SEND = (2, Atom(""), Q)


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


# --- our encoder, byte by byte --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "head", "between"),
    [(NONE, b"p\x83", b"\x83"), (FRAGMENTS, b"\x83D\x00", b"")],
)
def test_encoded_without_a_cache(flags: int, head: bytes, between: bytes) -> None:
    encoder = FrameEncoder(flags, CONFIG)
    control = encode(CONTROL)[1:]
    frame = head + control + between + b"a\x05"
    assert encoder.encode(CONTROL, 5) == [struct.pack(">I", len(frame)) + frame]
    frame = head + control
    assert encoder.encode(CONTROL) == [struct.pack(">I", len(frame)) + frame]


def test_encoded_with_the_cache() -> None:
    encoder = FrameEncoder(BOTH, CONFIG)
    words = struct.pack(">III", 85, 0, 8)
    body = b"h\x03a\x02R\x00XR\x01" + words + b"R\x02"
    new = table((0, b""), (1, b"myapp@localhost"), (2, b"ok"))
    old = table((0, None), (1, None), (2, None))
    for head in (new, old, old):
        frame = b"\x83D" + head + body
        assert encoder.encode(SEND, Atom("ok")) == [struct.pack(">I", len(frame)) + frame]


def test_a_message_without_atoms_has_an_empty_table() -> None:
    assert FrameEncoder(BOTH, CONFIG).encode((5,)) == [b"\x00\x00\x00\x07\x83D\x00h\x01a\x05"]


def test_long_atoms_in_both_directions() -> None:
    # 128 characters of 2 bytes each: 256 bytes, one more than a length of one byte can say.
    long = Atom("é" * 128)
    encoder, decoder = FrameEncoder(CACHE, CONFIG), FrameDecoder(CACHE, CONFIG)
    for atoms in ([long], [Atom("x"), long], [Atom("y"), Atom("z"), long, Atom("w")]):
        (frame,) = frames_of(encoder.encode((5,), atoms))
        assert decoder.decode(frame) == ((5,), atoms)
    # The half byte of LongAtoms behind an even and an odd number of atoms.
    even = table((0, "é".encode() * 128), (1, b""), wide=True)
    assert even[2] & 15 == 1
    decoder = FrameDecoder(CACHE, CONFIG)
    assert decoder.decode(b"\x83D" + even + b"h\x01a\x05" + b"R\x00") == ((5,), long)
    odd = table((0, b"x"), (1, long.encode()), (2, b"y"), wide=True)
    assert odd[2] >> 4 == 1
    assert decoder.decode(b"\x83D" + odd + b"h\x01a\x05" + b"R\x02") == ((5,), Atom("y"))


def test_true_false_and_nil_go_through_the_cache() -> None:
    payload = [True, False, None, Atom("undefined")]
    encoder, decoder = FrameEncoder(CACHE, CONFIG), FrameDecoder(CACHE, CONFIG)
    for _ in range(3):
        (frame,) = frames_of(encoder.encode((5,), payload))
        message = decoder.decode(frame)
        assert message is not None and message[1] == payload
        assert isinstance(message[1], list)
        assert [type(item) for item in message[1]] == [bool, bool, type(None), Atom]


def test_more_atoms_than_a_header_holds() -> None:
    atoms = [Atom(f"atom_{n}") for n in range(400)]
    encoder, decoder = FrameEncoder(CACHE, CONFIG), FrameDecoder(CACHE, CONFIG)
    for _ in range(2):
        (frame,) = frames_of(encoder.encode(CONTROL, atoms))
        assert frame[2] == 255
        assert decoder.decode(frame) == (CONTROL, atoms)


def test_entries_are_written_over_when_all_are_used() -> None:
    rng = random.Random(5)
    atoms = [Atom(f"a{n}") for n in range(3 * CACHE_SIZE)]
    encoder, decoder = FrameEncoder(BOTH, CONFIG), FrameDecoder(BOTH, CONFIG)
    in_use = set()
    for _ in range(300):
        used = rng.sample(atoms, rng.randrange(1, 255))
        in_use.update(used)
        assert receive(decoder, encoder.encode((5,), used)) == [((5,), used)]
        assert receive(decoder, encoder.encode(CONTROL, used[0])) == [(CONTROL, used[0])]
    assert len(in_use) > 2 * CACHE_SIZE


def test_a_few_recurring_sets_of_atoms_survive_new_ones() -> None:
    """Remembered headers of either side must not outlive the entries they name."""
    rng = random.Random(6)
    names = (Atom(f"n{n}") for n in range(100_000))
    recurring = [list(islice(names, 5)) for _ in range(20)]
    encoder, decoder = FrameEncoder(BOTH, CONFIG), FrameDecoder(BOTH, CONFIG)
    for _ in range(3000):
        payload = rng.choice(recurring) if rng.random() < 0.9 else list(islice(names, 40))
        assert receive(decoder, encoder.encode(CONTROL, payload)) == [(CONTROL, payload)]


def test_the_peer_may_write_over_an_entry() -> None:
    decoder = FrameDecoder(CACHE, CONFIG)
    body = b"h\x01a\x05R\x00"
    assert decoder.decode(b"\x83D" + table((7, b"one")) + body) == ((5,), Atom("one"))
    assert decoder.decode(b"\x83D" + table((7, None)) + body) == ((5,), Atom("one"))
    assert decoder.decode(b"\x83D" + table((7, b"two")) + body) == ((5,), Atom("two"))
    assert decoder.decode(b"\x83D" + table((7, None)) + body) == ((5,), Atom("two"))
    # Within one header, in its order.
    both = table((7, None), (7, b"three"), (7, None))
    assert decoder.decode(b"\x83D" + both + b"h\x03R\x00R\x01R\x02") == (
        (Atom("two"), Atom("three"), Atom("three")),
        NO_PAYLOAD,
    )


def test_all_entries_of_all_segments() -> None:
    decoder = FrameDecoder(CACHE, CONFIG)
    for entry in range(CACHE_SIZE):
        decoder.decode(b"\x83D" + table((entry, b"%d" % entry)) + b"h\x01a\x05")
    for entry in range(CACHE_SIZE):
        frame = b"\x83D" + table((entry, None)) + b"h\x01a\x05R\x00"
        assert decoder.decode(frame) == ((5,), Atom(str(entry)))


def test_a_failed_encoding_changes_nothing() -> None:
    encoder, decoder = FrameEncoder(BOTH, CONFIG), FrameDecoder(BOTH, CONFIG)
    bad: list[object] = [
        [Atom("new_1"), object()],
        [Atom("new_2"), float("inf")],
        ["half a pair \ud800"],
        {Atom("new_3"): [Atom("new_4"), {1, 2}]},
    ]
    for n in range(50):
        for payload in bad:
            with pytest.raises(EncodeError):
                encoder.encode(CONTROL, payload)
            with pytest.raises(EncodeError):
                encoder.encode((3, P, Q, payload))
        atoms = [Atom(f"good_{n}"), Atom("new_3")]
        assert receive(decoder, encoder.encode(CONTROL, atoms)) == [(CONTROL, atoms)]
    # Only what was sent is in the cache: two node names, fifty good ones and new_3.
    (frame,) = frames_of(encoder.encode((5,), [Atom("next")]))
    assert frame[:6] == b"\x83D\x01\x08\x35\x04"


# --- fragments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [FRAGMENTS, BOTH])
def test_a_large_message_goes_in_fragments(flags: int) -> None:
    encoder, decoder = FrameEncoder(flags, SMALL), FrameDecoder(flags, SMALL)
    payload = (Atom("data"), random.Random(1).randbytes(250))
    frames = frames_of(encoder.encode(CONTROL, payload))
    assert [frame[:2] for frame in frames] == [b"\x83E", b"\x83F", b"\x83F"]
    ids = [struct.unpack_from(">QQ", frame, 2) for frame in frames]
    assert [fragment for _, fragment in ids] == [3, 2, 1]
    assert len({sequence for sequence, _ in ids}) == 1
    assert len(frames[1]) == 18 + 100
    assert [decoder.decode(frame) for frame in frames] == [None, None, (CONTROL, payload)]
    # The next one is another sequence.
    (other, *_) = frames_of(encoder.encode(CONTROL, payload))
    assert struct.unpack_from(">Q", other, 2)[0] != ids[0][0]


@pytest.mark.parametrize("flags", [NONE, CACHE])
def test_a_large_message_goes_whole_without_the_flag(flags: int) -> None:
    encoder, decoder = FrameEncoder(flags, SMALL), FrameDecoder(flags, SMALL)
    frames = frames_of(encoder.encode(CONTROL, bytes(100_000)))
    assert [decoder.decode(frame) for frame in frames] == [(CONTROL, bytes(100_000))]


@pytest.mark.parametrize("size", [94, 95, 96, 194, 195, 196, 995, 996])
def test_sizes_around_the_edge_of_a_fragment(size: int) -> None:
    """A binary has 5 bytes in front of it: 95 of them make 100."""
    encoder, decoder = FrameEncoder(FRAGMENTS, SMALL), FrameDecoder(FRAGMENTS, SMALL)
    frames = frames_of(encoder.encode((5,), bytes(size)))
    assert len(frames) == (size + 5 + 99) // 100
    assert [decoder.decode(frame) for frame in frames][-1] == ((5,), bytes(size))
    assert all(len(frame) > 18 for frame in frames)


def test_the_control_message_is_never_cut() -> None:
    encoder, decoder = FrameEncoder(BOTH, SMALL), FrameDecoder(BOTH, SMALL)
    control = (29, R, P, P, (Atom("m"), Atom("f"), 1), [Atom(f"option_{n}") for n in range(100)])
    payload = [bytes(1000)]
    frames = frames_of(encoder.encode(control, payload))
    assert len(frames) == 11
    assert [decoder.decode(frame) for frame in frames][-1] == (control, payload)


def test_large_binaries_are_views_and_not_copies() -> None:
    big = random.Random(2).randbytes(3_000_000)
    for flags in COMBINATIONS:
        buffers = FrameEncoder(flags, CONFIG).encode(CONTROL, (Atom("x"), big, Atom("y")))
        shared = [
            buffer for buffer in buffers if memoryview(buffer).obj is big  # nobody copied it
        ]
        assert sum(len(buffer) for buffer in shared) > len(big) - 65_536
        decoder = FrameDecoder(flags, CONFIG)
        assert receive(decoder, buffers) == [(CONTROL, (Atom("x"), big, Atom("y")))]


def test_a_small_message_is_one_buffer() -> None:
    for flags in COMBINATIONS:
        (buffer,) = FrameEncoder(flags, CONFIG).encode(SendSender(22, P, Q), [Atom("a"), b"b"])
        assert type(buffer) is bytes


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
    """A payload in fragments of so many bytes each."""
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


# --- what may not be ------------------------------------------------------------------------------


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
    # A sequence of one fragment is no unfinished one.
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


def test_a_message_that_fits_no_frame() -> None:
    encoder = FrameEncoder(CACHE, CONFIG)
    # 4 GiB by reference: one binary of zeroed pages that nobody touches, 64 times.
    with pytest.raises(LocalProtocolError, match="FRAGMENTS"):
        encoder.encode((5,), [Atom("first"), [bytes(1 << 26)] * 64])
    (frame,) = frames_of(encoder.encode((5,), Atom("second")))
    assert frame == b"\x83D\x01\x08\x00\x06secondh\x01a\x05R\x00"


# --- both sides, at random ------------------------------------------------------------------------


def some_term(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([rng.randrange(300), rng.randrange(-(1 << 40), 1 << 70)])
    if kind == 1:
        return Atom(f"atom_{rng.randrange(rng.choice([5, 50, 5000]))}")
    if kind == 2:
        return rng.choice([True, False, None])
    if kind == 3:
        return rng.choice([P, Q, R])
    if kind == 4:
        return rng.randbytes(rng.choice([0, 5, 500, rng.randrange(5000)]))
    if kind == 5:
        return rng.random()
    items = [some_term(rng, depth + 1) for _ in range(rng.randrange(6))]
    if kind == 6:
        return tuple(items)
    if kind == 7:
        return items
    return {Atom(f"key_{n}"): item for n, item in enumerate(items)}


@every_combination
@pytest.mark.parametrize("seed", range(4))
def test_what_is_encoded_is_decoded(flags: int, seed: int) -> None:
    rng = random.Random(seed)
    config = Config(fragment_size=rng.choice([50, 1000, 65_536]))
    encoder, decoder = FrameEncoder(flags, config), FrameDecoder(flags, config)
    reader = FrameReader(config, 4)
    sent: list[object] = []
    received: list[object] = []
    for _ in range(150):
        control = rng.choice([CONTROL, (33, P, R), RegSend(6, P, Atom(""), Atom("name"))])
        payload = NO_PAYLOAD if rng.random() < 0.1 else some_term(rng)
        sent.append((control, payload))
        for buffer in encoder.encode(control, payload):
            reader.feed(bytes(buffer))
        if rng.random() < 0.1:
            reader.feed(bytes(4))  # a tick
        for frame in reader.frames(1000):
            message = decoder.decode(frame)
            if message is not None:
                received.append(message)
    assert received == sent
    assert decoder.unfinished_sequences == 0


@every_combination
def test_three_megabytes(flags: int) -> None:
    rng = random.Random(9)
    encoder, decoder = FrameEncoder(flags, CONFIG), FrameDecoder(flags, CONFIG)
    for payload in (
        rng.randbytes(3_000_000),
        [rng.randbytes(70_000) for _ in range(43)],
        [Atom("numbers"), [rng.randrange(1 << 31) for _ in range(200_000)]],
        {n: rng.randbytes(30_000) for n in range(100)},
    ):
        buffers = encoder.encode(CONTROL, payload)
        frames = frames_of(buffers)
        if flags & FRAGMENTS:
            assert max(map(len, frames)) < CONFIG.fragment_size + 200
        else:
            assert len(frames) == 1
        assert [message for message in map(decoder.decode, frames) if message] == [
            (CONTROL, payload)
        ]


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
