"""Terms in a plain form of Elixir's notation, for the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from uds_dist.etf.digits import write_integer
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

# The re module compiles and caches the patterns at their first use.
_MODULE = r"Elixir((?:\.[A-Z][0-9A-Za-z_]*)+)"
_PLAIN = r"[^\W\d][\w@]*[?!]?"
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
        return _elixir_binary(term)
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
    module = re.fullmatch(_MODULE, atom)
    if module:
        return module[1][1:]
    if atom in ("nil", "true", "false", "Elixir"):
        return str(atom)
    return f":{atom}" if re.fullmatch(_PLAIN, atom) or atom in _OPERATORS else f":{_quoted(atom)}"


def _elixir_binary(data: bytes) -> str:
    try:
        text = data.decode()
        if re.fullmatch(_PRINTABLE, text):
            return _quoted(text)
    except UnicodeDecodeError:
        pass
    return f"<<{', '.join(map(str, data))}>>"


def _elixir_float(number: float) -> str:
    sign, plain, scientific = float_texts(number)
    is_plain = abs(number) < 2**53 and (abs(number) >= 1 or len(plain) <= len(scientific))
    return sign + (plain if is_plain else scientific)


def _quoted(text: str) -> str:
    escaped = "".join([_ESCAPES.get(char, char) for char in text]).replace("#{", "\\#{")
    return '"' + re.sub(f"[{_HIDDEN}]", lambda hidden: f"\\u{ord(hidden[0]):04X}", escaped) + '"'
