"""Terms in two notations that the command line speaks beside Erlang's: JSON and Elixir's.

JSON has fewer kinds of values than Erlang, so what it lacks is an object with one key that begins
with ``$``. Everything that `to_json` writes `from_json` reads back as the same term.

    true, false, null       the atoms true, false, nil
    integer, other number   integer, float
    "text"                  a binary that is UTF-8: Elixir's String
    [...]                   list
    {"key": ...}            map; a key ":name" stands for the atom name, any other for a binary
    {"$atom": "ok"}         atom
    {"$tuple": [...]}       tuple
    {"$binary": "..."}      binary that is no UTF-8, in Base64
    {"$map": [[k, v], ...]} map with other keys than those above
    {"$improper": [..., t]} improper list, its tail last
    {"$etf": "..."}         anything else (pid, port, reference, fun, bit string, record) in the
                            External Term Format, in Base64; beside it, for people, "text"
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import Any

from uds_dist.errors import ParseError, TermError
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.maps import make_map
from uds_dist.etf.terms import (
    Atom,
    BitString,
    FrozenList,
    ImproperList,
    Map,
    Pid,
)
from uds_dist.etf.text import format_term

# --- JSON -----------------------------------------------------------------------------------------


def to_json(term: object) -> object:
    """The value that `json.dumps` writes for a term.

    Args:
        term: any term.
    Returns:
        A value of dicts, lists, strings, numbers, booleans and None, as the table above says.
    """
    if term is None or isinstance(term, (bool, int, float)):
        return term
    if isinstance(term, Atom):
        return {"$atom": str(term)}
    if isinstance(term, str):
        return term
    if isinstance(term, bytes):
        text = _utf8(term)
        return {"$binary": b64encode(term).decode()} if text is None else text
    if isinstance(term, tuple):
        return {"$tuple": [to_json(item) for item in term]}
    if isinstance(term, (list, FrozenList)):
        return [to_json(item) for item in term]
    if isinstance(term, (dict, Map)):
        pairs = [(_json_key(key), key, to_json(value)) for key, value in term.items()]
        if all(name is not None for name, _key, _value in pairs):
            return {name: value for name, _key, value in pairs}
        return {"$map": [[to_json(key), value] for _name, key, value in pairs]}
    if isinstance(term, ImproperList):
        return {"$improper": [to_json(item) for item in (*term.items, term.tail)]}
    return {"$etf": b64encode(encode(term)).decode(), "text": format_term(term)}


def from_json(value: object) -> object:
    """The term that a value read by `json.loads` stands for.

    Raises:
        ParseError: an object has a key that begins with ``$`` and is none of the table above.
    """
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [key for key in value if key.startswith("$")]
    if not marks:
        return {_term_key(key): from_json(item) for key, item in value.items()}
    mark = marks[0]
    if len(value) == 1 or (mark == "$etf" and value.keys() <= {"$etf", "text"}):
        read = _MARKED.get(mark)
        if read is not None:
            try:
                return read(value[mark])
            except (AssertionError, TypeError, ValueError) as error:
                if isinstance(error, TermError):
                    raise
    raise ParseError(f"in JSON, {mark!r} does not mark a term like this: use {', '.join(_MARKED)}")


def _json_key(key: object) -> str | None:
    """The key of a JSON object, None when the key cannot be one."""
    if key is None or isinstance(key, bool):
        return ":nil" if key is None else f":{str(key).lower()}"
    if isinstance(key, Atom):
        return f":{key}"
    text = _utf8(key) if isinstance(key, bytes) else None
    return None if text is None or text.startswith((":", "$")) else text


def _term_key(key: str) -> object:
    return Atom(key[1:]) if key.startswith(":") else key.encode()


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _read_atom(value: object) -> object:
    assert isinstance(value, str)
    return Atom(value)


def _read_tuple(value: object) -> object:
    assert isinstance(value, list)
    return tuple(from_json(item) for item in value)


def _read_binary(value: object) -> object:
    assert isinstance(value, str)
    return b64decode(value, validate=True)


def _read_map(value: object) -> object:
    assert isinstance(value, list)
    keys, values = zip(*value, strict=True) if value else ((), ())
    return make_map([from_json(key) for key in keys], [from_json(item) for item in values])


def _read_improper(value: object) -> object:
    assert isinstance(value, list)
    *items, tail = [from_json(item) for item in value]
    return ImproperList(items, tail)


def _read_etf(value: object) -> object:
    assert isinstance(value, str)
    return decode(b64decode(value, validate=True))


_MARKED: dict[str, Callable[[object], object]] = {
    "$atom": _read_atom,
    "$tuple": _read_tuple,
    "$binary": _read_binary,
    "$map": _read_map,
    "$improper": _read_improper,
    "$etf": _read_etf,
}

# --- Elixir ---------------------------------------------------------------------------------------

_MODULE = re.compile(r"Elixir((?:\.[A-Z][0-9A-Za-z_]*)+)\Z")
_PLAIN = re.compile(r"[^\W\d][\w@]*[?!]?\Z")
_WORDS = frozenset({"nil", "true", "false", "Elixir"})
_CHARACTERS = frozenset([*range(7, 14), 27, *range(32, 127)])  # Elixir's inspect: a charlist
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f"}
_ESCAPES |= {"\r": "\\r", "\x1b": "\\e", '"': '\\"', "\\": "\\\\"}


def format_elixir(term: object) -> str:
    """A term as Elixir's `inspect` writes it, as far as an Elixir program would read it.

    Args:
        term: any term.
    Returns:
        The text, on one line. What Elixir has no literal for is in Erlang's notation.
    """
    if term is None or isinstance(term, bool):
        return "nil" if term is None else str(term).lower()
    if isinstance(term, Atom):
        return _elixir_atom(term)
    if isinstance(term, bytes):
        text = _utf8(term)
        if text is None or not all(c.isprintable() or c in _ESCAPES for c in text):
            return f"<<{', '.join(map(str, term))}>>"
        return _quoted(text)
    if isinstance(term, tuple):
        return f"{{{', '.join(map(format_elixir, term))}}}"
    if isinstance(term, (list, FrozenList)):
        if len(term) and all(type(item) is int and item in _CHARACTERS for item in term):
            return f"~c{_quoted(''.join(map(chr, term)))}"
        if len(term) and all(_is_keyword(item) for item in term):
            return f"[{_keywords(term)}]"
        return f"[{', '.join(map(format_elixir, term))}]"
    if isinstance(term, ImproperList):
        return f"[{', '.join(map(format_elixir, term.items))} | {format_elixir(term.tail)}]"
    if isinstance(term, (dict, Map)):
        return _elixir_map(term)
    if isinstance(term, BitString):
        last = f"{term.data[-1] >> (8 - term.bits)}::size({term.bits})"
        return f"<<{', '.join([*map(str, term.data[:-1]), last])}>>"
    text = format_term(term)
    return f"#PID{text}" if isinstance(term, Pid) else text


def _elixir_atom(atom: str) -> str:
    module = _MODULE.match(atom)
    if module:
        return module[1][1:]
    if atom in _WORDS:
        return atom
    return f":{atom}" if _PLAIN.match(atom) else f":{_quoted(atom)}"


def _quoted(text: str) -> str:
    escaped = "".join(_ESCAPES.get(char, char) for char in text).replace("#{", "\\#{")
    return f'"{escaped}"'


def _is_keyword(item: object) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and _is_name(item[0])


def _is_name(key: object) -> bool:
    if isinstance(key, Atom):
        return not _MODULE.match(key) and key != "Elixir"
    return key is None or isinstance(key, bool)


def _keywords(pairs: Iterable[Any]) -> str:
    # After its colon a name is what it is before it as an atom.
    return ", ".join(
        f"{format_elixir(key).removeprefix(':')}: {format_elixir(value)}" for key, value in pairs
    )


def _elixir_map(term: dict[object, object] | Map) -> str:
    pairs = list(term.items())
    struct = [value for key, value in pairs if key == "__struct__" and isinstance(value, Atom)]
    name = format_elixir(struct[0]) if struct else ""
    if struct:
        pairs = [pair for pair in pairs if pair[0] != "__struct__"]
    if all(_is_name(key) for key, _value in pairs):
        return f"%{name}{{{_keywords(sorted(pairs, key=lambda pair: format_elixir(pair[0])))}}}"
    items = (f"{format_elixir(key)} => {format_elixir(value)}" for key, value in pairs)
    return f"%{name}{{{', '.join(items)}}}"
