"""Python values to External Term Format: every type, and every error.

One loop writes every term: a container's elements are an iterator, and the iterators of the open
containers lie on a stack, so that no term can exhaust Python's stack. What closes a container (the
NIL after a list) is chained to its elements as one more element.

Written so that mypyc can compile it: module functions with explicit cursors over `bytes`, native
integers as annotated locals only, and parameters that take any term typed `object`.

Source: External Term Format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import isfinite
from operator import index
from struct import Struct
from struct import error as StructError
from sys import maxsize
from typing import TYPE_CHECKING, Any, Final

from uds_dist.errors import EncodeError
from uds_dist.etf.atoms import has_room_for_atoms
from uds_dist.etf.reader import DEEPEST, read_term
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    FrozenList,
    Fun,
    ImproperList,
    LocalTerm,
    Map,
    Pid,
    Port,
    Record,
    Reference,
    exact_key,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

# Names of this module are Final, and classes of other modules have a name here: compiled, such a
# name is a static variable, while any other is a dict lookup of 10 ns.
_ATOM: Final = Atom
_PID: Final = Pid
_REFERENCE: Final = Reference
_FROZEN_LIST: Final = FrozenList
_CHAIN: Final = chain
_CHAIN_OF: Final = chain.from_iterable
_IMPROPER_LIST: Final = ImproperList

LARGE_BINARY: Final = 65_536  # bytes; a binary of at least this size is passed on without a copy
MAX_CACHE_REFERENCES: Final = 255  # atoms in the header of one message

_INT: Final = Struct(">Bi").pack
_DOUBLE: Final = Struct(">Bd").pack
_HEAD: Final = Struct(">BI").pack
_HEAD_16: Final = Struct(">BH").pack
_RECORD: Final = Struct(">BIB").pack
_FUN: Final = Struct(">BIB16sII").pack

# Heads in tables: indexing costs 25 ns, packing 100 ns.
_SMALL_INTS: Final = tuple([b"a%c" % n for n in range(256)])
_SMALL_TUPLES: Final = tuple([b"h%c" % n for n in range(256)])
_CACHE_REFERENCES: Final = tuple([b"R%c" % n for n in range(256)])
_BINARIES: Final = tuple([b"m\0\0\0%c" % n for n in range(256)])
_LISTS: Final = tuple([b"l\0\0\0%c" % n for n in range(256)])
_MAPS: Final = tuple([b"t\0\0\0%c" % n for n in range(256)])
_BIGS: Final = tuple([b"n%c\0" % n for n in range(256)])
_NEGATIVE_BIGS: Final = tuple([b"n%c\1" % n for n in range(256)])
# The heads of NEWER_REFERENCE_EXT, by the bytes of the creation and the numbers.
_REFERENCES: Final = {4 + 4 * n: bytes((90, 0, n)) for n in range(1, 6)}
_CLOSE_LIST: Final[tuple[list[object]]] = ([],)  # an empty list is written as NIL_EXT

# Many numbers are packed in chunks with room for the tags, which are then filled in at once: 25 ns
# a number instead of 120 ns.
_CHUNK: Final = 256
_CHUNK_OF_INTS: Final = Struct(">" + "xi" * _CHUNK).pack
_CHUNK_OF_DOUBLES: Final = Struct(">" + "xd" * _CHUNK).pack
_INT_TAGS: Final = b"b" * _CHUNK
_DOUBLE_TAGS: Final = b"F" * _CHUNK


class _AtomCodes(dict[str, bytes]):
    """Atoms written before, as their full bytes."""

    def __missing__(self, atom: str) -> bytes:
        text = _utf8(atom)
        # SMALL_ATOM_UTF8_EXT, ATOM_UTF8_EXT
        head = bytes((119, len(text))) if len(text) < 256 else _HEAD_16(118, len(text))
        if not has_room_for_atoms(len(self)):
            self.clear()
        code = head + text
        self[atom] = code
        return code


CODES: Final = _AtomCodes()

# Different dict keys of these types are also different in Erlang.
_DISTINCT: Final = frozenset({Atom, int, float, Pid, Reference, Port})
_DISTINCT_WITH_BYTES: Final = _DISTINCT | {bytes}
_DISTINCT_WITH_STR: Final = _DISTINCT | {str}
_SEQUENCES: Final = frozenset({tuple, FrozenList})

_NO_MORE: Final = object()

_CONTAINERS = (tuple, list, dict, FrozenList, ImproperList, Map, Record, Fun)
_LEAVES = (str, int, float, bytes, bytearray, memoryview, Pid, Port, Reference, Export, BitString)

# Makes a term for a value that cannot be encoded.
Default = Callable[[object], object]


class _FunEnd:
    """Marks the end of a fun's last term, where its size is known and its head can be written."""

    __slots__ = ("at", "fun")

    def __init__(self, at: int, fun: Fun) -> None:
        self.at = at  # the position of the head in the output
        self.fun = fun


