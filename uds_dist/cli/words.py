"""The parts of every command (name, help text, arguments), and the arguments that many share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from uds_dist.config import LAYOUTS, Config
from uds_dist.errors import ConfigError

# Put before a negative number: argparse would read it as an option. No word contains a NUL.
MARK = "\0"
ALL = "*"  # in place of a node's name: the option --all
MOST_SECONDS = 1_000_000_000  # some systems do not accept a longer timeout


class Command:
    """One command: `about` is its line in the list of commands, `epilog` the end of its help."""

    __slots__ = ("name", "about", "run", "add_arguments", "epilog")

    def __init__(
        self,
        name: str,
        about: str,
        run: Callable[[argparse.Namespace], int],
        add_arguments: Callable[[argparse.ArgumentParser], None],
        epilog: str = "",
    ) -> None:
        self.name = name
        self.about = about
        self.run = run
        self.add_arguments = add_arguments
        self.epilog = epilog


# --- the kinds of words ---------------------------------------------------------------------------


def unmarked(word: str) -> str:
    """A word as the user wrote it."""
    return word.removeprefix(MARK)


def utf8_word(word: str) -> str:
    """A word of the command line, read as UTF-8 in any locale.

    Raises:
        ValueError: it is not UTF-8.
    """
    try:
        word.encode()
        return word
    except UnicodeEncodeError:  # Python could not decode some bytes, and kept them
        data = os.fsencode(word)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{data[:60]!r} is not UTF-8 text") from None


def read_word(text: str) -> str:
    """A word that is UTF-8 text."""
    try:
        return utf8_word(unmarked(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def read_one_node(text: str) -> str:
    """The name of one node, for a command that does not run on several."""
    word = read_word(text)
    if word == ALL or "," in word:
        raise argparse.ArgumentTypeError(
            "give one node: only rpc, eval, call, cast and send work on several"
        )
    return word


def read_seconds(text: str) -> float:
    """A number of seconds."""
    text = read_word(text)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text.strip()!r} is not a number of seconds above 0 and up to {MOST_SECONDS:,}"
        )
    return value


def config_of(options: argparse.Namespace) -> Config:
    """The settings from the environment and from `options`."""
    given = {
        "socket_dir": options.socket_dir,
        "layout": options.layout,
        "allowed_uids": None if options.allow_user is None else ",".join(options.allow_user),
    }
    return Config.from_env(**{name: value for name, value in given.items() if value is not None})


def unlisted(folder: str, error: OSError) -> ConfigError:
    """The error for a folder of sockets that cannot be listed."""
    cure = "use --socket-dir or set UDS_DIST_SOCKET_DIR"
    if isinstance(error, PermissionError):
        cure = "this user may not list it, but can dial a node in it by its name"
    return ConfigError(f"{error.filename or folder}: {error.strerror}: {cure}")


# --- arguments that several commands share --------------------------------------------------------


def add_node(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add the node; `several` for a command that can run on several nodes."""
    about = "name@host, or name for name@localhost"
    if several:
        parser.add_argument(
            "--all", action="store_true", help="instead of NODE: every node that listens"
        )
        about += "; separate several with commas"
    kind = read_word if several else read_one_node
    parser.add_argument("node", type=kind, metavar="NODE", help=about)


def add_notation(parser: argparse.ArgumentParser) -> None:
    """Add the options for the notation of terms."""
    notation = parser.add_mutually_exclusive_group()
    notation.add_argument("--json", action="store_true", help="arguments and answer are JSON")
    notation.add_argument("--elixir", action="store_true", help="arguments and answer are Elixir")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where nodes meet and which users are trusted."""
    parser.add_argument(
        "--socket-dir", type=unmarked, metavar="DIR", help="folder of the sockets, or @NAME"
    )
    parser.add_argument(
        "--layout", type=read_word, choices=LAYOUTS, help="how the sockets in it are named"
    )
    parser.add_argument(
        "--allow-user",
        type=read_word,
        action="append",
        metavar="USER",
        help="also trust this user's nodes: a name, a number, or any; may be repeated",
    )


def add_identity(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that is a node."""
    add_where(parser)
    parser.add_argument(
        "--cookie",
        type=read_word,
        help="the cookie; other users can see it in the process list: prefer the environment",
    )
    parser.add_argument(
        "--trace", action="store_true", help="print each control message to standard error"
    )


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that connects to a node."""
    add_identity(parser)
    parser.add_argument(
        "--name",
        type=read_word,
        metavar="NAME@HOST",
        help="this node's name; by default the other node chooses it",
    )
    parser.add_argument(
        "--timeout",
        type=read_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for the whole command; 10 by default",
    )
