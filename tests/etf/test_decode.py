"""Decoding beyond the corpora: cursors, limits, runs of numbers, hostile input."""

from __future__ import annotations

import time
import zlib
from itertools import product
from struct import pack

import pytest

from uds_dist.config import Config
from uds_dist.errors import DecodeError
from uds_dist.etf import leaves as module
from uds_dist.etf.decode import decode, decode_term
from uds_dist.etf.encode import encode
from uds_dist.etf.leaves import atom_term
from uds_dist.etf.reader import DEEPEST
from uds_dist.etf.terms import Atom, ImproperList, LocalTerm, Map, Pid, Reference

LIMITS = (512, 1 << 20)
PID = b"X" + b"w\x03a@b" + pack(">III", 1, 2, 3)


def nested(head: bytes, depth: int, last: bytes) -> bytes:
    return b"\x83" + head * depth + last


# --- input and cursor -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_read(kind: type) -> None:
    term = decode(kind(b"\x83h\x02m\0\0\0\1aa\5"))
    assert term == (b"a", 5)
    assert isinstance(term, tuple)
    assert type(term[0]) is bytes


def test_a_term_within_other_bytes_is_read_with_its_end() -> None:
    data = b"??h\x02a\1a\2!!"
    assert decode_term(data, 2, (), *LIMITS) == ((1, 2), 8)


def test_terms_follow_each_other() -> None:
    data = b"a\1w\2okj"
    one, pos = decode_term(data, 0, (), *LIMITS)
    two, pos = decode_term(data, pos, (), *LIMITS)
    three, pos = decode_term(data, pos, (), *LIMITS)
    assert (one, two, three, pos) == (1, "ok", [], len(data))


def test_the_end_of_a_compressed_term_is_known() -> None:
    plain = b"m" + pack(">I", 1000) + bytes(1000)
    data = b"P" + pack(">I", len(plain)) + zlib.compress(plain)
    assert decode_term(data + b"rest", 0, (), *LIMITS) == (bytes(1000), len(data))


def test_a_local_term_takes_the_remaining_bytes() -> None:
    assert decode_term(b"yabc", 0, (), *LIMITS) == (LocalTerm(b"abc"), 4)
    assert encode(decode(b"\x83yabc")) == b"\x83yabc"


# --- atoms ----------------------------------------------------------------------------------------


def test_atoms_of_a_header_stand_for_their_terms() -> None:
    header = tuple([atom_term(text) for text in (b"ok", b"true", b"nil", b"a@b")])
    data = b"h\4R\0R\1R\2XR\3" + pack(">III", 1, 2, 3)
    term, end = decode_term(data, 0, header, *LIMITS)
    assert term == (Atom("ok"), True, None, Pid("a@b", 1, 2, 3))
    assert end == len(data)


def test_atoms_of_a_header_may_be_modules_and_nodes() -> None:
    data = b"h\2" + b"Z\0\1R\0" + bytes(8) + b"qR\1R\0a\2"
    term, _end = decode_term(data, 0, (Atom("a@b"), True), *LIMITS)
    assert isinstance(term, tuple)
    assert term[0] == Reference("a@b", 0, (0,))
    assert str(term[1]) == "fun true:a@b/2"
    assert type(term[1].module) is Atom


@pytest.mark.parametrize("data", [b"R\2", b"XR\2" + bytes(12), b"Z\0\1R\2" + bytes(8)])
def test_an_atom_missing_in_the_header_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="the header has no atom 2") as refused:
        decode_term(data, 0, (Atom("a"), Atom("b")), *LIMITS)
    assert refused.value.tag == 82
    assert data[refused.value.offset] == 82


def test_a_node_may_be_named_true_false_or_nil() -> None:
    pid = decode(b"\x83X" + b"w\4true" + bytes(12))
    assert isinstance(pid, Pid)
    assert pid.node == "true"
    assert type(pid.node) is Atom


def test_an_atom_decodes_to_the_same_object() -> None:
    data = b"\x83h\2w\5helloXw\3a@b" + bytes(12)
    one, two = decode(data), decode(data)
    assert isinstance(one, tuple) and isinstance(two, tuple)
    assert one[0] is two[0]
    assert one[1].node is two[1].node


@pytest.mark.parametrize("text", ["", "\0", "\0\0", "a", "a\0", "\0a", "a" * 7, "a" * 8, "a" * 9])
def test_an_atom_is_told_from_similar_atoms(text: str) -> None:
    likes = [text, text + "\0", "\0" + text, text + "b", text * 2, "x" * 15, "x" * 16, "\xff" * 7]
    for _ in range(2):
        for like in likes:
            name = like.encode()
            # The bytes around it, as many as an integer has, differ each time.
            for before, rest in product((b"", b"j", b"\xff" * 20), repeat=2):
                data = before + b"w" + bytes((len(name),)) + name + rest
                end = len(before) + len(name) + 2
                assert decode_term(data, len(before), (), *LIMITS) == (like, end)


