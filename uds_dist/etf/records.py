"""Classes for Erlang's records: tuples whose first element is the record's name.

A record is still a tuple: it encodes and compares as one, so the codec needs no code for these
classes.

Source: Erlang Reference Manual, "Records".
"""

from __future__ import annotations

import sys
from keyword import iskeyword
from operator import itemgetter
from typing import Any, ClassVar, TypeVar

from uds_dist.errors import EncodeError
from uds_dist.etf.atoms import Atom
from uds_dist.etf.shown import REPR_LENGTH, shown

R = TypeVar("R", bound="TaggedTuple")


class TaggedTuple(tuple[object, ...]):
    """An Erlang record: a tuple ``(tag, value, ...)`` whose values are also attributes.

    `record` makes subclasses of this class; they have the methods of a NamedTuple. The first
    element is the tag, so a record equals the plain tuple that comes over the wire.
    """

    __slots__ = ()
    _tag: ClassVar[Atom]
    _fields: ClassVar[tuple[str, ...]] = ()

    def __new__(cls: type[R], *values: object, **named: object) -> R:
        """Make a record from its values, in order or by name."""
        fields = cls._fields
        rest = fields[len(values) :]
        if len(values) > len(fields) or named.keys() != set(rest):
            wanted = ", ".join(fields)
            given = ", ".join(["..."] * len(values) + list(named))
            raise TypeError(f"the record {cls._tag} has the fields ({wanted}), not ({given})")
        return tuple.__new__(cls, (cls._tag, *values, *[named[field] for field in rest]))

    @classmethod
    def _make(cls: type[R], term: tuple[object, ...]) -> R:
        """The record of a tuple that includes the tag.

        Raises:
            ValueError: the tuple has another tag or another size.
        """
        if len(term) != len(cls._fields) + 1 or type(term[0]) is not Atom or term[0] != cls._tag:
            size = len(cls._fields) + 1
            raise ValueError(f"expected a tuple of {size} with the tag {cls._tag}: {shown(term)}")
        return tuple.__new__(cls, term)

    def _replace(self: R, **changes: object) -> R:
        """A copy with some values changed."""
        return type(self)(**{**self._asdict(), **changes})

    def _asdict(self) -> dict[str, object]:
        """The values by their fields' names."""
        return dict(zip(self._fields, self[1:]))

    def __getnewargs__(self) -> tuple[object, ...]:
        return self[1:]

    def __getattr__(self, name: str) -> object:
        # Called if there is no such field. To type checkers it says that every field is a term.
        raise AttributeError(f"the record {self._tag} has no field {name}")

    def __repr__(self) -> str:
        values = ", ".join([f"{name}={shown(self[i])}" for i, name in enumerate(self._fields, 1)])
        return f"{type(self).__name__}({values})"[:REPR_LENGTH]


def record(tag: str, *fields: str) -> type[TaggedTuple]:
    """Make a class for an Erlang record, such as ``-record(user, {name, age})``.

    Args:
        tag: the record's name.
        fields: the names of its fields, which must be valid Python names.
    Returns:
        A class: ``User(name, age)`` is the tuple ``{user, Name, Age}``. If `decode` or `Config` has
        the class in ``records``, such tuples become its objects.
    Raises:
        EncodeError: the tag cannot be an atom, or the fields cannot be attributes.
    """
    if tag in ("true", "false", "nil"):
        raise EncodeError(f"{tag} cannot be a record's tag: it decodes to a Python constant")
    for field in fields:
        if not field.isidentifier() or iskeyword(field) or field.startswith("_"):
            raise EncodeError(f"{shown(field)} cannot be a field: it is not a public Python name")
    if len(set(fields)) != len(fields):
        raise EncodeError(f"a field occurs twice in the record {shown(tag)}")
    body: dict[str, Any] = {
        name: property(itemgetter(i), doc=f"The field {name}.") for i, name in enumerate(fields, 1)
    }
    body |= {"__slots__": (), "_tag": Atom(tag), "_fields": fields, "__match_args__": fields}
    # The module that makes it, for pickle.
    body["__module__"] = sys._getframe(1).f_globals.get("__name__", __name__)
    return type("".join([part.capitalize() for part in tag.split("_")]), (TaggedTuple,), body)
