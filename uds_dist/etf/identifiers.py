"""Names: atoms, and the identifiers of processes, ports and references.

Pid, Port and Reference keep their numbers as the bytes that the wire has (``_words``): a node
compares them, hashes them and sends them back far more often than it reads one of the numbers.
They are immutable by properties over private slots. That is the cheapest such shape CPython 3.11
has: 80 ns to make one, against 160 ns with a ``__setattr__`` that refuses, and 250 ns as a frozen
dataclass.

Source: External Term Format.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

from uds_dist.config import Config
from uds_dist.errors import EncodeError

MAX_ATOM_CHARACTERS = 255
MAX_REFERENCE_WORDS = 5
MAX_CACHED_ATOMS = Config().max_atoms

_atoms: dict[str, Atom] = {}


class Atom(str):
    """An Erlang atom: a str that encodes as an atom instead of a binary.

    Equality and hash are str's own, so ``Atom("ok") == "ok"``. Atoms of the same text are usually
    one object (they are kept for reuse, up to a bound), but do not rely on it.

    Args:
        text: the atom's text, at most 255 characters.
    Raises:
        EncodeError: the text is longer than that, or no Unicode text.

    Source: External Term Format, ATOM_UTF8_EXT.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Atom:
        atom = _atoms.get(text)
        if atom is not None and cls is Atom:
            return atom
        atom = super().__new__(cls, text)
        if len(atom) > MAX_ATOM_CHARACTERS:
            raise EncodeError(
                f"an atom has at most {MAX_ATOM_CHARACTERS} characters, this one has {len(atom)}: "
                "send a binary (a plain str) instead"
            )
        if not atom.isprintable() and any("\ud800" <= char <= "\udfff" for char in atom):
            raise EncodeError(f"half a surrogate pair is no character of an atom: {ascii(text)}")
        if cls is Atom:
            if len(_atoms) >= MAX_CACHED_ATOMS:
                # Afresh, so that a flood of one-off atoms does not fill the cache for good.
                _atoms.clear()
            _atoms[str(atom)] = atom
        return atom

    def __repr__(self) -> str:
        return f"Atom({str.__repr__(self)})"


def as_atom(name: str) -> Atom:
    """The atom of that name, which may be one already."""
    return name if type(name) is Atom else Atom(name)


_PID_WORDS = Struct(">III")
_PORT_WORDS = Struct(">QI")
_REFERENCE_WORDS = tuple(Struct(f">{n + 1}I") for n in range(MAX_REFERENCE_WORDS + 1))


class Pid:
    """The identifier of a process.

    Args:
        node: the name of the process's node.
        id: the process's number on its node, 32 bits.
        serial: what continues the number, 32 bits.
        creation: which incarnation of the node it is of, 32 bits.
    Raises:
        EncodeError: a number is out of its range.

    Source: External Term Format, NEW_PID_EXT.
    """

    __slots__ = ("_node", "_words")
    __match_args__ = ("node", "id", "serial", "creation")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, id: int, serial: int, creation: int) -> None:
        self._node = as_atom(node)
        try:
            self._words = _PID_WORDS.pack(id, serial, creation)
        except StructError:
            raise EncodeError("a pid's id, serial and creation have 32 bits each") from None

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
        """What continues the number."""
        return int.from_bytes(self._words[4:8], "big")

    @property
    def creation(self) -> int:
        """Which incarnation of the node it is of."""
        return int.from_bytes(self._words[8:], "big")

    def __eq__(self, other: object) -> bool:
        if type(other) is not Pid:
            return NotImplemented
        return self._words == other._words and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._words)

    def __str__(self) -> str:
        return f"<{self.node}.{self.id}.{self.serial}>"

    def __repr__(self) -> str:
        return f"Pid({str(self.node)!r}, {self.id}, {self.serial}, {self.creation})"


class Port:
    """The identifier of a port.

    Args:
        node: the name of the port's node.
        id: the port's number on its node, 64 bits.
        creation: which incarnation of the node it is of, 32 bits.
    Raises:
        EncodeError: a number is out of its range.

    Source: External Term Format, V4_PORT_EXT.
    """

    __slots__ = ("_node", "_words")
    __match_args__ = ("node", "id", "creation")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, id: int, creation: int) -> None:
        self._node = as_atom(node)
        try:
            self._words = _PORT_WORDS.pack(id, creation)
        except StructError:
            raise EncodeError("a port's id has 64 bits, its creation 32") from None

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
        """Which incarnation of the node it is of."""
        return int.from_bytes(self._words[8:], "big")

    def __eq__(self, other: object) -> bool:
        if type(other) is not Port:
            return NotImplemented
        return self._words == other._words and self._node == other._node

    def __hash__(self) -> int:
        return hash(self._words)

    def __str__(self) -> str:
        return f"#Port<{self.node}.{self.id}>"

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
    __match_args__ = ("node", "creation", "ids")
    _node: Atom
    _words: bytes

    def __init__(self, node: str, creation: int, ids: tuple[int, ...]) -> None:
        if not 1 <= len(ids) <= MAX_REFERENCE_WORDS:
            raise EncodeError(f"a reference has 1 to {MAX_REFERENCE_WORDS} ids, not {len(ids)}")
        self._node = as_atom(node)
        try:
            self._words = _REFERENCE_WORDS[len(ids)].pack(creation, *ids)
        except StructError:
            raise EncodeError("a reference's creation and ids have 32 bits each") from None

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

    def __str__(self) -> str:
        return f"#Ref<{self.node}.{'.'.join(map(str, reversed(self.ids)))}>"

    def __repr__(self) -> str:
        return f"Reference({str(self.node)!r}, {self.creation}, {self.ids})"
