"""External Term Format to Python values: every tag, and what is wrong where there is none.

One loop reads every term and keeps the open containers on a stack of its own, so that no input
can exhaust Python's (or, compiled, C's) stack. A leaf costs a walk down an if-chain and nothing
else: no call, no check of its length. A leaf cut short leaves the cursor behind the end of the
input, where the next read or the last line notices.

Written so that mypyc can compile it: module functions with explicit cursors over `bytes`, native
integers as annotated locals only, and parameters that take any term typed `object`.

Source: External Term Format.
"""

from __future__ import annotations

import zlib
from math import isfinite
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any, Final, NoReturn

from uds_dist.errors import DecodeError, EncodeError
from uds_dist.etf.atoms import MAX_ATOM_CHARACTERS, MAX_CACHED_ATOMS
from uds_dist.etf.identifiers import pid_of, port_of, reference_of
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    LocalTerm,
    Pid,
    Port,
    Record,
    Reference,
    make_map,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

# Names of this module are Final, classes of other modules have a name here: compiled, such a name
# is a static variable, any other one a look-up in a dict, 10 ns each.
_ATOM: Final = Atom
_FROM_BYTES: Final = int.from_bytes

# No setting goes beyond this: Python hashes nested tuples, as keys of a map, on the C stack. It
# takes 100,000 levels on 8 MiB of it; threads may have less.
DEEPEST: Final = 20_000

_INT: Final = Struct(">i").unpack_from
_WORD: Final = Struct(">I").unpack_from
_DOUBLE: Final = Struct(">d").unpack_from

# A list of many numbers of one tag is read in runs: 20 ns a number instead of 140 ns.
_RUN: Final = 32
_RUN_OF_INTS: Final = Struct(">" + "xi" * _RUN).unpack_from
_RUN_OF_DOUBLES: Final = Struct(">" + "xd" * _RUN).unpack_from
_INT_TAGS: Final = b"b" * _RUN
_DOUBLE_TAGS: Final = b"F" * _RUN

# Kinds of open containers: the tag of their own, or one of these.
_WHOLE: Final = 0  # not a container: the term that is asked for
_IMPROPER: Final = 1  # the tail of an improper list

_new: Final = object.__new__


class _Terms(dict[bytes, object]):
    """The terms of atoms that came before, by their UTF-8 text."""

    def __missing__(self, text: bytes) -> object:
        try:
            name = text.decode("utf-8")
        except UnicodeDecodeError:
            raise DecodeError(f"an atom is no UTF-8: {text[:40]!r}") from None
        if len(name) > MAX_ATOM_CHARACTERS:
            raise DecodeError(
                f"an atom of {len(name)} characters: at most {MAX_ATOM_CHARACTERS} are allowed"
            )
        if len(self) >= MAX_CACHED_ATOMS:
            self.clear()
        term: object = _VALUES[name] if name in _VALUES else Atom(name)
        self[text] = term
        return term


_VALUES: dict[str, object] = {"true": True, "false": False, "nil": None}
TERMS: Final = _Terms()


def atom_term(text: bytes) -> object:
    """The term of an atom: an Atom, or True, False or None of `true`, `false` and `nil`.

    Args:
        text: the atom's text in UTF-8.
    Returns:
        The term; usually the same object for the same text.
    Raises:
        DecodeError: the text is no UTF-8, or longer than 255 characters.

    Source: External Term Format, ATOM_UTF8_EXT.
    """
    return TERMS[text]


