"""External Term Format to Python values: every tag, and every error.

One loop reads every term and keeps the open containers on a separate stack, so that no input can
exhaust Python's (or, compiled, C's) stack. A leaf costs only a walk down an if-chain: no call, no
check of its length. A leaf cut short leaves the cursor after the end of the input, where the next
read or the last line notices.

Written so that mypyc can compile it: module functions with explicit cursors over `bytes`, native
integers as annotated locals only, and parameters that take any term typed `object`.

Source: External Term Format.
"""

from __future__ import annotations

import zlib
from math import isfinite
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any, Final

from uds_dist.errors import DecodeError
from uds_dist.etf.identifiers import pid_of, reference_of
from uds_dist.etf.leaves import TERMS, atom_at, check_reference, cut_short, name_of, rare_leaf
from uds_dist.etf.maps import FEW_KEYS, MAX_KEY_DEPTH, decoded_map
from uds_dist.etf.terms import Atom, Fun, ImproperList, LocalTerm, Pid, Record, Reference

if TYPE_CHECKING:
    from mypy_extensions import i64

# Names of this module are Final, and classes of other modules have a name here: compiled, such a
# name is a static variable, while any other is a dict lookup of 10 ns.
_ATOM: Final = Atom
_PID: Final = Pid
_REFERENCE: Final = Reference
_FROM_BYTES: Final = int.from_bytes

# No setting may exceed this: it ends a term that holds itself.
DEEPEST: Final = 20_000

# A message is large, and its cost is counted, if it might use up the budget of elements: no byte
# costs more than this many.
DEAREST_BYTE: Final = 16
# The extra cost of some terms, mostly time.
_COST_OF_IDENTIFIER: Final = 1
_COST_OF_MAP: Final = 1
_COST_OF_RARE_LEAF: Final = 8
_COST_OF_RECORD_OR_FUN: Final = 12
# This part of a large message's budget may be different atoms, or at least this many.
_SHARE_OF_ATOMS: Final = 16
_LEAST_ATOMS: Final = 4096

_INT: Final = Struct(">i").unpack_from
_WORD: Final = Struct(">I").unpack_from
_DOUBLE: Final = Struct(">d").unpack_from

# A list of many numbers with one tag is read in runs: 20 ns a number instead of 140 ns.
_RUN: Final = 32
_RUN_OF_INTS: Final = Struct(">" + "xi" * _RUN).unpack_from
_RUN_OF_DOUBLES: Final = Struct(">" + "xd" * _RUN).unpack_from
_INT_TAGS: Final = b"b" * _RUN
_DOUBLE_TAGS: Final = b"F" * _RUN

# Kinds of open containers: the tag of their own, or one of these.
_WHOLE: Final = 0  # not a container: the whole term
_IMPROPER: Final = 1  # the tail of an improper list; for an error, its tag is the list's

_FEW: Final = 2 * FEW_KEYS  # elements of a map with safe keys

_new: Final = object.__new__
# Interpreted, the loop makes pids and references itself: a call would take a third of the time.
_COMPILED: Final = not __file__.endswith((".py", ".pyc"))


