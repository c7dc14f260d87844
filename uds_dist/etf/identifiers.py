"""The identifiers of processes, ports and references.

Pid, Port and Reference keep their numbers as the bytes on the wire (``_words``): a node compares,
hashes and sends them back far more often than it reads one of the numbers. Properties over private
slots make them immutable. That is the fastest way in CPython 3.11: 80 ns to make one, against 160
ns with a ``__setattr__`` that refuses, and 250 ns as a frozen dataclass.

Source: External Term Format.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Final

from uds_dist.errors import EncodeError
from uds_dist.etf.atoms import Atom
from uds_dist.etf.shown import printable

MAX_REFERENCE_WORDS = 5

_PID_WORDS = Struct(">III")
_PORT_WORDS = Struct(">QI")
_REFERENCE_WORDS = tuple([Struct(f">{n + 1}I") for n in range(MAX_REFERENCE_WORDS + 1)])

_ATOM: Final = Atom  # compiled, faster to look up than a name of another module
_COMPILED: Final = not __file__.endswith((".py", ".pyc"))
_new: Final = object.__new__
_NO_NUMBERS: Final = bytes(12)
_NO_IDS: Final[tuple[int, ...]] = tuple([0])  # a marker, recognized by identity


def _refusal(text: str, *numbers: int) -> EncodeError | TypeError:
    """The error for numbers that cannot be packed."""
    for number in numbers:
        if not isinstance(number, int):
            return TypeError(f"expected an integer, found {type(number).__name__}")
    return EncodeError(text)


class Pid:
    """The identifier of a process.

    Args:
        node: the name of the process's node.
        id: the process's number on its node, 32 bits.
        serial: the continuation of the number, 32 bits.
        creation: the incarnation of the node that it belongs to, 32 bits.
    Raises:
        EncodeError: a number is out of its range.

    Source: External Term Format, NEW_PID_EXT.
    """

    __slots__ = ("_node", "_words")
    __match_args__: Final = ("node", "id", "serial", "creation")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, id: int, serial: int, creation: int) -> None:
        self._node = node if type(node) is _ATOM else _ATOM(node)
        if not (id or serial or creation):
            self._words = _NO_NUMBERS  # compiled, `pid_of` comes along here
            return
        try:
            self._words = _PID_WORDS.pack(id, serial, creation)
        except StructError:
            text = "a pid's id, serial and creation have 32 bits each"
            raise _refusal(text, id, serial, creation) from None

    @property
    def node(self) -> Atom:
        """The name of the process's node."""
        return self._node

    @property
    def id(self) -> int:
        """The process's number on its node."""
        return int.from_bytes(self._words[:4], "big")

    @property
    def serial(self) -> int:
        """The continuation of the number."""
        return int.from_bytes(self._words[4:8], "big")

    @property
    def creation(self) -> int:
        """The incarnation of the node that it belongs to."""
        return int.from_bytes(self._words[8:], "big")

    def __eq__(self, other: object) -> bool:
        if type(other) is not Pid:
            return NotImplemented
        return self._words == other._words and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[object, ...]:
        return Pid, (self._node, self.id, self.serial, self.creation)

    def __str__(self) -> str:
        return f"<{printable(self.node, 255)}.{self.id}.{self.serial}>"

    def __repr__(self) -> str:
        return f"Pid({str(self.node)!r}, {self.id}, {self.serial}, {self.creation})"