def write_term(
    term: object,
    atoms: dict[str, int] | None,
    out: list[bytes],
    depth_limit: int,
    default: Default | None = None,
) -> bool:
    """Append a term's pieces to `out`; True if one of them is a large binary."""
    large = False
    # Locals of one type: compiled, they become C.
    n: i64
    number: int
    text: bytes
    values: tuple[Any, ...]
    items: list[Any]
    pairs: dict[Any, Any]
    # Any: the loop tells types apart by identity, which is cheaper than the isinstance that mypy
    # follows.
    item: Any
    elements: Iterable[Any] = (term,)
    inner: Iterator[Any] | None
    stack: list[Iterable[Any]] = []
    closed: list[tuple[int, int, int]] | None = None
    codes = CODES
    while True:
        for item in elements:
            kind = type(item)
            if kind is _ATOM:
                if atoms is None:
                    out.append(codes[item])
                elif item in atoms:
                    out.append(_CACHE_REFERENCES[atoms[item]])
                else:
                    out.append(_new_reference(item, atoms))
            elif kind is int:
                number = item
                if 0 <= number <= 255:
                    out.append(_SMALL_INTS[number])
                elif -0x80000000 <= number <= 0x7FFFFFFF:
                    out.append(_INT(98, number))
                else:
                    out.append(big_integer(item))
            elif kind is tuple:
                if len(stack) >= depth_limit:
                    raise _too_deep(depth_limit)
                values = item
                n = len(values)
                out.append(_SMALL_TUPLES[n] if n < 256 else _HEAD(105, n))
                stack.append(elements)
                elements = iter(values)
                break
            elif kind is bytes:
                text = item
                n = len(text)
                out.append(_BINARIES[n] if n < 256 else _HEAD(109, n))
                out.append(text)
                if n >= LARGE_BINARY:
                    large = True
            elif kind is _PID:
                out.append(b"X")
                out.append(codes[item._node] if atoms is None else _reference(item._node, atoms))
                out.append(item._words)
            elif kind is list:
                items = item
                n = len(items)
                if n == 0:
                    out.append(b"j")
                    continue
                kind = type(items[0])
                if kind is int or kind is float:
                    if _numbers(items, kind, n, out, len(stack) < depth_limit):
                        continue
                if len(stack) >= depth_limit:
                    raise _too_deep(depth_limit)
                out.append(_LISTS[n] if n < 256 else _HEAD(108, n))
                stack.append(elements)
                elements = _CHAIN(items, _CLOSE_LIST)
                break
            elif kind is _REFERENCE:
                out.append(_REFERENCES[len(item._words)])
                out.append(codes[item._node] if atoms is None else _reference(item._node, atoms))
                out.append(item._words)
            elif kind is _IMPROPER_LIST:
                if len(stack) >= depth_limit:
                    raise _too_deep(depth_limit)
                n = len(item._items)
                out.append(_LISTS[n] if n < 256 else _HEAD(108, n))
                stack.append(elements)
                elements = _CHAIN(item._items, (item._tail,))
                break
            elif kind is dict:
                if len(stack) >= depth_limit:
                    raise _too_deep(depth_limit)
                pairs = item
                for key in pairs:
                    if type(key) is not _ATOM:
                        check_keys(pairs, default)
                        break
                n = len(pairs)
                out.append(_MAPS[n] if n < 256 else _HEAD(116, n))
                stack.append(elements)
                elements = _CHAIN_OF(pairs.items())
                break
            elif kind is str:
                text = _utf8(item)
                n = len(text)
                out.append(_BINARIES[n] if n < 256 else _HEAD(109, n))
                out.append(text)
                if n >= LARGE_BINARY:
                    large = True
            elif kind is float:
                if item - item != 0.0:
                    raise EncodeError(f"{item} is not an Erlang float: send an atom instead")
                out.append(_DOUBLE(70, item))
            elif item is None or kind is bool:
                name = "nil" if item is None else "true" if item else "false"
                out.append(codes[name] if atoms is None else _reference(name, atoms))
            elif kind is _FunEnd:
                if closed is None:
                    closed = []
                _close_fun(item, out, closed)
            else:
                inner = _open_rare(item, atoms, out, len(stack), depth_limit, default)
                if inner is not None:
                    stack.append(elements)
                    elements = inner
                    break
                large = large or len(out[-1]) >= LARGE_BINARY
        else:
            if stack:
                elements = stack.pop()
            if not stack:  # the term itself is never read twice: not an iterator, 60 ns less
                return large


