"""External Term Format to Python values: the way in.

Interpreted, the loop of ``reader`` does everything. Compiled with mypyc, a recursive function here
reads the commonest tags: it becomes C with native integers. On the corpus of the benchmarks it
takes two thirds of the time of the compiled loop.

It handles only well-formed input of those tags. The loop handles other tags, nesting that might
exhaust the C stack, and every fault: it reads the term again from its beginning and says what is
wrong. So both builds give the same values and the same errors.

Source: External Term Format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uds_dist.config import Config
from uds_dist.errors import DecodeError
from uds_dist.etf.conversion import ONLY_TEXT, Conversion, Hook, Records
from uds_dist.etf.identifiers import pid_of, reference_of
from uds_dist.etf.maps import FEW_KEYS, are_close, decoded_map
from uds_dist.etf.leaves import TERMS
from uds_dist.etf.reader import DEAREST_BYTE, DEEPEST, Budget, read_term
from uds_dist.etf.terms import Atom, ImproperList

if TYPE_CHECKING:
    from librt.strings import read_f64_be, read_i32_be, read_i64_be
    from mypy_extensions import i64

# Whether this is the extension module that mypyc made of this file.
COMPILED: Final = not __file__.endswith((".py", ".pyc"))

VERSION: Final = 131
DEFAULT_MAX_DEPTH: Final = Config().max_term_depth
DEFAULT_MAX_SIZE: Final = Config().max_decompressed_size
DEFAULT_MAX_TERMS: Final = Config().max_message_terms
# How deep `_read` recurses: a level takes less than 500 bytes of the C stack.
NATIVE_DEPTH: Final = 64

_ATOM: Final = Atom
_IMPROPER_LIST: Final = ImproperList
_new: Final = object.__new__
_TERMS: Final = TERMS
_FROM_BYTES: Final = int.from_bytes

# Recent atoms of up to 15 bytes: each has one slot, by its bytes.
_RECENT: Final = 1024
_RECENT_SIZE: Final = 15
_recent_heads: Final = [-1] * _RECENT  # matches no atom: an atom's length byte comes first
_recent_tails: Final = [0] * _RECENT
_recent_terms: Final[list[object]] = [None] * _RECENT


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_depth: int = DEFAULT_MAX_DEPTH,
    max_size: int = DEFAULT_MAX_SIZE,
    max_terms: int = DEFAULT_MAX_TERMS,
    text: bool = False,
    object_hook: Hook | None = None,
    records: Records = (),
) -> object:
    """Read one term in the External Term Format, as ``term_to_binary`` writes it.

    Args:
        data: the version byte 131 and one term, with nothing after it.
        max_depth: how deep terms may be nested, at most 20,000; the elements of a list are one
            level.
        max_size: how many bytes a compressed term may have when it is decompressed.
        max_terms: how many elements its containers may have in total.
        text: whether binaries that are valid UTF-8 become str.
        object_hook: called with each map that has a key ``__struct__``, and with each tuple that
            begins with a tag in `records`; its result replaces the term.
        records: classes made by `record`, whose tuples become their objects; and tags.
    Returns:
        The term.
    Raises:
        DecodeError: the bytes are not a term, or the term exceeds a limit.
        ConfigError: a hook or a record cannot be used.
        Exception: what the object_hook raised.

    Source: External Term Format, introduction and "Compressed term".
    """
    if type(data) is not bytes:
        data = bytes(memoryview(data))
    if not data or data[0] != VERSION:
        found = f"the byte {data[0]}" if data else "nothing"
        raise DecodeError(f"a term starts with the version byte {VERSION}, found {found}")
    limit = max_depth if max_depth < DEEPEST else DEEPEST
    term, end = decode_term(data, 1, (), limit, max_size, max_terms)
    if end != len(data):
        raise DecodeError(f"{len(data) - end} bytes after the term", end)
    if text or object_hook is not None or records:
        if object_hook is None and not records:
            return ONLY_TEXT.convert(term)
        return Conversion(text, object_hook, records).convert(term)
    return term


def decode_term(
    data: bytes,
    pos: int,
    atoms: tuple[object, ...],
    depth_limit: int,
    size_limit: int,
    max_terms: int = DEFAULT_MAX_TERMS,
) -> tuple[object, int]:
    """Read one term, without a version byte before it.

    Args:
        data: the bytes to read in.
        pos: where the term starts.
        atoms: what ATOM_CACHE_REF stands for, by index: values of ``atom_term``.
        depth_limit: how deep terms may be nested, at most 20,000.
        size_limit: how many bytes a compressed term may have when it is decompressed.
        max_terms: how many elements its containers may have in total.
    Returns:
        The term, and the position of the byte after it.
    Raises:
        DecodeError: the bytes are not a term, or the term exceeds a limit.

    Source: External Term Format.
    """
    size: i64 = len(data)  # compiled, not an int: 5 ns less
    start: i64 = pos
    cost: int = (size - start) * DEAREST_BYTE
    budget = Budget(max_terms) if cost > max_terms else None
    if COMPILED:
        try:
            found: list[object] = []
            end = _read(found, 1, data, start, atoms, 0, depth_limit, size_limit, max_terms, budget)
            if end <= size:
                return found[0], end
        except (DecodeError, IndexError, ValueError):
            pass
        if budget is not None:
            budget = Budget(max_terms)
    return read_term(data, pos, atoms, depth_limit, size_limit, max_terms, budget)


def _read(
    items: list[object],
    n: i64,
    data: bytes,
    p: i64,
    atoms: tuple[object, ...],
    depth: i64,
    depth_limit: i64,
    size_limit: i64,
    max_terms: i64,
    budget: Budget | None,
) -> i64:
    """Append `n` terms from `p` on, and return where the last ends, perhaps beyond the input."""
    if n > len(data) - p:
        raise DecodeError("more elements are claimed than there are bytes")
    if budget is not None:
        _spend(budget, n)
    may_open = depth < NATIVE_DEPTH and depth < depth_limit
    count: i64
    start: i64
    end: i64
    while n > 0:
        n -= 1
        tag: i64 = data[p]
        if tag == 119:  # SMALL_ATOM_UTF8_EXT
            items.append(_read_atom(data, p, budget))
            p += 2 + data[p + 1]
        elif tag == 82:  # ATOM_CACHE_REF
            items.append(atoms[data[p + 1]])
            p += 2
        elif tag == 97:  # SMALL_INTEGER_EXT
            items.append(data[p + 1])
            p += 2
        elif tag == 98:  # INTEGER_EXT
            items.append(int(read_i32_be(data, p + 1)))
            p += 5
        elif tag == 109:  # BINARY_EXT
            end = p + 5 + _word(data, p + 1)
            items.append(data[p + 5 : end])
            p = end
        elif tag == 106:  # NIL_EXT
            items.append([])
            p += 1
        elif tag == 107:  # STRING_EXT
            end = p + 3 + (data[p + 1] << 8 | data[p + 2])
            if budget is not None:
                _spend(budget, end - p)
            items.append(list(data[p + 3 : end]))
            p = end
        elif tag == 70:  # NEW_FLOAT_EXT
            number: float = read_f64_be(data, p + 1)
            if number - number != 0.0:
                raise DecodeError("a float that is not finite")
            items.append(number)
            p += 9
        elif tag == 110:  # SMALL_BIG_EXT
            end = p + 3 + data[p + 1]
            big: int = _FROM_BYTES(data[p + 3 : end], "little")
            items.append(-big if data[p + 2] else big)
            p = end
        elif tag == 88:  # NEW_PID_EXT
            node, start = _read_node(data, p + 1, atoms, budget)
            if budget is not None:
                _spend(budget, 1)
            p = start + 12
            items.append(pid_of(node, data[start:p]))
        elif tag == 90:  # NEWER_REFERENCE_EXT
            count = 4 + 4 * (data[p + 1] << 8 | data[p + 2])
            if count < 8 or count > 24:
                raise DecodeError("a reference with too many words, or none")
            node, start = _read_node(data, p + 3, atoms, budget)
            if budget is not None:
                _spend(budget, 1)
            p = start + count
            items.append(reference_of(node, data[start:p]))
        elif may_open and (tag == 104 or tag == 108 or tag == 116):
            # SMALL_TUPLE_EXT, LIST_EXT, MAP_EXT
            if tag == 104:
                count = data[p + 1]
                start = p + 2
            else:
                count = _word(data, p + 1) * (2 if tag == 116 else 1)
                start = p + 5
            parts: list[object] = []
            p = _read(
                parts,
                count,
                data,
                start,
                atoms,
                depth + 1,
                depth_limit,
                size_limit,
                max_terms,
                budget,
            )
            if tag == 104:
                items.append(tuple(parts))
            elif tag == 116:
                items.append(_make_map(parts, p, budget))
            elif data[p] == 106:
                items.append(parts)
                p += 1
            else:
                p = _read(
                    parts,
                    1,
                    data,
                    p,
                    atoms,
                    depth + 1,
                    depth_limit,
                    size_limit,
                    max_terms,
                    budget,
                )
                tail = parts.pop()
                items.append(_join_list(parts, tail))
        elif depth and (tag == 80 or tag == 121):
            raise DecodeError("a term that can only stand by itself, within another one")
        else:
            limit = int(depth_limit - depth)
            other, place = read_term(
                data, int(p), atoms, limit, int(size_limit), int(max_terms), budget
            )
            items.append(other)
            p = place
    return p


def _spend(budget: Budget, n: i64) -> None:
    left: i64 = budget.left
    left -= n
    budget.left = left
    if left < 0:
        raise DecodeError("a message of too many elements")


def _make_map(parts: list[object], end: i64, budget: Budget | None) -> object:
    """The map of keys and values in turn."""
    made: dict[object, object] = {}
    i: i64 = 0
    n: i64 = len(parts)
    if n <= 2 * FEW_KEYS or _are_fast(parts):
        try:
            while i < n:
                key = parts[i]
                kind = type(key)
                if (
                    kind is not _ATOM
                    and kind is not bytes
                    and kind is not int
                    and kind is not bool
                    and key is not None
                ):
                    break
                made[key] = parts[i + 1]
                i += 2
        except BytesWarning:  # see maps.py
            made = {}
        if i == n and len(made) * 2 == n:
            if budget is not None:
                _spend(budget, 1)
            return made
    other, cost = decoded_map(parts, int(end))
    if budget is not None:
        _spend(budget, cost)
    return other


def _are_fast(parts: list[object]) -> bool:
    """Whether a dict of any size is fast with these keys, as far as a quick check can tell.

    They are, as in maps.py, texts and the like, or integers close to one another.
    """
    i: i64 = 0
    n: i64 = len(parts)
    integers: i64 = 0
    low = 0
    high = 0
    while i < n:
        key: Any = parts[i]
        kind = type(key)
        if kind is int:
            number: int = key
            if integers == 0:
                low = number
                high = number
            elif number < low:
                low = number
            elif number > high:
                high = number
            integers += 1
        elif kind is not _ATOM and kind is not bytes and kind is not bool and key is not None:
            return False
        i += 2
    if integers == 0:
        return True
    count: int = n // 2
    return integers == n // 2 and are_close(low, high, count)


def _join_list(items: list[object], tail: Any) -> object:
    """The list of those items and that tail, which may be a list or end in one."""
    if type(tail) is list:
        items.extend(tail)
        return items
    if type(tail) is _IMPROPER_LIST:
        items.extend(tail._items)
        tail = tail._tail
    if not items:
        return tail
    # No constructor, as for a pid: it would check what is already known.
    improper = _new(_IMPROPER_LIST)
    improper._tail = tail
    improper._items = tuple(items)
    return improper


def _read_node(
    data: bytes, p: i64, atoms: tuple[object, ...], budget: Budget | None
) -> tuple[Atom, i64]:
    """The node's name in an identifier, and the end of it."""
    tag: i64 = data[p]
    end: i64
    if tag == 82:
        node = atoms[data[p + 1]]
        end = p + 2
    elif tag == 119:
        node = _read_atom(data, p, budget)
        end = p + 2 + data[p + 1]
    else:
        raise DecodeError("a node's name of an older tag")
    if type(node) is not _ATOM:
        raise DecodeError("a node's name that is a value")
    return node, end


