"""The text that Erlang reads to terms.

``parse_term`` reads what ``erl_parse:parse_term`` does: a constant term. What is open is kept on a
stack of its own: a term may be nested deeper than Python's frames.

Source: Erlang Reference Manual, "Data Types" and "Bit Syntax Expressions".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, repeat
from struct import error as StructError
from struct import pack
from typing import Any, NamedTuple

from uds_dist.config import Config
from uds_dist.errors import EncodeError, ParseError
from uds_dist.etf.terms import Atom, BitString, Export, ImproperList, make_map

MAX_DEPTH = Config().max_term_depth
MAX_DIGITS = 4000  # Python refuses to convert much longer decimal numbers at once

RESERVED_WORDS = frozenset(
    "after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let "
    "maybe not of or orelse receive rem try when xor".split()
)
# What stands behind a backslash for which character.
LETTERS = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "b": "\b", "f": "\f"}
LETTERS |= {"e": "\x1b", "d": "\x7f", "s": " "}

# Compiled at the first use: at import it costs 2 ms.
_TOKEN = r"""
      (?P<space> (?: [\0-\x20\x80-\xa0] | %[^\n]* )+ )
    | (?P<based> \d[\d_]* \# [0-9A-Za-z_]+ )
    | (?P<float> \d+(?:_\d+)* \. \d+(?:_\d+)* (?: [eE][+-]?\d+ )? )
    | (?P<int> \d+(?:_\d+)* )
    | (?P<char> \$ (?: \\x\{[0-9A-Fa-f]+\} | \\x[0-9A-Fa-f]{2} | \\[0-7]{1,3}
                     | \\\^. | \\. | [^\\] ) )
    | (?P<sigil> ~[bs]? "(?: [^"\\] | \\. )*" )
    | (?P<verbatim> ~[BS] "[^"]*" )
    | (?P<string> "(?: [^"\\] | \\. )*" )
    | (?P<quoted> '(?: [^'\\] | \\. )*' )
    | (?P<atom> [a-zß-öø-ÿ][0-9A-Za-z_@ß-öø-ÿÀ-ÖØ-Þ]* )
    | (?P<variable> [A-Z_À-ÖØ-Þ][0-9A-Za-z_@ß-öø-ÿÀ-ÖØ-Þ]* )
    | (?P<sign> << | >> | => | \#\{ | [][{}(),:/|.+<\#-] )
    """
_ESCAPE = r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|([0-7]{1,3})|\^(.)|(.))"
_VALUES: dict[str, object] = {"true": True, "false": False, "nil": None}


class _Token(NamedTuple):
    kind: str  # the name of a group of _TOKEN; of a sign, the sign; behind the last, "end"
    text: str
    at: int


class _Open:
    """A container that is being read."""

    __slots__ = ("close", "items", "at", "is_map", "has_tail")

    def __init__(self, token: _Token) -> None:
        self.close = "]" if token.kind == "[" else "}"
        self.items: list[object] = []  # of a map: keys and values by turns
        self.at = token.at
        self.is_map = token.kind == "#{"
        self.has_tail = False  # of a list: what is read next, or was, is its tail


def parse_term(text: str) -> object:
    """Read one term from Erlang's text.

    Args:
        text: a constant term, a dot behind it or not: ``{ok, [1, 16#FF, $a], #{"k" => <<1:4>>}}``.
    Returns:
        The term, as ``decode`` would give it: a string is a list of integers.
    Raises:
        ParseError: the text is no such term, or nested too deep; ``offset`` is where.

    Source: Erlang Reference Manual, "Data Types".
    """
    tokens = _tokens(text)
    stack: list[_Open] = []
    token = next(tokens)
    while True:
        # A value is due; `token` is its first.
        if token.kind in ("{", "[", "#{"):
            if len(stack) >= MAX_DEPTH:
                raise ParseError(f"terms are nested deeper than {MAX_DEPTH}", token.at)
            opened = _Open(token)
            token = next(tokens)
            if token.kind != opened.close:
                stack.append(opened)
                continue
            value = _closed(opened)
            token = next(tokens)
        else:
            value, token = _value(token, tokens)
        # A value was read; `token` is the one behind it.
        while stack:
            top = stack[-1]
            top.items.append(value)
            if top.is_map and len(top.items) % 2:
                _expect(token, "=>")
                break
            if token.kind == "," and not top.has_tail:
                break
            if token.kind == "|" and top.close == "]" and not top.has_tail:
                top.has_tail = True
                break
            _expect(token, top.close)
            value = _closed(stack.pop())
            token = next(tokens)
        else:
            if token.kind == ".":
                token = next(tokens)
            _expect(token, "end")
            return value
        token = next(tokens)


def _tokens(text: str) -> Iterator[_Token]:
    token_at = re.compile(_TOKEN, re.VERBOSE | re.DOTALL | re.ASCII).match
    at = 0
    while at < len(text):
        match = token_at(text, at)
        if match is None:
            what = {"'": "a quoted atom is not closed", '"': "a string is not closed"}
            raise ParseError(what.get(text[at], f"{text[at]!r} has no meaning here"), at)
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(match.group() if kind == "sign" else kind, match.group(), at)
        at = match.end()
    while True:
        yield _Token("end", "the end of the text", at)


def _expect(token: _Token, kind: str) -> None:
    if token.kind != kind:
        wanted = "nothing more" if kind == "end" else kind
        raise ParseError(f"{wanted} is due, here is {token.text:.40}", token.at)


def _closed(opened: _Open) -> object:
    items = opened.items
    if opened.close == "]":
        if not opened.has_tail:
            return items
        tail = items.pop()
        if isinstance(tail, list):
            return items + tail
        if isinstance(tail, ImproperList):
            return ImproperList([*items, *tail.items], tail.tail)
        return ImproperList(items, tail)
    if not opened.is_map:
        return tuple(items)
    try:
        return make_map(items[::2], items[1::2])
    except EncodeError as error:
        raise ParseError(str(error), opened.at) from None


def _value(token: _Token, tokens: Iterator[_Token]) -> tuple[object, _Token]:
    """A value that is no tuple, list or map, and the token behind it."""
    kind = token.kind
    if kind == "string":
        text = ""
        while token.kind == "string":  # adjacent ones are one
            text += _unescaped(token.text[1:-1], token)
            token = next(tokens)
        return list(map(ord, text)), token
    if kind == "<<":
        return _bits(tokens), next(tokens)
    if kind == "sigil" or kind == "verbatim":
        text = token.text.partition('"')[2][:-1]
        return _utf8_of(_unescaped(text, token) if kind == "sigil" else text, token), next(tokens)
    if kind == "atom" and token.text == "fun":
        return _export(tokens), next(tokens)
    if kind == "quoted" or (kind == "atom" and token.text not in RESERVED_WORDS):
        atom = _atom_of(token)
        return _VALUES.get(atom, atom), next(tokens)
    return _number(token, tokens), next(tokens)


def _atom_of(token: _Token) -> Atom:
    if token.kind == "quoted":
        text = _unescaped(token.text[1:-1], token)
    elif token.kind == "atom" and token.text not in RESERVED_WORDS:
        text = token.text
    else:
        raise ParseError(f"an atom is due, here is {token.text:.40}", token.at)
    try:
        return Atom(text)
    except EncodeError as error:
        raise ParseError(str(error), token.at) from None


def _number(token: _Token, tokens: Iterator[_Token]) -> int | float:
    sign = 1
    while token.kind == "-" or token.kind == "+":
        sign = -sign if token.kind == "-" else sign
        token = next(tokens)
    text = token.text.replace("_", "")
    if token.kind == "int":
        return sign * _integer(text)
    if token.kind == "char":
        return sign * ord(_unescaped(token.text[1:], token))
    if token.kind == "based":
        base, _hash, digits = text.partition("#")
        try:
            if 2 <= _integer(base) <= 36:
                return sign * int(digits, int(base))
        except ValueError:
            pass
        raise ParseError(f"{token.text:.40} is no number of a base of 2 to 36", token.at)
    if token.kind == "float":
        number = float(text)
        if number - number != 0.0:
            raise ParseError(f"{token.text:.40} is too large for a float", token.at)
        return sign * number
    if token.kind == "variable":
        raise ParseError(
            f"{token.text:.40} is a variable, which has no value here: an atom is quoted", token.at
        )
    if token.text in RESERVED_WORDS:
        raise ParseError(f"{token.text} is a reserved word: an atom is quoted", token.at)
    if token.kind == "<" or token.kind == "#":
        raise ParseError("pids, ports, references and records cannot be read", token.at)
    raise ParseError(f"a term is due, here is {token.text:.40}", token.at)


def _integer(digits: str) -> int:
    if len(digits) <= MAX_DIGITS:
        return int(digits)
    half = len(digits) // 2
    upper: int = _integer(digits[:-half]) * 10**half
    return upper + _integer(digits[-half:])


def _unescaped(text: str, token: _Token) -> str:
    def char(match: re.Match[str]) -> str:
        long, short, octal, control, other = match.groups()
        try:
            if long or short:
                return chr(int(long or short, 16))
        except (ValueError, OverflowError):
            raise ParseError(f"{match.group()} is no character", token.at) from None
        if octal:
            return chr(int(octal, 8))
        return chr(ord(control) & 31) if control else LETTERS.get(other, other)

    return re.sub(_ESCAPE, char, text, flags=re.DOTALL)


def _utf8_of(text: str, token: _Token) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ParseError("half a surrogate pair is no character of UTF-8", token.at) from None


def _export(tokens: Iterator[_Token]) -> Export:
    """The rest of a fun, behind the ``fun``."""
    module = _atom_of(next(tokens))
    _expect(next(tokens), ":")
    function = _atom_of(next(tokens))
    _expect(next(tokens), "/")
    arity = next(tokens)
    _expect(arity, "int")
    try:
        return Export(module, function, _integer(arity.text))
    except (EncodeError, ValueError) as error:
        raise ParseError(str(error), arity.at) from None


# --- binaries in ----------------------------------------------------------------------------------

_BINARIES = {"binary", "bytes", "bits", "bitstring"}
_TEXTS = {"utf8": "utf-8", "utf16": "utf-16-", "utf32": "utf-32-"}
_FLOATS = {16: "e", 32: "f", 64: "d"}
_TYPES = {"integer", "float"} | _BINARIES | _TEXTS.keys()
_MODIFIERS = {"big", "little", "signed", "unsigned"}
_MAX_SEGMENT = 1 << 24  # bits


def _bits(tokens: Iterator[_Token]) -> bytes | BitString:
    """The rest of a binary, behind its ``<<``.

    Source: Erlang Reference Manual, "Bit Syntax Expressions".
    """
    data = bytearray()
    rest = 0  # the bits that are no whole byte yet, as a number
    length = 0  # how many they are
    token = next(tokens)
    while token.kind != ">>":
        at = token.at
        value: object
        if token.kind == "<<":
            value, token = _inner(tokens), next(tokens)
        else:
            value, token = _value(token, tokens)
        size = None
        if token.kind == ":":
            token = next(tokens)
            _expect(token, "int")
            size = _integer(token.text.replace("_", ""))
            if size > _MAX_SEGMENT:
                raise ParseError(f"a segment has at most {_MAX_SEGMENT} bits", token.at)
            token = next(tokens)
        types: set[str] = set()
        while token.kind == ("-" if types else "/"):
            token = next(tokens)
            if token.text not in _TYPES | _MODIFIERS:
                raise ParseError(f"{token.text:.40} is no type of a segment", token.at)
            types.add(token.text)
            token = next(tokens)
        # A string stands for one segment for each of its characters.
        for part in value if isinstance(value, list) else [value]:
            number, width = _segment(part, size, types, at)
            rest = rest << width | number
            length += width
            if length % 8 == 0:
                data += rest.to_bytes(length // 8, "big")
                rest = length = 0
        if token.kind == ",":
            token = next(tokens)
            if token.kind != ">>":
                continue
            raise ParseError("a segment is due, here is >>", token.at)
        _expect(token, ">>")
    if not length:
        return bytes(data)
    unused = -length % 8
    return BitString(bytes(data) + (rest << unused).to_bytes((length + 7) // 8, "big"), 8 - unused)


def _inner(tokens: Iterator[_Token]) -> bytes | BitString:
    """A binary within a binary: one level is all that is of use, more would need a stack."""
    inner: list[_Token] = []
    for token in tokens:
        if token.kind == "<<":
            raise ParseError("a binary within a binary within a binary", token.at)
        inner.append(token)
        if token.kind == ">>" or token.kind == "end":
            break
    return _bits(chain(inner, repeat(inner[-1])))


def _segment(value: Any, size: int | None, types: set[str], at: int) -> tuple[int, int]:
    """A segment's bits as a number, and how many they are."""
    kinds = types & _TYPES
    kind = kinds.pop() if kinds else "integer"
    if kinds or types >= {"big", "little"} or types >= {"signed", "unsigned"}:
        raise ParseError("the types of a segment contradict each other", at)
    little = "little" in types
    wrong = ParseError(f"a segment of the type {kind} cannot have this value or size", at)
    try:
        if kind in _BINARIES and isinstance(value, (bytes, BitString)) and size is None:
            data, used = (value, 8) if isinstance(value, bytes) else (value.data, value.bits)
            return int.from_bytes(data, "big") >> (8 - used), len(data) * 8 - (8 - used)
        if kind in _TEXTS and size is None:
            # With the order of bytes in its name, or Python would add a mark of it.
            order = "" if kind == "utf8" else "le" if little else "be"
            data = chr(value).encode(_TEXTS[kind] + order)
        elif kind == "float" and type(value) in (int, float):
            data = pack(("<" if little else ">") + _FLOATS[64 if size is None else size], value)
        elif kind == "integer" and type(value) is int:
            width = 8 if size is None else size
            number = value & ((1 << width) - 1)
            if not little:
                return number, width
            # Whole bytes from the lowest on; what is no whole byte is the highest and comes last.
            whole, part = divmod(width, 8)
            data = number.to_bytes(whole + 1, "little")
            return int.from_bytes(data[:whole], "big") << part | data[whole], width
        else:
            raise wrong
    except (ValueError, KeyError, TypeError, OverflowError, StructError):
        raise wrong from None
    return int.from_bytes(data, "big"), len(data) * 8
