"""The command line: its words, and how a command ends: one exit code, one line for an error."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from uds_dist import UdsDistError, __version__
from uds_dist.cli.calls import run_ping, run_rpc, utf8_word
from uds_dist.cli.demo import run_demo
from uds_dist.cli.evaluate import EPILOG as EVAL_EPILOG
from uds_dist.cli.evaluate import add_arguments as add_eval_arguments
from uds_dist.cli.evaluate import run_eval
from uds_dist.cli.exit_codes import EPILOG, INTERRUPTED, OK, UNREACHABLE, USAGE, exit_code
from uds_dist.cli.hints import advise, check_function, check_module, usage_hint, write_hint
from uds_dist.cli.listen import EPILOG as LISTEN_EPILOG
from uds_dist.cli.listen import add_arguments as add_listen_arguments
from uds_dist.cli.listen import run_listen
from uds_dist.cli.messages import EPILOG as MESSAGES_EPILOG
from uds_dist.cli.messages import run_call, run_cast, run_send
from uds_dist.cli.names import run_names
from uds_dist.cli.output import OutputError, complain, prepare_streams, write_line, write_out
from uds_dist.cli.probe import EPILOG as PROBE_EPILOG
from uds_dist.cli.probe import run_probe
from uds_dist.cli.several import ALL
from uds_dist.cli.shells import EPILOG as REMOTE_EPILOG
from uds_dist.cli.shells import add_arguments as add_remote_arguments
from uds_dist.cli.shells import run_remote
from uds_dist.cli.texts import SHELLS, completion_script, manual_page
from uds_dist.cli.top import EPILOG as TOP_EPILOG
from uds_dist.cli.top import add_arguments as add_top_arguments
from uds_dist.cli.top import run_top
from uds_dist.config import LAYOUTS

RPC_EPILOG = """\
MODULE: an Elixir module is written as in Elixir (Enum, MyApp.Repo), an Erlang module in lower case.
  A name that begins with a capital letter gets the prefix Elixir. unless it has it; a name in
  single quotes is taken as it is ("'Odd'"). A colon before a module or function is dropped.
