"""Erlang's text to terms.

``parse_term`` reads a constant term, like ``erl_parse:parse_term``. Open containers are on a
separate stack, since a term may be nested deeper than Python's frames. The time is proportional to
the length of the text.

Source: Erlang Reference Manual, "Data Types" and "Bit Syntax Expressions".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uds_dist.config import Config
from uds_dist.errors import EncodeError, ParseError
from uds_dist.etf.maps import make_map
from uds_dist.etf.scan import Token, scan
from uds_dist.etf.segments import MAX_BITS, Bits, add_segment, segment_kind
from uds_dist.etf.shown import printable
from uds_dist.etf.terms import Atom, Export, ImproperList, Map, exact_key

MAX_DEPTH = Config().max_term_depth

_CLOSE = {"{": "}", "[": "]", "#": "}", "(": ")", "<<": ">>"}
_NUMBERS = ("int", "float", "char")
_VALUES: dict[object, object] = {"true": True, "false": False, "nil": None}
# How a value was written: some containers accept it only in one form.
NUMBER, STRING, OTHER = "number", "string", "other"


class _Open:
    """A container, binary or parenthesis that is being read."""

    __slots__ = ("kind", "at", "items", "closers", "in_tail", "sign", "bits", "written", "value_at")

    def __init__(self, token: Token, sign: str) -> None:
        self.kind = token.kind
        self.at = token.at
        self.items: list[object] = []  # in a map: each key, then its value
        # The closing tokens that must follow, innermost last. A list whose tail is written as a
        # list has several, and `items` has all of its elements: [a|[b|[c]]].
        self.closers = [_CLOSE[token.kind]]
        self.in_tail = False  # in a list: the next value, or the last one, is its tail
        self.sign = sign  # in a parenthesis: the sign before it
        self.bits = Bits() if token.kind == "<<" else None
        self.written = OTHER  # in a parenthesis: how its value was written
        self.value_at = token.at  # where the last value begins


def parse_term(text: str) -> object:
    """Read one term from Erlang's text.

    Args:
        text: a constant term, with or without a dot after it:
            ``{ok, [1, 16#FF, $a], #{"k" => <<1:4>>}}``.
    Returns:
        The term, as from ``decode``: a string is a list of integers. If a map has a key twice, the
        last value counts.
    Raises:
        ParseError: the text is not a constant term, is nested too deep, or has binaries of more
            than 64 MiB; ``offset`` is the position of the fault.

    Source: Erlang Reference Manual, "Data Types".
    """
    return _Parser(text).parse()


class _Parser:
    """The state of one `parse_term`."""

    __slots__ = ("_tokens", "_token", "_stack", "_depth", "_bits")

    def __init__(self, text: str) -> None:
        self._tokens: Iterator[Token] = scan(text)
        self._token = next(self._tokens)
        self._stack: list[_Open] = []
        self._depth = 0  # of containers
        self._bits = 0  # of all segments so far

    def parse(self) -> object:
        while True:
            begun = self._begin()
            if begun is None:
                continue
            value, written = begun
            while self._stack:
                finished = self._place(value, written)
                if finished is None:
                    break
                value, written = finished
            else:
                if self._token.kind == "dot":
                    self._next()
                self._expect("end")
                return value

    def _next(self) -> Token:
        self._token = next(self._tokens)
        return self._token

    def _expect(self, kind: str) -> None:
        token = self._token
        if token.kind != kind:
            raise _expected("the end of the text" if kind == "end" else kind, token)

    def _begin(self) -> tuple[object, str] | None:
        """Read a leaf, or the beginning of a container; None for the latter."""
        if self._stack:
            self._stack[-1].value_at = self._token.at
        sign = ""
        if self._token.kind in ("-", "+"):
            sign = self._token.kind
            token = self._next()
            if token.kind not in _NUMBERS and token.kind != "(":
                raise _unexpected(token)
        token = self._token
        if token.kind not in _CLOSE:
            return self._simple(sign)
        opened = _Open(token, sign)
        self._next()
        if token.kind == "#":
            if self._token.kind != "{":
                raise _unexpected(token)
            self._next()
        if token.kind not in ("(", "<<"):
            if self._depth >= MAX_DEPTH:
                raise ParseError(f"terms are nested deeper than {MAX_DEPTH}", token.at)
            self._depth += 1
        self._stack.append(opened)
        if self._token.kind == opened.closers[0] and token.kind != "(":
            return self._close(opened)
        return None

    def _place(self, value: object, written: str) -> tuple[object, str] | None:
        """Put a value into its container; return the container's value if that completes it."""
        top = self._stack[-1]
        if top.bits is not None:
            self._segment(top.bits, value, written, top.value_at)
        elif top.kind == "(":
            top.written = written
            top.items.append(value)
        else:
            top.items.append(value)
        if top.kind == "#" and len(top.items) % 2:
            self._expect("=>")
        elif self._token.kind == "," and top.kind != "(" and not top.in_tail:
            pass
        elif self._token.kind == "|" and top.kind == "[" and not top.in_tail:
            return self._tail(top)
        else:
            return self._close(top)
        self._next()
        return None

    def _tail(self, top: _Open) -> tuple[object, str] | None:
        """Continue after a list's bar; return the list if it ends at once."""
        top.in_tail = True
        self._next()
        while self._token.kind == "(":
            top.closers.append(")")
            self._next()
        if self._token.kind == "[":
            top.closers.append("]")
            top.in_tail = False
            if self._next().kind == "]":
                return self._close(top)
        return None

    def _close(self, top: _Open) -> tuple[object, str]:
        for closer in reversed(top.closers):
            self._expect(closer)
            self._next()
        self._stack.pop()
        if top.bits is not None:
            return top.bits.value(), OTHER
        if top.kind == "(":
            (value,) = top.items
            if not top.sign:
                return value, top.written
            if top.written != NUMBER:
                raise ParseError("only a number can have a sign", top.at)
            return _signed(top.sign, value), OTHER
        self._depth -= 1
        return _container(top), OTHER

    def _simple(self, sign: str) -> tuple[object, str]:
        """The value of a leaf."""
        token = self._token
        kind = token.kind
        if kind in _NUMBERS:
            self._next()
            return (_signed(sign, token.value), OTHER) if sign else (token.value, NUMBER)
        if kind == "string":
            parts = []
            while self._token.kind == "string":  # adjacent strings are one
                parts.append(str(self._token.value))
                self._next()
            return list(map(ord, "".join(parts))), STRING
        if kind == "atom":
            atom = self._atom()
            return _VALUES.get(atom, atom), OTHER
        if kind == "word" and token.text == "fun":
            return self._export(), OTHER
        if kind == "sigil" or kind == "binary":
            self._next()
            value = token.value
            return (list(map(ord, value)), STRING) if isinstance(value, str) else (value, OTHER)
        raise _unexpected(token)

    def _atom(self) -> Atom:
        token = self._token
        if token.kind != "atom":
            raise _expected("an atom", token)
        self._next()
        try:
            return Atom(str(token.value))
        except EncodeError as error:
            raise ParseError(str(error), token.at) from None

    def _integer(self) -> int:
        token = self._token
        if token.kind != "int" or not isinstance(token.value, int):
            raise _expected("an integer", token)
        self._next()
        return token.value

    def _export(self) -> Export:
        self._next()
        module = self._atom()
        self._expect(":")
        self._next()
        function = self._atom()
        self._expect("/")
        at = self._next().at
        try:
            return Export(module, function, self._integer())
        except EncodeError as error:
            raise ParseError(str(error), at) from None

    # -- segments of binaries --------------------------------------------------------------

    def _segment(self, bits: Bits, value: object, written: str, at: int) -> None:
        """Read what follows a segment's value and append the segment."""
        size = None
        if self._token.kind == ":":
            self._next()
            size = self._size()
        words: list[tuple[str, int | None]] = []
        while self._token.kind == ("-" if words else "/"):
            self._next()
            word, number = str(self._atom()), None
            if self._token.kind == ":":
                self._next()
                number = self._integer()
            words.append((word, number))
        kind = segment_kind(size, words, at)
        self._bits += add_segment(bits, value, written == STRING, kind, at, MAX_BITS - self._bits)

    def _size(self) -> int:
        """A segment's size: a number, in parentheses possibly with a sign."""
        at = self._token.at
        parentheses, sign = 0, ""
        while self._token.kind == "(" or (
            self._token.kind in ("+", "-") and parentheses and not sign
        ):
            if self._token.kind == "(":
                parentheses += 1
            else:
                sign = self._token.kind
            self._next()
        size = self._token.value
        if self._token.kind not in ("int", "char") or not isinstance(size, int):
            raise _expected("a size", self._token)
        self._next()
        for _ in range(parentheses):
            self._expect(")")
            self._next()
        if sign == "-" and size:
            raise ParseError("a size cannot be negative", at)
        return size


def _signed(sign: str, value: object) -> object:
    assert isinstance(value, (int, float))
    return -value if sign == "-" else value


def _container(opened: _Open) -> object:
    """The value of a closed list, tuple or map."""
    items = opened.items
    if opened.kind == "{":
        return tuple(items)
    if opened.kind == "#":
        return _map(items[::2], items[1::2])
    if not opened.in_tail:
        return items
    tail = items.pop()
    if isinstance(tail, list):  # a string
        return items + tail
    return ImproperList(items, tail)


def _map(keys: list[object], values: list[object]) -> dict[Any, object] | Map:
    try:
        return make_map(keys, values)
    except EncodeError:  # a key occurs twice
        last = {exact_key(key): (key, value) for key, value in zip(keys, values)}
        return make_map(*map(list, zip(*last.values())))


def _expected(what: str, token: Token) -> ParseError:
    return ParseError(f"expected {what}, found {printable(token.text, 40)}", token.at)


def _unexpected(token: Token) -> ParseError:
    """The error for a token where a term was expected."""
    name = printable(token.text, 40)
    if token.kind == "variable":
        hint = "is a variable: put an atom in single quotes"
    elif token.kind == "word":
        hint = "is a reserved word: put an atom in single quotes"
    elif token.kind in ("<", "#"):
        return ParseError("cannot read pids, ports, references, funs or records", token.at)
    else:
        return _expected("a term", token)
    return ParseError(f"{name} {hint}", token.at)
