"""The subcommands `ping` and `rpc`, and what other commands share with them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from uds_dist import (
    Atom,
    Map,
    ParseError,
    RemoteError,
    RemoteTimeoutError,
    TermError,
    UdsDistError,
    format_term,
    parse_term,
)
from uds_dist.cli.connected import Connected, connected
from uds_dist.cli.elixir_terms import elixir_term
from uds_dist.cli.exit_codes import OK, RAISED, USAGE, exit_code
from uds_dist.cli.hints import check_function, check_module
from uds_dist.cli.notation import format_elixir
from uds_dist.cli.output import (
    OutputError,
    complain,
    speaks_utf8,
    write_error,
    write_line,
    write_out,
)
from uds_dist.cli.several import Line, Show, at_each_node
from uds_dist.cli.words import (
    Command,
    add_connection,
    add_node,
    add_notation,
    read_seconds,
    read_word,
    unmarked,
    utf8_word,
)
from uds_dist.etf.shown import printable

RPC_EPILOG = """\
MODULE: write an Elixir module as in Elixir (Enum, MyApp.Repo), an Erlang module in lower case.
  A name that begins with a capital letter gets the prefix Elixir. unless it has it; a name in
  single quotes is used unchanged ("'Odd'"). A colon before a module or function is dropped.
