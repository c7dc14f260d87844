"""Leaves of the External Term Format: atoms and rare tags.

Source: External Term Format.
"""

from __future__ import annotations

from math import isfinite
from struct import Struct
from typing import Final

from uds_dist.errors import DecodeError
from uds_dist.etf.atoms import MAX_ATOM_CHARACTERS, has_room_for_atoms
from uds_dist.etf.identifiers import port_of
from uds_dist.etf.terms import Atom, BitString, Export, Pid, Port, Reference

_WORD: Final = Struct(">I").unpack_from


class _Terms(dict[bytes, object]):
    """The terms of atoms decoded before, by their UTF-8 text."""

    def __missing__(self, text: bytes) -> object:
        try:
            name = text.decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError(f"an atom is not UTF-8: {text[:40]!r}") from None
        if len(name) > MAX_ATOM_CHARACTERS:
            raise DecodeError(
                f"an atom has {len(name)} characters: at most {MAX_ATOM_CHARACTERS} are allowed"
            )
        if not has_room_for_atoms(len(self)):
            self.clear()
        term: object = CONSTANTS[name] if name in CONSTANTS else Atom(name)
        self[text] = term
        return term


# The atoms that have a value of Python.
CONSTANTS: Final[dict[str, object]] = {"true": True, "false": False, "nil": None}
TERMS: Final = _Terms()


def atom_term(text: bytes) -> object:
    """The term of an atom: an Atom; True, False or None for `true`, `false` and `nil`.

    Args:
        text: the atom's text in UTF-8.
    Returns:
        The term; usually the same object for the same text.
    Raises:
        DecodeError: the text is not UTF-8, or longer than 255 characters.

    Source: External Term Format, ATOM_UTF8_EXT.
    """
    return TERMS[text]


def cut_short(data: bytes, tag: int) -> DecodeError:
    return DecodeError("the input ends within a term", len(data), tag if tag else None)


def check_reference(data: bytes, p: int, atoms: tuple[object, ...]) -> None:
    """Refuse an ATOM_CACHE_REF, at `p` or in the term there, without an atom in the header."""
    at = p + {82: 0, 88: 1, 90: 3}.get(data[p], len(data)) if p < len(data) else len(data)
    if at + 1 < len(data) and data[at] == 82 and data[at + 1] >= len(atoms):
        raise DecodeError(f"the header has no atom {data[at + 1]}", at, 82)


def _atom_text(data: bytes, p: int) -> tuple[bytes, int] | None:
    """The UTF-8 text of the atom at `p`, and its end; None if `p` is not at an atom."""
    tag = data[p]
    if tag == 115 or tag == 119:  # SMALL_ATOM_EXT, SMALL_ATOM_UTF8_EXT
        start = p + 2
        end = start + data[p + 1]
    elif tag == 100 or tag == 118:  # ATOM_EXT, ATOM_UTF8_EXT
        start = p + 3
        end = start + (data[p + 1] << 8 | data[p + 2])
    else:
        return None
    if end > len(data):
        raise cut_short(data, tag)
    text = data[start:end]
    if tag == 100 or tag == 115:
        text = text.decode("latin-1").encode("utf-8")
    return text, end


def atom_at(data: bytes, p: int, atoms: tuple[object, ...]) -> tuple[Atom, int]:
    """The atom at `p` and its end, where only an atom is allowed."""
    if data[p] == 82:
        check_reference(data, p, atoms)
        return name_of(atoms[data[p + 1]], p, 82), p + 2
    found = _atom_text(data, p)
    if found is None:
        raise DecodeError(f"expected an atom, found tag {data[p]}", p, data[p])
    return name_of(TERMS[found[0]], p, data[p]), found[1]


def name_of(term: object, p: int, tag: int) -> Atom:
    """The Atom for an atom's term where it is a name, also for `true`, `false` and `nil`."""
    if isinstance(term, Atom):
        return term
    if term is None or isinstance(term, bool):
        return Atom("nil" if term is None else "true" if term else "false")
    raise DecodeError(f"expected an atom, found a value of {type(term)}", p, tag)


