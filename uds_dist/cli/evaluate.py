"""`uds-dist eval`: evaluate an expression on a node, in Elixir, Erlang or Python.

The node parses and evaluates the text. Its output goes to standard output at once, followed by the
value; an exception goes to standard error with the node's stack.
"""

from __future__ import annotations

import argparse
import sys

from uds_dist import Atom, ConfigError, RemoteError, RemoteTimeoutError, format_term
from uds_dist.cli.calls import escape_elixir, escape_erlang, inspected, raised_text
from uds_dist.cli.connected import Connected, connected
from uds_dist.cli.exit_codes import OK, RAISED
from uds_dist.cli.output import speaks_utf8, write_error, write_out
from uds_dist.cli.several import Line, Show, at_each_node
from uds_dist.cli.words import Command, add_connection, add_node, unmarked, utf8_word
from uds_dist.etf.shown import shown
from uds_dist.processes.names import CONSOLE_MODULE
from uds_dist.services.group_leader import chardata_text
from uds_dist.shell.remote import Choice, Kind, find_kind

EPILOG = """\
EXPRESSION: Elixir if the node has it, else Erlang; - reads it from standard input. Its output goes
  to standard output at once, followed by the value; an exception goes to standard error with the
  node's stack, and the exit code is 1. --json writes the value like rpc --json.

"""