def read_term(
    data: bytes, pos: int, atoms: tuple[object, ...], depth_limit: int, size_limit: int
) -> tuple[object, int]:
    """Read one term of any tag; all is as of ``decode_term`` in ``decode``."""
    size: i64 = len(data)
    p: i64 = pos
    tag: i64 = 0
    n: i64
    end: i64
    # Of the innermost open container: its elements so far, how many are to come, its kind.
    items: list[object] = []
    left: i64 = 1
    kind: i64 = _WHOLE
    stack: list[tuple[list[object], int, int]] = []
    terms = TERMS
    node: object
    big: Any
    depth_limit = min(depth_limit, DEEPEST)
    try:
        while True:
            while left > 0:
                left -= 1
                tag = data[p]
                # Two chains instead of one: 100 ns less for the tags at the end.
                if tag < 100:
                    if tag == 97:  # SMALL_INTEGER_EXT
                        items.append(data[p + 1])
                        p += 2
                    elif tag == 82:  # ATOM_CACHE_REF
                        items.append(atoms[data[p + 1]])
                        p += 2
                    elif tag == 98:  # INTEGER_EXT
                        if left >= _RUN and data[p + 5] == 98:
                            while left >= _RUN and data[p : p + 5 * _RUN : 5] == _INT_TAGS:
                                items.extend(_RUN_OF_INTS(data, p))
                                p += 5 * _RUN
                                left -= _RUN
                            if data[p] != 98:
                                left += 1
                                continue
                        items.append(_INT(data, p + 1)[0])
                        p += 5
                    elif tag == 90:  # NEWER_REFERENCE_EXT
                        n = 4 + 4 * (data[p + 1] << 8 | data[p + 2])
                        if n < 8 or n > 24:
                            raise DecodeError(f"a reference of {n // 4 - 1} words", p, 90)
                        if data[p + 3] == 82:
                            node = atoms[data[p + 4]]
                            end = p + 5
                        elif data[p + 3] == 119:
                            end = p + 5 + data[p + 4]
                            node = terms[data[p + 5 : end]]
                        else:
                            node, end = _atom(data, p + 3, atoms)
                        name = node if type(node) is _ATOM else _name(node, p, 90)
                        p = end + n
                        items.append(reference_of(name, data[end:p]))
                    elif tag == 88:  # NEW_PID_EXT
                        if data[p + 1] == 82:
                            node = atoms[data[p + 2]]
                            end = p + 3
                        elif data[p + 1] == 119:
                            end = p + 3 + data[p + 2]
                            node = terms[data[p + 3 : end]]
                        else:
                            node, end = _atom(data, p + 1, atoms)
                        name = node if type(node) is _ATOM else _name(node, p, 88)
                        p = end + 12
                        items.append(pid_of(name, data[end:p]))
                    elif tag == 70:  # NEW_FLOAT_EXT
                        if left >= _RUN and data[p + 9] == 70:
                            while left >= _RUN and data[p : p + 9 * _RUN : 9] == _DOUBLE_TAGS:
                                run = _RUN_OF_DOUBLES(data, p)
                                if not isfinite(sum(run)):
                                    break  # one is not, or the sum overflows: one by one
                                items.extend(run)
                                p += 9 * _RUN
                                left -= _RUN
                            if data[p] != 70:
                                left += 1
                                continue
                        number: float = _DOUBLE(data, p + 1)[0]
                        if number - number != 0.0:
                            raise DecodeError("a float that is not finite", p, 70)
                        items.append(number)
                        p += 9
                    elif tag == 80 and kind == _WHOLE:
                        return _compressed(data, p, atoms, depth_limit, size_limit)
                    elif tag == 67:  # RECORD_EXT
                        if len(stack) >= depth_limit:
                            _refuse(p, 67, 0, 0, depth_limit)
                        stack.append((items, left, kind))
                        items = [p]  # its head is looked at when its terms are read
                        left = 2 * _WORD(data, p + 1)[0] + 2
                        kind = 67
                        p += 6
                        if left > size - p:
                            _refuse(p - 6, 67, left, size - p, depth_limit)
                    else:
                        value, p = _rare(data, p, tag, atoms)
                        items.append(value)
                elif tag == 119:  # SMALL_ATOM_UTF8_EXT
                    end = p + 2 + data[p + 1]
                    items.append(terms[data[p + 2 : end]])
                    p = end
                elif tag == 104:  # SMALL_TUPLE_EXT
                    n = data[p + 1]
                    p += 2
                    if n > size - p or len(stack) >= depth_limit:
                        _refuse(p - 2, 104, n, size - p, depth_limit)
                    stack.append((items, left, kind))
                    items = []
                    left = n
                    kind = 104
                elif tag == 109:  # BINARY_EXT
                    end = p + 5 + _WORD(data, p + 1)[0]
                    items.append(data[p + 5 : end])
                    p = end
                elif tag == 108 or tag == 116 or tag == 105:
                    # LIST_EXT, MAP_EXT, LARGE_TUPLE_EXT
                    n = _WORD(data, p + 1)[0]
                    if tag == 116:
                        n *= 2
                    p += 5
                    if n > size - p or len(stack) >= depth_limit:
                        _refuse(p - 5, tag, n, size - p, depth_limit)
                    stack.append((items, left, kind))
                    items = []
                    left = n
                    kind = tag
                elif tag == 106:  # NIL_EXT
                    items.append([])
                    p += 1
                elif tag == 107:  # STRING_EXT
                    end = p + 3 + (data[p + 1] << 8 | data[p + 2])
                    items.append(list(data[p + 3 : end]))
                    p = end
                elif tag == 110:  # SMALL_BIG_EXT
                    end = p + 3 + data[p + 1]
                    big = _FROM_BYTES(data[p + 3 : end], "little")
                    if data[p + 2]:
                        items.append(-big)
                    else:
                        items.append(big)
                    p = end
                elif tag == 112 or tag == 117:  # NEW_FUN_EXT, FUN_EXT
                    if len(stack) >= depth_limit:
                        _refuse(p, tag, 0, 0, depth_limit)
                    stack.append((items, left, kind))
                    items = [p]  # its head is looked at when its terms are read
                    kind = tag
                    end = p + 30 if tag == 112 else p + 5
                    left = _WORD(data, end - 4)[0] + 4
                    if left > size - end:
                        _refuse(p, tag, left, size - end, depth_limit)
                    p = end
                elif tag == 121 and kind == _WHOLE:
                    return LocalTerm(data[p + 1 :]), size
                else:
                    value, p = _rare(data, p, tag, atoms)
                    items.append(value)
            if kind == 104 or kind == 105:
                made: object = tuple(items)
            elif kind == 108:
                # Tails are read here, not as terms: a chain of them is one list, not a depth.
                tag = data[p]
                if tag == 106:
                    p += 1
                    made = items
                elif tag == 108:
                    n = _WORD(data, p + 1)[0]
                    p += 5
                    if n > size - p:
                        _refuse(p - 5, tag, n, size - p, depth_limit)
                    left = n
                    continue
                elif tag == 107:
                    end = p + 3 + (data[p + 1] << 8 | data[p + 2])
                    items.extend(data[p + 3 : end])
                    p = end
                    made = items
                else:
                    kind = _IMPROPER
                    left = 1
                    continue
            elif kind == 116:
                made = map_of(items, p)
            elif kind == _WHOLE:
                break
            elif kind == _IMPROPER:
                made = items.pop()
                if items:
                    # No constructor, as for a pid: it would check what is known here.
                    improper = _new(ImproperList)
                    improper._tail = made
                    improper._items = tuple(items)
                    made = improper
            elif kind == 67:
                made = _record(data, items)
            else:
                made = _fun(data, items)
            items, left, kind = stack.pop()
            items.append(made)
    except (IndexError, StructError):
        _check_reference(data, p, atoms)
        raise _cut_short(data, kind if p == size else tag) from None
    except DecodeError as error:
        # Of an atom that is cut short the rest may be no UTF-8: say what came first.
        if p < size and tag == 119 and p + 2 + data[p + 1] > size:
            raise _cut_short(data, tag) from None
        raise DecodeError(str(error), error.offset or p, error.tag or tag) from None
    if p > size:
        raise _cut_short(data, tag)
    return items[0], p


