"""The command line: one function per subcommand, one line per error, one exit code per cause."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from uds_dist import (
    AddressError,
    Config,
    ConfigError,
    CookieMismatchError,
    HandshakeTimeoutError,
    Map,
    Node,
    NodeNameMismatchError,
    ParseError,
    RemoteError,
    RemoteTimeout,
    TermError,
    UdsDistError,
    format_term,
    parse_term,
)
from uds_dist.cli.demo import DemoError, run_demo
from uds_dist.cli.notation import format_elixir, from_json, to_json
from uds_dist.cli.shells import EPILOG as REMOTE_EPILOG
from uds_dist.cli.shells import add_arguments as add_remote_arguments
from uds_dist.cli.shells import run_remote
from uds_dist.config import LAYOUTS
from uds_dist.processes.identity import find_cookie
from uds_dist.transport.address import listening_names, socket_address

OK = 0
RAISED = 1
USAGE = 2
UNREACHABLE = 3
COOKIE = 4
TIMEOUT = 5
INTERRUPTED = 130
OUTPUT_CLOSED = 141

# The first class that fits decides.
EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (RemoteError, RAISED),
    (DemoError, RAISED),
    (CookieMismatchError, COOKIE),
    (HandshakeTimeoutError, TIMEOUT),
    (RemoteTimeout, TIMEOUT),
    (ConfigError, USAGE),
    (AddressError, USAGE),
    (TermError, USAGE),
    (UdsDistError, UNREACHABLE),
)

EPILOG = """\
exit codes:
  0    done; ping: pong
  1    the call raised in the other node; ping: connected, but no pong; demo: it failed
  2    a mistake in the command, an argument or a setting
  3    no connection: nothing listens there, or the node refused this one
  4    no cookie, or not the same cookie as the node's
  5    no answer in time
  130  interrupted
  141  the reader of the output went away

environment:
  UDS_DIST_SOCKET_DIR         the folder of the sockets, or @NAME for Linux abstract sockets
  UDS_DIST_COOKIE             the cookie; then RELEASE_COOKIE, then the file ~/.erlang.cookie
  UDS_DIST_LAYOUT             uds_dist or erl_uds_dist
  UDS_DIST_HANDSHAKE_TIMEOUT  seconds for one handshake
"""

RPC_EPILOG = """\
MODULE: an Elixir module is written as in Elixir (Enum, MyApp.Repo), an Erlang module in lower case.
  A name that begins with a capital letter gets the prefix Elixir. unless it has it; a name in
  single quotes is taken as it is ("'Odd'"). A colon before a module or function is dropped.
