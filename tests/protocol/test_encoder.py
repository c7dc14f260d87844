"""Sent frames, byte by byte and in fragments, and how the decoder reads them."""

from __future__ import annotations

import random
import struct
from itertools import islice

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
    SMALL,
    P,
    Q,
    R,
    every_combination,
    frames_of,
    receive,
    table,
)
from uds_dist.config import Config
from uds_dist.errors import EncodeError, LocalProtocolError
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom
from uds_dist.protocol.control import NO_PAYLOAD, RegSend, SendSender
from uds_dist.protocol.decoder import FrameDecoder
from uds_dist.protocol.encoder import FrameEncoder
from uds_dist.protocol.framing import FrameReader
from uds_dist.protocol.header import CACHE_SIZE

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
    # The half byte of LongAtoms after an even and an odd number of atoms.
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
    """A binary has 5 bytes before it: 95 of them make 100."""
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
