"""Reading and writing JSON text, with integers of any length and any depth of nesting.

The standard library's module recurses, and accepts integers of at most 4,300 digits.

Source: RFC 8259.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from uds_dist.errors import ParseError
from uds_dist.etf.digits import read_integer, write_integer
from uds_dist.etf.shown import printable
from uds_dist.etf.text import Opened, assemble

# Compiled at the first use.
_TOKEN = r"""
    [ \t\n\r]*
    (?: (?P<string> "[^"\\]*(?:\\.[^"\\]*)*" )
      | (?P<float> -?(?:0|[1-9]\d*) (?: \.\d+(?:[eE][+-]?\d+)? | [eE][+-]?\d+ ) )
      | (?P<int> -?(?:0|[1-9]\d*) )
      | (?P<word> \w+ )
      | (?P<sign> [][{}:,] )
      | (?P<end> \Z )
    )
    """
_WORDS = {"true": True, "false": False, "null": None}


class _Token(NamedTuple):
    kind: str  # a group of _TOKEN; a sign is its own kind; numbers and words are "value"
    value: object
    text: str
    at: int


class _Open:
    """An array or object that is being read."""

    __slots__ = ("is_object", "items", "members", "key")

    def __init__(self, is_object: bool) -> None:
        self.is_object = is_object
        self.items: list[object] = []
        self.members: dict[str, object] = {}
        self.key = ""


def read_json(text: str) -> object:
    """The value of a JSON text.

    Args:
        text: one value and white space.
    Returns:
        A value of dicts, lists, strings, numbers, booleans and None.
    Raises:
        ParseError: the text is not JSON, an object has a key twice, a string holds half a
            surrogate pair, or a number is too large for a float.
    """
    tokens = _tokens(text)
    stack: list[_Open] = []
    token = next(tokens)
    while True:
        if token.kind in ("[", "{"):
            opened = _Open(token.kind == "{")
            token = next(tokens)
            if token.kind != ("}" if opened.is_object else "]"):
                if opened.is_object:
                    token = _key(opened, token, tokens)
                stack.append(opened)
                continue
            value: object = {} if opened.is_object else []
        elif token.kind in ("value", "string"):
            value = token.value
        else:
            raise _unexpected("a value", token)
        token = next(tokens)
        while stack:
            top = stack[-1]
            if top.is_object:
                top.members[top.key] = value
            else:
                top.items.append(value)
            if token.kind == ",":
                token = next(tokens)
                if top.is_object:
                    token = _key(top, token, tokens)
                break
            end = "}" if top.is_object else "]"
            if token.kind != end:
                raise _unexpected(f"a comma or {end}", token)
            stack.pop()
            value = top.members if top.is_object else top.items
            token = next(tokens)
        else:
            if token.kind != "end":
                raise _unexpected("the end of the text", token)
            return value


def _key(opened: _Open, token: _Token, tokens: Iterator[_Token]) -> _Token:
    """Read the key of an object's member; returns the token after the colon."""
    if token.kind != "string":
        raise _unexpected("a key in double quotes", token)
    opened.key = str(token.value)
    if opened.key in opened.members:
        raise ParseError(f"not JSON: the key {printable(token.text, 40)} occurs twice", token.at)
    colon = next(tokens)
    if colon.kind != ":":
        raise _unexpected("a colon", colon)
    return next(tokens)


def _tokens(text: str) -> Iterator[_Token]:
    token_at = re.compile(_TOKEN, re.VERBOSE | re.DOTALL | re.ASCII).match
    at = 0
    while True:
        match = token_at(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip(" \t\n\r"))
            found = printable(text[start : start + 20])
            raise ParseError(f"not JSON: unexpected {found}", start)
        kind = match.lastgroup or ""
        found, start, at = match[kind], match.start(kind), match.end()
        if kind == "string":
            yield _Token(kind, _string(found, start), found, start)
        elif kind == "sign" or kind == "end":
            yield _Token(found or kind, None, found or "the end of the text", start)
        else:
            yield _Token("value", _value(kind, found, start), found, start)


def _string(text: str, at: int) -> str:
    try:
        value: str = json.loads(text)
        value.encode()
    except json.JSONDecodeError as error:
        raise ParseError(f"not JSON: {error.msg} in {printable(text, 40)}", at) from None
    except UnicodeEncodeError:
        raise ParseError(
            f"{printable(text, 40)} holds half a surrogate pair, which is not a character", at
        ) from None
    return value


def _value(kind: str, text: str, at: int) -> object:
    if kind == "int":
        return -read_integer(text[1:]) if text[0] == "-" else read_integer(text)
    if kind == "float":
        number = float(text)
        if number - number != 0.0:
            raise ParseError(f"{printable(text, 40)} is too large for a float", at)
        return number
    if text in _WORDS:
        return _WORDS[text]
    if text in ("NaN", "Infinity"):
        raise ParseError(f"{text} is not a number in Erlang or in JSON", at)
    raise ParseError(
        f"not JSON: unexpected {printable(text, 40)} (put a string in double quotes)",
        at,
    )


def _unexpected(what: str, token: _Token) -> ParseError:
    found = printable(token.text, 40)
    return ParseError(f"not JSON: expected {what}, found {found}", token.at)


def write_json(value: object, ascii_only: bool = False) -> str:
    """The JSON text of a value, on one line.

    Args:
        value: dicts, lists, strings, numbers, booleans and None.
        ascii_only: whether to escape all other characters.
    Returns:
        The text.
    """

    def open_(part: object) -> Opened | None:
        if isinstance(part, list):
            return "[", ((", " if i else "", item) for i, item in enumerate(part)), "]"
        if isinstance(part, dict):
            return "{", members(part), "}"
        return None

    def members(part: dict[str, object]) -> Iterator[tuple[str, object]]:
        for i, (key, item) in enumerate(part.items()):
            yield f"{', ' if i else ''}{leaf(key)}: ", item

    def leaf(part: object) -> str:
        if isinstance(part, int) and not isinstance(part, bool):
            return write_integer(part)
        return json.dumps(part, ensure_ascii=ascii_only)

    return assemble(value, open_, leaf)