def _too_deep(depth_limit: int) -> EncodeError:
    return EncodeError(
        f"terms are nested deeper than {depth_limit}, or contain themselves: "
        "raise max_term_depth on both sides, or send a flatter term"
    )


def _reference(atom: str, atoms: dict[str, int]) -> bytes:
    """An atom as its index in the header, old or new."""
    return _CACHE_REFERENCES[atoms[atom]] if atom in atoms else _new_reference(atom, atoms)


def _new_reference(atom: str, atoms: dict[str, int]) -> bytes:
    """An atom that is not in the header yet; in full if the header is full."""
    index = len(atoms)
    if index >= MAX_CACHE_REFERENCES:
        return CODES[atom]
    atoms[atom] = index
    return _CACHE_REFERENCES[index]


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError(
            f"{text[:40]!r} has half a surrogate pair, which UTF-8 cannot encode: send bytes"
        ) from None


def big_integer(number: int) -> bytes:
    """An integer of more than 32 bits."""
    n = (number.bit_length() + 7) // 8
    if n > 255:
        return _RECORD(111, n, number < 0) + abs(number).to_bytes(n, "little")
    if number < 0:
        return _NEGATIVE_BIGS[n] + (-number).to_bytes(n, "little")
    return _BIGS[n] + number.to_bytes(n, "little")


def _numbers(items: list[Any], kind: type, n: i64, out: list[bytes], may_open: bool) -> bool:
    """Write a list of `n` values that starts with an int or a float; False if others follow.

    `may_open` says whether another level may be opened; a list of bytes, as STRING_EXT, needs none.
    """
    if list(map(type, items)).count(kind) != n:
        return False
    if kind is float:
        # A finite sum has only finite parts; the slow path finds the one that is not.
        if not isfinite(sum(items)) and not all(map(isfinite, items)):
            return False
    elif n <= 0xFFFF:
        try:
            text = bytes(items)
        except ValueError:
            pass
        else:
            out.append(_HEAD_16(107, n))
            out.append(text)
            return True
    if not may_open:
        return False
    out.append(_LISTS[n] if n < 256 else _HEAD(108, n))
    start: i64 = 0
    while start < n:
        chunk = items[start : start + _CHUNK] if n > _CHUNK else items
        if kind is float:
            out.append(_doubles(chunk))
        else:
            out.append(_ints(chunk))
        start += _CHUNK
    out.append(b"j")
    return True


