"""Terms in JSON and in Elixir's notation, for the command line.

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

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from uds_dist.errors import ParseError, TermError
from uds_dist.etf.decode import decode
from uds_dist.etf.digits import write_integer
from uds_dist.etf.encode import encode
from uds_dist.etf.maps import make_map
from uds_dist.etf.parse import MAX_DEPTH
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    FrozenList,
    ImproperList,
    Map,
    Pid,
    Reference,
)
from uds_dist.etf.text import Opened, Orders, assemble, float_texts, format_term, ordered_pairs

# --- JSON -----------------------------------------------------------------------------------------


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

# --- Elixir ---------------------------------------------------------------------------------------

_MODULE = re.compile(r"Elixir((?:\.[A-Z][0-9A-Za-z_]*)+)\Z")
_PLAIN = re.compile(r"[^\W\d][\w@]*[?!]?\Z")
_OPERATORS = frozenset(
    "+ - * / ** ++ -- +++ --- . .. ... ..// ! @ <> <<>> {} %{} % & && &&& | || ||| ^ == === != !=="
    " =~ < > <= >= = ~> |> <<< >>> <~> <~ ~>> <<~ -> <- \\\\".split()
)
_CHARACTERS = frozenset([*range(7, 14), 27, *range(32, 127)])  # a list of these is a charlist
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f"}
_ESCAPES |= {"\r": "\\r", "\x1b": "\\e", "\x7f": "\\d", '"': '\\"', "\\": "\\\\"}
# Characters that are invisible or change the direction of the text around them.
_HIDDEN = (
    "\u00a0\u034f\u061c\u2000-\u200f\u2028-\u202e\u205f-\u2064\u2066-\u2069\ufeff\ufff9-\ufffc"
)
_PRINTABLE = "[\a-\r\x1b -\x7f\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*"


def format_elixir(term: object) -> str:
    """A term in a plain form of Elixir's notation, for a node without Elixir.

    Numbers, strings, atoms, lists and maps look like the output of `inspect`, without its limits of
    length. A struct is ``%Name{field: value}`` with every field, in the order of terms. A term
    without a literal in Elixir is in Erlang's notation.

    Args:
        term: any term.
    Returns:
        The text, on one line.
    """
    orders: Orders = {}
    return assemble(term, lambda part: _open_elixir(part, orders), _elixir_leaf)


def _open_elixir(term: object, orders: Orders) -> Opened | None:
    """The start of a container, its parts with the text before each, and its end."""
    if isinstance(term, tuple):
        return "{", _with_commas(term), "}"
    if isinstance(term, (list, FrozenList)):
        if len(term) and all([type(item) is int and item in _CHARACTERS for item in term]):
            return None
        if len(term) and all([_is_keyword(item) for item in term]):
            return "[", _keywords(term), "]"
        return "[", _with_commas(term), "]"
    if isinstance(term, ImproperList):
        return "[", iter([*_with_commas(term.items), (" | ", term.tail)]), "]"
    if isinstance(term, (dict, Map)):
        pairs = ordered_pairs(term, orders)
        struct = [value for key, value in pairs if _is_struct(key) and isinstance(value, Atom)]
        if struct:
            pairs = [pair for pair in pairs if not _is_struct(pair[0])]
        start = f"%{_elixir_atom(struct[0]) if struct else ''}{{"
        if all([_is_name(key) for key, _value in pairs]):
            return start, _keywords(pairs), "}"
        return start, _arrows(pairs), "}"
    return None


def _with_commas(items: Iterable[object]) -> Iterator[tuple[str, object]]:
    return ((", " if i else "", item) for i, item in enumerate(items))


def _keywords(pairs: Iterable[Any]) -> Iterator[tuple[str, object]]:
    # A keyword is written like the atom, with the colon at its end.
    for i, (key, value) in enumerate(pairs):
        yield f"{', ' if i else ''}{_elixir_leaf(key).removeprefix(':')}: ", value


def _arrows(pairs: Iterable[tuple[object, object]]) -> Iterator[tuple[str, object]]:
    for i, (key, value) in enumerate(pairs):
        yield ", " if i else "", key
        yield " => ", value


def _is_struct(key: object) -> bool:
    return isinstance(key, Atom) and key == "__struct__"


def _is_keyword(item: object) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and _is_name(item[0])


def _is_name(key: object) -> bool:
    if isinstance(key, Atom):
        return key != "Elixir" and not key.startswith("Elixir.")
    return key is None or isinstance(key, bool)


def _elixir_leaf(term: object) -> str:
    if term is None or isinstance(term, bool):
        return "nil" if term is None else str(term).lower()
    if isinstance(term, Atom):
        return _elixir_atom(term)
    if isinstance(term, int):
        return write_integer(int(term))
    if isinstance(term, float):
        return _elixir_float(term)
    if isinstance(term, bytes):
        text = _utf8(term)
        if text is None or not re.fullmatch(_PRINTABLE, text):
            return f"<<{', '.join(map(str, term))}>>"
        return _quoted(text)
    if isinstance(term, (list, FrozenList)):
        return "~c" + _quoted("".join(map(chr, term)))
    if isinstance(term, BitString):
        last = f"{term.data[-1] >> (8 - term.bits)}::size({term.bits})"
        return f"<<{', '.join([*map(str, term.data[:-1]), last])}>>"
    if isinstance(term, Export):
        function = _elixir_atom(term.function).removeprefix(":")
        return f"&{_elixir_atom(term.module)}.{function}/{term.arity}"
    text = format_term(term)
    if isinstance(term, Reference):
        return text.replace("#Ref<", "#Reference<", 1)
    return f"#PID{text}" if isinstance(term, Pid) else text


def _elixir_atom(atom: str) -> str:
    module = _MODULE.match(atom)
    if module:
        return module[1][1:]
    if atom in ("nil", "true", "false", "Elixir"):
        return str(atom)
    return f":{atom}" if _PLAIN.match(atom) or atom in _OPERATORS else f":{_quoted(atom)}"


def _elixir_float(number: float) -> str:
    sign, plain, scientific = float_texts(number)
    is_plain = abs(number) < 2**53 and (abs(number) >= 1 or len(plain) <= len(scientific))
    return sign + (plain if is_plain else scientific)


def _quoted(text: str) -> str:
    escaped = "".join([_ESCAPES.get(char, char) for char in text]).replace("#{", "\\#{")
    return '"' + re.sub(f"[{_HIDDEN}]", lambda hidden: f"\\u{ord(hidden[0]):04X}", escaped) + '"'