ARG: an Erlang term (42, ok, "list", <<"binary">>, {a,1}, #{k => v}), or with --json a JSON value.
  Put -- before the first argument that begins with a hyphen and is no number.
--json: strings are binaries, arrays lists, objects maps (a key ":name" is an atom), null is nil;
  {"$atom": "ok"}, {"$tuple": [...]}, {"$binary": BASE64}, {"$map": [[key, value], ...]},
  {"$improper": [..., tail]} and {"$etf": BASE64} are the rest. The answer is written likewise.

"""

_NEGATIVE = re.compile(r"-\.?\d")


class CookieMissingError(ConfigError):
    """There is no cookie to be found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line, by default this process's.
    Returns:
        The exit code; `EPILOG` lists them.
    """
    parser = make_parser()
    options = _parse(parser, sys.argv[1:] if arguments is None else list(arguments))
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # an integer of Erlang has any length
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except UdsDistError as error:
        _complain(str(error))
        return exit_code(error)
    except RecursionError:
        _complain("a term is nested too deep for this notation")
        return USAGE


def exit_code(error: UdsDistError) -> int:
    """The exit code that tells of an error."""
    if isinstance(error, CookieMissingError):
        return COOKIE
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def _complain(text: str) -> None:
    print("uds-dist:", " ".join(text.split()), file=sys.stderr)


# --- the words of the command line ----------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of this program does."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"uds-dist: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; the options of a subcommand come after its name."""
    parser = _Parser(
        prog="uds-dist",
        description="Talks to Erlang and Elixir nodes over Unix domain sockets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], about: str, before: str = ""
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=before + EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        made.set_defaults(run=run)
        return made

    names = command("names", run_names, "list the nodes that listen in the socket folder")
    _add_where(names)
    names.add_argument("--json", action="store_true", help="a JSON array of objects")

    ping = command("ping", run_ping, "ask a node for a sign of life")
    _add_connection(ping)
    ping.add_argument("node", metavar="NODE", help="name@host, or name for name@localhost")

    rpc = command("rpc", run_rpc, "call a function at a node and print what it returns", RPC_EPILOG)
    _add_connection(rpc)
    notation = rpc.add_mutually_exclusive_group()
    notation.add_argument("--json", action="store_true", help="arguments and answer are JSON")
    notation.add_argument("--elixir", action="store_true", help="print the answer as Elixir does")
    rpc.add_argument("node", metavar="NODE", help="name@host, or name for name@localhost")
    rpc.add_argument("module", metavar="MODULE")
    rpc.add_argument("function", metavar="FUNCTION")
    rpc.add_argument("arguments", metavar="ARG", nargs="*")

    remote = command(
        "remote", run_remote_command, "open a shell at a node", REMOTE_EPILOG
    )
    _add_connection(remote)
    add_remote_arguments(remote)

    command("demo", run_demo_command, "let two nodes of this program talk, and measure it")
    return parser


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket-dir", metavar="DIR", help="folder of the sockets, or @NAME")
    parser.add_argument("--layout", choices=LAYOUTS, help="how a node's socket is called there")


def _add_connection(parser: argparse.ArgumentParser) -> None:
    _add_where(parser)
    parser.add_argument(
        "--cookie", help="the cookie; others can see it in the list of processes: prefer the"
        " environment"
    )
    parser.add_argument(
        "--name", metavar="NAME@HOST", help="this node's name; by default the other node gives one"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="in all; 10 by default"
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text.strip()!r} is no number of seconds above 0")
    return value


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    # A space makes a word no option, and is none of a term's: so -16#ff gets through.
    words = [f" {word}" if _NEGATIVE.match(word) else word for word in words]
    options, more = parser.parse_known_args(words)
    # argparse takes arguments that follow an option in their midst for unknown.
    end = more.index("--") if "--" in more else len(more)
    unknown = [word for word in more[:end] if word.startswith("-")]
    if not hasattr(options, "arguments"):
        unknown = more
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)}")
    if more:
        options.arguments += more[:end] + more[end + 1 :]
    return options


# --- what the subcommands share -------------------------------------------------------------------


def _config(options: argparse.Namespace) -> Config:
    given = {"socket_dir": options.socket_dir, "layout": options.layout}
    return Config.from_env(**{name: value for name, value in given.items() if value is not None})


def _full_name(node: str) -> str:
    return node if "@" in node else f"{node}@localhost"


@contextmanager
def _connected(options: argparse.Namespace) -> Iterator[tuple[Node, str, Callable[[], float]]]:
    """A node of this process, connected to the one that `options` name, and the time left."""
    config = _config(options)
    name = _full_name(options.node)
    cookie = options.cookie or config.cookie or _find_cookie()
    # "@host" has the other node give the name, and BEAM nodes give theirs out again and again. A
    # name made up here would stay in the node's table of atoms for good.
    with Node(options.name or "@localhost", cookie=cookie, config=config) as node:
        deadline = node.loop.time() + options.timeout
        try:
            node.connect(name).result(options.timeout)
        except NodeNameMismatchError as error:
            if "@" in options.node:
                raise
            raise NodeNameMismatchError(
                f"{error} (without a host part, {options.node} means {name})"
            ) from None
        yield node, name, lambda: max(deadline - node.loop.time(), 0.0)


def _find_cookie() -> str:
    try:
        return find_cookie()
    except ConfigError as error:
        raise CookieMissingError(str(error)) from None


# --- the subcommands ------------------------------------------------------------------------------