@pytest.mark.parametrize("size", range(18))
def test_an_atom_cut_short_is_refused_wherever_it_is(size: int) -> None:
    for before in (b"", b"w\2ok" * 5):
        data = before + b"w" + bytes((size,)) + b"a" * size
        for end in range(len(before) + 1, len(data)):
            with pytest.raises(DecodeError, match="ends within a term"):
                decode_term(data[:end], len(before), (), *LIMITS)


def test_the_memory_of_atoms_is_bounded() -> None:
    for n in range(Config().max_atoms + 10):
        atom_term(b"bounded%d" % n)
    assert len(module.TERMS) <= Config().max_atoms
    assert atom_term(b"true") is True
    assert atom_term(b"nil") is None
    assert decode(b"\x83w\2ok") == "ok"


@pytest.mark.parametrize("text", [b"\xff", b"a" * 256, b"\xed\xa0\x80"])
def test_invalid_atoms_are_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        atom_term(text)
    assert text not in module.TERMS


# --- lists and runs of numbers --------------------------------------------------------------------


OTHERS: list[tuple[bytes, list[object]]] = [
    (b"", []),
    (b"a\1", [1]),
    (b"b\0\0\1\0", [256]),
    (b"j", [[]]),
]


@pytest.mark.parametrize("count", [1, 15, 31, 32, 33, 34, 63, 64, 65, 66, 97, 200])
@pytest.mark.parametrize("tail", [b"j", b"a\7", b"l\0\0\0\1a\7j", b"k\0\1\7"])
def test_runs_of_numbers_are_read_as_single_ones(count: int, tail: bytes) -> None:
    for one, number in ((pack(">Bi", 98, -5), -5), (pack(">Bd", 70, 0.5), 0.5)):
        for others, more in OTHERS:
            items = one * count + others + one * count
            n = pack(">I", 2 * count + len(more))
            term = decode(b"\x83l" + n + items + tail)
            numbers: list[object] = [number] * count
            expected = numbers + more + numbers
            if tail == b"a\7":
                assert term == ImproperList(expected, 7)
            else:
                assert term == expected + ([] if tail == b"j" else [7])


def test_runs_within_tuples_end_with_them() -> None:
    inner = b"h\x28" + pack(">Bi", 98, 300) * 40
    assert decode(b"\x83h\3" + inner * 3) == ((300,) * 40,) * 3


def test_finite_floats_with_an_infinite_sum_are_read() -> None:
    large = 1.7e308
    data = b"\x83l" + pack(">I", 100) + pack(">Bd", 70, large) * 100 + b"j"
    assert decode(data) == [large] * 100


@pytest.mark.parametrize("at", [0, 31, 32, 50, 99])
def test_a_float_that_is_not_finite_is_found_in_a_run(at: int) -> None:
    items = [pack(">Bd", 70, 1.0)] * 100
    items[at] = pack(">Bd", 70, float("nan"))
    with pytest.raises(DecodeError, match="finite") as refused:
        decode(b"\x83l" + pack(">I", 100) + b"".join(items) + b"j")
    assert refused.value.offset == 6 + 9 * at


def test_a_chain_of_tails_is_one_list_and_no_depth() -> None:
    cell = b"l\0\0\0\1a\1"
    assert decode(b"\x83" + cell * 100_000 + b"j", max_depth=1) == [1] * 100_000
    assert decode(b"\x83" + cell * 1000 + b"a\2", max_depth=1) == ImproperList([1] * 1000, 2)


def test_a_list_of_none_is_its_tail() -> None:
    assert decode(b"\x83l\0\0\0\0j") == []
    assert decode(b"\x83l\0\0\0\0k\0\1\7") == [7]
    assert decode(b"\x83l\0\0\0\0a\7") == 7


def test_every_list_is_a_new_one() -> None:
    term = decode(b"\x83h\2jj")
    assert isinstance(term, tuple)
    assert term[0] is not term[1]


# --- limits ---------------------------------------------------------------------------------------

DEEP = [
    (b"h\1", b"j"),
    (b"i\0\0\0\1", b"j"),
    (b"l\0\0\0\1", b"j" * 100),
    (b"t\0\0\0\1a\1", b"j"),
    (b"C\0\0\0\1\1w\1mw\1rw\1f", b"j"),
    (b"p" + bytes(25) + b"\0\0\0\1w\1ma\1a\1" + PID, b"j"),
    (b"u\0\0\0\1" + PID + b"w\1ma\1a\1", b"j"),
]


