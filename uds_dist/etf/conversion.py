"""Conversion of terms for a program: text for binaries, its own types for structs and records.

The decoder always makes plain terms, because the protocol and the library's own services must tell
atoms from binaries. A term is converted when the program gets it: by `decode` on request, and by a
node at its mailboxes, handlers and results. So a program that does not use it pays nothing.

Nothing is lost: a binary that is not UTF-8 stays bytes, a map whose keys Python would merge is a
Map, and a fun stays as it is, with the values in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from uds_dist.errors import ConfigError, EncodeError
from uds_dist.etf.atoms import Atom
from uds_dist.etf.maps import make_map
from uds_dist.etf.records import TaggedTuple
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import (
    PLAIN,
    WALK,
    BitString,
    Export,
    FrozenList,
    Fun,
    ImproperList,
    LocalTerm,
    Map,
    Record,
    fold,
    freeze,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

# A program's function that makes a value from a term, or a term from a value.
Hook = Callable[[object], object]
# Records to convert: classes made by `record`, or tags, whose tuples go to the hook.
Records = Collection["type[object] | str"]

STRUCT: Final = Atom("__struct__")
ANY_SIZE: Final = -1

# `_convert` recurses to this depth, well below the limits of Python's frames and the C stack; for
# deeper terms it uses a stack.
_FRAMES: Final = 64

_LEAVES: Final = (PLAIN - {bytes}) | {Export, BitString, Fun, LocalTerm}
_LEAVES_AND_BYTES: Final = _LEAVES | {bytes}
_PLAIN: Final = PLAIN
_ATOM: Final = Atom


class Conversion:
    """How received terms are converted.

    Args:
        text: whether a binary that is valid UTF-8 becomes a str.
        object_hook: called with each map that has a key ``__struct__``, and with each tuple that
            begins with one of the tags in `records`; its parts are already converted. Its result
            replaces the term.
        records: classes made by `record`: a tuple with the tag and size of one becomes its object;
            and tags.
    Raises:
        ConfigError: the hook is not callable, or `records` holds anything else.
    """

    __slots__ = ("text", "object_hook", "left_alone", "_by_tag")

    def __init__(self, text: bool, object_hook: Hook | None, records: Records) -> None:
        self.text = text
        self.object_hook = object_hook
        self.left_alone = _LEAVES if text else _LEAVES_AND_BYTES
        # By tag and tuple size: the function that makes the value.
        self._by_tag: dict[str, dict[int, Hook]] = {}
        if object_hook is not None and not callable(object_hook):
            raise ConfigError("object_hook cannot be called: give a function")
        if isinstance(records, (str, bytes)):
            raise ConfigError("records is one text: give a list of record classes and tags")
        for entry in records:
            if isinstance(entry, str) and object_hook is not None:
                self._by_tag.setdefault(entry, {})[ANY_SIZE] = object_hook
            elif isinstance(entry, type) and issubclass(entry, TaggedTuple):
                self._by_tag.setdefault(entry._tag, {})[len(entry._fields) + 1] = _maker(entry)
            else:
                raise ConfigError(
                    f"records holds {shown(entry)}: give classes made by record(), or tags together"
                    " with an object_hook"
                )

    def convert(self, term: object) -> object:
        """The value for a term.

        Raises:
            Exception: what the object_hook raised.
        """
        return term if type(term) in self.left_alone else _convert(self, term, 0)

    def tagged(self, values: tuple[object, ...]) -> object:
        """The value for a tuple whose parts are converted."""
        if not self._by_tag or not values or type(values[0]) is not _ATOM:
            return values
        makers = self._by_tag.get(values[0])
        if makers is None:
            return values
        make = makers.get(len(values)) or makers.get(ANY_SIZE)
        return values if make is None else make(values)


def conversion(text: bool, object_hook: Hook | None, records: Records) -> Conversion | None:
    """The conversion for these settings; None if they leave terms unchanged."""
    if not text and object_hook is None and not records:
        return None
    return Conversion(text, object_hook, records)


# The most common case of `decode`.
ONLY_TEXT: Final = Conversion(True, None, ())


def _maker(class_: type[TaggedTuple]) -> Hook:
    def make(values: Any) -> object:
        return tuple.__new__(class_, values)

    return make


def _convert(wanted: Conversion, term: Any, depth: i64) -> object:
    kind = type(term)
    if kind is bytes:
        return _text(term) if wanted.text else term
    left_alone = wanted.left_alone
    if kind in left_alone:
        return term
    if depth >= _FRAMES:
        return fold(
            term,
            lambda part: _leaf(wanted, part),
            lambda source, parts: _rebuilt(wanted, source, parts),
        )
    parts: Any
    if kind is dict and left_alone.issuperset(map(type, term)):
        # Nearly every map has only atoms and numbers as keys, which do not change.
        if not left_alone.issuperset(map(type, term.values())):
            made_map: dict[object, object] = {}
            for key, value in term.items():
                if type(value) not in left_alone:
                    value = _convert(wanted, value, depth + 1)
                made_map[key] = value
            return _with_hook(wanted, term, made_map)
        return term if wanted.object_hook is None else _with_hook(wanted, term, term)
    if kind is dict or kind is Map:
        parts = []
        for key, value in term.items():
            parts.append(key if type(key) in left_alone else _convert(wanted, key, depth + 1))
            parts.append(value if type(value) in left_alone else _convert(wanted, value, depth + 1))
        return _rebuilt(wanted, term, parts)
    if kind is tuple or kind is list:
        parts = term
        if left_alone.issuperset(map(type, parts)):
            return term if kind is list else wanted.tagged(term)
    elif kind is FrozenList:
        parts = term.items
    elif kind is ImproperList:
        parts = (*term.items, term.tail)
    elif kind is Record:
        parts = [value for _name, value in term.fields]
    else:
        return term  # not a term: the program's own value, already converted
    made = [
        part if type(part) in left_alone else _convert(wanted, part, depth + 1) for part in parts
    ]
    return _rebuilt(wanted, term, made)


def _leaf(wanted: Conversion, term: Any) -> object:
    """The value of a leaf, for `fold`."""
    kind = type(term)
    if kind is bytes:
        return _text(term) if wanted.text else term
    if kind in (tuple, list, dict, Map, FrozenList, ImproperList, Record):
        return WALK
    return term


def _text(data: bytes) -> object:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _rebuilt(wanted: Conversion, source: Any, parts: list[Any]) -> object:
    """The container like `source` that holds these parts."""
    kind = type(source)
    if kind is list:
        return parts
    if kind is tuple:
        return wanted.tagged(tuple(parts))
    if kind is dict or kind is Map:
        return _with_hook(wanted, source, _map(source, parts))
    if kind is FrozenList:
        return FrozenList(parts)
    if kind is Record:
        names = [name for name, _value in source.fields]
        return replace(source, fields=tuple(zip(names, parts)))
    tail = parts.pop()
    if isinstance(tail, (list, ImproperList, FrozenList)):
        tail = source.tail  # from a hook: a tail must not be a list
    return ImproperList(parts, tail)


def _with_hook(wanted: Conversion, source: Any, made: object) -> object:
    """The hook's value for a map that is a struct; any other map unchanged."""
    hook = wanted.object_hook
    return made if hook is None or not _is_struct(source) else hook(made)


