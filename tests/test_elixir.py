"""Values of Elixir: each is sent as its struct there, and comes back as the same value."""

from __future__ import annotations

import copy
import pickle
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from uds_dist import Atom, EncodeError, Map, decode, encode
from uds_dist.elixir import (
    ElixirError,
    Uri,
    atoms,
    from_elixir,
    from_keyword,
    keyword,
    struct,
    to_elixir,
)

STRUCT = Atom("__struct__")
ISO = Atom("Elixir.Calendar.ISO")
BERLIN = ZoneInfo("Europe/Berlin")
ZONES: list[tzinfo | None] = [None, timezone.utc, BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")]


def coded(value: object, text: bool = True) -> Any:
    return decode(encode(value, default=to_elixir), text=text, object_hook=from_elixir)


def plain(value: object) -> Any:
    return decode(encode(value, default=to_elixir), text=True)


def made(module: str, **fields: object) -> Any:
    """The value of a struct that a node sends."""
    return coded({STRUCT: Atom(module), **{Atom(name): value for name, value in fields.items()}})


# --- a random value of each row of the table --------------------------------------------------------


def a_moment(rng: random.Random) -> datetime:
    moment = datetime(2024, 1, 1) + timedelta(
        days=rng.randrange(-400_000, 2_000_000), microseconds=rng.randrange(86_400_000_000)
    )
    return moment.replace(tzinfo=rng.choice(ZONES), fold=rng.randrange(2))


def a_duration(rng: random.Random) -> timedelta:
    return timedelta(rng.randrange(-10**6, 10**6), rng.randrange(86400), rng.randrange(10**6))


def a_decimal(rng: random.Random) -> Decimal:
    digits = tuple(rng.choices(range(10), k=rng.choice([1, 5, 40])))
    some = [Decimal("-0"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1E+30")]
    return rng.choice([*some, Decimal((rng.randrange(2), digits, rng.randrange(-30, 30)))])


def a_pattern(rng: random.Random) -> re.Pattern[str]:
    flags = 0
    for flag in (re.IGNORECASE, re.MULTILINE, re.DOTALL, re.VERBOSE, re.ASCII):
        flags |= flag * rng.randrange(2)
    return re.compile(rng.choice(["a.b", "", "^x+$", r"\w{2,3}|(?P<n>y)", "\xe9[a-z]"]), flags)


def a_uri(rng: random.Random) -> Uri:
    return Uri("http", rng.choice([None, "u:p"]), "h", rng.choice([80, 81]), "/p", "q", None, "h")


def an_exception(rng: random.Random) -> ElixirError:
    message = rng.choice(["m", None, 7])
    return ElixirError("Elixir.ArgumentError", {"message": message, "more": [1]})


MAKERS: list[Callable[[random.Random], Any]] = [
    a_moment,
    lambda rng: a_moment(rng).date(),
    lambda rng: a_moment(rng).time(),
    a_duration,
    a_decimal,
    a_pattern,
    a_uri,
    an_exception,
    lambda rng: range(rng.randrange(-9, 9), rng.randrange(-9, 9), rng.choice([-3, -1, 1, 2])),
    lambda rng: set(rng.sample(["a", 1, 2.5, (1, 2), date(2024, 1, 2), Decimal("1.5")], 3)),
]


def is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("maker", MAKERS)
def test_every_value_comes_back_unchanged(maker: Callable[[random.Random], Any], text: bool) -> None:
    rng = random.Random(1)
    for _ in range(200):
        value = maker(rng)
        if not text and isinstance(value, (set, ElixirError)):
            continue  # texts in them are bytes then
        assert is_same(coded(value, text), value), value
        (nested,) = coded({Atom("k"): [(value,)]}, text)[Atom("k")]
        assert is_same(nested[0], value)
        if not isinstance(value, set):  # its order may differ
            assert encode(coded(value, text), default=to_elixir) == encode(value, default=to_elixir)


def test_a_moment_keeps_its_zone_and_its_side_of_the_clock_change() -> None:
    for fold in (0, 1):
        moment = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold)
        found = coded(moment)
        assert found.tzinfo is BERLIN and found.utcoffset() == moment.utcoffset()
    assert plain(moment)[Atom("std_offset")] == 0 and plain(moment)[Atom("zone_abbr")] == "CET"


def test_a_moment_with_an_offset_without_a_name_is_sent_in_utc() -> None:
    moment = datetime(2024, 5, 6, 7, 8, tzinfo=timezone(timedelta(hours=2)))
    assert coded(moment) == moment and coded(moment).tzinfo is timezone.utc
    named = datetime(2024, 5, 6, 7, 8, tzinfo=ZoneInfo("UTC"))
    assert coded(named) == named and plain(named)[Atom("time_zone")] == "Etc/UTC"


def test_an_unknown_zone_becomes_its_offset() -> None:
    parts = plain(datetime(2024, 5, 6, 7, tzinfo=BERLIN)) | {Atom("time_zone"): "Mars/Olympus"}
    found = coded(parts)
    assert found == datetime(2024, 5, 6, 7, tzinfo=BERLIN)
    assert found.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (datetime(2024, 5, 6, tzinfo=timezone.utc), {"second": 60}),
        (datetime(2024, 5, 6), {"year": 10_000}),
        (date(2024, 5, 6), {"calendar": Atom("Elixir.Julian")}),
        (date(2024, 5, 6), {"month": "May"}),
        (time(1), {"microsecond": 5}),
        (timedelta(1), {"month": 1}),
        (timedelta(1), {"day": 10**12}),
        (Decimal(1), {"coef": Atom("huge")}),
        (Decimal(1), {"exp": 10**30}),
        (range(3), {"step": 0}),
        (range(3), {"first": 1.0}),
        ({1}, {"map": Map([(1, []), (1.0, [])])}),
        (re.compile("a"), {"source": "("}),
        (re.compile("a"), {"source": "(" * 5000}),
        (re.compile("a"), {"source": r"a\Z"}),
        (re.compile("a"), {"source": "[[:alpha:]]"}),
        (re.compile("a"), {"source": "a" * 1001}),
        (re.compile("a", re.I), {"source": "[\0-\uffff]"}),
        (re.compile("a", re.I), {"source": r"[\0-\uffff]"}),
        (re.compile("a"), {"opts": [Atom("ungreedy")]}),
        (Uri("http"), {"host": 7}),
    ],
)
def test_values_outside_pythons_range_stay_structs(value: object, change: dict[str, object]) -> None:
    term = plain(value) | {Atom(name): part for name, part in change.items()}
    assert encode(coded(term), default=to_elixir) == encode(term, default=to_elixir)
    assert isinstance(coded(term), dict)


