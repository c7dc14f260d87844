"""Properties of every term, tested with random terms; each is made from a seed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from uds_dist.errors import DecodeError
from uds_dist.etf.decode import decode, decode_term
from uds_dist.etf.encode import encode, encode_parts
from uds_dist.etf.maps import make_map
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    Map,
    Pid,
    Port,
    Record,
    Reference,
    exact_key,
    freeze,
)
from uds_dist.etf.text import format_term, parse_term

SEEDS = range(10)
TERMS = 30
NODES = [Atom("a@b"), Atom("py@localhost")]
EDGES = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, 2**2040]
CHARACTERS = "aZ09_@ .'\"\\\n\0\x1b\x7f\x80\xe9\u0436\U0001f600"


def a_leaf(rng: random.Random, readable: bool) -> Any:
    """A random leaf; if `readable`, one that can be read back from its text."""
    match rng.randrange(10 if readable else 14):
        case 0:
            return rng.randrange(300) - 20
        case 1:
            return (rng.choice(EDGES) + rng.randrange(-2, 3)) * rng.choice([1, -1])
        case 2:
            wide = rng.uniform(-1, 1) * 10.0 ** rng.randrange(-300, 300)
            return rng.choice([0.0, -0.0, 1.0, rng.random(), wide])
        case 3:
            return rng.choice([True, False, None, Atom("ok"), Atom("undefined")])
        case 4:
            return Atom("".join(rng.choices(CHARACTERS, k=rng.choice([0, 1, 5, 70, 255]))))
        case 5:
            return rng.randbytes(rng.choice([0, 1, 3, 300]))
        case 6:
            return "".join(rng.choices(CHARACTERS, k=rng.randrange(6))).encode()
        case 7:
            return BitString(rng.randbytes(rng.randrange(1, 5)), rng.randrange(1, 8))
        case 8:
            return rng.choices(range(256), k=rng.randrange(5))
        case 9:
            return Export(Atom("m"), Atom(rng.choice(["f", "A b"])), rng.randrange(256))
        case 10:
            numbers = rng.choices([0, 1, 2**32 - 1], k=3)
            return Pid(rng.choice(NODES), *numbers)
        case 11:
            return Port(rng.choice(NODES), rng.choice([0, 5, 2**64 - 1]), rng.randrange(2**32))
        case 12:
            ids = tuple(rng.choices([0, 7, 2**32 - 1], k=rng.randrange(1, 6)))
            return Reference(rng.choice(NODES), rng.randrange(2**32), ids)
        case _:
            kind = rng.choice([int, float])
            return [kind(rng.choice(EDGES[:11])) for _ in range(rng.choice([1, 40, 300, 600]))]


def a_term(rng: random.Random, depth: int, readable: bool) -> Any:
    """A random term, nested up to `depth`."""
    if depth == 0 or rng.random() < 0.3:
        return a_leaf(rng, readable)

    def parts(least: int = 0) -> list[Any]:
        return [a_term(rng, depth - 1, readable) for _ in range(rng.randrange(least, 5))]

    match rng.randrange(5 if readable else 7):
        case 0:
            return tuple(parts())
        case 1:
            return parts()
        case 2:
            return ImproperList(parts(1), rng.choice([7.5, Atom("x"), b"t", (1,), {1: [2]}]))
        case 3:
            keys = {exact_key(key): key for key in parts()}
            return make_map(list(keys.values()), [a_leaf(rng, readable) for _ in keys])
        case 4:
            values: list[Any] = rng.sample([1, 1.0, True, (1,), (1.0,), 0.0, -0.0, [1], [1.0]], 4)
            return make_map(values, [a_term(rng, depth - 1, readable) for _ in values])
        case 5:
            pid = Pid(rng.choice(NODES), 1, 2, 3)
            uniq = rng.randbytes(16)
            arity, old_uniq = rng.randrange(256), rng.choice(EDGES)
            return Fun(Atom("m"), arity, 1, uniq, 2, old_uniq, pid, tuple(parts()))
        case _:
            fields = tuple([(Atom(f"f{i}"), part) for i, part in enumerate(parts())])
            return Record(Atom("m"), Atom("r"), fields, exported=rng.random() < 0.5)


def terms(seed: int, readable: bool = False) -> list[Any]:
    rng = random.Random(seed)
    return [a_term(rng, rng.randrange(6), readable) for _ in range(TERMS)]


def test_the_random_terms_include_every_kind() -> None:
    seen: set[str] = set()
    todo = [term for seed in SEEDS for term in terms(seed)]
    while todo:
        term = todo.pop()
        seen.add(type(term).__name__)
        if isinstance(term, (tuple, list)):
            todo.extend(term)
        elif isinstance(term, (dict, Map)):
            todo.extend(term.values())
    kinds = {int, float, bool, Atom, bytes, BitString, Export, Pid, Port, Reference, tuple, list}
    kinds |= {dict, Map, ImproperList, Fun, Record}
    assert {kind.__name__ for kind in kinds} <= seen


@pytest.mark.parametrize("seed", SEEDS)
def test_an_encoded_term_decodes_to_the_same_term(seed: int) -> None:
    for term in terms(seed):
        data = encode(term)
        again = decode(data)
        assert again == term
        assert exact_key(again) == exact_key(term)
        assert encode(again) == data


@pytest.mark.parametrize("seed", SEEDS)
def test_a_message_of_many_terms_shares_its_header(seed: int) -> None:
    atoms: dict[str, int] = {}
    some = terms(seed)
    data = b"".join([b"".join(encode_parts(term, atoms)) for term in some])
    values = {"true": True, "false": False, "nil": None}
    header = tuple([values.get(atom, atom) for atom in atoms])
    pos = 0
    for term in some:
        again, pos = decode_term(data, pos, header, 512, 0)
        assert exact_key(again) == exact_key(term)
    assert pos == len(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_compressed_terms_are_the_same(seed: int) -> None:
    term = terms(seed)
    data = encode(term, compressed=1 + seed % 9)
    assert data[1] == 80
    assert exact_key(decode(data)) == exact_key(term)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_term_has_a_hashable_twin(seed: int) -> None:
    for term in terms(seed):
        twin = freeze(term)
        assert hash(twin) == hash(freeze(decode(encode(term))))
        assert encode(twin) == encode(term)
        assert decode(encode({twin: 1})) == {twin: 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_printed_term_reads_as_the_same_term(seed: int) -> None:
    for term in terms(seed, readable=True):
        text = format_term(term)
        assert exact_key(parse_term(text)) == exact_key(term)
        assert "\n" not in text


@pytest.mark.parametrize("seed", SEEDS)
def test_every_truncation_is_refused_at_its_length(seed: int) -> None:
    rng = random.Random(seed)
    for term in terms(seed)[:20]:
        data = encode(term)
        for end in rng.sample(range(1, len(data)), min(20, len(data) - 1)):
            with pytest.raises(DecodeError, match="ends within|claimed"):
                decode(data[:end])
