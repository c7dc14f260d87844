"""Terms to the text that Erlang prints, in time proportional to its length.

``format_term`` writes the same text as ``io:format("~0ktp", [Term])``, on one line. As on a node
without special flags, a list prints as a string if its characters are Latin-1, and a binary if it
is valid UTF-8 in any script. ``parse_term`` is in ``parse``.

Source: stdlib, io(3); Erlang Reference Manual, "Term Comparisons".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from math import copysign
from typing import Any

from uds_dist.errors import EncodeError
from uds_dist.etf.digits import write_integer
from uds_dist.etf.parse import parse_term
from uds_dist.etf.scan import LETTERS, RESERVED_WORDS
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
)

__all__ = ["format_term", "parse_term"]

MAX_FORMAT_DEPTH = 80_000  # not to save memory, but to end a term that contains itself

_Order = tuple[object, ...]
Orders = dict[int, _Order]  # the orders of containers, by identity
# The start of a container's text, its parts with the text before each, and its end.
Opened = tuple[str, Iterator[tuple[str, object]], str]

# The re module compiles and caches these patterns at their first use: at import they cost 8 ms.
_PLAIN_ATOM = "[a-zß-öø-ÿ][0-9A-Za-z_@ß-öø-ÿÀ-ÖØ-Þ]*"
_ESCAPES = {char: letter for letter, char in LETTERS.items() if char != " "}
# Characters that are printable in Erlang; 127 is not.
_LATIN_1 = "[\b-\r\x1b -~\xa0-\xff]*"
_UNICODE = "[\b-\r\x1b -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*"


def format_term(term: object) -> str:
    """The text of a term as Erlang prints it on one line, with a map's keys in order.

    Args:
        term: any value that can be encoded.
    Returns:
        The text. Pids, ports and references include the name of their node. `parse_term` cannot
        read pids, ports, references, funs and records.
    Raises:
        EncodeError: the value, or one inside it, has no Erlang term.

    Source: stdlib, io(3), control sequences ``~p``, ``~t`` and ``~k``.
    """
    orders: Orders = {}
    return assemble(term, lambda part: _open(part, orders), _leaf)


def assemble(
    term: object, open_: Callable[[object], Opened | None], leaf: Callable[[object], str]
) -> str:
    """The text of a nested value, made with a stack: values nest deeper than Python's frames.

    Args:
        term: the value.
        open_: returns the start of a container's text, its parts, each with the text before it,
            and the end; None for a leaf.
        leaf: returns the text of a leaf.
    Returns:
        The text.
    Raises:
        EncodeError: the value contains itself.
    """
    out: list[str] = []
    # The innermost open container: its parts, each with the text before it, and its end.
    parts: Iterator[tuple[str, object]] = iter((("", term),))
    end = ""
    stack: list[tuple[Iterator[tuple[str, object]], str]] = []
    while True:
        for before, part in parts:
            opened = open_(part)
            if opened is None:
                out.append(before + leaf(part))
                continue
            if len(stack) >= MAX_FORMAT_DEPTH:
                raise EncodeError(
                    f"terms are nested deeper than {MAX_FORMAT_DEPTH}, or contain themselves"
                )
            stack.append((parts, end))
            start, parts, end = opened
            out.append(before + start)
            break
        else:
            out.append(end)
            if not stack:
                return "".join(out)
            parts, end = stack.pop()


def _open(term: object, orders: Orders) -> Opened | None:
    """A container's start, parts and end; None for other terms."""
    if isinstance(term, tuple):
        return "{", _with_commas(term), "}"
    if isinstance(term, (list, FrozenList)):
        text = _string(term)
        return ("[", _with_commas(term), "]") if text is None else (text, iter(()), "")
    if isinstance(term, (dict, Map)):
        return "#{", _pairs(term, orders), "}"
    if isinstance(term, ImproperList):
        return "[", chain(_with_commas(term.items), (("|", term.tail),)), "]"
    if isinstance(term, Record):
        start = f"#{_atom(term.module)}:{_atom(term.name)}{{"
        fields = enumerate(term.fields)
        parts = [(f"{',' if i else ''}{_atom(name)} = ", value) for i, (name, value) in fields]
        return start, iter(parts), "}"
    return None


