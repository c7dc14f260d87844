"""Limits on the cost of a term, whatever its bytes are: depth, elements, memory and time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from bisect import bisect_left
from collections.abc import Callable
from struct import pack
from typing import Any

import pytest

from uds_dist.errors import DecodeError, EncodeError
from uds_dist.etf.decode import COMPILED, decode, decode_term
from uds_dist.etf.encode import encode
from uds_dist.etf.maps import FEW_KEYS, MAX_KEY_DEPTH, make_map
from uds_dist.etf.reader import DEEPEST
from uds_dist.etf.terms import (
    FrozenList,
    Fun,
    ImproperList,
    Map,
    Pid,
    Record,
    exact_key,
    freeze,
)

PID = b"X\x77\3a@b" + pack(">III", 1, 2, 3)
MERSENNE = (1 << 61) - 1  # Python's hash of an integer is its remainder modulo this number


def word(number: int) -> bytes:
    return pack(">I", number)


def a_list(count: int, elements: bytes) -> bytes:
    return b"\x83l" + word(count) + elements + b"j"


def nested(make: Callable[[Any], Any], depth: int) -> Any:
    term: Any = b"x"
    for _ in range(depth):
        term = make(term)
    return term


# --- the ends of the input ------------------------------------------------------------------------


def test_every_end_of_every_tag_is_a_decode_error() -> None:
    terms = [
        (1, [b"ab", {"a": 1.5}]),
        {True: [], None: {}},
        Pid("a@b", 1, 2, 3),
        Fun("m", 1, 2, bytes(16), 3, 4, Pid("a@b", 1, 2, 3), (1,)),  # type: ignore[arg-type]
    ]
    for data in map(encode, terms):
        for end in range(len(data)):
            with pytest.raises(DecodeError) as refused:
                decode(data[:end])
            assert 0 <= refused.value.offset <= end


@pytest.mark.parametrize("last", [b"j", b"w\1a", b"h\0", b"a\1"])
@pytest.mark.parametrize("rest", [b"", b"w", b"w\1", b"R", b"X", b"h"])
def test_a_fault_near_the_end_of_the_input_is_reported(last: bytes, rest: bytes) -> None:
    data = b"\x83h\2t\0\0\0\2w\1aw\1aw\1a" + last + rest
    with pytest.raises(DecodeError):
        decode(data)


# --- depth: one limit for both directions ---------------------------------------------------------

SHAPES: list[Callable[[Any], Any]] = [
    lambda term: (term,),
    lambda term: [term, 2],
    lambda term: [1.5, term],
    lambda term: {1: term},
    lambda term: ImproperList([term], 1),
    lambda term: ImproperList([1], (term,)) if type(term) is not ImproperList else (term,),
    lambda term: make_map([1, 1.0], [term, term] if type(term) is bytes else [term, 1]),
    lambda term: Record("m", "r", (("f", term),)),  # type: ignore[arg-type]
    lambda term: Fun("m", 0, 0, bytes(16), 1, 1, Pid("a@b", 1, 2, 3), (term,)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 66, 512, 1000])
@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_a_term_that_may_be_received_may_be_sent(shape: Callable[[Any], Any], depth: int) -> None:
    term = nested(shape, depth)
    data = encode(term, max_depth=5000)
    limit = bisect_left(range(3 * depth), True, key=lambda depth: is_read(data, depth))
    again = decode(data, max_depth=limit)
    assert encode(again, max_depth=limit) == data
    with pytest.raises(DecodeError, match=f"deeper than {limit - 1}"):
        decode(data, max_depth=limit - 1)
    with pytest.raises(EncodeError, match=f"deeper than {limit - 1}"):
        encode(again, max_depth=limit - 1)


def is_read(data: bytes, depth: int) -> bool:
    try:
        decode(data, max_depth=depth)
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("leaf", [[1.5], [1 << 70], [300, 4], "text", [1, 2], [], {}, ()])
def test_the_last_level_counts_in_both_directions(leaf: object) -> None:
    for key in (False, True):
        term: object = {freeze(leaf): 1} if key else (leaf,)
        data = encode(term)
        for depth in (1, 2, 3):
            try:
                encode(term, max_depth=depth)
            except EncodeError:
                assert not is_read(data, depth)
            else:
                assert is_read(data, depth)


def test_no_setting_exceeds_the_greatest_depth() -> None:
    term = nested(lambda term: (term,), DEEPEST + 1)
    with pytest.raises(EncodeError, match="deeper than 20000"):
        encode(term, max_depth=1_000_000)


# --- depth: small stacks --------------------------------------------------------------------------

# Python 3.13 itself takes more than 128 KiB of stack to free a tuple that is nested 15,000 deep.
SMALL = 1024 * 1024 if sys.version_info >= (3, 13) else 128 * 1024 if COMPILED else 64 * 1024

DEEP_KEYS = {
    "tuples": b"h\1" * 500 + b"a\1",
    "many tuples": b"h\1" * 15_000 + b"a\1",
    "improper lists": b"l\0\0\0\1" * 500 + b"a\1" + b"a\1" * 500,
    "lists": b"l\0\0\0\1" * 500 + b"j" * 501,
    "maps": b"t\0\0\0\1" * 500 + b"j" + b"a\1" * 500,
    "records": b"C\0\0\0\1\1w\1mw\1rw\1f" * 500 + b"j",
    "tuples of lists": b"h\1l\0\0\0\1" * 500 + b"j" + b"j" * 500,
}

SMALL_STACK = """
import sys, threading
threading.stack_size(int(sys.argv[1]))
from uds_dist import EncodeError, decode, encode
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import exact_key, freeze