def rare_leaf(data: bytes, p: int, tag: int, atoms: tuple[object, ...]) -> tuple[object, int]:
    """A leaf with a rare tag, and its end.

    Raises IndexError or struct.error if the input ends within it; read_term handles them.
    """
    if tag == 120 or tag == 89:  # V4_PORT_EXT, NEW_PORT_EXT
        node, end = atom_at(data, p + 1, atoms)
        width = 8 if tag == 120 else 4
        words = bytes(8 - width) + data[end : end + width + 4]
        return port_of(node, words), end + width + 4
    if tag == 113:  # EXPORT_EXT
        module, end = atom_at(data, p + 1, atoms)
        function, end = atom_at(data, end, atoms)
        if data[end] != 97:
            raise DecodeError(f"expected an arity, found tag {data[end]}", end, 113)
        return Export(module, function, data[end + 1]), end + 2
    if tag == 77:  # BIT_BINARY_EXT
        end = p + 6 + _WORD(data, p + 1)[0]
        bits = data[p + 5]
        content = data[p + 6 : end]
        if not 1 <= bits <= 8 or end == p + 6:
            raise DecodeError(f"a bit string of {end - p - 6} bytes uses {bits} bits", p, 77)
        if bits == 8 or end > len(data):
            return content, end
        return BitString(content, bits), end
    if tag == 111:  # LARGE_BIG_EXT
        end = p + 6 + _WORD(data, p + 1)[0]
        number = int.from_bytes(data[p + 6 : end], "little")
        return -number if data[p + 5] else number, end
    if tag == 99:  # FLOAT_EXT
        return _old_float(data, p), p + 32
    if tag == 103:  # PID_EXT
        node, end = atom_at(data, p + 1, atoms)
        pid = Pid(node, _WORD(data, end)[0], _WORD(data, end + 4)[0], data[end + 8])
        return pid, end + 9
    if tag == 102:  # PORT_EXT
        node, end = atom_at(data, p + 1, atoms)
        return Port(node, _WORD(data, end)[0], data[end + 4]), end + 5
    if tag == 101:  # REFERENCE_EXT
        node, end = atom_at(data, p + 1, atoms)
        return Reference(node, data[end + 4], (_WORD(data, end)[0],)), end + 5
    if tag == 114:  # NEW_REFERENCE_EXT
        count = data[p + 1] << 8 | data[p + 2]
        if not 1 <= count <= 5:
            raise DecodeError(f"a reference has {count} words: 1 to 5 are allowed", p, 114)
        node, end = atom_at(data, p + 3, atoms)
        ids = tuple([int(_WORD(data, end + 1 + 4 * i)[0]) for i in range(count)])
        return Reference(node, data[end], ids), end + 1 + 4 * count
    found = _atom_text(data, p)
    if found is not None:
        return TERMS[found[0]], found[1]
    if tag == 80:
        raise DecodeError("a compressed term within another term", p, 80)
    if tag == 121:
        raise DecodeError("the end of a local term within another term is unknown", p, 121)
    raise DecodeError(f"unknown tag {tag}", p, tag)


def _old_float(data: bytes, p: int) -> float:
    text = data[p + 1 : p + 32]
    if len(text) < 31:
        raise IndexError
    # Python's float() accepts more than C's sscanf("%lf"): underscores, spaces, "inf".
    digits = text.rstrip(b"\0")
    if digits.translate(None, b"+-.0123456789e"):
        raise DecodeError(f"a float is not a number: {digits!r}", p, 99)
    try:
        number = float(digits)
    except ValueError:
        raise DecodeError(f"a float is not a number: {digits!r}", p, 99) from None
    if not isfinite(number):
        raise DecodeError("a float that is not finite", p, 99)
    return number
