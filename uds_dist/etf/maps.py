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
_HASHABLE: Final = PLAIN | {FrozenList}
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
        EncodeError: a key occurs twice.
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
        DecodeError: a key occurs twice.
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
            keys, cost, deep = _frozen(keys)
            exact = deep > MAX_KEY_DEPTH
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


def _frozen(keys: list[object]) -> tuple[list[object], int, int]:
    """The keys in their hashable form, the cost of that, and their depth."""
    elements = 0
    deepest = 0
    changeable = False
    hashable: list[object] = []
    todo: list[tuple[object, int]] = []
    for key in keys:
        if type(key) is list:
            # Nearly always a string, which the general way would look at four times.
            frozen = FrozenList(key)
            changeable = True
            if frozen._token is None:
                elements += len(key) + 1
            else:
                todo.append((key, 0))
            hashable.append(frozen)
            continue
        if type(key) is tuple and _PLAIN.issuperset(map(type, key)):
            elements += len(key) + 1
            if deepest == 0:
                deepest = 1
        elif type(key) not in _PLAIN:
            todo.append((key, 0))
        hashable.append(key)
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
    if changeable:
        hashable = [key if type(key) in _HASHABLE else freeze(key) for key in hashable]
    return hashable, elements * (_COST_OF_FREEZING if changeable else _COST_OF_NESTING), deepest


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
    return kinds == {int} and are_close(min(keys), max(keys), len(keys))


def are_close(low: int, high: int, count: int) -> bool:
    """Whether `count` integers from `low` to `high` are so close that a dict of them is fast."""
    return -(1 << 60) < low and high < 1 << 60 and high - low < 4 * count


def _steps(keys: list[object]) -> int:
    """How many extra steps a dict would take to insert these keys, up to a bound.

    Follows CPython's dict in its search for a free slot, and in its growth: whenever two thirds of
    the table are used, all keys are inserted again, into one of twice the size. Equal hashes count
    too. Tables of less than 128 slots are left out where the dict grows beyond them: their few keys
    take about a thousand steps at worst, and for 69 strings they would double the time here.
    """
    steps: i64 = 0
    hashes = [hash(key) for key in keys]
    n: i64 = len(hashes)
    fair: i64 = _FAIR_STEPS * n
    size: i64 = 32
    while size < 128 and size * 2 // 3 < n:
        size += size
    fits: i64 = 0
    number: i64
    place: i64
    rest: i64
    while fits < n:
        fits = size * 2 // 3
        mask: i64 = size - 1
        table = bytearray(size)
        for number in hashes[:fits]:
            place = number & mask
            if table[place]:
                rest = number >> 5 & _HIGH_BITS  # shifted as a number without a sign
                place = (place * 5 + rest + 1) & mask
                steps += 1
                while table[place]:
                    rest >>= 5
                    place = (place * 5 + rest + 1) & mask
                    steps += 1
                if steps > fair:
                    return int(steps)
            table[place] = 1
        size += size
    return int(steps)