@pytest.mark.parametrize(("head", "last"), DEEP, ids=lambda value: repr(value[:1]))
def test_the_depth_limit_is_exact(head: bytes, last: bytes) -> None:
    last = last[:1] + b"j" * (10 if head[:1] == b"l" else 0)
    decode(nested(head, 10, last), max_depth=10)
    with pytest.raises(DecodeError, match="deeper than 9: raise max_term_depth") as refused:
        decode(nested(head, 10, last), max_depth=9)
    assert refused.value.tag == head[0]
    assert refused.value.offset == 1 + 9 * len(head)


@pytest.mark.parametrize(("head", "last"), DEEP, ids=lambda value: repr(value[:1]))
def test_no_depth_exhausts_python(head: bytes, last: bytes) -> None:
    with pytest.raises(DecodeError, match="deeper than 512"):
        decode(nested(head, 100_000, last))
    last = last[:1] + b"j" * (DEEPEST if head[:1] == b"l" else 0)
    decode(nested(head, DEEPEST, last), max_depth=1_000_000)
    with pytest.raises(DecodeError, match="deeper than 20000"):
        decode(nested(head, 1_000_000, last), max_depth=1_000_000)
    as_key = nested(b"t\0\0\0\1" + head * (DEEPEST - 1), 1, last[:1] + last[2:] + b"a\1")
    made = decode(as_key, max_depth=1_000_000)
    # A dict if the key is frozen, so that its hash is known; otherwise it is not hashed at all.
    assert type(made) is (dict if head[:1] in (b"l", b"t") else Map)
    data = encode(made, max_depth=DEEPEST)
    assert encode(decode(data, max_depth=DEEPEST), max_depth=DEEPEST) == data


def test_keys_nested_in_keys_are_read_up_to_the_limit() -> None:
    data = nested(b"t\0\0\0\1", 512, b"j" + b"a\1" * 512)
    term = decode(data)
    assert isinstance(term, dict)
    assert type(next(iter(term))) is Map
    assert encode(term) == data


def test_keys_that_are_deep_and_equal_are_refused() -> None:
    key = b"h\1" * 500 + b"a\1"
    with pytest.raises(DecodeError, match="twice"):
        decode(b"\x83t\0\0\0\2" + key + b"j" + key + b"j")
    lists = b"l\0\0\0\1" * 500 + b"j" * 501
    with pytest.raises(DecodeError, match="twice"):
        decode(b"\x83t\0\0\0\2" + lists + b"j" + lists + b"j")


def test_a_compressed_term_is_limited_by_what_it_claims() -> None:
    plain = b"m" + pack(">I", 10_000) + bytes(10_000)
    data = b"\x83P" + pack(">I", len(plain)) + zlib.compress(plain)
    assert decode(data, max_size=len(plain)) == bytes(10_000)
    with pytest.raises(DecodeError, match="10005 bytes, more than 10004: raise max_decompressed"):
        decode(data, max_size=len(plain) - 1)


# --- hostile input: a decoder that trusts it would take minutes, or all memory --------------------


def within(seconds: float, data: bytes) -> object:
    started = time.process_time()
    try:
        return decode(data)
    except DecodeError as error:
        return error
    finally:
        assert time.process_time() - started < seconds


@pytest.mark.parametrize("head", [b"m", b"o", b"l", b"i", b"t", b"M"])
def test_false_sizes_are_refused_before_memory_is_allocated(head: bytes) -> None:
    found = within(0.1, b"\x83l\0\0\0\2" + head + b"\xff\xff\xff\xff" + bytes(100))
    assert isinstance(found, DecodeError)


def test_wide_keys_within_keys_take_no_quadratic_time() -> None:
    # 400 maps, each the key of the next, around a list of 20,000 tuples.
    wide = b"l" + pack(">I", 20_000) + b"h\1a\1" * 20_000 + b"j"
    found = within(3.0, nested(b"t\0\0\0\1", 400, wide + b"a\1" * 400))
    assert isinstance(found, dict)


def test_many_keys_that_merge_take_no_quadratic_time() -> None:
    pairs = b"".join(
        pack(">Bi", 98, n) + b"a\1" + pack(">Bd", 70, n) + b"a\2" for n in range(20_000)
    )
    found = within(3.0, b"\x83t" + pack(">I", 40_000) + pairs)
    assert isinstance(found, Map)
    assert len(found) == 40_000


def test_alternating_numbers_cost_no_more_than_others() -> None:
    data = (pack(">Bi", 98, 300) * 2 + b"w\1a") * 30_000
    assert isinstance(within(1.0, b"\x83l" + pack(">I", 90_000) + data + b"j"), list)


def test_a_truncated_leaf_is_reported_first() -> None:
    # The map also has a key twice, but that is unknown before its last value is complete.
    data = b"\x83t\0\0\0\2a\1ja\1m\0\0\0\x05ab"
    with pytest.raises(DecodeError, match="the input ends within a term") as caught:
        decode(data)
    assert caught.value.offset == len(data)