def test_unknown_structs_are_unchanged() -> None:
    schema = made("Elixir.MyApp.Nobody", __meta__={STRUCT: Atom("Elixir.Ecto.Schema.Metadata")}, id=1)
    assert schema[STRUCT] == "Elixir.MyApp.Nobody" and schema[Atom("id")] == 1
    for term in ({STRUCT: 7}, {STRUCT: Atom("Elixir.Date"), "year": 1}, Map([(STRUCT, 1), ("__struct__", 2)])):
        assert coded(term) == term


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"pre": [], "build": None}, "1.2.3"),
        ({"pre": ["rc", 1], "build": "b.2"}, "1.2.3-rc.1+b.2"),
    ],
)
def test_a_version_is_its_text(parts: dict[str, object], text: str) -> None:
    assert made("Elixir.Version", major=1, minor=2, patch=3, **parts) == text


def test_a_uuid_is_sent_as_its_36_characters() -> None:
    assert coded(UUID(int=7)) == "00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (Uri("http", "u:p", "h", 80, "/p", "q", "f"), "http://u:p@h/p?q#f"),
        (Uri("http", None, "::1", 81, "/"), "http://[::1]:81/"),
        (Uri("mailto", path="a@b"), "mailto:a@b"),
        (Uri(host="h"), "//h"),
    ],
)
def test_a_uri_is_written(uri: Uri, text: str) -> None:
    assert str(uri) == text


def test_a_python_exception_is_sent_as_a_runtime_error() -> None:
    error = coded(ZeroDivisionError("by 0"))
    assert (error.struct, str(error)) == ("Elixir.RuntimeError", "ZeroDivisionError: by 0")
    with pytest.raises(ElixirError, match="by 0"):
        raise error
    assert error != ElixirError("Elixir.RuntimeError", {}) and error != 1
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert again == error and hash(again) == hash(error)
    assert str(made("Elixir.KeyError", __exception__=True, key=1)) == "Elixir.KeyError"


