"""What the commands are made of: a command's name and help, and the words that several take."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

from uds_dist.config import LAYOUTS, Config

# Put before a negative number, which argparse would take for an option. No word can hold a NUL.
MARK = "\0"
ALL = "*"  # in place of a node's name: the option --all
MOST_SECONDS = 1_000_000_000  # more than a system call takes everywhere


class Command(NamedTuple):
    """One command: `about` is its line in the list of commands, `epilog` ends its own help."""

    name: str
    about: str
    run: Callable[[argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    epilog: str = ""


# --- the kinds of words ---------------------------------------------------------------------------


def unmarked(word: str) -> str:
    """A word as the user wrote it."""
    return word.removeprefix(MARK)


def utf8_word(word: str) -> str:
    """A word of the command line, whose bytes are UTF-8 whatever the locale is.

    Raises:
        ValueError: they are not.
    """
    try:
        word.encode()
        return word
    except UnicodeEncodeError:  # Python did not understand some bytes, and kept them
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
    """The settings of the environment, and those that `options` give."""
    given = {
        "socket_dir": options.socket_dir,
        "layout": options.layout,
        "allowed_uids": None if options.allow_user is None else ",".join(options.allow_user),
    }
    return Config.from_env(**{name: value for name, value in given.items() if value is not None})


# --- the words that several commands take ---------------------------------------------------------


def add_node(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """The node; `several` for a command that can be run at several."""
    about = "name@host, or name for name@localhost"
    if several:
        parser.add_argument(
            "--all", action="store_true", help="in place of NODE: every node that listens"
        )
        about += "; several with commas"
    parser.add_argument("node", type=read_word, metavar="NODE", help=about)


def add_notation(parser: argparse.ArgumentParser) -> None:
    """How terms are written."""
    notation = parser.add_mutually_exclusive_group()
    notation.add_argument("--json", action="store_true", help="arguments and answer are JSON")
    notation.add_argument("--elixir", action="store_true", help="arguments and answer are Elixir")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Where nodes meet, and who is trusted there."""
    parser.add_argument(
        "--socket-dir", type=unmarked, metavar="DIR", help="folder of the sockets, or @NAME"
    )
    parser.add_argument(
        "--layout", type=read_word, choices=LAYOUTS, help="how a node's socket is called there"
    )
    parser.add_argument(
        "--allow-user",
        type=read_word,
        action="append",
        metavar="USER",
        help="trust this user's nodes, too: a name, a number, or any; may be given again",
    )


def add_connection(parser: argparse.ArgumentParser) -> None:
    """What it takes to connect to a node."""
    add_where(parser)
    parser.add_argument(
        "--cookie",
        type=read_word,
        help="the cookie; others can see it in the list of processes: prefer the environment",
    )
    parser.add_argument(
        "--name",
        type=read_word,
        metavar="NAME@HOST",
        help="this node's name; by default the other node gives one",
    )
    parser.add_argument(
        "--timeout",
        type=read_seconds,
        default=10.0,
        metavar="SECONDS",
        help="in all; 10 by default",
    )
    parser.add_argument(
        "--trace", action="store_true", help="show each control message on standard error"
    )