def _cut_short(data: bytes, tag: int) -> DecodeError:
    tag = 108 if tag == _IMPROPER else tag
    return DecodeError("the input ends within a term", len(data), tag if tag else None)


def _check_reference(data: bytes, p: int, atoms: tuple[object, ...]) -> None:
    """Refuse an ATOM_CACHE_REF that the header has no atom for, at `p` or in what starts there."""
    at = p + {82: 0, 88: 1, 90: 3}.get(data[p], len(data)) if p < len(data) else len(data)
    if at + 1 < len(data) and data[at] == 82 and data[at + 1] >= len(atoms):
        raise DecodeError(f"no atom {data[at + 1]} in the header", at, 82)


def _refuse(p: int, tag: int, n: int, room: int, depth_limit: int) -> NoReturn:
    """Say why a container cannot be: it claims more than there is, or lies too deep."""
    if n > room:
        raise DecodeError(f"{n} elements are claimed, {max(room, 0)} bytes are left", p, tag)
    raise DecodeError(
        f"terms are nested deeper than {depth_limit}: raise max_term_depth if you trust the sender",
        p,
        tag,
    )


def _atom_text(data: bytes, p: int) -> tuple[bytes, int] | None:
    """The UTF-8 text of an atom at `p` and the end of it; None where there is no atom."""
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
        raise _cut_short(data, tag)
    text = data[start:end]
    if tag == 100 or tag == 115:
        text = text.decode("latin-1").encode("utf-8")
    return text, end