class EvalError(RemoteError):
    """The expression raised; the message is the node's own text, with the stack."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    kind = parser.add_mutually_exclusive_group()
    for name, about in (
        ("elixir", "evaluate Elixir"),
        ("erl", "evaluate Erlang"),
        ("python", "evaluate at the console of a Python node"),
    ):
        kind.add_argument(f"--{name}", dest="kind", action="store_const", const=name, help=about)
    shown_as = parser.add_mutually_exclusive_group()
    shown_as.add_argument("--json", action="store_true", help="write the value as JSON")
    shown_as.add_argument("--quiet", action="store_true", help="do not write the value")
    parser.add_argument("--file", metavar="FILE", help="evaluate the contents of a file")
    add_node(parser, several=True)
    parser.add_argument("arguments", type=unmarked, metavar="EXPRESSION", nargs="*", default=[])


def expression_of(options: argparse.Namespace) -> str:
    """The text to evaluate.

    Raises:
        ConfigError: there is not exactly one, or it cannot be read.
    """
    if len(options.arguments) != (options.file is None):
        raise ConfigError(
            "give one expression in quotes, a file with --file, or - for standard input"
        )
    try:
        if options.file is not None:
            with open(options.file, encoding="utf-8") as file:
                return file.read()
        if options.arguments == ["-"]:
            return sys.stdin.buffer.read().decode("utf-8")
        return utf8_word(options.arguments[0])
    except OSError as error:
        where = options.file or "standard input"
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"the expression cannot be read: {error}") from None


def run_eval(options: argparse.Namespace) -> int:
    """`eval`: evaluate an expression and print its value."""
    text = expression_of(options)
    return at_each_node(options, lambda options, show: _eval(options, text, show))


def _eval(options: argparse.Namespace, text: str, show: Show) -> int:
    try:
        with connected(options, write_error if options.json else write_out) as there:
            kind = kind_of(there, options.kind)
            if kind == "python":
                if options.json:
                    raise ConfigError("--json works for Elixir and Erlang only")
                line = _python(there, text, options.quiet)
                if line is not None:
                    show(line)
                return OK
            line = _evaluated(there, kind, text, options)
            if line is not None:
                show(line)
            return OK
    except EvalError as error:
        write_error(str(error).rstrip("\n") + "\n")
        return RAISED
    except RemoteTimeoutError:
        raise RemoteTimeoutError(
            f"the expression was not evaluated within {options.timeout:g} s: give --timeout more"
            " seconds"
        ) from None


def kind_of(there: Connected, asked: str | None) -> Kind:
    """The language to evaluate in: the requested one, else the one that the node has.

    Raises:
        ConfigError: the node does not have the requested one.
    """
    if asked == "erl":
        return "erl"
    if asked == "python":
        return find_kind(there.node, there.name, Choice("python"), there.left())
    try:
        there.call("Elixir.Code", "module_info", [Atom("module")])
        return "iex"
    except RemoteError:
        if asked == "elixir":
            raise ConfigError(f"{there.name} has no Elixir: use --erl, or --python") from None
        return find_kind(there.node, there.name, Choice(), there.left())


def _evaluated(there: Connected, kind: Kind, text: str, options: argparse.Namespace) -> Line | None:
    """Evaluate a text; returns the line of its value, or None with `--quiet`.

    Raises:
        EvalError: it raised.
    """
    elixir = kind == "iex"
    value = _elixir(there, text) if elixir else _erlang(there, text)
    if options.quiet:
        return None
    if options.json:
        text = options.json_terms.write_term(value, ascii_only=not speaks_utf8())
        return Line(text, escape_erlang)
    if elixir:
        return Line(inspected(there, value), escape_elixir)
    return Line(format_term(value), escape_erlang)


def _elixir(there: Connected, text: str) -> object:
    try:
        found = there.call("Elixir.Code", "eval_string", [text])
    except RemoteError as error:
        raise _failed(there, error, "Elixir.Exception", "format") from None
    return found[0] if isinstance(found, tuple) else found


def _erlang(there: Connected, text: str) -> object:
    """Evaluate in the same steps as the Erlang shell."""
    expressions = parsed_erlang(there, text)
    try:
        return value_of(there, expressions, [])
    except RemoteError as error:
        raise _failed(there, error, "erl_error", "format_exception") from None


def parsed_erlang(there: Connected, text: str) -> object:
    """Let the node parse expressions, for `value_of`.

    Raises:
        EvalError: the text has a mistake.
    """
    written = text.rstrip()
    written = written if written.endswith(".") else written + "."
    characters = [ord(character) for character in written + "\n"]
    tokens = _step(there, there.call("erl_scan", "string", [characters, (1, 1)]))
    return _step(there, there.call("erl_parse", "parse_exprs", [tokens]))


def value_of(there: Connected, expressions: object, bindings: list[object]) -> object:
    """Evaluate the result of `parsed_erlang`; `bindings` lists the variables with their values."""
    found = there.call("erl_eval", "exprs", [expressions, bindings])
    return found[1] if isinstance(found, tuple) and len(found) > 1 else found


def _python(there: Connected, text: str, quiet: bool) -> Line | None:
    """Evaluate a Python program and print its output; returns the line of its value."""
    found = there.call(CONSOLE_MODULE, "eval", [text])
    match found:
        case (Atom("ok" | "error"), printed, value, failure):
            write_out(chardata_text(printed) or "")
            if failure:
                raise EvalError(
                    chardata_text(failure) or "it raised, but the node does not say what"
                )
            shown_value = chardata_text(value)
            return Line(shown_value, _escape_python) if shown_value and not quiet else None
    raise EvalError(f"the node sent an answer of unknown shape: {shown(found)}")


def _escape_python(char: str) -> str:
    return ascii(char)[1:-1]


def _step(there: Connected, found: object) -> object:
    """The result of scanning or parsing; raises the node's text about a mistake."""
    match found:
        case (Atom("ok"), value, *_):
            return value
        case (Atom("error"), (place, Atom() as module, what), *_):
            told = chardata_text(there.call(module, "format_error", [what]))
            where = ":".join(map(str, place)) if isinstance(place, tuple) else shown(place)
            raise EvalError(f"{where}: {told}")
    raise EvalError(f"the node cannot read the expression: {shown(found)}")


def _failed(there: Connected, error: RemoteError, module: str, function: str) -> EvalError:
    """The node's own text of an exception, with the stack."""
    if error.class_ not in ("error", "exit", "throw"):
        return EvalError(raised_text(error, None), error.class_)
    arguments = [Atom(error.class_), error.reason, error.stack]
    try:
        told = chardata_text(there.call(module, function, arguments))
    except RemoteError:
        told = None
    return EvalError(told or raised_text(error, None), error.class_)


COMMANDS = (Command("eval", "evaluate an expression on a node", run_eval, _add_arguments, EPILOG),)