def run_names(options: argparse.Namespace) -> int:
    """`names`: what listens in the socket folder, or under the abstract prefix."""
    config = _config(options)
    try:
        found = [
            {"name": name, "state": state, "socket": socket_address(name, config).text}
            for name, state in listening_names(config)
        ]
    except OSError as error:
        raise ConfigError(
            f"{error.filename or config.socket_dir}: {error.strerror}: give --socket-dir or set"
            " UDS_DIST_SOCKET_DIR"
        ) from None
    if options.json:
        print(json.dumps(found))
        return OK
    if not found:
        print(f"uds-dist: no node listens in {config.socket_dir}", file=sys.stderr)
    width = max((len(entry["name"]) for entry in found), default=0)
    for entry in found:
        print(f"{entry['name']:<{width}}  {entry['state']:<6}  {entry['socket']}")
    return OK


def run_ping(options: argparse.Namespace) -> int:
    """`ping`: pong, or pang and why."""
    try:
        with _connected(options) as (node, name, left):
            if node.ping(name, left()):
                print("pong")
                return OK
        print("pang", flush=True)
        _complain(f"{name} accepted the connection and did not answer within {options.timeout:g} s")
        return RAISED
    except UdsDistError as error:
        if exit_code(error) != USAGE:
            print("pang", flush=True)
        raise


def run_rpc(options: argparse.Namespace) -> int:
    """`rpc`: call a function, print its value."""
    read = _read_json if options.json else parse_term
    arguments = [
        _read(read, number, text) for number, text in enumerate(options.arguments, start=1)
    ]
    module, function = module_name(options.module), _plain(options.function)
    with _connected(options) as (node, name, left):
        what = f"{module}:{function}/{len(arguments)} at {name}"
        try:
            value = node.rpc(name, module, function, arguments).result(left())
        except RemoteError as error:
            raise RemoteError(f"{what} raised {_raised(error)}", error.class_) from None
        except RemoteTimeout:
            raise RemoteTimeout(
                f"{what} did not answer within {options.timeout:g} s: give --timeout more seconds"
            ) from None
    if options.json:
        text = json.dumps(to_json(value), ensure_ascii=not _speaks_utf8())
    else:
        text = format_elixir(value) if options.elixir else format_term(value)
    print(text)
    return OK


def run_remote_command(options: argparse.Namespace) -> int:
    """`remote`: a shell at another node."""
    return run_remote(options, _connected(options))


def run_demo_command(_options: argparse.Namespace) -> int:
    """`demo`: two nodes in two processes."""
    run_demo(lambda line: print(line, flush=True))
    return OK


# --- arguments and answers ------------------------------------------------------------------------


def module_name(word: str) -> str:
    """The module that a word of the command line stands for: Elixir's carry a prefix."""
    name = _plain(word)
    if name != word.strip() and "'" in word:
        return name
    return f"Elixir.{name}" if name[:1].isupper() and not name.startswith("Elixir.") else name


def _plain(word: str) -> str:
    word = word.strip().removeprefix(":")
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] == "'" else word


def _read_json(text: str) -> object:
    def refuse(constant: str) -> object:
        raise ParseError(f"{constant} is no number that Erlang has")

    try:
        return from_json(json.loads(text, parse_constant=refuse))
    except json.JSONDecodeError as error:
        hint = " (a string needs its double quotes)" if text[:1].isalpha() else ""
        raise ParseError(f"no JSON: {error}{hint}", error.pos) from None


def _read(read: Callable[[str], object], number: int, text: str) -> object:
    try:
        return read(text)
    except TermError as error:
        raise ParseError(f"argument {number}, {text.strip()!r}: {error}") from None


def _speaks_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _raised(error: RemoteError) -> str:
    """What a call raised, as short as it can be said."""
    reason = error.reason
    if isinstance(reason, (dict, Map)) and reason.get("__exception__") is True:
        message = reason.get("message")
        if isinstance(message, bytes):
            kind = format_elixir(reason.get("__struct__"))
            return f"{kind}: {message.decode(errors='replace')}"
        return format_elixir(reason)
    if error.class_ not in ("error", "exit", "throw"):
        return str(error)
    text = f"{error.class_}:{format_term(reason)}"
    match error.stack:
        case [(module, function, list() | int() as arity, *_), *_] if reason == "undef":
            arity = len(arity) if isinstance(arity, list) else arity
            return f"{text}: there is no function {module}:{function}/{arity} in that node"
    return text