def work():
    data = bytes.fromhex(sys.stdin.read())
    term = decode(data, max_depth=20_000)
    assert encode(term, max_depth=20_000) == data
    assert hash(freeze(term)) == hash(freeze(term))
    assert exact_key(term) == exact_key(decode(data, max_depth=20_000))
    shown(term)
    del term
    print("survived")

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("key", DEEP_KEYS.values(), ids=list(DEEP_KEYS))
def test_keys_of_any_depth_are_read_on_a_small_stack(key: bytes) -> None:
    data = b"\x83t\0\0\0\2" + key + b"j" + b"a\1" + b"h\1" * 15_000 + b"j"
    result = subprocess.run(
        [sys.executable, "-c", SMALL_STACK, str(SMALL)],
        input=data.hex(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "survived\n", result.stderr


def test_a_deep_key_makes_a_map_with_exact_keys() -> None:
    flat = nested(lambda term: (term,), MAX_KEY_DEPTH)
    assert type(decode(encode({flat: 1}))) is dict
    term = decode(encode({(flat,): 1, "a": 2}))
    assert type(term) is Map
    assert term[(flat,)] == 1
    assert term == {(flat,): 1, b"a": 2}


# --- elements -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        a_list(2000, b"a\1" * 2000),
        a_list(2000, b"b\0\0\1\1" * 2000),
        b"\x83k" + pack(">H", 2000) + bytes(2000),
        b"\x83i" + word(2000) + b"j" * 2000,
        b"\x83t" + word(1000) + b"".join(b"b" + word(n) + b"j" for n in range(1000)),
        a_list(1000, b"l\0\0\0\1jj" * 1000),
        b"\x83" + b"l\0\0\0\1a\1" * 2000 + b"j",
        a_list(10, (b"k" + pack(">H", 200) + bytes(200)) * 10),
    ],
)
def test_elements_are_counted_wherever_they_are(data: bytes) -> None:
    packed = b"\x83P" + word(len(data) - 1) + zlib.compress(data[1:])
    for form in (data, packed):
        decode(form, max_terms=3000)
        with pytest.raises(DecodeError, match="too many elements: raise max_message_terms"):
            decode(form, max_terms=1900)


def test_kinds_that_cost_more_count_more() -> None:
    for element in (b"q\x77\1m\x77\1fa\1", PID, b"C\0\0\0\0\1w\1mw\1r", b"t\0\0\0\1jj"):
        data = a_list(1000, element * 1000)
        decode(data, max_terms=40_000)
        with pytest.raises(DecodeError, match="too many elements"):
            decode(data, max_terms=1900)