def _atom(data: bytes, p: int, atoms: tuple[object, ...]) -> tuple[Atom, int]:
    """The atom at `p` where no other term may be, and the end of it."""
    if data[p] == 82:
        _check_reference(data, p, atoms)
        return _name(atoms[data[p + 1]], p, 82), p + 2
    found = _atom_text(data, p)
    if found is None:
        raise DecodeError(f"an atom is due, here is tag {data[p]}", p, data[p])
    return _name(TERMS[found[0]], p, data[p]), found[1]


def _name(term: object, p: int, tag: int) -> Atom:
    """The Atom of an atom's term, where it is a name and not a value."""
    if isinstance(term, Atom):
        return term
    if term is None or isinstance(term, bool):
        return Atom("nil" if term is None else "true" if term else "false")
    raise DecodeError(f"an atom is due, here is a value of {type(term)}", p, tag)


def map_of(parts: list[object], p: int) -> object:
    """The map of keys and values in turn; `p` is where it ends."""
    try:
        return make_map(parts[::2], parts[1::2])
    except EncodeError:
        raise DecodeError("a key comes twice in a map", p, 116) from None
    except RecursionError:
        raise DecodeError("keys of a map are nested too deep to compare", p, 116) from None


def _record(data: bytes, items: list[object]) -> Record:
    """A native record, of the place of its head and the terms that follow the head."""
    p = items[0]
    assert isinstance(p, int)
    if data[p + 5] > 1:
        raise DecodeError(f"a record is exported or not, 1 or 0, not {data[p + 5]}", p, 67)
    n = (len(items) - 3) // 2
    names = [_name(term, p, 67) for term in items[1 : 3 + n]]
    fields = tuple(zip(names[2:], items[3 + n :]))
    return Record(names[0], names[1], fields, data[p + 5] == 1)


def _fun(data: bytes, items: list[object]) -> Fun:
    """A fun, of the place of its head and the terms that follow the head."""
    p = items[0]
    assert isinstance(p, int)
    if data[p] == 112:
        module, old_index, old_uniq, pid = items[1:5]
        arity: int | None = data[p + 5]
        uniq = data[p + 6 : p + 22]
        index = int(_WORD(data, p + 22)[0])
    else:
        pid, module, old_index, old_uniq = items[1:5]
        arity = None
        uniq = b""
        index = 0
    if not isinstance(pid, Pid) or type(old_index) is not int or type(old_uniq) is not int:
        raise DecodeError("a fun's index, uniq or pid is of another type", p, data[p])
    return Fun(
        _name(module, p, data[p]), arity, index, uniq, old_index, old_uniq, pid, tuple(items[5:])
    )


