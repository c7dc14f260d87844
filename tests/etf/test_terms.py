"""Terms without a Python type: their shape, equality, hash and limits."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from uds_dist import EMPTY, NoReply
from uds_dist.config import Config
from uds_dist.errors import EncodeError
from uds_dist.etf import atoms, leaves, writer
from uds_dist.etf.atoms import limit_atoms
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.maps import make_map
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
    freeze,
)

PID = Pid("a@b", 1, 2, 3)
PORT = Port("a@b", 1 << 40, 3)
REFERENCE = Reference("a@b", 3, (1, 2, 3))
FUN = Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID, (1, [2]))
RECORD = Record(Atom("m"), Atom("r"), ((Atom("a"), 1), (Atom("b"), [2])))
ALL: list[Any] = [
    Atom("ok"),
    PID,
    PORT,
    REFERENCE,
    FUN,
    RECORD,
    Export(Atom("m"), Atom("f"), 1),
    BitString(b"\xa0", 3),
    ImproperList([1, 2], 3),
    LocalTerm(b"abc"),
    FrozenList([1, [2]]),
    Map([(1, 2), (1.0, 3)]),
]


def of_type(term: object) -> str:
    return type(term).__name__


# --- what they have in common ---------------------------------------------------------------------


@pytest.mark.parametrize("term", ALL, ids=of_type)
def test_a_copy_is_equal_and_shows_the_same(term: Any) -> None:
    for again in (copy.copy(term), copy.deepcopy(term), pickle.loads(pickle.dumps(term))):
        assert again == term
        assert type(again) is type(term)
        assert repr(again) == repr(term)


@pytest.mark.parametrize("term", ALL, ids=of_type)
def test_no_attribute_can_be_set_or_added(term: Any) -> None:
    for name in [*getattr(type(term), "__match_args__", ()), "other"]:
        with pytest.raises((AttributeError, TypeError)):
            setattr(term, name, 1)


DATACLASSES = [term for term in ALL if dataclasses.is_dataclass(term)]


@pytest.mark.parametrize("term", DATACLASSES, ids=of_type)
def test_a_term_made_of_fields_is_a_frozen_dataclass(term: Any) -> None:
    names = [field.name for field in dataclasses.fields(term)]
    values = {name: getattr(term, name) for name in names}
    assert tuple(inspect.signature(type(term)).parameters) == tuple(names)
    assert dataclasses.replace(term) == term == type(term)(**values)
    assert dataclasses.asdict(term).keys() == values.keys()
    for name in names:
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(term, name, values[name])
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            delattr(term, name)
    assert values == {name: getattr(term, name) for name in names}


def test_the_terms_made_of_fields() -> None:
    assert [type(term) for term in DATACLASSES] == [Fun, Record, Export, BitString, LocalTerm]
    assert [getattr(term, "__match_args__") for term in DATACLASSES] == [
        ("module", "arity", "index", "uniq", "old_index", "old_uniq", "pid", "free"),
        ("module", "name", "fields"),
        ("module", "function", "arity"),
        ("data", "bits"),
        ("data",),
    ]
    changed = dataclasses.replace(BitString(b"\xff", 3), bits=1)
    assert changed == BitString(b"\x80", 1) != BitString(b"\xe0", 3)
    assert {changed: 1}[BitString(b"\x80", 1)] == 1
    assert repr(Export(Atom("m"), Atom("f"), 1)) == (
        "Export(module=Atom('m'), function=Atom('f'), arity=1)"
    )


@pytest.mark.parametrize("term", ALL, ids=of_type)
def test_no_term_equals_one_of_another_type(term: Any) -> None:
    assert term != object()
    assert [other for other in ALL if other == term] == [term]
    others = (1, b"", (), [1], {1: 2}, None)
    # With -bb Python refuses to compare an atom, which is text, with bytes.
    bars = isinstance(term, Atom) and sys.flags.bytes_warning
    assert term not in [other for other in others if not (bars and type(other) is bytes)]


@pytest.mark.parametrize("term", [term for term in ALL if term not in (FUN, RECORD)], ids=of_type)
def test_equal_terms_have_one_hash(term: Any) -> None:
    assert hash(copy.deepcopy(term)) == hash(term)
    assert {term: 1}[copy.deepcopy(term)] == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (PID, Pid("a@b", 9, 2, 3)),
        (PID, Pid("a@b", 1, 9, 3)),
        (PID, Pid("a@b", 1, 2, 9)),
        (PID, Pid("c@d", 1, 2, 3)),
        (PORT, Port("a@b", 1, 3)),
        (PORT, Port("a@b", 1 << 40, 9)),
        (PORT, Port("c@d", 1 << 40, 3)),
        (REFERENCE, Reference("a@b", 3, (1, 2))),
        (REFERENCE, Reference("a@b", 9, (1, 2, 3))),
        (REFERENCE, Reference("c@d", 3, (1, 2, 3))),
        (ImproperList([1], 2), ImproperList([1], 3)),
        (ImproperList([1], 2), ImproperList([1, 1], 2)),
        (FrozenList([1]), FrozenList([2])),
        (Map([(1, 2)]), Map([(1, 3)])),
        (Map([(1, 2)]), Map([(1, 2), (2, 2)])),
    ],
)
def test_terms_that_differ_in_one_field_differ(a: object, b: object) -> None:
    assert a != b
    assert hash(a) != hash(b) or not isinstance(a, (ImproperList, FrozenList, Map))


# --- atoms and identifiers ------------------------------------------------------------------------


def test_an_atom_is_a_str() -> None:
    ok = Atom("ok")
    assert ok == "ok"
    assert hash(ok) == hash("ok")
    assert repr(ok) == "Atom('ok')"
    assert f"{ok}!" == "ok!"
    assert type(str(ok)) is str
    assert Atom(ok) is ok
    assert Atom("ok") is ok


def test_an_atom_has_at_most_255_characters() -> None:
    assert len(Atom("é" * 255)) == 255
    with pytest.raises(EncodeError, match="255 characters, this one has 256: send a binary"):
        Atom("a" * 256)
    with pytest.raises(EncodeError, match="half a surrogate pair"):
        Atom("a\ud800")


def test_the_memory_of_atoms_is_bounded() -> None:
    limit_atoms(10)
    try:
        made = [Atom(f"atom{n}") for n in range(100)]
        assert len(atoms._atoms) <= 10
        assert decode(encode(made)) == [f"atom{n}" for n in range(100)]
        assert len(leaves.TERMS) <= 10
        assert len(writer.CODES) <= 10
    finally:
        limit_atoms(Config().max_atoms)


def test_a_pid_has_its_parts() -> None:
    match PID:
        case Pid(node, id, serial, creation):
            assert (node, id, serial, creation) == ("a@b", 1, 2, 3)
    assert (PID.node, PID.id, PID.serial, PID.creation) == ("a@b", 1, 2, 3)
    assert type(PID.node) is Atom
    assert str(PID) == "<a@b.1.2>"
    assert repr(PID) == "Pid('a@b', 1, 2, 3)"


def test_a_port_and_a_reference_have_their_parts() -> None:
    assert (PORT.node, PORT.id, PORT.creation) == ("a@b", 1 << 40, 3)
    assert str(PORT) == "#Port<a@b.1099511627776>"
    assert repr(PORT) == "Port('a@b', 1099511627776, 3)"
    assert (REFERENCE.node, REFERENCE.creation, REFERENCE.ids) == ("a@b", 3, (1, 2, 3))
    assert str(REFERENCE) == "#Ref<a@b.3.2.1>"
    assert repr(REFERENCE) == "Reference('a@b', 3, (1, 2, 3))"


@pytest.mark.parametrize("count", range(1, 6))
def test_a_reference_has_1_to_5_numbers(count: int) -> None:
    ids = tuple(range(1, count + 1))
    assert Reference("a@b", 1, ids).ids == ids


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pid("a@b", -1, 0, 0),
        lambda: Pid("a@b", 1 << 32, 0, 0),
        lambda: Pid("a@b", 0, 0, 1 << 32),
        lambda: Port("a@b", 1 << 64, 0),
        lambda: Port("a@b", 0, -1),
        lambda: Reference("a@b", 0, ()),
        lambda: Reference("a@b", 0, (1, 2, 3, 4, 5, 6)),
        lambda: Reference("a@b", 0, (1 << 32,)),
        lambda: Reference("a@b", -1, (1,)),
        lambda: Export(Atom("m"), Atom("f"), 256),
        lambda: Export(Atom("m"), Atom("f"), -1),
        lambda: BitString(b"", 3),
        lambda: BitString(b"a", 0),
        lambda: BitString(b"a", 8),
        lambda: ImproperList([], 1),
        lambda: ImproperList([1], [2]),
        lambda: ImproperList([1], ImproperList([2], 3)),
        lambda: Map([(1, 2), (1, 3)]),
        lambda: Map([("a", 2), (b"a", 3)]),
        lambda: Map([(Atom("true"), 2), (True, 3)]),
    ],
)
def test_values_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(EncodeError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pid("a@b", 0, 1.5, 0),  # type: ignore[arg-type]
        lambda: Port("a@b", "1", 0),  # type: ignore[arg-type]
        lambda: Reference("a@b", 0, (1, None)),  # type: ignore[arg-type]
        lambda: Reference("a@b", 0.0, (1,)),  # type: ignore[arg-type]
    ],
)
def test_an_identifier_with_a_part_that_is_not_a_number_is_a_type_error(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


def test_the_text_of_a_foreign_fun_is_one_printable_line() -> None:
    odd = Atom("\x1b[2J\n")
    assert str(Export(odd, odd, 1)) == r"fun \x1b[2J\n:\x1b[2J\n/1"
    text = str(Fun(odd, None, 1 << 20_000, b"", 0, -(1 << 20_000), PID))
    assert text.isprintable() and len(text) < 200


def test_a_bit_string_clears_its_unused_bits() -> None:
    assert BitString(b"\xff\xff", 3) == BitString(b"\xff\xe0", 3)
    assert BitString(b"\xff", 7).data == b"\xfe"


def test_a_record_gives_its_fields() -> None:
    assert RECORD.get("a") == 1
    assert RECORD.get("c") is None
    assert RECORD.get("c", 5) == 5


# --- maps and their keys --------------------------------------------------------------------------


def test_a_map_tells_keys_apart_like_erlang() -> None:
    pairs = [(1, "int"), (1.0, "float"), (True, "true"), (0.0, "plus"), (-0.0, "minus")]
    found = Map(pairs)
    assert found.items() == tuple(pairs)
    assert found.pairs == tuple(pairs)
    assert [found[key] for key, _value in pairs] == [value for _key, value in pairs]
    assert list(found) == found.keys() == [key for key, _value in pairs]
    assert found.values() == [value for _key, value in pairs]
    assert len(found) == 5
    assert -0.0 in found
    assert 2 not in found
    assert found.get(2, "none") == "none"
    assert found.get(1.0) == "float"
    with pytest.raises(KeyError, match="2"):
        found[2]


def test_maps_are_equal_whatever_the_order_of_their_keys() -> None:
    assert Map([(1, 2), (1.0, 3)]) == Map([(1.0, 3), (1, 2)])
    assert hash(Map([(1, 2), (1.0, 3)])) == hash(Map([(1.0, 3), (1, 2)]))
    assert Map([(1, 2), (1.0, 3)]) != Map([(1, 3), (1.0, 2)])
    assert Map([(1, 2)]) != Map([(1.0, 2)])


def test_a_map_equals_the_dict_of_its_keys_and_values() -> None:
    assert Map([(1, [2]), (b"a", {})]) == {b"a": {}, 1: [2]}
    assert Map([(1, 2)]) != {1.0: 2}
    assert {1: 2} == Map([(1, 2)])


def test_a_frozen_list_equals_the_list_of_its_items() -> None:
    assert FrozenList([1, [2]]) == [1, [2]]
    assert [1, [2]] == FrozenList([1, [2]])
    assert FrozenList([1]) != (1,)
    assert list(FrozenList([1, 2])) == [1, 2]
    assert FrozenList([1, 2])[1] == 2
    assert FrozenList([1, 2]).items == (1, 2)
    assert len(FrozenList([1, 2])) == 2


@pytest.mark.parametrize(
    "term",
    [
        [1, [2, {}]],
        {1: [2]},
        {FrozenList([1]): {2: [3]}},
        (1, [2], {3: [4]}),
        ImproperList([[1]], {}),
        FUN,
        RECORD,
        Map([(1, [2]), (1.0, {})]),
        (1, "a", b"a", None),
    ],
)
def test_a_frozen_term_is_hashable_and_means_the_same(term: object) -> None:
    frozen = freeze(term)
    hash(frozen)
    assert exact_key(frozen) == exact_key(term)
    assert freeze(frozen) == frozen


def test_a_map_that_was_frozen_is_not_frozen_again() -> None:
    frozen = freeze({1: [2]})
    assert freeze(frozen) is frozen
    assert freeze(FrozenList([1])) == FrozenList([1])


def test_a_dict_is_made_if_possible() -> None:
    assert type(make_map([1, b"a"], [2, 3])) is dict
    assert type(make_map([[1], {}], [2, 3])) is dict
    assert type(make_map([1, True], [2, 3])) is Map
    assert type(make_map([[1], [1.0]], [2, 3])) is Map
    with pytest.raises(EncodeError, match="twice"):
        make_map([1, 1], [2, 3])
    with pytest.raises(EncodeError, match="twice"):
        make_map([[1, {}], [1, {}]], [2, 3])


EXACT: list[Any] = [
    1,
    1.0,
    True,
    "true",
    Atom("one"),
    "one",
    0.0,
    -0.0,
    None,
    (),
    [],
    {},
    (1,),
    [1],
    (1.0,),
    [1.0],
    [[1]],
    [1, 1],
    ([1], 1),
    ([1, 1],),
    ImproperList([1], 1),
    {1: 1},
    {1: 1.0},
    {1.0: 1},
    {1: {1: 1}},
    (1, 1, 1),
    PID,
    REFERENCE,
    FUN,
    Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID, (1, [2.0])),
    RECORD,
    Record(Atom("m"), Atom("r"), ((Atom("a"), 1), (Atom("c"), [2]))),
    Export(Atom("m"), Atom("f"), 1),
    BitString(b"\xa0", 3),
]


@pytest.mark.parametrize("i", range(len(EXACT)))
def test_exact_keys_tell_terms_apart(i: int) -> None:
    keys = [exact_key(term) for term in EXACT]
    assert keys.index(keys[i]) == i
    assert exact_key(copy.deepcopy(EXACT[i])) == keys[i]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("a", b"a"),
        (b"a", bytearray(b"a")),
        (Atom("true"), True),
        (Atom("nil"), None),
        ([1], FrozenList([1])),
        ({1: 2, 3: 4}, {3: 4, 1: 2}),
        ({1: 2}, Map([(1, 2)])),
    ],
)
def test_equal_terms_have_the_same_exact_key(a: object, b: object) -> None:
    assert exact_key(a) == exact_key(b)


def test_deep_terms_are_frozen_without_recursion() -> None:
    term: object = 1
    for _ in range(5_000):
        term = [{1: term}]
    assert hash(freeze((term,))) == hash(freeze((term,)))
    assert exact_key(freeze(term)) == exact_key(term)


# --- copies in another process --------------------------------------------------------------------

ANOTHER_PROCESS = """
import pickle, sys
protocol = int(sys.argv[1])
terms, table = pickle.loads(bytes.fromhex(sys.stdin.read()))
for place, term in enumerate(terms):
    if any(term is key for key in table):
        assert table[term] == place, term
again = {term: place for place, term in enumerate(terms) if term in table}
assert again == table
from uds_dist import EMPTY, NoReply
assert terms[-2] is EMPTY and terms[-1] is NoReply()
print(pickle.dumps((terms, again), protocol).hex())
"""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_pass_through_another_process(protocol: int) -> None:
    frozen = freeze({(1, "a"): [[2], {3: [4]}], FrozenList(["x"]): b"y"})
    hashable = [*ALL, frozen, FrozenList([1, "a"]), FrozenList([[1], {2: 3}])]
    terms = [*[term for term in hashable if is_hashable(term)], EMPTY, NoReply()]
    table = {term: place for place, term in enumerate(terms)}
    result = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS, str(protocol)],
        input=pickle.dumps((terms, table), protocol).hex(),
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    again, same = pickle.loads(bytes.fromhex(result.stdout))
    assert again == terms
    assert same == table
    assert again[-2] is EMPTY
    assert again[-1] is NoReply()


def is_hashable(term: object) -> bool:
    try:
        hash(term)
    except TypeError:
        return False
    return True
