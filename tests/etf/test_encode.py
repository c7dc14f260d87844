"""Encoding beyond the corpora: Python's types, limits, parts, errors."""

from __future__ import annotations

import math
import sys
from array import array
from collections import OrderedDict, UserString, defaultdict, deque
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from fractions import Fraction
from struct import pack
from typing import Any, NamedTuple

import pytest

from uds_dist.config import Config
from uds_dist.errors import EncodeError
from uds_dist.etf import writer as module
from uds_dist.etf.decode import decode, decode_term
from uds_dist.etf.encode import encode, encode_parts
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    FrozenList,
    Fun,
    ImproperList,
    LocalTerm,
    Map,
    Pid,
    Port,
    Record,
    Reference,
    exact_key,
)

PID = Pid("a@b", 1, 2, 3)
LIMITS = (512, 1 << 20)


class Colour(IntEnum):
    RED = 1


class Right(IntFlag):
    READ = 256


class Name(str, Enum):
    ANN = "Ann"


class Point(NamedTuple):
    x: int
    y: Any


class Text(str):
    pass


class Blob(bytes):
    pass


class Items(list[Any]):
    pass


class Amount(float):
    pass


class Count(int):
    pass


class Verb(Atom):
    __slots__ = ()


@pytest.mark.parametrize(
    ("term", "data"),
    [
        ("é", b"m\0\0\0\2\xc3\xa9"),
        ("", b"m\0\0\0\0"),
        (bytearray(b"ab"), b"m\0\0\0\2ab"),
        (memoryview(b"abcd")[1:3], b"m\0\0\0\2bc"),
        (memoryview(b"abcd")[::2], b"m\0\0\0\2ac"),
        (True, b"w\4true"),
        (False, b"w\5false"),
        (None, b"w\3nil"),
        (Atom("true"), b"w\4true"),
        (Colour.RED, b"a\1"),
        (Right.READ, b"b\0\0\1\0"),
        (Name.ANN, b"m\0\0\0\3Ann"),
        (Text("Ann"), b"m\0\0\0\3Ann"),
        (Blob(b"Ann"), b"m\0\0\0\3Ann"),
        (Count(7), b"a\7"),
        (Count(-7), b"b\xff\xff\xff\xf9"),
        (Amount(1.0), b"F\x3f\xf0\0\0\0\0\0\0"),
        (Verb("go"), b"w\2go"),
        (Point(1, ()), b"h\2a\1h\0"),
        (Items([1, 2]), b"k\0\2\1\2"),
        (Items([1, "a"]), b"l\0\0\0\2a\1m\0\0\0\1aj"),
        (Items(), b"j"),
        (FrozenList([1, 2]), b"k\0\2\1\2"),
        (FrozenList([]), b"j"),
        (OrderedDict(a=1), b"t\0\0\0\1m\0\0\0\1aa\1"),
        (defaultdict(int, {1: 2}), b"t\0\0\0\1a\1a\2"),
        (Map([(1, 2)]), b"t\0\0\0\1a\1a\2"),
        ([True, 1], b"l\0\0\0\2w\4truea\1j"),
        ([1, True], b"l\0\0\0\2a\1w\4truej"),
        ([Colour.RED, 1], b"l\0\0\0\2a\1a\1j"),
        ([1, Colour.RED], b"l\0\0\0\2a\1a\1j"),
        ([1, 2.0], b"l\0\0\0\2a\1F\x40\0\0\0\0\0\0\0j"),
        ([1.0, 2], b"l\0\0\0\2F\x3f\xf0\0\0\0\0\0\0a\2j"),
        ([0, 255], b"k\0\2\0\xff"),
        ([0, 256], b"l\0\0\0\2a\0b\0\0\1\0j"),
        ([-1], b"l\0\0\0\1b\xff\xff\xff\xffj"),
        ([[]], b"l\0\0\0\1jj"),
        (ImproperList([1], "a"), b"l\0\0\0\1a\1m\0\0\0\1a"),
        (-(1 << 31), b"b\x80\0\0\0"),
        (1 << 31, b"n\4\0\0\0\0\x80"),
        (-(1 << 31) - 1, b"n\4\1\1\0\0\x80"),
        (1 << 63, b"n\x08\0\0\0\0\0\0\0\0\x80"),
        ((1 << 2040) - 1, b"n\xff\0" + b"\xff" * 255),
        (1 << 2040, b"o\0\0\1\0\0" + bytes(255) + b"\1"),
        (Port("a@b", 5, 6), b"xw\3a@b" + pack(">QI", 5, 6)),
        (PID, b"Xw\3a@b" + pack(">III", 1, 2, 3)),
        (Reference("a@b", 3, (1, 2)), b"Z\0\2w\3a@b" + pack(">III", 3, 1, 2)),
        (Export(Atom("m"), Atom("f"), 255), b"qw\1mw\1fa\xff"),
        (BitString(b"\xa0", 3), b"M\0\0\0\1\3\xa0"),
        (Record(Atom("m"), Atom("r"), ((Atom("true"), 1),)), b"C\0\0\0\1\1w\1mw\1rw\4truea\1"),
        (LocalTerm(b"abc"), b"yabc"),
    ],
    ids=repr,
)
def test_python_values_are_written_as(term: object, data: bytes) -> None:
    assert encode(term) == b"\x83" + data