def _doubles(chunk: list[Any]) -> bytes:
    if len(chunk) < _CHUNK:
        return b"".join([_DOUBLE(70, number) for number in chunk])
    packed = bytearray(_CHUNK_OF_DOUBLES(*chunk))
    packed[::9] = _DOUBLE_TAGS
    return bytes(packed)


def _ints(chunk: list[int]) -> bytes:
    if len(chunk) == _CHUNK:
        try:
            packed = bytearray(_CHUNK_OF_INTS(*chunk))
        except StructError:
            pass  # a big one
        else:
            # Numbers of 0 to 255 have zeros in their upper three bytes.
            upper = int.from_bytes(packed[1::5], "big")
            upper |= int.from_bytes(packed[2::5], "big") | int.from_bytes(packed[3::5], "big")
            if 0 not in upper.to_bytes(_CHUNK, "big"):
                packed[::5] = _INT_TAGS
                return bytes(packed)
    if chunk[0] > 0x7FFFFFFF and min(chunk) > 0x7FFFFFFF:
        return b"".join([big_integer(number) for number in chunk])
    return b"".join(
        [
            _SMALL_INTS[number]
            if 0 <= number <= 255
            else _INT(98, number)
            if -0x80000000 <= number <= 0x7FFFFFFF
            else big_integer(number)
            for number in chunk
        ]
    )


def check_keys(items: dict[Any, Any], default: Default | None = None) -> None:
    """Refuse a dict whose keys differ in Python but not in Erlang: the peer would hang up."""
    kinds = set(map(type, items))
    if kinds <= _DISTINCT_WITH_BYTES or kinds <= _DISTINCT_WITH_STR:
        return
    if _FROZEN_LIST in kinds or tuple in kinds:
        # Lists and tuples of such values, such as Erlang strings, differ if the values do.
        kinds.difference_update(_SEQUENCES)
        for key in items:
            if type(key) is tuple:
                kinds.update(map(type, key))
            elif type(key) is _FROZEN_LIST:
                kinds.update(map(type, key._items))
        if kinds <= _DISTINCT_WITH_BYTES or kinds <= _DISTINCT_WITH_STR:
            return
    if len({_exact_key(key, default) for key in items}) != len(items):
        raise EncodeError(
            "two keys of a dict are one key in Erlang, as 'a' and b'a' or Atom('true') and True are"
        )


def _exact_key(key: object, default: Default | None) -> bytes:
    """The `exact_key` of the term that a key becomes."""
    if default is None:
        return exact_key(key)
    out: list[bytes] = []
    write_term(key, None, out, DEEPEST, default)
    data = b"".join(out)
    return exact_key(read_term(data, 0, (), DEEPEST, 0, maxsize, None)[0])


def _is_leaf(item: object) -> bool:
    """Whether a value that is not a container has its own term."""
    return item is None or isinstance(item, _LEAVES) or hasattr(type(item), "__index__")


def _made_by(default: Default, item: object) -> object:
    """The term that the program's function makes for a value."""
    try:
        return default(item)
    except EncodeError:
        raise
    except Exception as error:
        refusal = EncodeError(f"default made no term of a {type(item).__name__}: {shown(error)}")
        refusal.__cause__ = error  # mypyc drops the cause of `raise ... from`
        raise refusal


