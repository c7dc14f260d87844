"""The tokens of Erlang's text, the same as from ``erl_scan`` of OTP 29.

The tokens of strings, sigils and numbers have values. OTP 27 reads the same text, except floats
with a base (``16#f.8``), which are new in OTP 28.

Source: Erlang Reference Manual, "Data Types"; EEP 64, triple-quoted strings; EEP 66, sigils.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from uds_dist.errors import ParseError
from uds_dist.etf.digits import read_integer

RESERVED_WORDS = frozenset(
    "after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let "
    "maybe not of or orelse receive rem try when xor".split()
)
# The letters that stand for control characters after a backslash.
LETTERS = {"n": "\n", "r": "\r", "t": "\t", "v": "\v", "b": "\b", "f": "\f"}
LETTERS |= {"e": "\x1b", "d": "\x7f", "s": " "}

# The re module compiles and caches these patterns at their first use: at import they cost 2 ms.
_NAME_CHARACTER = "[0-9A-Za-z_@ß-öø-ÿÀ-ÖØ-Þ]"
_NAME = f"{_NAME_CHARACTER}*"
_DIGITS = "[0-9A-Za-z]+(?:_[0-9A-Za-z]+)*"  # of any base
_NOT_CHARACTERS = "\ud800-\udfff\ufffe\uffff"
_TOKEN = rf"""
      (?P<space> (?: [\0-\x20\x80-\xa0] | %[^\n{_NOT_CHARACTERS}]* )+ )
    | (?P<based> \d+(?:_\d+)* \# (?: {_DIGITS} | (?=\.) )
                 (?: \. {_DIGITS} (?: \#[eE][+-]?\d+(?:_\d+)* )? )? )
    | (?P<float> \d+(?:_\d+)* \. \d+(?:_\d+)* (?: [eE][+-]?\d+(?:_\d+)* )? )
    | (?P<int> \d+(?:_\d+)* )
    | (?P<char> \$ (?: \\ (?: x\{{[0-9A-Fa-f]*\}} | x.?.? | [0-7]{{1,3}} | \^.? | [^x^0-7] )
                     | [^\\] ) )
    | (?P<quote> ~{_NAME}. | " | ' )
    | (?P<atom> [a-zß-öø-ÿ]{_NAME} )
    | (?P<variable> [A-Z_À-ÖØ-Þ]{_NAME} )
    | (?P<dot> \. (?= [\0-\x20\x80-\xa0%] | \Z ) )
    | (?P<sign> << | >> | => | [][{{}}(),:/|.+<\#-] )
    """
_ESCAPE = r"\\(?:x\{([0-9A-Fa-f]+)\}|x([0-9A-Fa-f]{2})|([0-7]{1,3})|\^([?-_a-z])|([^x^])|[x^]?)"
# The part of an escape that matters to find the end of a string.
_SKIPPED = r"\\(?:x\{[0-9A-Fa-f]*\}|\^.|[^^])"
_DELIMITERS = {"(": ")", "[": "]", "{": "}", "<": ">"} | {char: char for char in "/|'\"`#"}
_SIGILS = ("", "b", "B", "s", "S")
_SPACES = "[\0-\x09\x0b-\x20\x80-\xa0]*"  # within a line
_PLAIN_LINE = r"[^\n]*\n"
_ESCAPED_LINE = r"[^\\\n]*(?:\\(?:\^[^\n]|[^^\n])[^\\\n]*)*\\?\n"


class Token(NamedTuple):
    """A token: its kind, its value, its text and the index of its first character.

    The kinds: int, float, char, string, sigil (a ``~s`` string), binary (a ``~b`` string), atom,
    word (a reserved word), variable, dot, end. Each sign is its own kind.
    """

    kind: str
    value: object
    text: str
    at: int


def scan(text: str) -> Iterator[Token]:
    """The tokens of a text, followed by "end" without limit.

    Raises:
        ParseError: a character, a number or a string is not valid in Erlang.
    """
    token_at = re.compile(_TOKEN, re.VERBOSE | re.DOTALL | re.ASCII).match
    at = 0
    while at < len(text):
        match = token_at(text, at)
        if match is None:
            raise ParseError(f"unexpected character {text[at : at + 1]!a}", at)
        kind, start, end = match.lastgroup or "", at, match.end()
        found = match.group()
        at = end
        if kind == "space":
            continue
        if kind == "quote":
            token, at = _quoted(text, found, start, end)
            yield token
        elif kind == "sign" or kind == "dot":
            yield Token(found if kind == "sign" else kind, None, found, start)
        elif kind == "atom":
            yield Token("word" if found in RESERVED_WORDS else kind, found, found, start)
        elif kind == "variable":
            yield Token(kind, None, found, start)
        elif kind == "char":
            yield Token(kind, ord(_unescaped(found[1:], start)), found, start)
        else:
            value = _number(kind, found.replace("_", ""), start)
            yield Token("float" if isinstance(value, float) else "int", value, found, start)
    while True:
        yield Token("end", None, "the end of the text", at)


# --- numbers --------------------------------------------------------------------------------------


def _number(kind: str, text: str, at: int) -> int | float:
    try:
        if kind == "int":
            return read_integer(text)
        number = float(text) if kind == "float" else _based(text)
        if isinstance(number, int) or number - number == 0.0:
            return number
    except OverflowError:
        pass
    except ValueError:
        raise ParseError(f"{text:.40} is not a number in a base from 2 to 36", at) from None
    raise ParseError(f"{text:.40} is too large for a float", at)


def _based(text: str) -> int | float:
    base_digits, _hash, rest = text.partition("#")
    base = int(base_digits) if len(base_digits) <= 20 else 0
    if not 2 <= base <= 36:
        raise ValueError(base)
    digits, _hash, exponent = rest.partition("#")
    whole, dot, fraction = digits.partition(".")
    if not dot:
        return read_integer(whole, base)
    if base == 10:
        if not whole.isdecimal() or not fraction.isdecimal():
            raise ValueError(digits)
        return float(digits + exponent)
    fraction = fraction.rstrip("0") or "0"
    power = int(exponent[1:][:20] or "0") - len(fraction)
    return float(read_integer(whole + fraction, base)) * float(base) ** power


# --- strings, sigils and quoted atoms -------------------------------------------------------------


def _quoted(text: str, found: str, start: int, at: int) -> tuple[Token, int]:
    """The token of a string, sigil or quoted atom whose opening quote ends at `at`, and its end."""
    name, quote = found[1:-1], found[-1]
    is_sigil = found[0] == "~"
    if is_sigil and (name not in _SIGILS or quote not in _DELIMITERS):
        raise ParseError(
            f"{found!a} does not begin a sigil: use ~, ~b, ~B, ~s or ~S and a quote", start
        )
    if quote == '"' and text.startswith('""', at):
        value, end = _triple_quoted(text, at - 1, name in ("b", "s"))
    elif name in ("B", "S"):
        end = text.find(_DELIMITERS[quote], at)
        value, end = _checked(text[at:end] if end >= 0 else None, quote, start), end + 1
    else:
        close = re.escape(_DELIMITERS[quote])
        body = rf"[^\\{close}]*(?:{_SKIPPED}[^\\{close}]*)*"
        match = re.compile(f"({body}){close}", re.DOTALL).match(text, at)
        value = _unescaped(_checked(match and match[1], quote, start), start)
        end = match.end() if match else at
    after = text[end : end + 1]
    if is_sigil and re.match(_NAME_CHARACTER, after):
        raise ParseError("a sigil has no suffix: put a space after its quote", end)
    if after == '"' and (is_sigil or quote == '"'):
        raise ParseError("put a space between two strings", end)
    kind = "string" if quote == '"' else "atom"
    if is_sigil:
        kind = "sigil" if name in ("s", "S") else "binary"
    return Token(kind, value.encode() if kind == "binary" else value, text[start:end], start), end


def _checked(body: str | None, quote: str, at: int) -> str:
    """The text between quotes; raises if it is not closed or contains invalid characters."""
    if body is None:
        what = {"'": "a quoted atom", '"': "a string"}.get(quote, "a sigil")
        raise ParseError(f"{what} is not closed", at)
    wrong = re.search(f"[{_NOT_CHARACTERS}]", body)
    if wrong:
        raise ParseError(f"{wrong[0]!a} is not a character", at)
    return body


def _unescaped(text: str, at: int) -> str:
    def char(match: re.Match[str]) -> str:
        long, short, octal, control, other = match.groups()
        if other:
            return LETTERS.get(other, other)
        if octal:
            return chr(int(octal, 8))
        if control:
            return "\x7f" if control == "?" else chr(ord(control) & 31)
        number = int(long or short or "110000", 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF or 0xFFFE <= number <= 0xFFFF:
            raise ParseError(f"{match.group():.40} is not a character", at)
        return chr(number)

    text = re.sub(_ESCAPE, char, text, flags=re.DOTALL) if "\\" in text else text
    return _checked(text, "", at)


def _triple_quoted(text: str, start: int, escapes: bool) -> tuple[str, int]:
    """The value of a string in three or more quotes at `start`, and its end."""
    opening = re.compile('"+').match(text, start)
    assert opening is not None
    quotes, at = opening.group(), opening.end()
    line_at = re.compile(_ESCAPED_LINE if escapes else _PLAIN_LINE, re.DOTALL).match
    closing_at = re.compile(f'({_SPACES})"{{{len(quotes)}}}').match
    lines: list[str] = []
    closing = None
    while closing is None:
        line = line_at(text, at)
        if line is None:
            raise ParseError("a triple-quoted string is not closed", start)
        raw = _checked(line.group(), '"', at)
        # A backslash before the end of the line does not continue it.
        lines.append(_unescaped(raw, at) if escapes else raw)
        at = line.end()
        closing = closing_at(text, at)
    if lines[0].strip("".join(map(chr, (*range(33), *range(128, 161))))):
        raise ParseError("only white space may follow the opening quotes on their line", start)
    indentation = closing[1]
    content = []
    for line_text in lines[1:]:
        if line_text.startswith(("\n", "\r\n")):
            content.append(line_text)
        elif line_text.startswith(indentation):
            content.append(line_text[len(indentation) :])
        else:
            raise ParseError("a line is indented less than the closing quotes", start)
    if content:
        content[-1] = content[-1][:-1].removesuffix("\r")
    return "".join(content), closing.end()