@pytest.mark.parametrize("size", [255, 256, 65535, 65536])
def test_sizes_at_the_edges(size: int) -> None:
    for term in (bytes(size), "a" * size, (None,) * size, [None] * size, [1] * size, [1.5] * size):
        again = decode(encode(term))
        assert again == (term.encode() if isinstance(term, str) else term)
    assert decode(encode({n: n for n in range(size)})) == {n: n for n in range(size)}
    assert encode([1] * size)[1] == (107 if size <= 65535 else 108)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 511, 512, 513, 1000])
@pytest.mark.parametrize(
    "numbers",
    [
        [1],
        [300],
        [-1],
        [1 << 40],
        [300, -300],
        [2**31 - 1, -(2**31)],
        [2**31, 5],
        [256, 255],
        [-256, 0],
        [65536, 16777216, 255],
        [0.5],
        [-0.0, 1e300],
    ],
    ids=repr,
)
def test_lists_of_numbers_are_written_as_single_numbers(numbers: list[Any], count: int) -> None:
    # A list that also holds an atom is written number by number.
    items = (numbers * count)[:count]
    plain = encode([*items, None])
    head = b"\x83l" + pack(">I", count)
    body = plain[6 : -len(b"w\3nilj")]
    if all(type(item) is int and 0 <= item < 256 for item in items):
        assert encode(items) == b"\x83k" + pack(">H", count) + bytes(items)
    else:
        assert encode(items) == head + body + b"j"
    assert decode(encode(items)) == items


# --- compressed -----------------------------------------------------------------------------------


def test_a_term_is_compressed_where_that_is_shorter() -> None:
    term = ["abc"] * 1000
    data = encode(term, compressed=9)
    assert data[:2] == b"\x83P"
    assert len(data) < 200 < len(encode(term))
    assert decode(data) == [b"abc"] * 1000
    assert encode(1, compressed=9) == encode(1)


# --- errors ---------------------------------------------------------------------------------------


