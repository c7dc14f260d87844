"""A program's own types: dataclasses that are structs, Enums that are atoms, keyword lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from uds_dist import Atom
from uds_dist.elixir.values import struct_term

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
# Where an object keeps the keys that its class has no field for.
UNKNOWN: Final = "__elixir_unknown__"
NAME: Final = "__elixir_struct__"
AS_ATOMS: Final = "__elixir_atoms__"

# Dataclasses by the name of their struct; `struct` enters them. The table is global, as classes
# are, so that `from_elixir` itself can be the object_hook and needs no argument.
classes: dict[str, type[Any]] = {}


def struct(module: str) -> Callable[[type[T]], type[T]]:
    """Make a dataclass the struct of an Elixir module, both ways.

    A received struct must have each field that has no default. Keys for which the class has no
    field are kept, and are sent back with the object.

    Args:
        module: its full name, such as ``Elixir.MyApp.User``.
    Returns:
        A decorator; put it above ``@dataclass``.
    Raises:
        TypeError: the class is not a dataclass, or has slots and cannot keep unknown keys.
    """
    name = Atom(module)

    def decorate(cls: type[T]) -> type[T]:
        if not (isinstance(cls, type) and is_dataclass(cls)):
            raise TypeError(f"{cls!r} is not a dataclass: put @struct above @dataclass")
        if not cls.__dictoffset__:
            raise TypeError(f"{cls.__name__} has slots: it needs a __dict__ for unknown keys")
        setattr(cls, NAME, name)
        classes[name] = cls
        return cls

    return decorate


def atoms(enum: type[E]) -> type[E]:
    """Mark an Enum: `to_elixir` makes atoms of its members.

    The atom is the member's value, if that is an `Atom`, and its name otherwise.

    Args:
        enum: the Enum.
    Returns:
        The same Enum.
    Raises:
        TypeError: its members are integers or texts, which are sent as such.
    """
    if issubclass(enum, (int, str, float, bytes, tuple)):
        raise TypeError(f"the members of {enum.__name__} are integers or texts: use a plain Enum")
    setattr(enum, AS_ATOMS, True)
    return enum


def from_struct(cls: type[Any], content: Mapping[str, object]) -> object:
    """An object of a dataclass, from the fields of its struct."""
    known: dict[str, Field[Any]] = {item.name: item for item in fields(cls)}
    missing = [
        name
        for name, item in known.items()
        if name not in content and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise ValueError(
            f"the struct {getattr(cls, NAME)} has no {', '.join(missing)}: send it, or give the"
            f" field of {cls.__name__} a default"
        )
    given = {name: value for name, value in content.items() if name in known}
    made = cls(**{name: value for name, value in given.items() if known[name].init})
    for name, value in given.items():
        if not known[name].init:
            object.__setattr__(made, name, value)
    unknown = {name: value for name, value in content.items() if name not in known}
    if unknown:
        object.__setattr__(made, UNKNOWN, unknown)
    return made


def to_struct(value: Any) -> object:
    """The struct of an object of a dataclass."""
    names = [item.name for item in fields(value)]
    content = {name: getattr(value, name) for name in names}
    content |= getattr(value, UNKNOWN, {})
    return struct_term(getattr(value, NAME), **content)


def keyword(
    items: Mapping[str, object] | Iterable[tuple[str, object]],
) -> list[tuple[Atom, object]]:
    """Make a keyword list: ``[name: value, ...]``.

    Args:
        items: names and values, in order; a name may occur more than once.
    Returns:
        The list, ready to send.
    """
    pairs = items.items() if isinstance(items, Mapping) else items
    return [(Atom(name), value) for name, value in pairs]


def from_keyword(term: object) -> dict[str, object]:
    """Read a keyword list; if a name occurs more than once, the first counts, as in Elixir.

    Args:
        term: a list of pairs whose first part is an atom.
    Returns:
        The values by their names.
    Raises:
        ValueError: it is not a keyword list.
    """
    found: dict[str, object] = {}
    for pair in term if isinstance(term, list) else [None]:
        key, value = pair if isinstance(pair, tuple) and len(pair) == 2 else ("", None)
        name = _atom_name(key)
        if name is None:
            raise ValueError(
                "the term is not a keyword list: expected pairs of an atom and a value"
            )
        found.setdefault(name, value)
    return found


def _atom_name(term: object) -> str | None:
    """The text of an atom; None if the term is not an atom."""
    if term is None:
        return "nil"
    if isinstance(term, bool):
        return "true" if term else "false"
    return str(term) if isinstance(term, Atom) else None
