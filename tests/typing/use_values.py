"""Uses text mode, own types and Elixir's values as a program does; mypy is the test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from typing_extensions import assert_type

from uds_dist import Atom, Config, Node, TaggedTuple, decode, encode, record
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

User = record("user", "name", "age")


@struct("Elixir.MyApp.Order")
@dataclass
class Order:
    number: int
    note: str | None = None


@atoms
class Colour(Enum):
    RED = "red"
    BLUE = Atom("blue")


def own_types(term: object) -> object:
    return str(term)


def coded(data: bytes) -> None:
    assert_type(encode(Order(1), default=to_elixir), bytes)
    assert_type(encode({1, 2}, default=own_types), bytes)
    assert_type(decode(data, text=True), object)
    assert_type(decode(data, text=True, object_hook=from_elixir, records=[User]), object)
    assert_type(decode(data, object_hook=own_types, records=("user", User)), object)
    assert_type(from_elixir(data), object)
    encode(1, default=lambda: 1)  # type: ignore[misc, arg-type]
    decode(data, records=[1])  # type: ignore[list-item]


def settings() -> Node:
    config = Config(text=True, default=to_elixir, object_hook=from_elixir, records=[User])
    assert_type(config.text, bool)
    Config(text="yes")  # type: ignore[arg-type]
    return Node("py@localhost", text=True, config=config)


def records(term: object) -> str:
    assert_type(User, type[TaggedTuple])
    user = User("ann", age=7)
    assert_type(user, TaggedTuple)
    assert_type(user.name, object)
    assert_type(user._replace(age=8), TaggedTuple)
    assert_type(user._asdict(), dict[str, object])
    match term:
        case TaggedTuple(name=str() as name):
            return name
    return ""


def values(term: object) -> str:
    assert_type(Order(1).note, str | None)
    Order("1")  # type: ignore[arg-type]
    assert_type(Colour("red"), Colour)
    assert_type(keyword({"a": 1}), list[tuple[Atom, object]])
    assert_type(keyword([("a", 1), ("a", 2)]), list[tuple[Atom, object]])
    assert_type(from_keyword(term), dict[str, object])
    match term:
        case Uri(host=str() as host):
            return host
        case ElixirError() as error:
            assert_type(error.fields, dict[str, object])
            return error.struct
        case datetime() as moment:
            return moment.isoformat()
    return str(Uri("http", host="localhost"))


struct(1)  # type: ignore[arg-type]