def _compressed(
    data: bytes, p: int, atoms: tuple[object, ...], depth_limit: int, size_limit: int
) -> tuple[object, int]:
    """A compressed term at `p`, and the end of it."""
    if p + 5 > len(data):
        raise _cut_short(data, 80)
    claimed: int = _WORD(data, p + 1)[0]
    if claimed > size_limit:
        raise DecodeError(
            f"a compressed term of {claimed} bytes, more than {size_limit}: "
            "raise max_decompressed_size if you trust the sender",
            p,
            80,
        )
    inflate = zlib.decompressobj()
    try:
        # One byte more than claimed shows a claim too low; nothing is made room for beforehand.
        plain = inflate.decompress(data[p + 5 :], claimed + 1)
    except zlib.error as error:
        raise DecodeError(f"a compressed term is broken: {error}", p, 80) from None
    if not inflate.eof or len(plain) != claimed:
        raise DecodeError(f"a compressed term has not the {claimed} bytes it claims", p, 80)
    if plain[:1] == b"\x50":
        raise DecodeError("a compressed term within a compressed term", p, 80)
    try:
        term, end = read_term(plain, 0, atoms, depth_limit, size_limit)
    except DecodeError as error:
        raise DecodeError(f"within a compressed term: {error}", p, 80) from None
    if end != len(plain):
        raise DecodeError(f"{len(plain) - end} bytes behind the compressed term", p, 80)
    return term, len(data) - len(inflate.unused_data)


def _rare(data: bytes, p: int, tag: int, atoms: tuple[object, ...]) -> tuple[object, int]:
    """A leaf of one of the tags that are seldom seen, and the end of it.

    Raises IndexError or struct.error where the input ends within it, as read_term expects.
    """
    if tag == 120 or tag == 89:  # V4_PORT_EXT, NEW_PORT_EXT
        node, end = _atom(data, p + 1, atoms)
        width = 8 if tag == 120 else 4
        words = bytes(8 - width) + data[end : end + width + 4]
        return port_of(node, words), end + width + 4
    if tag == 113:  # EXPORT_EXT
        module, end = _atom(data, p + 1, atoms)
        function, end = _atom(data, end, atoms)
        if data[end] != 97:
            raise DecodeError(f"an arity is due, here is tag {data[end]}", end, 113)
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
        node, end = _atom(data, p + 1, atoms)
        pid = Pid(node, _WORD(data, end)[0], _WORD(data, end + 4)[0], data[end + 8])
        return pid, end + 9
    if tag == 102:  # PORT_EXT
        node, end = _atom(data, p + 1, atoms)
        return Port(node, _WORD(data, end)[0], data[end + 4]), end + 5
    if tag == 101:  # REFERENCE_EXT
        node, end = _atom(data, p + 1, atoms)
        return Reference(node, data[end + 4], (_WORD(data, end)[0],)), end + 5
    if tag == 114:  # NEW_REFERENCE_EXT
        count = data[p + 1] << 8 | data[p + 2]
        if not 1 <= count <= 5:
            raise DecodeError(f"a reference of {count} words: it has 1 to 5", p, 114)
        node, end = _atom(data, p + 3, atoms)
        ids = tuple([int(_WORD(data, end + 1 + 4 * i)[0]) for i in range(count)])
        return Reference(node, data[end], ids), end + 1 + 4 * count
    found = _atom_text(data, p)
    if found is not None:
        return TERMS[found[0]], found[1]
    if tag == 80:
        raise DecodeError("a compressed term within another term", p, 80)
    if tag == 121:
        raise DecodeError("a term of the local format within another term has no known end", p, 121)
    raise DecodeError(f"tag {tag} is not known", p, tag)


def _old_float(data: bytes, p: int) -> float:
    text = data[p + 1 : p + 32]
    if len(text) < 31:
        raise IndexError
    # Python's float() takes more than C's sscanf("%lf") writes: underscores, spaces, "inf".
    digits = text.rstrip(b"\0")
    if digits.translate(None, b"+-.0123456789e"):
        raise DecodeError(f"a float is no number: {digits!r}", p, 99)
    try:
        number = float(digits)
    except ValueError:
        raise DecodeError(f"a float is no number: {digits!r}", p, 99) from None
    if not isfinite(number):
        raise DecodeError("a float that is not finite", p, 99)
    return number
