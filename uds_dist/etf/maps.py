"""Maps from keys and values: a dict if it can hold the keys, else a Map.

Keys come from peers, and a dict trusts its keys in three ways. It merges keys that are equal in
Python, such as 1 and 1.0. It hashes and compares a nested key on the C stack, which may be small in
a thread. And it takes quadratic time if their hashes follow one path through its table: hashes of
texts differ from run to run, but anybody can compute the hashes of numbers, and of values made of
numbers. Maps with such keys use exact keys: see `Map`.

Source: External Term Format, MAP_EXT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uds_dist.errors import DecodeError, EncodeError
from uds_dist.etf.terms import (
    PLAIN,
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
    freeze,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

# How deep tuples may be nested in a dict's keys; hashing uses C stack for each level.
MAX_KEY_DEPTH: Final = 16
# A dict of up to this many keys is fast with any keys.
FEW_KEYS: Final = 16

# The cost of a key in a message's budget, in elements of other kinds.
_COST_OF_MAP: Final = 1
_COST_OF_EXACT_KEY: Final = 16
_COST_OF_FREEZING: Final = 12
_COST_OF_NESTING: Final = 3
_STEPS_FOR_COST: Final = 4

# Types whose hashes depend on texts, or that have few values: nobody can choose their hashes.
_UNPREDICTABLE: Final = frozenset(
    {Atom, str, bytes, bool, type(None), Pid, Port, Reference, Export, BitString, LocalTerm}
)
_UNPREDICTABLE_OR_NUMBERS: Final = _UNPREDICTABLE | {int, float}
_PLAIN: Final = PLAIN
_SLOW_HASH: Final = (ImproperList, Record, Fun)  # theirs are Python functions
_LEVELS_OF_SLOW_HASH: Final = 4

# How many steps through a dict's table each key may take. Ordinary keys take less than 8, the
# resizing included.
_FAIR_STEPS: Final = 24
_HIGH_BITS: Final = 0x07FF_FFFF_FFFF_FFFF


def make_map(keys: list[object], values: list[object]) -> dict[Any, object] | Map:
    """A dict if it can hold the keys, else a Map.

    Args:
        keys: the keys; those that are not hashable are frozen here.
        values: the values, in the same order.
    Returns:
        The map.
    Raises:
        EncodeError: a key comes twice.
    """
    return _build(keys, values)[0]


def decoded_map(parts: list[object], p: int) -> tuple[object, int]:
    """The map of keys and values in turn.

    Args:
        parts: the keys and values.
        p: where the map ends in the input.
    Returns:
        The map, and its cost in elements of other kinds.
    Raises:
        DecodeError: a key comes twice.
    """
    try:
        return _build(parts[::2], parts[1::2])
    except EncodeError:
        raise DecodeError("a key occurs twice in a map", p, 116) from None


def _build(keys: list[object], values: list[object]) -> tuple[dict[Any, object] | Map, int]:
    kinds = set(map(type, keys))
    cost = 0
    exact = False
    if not kinds <= _UNPREDICTABLE:
        if not kinds <= _UNPREDICTABLE_OR_NUMBERS:
            cost, deep, changeable = _weigh(keys)
            exact = deep > MAX_KEY_DEPTH
            if changeable:
                keys = [key if type(key) in _PLAIN else freeze(key) for key in keys]
        if not exact and len(keys) > FEW_KEYS and not _are_dense(keys, kinds):
            steps = _steps(keys)
            cost += steps // _STEPS_FOR_COST
            exact = steps > _FAIR_STEPS * len(keys)
    if not exact:
        try:
            made = dict(zip(keys, values))
        except BytesWarning:  # with -bb Python compares no text with bytes
            made = {}
        if len(made) == len(keys):
            return made, cost + _COST_OF_MAP
    return Map(zip(keys, values)), cost + _COST_OF_EXACT_KEY * len(keys)


def _weigh(keys: list[object]) -> tuple[int, int, bool]:
    """The cost of freezing keys, their depth, and whether any must be frozen."""
    elements = 0
    deepest = 0
    changeable = False
    todo: list[tuple[object, int]] = [(key, 0) for key in keys if type(key) not in _PLAIN]
    while todo:
        term, depth = todo.pop()
        parts = _parts_to_weigh(term)
        if parts is None:
            continue
        if isinstance(term, (list, dict, Map)):
            changeable = True
            depth = 0  # frozen, its hash is known
        else:
            depth += _LEVELS_OF_SLOW_HASH if isinstance(term, _SLOW_HASH) else 1
            if depth > deepest:
                deepest = depth
        elements += len(parts) + 1
        if not _PLAIN.issuperset(map(type, parts)):
            todo.extend([(part, depth) for part in parts if type(part) not in _PLAIN])
    return elements * (_COST_OF_FREEZING if changeable else _COST_OF_NESTING), deepest, changeable


def _parts_to_weigh(term: object) -> list[object] | tuple[object, ...] | None:
    """The parts of a key; None if its hash is known or takes one step."""
    if isinstance(term, (tuple, list)):
        return term
    if isinstance(term, (dict, Map)):
        if isinstance(term, Map) and term._token is not None:
            return None
        return [part for pair in term.items() for part in pair]
    if isinstance(term, ImproperList):
        return (*term.items, term.tail)
    if isinstance(term, Record):
        return [value for _name, value in term.fields]
    if isinstance(term, Fun):
        return term.free
    return None  # a FrozenList, too


def _are_dense(keys: list[Any], kinds: set[type]) -> bool:
    """Whether the keys are integers close to one another, which are never slow."""
    if kinds != {int}:
        return False
    low = min(keys)
    high = max(keys)
    return -(1 << 60) < low and high < 1 << 60 and int(high - low) < 4 * len(keys)


def _steps(keys: list[object]) -> int:
    """How many extra steps a dict would take to insert these keys, up to a bound.

    Follows CPython's dict in its search for a free slot and its growth. Equal hashes count too.
    """
    fair: i64 = _FAIR_STEPS * len(keys)
    steps: i64 = 0
    size: i64 = 8
    table = bytearray(8)
    hashes = [hash(key) for key in keys]
    used: i64 = 0
    i: i64 = 0
    n: i64 = len(hashes)
    while i < n:
        if used * 3 >= size * 2:  # insert all of them again, into a table of twice the size
            size += size
            table = bytearray(size)
            used = 0
            i = 0
        place: i64 = hashes[i]
        rest: i64 = place
        first = True
        place &= size - 1
        while table[place]:
            rest >>= 5
            if first:  # the hash is shifted as a number without a sign
                rest &= _HIGH_BITS
                first = False
            place = (place * 5 + rest + 1) & (size - 1)
            steps += 1
            if steps > fair:
                return int(steps)
        table[place] = 1
        used += 1
        i += 1
    return int(steps)