ARG: an Erlang term (42, ok, "list", <<"binary">>, {a,1}, #{k => v}), or with --json a JSON value.
  Put -- before the first argument that begins with a hyphen and is not a number.
--elixir: ARG is a literal Elixir term, which the node reads: %{a: 1}, "binary", ~D[2026-01-31],
  1..3, &String.upcase/1. The answer is the output of inspect there. For a node without Elixir, ARG
  is an Erlang term, and the answer is in a plain notation.
--json: strings are binaries, arrays lists, objects maps (a key ":name" is an atom), null is nil;
  other terms are {"$atom": "ok"}, {"$tuple": [...]}, {"$binary": BASE64}, {"$map": [[key, value],
  ...]}, {"$improper": [..., tail]} and {"$etf": BASE64}. The answer has the same form.

"""

KERNEL = "Elixir.Kernel"
# Print the whole value: a program may read it.
INSPECT_OPTIONS = [
    (Atom("limit"), Atom("infinity")),
    (Atom("printable_limit"), Atom("infinity")),
]


# --- the subcommands ------------------------------------------------------------------------------


def run_ping(options: argparse.Namespace) -> int:
    """`ping`: print pong, or pang and the reason."""
    try:
        with connected(options) as there:
            if options.every is None:
                return _ping(there, options)
            return _keep_pinging(there, options)
    except OutputError:
        raise
    except UdsDistError as error:
        if exit_code(error) != USAGE:
            write_line("pang")
        raise


def _ping(there: Connected, options: argparse.Namespace) -> int:
    # Print before the nodes disconnect, so that the user does not wait for that.
    if there.node.ping(there.name, there.left()):
        write_line("pong")
        return OK
    write_line("pang")
    complain(
        f"{there.name} accepted the connection but did not answer within {options.timeout:g} s"
    )
    return RAISED


def _keep_pinging(there: Connected, options: argparse.Namespace) -> int:
    """Ping again and again over one connection; each ping has the full timeout."""
    losses: list[UdsDistError] = []
    there.node.on_down = lambda _name, error: losses.append(error)
    loop = there.node.loop
    while True:
        there.allow(options.timeout)
        begun = loop.time()
        code = OK if losses else _ping(there, options)
        if losses:
            raise losses[0]
        if code != OK:
            return code
        loop.run_until(lambda: bool(losses), max(begun + options.every - loop.time(), 0.0))


def run_rpc(options: argparse.Namespace) -> int:
    """`rpc`: call a function and print its value."""
    return at_each_node(options, _rpc)


def _rpc(options: argparse.Namespace, show: Show) -> int:
    terms = terms_of(options)
    module, function = module_name(options.module), plain_name(options.function)
    with connected(options, write_error if options.json else write_out) as there:
        arguments = terms(there)
        what = f"{module}:{function}/{len(arguments)} at {there.name}"
        show(answer_line(options, there, what, lambda: there.call(module, function, arguments)))
    return OK


def answer_line(
    options: argparse.Namespace, there: Connected, what: str, ask: Callable[[], object]
) -> Line:
    """The line for an answer, in the chosen notation; errors name the request."""
    try:
        value = ask()
        text = inspected(there, value) if options.elixir else ""
    except RemoteError as error:
        raised = raised_text(error, there if options.elixir else None)
        raise RemoteError(f"{what} raised {raised}", error.class_) from None
    except RemoteTimeoutError:
        raise RemoteTimeoutError(
            f"{what} did not answer within {options.timeout:g} s: give --timeout more seconds"
        ) from None
    if options.json:
        text = options.json_terms.write_term(value, ascii_only=not speaks_utf8())
        return Line(text, escape_erlang)
    if options.elixir:
        return Line(text, escape_elixir)
    return Line(format_term(value), escape_erlang)


def escape_erlang(char: str) -> str:
    """The ASCII escape of a character in an Erlang string."""
    return f"\\x{{{ord(char):X}}}"


def escape_elixir(char: str) -> str:
    """The ASCII escape of a character in an Elixir string."""
    return f"\\u{{{ord(char):X}}}"


# --- arguments and answers ------------------------------------------------------------------------


def module_name(word: str) -> str:
    """The module that a word of the command line names; an Elixir module gets its prefix."""
    name = plain_name(word)
    if name != word.strip() and "'" in word:
        return name
    return f"Elixir.{name}" if name[:1].isupper() and not name.startswith("Elixir.") else name


def plain_name(word: str) -> str:
    word = word.strip().removeprefix(":")
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] == "'" else word


def terms_of(options: argparse.Namespace) -> Callable[[Connected], list[object]]:
    """Read the arguments on the command line: here, or on the node if they are in Elixir."""
    numbered = enumerate(options.arguments, start=1)
    if options.elixir:
        words = [(number, _utf8_argument(number, text)) for number, text in numbered]
        return lambda there: [_elixir_argument(there, *pair) for pair in words]
    terms = [_argument(options, *pair) for pair in numbered]
    return lambda _there: terms


def _elixir_argument(there: Connected, number: int, text: str) -> object:
    try:
        return elixir_term(there, text)
    except TermError as error:
        raise ParseError(f"{_place(number, text)}: {error}") from None


def _argument(options: argparse.Namespace, number: int, text: str) -> object:
    """The term that a word of the command line gives."""
    text = _utf8_argument(number, text)
    try:
        return options.json_terms.read_term(text) if options.json else parse_term(text)
    except TermError as error:
        raise ParseError(f"{_place(number, text)}: {error}") from None


def _utf8_argument(number: int, text: str) -> str:
    try:
        return utf8_word(text)
    except ValueError as error:
        raise ParseError(f"{_place(number, text)}: {error}") from None


def _place(number: int, text: str) -> str:
    return f"argument {number}, '{printable(text.strip(), 60)}'"


def inspected(there: Connected, term: object) -> str:
    """The result of `inspect` on the other node; the plain notation if it has no Elixir.

    Only that node knows how to write its structs, and which of their fields are hidden.
    """
    try:
        text = there.call(KERNEL, "inspect", [term, INSPECT_OPTIONS])
    except RemoteError as error:
        match error.stack:
            case [(Atom() as module, Atom("inspect"), *_), *_] if module == KERNEL:
                if isinstance(error.reason, Atom) and error.reason == "undef":
                    return format_elixir(term)
        raise
    if not isinstance(text, bytes):
        raise RemoteError(f"{KERNEL}.inspect did not return a text")
    return text.decode(errors="replace")


def raised_text(error: RemoteError, inspecting: Connected | None) -> str:
    """A short text of the exception that a call raised; `inspecting` is a node to inspect it."""
    reason = error.reason
    is_exception = isinstance(reason, (dict, Map)) and reason.get("__exception__") is True
    if is_exception and isinstance(reason, (dict, Map)):
        message = reason.get("message")
        if isinstance(message, bytes):
            kind = format_elixir(reason.get("__struct__"))
            return f"{kind}: {message.decode(errors='replace')}"
    if error.class_ == "signal":
        return f"signal:{format_term(reason)}: the process was killed before it could answer"
    if inspecting is None or isinstance(reason, Atom):
        shown = format_elixir(reason) if is_exception else format_term(reason)
    else:
        try:
            shown = inspected(inspecting, reason)
        except UdsDistError:
            shown = "a reason that the node cannot inspect"
    text = shown if is_exception else f"{error.class_}:{shown}"
    match reason, error.stack:
        case Atom("undef"), [(module, function, list() | int() as arity, *_), *_]:
            arity = len(arity) if isinstance(arity, list) else arity
            return f"{text}: there is no function {module}:{function}/{arity} in that node"
    return text


# --- the words of the command line ----------------------------------------------------------------


def _add_ping_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.add_argument(
        "--every", type=read_seconds, metavar="SECONDS",
        help="stay connected and ping every SECONDS until an answer fails to come in --timeout",
    )  # fmt: skip
    add_node(parser)


def _read_module(word: str) -> str:
    return check_module(read_word(word))


def _read_function(word: str) -> str:
    return check_function(read_word(word))


def _add_rpc_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    add_notation(parser)
    add_node(parser, several=True)
    parser.add_argument("module", type=_read_module, metavar="MODULE")
    parser.add_argument("function", type=_read_function, metavar="FUNCTION")
    # The default keeps it out of the error about other missing arguments.
    parser.add_argument("arguments", type=unmarked, metavar="ARG", nargs="*", default=[])


COMMANDS = (
    Command("ping", "check whether a node answers", run_ping, _add_ping_arguments),
    Command(
        "rpc", "call a function on a node and print its value",
        run_rpc, _add_rpc_arguments, RPC_EPILOG,
    ),
)  # fmt: skip