def test_a_value_without_an_elixir_value_is_refused() -> None:
    for value in (object(), time(1, tzinfo=timezone.utc), re.compile(b"a", re.LOCALE), 1j):
        with pytest.raises(EncodeError, match="has no equivalent in Elixir|has no term"):
            encode([value], default=to_elixir)


# --- a program's own types --------------------------------------------------------------------------


@struct("Elixir.MyApp.Order")
@dataclass
class Order:
    number: int
    due: date
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    total: int = field(default=0, init=False)


class Subclass(Order):
    pass


@struct("Elixir.MyApp.Point")
@dataclass(frozen=True)
class Point:
    x: int
    module: str = ""  # a name that a helper might stumble upon


def test_a_dataclass_is_a_struct_both_ways() -> None:
    order = Order(1, date(2024, 5, 6), "n", ["a"])
    order.total = 9
    assert plain(order)[STRUCT] == "Elixir.MyApp.Order"
    assert is_same(coded(order), order)
    found = coded({Atom("by"): {Point(1): [Point(2, "m")]}})[Atom("by")]
    assert found == {Point(1): [Point(2, "m")]}


def test_fields_without_a_default_are_required() -> None:
    order = made("Elixir.MyApp.Order", number=1, due=date(2024, 5, 6))
    assert order == Order(1, date(2024, 5, 6))
    with pytest.raises(ValueError, match="the struct Elixir.MyApp.Order has no number, due: send it"):
        made("Elixir.MyApp.Order", note="n")


def test_unknown_keys_are_kept() -> None:
    order = made("Elixir.MyApp.Order", number=1, due=date(2024, 5, 6), added=[date(2024, 1, 1)])
    assert plain(order)[Atom("added")] == [plain(date(2024, 1, 1))]
    assert Atom("added") not in plain(Order(1, date(2024, 5, 6)))
    point = made("Elixir.MyApp.Point", x=1, y=2)
    assert point == Point(1) and plain(point)[Atom("y")] == 2


def test_a_subclass_is_not_the_struct() -> None:
    with pytest.raises(EncodeError, match="Subclass has no equivalent in Elixir"):
        encode(Subclass(1, date(2024, 5, 6)), default=to_elixir)


def test_only_a_dataclass_with_room_for_more_keys_can_be_a_struct() -> None:
    @dataclass
    class Slots:
        __slots__ = ("x",)
        x: int

    with pytest.raises(TypeError, match="put @struct above @dataclass"):
        struct("Elixir.A")(int)
    with pytest.raises(TypeError, match="Slots has slots"):
        struct("Elixir.A")(Slots)


@atoms
class Colour(Enum):
    RED = "red"
    BLUE = Atom("blue")


class Unmarked(Enum):
    RED = 1


class Number(IntEnum):
    ONE = 1


def test_a_marked_enum_is_sent_as_atoms() -> None:
    found = coded([Colour.RED, {Colour.BLUE: 1}])
    assert found == [Atom("RED"), {Atom("blue"): 1}] and type(found[0]) is Atom
    with pytest.raises(EncodeError, match="Unmarked has no equivalent"):
        encode(Unmarked.RED, default=to_elixir)
    with pytest.raises(TypeError, match="use a plain Enum"):
        atoms(Number)


def test_keyword_lists_both_ways() -> None:
    pairs = keyword({"a": 1, "b": "x"})
    assert pairs == [(Atom("a"), 1), (Atom("b"), "x")] and type(pairs[0][0]) is Atom
    assert keyword([("a", 1), ("a", 2)]) == [("a", 1), ("a", 2)]
    assert from_keyword(coded(keyword([("a", 1), ("nil", 2), ("true", 3), ("a", 4)]))) == {
        "a": 1,
        "nil": 2,
        "true": 3,
    }
    for term in ([1], [("a", 1)], [(Atom("a"), 1, 2)], (), None):
        with pytest.raises(ValueError, match="not a keyword list"):
            from_keyword(term)