class _FewTerms(dict[bytes, object]):
    """The terms of one large message's atoms, bounded in number."""

    __slots__ = ("elements",)
    elements: int  # of the budget

    def __missing__(self, text: bytes) -> object:
        bound = max(self.elements // _SHARE_OF_ATOMS, _LEAST_ATOMS)
        if len(self) >= bound:
            raise DecodeError(
                f"more than {bound} different atoms: raise max_message_terms if you trust the "
                "sender"
            )
        term = TERMS[text]
        self[text] = term
        return term


class Budget:
    """How many elements the rest of a large message may have."""

    __slots__ = ("left", "terms")

    def __init__(self, elements: int) -> None:
        self.left = elements
        self.terms = _FewTerms()
        # Without a constructor, and the bound computed when it is needed: 300 ns less for each
        # large message, 2 percent of what a binary of 1 MiB takes.
        self.terms.elements = elements


def budget_for(size: int, max_terms: int) -> Budget | None:
    """The budget of a message of `size` bytes; None if it cannot have too many elements."""
    return Budget(max_terms) if size * DEAREST_BYTE > max_terms else None


def read_term(
    data: bytes,
    pos: int,
    atoms: tuple[object, ...],
    depth_limit: int,
    size_limit: int,
    max_terms: int,
    budget: Budget | None,
    strict: bool = False,
) -> tuple[object, int]:
    """Read one term of any tag, like ``decode_term`` in ``decode``.

    The elements that containers claim are counted. A small message cannot have more of them than
    bytes; a large one has a budget. A small message with a fault is read again, strictly: then each
    container's claim is checked, to report the first fault.
    """
    size: i64 = len(data)
    p: i64 = pos
    tag: i64 = 0
    n: i64
    end: i64
    # The innermost open container: its elements so far, how many are left, its kind.
    items: list[object] = []
    left: i64 = 1
    kind: i64 = _WHOLE
    stack: list[tuple[list[object], int, int]] = []
    terms: dict[bytes, object] = TERMS
    room: i64 = size - p
    if budget is not None:
        terms = budget.terms
        room = budget.left
    # Up to this depth, keys of maps are flat enough for Python to hash.
    limit: i64 = depth_limit if depth_limit < MAX_KEY_DEPTH else MAX_KEY_DEPTH
    deeper: i64 = depth_limit
    if strict:
        limit = -1
        deeper = -1
    careful = False
    made: object
    cost: int
    node: object
    big: Any
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
                            node, end = atom_at(data, p + 3, atoms)
                            if budget is not None:
                                room -= _COST_OF_RARE_LEAF
                        if budget is not None:
                            room -= _COST_OF_IDENTIFIER
                            if room < 0:
                                _check(data, p, p, 90, 0, room, 0, depth_limit, budget)
                        name = node if type(node) is _ATOM else name_of(node, p, 90)
                        p = end + n
                        if _COMPILED:
                            items.append(reference_of(name, data[end:p]))
                        else:
                            reference = _new(_REFERENCE)
                            reference._node = name
                            reference._words = data[end:p]
                            items.append(reference)
                    elif tag == 88:  # NEW_PID_EXT
                        if data[p + 1] == 82:
                            node = atoms[data[p + 2]]
                            end = p + 3
                        elif data[p + 1] == 119:
                            end = p + 3 + data[p + 2]
                            node = terms[data[p + 3 : end]]
                        else:
                            node, end = atom_at(data, p + 1, atoms)
                            if budget is not None:
                                room -= _COST_OF_RARE_LEAF
                        if budget is not None:
                            room -= _COST_OF_IDENTIFIER
                            if room < 0:
                                _check(data, p, p, 88, 0, room, 0, depth_limit, budget)
                        name = node if type(node) is _ATOM else name_of(node, p, 88)
                        p = end + 12
                        if _COMPILED:
                            items.append(pid_of(name, data[end:p]))
                        else:
                            pid = _new(_PID)
                            pid._node = name
                            pid._words = data[end:p]
                            items.append(pid)
                    elif tag == 70:  # NEW_FLOAT_EXT
                        if left >= _RUN and data[p + 9] == 70:
                            while left >= _RUN and data[p : p + 9 * _RUN : 9] == _DOUBLE_TAGS:
                                run = _RUN_OF_DOUBLES(data, p)
                                if not isfinite(sum(run)):
                                    break  # one is not finite, or the sum overflows: one by one
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
                        return _compressed(data, p, atoms, depth_limit, size_limit, max_terms)
                    elif tag == 67:  # RECORD_EXT
                        n = 2 * _WORD(data, p + 1)[0] + 2
                        p += 6
                        room -= n
                        room -= _COST_OF_RECORD_OR_FUN if budget is not None else 0
                        if room < 0 or len(stack) >= limit:
                            _check(data, p - 6, p, 67, n, room, len(stack), depth_limit, budget)
                            limit = deeper
                            careful = True
                        stack.append((items, left, kind))
                        items = [p - 6]  # its head is checked after its terms
                        left = n
                        kind = 67
                    else:
                        value, p = rare_leaf(data, p, tag, atoms)
                        items.append(value)
                        if budget is not None:
                            room -= _COST_OF_RARE_LEAF
                            if room < 0:
                                _check(data, p, p, tag, 0, room, 0, depth_limit, budget)
                elif tag == 119:  # SMALL_ATOM_UTF8_EXT
                    end = p + 2 + data[p + 1]
                    items.append(terms[data[p + 2 : end]])
                    p = end
                elif tag == 104:  # SMALL_TUPLE_EXT
                    n = data[p + 1]
                    p += 2
                    room -= n
                    if room < 0 or len(stack) >= limit:
                        _check(data, p - 2, p, 104, n, room, len(stack), depth_limit, budget)
                        limit = deeper
                        careful = True
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
                    room -= n
                    if room < 0 or len(stack) >= limit:
                        _check(data, p - 5, p, tag, n, room, len(stack), depth_limit, budget)
                        limit = deeper
                        careful = True
                    stack.append((items, left, kind))
                    items = []
                    left = n
                    kind = tag
                elif tag == 106:  # NIL_EXT
                    items.append([])
                    p += 1
                elif tag == 107:  # STRING_EXT
                    end = p + 3 + (data[p + 1] << 8 | data[p + 2])
                    if budget is not None:
                        room -= end - p
                        if room < 0:
                            _check(data, p, p, 107, 0, room, 0, depth_limit, budget)
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
                    end = p + 30 if tag == 112 else p + 5
                    n = _WORD(data, end - 4)[0] + 4
                    room -= n
                    room -= _COST_OF_RECORD_OR_FUN if budget is not None else 0
                    if room < 0 or len(stack) >= limit:
                        _check(data, p, end, tag, n, room, len(stack), depth_limit, budget)
                        limit = deeper
                        careful = True
                    stack.append((items, left, kind))
                    items = [p]  # its head is checked after its terms
                    left = n
                    kind = tag
                    p = end
                elif tag == 121 and kind == _WHOLE:
                    return LocalTerm(data[p + 1 :]), size
                else:
                    value, p = rare_leaf(data, p, tag, atoms)
                    items.append(value)
                    if budget is not None:
                        room -= _COST_OF_RARE_LEAF
                        if room < 0:
                            _check(data, p, p, tag, 0, room, 0, depth_limit, budget)
            if kind == 104 or kind == 105:
                made = tuple(items)
            elif kind == 108:
                # Tails are read here, not as terms: a chain of them is one list, not a depth.
                tag = data[p]
                if tag == 106:
                    p += 1
                    made = items
                elif tag == 108:
                    n = _WORD(data, p + 1)[0]
                    p += 5
                    room -= n
                    if room < 0:
                        _check(data, p - 5, p, tag, n, room, 0, depth_limit, budget)
                    left = n
                    continue
                elif tag == 107:
                    end = p + 3 + (data[p + 1] << 8 | data[p + 2])
                    if budget is not None:
                        room -= end - p
                        if room < 0:
                            _check(data, p, p, 107, 0, room, 0, depth_limit, budget)
                    items.extend(data[p + 3 : end])
                    p = end
                    made = items
                else:
                    kind = _IMPROPER
                    left = 1
                    continue
            elif kind == 116:
                made = None
                if not careful and len(items) <= _FEW:
                    pairs = iter(items)  # 120 ns less than two slices
                    try:
                        made = dict(zip(pairs, pairs))
                    except (TypeError, BytesWarning):  # not hashable, or see maps.py
                        pass
                    else:
                        if len(made) * 2 != len(items):
                            made = None
                cost = _COST_OF_MAP
                if made is None:
                    made, cost = decoded_map(items, p)
                if budget is not None:
                    room -= cost
                    if room < 0:
                        _check(data, p, p, 116, 0, room, 0, depth_limit, budget)
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
        if budget is None and not strict:
            return read_term(data, pos, atoms, depth_limit, size_limit, max_terms, None, True)
        check_reference(data, p, atoms)
        raise cut_short(data, tag if p != size else 108 if kind == _IMPROPER else kind) from None
    except DecodeError as error:
        if budget is None and not strict:
            return read_term(data, pos, atoms, depth_limit, size_limit, max_terms, None, True)
        # A leaf that is cut short was read as it is: the rest of an atom may not be UTF-8, and a
        # map may seem to have a key twice. Report what came first.
        if p > size or (tag == 119 and p + 1 < size and p + 2 + data[p + 1] > size):
            raise cut_short(data, tag) from None
        raise DecodeError(str(error), error.offset or p, error.tag or tag) from None
    if p > size:
        raise cut_short(data, tag)
    if budget is not None:
        budget.left = room
    return items[0], p


def _check(
    data: bytes,
    p: int,
    start: int,
    tag: int,
    n: int,
    room: int,
    depth: int,
    depth_limit: int,
    budget: Budget | None,
) -> None:
    """Say why a term is refused: it claims too many elements, or is nested too deep.

    Args:
        data: all of the input.
        p: where the term is.
        start: where its elements start.
        tag: its tag.
        n: how many elements it claims.
        room: how many more elements the message may have, without this one's.
        depth: how many containers are open around it.
        depth_limit: how many may be.
        budget: of the message, if it is large.
    """
    if n > len(data) - start:
        left = max(len(data) - start, 0)
        raise DecodeError(f"{n} elements are claimed, {left} bytes are left", p, tag)
    if room < 0 and budget is not None:
        raise DecodeError(
            "a message of too many elements: raise max_message_terms if you trust the sender",
            p,
            tag,
        )
    if room < 0:
        raise cut_short(data, tag)  # in total, more elements are claimed than there are bytes
    if depth >= depth_limit:
        raise DecodeError(
            f"terms are nested deeper than {depth_limit}: raise max_term_depth if you trust the "
            "sender",
            p,
            tag,
        )


def _record(data: bytes, items: list[object]) -> Record:
    """A native record, from the position of its head and the terms after it."""
    p = items[0]
    assert isinstance(p, int)
    if data[p + 5] > 1:
        raise DecodeError(f"a record's exported flag must be 1 or 0, not {data[p + 5]}", p, 67)
    n = (len(items) - 3) // 2
    names = [name_of(term, p, 67) for term in items[1 : 3 + n]]
    fields = tuple(zip(names[2:], items[3 + n :]))
    return Record(names[0], names[1], fields, exported=data[p + 5] == 1)


def _fun(data: bytes, items: list[object]) -> Fun:
    """A fun, from the position of its head and the terms after it."""
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
        name_of(module, p, data[p]), arity, index, uniq, old_index, old_uniq, pid, tuple(items[5:])
    )


def _compressed(
    data: bytes,
    p: int,
    atoms: tuple[object, ...],
    depth_limit: int,
    size_limit: int,
    max_terms: int,
) -> tuple[object, int]:
    """A compressed term at `p`, and its end."""
    if p + 5 > len(data):
        raise cut_short(data, 80)
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
        # One byte more than claimed shows that the claim is too low; nothing is allocated
        # beforehand.
        plain = inflate.decompress(data[p + 5 :], claimed + 1)
    except zlib.error as error:
        raise DecodeError(f"a compressed term is broken: {error}", p, 80) from None
    if not inflate.eof or len(plain) != claimed:
        raise DecodeError(f"a compressed term does not have the {claimed} bytes it claims", p, 80)
    if plain[:1] == b"\x50":
        raise DecodeError("a compressed term within a compressed term", p, 80)
    try:
        budget = budget_for(len(plain), max_terms)
        term, end = read_term(plain, 0, atoms, depth_limit, size_limit, max_terms, budget)
    except DecodeError as error:
        raise DecodeError(f"within a compressed term: {error}", p, 80) from None
    if end != len(plain):
        raise DecodeError(f"{len(plain) - end} bytes after the compressed term", p, 80)
    return term, len(data) - len(inflate.unused_data)
