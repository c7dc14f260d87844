"""Python values to External Term Format: the way out.

Interpreted, the loop of ``writer`` does everything: it collects pieces and joins them. Compiled
with mypyc, a recursive function here writes the commonest values into one growing buffer. On the
corpus of the benchmarks it takes two fifths of the time of the compiled loop.

The loop handles other values, nesting that might exhaust the C stack, and every fault: it writes
the term again and says what is wrong, and where. So both builds give the same bytes and the same
errors.

Source: External Term Format.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from uds_dist.config import Config
from uds_dist.errors import EncodeError
from uds_dist.etf.reader import DEEPEST
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, FrozenList, ImproperList, LocalTerm, Pid, Reference
from uds_dist.etf.writer import (
    CODES,
    LARGE_BINARY,
    MAX_CACHE_REFERENCES,
    Default,
    big_integer,
    check_keys,
    located,
    write_term,
)

if TYPE_CHECKING:
    from librt.strings import BytesWriter, write_f64_be, write_i16_be, write_i32_be
    from mypy_extensions import i16, i32, i64, u8

DEFAULT_MAX_DEPTH: Final = Config().max_term_depth
# How deep `_write` recurses: a level takes less than 500 bytes of the C stack.
NATIVE_DEPTH: Final = 64

_COMPILED: Final = not __file__.endswith((".py", ".pyc"))
_CODES: Final = CODES
_ATOM: Final = Atom
_PID: Final = Pid
_REFERENCE: Final = Reference
_FROZEN_LIST: Final = FrozenList
_IMPROPER_LIST: Final = ImproperList
_COMPRESSED: Final = Struct(">BBI").pack

# Recent atoms and their bytes: each has one slot, by its identity.
_RECENT: Final = 1024
_recent_atoms: Final[list[str]] = [""] * _RECENT
_recent_codes: Final[list[bytes]] = [b""] * _RECENT


def encode(
    term: object,
    *,
    compressed: int = 0,
    max_depth: int = DEFAULT_MAX_DEPTH,
    default: Default | None = None,
) -> bytes:
    """Write one term in the External Term Format, as ``term_to_binary`` does.

    Args:
        term: any value that stands for an Erlang term.
        compressed: zlib's level, 1 to 9; 0 does not compress. A term that would not become smaller
            is left as it is.
        max_depth: how deep terms may be nested, at most 20,000; the elements of a list are one
            level.
        default: called with each value that cannot be encoded; returns a term for it, which may
            contain more such values.
    Returns:
        The version byte 131 and the term.
    Raises:
        EncodeError: the value, or one inside it, has no Erlang term; the text says which.

    Source: External Term Format.
    """
    limit = max_depth if max_depth < DEEPEST else DEEPEST
    if _COMPILED:
        try:
            written = BytesWriter()
            written.append(131)
            parts: list[bytes] = []
            _write(term, written, parts, None, 0, limit)
            data = b"".join([*parts, written.getvalue()]) if parts else written.getvalue()
        except EncodeError:
            pass
        else:
            return _compress(data, compressed) if compressed else data
    out = [b"\x83"]
    try:
        write_term(term, None, out, limit, default)
    except EncodeError as error:
        if isinstance(term, LocalTerm):  # valid only as a whole term
            return b"\x83\x79" + term.data
        raise explained(error, term, limit, default)
    data = b"".join(out)
    return _compress(data, compressed) if compressed else data


def explained(
    error: EncodeError, term: object, depth_limit: int, default: Default | None
) -> EncodeError:
    """The error to raise for one of `write_term`: it says where in the term the fault is."""
    found = located(error, term, depth_limit, default)
    found.__suppress_context__ = True  # its cause is what a program's `default` raised
    return found


def _compress(data: bytes, level: int) -> bytes:
    if not 0 < level <= 9:
        raise EncodeError(f"compressed is {shown(level)}: use zlib's levels, 0 to 9")
    packed = zlib.compress(data[1:], level)
    if len(packed) + 5 < len(data) - 1:
        return _COMPRESSED(131, 80, len(data) - 1) + packed
    return data


def encode_parts(
    term: object,
    atoms: dict[str, int] | None,
    depth_limit: int = DEFAULT_MAX_DEPTH,
    default: Default | None = None,
) -> list[bytes]:
    """Write one term without the version byte, without copying its large binaries.

    Args:
        term: any value that stands for an Erlang term.
        atoms: the atoms of the message's header and their indices. Atoms are then written as
            ATOM_CACHE_REF; new ones are added, up to 255. None: atoms are written in full.
        depth_limit: how deep terms may be nested; the elements of a list are one level.
        default: makes terms for values that cannot be encoded.
    Returns:
        The bytes in one or more parts: each binary of 64 KiB or more is a separate part, the same
        object that the term holds.
    Raises:
        EncodeError: as for ``encode``; `atoms` may hold new atoms then.

    Source: External Term Format; Distribution Protocol, "Distribution Header".
    """
    if type(term) is not tuple and isinstance(term, tuple):
        term = tuple(term)  # a control message: a NamedTuple would take the slow path
    if _COMPILED:
        try:
            written = BytesWriter()
            parts: list[bytes] = []
            _write(term, written, parts, atoms, 0, depth_limit)
            if len(written) > 0:
                parts.append(written.getvalue())
            return parts
        except EncodeError:
            pass
    out: list[bytes] = []
    try:
        large = write_term(term, atoms, out, depth_limit, default)
    except EncodeError as error:
        raise explained(error, term, depth_limit, default)
    return parts_of(out) if large else [b"".join(out)]


def parts_of(pieces: list[bytes]) -> list[bytes]:
    """Join the pieces of a term, except large binaries, which stay separate parts."""
    parts: list[bytes] = []
    start = 0
    for i, piece in enumerate(pieces):
        if len(piece) >= LARGE_BINARY:
            if start < i:
                parts.append(b"".join(pieces[start:i]))
            parts.append(piece)
            start = i + 1
    if start < len(pieces):
        parts.append(b"".join(pieces[start:]))
    return parts


def _write(
    item: Any,
    out: BytesWriter,
    parts: list[bytes],
    atoms: dict[str, int] | None,
    depth: i64,
    depth_limit: i64,
) -> None:
    """Write a term into `out`; at a large binary both go to `parts`."""
    n: i64
    i: i64 = 0
    kind = type(item)
    if kind is _ATOM:
        _write_atom(item, out, atoms)
        return
    if kind is int:
        _write_int(item, out)
        return
    if kind is bytes:
        _write_binary(item, out, parts)
        return
    if kind is bool:
        _write_atom("true" if item is True else "false", out, atoms)
        return
    if depth < NATIVE_DEPTH and depth < depth_limit:
        if kind is tuple:
            values: tuple[Any, ...] = item
            n = len(values)
            if n < 256:
                out.append(104)
                out.append(u8(n))
            else:
                out.append(105)
                write_i32_be(out, i32(n))
            while i < n:
                _write(values[i], out, parts, atoms, depth + 1, depth_limit)
                i += 1
            return
        if kind is list:
            items: list[Any] = item
            n = len(items)
            if n == 0:
                out.append(106)
                return
            kind = type(items[0])
            if kind is int and n <= 0xFFFF and _write_string(items, out):
                return
            out.append(108)
            write_i32_be(out, i32(n))
            if kind is int or kind is float:
                i = _write_numbers(items, out)
            while i < n:
                _write(items[i], out, parts, atoms, depth + 1, depth_limit)
                i += 1
            out.append(106)
            return
        if kind is dict:
            pairs: dict[Any, Any] = item
            plain = True
            out.append(116)
            write_i32_be(out, i32(i64(len(pairs))))
            for key, value in pairs.items():
                if plain and not _is_plain_key(key):
                    plain = False
                    check_keys(pairs)
                _write(key, out, parts, atoms, depth + 1, depth_limit)
                _write(value, out, parts, atoms, depth + 1, depth_limit)
            return
        if kind is _FROZEN_LIST:
            _write(list(item._items), out, parts, atoms, depth, depth_limit)
            return
        if kind is _IMPROPER_LIST:
            values = item._items
            n = len(values)
            out.append(108)
            write_i32_be(out, i32(n))
            while i < n:
                _write(values[i], out, parts, atoms, depth + 1, depth_limit)
                i += 1
            _write(item._tail, out, parts, atoms, depth + 1, depth_limit)
            return
    if kind is _PID:
        pid: Pid = item
        out.append(88)
        _write_atom(pid._node, out, atoms)
        out.write(pid._words)
    elif kind is _REFERENCE:
        reference: Reference = item
        words = reference._words
        out.append(90)
        write_i16_be(out, i16(i64(len(words)) // 4 - 1))
        _write_atom(reference._node, out, atoms)
        out.write(words)
    elif kind is float:
        _write_float(item, out)
    elif kind is str:
        try:
            text = item.encode("utf-8")
        except UnicodeEncodeError:
            raise EncodeError("half a surrogate pair") from None
        _write_binary(text, out, parts)
    elif item is None:
        _write_atom("nil", out, atoms)
    else:
        pieces: list[bytes] = []
        write_term(item, atoms, pieces, int(depth_limit - depth))
        for piece in pieces:
            _write_piece(piece, out, parts)


def _write_atom(atom: str, out: BytesWriter, atoms: dict[str, int] | None) -> None:
    if atoms is None:
        # A dict lookup would take three times as long.
        number: i64 = id(atom)  # as an int, the shift would be a call
        place: i64 = number >> 4 & (_RECENT - 1)
        if _recent_atoms[place] is not atom:
            _recent_codes[place] = _CODES[atom]
            _recent_atoms[place] = atom
        out.write(_recent_codes[place])
        return
    known = atoms.get(atom)
    if known is not None:
        out.append(82)
        out.append(u8(known))
        return
    index: i64 = len(atoms)
    if index >= MAX_CACHE_REFERENCES:  # the header has no room for more
        out.write(_CODES[atom])
        return
    atoms[atom] = index
    out.append(82)
    out.append(u8(index))


def _write_int(number: int, out: BytesWriter) -> None:
    bits: i64 = number.bit_length()  # a comparison with a big integer would be a call
    if bits < 32 or (bits == 32 and number == -0x80000000):
        n: i64 = number
        if n >= 0 and n <= 255:
            out.append(97)
            out.append(u8(n))
        else:
            out.append(98)
            write_i32_be(out, i32(n))
        return
    size: i64 = (bits + 7) // 8
    if size > 255:
        out.write(big_integer(number))
        return
    out.append(110)
    out.append(u8(size))
    text = number.to_bytes(int(bits // 8 + 1), "little", signed=True)
    if text[-1] < 128:
        out.append(0)
        out.write(text if len(text) == size else text[:-1])
    else:
        out.append(1)
        out.write((-number).to_bytes(int(size), "little"))


def _write_float(number: float, out: BytesWriter) -> None:
    if number - number != 0.0:
        raise EncodeError("a float that is not finite")
    out.append(70)
    write_f64_be(out, number)


def _write_numbers(items: list[Any], out: BytesWriter) -> i64:
    """Write the numbers that a list begins with; return how many."""
    n: i64 = len(items)
    i: i64 = 0
    while i < n:
        item = items[i]
        if type(item) is int:
            _write_int(item, out)
        elif type(item) is float:
            _write_float(item, out)
        else:
            break
        i += 1
    return i


def _is_plain_key(key: Any) -> bool:
    """Whether different dict keys of these kinds are also different in Erlang."""
    kind = type(key)
    if kind is _ATOM or kind is int or kind is bytes:
        return True
    if kind is not _FROZEN_LIST:
        return False
    items: tuple[Any, ...] = key._items  # a string, nearly always
    for item in items:
        if type(item) is not int:
            return False
    return True


def _write_string(items: list[Any], out: BytesWriter) -> bool:
    """Write a list of bytes as STRING_EXT; False if it is not such a list."""
    n: i64 = len(items)
    i: i64 = 0
    number: int
    while i < n:
        item = items[i]
        if type(item) is not int:
            return False
        number = item
        if number < 0 or number > 255:
            return False
        i += 1
    out.append(107)
    out.append(u8(n >> 8))
    out.append(u8(n & 255))
    i = 0
    while i < n:
        number = items[i]
        out.append(u8(number))
        i += 1
    return True


def _write_binary(text: bytes, out: BytesWriter, parts: list[bytes]) -> None:
    out.append(109)
    write_i32_be(out, i32(i64(len(text))))
    _write_piece(text, out, parts)


def _write_piece(piece: bytes, out: BytesWriter, parts: list[bytes]) -> None:
    """Write bytes that are part of a term: small ones copied, large ones as they are."""
    if len(piece) < LARGE_BINARY:
        out.write(piece)
        return
    if len(out) > 0:
        parts.append(out.getvalue())
        out.truncate(0)
    parts.append(piece)