class Port:
    """The identifier of a port.

    Args:
        node: the name of the port's node.
        id: the port's number on its node, 64 bits.
        creation: the incarnation of the node that it belongs to, 32 bits.
    Raises:
        EncodeError: a number is out of its range.

    Source: External Term Format, V4_PORT_EXT.
    """

    __slots__ = ("_node", "_words")
    __match_args__: Final = ("node", "id", "creation")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, id: int, creation: int) -> None:
        self._node = node if type(node) is _ATOM else _ATOM(node)
        try:
            self._words = _PORT_WORDS.pack(id, creation)
        except StructError:
            raise _refusal("a port's id has 64 bits, its creation 32", id, creation) from None

    @property
    def node(self) -> Atom:
        """The name of the port's node."""
        return self._node

    @property
    def id(self) -> int:
        """The port's number on its node."""
        return int.from_bytes(self._words[:8], "big")

    @property
    def creation(self) -> int:
        """The incarnation of the node that it belongs to."""
        return int.from_bytes(self._words[8:], "big")

    def __eq__(self, other: object) -> bool:
        if type(other) is not Port:
            return NotImplemented
        return self._words == other._words and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[object, ...]:
        return Port, (self._node, self.id, self.creation)

    def __str__(self) -> str:
        return f"#Port<{printable(self.node, 255)}.{self.id}>"

    def __repr__(self) -> str:
        return f"Port({str(self.node)!r}, {self.id}, {self.creation})"


class Reference:
    """A unique value made by a node: of a monitor, a call, an alias.

    Args:
        node: the name of the node that made it.
        creation: which incarnation of the node made it, 32 bits.
        ids: 1 to 5 numbers of 32 bits, in the order of the wire.
    Raises:
        EncodeError: a number is out of its range, or there are too many or none.

    Source: External Term Format, NEWER_REFERENCE_EXT.
    """

    __slots__ = ("_node", "_words")
    __match_args__: Final = ("node", "creation", "ids")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, creation: int, ids: tuple[int, ...]) -> None:
        if not 1 <= len(ids) <= MAX_REFERENCE_WORDS:
            raise EncodeError(f"a reference has 1 to {MAX_REFERENCE_WORDS} ids, not {len(ids)}")
        self._node = node if type(node) is _ATOM else _ATOM(node)
        if ids is _NO_IDS:
            self._words = _NO_NUMBERS  # compiled, `reference_of` comes along here
            return
        try:
            self._words = _REFERENCE_WORDS[len(ids)].pack(creation, *ids)
        except StructError:
            text = "a reference's creation and ids have 32 bits each"
            raise _refusal(text, creation, *ids) from None

    @property
    def node(self) -> Atom:
        """The name of the node that made it."""
        return self._node

    @property
    def creation(self) -> int:
        """Which incarnation of the node made it."""
        return int.from_bytes(self._words[:4], "big")

    @property
    def ids(self) -> tuple[int, ...]:
        """Its numbers, in the order of the wire."""
        return _REFERENCE_WORDS[len(self._words) // 4 - 1].unpack(self._words)[1:]

    def __eq__(self, other: object) -> bool:
        if type(other) is not Reference:
            return NotImplemented
        return self._words == other._words and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[object, ...]:
        return Reference, (self._node, self.creation, self.ids)

    def __str__(self) -> str:
        return f"#Ref<{printable(self.node, 255)}.{'.'.join(map(str, reversed(self.ids)))}>"

    def __repr__(self) -> str:
        return f"Reference({str(self.node)!r}, {self.creation}, {self.ids})"


# The decoder's constructors, from the words on the wire: interpreted, they avoid the class's own,
# which takes 100 ns more; a compiled class has no other way, and its constructor takes 40 ns.


def pid_of(node: Atom, words: bytes) -> Pid:
    """The pid of a node's name and the 12 bytes of its numbers."""
    pid: Pid = Pid(node, 0, 0, 0) if _COMPILED else _new(Pid)
    pid._node = node
    pid._words = words
    return pid


def port_of(node: Atom, words: bytes) -> Port:
    """The port of a node's name and the 12 bytes of its numbers."""
    port: Port = Port(node, 0, 0) if _COMPILED else _new(Port)
    port._node = node
    port._words = words
    return port


def reference_of(node: Atom, words: bytes) -> Reference:
    """The reference of a node's name and the 8 to 24 bytes of its creation and its ids."""
    reference = Reference(node, 0, _NO_IDS) if _COMPILED else _new(Reference)
    reference._node = node
    reference._words = words
    return reference