def _open_rare(
    item: Any,
    atoms: dict[str, int] | None,
    out: list[bytes],
    depth: int,
    depth_limit: int,
    default: Default | None,
) -> Iterator[Any] | None:
    """Write a leaf of a rarer type, or write a container's head and return its elements.

    A container subclass is read only once: it may give different elements each time. A result of
    `default` counts as a level of nesting, or a `default` that returns its argument would never
    end.
    """
    kind = type(item)
    if kind is not _FROZEN_LIST and not isinstance(item, _CONTAINERS):
        if default is not None and not _is_leaf(item) and not isinstance(item, LocalTerm):
            if depth >= depth_limit:
                raise _too_deep(depth_limit)
            return iter((_made_by(default, item),))
        _write_rare(item, atoms, out)
        return None
    if kind is _FROZEN_LIST or isinstance(item, (list, FrozenList)):
        items = list(item._items if kind is _FROZEN_LIST else item)  # often a string as a key
        if not items:
            out.append(b"j")
            return None
        may_open = depth < depth_limit
        kind = type(items[0])
        if (kind is int or kind is float) and _numbers(items, kind, len(items), out, may_open):
            return None
        if not may_open:
            raise _too_deep(depth_limit)
        out.append(_HEAD(108, len(items)))
        return chain(items, _CLOSE_LIST)
    if depth >= depth_limit:
        raise _too_deep(depth_limit)
    if isinstance(item, tuple):
        values = tuple(item)
        out.append(_SMALL_TUPLES[len(values)] if len(values) < 256 else _HEAD(105, len(values)))
        return iter(values)
    if isinstance(item, (dict, Map)):
        pairs = list(item.items())
        if isinstance(item, dict):
            check_keys(dict(pairs), default)
        out.append(_HEAD(116, len(pairs)))
        return chain.from_iterable(pairs)
    if isinstance(item, ImproperList):
        out.append(_HEAD(108, len(item.items)))
        return chain(item.items, (item.tail,))
    if isinstance(item, Record):
        out.append(_RECORD(67, len(item.fields), bool(item.exported)))
        names = [name for name, _value in item.fields]
        return chain((item.module, item.name), names, [value for _name, value in item.fields])
    return _open_fun(item, out)


def _open_fun(fun: Fun, out: list[bytes]) -> Iterator[Any]:
    numbers = (fun.index, fun.old_index, fun.old_uniq)
    if not isinstance(fun.pid, Pid) or not all([type(number) is int for number in numbers]):
        raise EncodeError("a Fun's pid is a Pid, its index, old_index and old_uniq are integers")
    if fun.arity is None:
        out.append(_HEAD(117, len(fun.free)))
        return chain((fun.pid, fun.module, fun.old_index, fun.old_uniq), fun.free)
    end = _FunEnd(len(out), fun)
    out.append(b"")  # its head, once its size is known
    return chain((fun.module, fun.old_index, fun.old_uniq, fun.pid), fun.free, (end,))


def _close_fun(end: _FunEnd, out: list[bytes], closed: list[tuple[int, int, int]]) -> None:
    """Write a fun's head, which holds its size, now that everything after it is written.

    `closed` has the funs written so far that are not inside another: where the pieces of each start
    and end, and their size. So each piece is measured once, however deep funs are nested.
    """
    fun = end.fun
    if not isinstance(fun.uniq, bytes) or len(fun.uniq) != 16:
        raise EncodeError("a Fun's uniq has 16 bytes")
    size = 0
    upto = len(out)
    while closed and closed[-1][0] > end.at:
        start, stop, inner = closed.pop()
        size += inner + sum(map(len, out[stop:upto]))
        upto = start
    size += 29 + sum(map(len, out[end.at + 1 : upto]))
    try:
        out[end.at] = _FUN(112, size, fun.arity, fun.uniq, fun.index, len(fun.free))
    except StructError:
        raise EncodeError("a Fun's arity has 8 bits, its index has 32") from None
    closed.append((end.at, len(out), size + 1))


def _write_rare(item: Any, atoms: dict[str, int] | None, out: list[bytes]) -> None:
    """Write a leaf of a rarer type."""
    if isinstance(item, Port):
        out.append(b"x")
        write_term(item.node, atoms, out, 0)
        out.append(item._words)
    elif isinstance(item, Export):
        out.append(b"q")
        write_term(item.module, atoms, out, 0)
        write_term(item.function, atoms, out, 0)
        out.append(_SMALL_INTS[index(item.arity)])
    elif isinstance(item, BitString):
        out.append(_RECORD(77, len(item.data), item.bits))
        out.append(item.data)
    elif isinstance(item, LocalTerm):
        raise EncodeError("a LocalTerm can only be encoded by itself, not within another term")
    else:
        write_term(_plain(item), atoms, out, 0)