def test_different_atoms_in_one_message_are_bounded() -> None:
    atoms = b"".join([b"w\5" + b"%05x" % n for n in range(8000)])
    data = a_list(8000, atoms)
    assert len(decode(data, max_terms=200_000)) == 8000  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="different atoms"):
        decode(data, max_terms=10_000)


def test_a_large_message_within_its_budget_is_read() -> None:
    term = [(n, str(n), [n, 1.5], {n: (), "b": [b"x"]}, 1 << 70) for n in range(20_000)]
    data = encode(term)
    assert encode(decode(data)) == data
    assert len(data) * 16 > 4_000_000  # so it has a budget


def test_a_small_frame_cannot_ask_for_much() -> None:
    plain = b"l" + word(30_000_000) + b"j" * 30_000_000 + b"j"
    data = b"\x83P" + word(len(plain)) + zlib.compress(plain)
    del plain
    tracemalloc.start()
    try:
        started = time.process_time()
        with pytest.raises(DecodeError, match="too many elements"):
            decode(data)
        assert time.process_time() - started < 3
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


# --- keys with chosen hashes ----------------------------------------------------------------------


def colliding(count: int) -> list[int]:
    """Integers with the same hash."""
    return [MERSENNE * n + 5 for n in range(count)]


def on_one_path() -> list[object]:
    """Integers with different hashes that follow a long path in a dict's table of 1024 places."""
    path = [0]
    while len(path) < 500:
        path.append((path[-1] * 5 + 1) % 1024)
    taken = set(path)
    keys: list[object] = [*path]
    for number in range(1 << 45, 1 << 60, 1 << 45):
        place = rest = number
        place %= 1024
        steps = 0
        while place in taken:
            rest >>= 5
            place = (place * 5 + rest + 1) % 1024
            steps += 1
        if steps > 200:
            keys.append(number)
    return keys