ARG: an Erlang term (42, ok, "list", <<"binary">>, {a,1}, #{k => v}), or with --json a JSON value.
  Put -- before the first argument that begins with a hyphen and is not a number.
--elixir: ARG is a literal Elixir term, which the node reads: %{a: 1}, "binary", ~D[2026-01-31],
  1..3, &String.upcase/1. The answer is what inspect prints there. At a node without Elixir ARG is
  an Erlang term, and the answer is in a plain notation.
--json: strings are binaries, arrays lists, objects maps (a key ":name" is an atom), null is nil;
  {"$atom": "ok"}, {"$tuple": [...]}, {"$binary": BASE64}, {"$map": [[key, value], ...]},
  {"$improper": [..., tail]} and {"$etf": BASE64} are the rest. The answer is written likewise.

"""

_NEGATIVE = re.compile(r"-\.?\d")
# Before a negative number: argparse takes it for an option else. No word can hold a NUL.
_MARK = "\0"
MOST_SECONDS = 1_000_000_000  # more than a system call takes everywhere
_VALUE_OPTIONS = (
    "--socket-dir",
    "--layout",
    "--allow-user",
    "--cookie",
    "--name",
    "--timeout",
    "--every",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words of the command line, by default this process's.
    Returns:
        The exit code; `exit_codes.EPILOG` lists them.
    """
    prepare_streams()
    options = argparse.Namespace()
    try:
        options = _parse(make_parser(), sys.argv[1:] if arguments is None else list(arguments))
        code: int = options.run(options)
        advise(options)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except UdsDistError as error:
        if not (isinstance(error, OutputError) and error.reader_left):
            complain(str(error))
            advise(options, error)
        return exit_code(error)
    except OSError as error:
        complain(f"the system refused: {error.strerror or error}")
        return UNREACHABLE


# --- the words of the command line ----------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of this program does."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        message, hint = usage_hint(message)
        complain(f"{message} (see {self.prog} --help)")
        write_hint(hint)
        raise SystemExit(USAGE)

    def print_help(self, file: object = None) -> None:
        """Write the help to standard output."""
        write_out(self.format_help())


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; the options of a subcommand come after its name."""
    parser = _Parser(
        prog="uds-dist",
        description="Talks to Erlang and Elixir nodes over Unix domain sockets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"uds-dist {__version__}")
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
    names.add_argument(
        "--watch", action="store_true", help="then a line, or an object, for each change"
    )

    ping = command("ping", run_ping, "ask a node for a sign of life")
    _add_connection(ping)
    ping.add_argument(
        "--every", type=_seconds, metavar="SECONDS",
        help="stay connected and ask every SECONDS until there is no answer; --timeout is for one",
    )  # fmt: skip
    _add_node(ping)

    rpc = command("rpc", run_rpc, "call a function at a node and print what it returns", RPC_EPILOG)
    _add_connection(rpc)
    _add_notation(rpc)
    _add_node(rpc, several=True)
    rpc.add_argument("module", type=lambda word: check_module(_word(word)), metavar="MODULE")
    rpc.add_argument("function", type=lambda word: check_function(_word(word)), metavar="FUNCTION")
    # With a default it is not among what is missing when another word is.
    rpc.add_argument("arguments", type=_unmarked, metavar="ARG", nargs="*", default=[])

    evaluate = command("eval", run_eval, "evaluate an expression at a node", EVAL_EPILOG)
    _add_connection(evaluate)
    add_eval_arguments(evaluate)
    _add_node(evaluate, several=True)
    evaluate.add_argument("arguments", type=_unmarked, metavar="EXPRESSION", nargs="*", default=[])

    remote = command("remote", run_remote, "open a shell at a node", REMOTE_EPILOG)
    _add_connection(remote)
    add_remote_arguments(remote)
    _add_node(remote)

    for name, run, about in (
        ("call", run_call, "call a generic server and print its reply"),
        ("cast", run_cast, "send a generic server a request that has no reply"),
        ("send", run_send, "send a message to a registered process"),
    ):
        tell = command(name, run, about, MESSAGES_EPILOG)
        _add_connection(tell)
        _add_notation(tell)
        _add_node(tell, several=True)
        tell.add_argument("process", type=_word, metavar="PROCESS")
        tell.add_argument("arguments", type=_unmarked, metavar="TERM", nargs="*", default=[])

    probe = command("probe", run_probe, "tell what there is to know of a node", PROBE_EPILOG)
    _add_connection(probe)
    probe.add_argument("--json", action="store_true", help="one JSON object")
    _add_node(probe)

    top = command("top", run_top, "watch the processes of a node", TOP_EPILOG)
    _add_connection(top)
    add_top_arguments(top, _seconds)
    _add_node(top)

    listen = command("listen", run_listen, "be a node, and print what it is sent", LISTEN_EPILOG)
    _add_connection(listen)
    add_listen_arguments(listen)
    listen.add_argument("node", type=_word, metavar="NAME", help="name@host, or name")

    command("demo", run_demo_command, "let two nodes of this program talk, and measure it")

    made: dict[str, argparse.ArgumentParser] = dict(commands.choices)
    scripts = command(
        "completion", lambda options: _write(completion_script(options.shell, made)),
        "print the script that completes commands and nodes in a shell",
    )  # fmt: skip
    scripts.add_argument("shell", choices=SHELLS)
    helps = command(
        "help", lambda options: _help(parser, made, options), "show the help of a command"
    )
    helps.add_argument("topic", metavar="COMMAND", nargs="?", help="also man: the manual page")
    return parser


def _write(text: str) -> int:
    write_out(text)
    return OK


def _help(
    parser: argparse.ArgumentParser,
    commands: dict[str, argparse.ArgumentParser],
    options: argparse.Namespace,
) -> int:
    topic = options.topic
    if topic == "man":
        return _write(manual_page(parser, commands, __version__))
    if topic is not None and topic not in commands:
        parser.error(f"there is no command {topic}")
    return _write((parser if topic is None else commands[topic]).format_help())


def _add_node(parser: argparse.ArgumentParser, several: bool = False) -> None:
    about = "name@host, or name for name@localhost"
    if several:
        parser.add_argument(
            "--all", action="store_true", help="in place of NODE: every node that listens"
        )
        about += "; several with commas"
    parser.add_argument("node", type=_word, metavar="NODE", help=about)


def _add_notation(parser: argparse.ArgumentParser) -> None:
    notation = parser.add_mutually_exclusive_group()
    notation.add_argument("--json", action="store_true", help="arguments and answer are JSON")
    notation.add_argument("--elixir", action="store_true", help="arguments and answer are Elixir")


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--socket-dir", type=_unmarked, metavar="DIR", help="folder of the sockets, or @NAME"
    )
    parser.add_argument(
        "--layout", type=_word, choices=LAYOUTS, help="how a node's socket is called there"
    )
    parser.add_argument(
        "--allow-user",
        type=_word,
        action="append",
        metavar="USER",
        help="trust this user's nodes, too: a name, a number, or any; may be given again",
    )


def _add_connection(parser: argparse.ArgumentParser) -> None:
    _add_where(parser)
    parser.add_argument(
        "--cookie",
        type=_word,
        help="the cookie; others can see it in the list of processes: prefer the environment",
    )
    parser.add_argument(
        "--name",
        type=_word,
        metavar="NAME@HOST",
        help="this node's name; by default the other node gives one",
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="in all; 10 by default"
    )
    parser.add_argument(
        "--trace", action="store_true", help="show each control message on standard error"
    )


def _unmarked(word: str) -> str:
    return word.removeprefix(_MARK)


def _word(word: str) -> str:
    try:
        return utf8_word(_unmarked(word))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(word: str) -> float:
    word = _word(word)
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{word.strip()!r} is not a number of seconds above 0 and up to {MOST_SECONDS:,}"
        )
    return value


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    _check_values(parser, words)
    words = _all_nodes(words)
    words = [_MARK + word if _NEGATIVE.match(word) else word for word in words]
    options, more = parser.parse_known_args(words)
    # argparse takes arguments that follow an option in their midst for unknown.
    end = more.index("--") if "--" in more else len(more)
    unknown = [word for word in more[:end] if word.startswith("-") and word != "-"]
    if not hasattr(options, "arguments"):
        unknown = more
    if unknown:
        parser.error(f"unknown: {' '.join(map(_unmarked, unknown))}")
    if more:
        options.arguments = [*options.arguments, *map(_unmarked, more[:end] + more[end + 1 :])]
    return options


def _all_nodes(words: list[str]) -> list[str]:
    """Put the option --all where the node's name stands, for argparse to count the words right."""
    end = words.index("--") if "--" in words else len(words)
    if "--all" not in words[:end] or "--help" in words[:end]:
        return words
    words = [word for index, word in enumerate(words) if word != "--all" or index > end]
    return [*words[:1], ALL, *words[1:]]


def _check_values(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Say how a value that begins with a hyphen is written: argparse takes it for an option."""
    for option, value in zip(words, words[1:]):
        if option == "--":
            return
        if option in _VALUE_OPTIONS and value.startswith("-") and not _NEGATIVE.match(value):
            parser.error(f"{option} needs a value: if {value} is the value, write {option}={value}")


def run_demo_command(_options: argparse.Namespace) -> int:
    """`demo`: two nodes in two processes."""
    run_demo(write_line)
    return OK
