"""Hints for common mistakes: one line after the error or the answer."""

from __future__ import annotations

import argparse
import re

from uds_dist import ConnectFailedError
from uds_dist.cli.exit_codes import NobodyListensError
from uds_dist.cli.output import write_error
from uds_dist.cli.words import config_of
from uds_dist.etf.shown import printable

# Separates the hint from the error in the message of a usage error. No word contains a NUL.
SEPARATOR = "\0hint: "

NO_FOLDER = (
    "UDS_DIST_SOCKET_DIR is not set, so only the default places were tried: set it to the folder"
    " of the node's socket, or use --socket-dir"
)
NO_FUNCTION = (
    "MODULE and FUNCTION are two words, as in: rpc NODE lists sum '[1, 2]'; a built-in function"
    " belongs to the module erlang, as in: rpc NODE erlang node"
)
NOT_A_MODULE = (
    "write module, function and arguments as separate words, as in: rpc NODE Enum sum"
    " '[1, 2]'; or evaluate the text: eval NODE 'Enum.sum([1, 2])'"
)
NOT_A_FUNCTION = (
    "write only the name; the arguments follow as separate words, as in: rpc NODE lists sum"
    " '[1, 2]'"
)
SHOWN_TEXT = 60

# These patterns are compiled when they are used: most commands need none of them.
# A whole call, or a function after its module: Enum.sum, :lists.sum, lists:sum.
_CALL = r"(?s)[^']*\(.*|:?[^:']+:.*|[A-Z][\w.]*\.[a-z_]\w*[?!]?|:\w+\..*"
_WITH_ARGUMENTS = r"(?s)[^']+\(.*\)|\w+[?!]?/\d+"
# The tokens that can contain a quotation mark, and the brackets of binaries.
_TOKEN = (
    r"""(?s)%.*|\$(?:\\.|.)|'(?:\\.|[^'\\])*'|(?P<string>"(?:\\.|[^"\\])*")"""
    r"""|~\w*"(?:\\.|[^"\\])*"|(?P<bracket><<|>>)"""
)
_AS_UTF = r"\s*(?::\s*\w+\s*)?/[\w\s:-]*\butf(?:8|16|32)\b"


def usage_hint(message: str) -> tuple[str, str]:
    """The message of a usage error, and the hint for it ("" if there is none)."""
    message, _, hint = message.partition(SEPARATOR)
    if not hint and message == "the following arguments are required: FUNCTION":
        hint = NO_FUNCTION
    return message, hint


def check_module(word: str) -> str:
    """Refuse a word that is more than a module's name; a quoted name is accepted unchanged."""
    if re.fullmatch(_CALL, word.strip()):
        raise argparse.ArgumentTypeError(
            f"'{printable(word, SHOWN_TEXT)}' is not the name of a module{SEPARATOR}{NOT_A_MODULE}"
        )
    return word


def check_function(word: str) -> str:
    """Refuse a function name that includes arguments or an arity."""
    if re.fullmatch(_WITH_ARGUMENTS, word.strip()):
        shown = printable(word, SHOWN_TEXT)
        raise argparse.ArgumentTypeError(
            f"'{shown}' is not the name of a function{SEPARATOR}{NOT_A_FUNCTION}"
        )
    return word


def advise(options: argparse.Namespace, error: Exception | None = None) -> None:
    """Write the hint for a command that has ended, if there is one."""
    hint = ""
    if isinstance(error, (ConnectFailedError, NobodyListensError)):
        hint = NO_FOLDER if config_of(options).socket_dir is None else ""
    else:
        found = [text for word in erlang_texts(options) if (text := latin1_string(word))]
        if found:
            shown = printable(found[0], SHOWN_TEXT)
            hint = f"<<{shown}>> is a binary of Latin-1 text: for UTF-8 write <<{shown}/utf8>>"
    write_hint(hint)


def write_hint(hint: str) -> None:
    """Write a hint to standard error, unless it is empty."""
    if hint:
        write_error(f"hint: {hint}\n")


def erlang_texts(options: argparse.Namespace) -> list[str]:
    """The arguments of the command that were read as Erlang terms."""
    if not hasattr(options, "arguments"):
        return []
    words: list[str] = options.arguments
    if hasattr(options, "kind"):  # eval
        return words if options.kind == "erl" else []
    return [] if options.json or options.elixir else words


def latin1_string(text: str) -> str:
    """The first string in a binary that has non-ASCII characters and no type utf8, or ""."""
    depth = 0
    for token in re.finditer(_TOKEN, text):
        if token["bracket"]:
            depth = depth + 1 if token["bracket"] == "<<" else max(depth - 1, 0)
        elif token["string"] and depth and not token["string"].isascii():
            if not re.compile(_AS_UTF).match(text, token.end()):
                return token["string"]
    return ""