def _read_atom(data: bytes, p: i64, budget: Budget | None) -> object:
    """The term of the SMALL_ATOM_UTF8_EXT at `p`."""
    n: i64 = data[p + 1]
    # Up to 15 bytes and their number fit in two integers, which identify an atom. Making, hashing
    # and comparing bytes objects would take five times as long. At the end of the input the integers
    # are read with bytes before the atom, which are then shifted out.
    head: i64 = 0
    tail: i64 = 0
    back: i64 = p + n - 6  # where the last 8 bytes of the atom start
    if n <= 7:
        if p + 9 <= len(data):
            head = read_i64_be(data, p + 1) >> 8 * (7 - n)
        elif back >= 0:
            head = read_i64_be(data, back) << 8 * (7 - n)
            head >>= 8 * (7 - n)
        else:
            return _look_up(data[p + 2 : p + 2 + n], budget)
    elif n <= _RECENT_SIZE:
        head = read_i64_be(data, p + 1)
        tail = read_i64_be(data, back) << 8 * (15 - n)
        tail >>= 8 * (15 - n)
    else:
        return _look_up(data[p + 2 : p + 2 + n], budget)
    place: i64 = head ^ head >> 31 ^ tail ^ tail >> 31
    place = (place ^ place >> 16 ^ place >> 9) & (_RECENT - 1)
    if head != _recent_heads[place] or (n > 7 and tail != _recent_tails[place]):
        _recent_terms[place] = _look_up(data[p + 2 : p + 2 + n], budget)
        _recent_heads[place] = head
        _recent_tails[place] = tail
    return _recent_terms[place]


def _look_up(text: bytes, budget: Budget | None) -> object:
    return _TERMS[text] if budget is None else budget.terms[text]


def _word(data: bytes, p: i64) -> i64:
    """The number of 32 bits at `p`, not negative."""
    return i64(read_i32_be(data, p)) & 0xFFFFFFFF
