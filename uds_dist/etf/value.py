"""The base of the dataclasses that every program loads.

``dataclass(frozen=True)`` compiles six methods from text for each class whenever a program starts:
those of the terms alone took a twentieth of a start. Here the methods are written once, and the
classes are made with ``init=False, repr=False, eq=False``.
"""

from __future__ import annotations

from dataclasses import Field, FrozenInstanceError
from typing import Any, ClassVar


class Value:
    """A dataclass of this class is frozen, equal and hashed by its fields, copied and pickled.

    Its fields are `Final`, and its ``__init__`` calls `_set`.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def _set(self, **fields: object) -> None:
        """Set the fields; for `__init__`."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _values(self) -> list[object]:
        return [getattr(self, name) for name in self.__dataclass_fields__]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(tuple(self._values()))

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    # What pickle and copy use: by default they would assign to the fields.
    def __getstate__(self) -> object:
        return self._values()

    def __setstate__(self, state: list[object]) -> None:
        self._set(**dict(zip(self.__dataclass_fields__, state)))
