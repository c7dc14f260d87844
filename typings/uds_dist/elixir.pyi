"""Elixir's standard values as Python values, and a program's structs as its dataclasses."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from uds_dist import Atom

__all__ = [
    "ElixirError",
    "Uri",
    "atoms",
    "from_elixir",
    "from_keyword",
    "keyword",
    "struct",
    "to_elixir",
]

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Enum)

# An Elixir exception as a value, such as `%ArgumentError{}`.
class ElixirError(Exception):
    struct: Atom
    fields: dict[str, object]
    def __init__(self, struct: str, fields: Mapping[str, object]) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[object, ...]: ...

# A URI with the same parts as Elixir's; `str` joins them.
@dataclass(frozen=True)
class Uri:
    scheme: str | None = None
    userinfo: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    query: str | None = None
    fragment: str | None = None
    authority: str | None = None

# For `default`: the term of a value that the codec cannot encode.
def to_elixir(value: object) -> object: ...
# For `object_hook`: the value of a struct; an unknown struct unchanged.
def from_elixir(term: object) -> object: ...
# Map a dataclass to the struct of an Elixir module, in both directions.
def struct(module: str) -> Callable[[type[_T]], type[_T]]: ...
# Mark an Enum: `to_elixir` converts its members to atoms.
def atoms(enum: type[_E]) -> type[_E]: ...
# Make a keyword list, and read one.
def keyword(
    items: Mapping[str, object] | Iterable[tuple[str, object]],
) -> list[tuple[Atom, object]]: ...
def from_keyword(term: object) -> dict[str, object]: ...