def _with_commas(parts: Iterable[object]) -> Iterator[tuple[str, object]]:
    return zip(chain(("",), repeat(",")), parts)


def _pairs(term: dict[Any, Any] | Map, orders: Orders) -> Iterator[tuple[str, object]]:
    for i, (key, value) in enumerate(ordered_pairs(term, orders)):
        yield "," if i else "", key
        yield " => ", value


def ordered_pairs(term: dict[Any, Any] | Map, orders: Orders) -> list[tuple[object, object]]:
    """The keys and values of a map in the order of the keys.

    Args:
        term: the map.
        orders: the known orders of containers in the same term; this function adds to it.
    """
    pairs = list(term.items())
    if len(pairs) > 1:
        try:
            pairs.sort(key=lambda pair: _order(pair[0], orders))
        except RecursionError:
            pass  # keys too deep to compare stay in their order on the wire
    return pairs


def _leaf(term: object) -> str:
    if isinstance(term, bool) or term is None:
        return "nil" if term is None else "true" if term else "false"
    if isinstance(term, Atom):
        return _atom(term)
    if isinstance(term, str):
        return _binary(_utf8(term))
    if isinstance(term, int):
        return write_integer(int(term))
    if isinstance(term, float):
        return _float(term)
    if isinstance(term, (bytes, bytearray, memoryview)):
        return _binary(bytes(term))
    if isinstance(term, BitString):
        last = f"{term.data[-1] >> (8 - term.bits)}:{term.bits}"
        return f"<<{','.join([*map(str, term.data[:-1]), last])}>>"
    if isinstance(term, Export):
        return f"fun {_atom(term.module)}:{_atom(term.function)}/{term.arity}"
    if isinstance(term, (Pid, Port, Reference, Fun)):
        return str(term)
    if isinstance(term, LocalTerm):
        return f"#Local<{len(term.data)}>"
    raise EncodeError(f"{type(term).__name__} has no Erlang term")


def _string(items: list[Any] | FrozenList) -> str | None:
    """The text of a list that prints as a string or as []; None for any other list."""
    if not items:
        return "[]"
    try:
        text = bytes(list(items)).decode("latin-1")  # type: ignore[arg-type]  # tried, not known
    except (TypeError, ValueError):
        return None
    return _quoted(text, '"') if re.fullmatch(_LATIN_1, text) else None


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError(f"{text[:40]!r} holds half a surrogate pair") from None


def _atom(atom: str) -> str:
    if re.fullmatch(_PLAIN_ATOM, atom) and atom not in RESERVED_WORDS:
        return str(atom)
    return _quoted(atom, "'")


def _quoted(text: str, quote: str) -> str:
    def escaped(char: str) -> str:
        if char == quote or char == "\\":
            return "\\" + char
        if char in _ESCAPES:
            return "\\" + _ESCAPES[char]
        return f"\\{ord(char):03o}" if char < " " or "\x7f" <= char < "\xa0" else char

    return quote + "".join(map(escaped, text)) + quote


def _binary(data: bytes) -> str:
    if not data:
        return "<<>>"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and re.fullmatch(_UNICODE, text):
        return "<<" + _quoted(text, '"') + (">>" if text.isascii() else "/utf8>>")
    text = data.decode("latin-1")
    if re.fullmatch(_LATIN_1, text):
        return "<<" + _quoted(text, '"') + ">>"
    return f"<<{','.join(map(str, data))}>>"


def _float(number: float) -> str:
    """A float's shortest digits, in the same form as Erlang's."""
    sign, plain, scientific = float_texts(number)
    # From 2**53 on floats skip integers: writing all digits would claim too much precision.
    return sign + (plain if abs(number) < 2**53 and len(plain) <= len(scientific) else scientific)