def _map(source: Any, parts: list[Any]) -> object:
    """The map like `source` with keys and values in turn.

    A Map keeps keys apart that Python would merge after the conversion, such as an atom and an
    equal text; a key is not converted if the hook's value cannot be a key.
    """
    keys = parts[::2]
    values = parts[1::2]
    if type(source) is dict and _PLAIN.issuperset(map(type, keys)):
        made = dict(zip(keys, values))
        if len(made) == len(keys):
            return made
    if type(source) is Map:
        return _exact_map(source, keys, values)
    keys = [_key(key, before) for key, before in zip(keys, source)]
    try:
        return make_map(keys, values)
    except EncodeError:  # the hook gave one value for two keys
        return make_map(list(source), values)


def _exact_map(source: Map, keys: list[object], values: list[object]) -> Map:
    try:
        made = Map(zip([freeze(key) for key in keys], values))
    except EncodeError:
        made = Map(zip(source.keys(), values))
    if source._token is None:
        return made
    frozen = freeze(made)  # this map is a key itself
    assert isinstance(frozen, Map)
    return frozen


def _key(key: object, before: object) -> object:
    if type(key) in _PLAIN:
        return key
    try:
        hash(key)
    except TypeError:
        key = freeze(key)
        try:
            hash(key)
        except TypeError:
            return before
    return key


def _is_struct(term: dict[object, object] | Map) -> bool:
    """Whether a map has the atom ``__struct__``, not the text, as a key."""
    try:
        return STRUCT in term
    except BytesWarning:
        # With -bb Python refuses to compare the atom with a binary of the same hash.
        return any(type(key) is Atom and key == STRUCT for key in term)
