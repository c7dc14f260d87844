"""The Erlang terms that have no Python type.

Identifiers are in ``identifiers``; here are the terms made of other terms. A list or map that is a
map's key becomes a hashable twin (FrozenList, Map), at any depth. A map whose keys Python would
merge, such as 1, 1.0 and True, is a Map instead of a dict. All of that is rare, so the code here is
safe rather than fast: nothing recurses, and frozen values are not walked again.

Source: External Term Format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from operator import index
from typing import Any, Final

from uds_dist.errors import EncodeError
from uds_dist.etf.atoms import Atom, as_atom
from uds_dist.etf.identifiers import Pid, Port, Reference
from uds_dist.etf.shown import REPR_LENGTH, printable, shown
from uds_dist.etf.value import Value

__all__ = [
    "Atom",
    "BitString",
    "Export",
    "FrozenList",
    "Fun",
    "ImproperList",
    "LocalTerm",
    "Map",
    "Pid",
    "Port",
    "Record",
    "Reference",
    "WALK",
    "exact_key",
    "fold",
    "freeze",
]

# The text before the parts of a term, the parts, and the text after them: see `shown`.
ShownParts = tuple[str, Iterable[object], str]


@dataclass(slots=True, init=False, repr=False, eq=False)
class Export(Value):
    """A fun of the form ``fun Module:Function/Arity``.

    Source: External Term Format, EXPORT_EXT.
    """

    module: Final[Atom]
    function: Final[Atom]
    arity: Final[int]  # 0 to 255

    def __init__(self, module: Atom, function: Atom, arity: int) -> None:
        if not 0 <= arity <= 255:
            raise EncodeError("an arity must be a number from 0 to 255")
        self._set(module=as_atom(module), function=as_atom(function), arity=arity)

    def __repr__(self) -> str:
        return f"Export(module={self.module!r}, function={self.function!r}, arity={self.arity!r})"

    def __str__(self) -> str:
        return f"fun {printable(self.module, 255)}:{printable(self.function, 255)}/{self.arity}"


@dataclass(slots=True, init=False, repr=False, eq=False)
class Fun(Value):
    """A fun with its environment: it cannot be called here, but is sent back byte for byte.

    Source: External Term Format, NEW_FUN_EXT; with ``arity`` None, FUN_EXT.
    """

    module: Final[Atom]
    arity: Final[int | None]
    index: Final[int]  # 32 bits; FUN_EXT: any integer
    uniq: Final[bytes]  # 16 bytes: the MD5 of the module's code; FUN_EXT has none
    old_index: Final[int]
    old_uniq: Final[int]
    pid: Final[Pid]
    free: Final[tuple[object, ...]] = ()  # the values of its free variables

    def __init__(
        self,
        module: Atom,
        arity: int | None,
        index: int,
        uniq: bytes,
        old_index: int,
        old_uniq: int,
        pid: Pid,
        free: tuple[object, ...] = (),
    ) -> None:
        self._set(
            module=as_atom(module),
            arity=arity,
            index=index,
            uniq=uniq,
            old_index=old_index,
            old_uniq=old_uniq,
            pid=pid,
            free=free,
        )

    def __str__(self) -> str:
        module, numbers = printable(self.module, 255), (self.index, self.old_uniq)
        return f"#Fun<{module}.{'.'.join([shown(number, 40) for number in numbers])}>"

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "Fun(", self._values(), ")"


@dataclass(slots=True, init=False, repr=False, eq=False)
class BitString(Value):
    """A bit string whose length is not a multiple of 8.

    Args:
        data: the bits, from the highest bit of the first byte on; unused bits are made 0.
        bits: how many bits of the last byte are used, 1 to 7.
    Raises:
        EncodeError: ``bits`` is out of its range, or ``data`` is empty.

    Source: External Term Format, BIT_BINARY_EXT.
    """

    data: Final[bytes]
    bits: Final[int]

    def __init__(self, data: bytes, bits: int) -> None:
        if not data or not 1 <= bits <= 7:
            raise EncodeError(
                "a BitString has at least one byte and uses 1 to 7 bits of the last one: "
                "use bytes for whole bytes"
            )
        last = data[-1] & (0xFF00 >> bits) & 0xFF
        if last != data[-1]:
            data = data[:-1] + bytes((last,))
        self._set(data=data, bits=bits)

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "BitString(", (self.data, self.bits), ")"


class ImproperList:
    """A list whose last tail is not a list: ``[a, b | tail]``.

    Args:
        items: the elements before the tail, at least one.
        tail: any term except a list.
    Raises:
        EncodeError: ``items`` is empty, or the tail is a list.

    Source: External Term Format, LIST_EXT.
    """

    __slots__ = ("_items", "_tail")
    __match_args__ = ("items", "tail")
    _items: tuple[object, ...]
    _tail: object

    def __init__(self, items: Iterable[object], tail: object) -> None:
        self._items = tuple(items)
        self._tail = tail
        if not self._items or isinstance(tail, (list, ImproperList, FrozenList)):
            raise EncodeError(
                "an ImproperList has at least one item and a tail that is not a list: "
                "use a list for a list that ends in []"
            )

    @property
    def items(self) -> tuple[object, ...]:
        """The elements before the tail."""
        return self._items

    @property
    def tail(self) -> object:
        """The last tail."""
        return self._tail

    def __eq__(self, other: object) -> bool:
        if type(other) is not ImproperList:
            return NotImplemented
        return self._items == other._items and self._tail == other._tail

    def __hash__(self) -> int:
        return hash((ImproperList, self._items, self._tail))

    def __reduce__(self) -> tuple[object, ...]:
        return ImproperList, (self._items, self._tail)

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "ImproperList(", (self._items, self._tail), ")"


@dataclass(slots=True, init=False, repr=False, eq=False)
class Record(Value):
    """A native record of OTP 29, as in ``#module:name{field = Value}``.

    Args:
        module: the module that defines it.
        name: its name there.
        fields: its fields, name and value.
        exported: whether other modules may access its fields.

    Source: External Term Format, RECORD_EXT (OTP 29).
    """

    module: Final[Atom]
    name: Final[Atom]
    fields: Final[tuple[tuple[Atom, object], ...]]
    exported: Final[bool] = field(default=True, kw_only=True)

    def __init__(
        self,
        module: Atom,
        name: Atom,
        fields: tuple[tuple[Atom, object], ...],
        *,
        exported: bool = True,
    ) -> None:
        pairs = tuple([(as_atom(key), value) for key, value in fields])
        self._set(module=as_atom(module), name=as_atom(name), fields=pairs, exported=exported)

    def get(self, name: str, default: object = None) -> object:
        """The value of the field with this name."""
        for key, value in self.fields:
            if key == name:
                return value
        return default

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "Record(", (self.module, self.name, self.fields), f", exported={self.exported})"


@dataclass(slots=True, init=False, repr=False, eq=False)
class LocalTerm(Value):
    """A term in a node's private format: opaque, and sent back unchanged.

    Source: External Term Format, LOCAL_EXT.
    """

    data: Final[bytes]  # all bytes after the tag

    def __init__(self, data: bytes) -> None:
        self._set(data=data)

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "LocalTerm(", (self.data,), ")"


# Leaf types that are always hashable; their subclasses may not be.
PLAIN = frozenset({int, float, bytes, str, bool, type(None), Atom, Pid, Port, Reference})


class FrozenList:
    """A hashable list, for the keys of maps.

    It equals a list of the same items and encodes as a list.
    """

    __slots__ = ("_items", "_hash", "_token")
    __match_args__ = ("items",)
    _items: tuple[object, ...]
    _hash: int
    _token: bytes | None  # its exact_key; None if its items are plain

    def __init__(self, items: Iterable[object]) -> None:
        self._items = tuple(items)
        self._token = None
        if PLAIN.issuperset(map(type, self._items)):  # nearly always: a string
            self._hash = hash((FrozenList, self._items))
        else:
            # By its exact key: hashing and comparing level by level could overflow Python's frames
            # and the C stack.
            self._items = tuple([freeze(item) for item in self._items])
            self._token = exact_key(self)
            self._hash = hash(self._token)

    @property
    def items(self) -> tuple[object, ...]:
        """The elements."""
        return self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[object]:
        return iter(self._items)

    def __getitem__(self, index: int) -> object:
        return self._items[index]

    def __eq__(self, other: object) -> bool:
        if type(other) is FrozenList:
            if self._hash != other._hash or self._token != other._token:
                return False
            return self._token is not None or self._items == other._items
        if isinstance(other, list):
            if len(other) != len(self._items):
                return False
            return self._items == tuple(other) if self._token is None else _is_same(self, other)
        return NotImplemented

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[object, ...]:
        return FrozenList, (self._items,)  # not the hash: it is valid in one process only

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "FrozenList([", self._items, "])"


class Map:
    """A map that a dict cannot hold: its keys may be equal in Python, such as 1, 1.0 and True.

    A map that is a key of a map is a Map too, since a key must be hashable. Maps are equal if they
    are equal in Erlang; a Map also equals a dict of the same keys and values.

    Args:
        pairs: the keys and values, in their order on the wire.
    Raises:
        EncodeError: a key occurs twice.

    Source: External Term Format, MAP_EXT.
    """

    __slots__ = ("_pairs", "_values", "_token")
    __match_args__ = ("pairs",)
    _pairs: tuple[tuple[object, object], ...]
    _values: dict[bytes, object]
    _token: bytes | None  # its exact_key, kept if no value in it can change

    def __init__(self, pairs: Iterable[tuple[object, object]]) -> None:
        self._pairs = tuple(pairs)
        self._values = {exact_key(key): value for key, value in self._pairs}
        self._token = None
        if len(self._values) != len(self._pairs):
            raise EncodeError("a key occurs twice in a Map")

    @property
    def pairs(self) -> tuple[tuple[object, object], ...]:
        """The keys and values, in their order on the wire."""
        return self._pairs

    def get(self, key: object, default: object = None) -> object:
        """The value of exactly this key: 1 is not 1.0."""
        return self._values.get(exact_key(key), default)

    def __getitem__(self, key: object) -> object:
        try:
            return self._values[exact_key(key)]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return exact_key(key) in self._values

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[object]:
        return iter([key for key, _value in self._pairs])

    def keys(self) -> list[object]:
        """The keys, in a list."""
        return [key for key, _value in self._pairs]

    def values(self) -> list[object]:
        """The values, in a list."""
        return [value for _key, value in self._pairs]

    def items(self) -> tuple[tuple[object, object], ...]:
        """The pairs of key and value, as from a dict."""
        return self._pairs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Map, dict)):
            return NotImplemented
        return len(self) == len(other) and _is_same(self, other)

    def __hash__(self) -> int:
        return hash(self._token or exact_key(self))

    def __reduce__(self) -> tuple[object, ...]:
        return Map, (self._pairs,)

    def __repr__(self) -> str:
        return shown(self, REPR_LENGTH)

    def _shown_parts(self) -> ShownParts:
        return "Map([", self._pairs, "])"


WALK = object()  # what a leaf function returns for a term whose parts `fold` must walk


def fold(
    term: object,
    leaf: Callable[[object], object],
    branch: Callable[[object, list[Any]], object],
) -> object:
    """Rebuild a term from its leaves up, with a stack: terms nest deeper than Python's frames.

    Args:
        term: any term.
        leaf: returns the value of a term that is not walked, or `WALK`.
        branch: returns the value of a term from the term and the values of its parts.
    Returns:
        The value of the whole term.
    """
    stack: list[tuple[object, Iterator[object], list[object]]] = []
    source: object = None
    todo: Iterator[object] = iter((term,))
    done: list[object] = []
    while True:
        for part in todo:
            value = leaf(part)
            if value is not WALK:
                done.append(value)
                continue
            stack.append((source, todo, done))
            source, todo, done = part, iter(_parts(part)), []
            break
        else:
            if not stack:
                return done[0]
            value = branch(source, done)
            source, todo, done = stack.pop()
            done.append(value)


_BRANCHES = (tuple, list, dict, Map, FrozenList, ImproperList, Record, Fun)


def _parts(term: object) -> Sequence[object]:
    """The parts of a term of ``_BRANCHES``."""
    if isinstance(term, (tuple, list)):
        return term
    if isinstance(term, FrozenList):
        return term.items
    if isinstance(term, ImproperList):
        return (*term.items, term.tail)
    if isinstance(term, Record):
        return [value for _name, value in term.fields]
    if isinstance(term, Fun):
        return term.free
    assert isinstance(term, (dict, Map))
    return [part for pair in term.items() for part in pair]


def _pairs_of(parts: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(parts[::2], parts[1::2], strict=True)


def freeze(term: object) -> object:
    """The hashable twin of a term, which encodes to the same bytes.

    Args:
        term: any term.
    Returns:
        The term with its lists as FrozenList and its maps as Map, at any depth.
    """
    if type(term) in PLAIN:
        return term
    if type(term) is list and PLAIN.issuperset(map(type, term)):
        return FrozenList(term)
    return fold(term, _frozen_leaf, _frozen_branch)


def _frozen_leaf(term: object) -> object:
    # Walking frozen values again would take quadratic time for keys nested in keys.
    if isinstance(term, FrozenList) or (isinstance(term, Map) and term._token is not None):
        return term
    return WALK if isinstance(term, _BRANCHES) else term


def _frozen_branch(source: object, parts: list[Any]) -> object:
    if isinstance(source, list):
        return FrozenList(parts)
    if isinstance(source, (dict, Map)):
        frozen = Map(_pairs_of(parts))
        frozen._token = exact_key(frozen)
        return frozen
    if isinstance(source, ImproperList):
        return ImproperList(parts[:-1], parts[-1])
    if isinstance(source, Record):
        fields = tuple((name, part) for (name, _old), part in zip(source.fields, parts))
        return replace(source, fields=fields)
    if isinstance(source, Fun):
        return replace(source, free=tuple(parts))
    return tuple(parts)


def _is_same(one: object, other: object) -> bool:
    return exact_key(one) == exact_key(other)


def exact_key(term: object) -> bytes:
    """A digest of a term; two digests are equal if Erlang's ``=:=`` finds the terms equal.

    Args:
        term: any term.
    Returns:
        The digest; those of 1, 1.0 and True differ, and those of 0.0 and -0.0.
    """
    token = fold(term, _exact_leaf, _exact_branch)
    assert isinstance(token, bytes)
    return token


def _digest(kind: str, data: bytes) -> bytes:
    # Digests are short, so nested keys take linear time; the data would take quadratic time.
    return blake2b(kind.encode("utf-8", "surrogatepass") + b"\0" + data, digest_size=20).digest()


def _exact_leaf(term: object) -> object:
    if isinstance(term, _BRANCHES):
        token = term._token if isinstance(term, (Map, FrozenList)) else None
        return WALK if token is None else token
    if isinstance(term, bool) or term is None:
        return _digest("atom", b"nil" if term is None else str(term).lower().encode())
    if isinstance(term, float):
        return _digest("float", float(term).hex().encode())
    if isinstance(term, int):
        return _digest("int", b"%x" % int(term))
    if isinstance(term, str):
        kind = "atom" if isinstance(term, Atom) else "binary"
        return _digest(kind, term.encode("utf-8", "surrogatepass"))
    if isinstance(term, (bytes, bytearray, memoryview)):
        return _digest("binary", bytes(term))
    if isinstance(term, (Pid, Port, Reference)):
        return _digest(type(term).__name__, term.node.encode("utf-8", "replace") + term._words)
    if isinstance(term, BitString):
        return _digest("bits", bytes((term.bits,)) + term.data)
    if isinstance(term, Export):
        text = f"{term.module}\0{term.function}\0{term.arity}"
        return _digest("export", text.encode("utf-8", "surrogatepass"))
    if isinstance(term, LocalTerm):
        return _digest("local", term.data)
    if hasattr(type(term), "__index__"):
        return _digest("int", b"%x" % index(term))  # type: ignore[arg-type]
    return _digest("object", b"%x" % id(term))  # not a term: equal only to itself


def _exact_branch(source: object, parts: list[Any]) -> object:
    if isinstance(source, (dict, Map)):
        # Sorted, since the order of keys does not matter for equality.
        return _digest("map", b"".join(sorted(key + value for key, value in _pairs_of(parts))))
    if isinstance(source, Record):
        names = [str(name) for name, _value in source.fields]
        kind = repr(("record", str(source.module), str(source.name), source.exported, names))
    elif isinstance(source, Fun):
        numbers = [source.arity, hex(source.index), hex(source.old_index), hex(source.old_uniq)]
        kind = repr(("fun", str(source.module), numbers, source.uniq, source.pid))
    elif isinstance(source, (list, FrozenList)):
        kind = "list"
    elif isinstance(source, tuple):
        kind = "tuple"
    else:
        kind = "improper"
    return _digest(kind, b"".join(parts))