def _plain(item: Any) -> object:
    """The plain int, float, str, bytes or Atom that a value of another type stands for.

    The plain type's own methods make it, whatever a subclass overrides.
    """
    if isinstance(item, Atom):
        return Atom(str.__str__(item))
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, int):
        return int.__index__(item)
    if isinstance(item, float):
        return float.__float__(item)
    try:
        if isinstance(item, (bytes, bytearray, memoryview)):
            return bytes(memoryview(item))
        if hasattr(type(item), "__index__"):
            return index(item)
    except Exception as error:  # a released view; and __index__ may raise anything
        raise EncodeError(f"{type(item).__name__} cannot be read: {shown(error)}") from None
    name = type(item).__name__
    raise EncodeError(f"{name} has no Erlang term: {_ADVICE.get(name, _ADVICE_FOR_OTHERS)}")


_ADVICE_FOR_OTHERS = "send a tuple, list, dict, str, bytes, int, float or Atom made from it"
_ADVICE = {
    "set": "send a list",
    "frozenset": "send a list",
    "deque": "send a list",
    "range": "send a list",
    "generator": "send a list",
    "array": "send a list, or bytes",
    "complex": "send a tuple of two floats",
    "Decimal": "send a str, or a float",
    "Fraction": "send a tuple of two ints, or a float",
    "datetime": "send its isoformat(), or its timestamp()",
    "date": "send its isoformat()",
    "UUID": "send its str() or its bytes",
    "mappingproxy": "send a dict",
}


def located(
    error: EncodeError, term: object, depth_limit: int, default: Default | None
) -> EncodeError:
    """The error with the path of the faulty value, found by writing the term again in parts."""
    # For each open container: the parts still to try, with the path step to each.
    stack: list[Iterator[tuple[str, object]]] = [iter([("", term)])]
    path: list[str] = [""]
    while stack:
        step, item = next(stack[-1], ("", _NO_MORE))
        if item is _NO_MORE:
            stack.pop()
            path.pop()
            continue
        path[-1] = step
        if len(stack) > depth_limit + 1:
            break  # too deep: such a long path does not help
        parts: list[tuple[str, object]] = []
        try:
            parts = _children(item)
            if isinstance(item, dict):
                check_keys(item, default)
            if not parts and default is not None and not isinstance(item, _CONTAINERS):
                if not _is_leaf(item) and not isinstance(item, LocalTerm):
                    parts = [("", _made_by(default, item))]
            if not parts:
                write_term(item, None, [], 1)
        except EncodeError as found:
            place = "".join(path)[:200]
            if not place:
                return found
            placed = EncodeError(f"{found} (at term{place})")
            placed.__cause__ = found.__cause__
            return placed
        if parts:
            stack.append(iter(parts))
            path.append("")
    return error


def _step(key: object) -> str:
    # Only keys whose text is surely short.
    if isinstance(key, (str, bytes)) and len(key) < 40:
        return f"[{key!r}]"
    return f"[{key}]" if isinstance(key, int) and abs(key) < 1 << 64 else "[...]"


def _children(item: object) -> list[tuple[str, object]]:
    """A container's parts, each with its path step."""
    if isinstance(item, Fun):
        return [(f".free[{i}]", part) for i, part in enumerate(item.free)]
    if isinstance(item, Record):
        return [(f".{name}", part) for name, part in item.fields]
    if isinstance(item, (dict, Map)):
        pairs = list(item.items())
        keys = [(f".keys()[{i}]", key) for i, (key, _value) in enumerate(pairs)]
        return keys + [(_step(key), value) for key, value in pairs]
    if isinstance(item, ImproperList):
        return [*_children(item.items), (".tail", item.tail)]
    if isinstance(item, (tuple, list, FrozenList)):
        return [(f"[{i}]", part) for i, part in enumerate(item)]
    return []
