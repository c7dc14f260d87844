"""Atoms: names, which are str in Python.

Source: External Term Format.
"""

from __future__ import annotations

from uds_dist.config import Config
from uds_dist.errors import EncodeError

MAX_ATOM_CHARACTERS = 255


class _KnownAtoms(dict[str, "Atom"]):
    """The atoms that were decoded before, by their text."""

    limit = Config().max_atoms


_atoms = _KnownAtoms()


def limit_atoms(count: int) -> None:
    """Set how many atoms this process keeps for reuse; a node does so when it is made.

    The caches belong to the process, since all of its nodes share the atoms.

    Args:
        count: the limit; a cache of atoms that exceeds it drops all of them.
    """
    _atoms.limit = count


def has_room_for_atoms(count: int) -> bool:
    """Whether a cache that holds `count` atoms may take one more."""
    return count < _atoms.limit


class Atom(str):
    """An Erlang atom: a str that encodes as an atom instead of a binary.

    Equality and hash are str's own, so ``Atom("ok") == "ok"``. Atoms of the same text are usually
    one object (they are kept for reuse, up to a bound), but do not rely on it.

    Args:
        text: the atom's text, at most 255 characters.
    Raises:
        EncodeError: the text is longer than that, or is not valid Unicode.

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
            raise EncodeError(f"half a surrogate pair is not a valid character: {ascii(text)}")
        if cls is Atom:
            if len(_atoms) >= _atoms.limit:
                # Start again, so that a flood of one-off atoms does not fill the cache for good.
                _atoms.clear()
            _atoms[str(atom)] = atom
        return atom

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str.__str__(self),)

    def __repr__(self) -> str:
        return f"Atom({str.__repr__(self)})"


def as_atom(name: str) -> Atom:
    """The atom of that name, or the name itself if it is an atom."""
    return name if type(name) is Atom else Atom(name)


_CONSTANTS = {True: Atom("true"), False: Atom("false"), None: Atom("nil")}


def atom_of(term: object) -> Atom | None:
    """The atom that a term stands for, including True, False and None.

    Args:
        term: any term.
    Returns:
        The atom: `true`, `false` and `nil` for True, False and None; None if the term is not an
        atom.
    """
    if isinstance(term, Atom):
        return term
    if term is None or isinstance(term, bool):
        return _CONSTANTS[term]
    return None
