"""Fuzzers of the term codec. They accept only the documented exceptions:

- ``decode``, ``decode_term``: DecodeError;
- ``parse_term``: ParseError;
- ``encode``, ``format_term`` of a decoded term: none.

Each case is made from a seed, which repeats it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from uds_dist.errors import DecodeError, EncodeError, ParseError
from uds_dist.etf.decode import COMPILED, decode, decode_term
from uds_dist.etf.encode import encode, encode_parts
from uds_dist.etf.leaves import atom_term
from uds_dist.etf.reader import budget_for, read_term
from uds_dist.etf.terms import exact_key
from uds_dist.etf.text import format_term, parse_term
from uds_dist.etf.writer import write_term

VALID = Path(__file__).resolve().parent.parent / "corpus" / "valid"
CASES = 150
SEEDS = range(20)
MAX_SIZE = 100_000

# Every tag, and numbers at the edges of sizes and signs.
INTERESTING = (
    *(67, 70, 77, 80, 82, 88, 89, 90, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108),
    *(109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121),
    *(0, 1, 2, 3, 4, 5, 127, 128, 131, 254, 255),
)


def seeds_of_terms() -> list[bytes]:
    files = sorted(VALID.glob("*/*.etf"))
    return [data for path in files if len(data := path.read_bytes()) < 2000] + at_the_edges()


def at_the_edges() -> list[bytes]:
    """Terms that few corpora have: deep ones, keys with the same hash, keys that Python merges."""
    big = [b"n\x08\0" + ((1 << 61) - 1 + n).to_bytes(8, "little") for n in range(3)]
    one_hash = [(((1 << 61) - 1) * n).to_bytes(16, "little") for n in range(1, 41)]
    collide = b"".join([b"n\x10\0" + number + b"j" for number in one_hash])
    return [
        b"\x83" + b"h\1" * 100 + b"j",
        b"\x83" + b"l\0\0\0\1" * 70 + b"j" * 71,
        b"\x83t\0\0\0\1" + b"h\1" * 30 + b"a\1" + b"j",
        b"\x83" + b"t\0\0\0\1" * 20 + b"j" + b"a\1" * 20,
        b"\x83t\0\0\0\3a\1jF\x3f\xf0\0\0\0\0\0\0jw\4truej",
        b"\x83t\0\0\0\2l\0\0\0\1l\0\0\0\1a\1jjjh\1t\0\0\0\0a\2",
        b"\x83p" + bytes(29) + b"w\1ma\1a\1X" + b"w\3a@b" + bytes(12),
        b"\x83C\0\0\0\1\1w\1mw\1rw\1fl\0\0\0\1a\1a\2",
        b"\x83l\0\0\0\3" + b"".join(big) + b"j",
        b"\x83t\0\0\0\x28" + collide,
        b"\x83i\0\0\0\2k\0\2abM\0\0\0\1\3\xe0",
        b"\x83P" + len(b"h\2a\1j").to_bytes(4, "big") + zlib.compress(b"h\2a\1j"),
    ]


TERMS = seeds_of_terms()
TEXTS = [
    path.read_text(encoding="utf-8")
    for path in sorted([*VALID.glob("*/*.txt"), *VALID.glob("*/*.shape")])
    if path.stat().st_size < 2000
]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Damage some bytes in one of several ways."""
    broken = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 8])):
        at = rng.randrange(1, len(broken) + 1)
        match rng.randrange(12):
            case 0:
                broken[at : at + rng.randrange(1, 9)] = b""
            case 1:
                broken[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                broken[at : at + 1] = bytes((rng.choice(INTERESTING),))
            case 3:
                broken[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"])
            case 4:
                start = rng.randrange(1, len(broken) + 1)
                broken[at:at] = broken[start : start + rng.randrange(1, 30)]
            case 5:
                broken[at:at] = rng.choice(TERMS)[1:]
            case _ if at < len(broken):  # most often, because some results are still terms
                broken[at] ^= 1 << rng.randrange(8)
    return bytes(broken)


def check(data: bytes) -> bool:
    """Read bytes that may be a term; if they are one, everything else must accept it."""
    try:
        term = decode(data, max_size=MAX_SIZE)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data)
        return False
    again = encode(term)
    assert exact_key(decode(again, max_size=MAX_SIZE)) == exact_key(term)
    assert encode(decode(again, max_size=MAX_SIZE)) == again
    format_term(term)
    repr(term)
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_terms(seed: int) -> None:
    rng = random.Random(seed)
    results = [check(mutate(rng, rng.choice(TERMS))) for _ in range(CASES)]
    # Some must still be terms and some not, or this would test little.
    assert 0 < sum(results) < CASES


@pytest.mark.parametrize("seed", SEEDS)
def test_random_tags(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(CASES):
        data = bytes(rng.choices(INTERESTING, k=rng.randrange(1, 60)))
        check(b"\x83" + data)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_terms_of_a_message(seed: int) -> None:
    rng = random.Random(seed)
    header = tuple([atom_term(text) for text in (b"ok", b"true", b"a@b")])
    for _ in range(CASES):
        data = mutate(rng, rng.choice(TERMS))
        try:
            _term, end = decode_term(data, 1, header, 100, MAX_SIZE)
        except DecodeError:
            continue
        assert 1 < end <= len(data)


@pytest.mark.skipif(not COMPILED, reason="interpreted, the loops are the only way")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_compiled_paths_agree_with_the_loops(seed: int) -> None:
    rng = random.Random(seed)
    header = tuple([atom_term(text) for text in (b"ok", b"true", b"a@b")])
    for _ in range(CASES):
        data = mutate(rng, rng.choice(TERMS)) if rng.random() < 0.7 else rng.choice(TERMS)
        depth = rng.choice([1, 2, 5, 100])
        results = [outcome(way, data, header, depth) for way in (decode_term, the_loop)]
        assert results[0] == results[1]
        if isinstance(results[0], str):
            continue
        term = decode_term(data, 1, header, depth, MAX_SIZE, 100)[0]
        ways: list[dict[str, int] | None] = [None, {}]
        for atoms in ways:
            pieces: list[bytes] = []
            other = None if atoms is None else dict(atoms)
            try:
                write_term(term, other, pieces, depth)
            except EncodeError:
                with pytest.raises(EncodeError):
                    encode_parts(term, atoms, depth)
            else:
                assert b"".join(encode_parts(term, atoms, depth)) == b"".join(pieces)
                assert atoms == other


def the_loop(
    data: bytes,
    pos: int,
    atoms: tuple[object, ...],
    depth_limit: int,
    size_limit: int,
    max_terms: int,
) -> tuple[object, int]:
    """The decoder's path for interpreted code, in either build."""
    budget = budget_for(len(data) - pos, max_terms)
    return read_term(data, pos, atoms, depth_limit, size_limit, max_terms, budget)


def outcome(
    way: Callable[[bytes, int, tuple[object, ...], int, int, int], tuple[object, int]],
    data: bytes,
    header: tuple[object, ...],
    depth: int,
) -> object:
    """A decoder's result for the bytes: the term's meaning and its end, or the whole error."""
    try:
        term, end = way(data, 1, header, depth, MAX_SIZE, 100)
    except DecodeError as error:
        return f"{error} {error.offset} {error.tag}"
    return exact_key(term), end


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_texts(seed: int) -> None:
    rng = random.Random(seed)
    read = 0
    for _ in range(CASES):
        text = rng.choice(TEXTS)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(text) + 1)
            other = rng.choice(["", *"{}[]()<>#=|,.:/'\"\\$~%-+0x1_ é\n\ud800", "<<", "#{", "$\\"])
            text = text[:at] + other + text[at + rng.randrange(3) :]
        try:
            term = parse_term(text)
        except ParseError as error:
            assert 0 <= error.offset <= len(text)
            continue
        read += 1
        assert exact_key(decode(encode(term))) == exact_key(term)
        format_term(term)
    assert 0 < read < CASES
