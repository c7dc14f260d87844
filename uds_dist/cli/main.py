"""The command line: its words, and how a command ends: one exit code, one line for an error."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from uds_dist import UdsDistError, __version__
from uds_dist.cli.exit_codes import EPILOG, INTERRUPTED, OK, UNREACHABLE, USAGE, exit_code
from uds_dist.cli.hints import advise, usage_hint, write_hint
from uds_dist.cli.output import OutputError, complain, prepare_streams, text_of, write_out
from uds_dist.cli.texts import SHELLS, completion_script, manual_page
from uds_dist.cli.words import ALL, MARK, Command, unmarked

# Where each command is, in the order of the help. Only the module of the command that is run gets
# imported: importing all of them would take longer than a call to a node.
MODULES = {
    "names": "uds_dist.cli.names",
    "ping": "uds_dist.cli.calls",
    "rpc": "uds_dist.cli.calls",
    "eval": "uds_dist.cli.evaluate",
    "remote": "uds_dist.cli.shells",
    "call": "uds_dist.cli.messages",
    "cast": "uds_dist.cli.messages",
    "send": "uds_dist.cli.messages",
    "probe": "uds_dist.cli.probe",
    "top": "uds_dist.cli.top",
    "listen": "uds_dist.cli.listen",
    "demo": "uds_dist.cli.demo",
}
# What an option needs, and nothing else.
OPTION_MODULES = {"--trace": "uds_dist.cli.trace", "--json": "uds_dist.cli.json_terms"}

STDOUT = 1
_NEGATIVE = r"-\.?\d"
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
        words = sys.argv[1:] if arguments is None else list(arguments)
        options = _parse(make_parser(*words[:1]), words)
        if getattr(options, "trace", False):
            options.tracer = import_module(OPTION_MODULES["--trace"]).tracer
        if getattr(options, "json", False):
            options.json_terms = import_module(OPTION_MODULES["--json"])
        code: int = options.run(options)
        advise(options)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except UdsDistError as error:
        if not (isinstance(error, OutputError) and error.reader_left):
            complain(text_of(error))
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


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help texts as wide as the terminal; to find its width, argparse would import shutil and more.

    One is made for each argument, to check its name.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """The columns of the terminal, as shutil.get_terminal_size finds them."""
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(STDOUT).columns
        except OSError:  # it is not a terminal
            columns = 0
    return columns or 80


def make_parser(name: str = "") -> argparse.ArgumentParser:
    """The parser of the command line; the options of a subcommand come after its name.

    Args:
        name: the command that is run, for a parser that knows this one alone.
    """
    parser = _Parser(
        prog="uds-dist",
        description="Talks to Erlang and Elixir nodes over Unix domain sockets.",
        epilog=EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"uds-dist {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(command: Command) -> argparse.ArgumentParser:
        about = command.about
        made = commands.add_parser(
            command.name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=command.epilog + EPILOG,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        made.set_defaults(run=command.run)
        command.add_arguments(made)
        return made

    if name in MODULES:
        add(_load(name))
        return parser
    made = {name: add(_load(name)) for name in MODULES}
    for command in _commands_of_texts(parser, made):
        made[command.name] = add(command)
    return parser


def _load(name: str) -> Command:
    """Import the module of a command."""
    commands: Sequence[Command] = import_module(MODULES[name]).COMMANDS
    return next(command for command in commands if command.name == name)


def _commands_of_texts(
    parser: argparse.ArgumentParser, made: Mapping[str, argparse.ArgumentParser]
) -> list[Command]:
    """The commands that are about the parsers of all others."""
    return [
        Command(
            "completion",
            "print the script that completes commands and nodes in a shell",
            lambda options: _write(completion_script(options.shell, made)),
            _add_completion_arguments,
        ),
        Command(
            "help",
            "show the help of a command",
            lambda options: _help(parser, made, options),
            _add_help_arguments,
        ),
    ]


def _add_completion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def _add_help_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="COMMAND", nargs="?", help="also man: the manual page")


def _write(text: str) -> int:
    write_out(text)
    return OK


def _help(
    parser: argparse.ArgumentParser,
    commands: Mapping[str, argparse.ArgumentParser],
    options: argparse.Namespace,
) -> int:
    topic = options.topic
    if topic == "man":
        return _write(manual_page(parser, commands, __version__))
    if topic is not None and topic not in commands:
        parser.error(f"there is no command {topic}")
    return _write((parser if topic is None else commands[topic]).format_help())


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    _check_values(parser, words)
    words = _all_nodes(words)
    words = [MARK + word if re.match(_NEGATIVE, word) else word for word in words]
    options, more = parser.parse_known_args(words)
    # argparse calls arguments unknown if an option comes between them.
    end = more.index("--") if "--" in more else len(more)
    unknown = [word for word in more[:end] if word.startswith("-") and word != "-"]
    if not hasattr(options, "arguments"):
        unknown = more
    if unknown:
        as_written = ["--all" if word == ALL else unmarked(word) for word in unknown]
        parser.error(f"unknown: {' '.join(as_written)}")
    if more:
        options.arguments = [*options.arguments, *map(unmarked, more[:end] + more[end + 1 :])]
    return options


def _all_nodes(words: list[str]) -> list[str]:
    """Put the option --all in place of the node's name, so that argparse counts the words right."""
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
        if option in _VALUE_OPTIONS and value.startswith("-") and not re.match(_NEGATIVE, value):
            parser.error(f"{option} needs a value: if {value} is the value, write {option}={value}")