FLOODS: dict[str, Callable[[int], list[object]]] = {
    "integers": lambda n: list(colliding(n)),
    "tuples": lambda n: [(1, key) for key in colliding(n)],
    "tuples in tuples": lambda n: [((key,), 1) for key in colliding(n)],
    "lists": lambda n: [FrozenList([key]) for key in colliding(n)],
    "improper lists": lambda n: [ImproperList([1], key) for key in colliding(n)],
    "records": lambda n: [Record("m", "r", (("f", key),)) for key in colliding(n)],  # type: ignore[arg-type]
    "among texts": lambda n: [part for key in colliding(n // 2) for part in (key, str(key))],
}


@pytest.mark.parametrize("keys_of", FLOODS.values(), ids=list(FLOODS))
def test_keys_with_one_hash_take_linear_time(
    keys_of: Callable[[int], list[object]],
) -> None:
    keys = keys_of(16_000)
    body = b"".join([encode(key)[1:] + b"j" for key in keys])
    data = b"\x83t" + word(len(keys)) + body
    started = time.process_time()
    term = decode(data)
    took = time.process_time() - started
    assert type(term) is Map
    assert len(term) == len(keys)
    assert term[decode(encode(keys[-1]))] == []
    assert took < 1.5
    assert encode(term) == data


def test_keys_on_one_path_are_noticed_though_their_hashes_differ() -> None:
    keys = on_one_path()[:680]
    assert len(set(map(hash, keys))) == len(keys) > 550
    assert type(make_map(keys, keys)) is Map


@pytest.mark.parametrize("count", [64, 100, 200, 1000])
@pytest.mark.parametrize("keys_of", FLOODS.values(), ids=list(FLOODS))
def test_keys_with_one_hash_are_noticed_in_small_maps_too(
    keys_of: Callable[[int], list[object]], count: int
) -> None:
    if keys_of is FLOODS["among texts"]:
        count *= 2  # half of them are texts
    keys = keys_of(count)
    body = b"".join([encode(key)[1:] + b"j" for key in keys])
    assert type(decode(b"\x83t" + word(len(keys)) + body)) is Map


@pytest.mark.parametrize("list_first", [False, True])
def test_lists_of_every_kind_can_be_keys_of_one_map(list_first: bool) -> None:
    keys: list[object] = [[1, 2], [[1], 2], [], (1, [2]), (1, 2), {1: [2]}, 7, None, [b"x"]]
    if not list_first:
        keys.reverse()
    body = b"".join([encode(key)[1:] + b"j" for key in keys])
    data = b"\x83t" + word(len(keys)) + body
    term = decode(data)
    assert type(term) is dict
    assert list(term) == [freeze(key) for key in keys]
    assert list(map(type, term)) == [type(freeze(key)) for key in keys]
    assert encode(term) == data


@pytest.mark.parametrize(
    "keys",
    [
        list(range(5000)),
        list(range(-2500, 2500)),
        [n * 1000 for n in range(5000)],
        [n << 16 for n in range(5000)],
        [n << 32 for n in range(5000)],
        [hash(str(n)) for n in range(5000)],
        [1_700_000_000_000_000 + n * 1_000_003 for n in range(5000)],
        [(n, b"x") for n in range(5000)],
        [(n, n + 1) for n in range(5000)],
        [n + 0.5 for n in range(5000)],
        [str(n) for n in range(5000)],
        list(colliding(FEW_KEYS)),
    ],
    ids=range(12),
)
def test_ordinary_keys_make_a_dict(keys: list[object]) -> None:
    assert type(decode(encode(dict.fromkeys(keys, 1)))) is dict


def test_maps_in_keys_of_maps_take_linear_time() -> None:
    # Each is a key of the next one, in a tuple; and each has keys that are equal in Python.
    def build(depth: int, width: int) -> bytes:
        key = b"h\1" + b"l" + word(width) + b"j" * width + b"j"
        for _ in range(depth):
            key = b"h\1t\0\0\0\3a\1jF\x3f\xf0\0\0\0\0\0\0j" + key + b"j"
        return b"\x83" + key

    started = time.process_time()
    decode(build(1, 4000), max_depth=512)
    shallow = time.process_time() - started
    started = time.process_time()
    decode(build(200, 4000), max_depth=512)
    assert time.process_time() - started < 5 * shallow + 0.5


# --- quadratic work -------------------------------------------------------------------------------


def test_funs_within_funs_are_measured_once() -> None:
    head = b"p" + bytes(29)
    inner = b"m" + word(200_000) + bytes(200_000)
    depth = 500
    body = b"w\1ma\1a\1" + PID
    data = inner
    for _ in range(depth):
        data = b"p" + word(29 + len(body) + len(data)) + head[5:26] + word(1) + body + data
    term = decode(b"\x83" + data)
    started = time.process_time()
    assert encode(term) == b"\x83" + data
    assert time.process_time() - started < 0.5


def test_the_place_of_a_fault_is_found_in_a_wide_and_deep_term() -> None:
    term: object = [1, object()]
    for _ in range(400):
        term = [*range(300, 310), term]
    wide = [list(range(300, 320)) for _ in range(5000)]
    with pytest.raises(EncodeError, match="object has no Erlang term.*at term"):
        encode([wide, term])


def test_exact_keys_are_made_without_a_text_of_the_value() -> None:
    class Silent:
        def __repr__(self) -> str:
            raise AssertionError("its repr was asked for")

    value = Silent()
    assert exact_key(value) == exact_key(value)
    assert exact_key(value) != exact_key(Silent())


def test_large_integers_take_linear_time() -> None:
    number = (1 << 8 * 1_000_000) - 1
    started = time.process_time()
    data = encode(-number)
    assert decode(data) == -number
    exact_key(decode(data))
    assert time.process_time() - started < 1


def test_decoding_is_the_same_in_every_thread() -> None:
    data = encode([{n: (n, str(n))} for n in range(300)])
    results: list[object] = []

    def work() -> None:
        results.append(decode_term(data, 1, (), 512, 0)[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [decode(data)] * 4
