"""Elixir terms on the command line: the other node reads them, and only literals are accepted.

`Code.string_to_quoted` parses a word on the node without evaluating it. The syntax tree is checked
here. If it calls no function, `Code.eval_quoted` builds the term, since only the node knows its
structs and sigils. An expression is refused: a script may pass a foreign text as an argument, and
only `eval` is for code.

Source: the Elixir Syntax Reference, "The Elixir AST".
"""

from __future__ import annotations

from uds_dist import Atom, ParseError, RemoteError, TermError, parse_term
from uds_dist.cli.connected import Connected
from uds_dist.etf.shown import shown
from uds_dist.services.group_leader import chardata_text

CODE = "Elixir.Code"
# Nodes of the syntax tree that are literals if all nodes below them are.
CONTAINERS = frozenset({"{}", "%{}", "%", "<<>>", "__aliases__", "..", "..//"})
SIGNS = ("-", "+")


def elixir_term(there: Connected, text: str) -> object:
    """The Elixir term in a word of the command line; an Erlang term for a node without Elixir.

    Raises:
        ParseError: it is not a literal term.
    """
    try:
        parsed = there.call(CODE, "string_to_quoted", [text])
    except RemoteError as error:
        if isinstance(error.reason, Atom) and error.reason == "undef":
            return _erlang_term(there, text)
        raise
    match parsed:
        case (Atom("ok"), (Atom("__block__"), _, [])):
            raise ParseError("there is no term in it (# begins a comment; write a map as %{})")
        case (Atom("ok"), quoted):
            pass
        case (Atom("error"), (_, told, token)):
            raise ParseError(f"{_told(told)}{chardata_text(token) or ''}")
        case _:
            raise ParseError(f"the node cannot read it: {shown(parsed)}")
    if not is_literal(quoted):
        raise ParseError(
            "it is not a literal term: write an atom as :ok, and use eval for expressions"
        )
    try:
        value = there.call(CODE, "eval_quoted", [quoted])
    except RemoteError as error:
        raise ParseError(f"the node cannot build it: {error}") from None
    return value[0] if isinstance(value, tuple) and value else value


def _erlang_term(there: Connected, text: str) -> object:
    try:
        return parse_term(text)
    except TermError as error:
        raise ParseError(
            f"{there.name} has no Elixir to read it, and it is not an Erlang term: {error}"
        ) from None


def _told(message: object) -> str:
    """The parser's message; a pair is the text before and after the token."""
    parts = message if isinstance(message, tuple) else (message,)
    return "".join(chardata_text(part) or "" for part in parts)


def is_literal(quoted: object) -> bool:
    """True if a syntax tree is a term and calls no function.

    Structs, sigils, ranges and captures of named functions are literals here.
    """
    match quoted:
        case list():
            return all(map(is_literal, quoted))
        case (left, right):
            return is_literal(left) and is_literal(right)
        case (Atom() as name, list(), [number]) if name in SIGNS:
            return isinstance(number, (int, float)) and not isinstance(number, bool)
        case (Atom("::"), list(), [value, kind]):
            return is_literal(value) and _is_kind(kind)
        case (Atom("&"), list(), [(Atom("/"), list(), [function, int()])]):
            return _is_function(function)
        case (Atom() as name, list(), list() as parts):
            return (name in CONTAINERS or name.startswith("sigil_")) and is_literal(parts)
        case tuple():
            return False
    return True


def _is_kind(kind: object) -> bool:
    """True for the type of a segment of a binary: ``utf8``, ``size(8)``, ``16-little``."""
    match kind:
        case (Atom(), list(), None) | int():
            return True
        case (Atom("size" | "unit"), list(), [int()]):
            return True
        case (Atom("-" | "*"), list(), [left, right]):
            return _is_kind(left) and _is_kind(right)
    return False


def _is_function(function: object) -> bool:
    """True for ``Module.function``, without arguments."""
    match function:
        case ((Atom("."), list(), [module, Atom()]), list(), []):
            return is_literal(module)
    return False