def float_texts(number: float) -> tuple[str, str, str]:
    """A float's sign, and its shortest digits without and with an exponent.

    Raises:
        EncodeError: it is infinite or not a number.
    """
    if number - number != 0.0:
        raise EncodeError(f"{number} is not an Erlang float: send an atom instead")
    sign = "-" if copysign(1.0, number) < 0 else ""
    if number == 0.0:
        return sign, "0.0", "0.0"
    mantissa, _e, exponent = repr(abs(float(number))).partition("e")
    whole, _dot, fraction = mantissa.partition(".")
    digits = whole + fraction
    place = len(whole) + int(exponent or "0")
    place -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    n = len(digits)
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{place - 1}"
    if 0 < place < n:
        return sign, f"{digits[:place]}.{digits[place:]}", scientific
    plain = "0." + "0" * -place + digits if place <= 0 else digits + "0" * (place - n) + ".0"
    return sign, plain, scientific


# --- the order of terms ---------------------------------------------------------------------------

_EMPTY_LIST = (10,)
_CONTAINERS = (tuple, list, FrozenList, ImproperList, dict, Map, Record, Fun)


def _order(term: object, known: Orders) -> _Order:
    """A sort key that orders terms like the keys of an Erlang map: integers precede floats.

    Args:
        term: a term.
        known: the sort keys of containers seen before, by identity; this function adds to it, so
            nested keys are walked only once, with a stack instead of recursion.

    Source: Erlang Reference Manual, "Term Comparisons".
    """
    if not isinstance(term, _CONTAINERS):
        return _leaf_order(term)
    stack = [term]
    while stack:
        top = stack[-1]
        if id(top) in known:
            stack.pop()
            continue
        unknown = [
            part for part in _parts(top) if isinstance(part, _CONTAINERS) and id(part) not in known
        ]
        if unknown:
            stack.extend(unknown)
        else:
            known[id(top)] = _container_order(top, known)
    return known[id(term)]


def _parts(term: object) -> Sequence[object]:
    if isinstance(term, (tuple, list)):
        return term
    if isinstance(term, FrozenList):
        return term.items
    if isinstance(term, ImproperList):
        return (*term.items, term.tail)
    if isinstance(term, (dict, Map)):
        return [part for pair in term.items() for part in pair]
    if isinstance(term, Record):
        return [value for _name, value in term.fields]
    assert isinstance(term, Fun)
    return term.free


def _container_order(term: object, known: Orders) -> _Order:
    """The sort key of a container whose parts' sort keys are all known."""
    orders = [
        known[id(part)] if isinstance(part, _CONTAINERS) else _leaf_order(part)
        for part in _parts(term)
    ]
    if isinstance(term, tuple):
        return 7, len(orders), tuple(orders)
    if isinstance(term, Record):
        return 8, str(term.module), str(term.name), tuple(orders)
    if isinstance(term, (dict, Map)):
        pairs = sorted(zip(orders[::2], orders[1::2]))
        return 9, len(pairs), [key for key, _value in pairs], [value for _key, value in pairs]
    if isinstance(term, ImproperList):
        # Cell by cell, so that a list precedes a longer one with the same start.
        return 11, (*[(11, order) for order in orders[:-1]], orders[-1])
    if isinstance(term, Fun):
        return 4, 0, str(term.module), term.index, term.old_uniq, tuple(orders)
    return (11, (*[(11, order) for order in orders], _EMPTY_LIST)) if orders else _EMPTY_LIST


def _leaf_order(term: object) -> _Order:
    if isinstance(term, Atom):
        return 2, str(term)
    if isinstance(term, bool) or term is None:
        return 2, _leaf(term)
    if isinstance(term, int):
        return 0, int(term)
    if isinstance(term, float):
        return 1, term, copysign(1.0, term)
    if isinstance(term, Reference):
        return 3, str(term.node), term.creation, len(term.ids), term.ids[::-1]
    if isinstance(term, Export):
        return 4, 1, str(term.module), str(term.function), term.arity
    if isinstance(term, Port):
        return 5, term.id, str(term.node), term.creation
    if isinstance(term, Pid):
        return 6, term.serial, term.id, str(term.node), term.creation
    if isinstance(term, BitString):
        return 12, term.data, term.bits
    if isinstance(term, (bytes, bytearray, memoryview)):
        return 12, bytes(term), 8
    if isinstance(term, str):
        return 12, _utf8(term), 8
    return 13, repr(term)