@dataclass
class Thing:
    a: int = 1


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        (math.inf, "inf is not an Erlang float: send an atom"),
        (-math.inf, "-inf is not an Erlang float"),
        (math.nan, "nan is not an Erlang float"),
        (Amount("nan"), "nan is not an Erlang float"),
        ({1}, "set has no Erlang term: send a list"),
        (deque([1]), "deque has no Erlang term: send a list"),
        (range(3), "range has no Erlang term: send a list"),
        (array("i", [1]), "array has no Erlang term: send a list"),
        (1j, "complex has no Erlang term"),
        (Decimal(1), "Decimal has no Erlang term"),
        (Fraction(1, 2), "Fraction has no Erlang term"),
        (datetime(2026, 1, 1), "datetime has no Erlang term: send its isoformat"),
        (Thing(), "Thing has no Erlang term: send a tuple, list, dict"),
        (UserString("a"), "UserString has no Erlang term"),
        (object, "type has no Erlang term"),
        (len, "has no Erlang term"),
        ("\ud800", "half a surrogate pair"),
        ({True: 1, Atom("true"): 2}, "two keys of a dict"),
        ({None: 1, Atom("nil"): 2}, "two keys of a dict"),
        ({Map([(1, 2)]): 1, Map([(1, 2), (3, 4)]): {5}}, "set has no"),
        (Fun(Atom("m"), 1, 2, b"short", 3, 4, PID), "uniq has 16 bytes"),
        (Fun(Atom("m"), 256, 2, bytes(16), 3, 4, PID), "arity has 8 bits"),
        (Fun(Atom("m"), 1, -2, bytes(16), 3, 4, PID), "index has 32"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_value_without_a_term_is_refused(term: object, reason: str) -> None:
    for encoder in (encode, lambda term: encode_parts(term, None), lambda t: encode_parts(t, {})):
        with pytest.raises(EncodeError, match=reason) as refused:
            encoder(term)
        assert "(at" not in str(refused.value) or isinstance(term, dict)
        with pytest.raises(EncodeError, match=reason + r".*\(at term\[1\]\[0\]"):
            encoder((1, [term]))


@pytest.mark.skipif(sys.flags.bytes_warning > 0, reason="Python makes no such dict with -bb")
def test_a_text_and_its_bytes_are_one_key() -> None:
    terms = [
        {"a": 1, b"a": 2},
        {("a",): 1, (b"a",): 2},
        {FrozenList(["a"]): 1, FrozenList([b"a"]): 2},
    ]
    for term in terms:
        with pytest.raises(EncodeError, match="two keys of a dict are one key in Erlang"):
            encode(term)


@pytest.mark.parametrize(
    ("term", "path"),
    [
        ((1, 2, {3}), "term[2]"),
        ([1.0, 2.0, math.nan], "term[2]"),
        ({"a": {"b": [{1}]}}, "term['a']['b'][0]"),
        ({Atom("a"): {1}}, "term[Atom('a')]"),
        ({"a" * 99: {1}}, "term[...]"),
        ({7: {1}}, "term[7]"),
        ({1: 2, frozenset(): 3}, "term.keys()[1]"),
        ({(1, frozenset()): 3}, "term.keys()[0][1]"),
        (ImproperList([1, {1}], 2), "term[1]"),
        (ImproperList([1], {1}), "term.tail"),
        (Point(1, {2}), "term[1]"),
        (Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID, (1, {2})), "term.free[1]"),
        (Record(Atom("m"), Atom("r"), ((Atom("x"), 1), (Atom("y"), {2}))), "term.y"),
        (Map([(1, 1), (1.0, {2})]), "term[...]"),
        ([LocalTerm(b"")], "term[0]"),
        ([{True: 1, Atom("true"): 2}], "term[0]"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_error_says_where_the_refused_value_is(term: object, path: str) -> None:
    with pytest.raises(EncodeError) as refused:
        encode(term)
    assert str(refused.value).endswith(f"(at {path})")


def test_a_failure_leaves_the_encoder_unchanged() -> None:
    before = encode((Atom("ok"), [PID]))
    with pytest.raises(EncodeError):
        encode((Atom("ok"), [PID, "\udc80"]))
    assert encode((Atom("ok"), [PID])) == before


def test_the_memory_of_atoms_is_bounded() -> None:
    for n in range(Config().max_atoms + 10):
        encode(Atom(f"bounded{n}"))
    assert len(module.CODES) <= Config().max_atoms
    assert encode((True, Atom("ok"))) == b"\x83h\2w\4truew\2ok"


# --- depth ----------------------------------------------------------------------------------------


def wrap(kind: str, term: Any) -> Any:
    match kind:
        case "tuple":
            return (term,)
        case "named":
            return Point(1, term)
        case "list":
            return [term]
        case "dict":
            return {1: term}
        case "map":
            return Map([(1, term)])
        case "improper":
            return ImproperList([1, term], 2)
        case "frozen":
            return FrozenList([term])
        case "record":
            return Record(Atom("m"), Atom("r"), ((Atom("x"), term),))
        case _:
            return Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID, (term,))


KINDS = ["tuple", "named", "list", "dict", "map", "improper", "frozen", "record", "fun"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_depth_limit_is_exact(kind: str) -> None:
    term: Any = "leaf"
    for _ in range(10):
        term = wrap(kind, term)
    assert encode_parts(term, None, 10)
    with pytest.raises(EncodeError, match="deeper than 9, or contain themselves: raise"):
        encode_parts(term, None, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_term_that_decodes_at_the_limit_also_encodes(kind: str) -> None:
    term: Any = 1
    for _ in range(512):
        term = wrap(kind, term)
    data = encode(term)
    assert encode(decode(data)) == data


def test_a_term_that_contains_itself_is_refused() -> None:
    items: list[Any] = []
    items.append((1, items))
    pairs: dict[Any, Any] = {}
    pairs["self"] = [pairs]
    for term in (items, pairs):
        with pytest.raises(EncodeError, match="deeper than 512, or contain themselves"):
            encode(term)


def test_funs_within_funs_take_no_quadratic_time() -> None:
    term: Any = list(range(-20_000, 20_000, 2))
    for _ in range(400):
        term = wrap("fun", term)
    data = encode(term)
    assert data[:2] == b"\x83p"
    assert int.from_bytes(data[2:6], "big") == len(data) - 2


# --- parts ----------------------------------------------------------------------------------------


def test_a_small_term_is_one_part() -> None:
    assert encode_parts((1, "a", [PID]), None) == [encode((1, "a", [PID]))[1:]]


def test_large_binaries_are_separate_parts_and_not_copied() -> None:
    large, larger = b"x" * 65536, b"y" * 100_000
    parts = encode_parts((1, large, [b"z" * 65535, larger], 2), None)
    assert b"".join(parts) == encode((1, large, [b"z" * 65535, larger], 2))[1:]
    assert len(parts) == 5
    assert parts[1] is large
    assert parts[3] is larger


@pytest.mark.parametrize(
    "term",
    [
        b"x" * 65536,
        "x" * 65536,
        bytearray(65536),
        memoryview(bytes(65536)),
        Blob(65536),
        BitString(b"x" * 70_000, 7),
        wrap("fun", b"x" * 70_000),
        wrap("fun", (b"x" * 70_000, wrap("fun", b"y" * 70_000))),
        (b"x" * 70_000, b"y" * 70_000),
        {b"x" * 70_000: "y" * 70_000},
        1 << 800_000,
        list(range(70_000)),
    ],
    ids=lambda term: type(term).__name__,
)
def test_parts_are_the_whole_term(term: object) -> None:
    parts = encode_parts(term, None)
    assert b"".join(parts) == encode(term)[1:]
    assert all(type(part) is bytes and part for part in parts)


def test_atoms_go_to_the_header() -> None:
    atoms = {"here": 0}
    term = (Atom("here"), Atom("new"), [True, None], PID, Atom("new"))
    data = b"".join(encode_parts(term, atoms))
    assert atoms == {"here": 0, "new": 1, "true": 2, "nil": 3, "a@b": 4}
    assert data == (
        b"h\5R\0R\1l\0\0\0\2R\2R\3jXR\4" + pack(">III", 1, 2, 3) + b"R\1"
    )
    header = (Atom("here"), Atom("new"), True, None, Atom("a@b"))
    assert decode_term(data, 0, header, *LIMITS) == (term, len(data))


def test_a_header_takes_255_atoms() -> None:
    names = [Atom(f"a{n}") for n in range(300)]
    atoms: dict[str, int] = {}
    data = b"".join(encode_parts((names, PID), atoms))
    assert list(atoms) == names[:255]
    assert list(atoms.values()) == list(range(255))
    assert decode_term(data, 0, tuple(atoms), *LIMITS)[0] == (names, PID)


def test_every_identifier_takes_its_node_from_the_header() -> None:
    fun = Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID, (PID,))
    port, reference = Port("a@b", 1, 2), Reference("a@b", 1, (2, 3))
    term = [PID, port, reference, Export(Atom("m"), Atom("a@b"), 1), fun]
    atoms: dict[str, int] = {}
    data = b"".join(encode_parts(term, atoms))
    assert list(atoms) == ["a@b", "m"]
    assert b"w\3a@b" not in data
    assert decode_term(data, 0, tuple(map(Atom, atoms)), *LIMITS)[0] == term


class Indexed:
    """A number of another library: not an int, but it has `__index__`."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number

    def __float__(self) -> float:
        raise AssertionError("it is not a float")


@pytest.mark.parametrize("number", [0, -1, 255, 256, 1 << 31, -(1 << 70)])
def test_a_number_with_an_index_is_an_integer(number: int) -> None:
    assert encode(Indexed(number)) == encode(number)
    assert decode(encode({"a": [1, Indexed(number)]})) == {b"a": [1, number]}
    assert exact_key(Indexed(number)) == exact_key(number)


class Refusing:
    def __index__(self) -> int:
        raise RuntimeError("not now")


class OnlyFloat:
    def __float__(self) -> float:
        return 1.5


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


class Growing(list[int]):
    """A list that yields more items than its length."""

    def __iter__(self) -> Any:
        return iter([1, 2, 3, "x"])


@pytest.mark.parametrize("term", [Refusing(), OnlyFloat(), released(), "\ud800", "a\udc80b"])
def test_an_unreadable_value_is_an_encode_error(term: object) -> None:
    for wrapped in (term, [1, term], {"k": (term,)}, ImproperList([1], term)):
        with pytest.raises(EncodeError):
            encode(wrapped)
        with pytest.raises(EncodeError):
            encode_parts(wrapped, {})


def test_a_subclass_of_a_container_is_iterated_once() -> None:
    assert decode(encode(Growing([7]))) == [1, 2, 3, b"x"]


@pytest.mark.parametrize("level", [-1, 10, 99])
def test_a_compression_level_out_of_range_is_refused(level: int) -> None:
    with pytest.raises(EncodeError, match="use zlib's levels"):
        encode([1] * 1000, compressed=level)
