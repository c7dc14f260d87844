"""Text for binaries, and a program's own types, in both directions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.etf.test_roundtrip import SEEDS, terms
from uds_dist.errors import ConfigError, EncodeError
from uds_dist.etf.conversion import Conversion
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode, encode_parts
from uds_dist.etf.records import TaggedTuple, record
from uds_dist.etf.terms import (
    Atom,
    BitString,
    FrozenList,
    Fun,
    ImproperList,
    Map,
    Pid,
    Record,
    exact_key,
)

STRUCT = Atom("__struct__")
User = record("user", "name", "age")


def text(term: object) -> Any:
    """The value of a term in text mode."""
    return decode(encode(term), text=True)


def kinds(term: object) -> object:
    """A term with the type of each of its parts, since `==` does not tell Atom and str apart."""
    if isinstance(term, (tuple, list)):
        return type(term), [kinds(part) for part in term]
    if isinstance(term, (dict, Map)):
        return type(term), [(kinds(key), kinds(value)) for key, value in term.items()]
    if isinstance(term, ImproperList):
        return ImproperList, kinds(term.items), kinds(term.tail)
    if isinstance(term, Record):
        return Record, [kinds(value) for _name, value in term.fields]
    return type(term), term


# --- text mode --------------------------------------------------------------------------------------


def test_a_binary_that_is_utf_8_is_text_and_any_other_is_bytes() -> None:
    assert text("h\xe9llo") == "h\xe9llo"
    assert text(b"") == ""
    assert text(b"\xff\x00") == b"\xff\x00"
    assert text(b"\xed\xa0\x80") == b"\xed\xa0\x80"  # half a surrogate pair
    bits = BitString(b"a\x80", 1)
    assert text([bits]) == [bits]
    assert decode(encode("text")) == b"text"  # off by default


def test_an_atom_stays_an_atom() -> None:
    found = text([Atom("ok"), "ok", True, None])
    assert kinds(found) == (list, [(Atom, "ok"), (str, "ok"), (bool, True), (type(None), None)])


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ([b"a", [b"b"]], ["a", ["b"]]),
        ((b"a", (b"b", 1)), ("a", ("b", 1))),
        ({b"k": b"v", 1: {b"x": b"\xff"}}, {"k": "v", 1: {"x": b"\xff"}}),
        (ImproperList([b"a", 1], b"t"), ImproperList(["a", 1], "t")),
        (
            Record(Atom("m"), Atom("r"), ((Atom("f"), b"v"),)),
            Record(Atom("m"), Atom("r"), ((Atom("f"), "v"),)),
        ),
        ({(b"a", 1): 1}, {("a", 1): 1}),
    ],
)
def test_texts_are_found_in_every_container(term: object, expected: object) -> None:
    assert kinds(text(term)) == kinds(expected)
    assert encode(text(term)) == encode(term)


def test_a_list_or_a_map_as_a_key_has_texts_too() -> None:
    (key,) = text(Map([([b"a", 1], 1)]))
    assert isinstance(key, FrozenList) and kinds(key[0]) == (str, "a")
    found = text(Map([(Map([(b"k", [b"v"])]), 1)]))
    (key,) = found
    assert isinstance(key, Map) and kinds(list(key.items())) == kinds([("k", FrozenList(["v"]))])
    assert hash(key) and found == {key: 1}


@pytest.mark.parametrize(
    "pairs",
    [
        [(Atom("a"), 1), (b"a", 2)],
        [((Atom("a"),), 1), ((b"a",), 2)],
        [([Atom("a")], 1), ([b"a"], 2)],
        [(1, 1), (1.0, 2), (b"x", 3)],
    ],
)
def test_a_map_whose_keys_would_be_merged_is_a_map(pairs: list[tuple[object, object]]) -> None:
    data = encode(Map(pairs))
    found: Any = decode(data, text=True)
    assert isinstance(found, Map) and len(found) == len(pairs)
    assert encode(found) == data
    assert exact_key(found) == exact_key(decode(data))


def test_a_fun_is_opaque() -> None:
    fun = Fun(Atom("m"), 1, 2, b"u" * 16, 3, 4, Pid("a@b", 1, 2, 3), (b"free",))
    assert text((fun,)) == (fun,)
    assert kinds(text((fun,))[0].free) == (tuple, [(bytes, b"free")])


@pytest.mark.parametrize("seed", SEEDS)
def test_received_text_is_sent_back_unchanged(seed: int) -> None:
    for term in terms(seed):
        data = encode(term)
        found = decode(data, text=True)
        assert exact_key(found) == exact_key(term)
        assert encode(found) == data
        assert kinds(decode(encode(found), text=True)) == kinds(found)


@pytest.mark.parametrize("depth", [63, 64, 65, 500, 20_000])
def test_deep_terms_are_converted(depth: int) -> None:
    term: Any = b"deepest"
    for _ in range(depth):
        term = (term,)
    found: Any = decode(encode(term, max_depth=20_000), text=True, max_depth=20_000)
    for _ in range(depth):
        (found,) = found
    assert kinds(found) == (str, "deepest")


def test_keys_that_are_deep_are_not_hashed() -> None:
    key: Any = b"deepest"
    for _ in range(15_000):
        key = (key,)
    data = encode(Map([(key, 1)]), max_depth=20_000)
    assert encode(decode(data, text=True, max_depth=20_000), max_depth=20_000) == data


# --- object_hook ------------------------------------------------------------------------------------


def test_the_hook_gets_structs_from_the_inside_out() -> None:
    seen: list[object] = []

    def hook(term: Any) -> object:
        seen.append(term)
        return "made"

    struct = {STRUCT: Atom("Elixir.A"), Atom("in"): {STRUCT: Atom("Elixir.B")}}
    found = decode(encode([struct, {b"__struct__": 1}, {Atom("x"): 1}]), object_hook=hook)
    assert found == ["made", {b"__struct__": 1}, {Atom("x"): 1}]
    assert seen == [{STRUCT: "Elixir.B"}, {STRUCT: "Elixir.A", "in": "made"}]
    assert decode(encode([struct]), object_hook=lambda term: term) == [struct]


def test_a_text_key_is_not_the_atom() -> None:
    data = encode({"__struct__": 1})
    assert decode(data, text=True, object_hook=lambda term: 7) == {"__struct__": 1}


def test_the_hooks_exception_is_raised() -> None:
    def hook(term: object) -> object:
        raise ValueError("no such struct")

    with pytest.raises(ValueError, match="no such struct"):
        decode(encode([{STRUCT: Atom("Elixir.A")}]), object_hook=hook)


@pytest.mark.parametrize(
    ("hook", "keys"),
    [
        (lambda term: term[Atom("n")], {1, 2}),
        (lambda term: {1}, None),  # not hashable
        (lambda term: [1, term[Atom("n")]], {FrozenList([1, 1]), FrozenList([1, 2])}),
        (lambda term: "one", None),  # one for both
    ],
)
def test_keys_are_converted_too_if_possible(
    hook: Callable[[Any], object], keys: set[object] | None
) -> None:
    pairs = [(Map([(STRUCT, Atom("Elixir.A")), (Atom("n"), n)]), n) for n in (1, 2)]
    data = encode(Map(pairs))
    found: Any = decode(data, object_hook=hook)
    assert sorted(found.values()) == [1, 2]
    if keys is None:
        assert encode(found) == data
    else:
        assert set(found) == keys


def test_keys_with_colliding_hashes_from_a_hook_take_no_quadratic_time() -> None:
    comparisons: list[object] = []

    class Slow:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            comparisons.append(other)
            return self is other

    count = 2000
    pairs = [(Map([(STRUCT, Atom("Elixir.A")), (Atom("n"), n)]), n) for n in range(count)]
    found = decode(encode(Map(pairs)), object_hook=lambda term: Slow())
    assert isinstance(found, Map) and len(found) == count
    assert len(comparisons) < count * 30


def test_the_tail_of_a_list_is_never_a_list() -> None:
    data = encode(ImproperList([1], {STRUCT: Atom("Elixir.A")}))
    found = decode(data, object_hook=lambda term: [2])
    assert found == ImproperList([1], {STRUCT: Atom("Elixir.A")})


# --- records ----------------------------------------------------------------------------------------


def test_a_record_is_its_tuple() -> None:
    ann: Any = User("ann", age=7)
    assert ann == (Atom("user"), "ann", 7)
    assert (ann.name, ann.age, len(ann)) == ("ann", 7, 3)
    assert encode(ann) == encode((Atom("user"), "ann", 7))
    assert b"".join(encode_parts(ann, None)) == encode(ann)[1:]
    assert repr(ann) == "User(name='ann', age=7)"
    assert ann._replace(age=8) == User("ann", 8) and ann._asdict() == {"name": "ann", "age": 7}
    assert type(copy.deepcopy(ann)) is User and pickle.loads(pickle.dumps(ann)) == ann
    match ann:
        case User(name, age):
            assert (name, age) == ("ann", 7)
        case _:
            pytest.fail("it does not match its own class")


def test_tuples_become_the_requested_records() -> None:
    data = encode([User("ann", 7), (Atom("user"), 1), ("user", 1, 2), {User("k", 1): ()}])
    found: Any = decode(data, text=True, records=[User])
    assert kinds(found[:3]) == kinds([User("ann", 7), (Atom("user"), 1), ("user", 1, 2)])
    (key,) = found[3]
    assert type(key) is User and key == User("k", 1)
    assert encode(found) == data
    assert type(decode(data)[0]) is tuple  # type: ignore[index]


def test_two_sizes_of_a_tag_are_two_records() -> None:
    wide = record("user", "name", "age", "mail")
    data = encode([(Atom("user"), 1, 2), (Atom("user"), 1, 2, 3)])
    assert [type(term) for term in decode(data, records=(User, wide))] == [User, wide]  # type: ignore[attr-defined]


def test_the_hook_gets_the_tuples_with_a_tag() -> None:
    data = encode([(Atom("point"), 1, 2), (Atom("other"), 1), (b"point", 1)])
    found = decode(data, object_hook=lambda term: complex(*term[1:]), records=["point"])  # type: ignore[index]
    assert found == [1 + 2j, (Atom("other"), 1), (b"point", 1)]


def test_a_record_of_the_wrong_shape_is_refused() -> None:
    for values, named in (((1,), {}), ((1, 2, 3), {}), ((1, 2), {"age": 3}), ((1,), {"x": 2})):
        with pytest.raises(TypeError, match=r"the record user has the fields \(name, age\)"):
            User(*values, **named)
    with pytest.raises(ValueError, match="expected a tuple of 3 with the tag user"):
        User._make((Atom("user"), 1))
    with pytest.raises(AttributeError, match="the record user has no field mail"):
        getattr(User(1, 2), "mail")
    for fields in (("a b",), ("class",), ("_a",), ("a", "a")):
        with pytest.raises(EncodeError):
            record("r", *fields)
    with pytest.raises(EncodeError, match="decodes to a Python constant"):
        record("nil", "a")


def test_hooks_and_records_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(ConfigError, match="object_hook cannot be called"):
        decode(encode(1), object_hook=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="records is one text"):
        decode(encode(1), records="user")
    with pytest.raises(ConfigError, match="give classes made by record"):
        decode(encode(1), records=[int])
    with pytest.raises(ConfigError, match="together with an object_hook"):
        decode(encode(1), records=["user"])


def test_a_value_of_the_program_is_unchanged() -> None:
    assert Conversion(True, None, (User,)).convert([User(b"a", 1), {1}]) == [User(b"a", 1), {1}]


# --- default ----------------------------------------------------------------------------------------


def as_text(value: Any) -> object:
    return value.isoformat()


def test_default_is_called_for_a_value_without_a_term() -> None:
    day = date(2024, 5, 6)
    term = (day, [day, {day: day}], ImproperList([day], day), Map([(day, 1)]), FrozenList([day]))
    plain = ("2024-05-06",) * 2
    expected = (
        plain[0],
        [plain[0], {plain[0]: plain[0]}],
        ImproperList([plain[0]], plain[0]),
        {plain[0]: 1},
        [plain[0]],
    )
    assert encode(term, default=as_text) == encode(expected)
    assert b"".join(encode_parts(term, None, 512, as_text)) == encode(expected)[1:]


def test_default_may_return_a_value_that_needs_it_again() -> None:
    def default(value: object) -> object:
        return list(value) if isinstance(value, set) else "j"

    assert encode([{1j}], default=default) == encode([["j"]])


def test_integers_of_other_libraries_are_encoded_but_floats_are_not() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    class Float:
        def __float__(self) -> float:
            return 7.0

    asked: list[object] = []
    assert encode([Index(), True, 1.5], default=asked.append) == encode([7, True, 1.5])
    assert asked == []
    assert encode(Float(), default=lambda value: "f") == encode("f")
    with pytest.raises(EncodeError, match="Float has no Erlang term"):
        encode(Float())


def test_the_exception_of_default_says_where() -> None:
    with pytest.raises(EncodeError, match=r"no term of a set: .*isoformat.* \(at term\[1\]") as caught:
        encode([1, {b"k": {1}}], default=as_text)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_default_that_returns_its_argument_terminates() -> None:
    with pytest.raises(EncodeError, match="nested deeper than 512"):
        encode([{1}], default=lambda value: value)


def test_keys_that_become_one_key_are_refused() -> None:
    day = date(2024, 5, 6)
    for keys in ({day: 1, "2024-05-06": 2}, {(day, 1): 1, ("2024-05-06", 1): 2}):
        with pytest.raises(EncodeError, match="two keys of a dict are one key"):
            encode(keys, default=as_text)
    assert encode({day: 1, "x": 2}, default=as_text) == encode({"2024-05-06": 1, "x": 2})


def test_a_large_binary_that_default_makes_is_not_copied() -> None:
    large = bytes(100_000)
    parts = encode_parts([{1}], None, 512, lambda value: large)
    assert any(part is large for part in parts)


def test_records_are_tagged_tuples() -> None:
    assert issubclass(User, TaggedTuple) and User._fields == ("name", "age")
