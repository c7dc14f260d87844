"""Terms in JSON, for the command line.

JSON has fewer kinds of values than Erlang. The others are objects with one key that begins with
``$``. `from_json` reads everything that `to_json` writes back as the same term.

    true, false, null       the atoms true, false, nil
    integer, other number   integer, float
    "text"                  binary that is UTF-8: Elixir's String
    [...]                   list
    {"key": ...}            map; a key ":name" is the atom name, any other key a binary
    {"$atom": "ok"}         atom
    {"$tuple": [...]}       tuple
    {"$binary": "..."}      binary that is not UTF-8, in Base64
    {"$map": [[k, v], ...]} map with any other keys
    {"$improper": [..., t]} improper list, with its tail last
    {"$etf": "..."}         any other term (pid, port, reference, fun, bit string, record) in the
                            External Term Format, in Base64; a second key "text" is for people
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from uds_dist.cli.json_text import read_json, write_json
from uds_dist.errors import ParseError, TermError
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.maps import make_map
from uds_dist.etf.parse import MAX_DEPTH
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, FrozenList, ImproperList, Map
from uds_dist.etf.text import format_term


def read_term(text: str) -> object:
    """The term of a JSON text.

    Raises:
        ParseError: as of `read_json` and `from_json`.
    """
    return from_json(read_json(text))


def write_term(term: object, ascii_only: bool = False) -> str:
    """The JSON text of a term, on one line.

    Args:
        term: any term.
        ascii_only: whether to escape all other characters.
    """
    return write_json(to_json(term), ascii_only)


def to_json(term: object) -> object:
    """The JSON value of a term.

    Args:
        term: any term.
    Returns:
        Dicts, lists, strings, numbers, booleans and None, as in the table above.
    """
    return _rebuilt(term, _term_parts, _json_of)


def from_json(value: object) -> object:
    """The term of a JSON value.

    Raises:
        ParseError: a key begins with ``$`` and is not in the table above, its value does not fit
            it, or the term is nested too deep.
    """
    return _rebuilt(value, _json_parts, _term_of, MAX_DEPTH)


def _rebuilt(
    value: object,
    parts_of: Callable[[Any], Sequence[object] | None],
    made: Callable[[Any, list[Any]], object],
    depth: int | None = None,
) -> object:
    """Rebuild a value from its leaves up, with a stack: values nest deeper than Python's frames.

    Args:
        value: the value.
        parts_of: returns the parts of a container, None for a leaf.
        made: returns the new value, from the old one and its rebuilt parts.
        depth: how many levels of containers are allowed; None for any number.
    """
    stack: list[tuple[object, Iterator[object], list[Any]]] = []
    source: object = None
    todo: Iterator[object] = iter((value,))
    done: list[Any] = []
    while True:
        for part in todo:
            parts = parts_of(part)
            if parts is None:
                done.append(made(part, []))
                continue
            if len(stack) == depth:
                raise ParseError(f"terms are nested deeper than {depth}")
            stack.append((source, todo, done))
            source, todo, done = part, iter(parts), []
            break
        else:
            if not stack:
                return done[0]
            rebuilt = made(source, done)
            source, todo, done = stack.pop()
            done.append(rebuilt)


def _term_parts(term: object) -> Sequence[object] | None:
    """The parts of a term that JSON has a container for."""
    if isinstance(term, (tuple, list)):
        return term
    if isinstance(term, FrozenList):
        return term.items
    if isinstance(term, ImproperList):
        return (*term.items, term.tail)
    if isinstance(term, (dict, Map)):
        if _is_object(term):
            return list(term.values())
        return [part for pair in term.items() for part in pair]
    return None


def _json_of(term: object, parts: list[object]) -> object:
    if isinstance(term, (list, FrozenList)):
        return parts
    if isinstance(term, tuple):
        return {"$tuple": parts}
    if isinstance(term, ImproperList):
        return {"$improper": parts}
    if isinstance(term, (dict, Map)):
        if _is_object(term):
            return dict(zip(map(_json_key, term.keys()), parts))
        return {"$map": [list(pair) for pair in zip(parts[::2], parts[1::2])]}
    if term is None or isinstance(term, (bool, int, float)):
        return term
    if isinstance(term, Atom):
        return {"$atom": str(term)}
    if isinstance(term, str):
        return term
    text = _utf8(term) if isinstance(term, bytes) else None
    if isinstance(term, bytes):
        return {"$binary": b64encode(term).decode()} if text is None else text
    return {"$etf": b64encode(encode(term)).decode(), "text": format_term(term)}


def _is_object(term: dict[Any, Any] | Map) -> bool:
    return all([_json_key(key) is not None for key in term.keys()])


def _json_key(key: object) -> str | None:
    """The key of a JSON object, None when the key cannot be one."""
    if key is None or isinstance(key, bool):
        return ":nil" if key is None else f":{str(key).lower()}"
    if isinstance(key, Atom):
        return f":{key}"
    text = _utf8(key) if isinstance(key, bytes) else None
    return None if text is None or text.startswith((":", "$")) else text


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# The value that each mark requires.
_MARKS = {
    "$atom": "a string of at most 255 characters",
    "$tuple": "an array",
    "$binary": "a string in Base64",
    "$map": "an array of arrays of two, with different keys",
    "$improper": "an array of at least two values, the last one not an array",
    "$etf": "an external term in Base64",
}


def _mark(value: dict[str, object]) -> str:
    """The mark of an object, "" if the object is a map."""
    marks = [key for key in value if key.startswith("$")]
    if not marks:
        return ""
    rest = value.keys() - {marks[0]}
    if marks[0] not in _MARKS:
        raise ParseError(
            f"in JSON, {printable(marks[0], 40)!r} does not mark a term: use"
            f" {', '.join(_MARKS)}; write a map with such a key with $map"
        )
    if rest and (marks[0] != "$etf" or rest != {"text"}):
        other = printable(min(rest), 40)
        raise ParseError(f"in JSON, an object with {marks[0]} has no other key: found {other!r}")
    return marks[0]


def _misshaped(mark: str, found: object) -> ParseError:
    return ParseError(f"in JSON, {mark} needs {_MARKS[mark]}: found {shown(found, 60)}")


def _json_parts(value: object) -> Sequence[object] | None:
    """The parts of a JSON value that is a container."""
    if isinstance(value, list):
        return value
    mark = _mark(value) if isinstance(value, dict) else "$atom"
    if not isinstance(value, dict) or mark in ("$atom", "$binary", "$etf"):
        return None
    if not mark:
        return list(value.values())
    marked = value[mark]
    if not isinstance(marked, list):
        raise _misshaped(mark, marked)
    if mark != "$map":
        return marked
    if not all([isinstance(pair, list) and len(pair) == 2 for pair in marked]):
        raise _misshaped(mark, marked)
    return [part for pair in marked for part in pair]


def _term_of(value: object, parts: list[object]) -> object:
    if isinstance(value, list):
        return parts
    if not isinstance(value, dict):
        return value
    mark = _mark(value)
    try:
        if not mark:
            return {_term_key(key): part for key, part in zip(value, parts)}
        return _READ[mark](value[mark], parts)
    except ParseError:
        raise
    except (TypeError, ValueError):
        raise _misshaped(mark, value.get(mark)) from None


def _term_key(key: str) -> object:
    if not key.startswith(":"):
        return key.encode()
    try:
        return Atom(key[1:])
    except TermError as error:
        raise ParseError(f"in JSON, the key {printable(key, 40)!r}: {error}") from None


def _read_atom(value: object, _parts: list[object]) -> object:
    return Atom(_text(value))


def _read_binary(value: object, _parts: list[object]) -> object:
    return b64decode(_text(value), validate=True)


def _read_etf(value: object, _parts: list[object]) -> object:
    return decode(b64decode(_text(value), validate=True))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


_READ: dict[str, Callable[[object, list[object]], object]] = {
    "$atom": _read_atom,
    "$tuple": lambda _value, parts: tuple(parts),
    "$binary": _read_binary,
    "$map": lambda _value, parts: make_map(parts[::2], parts[1::2]),
    "$improper": lambda _value, parts: ImproperList(parts[:-1], parts[-1] if parts else []),
    "$etf": _read_etf,
}
