"""`uds-dist remote`: a shell at another node, at this terminal or between pipes."""

from __future__ import annotations

import argparse
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from uds_dist import Node, NoConnectionError, UdsDistError
from uds_dist.cli.connected import connected
from uds_dist.cli.exit_codes import ENDED_BY_SIGNAL, OK, RAISED
from uds_dist.cli.output import OutputError, complain, write_error, write_out
from uds_dist.cli.words import Command, add_connection, add_node
from uds_dist.shell.device import (
    STDIN,
    STDOUT,
    Input,
    Output,
    echo_switch,
    has_colour,
    moves_cursor,
    on_signals,
    raw_mode,
    stop_group,
    terminal_size,
)
from uds_dist.shell.history import History, history_path
from uds_dist.shell.io_server import Console
from uds_dist.shell.plain import PlainConsole
from uds_dist.shell.remote import REMOTE_LOGGER, Choice, Kind, RemoteShell, TextHandler, find_kind
from uds_dist.shell.terminal import TerminalConsole

EPILOG = """\
The shell is IEx if the node has it, else the Erlang shell. Keys are those of Emacs: C-a, C-e,
C-k, C-r (search), C-w, M-b and so on; Tab completes. C-c gives a new prompt, or interrupts the
evaluation; C-d at an empty prompt leaves, and so does C-\\ at any time; C-z suspends. The node
stays alive.
If standard input is not a terminal, its lines are evaluated one by one and their output is
printed; the exit code is 1 when an expression raised.

"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    kind = parser.add_mutually_exclusive_group()
    for name, about in (
        ("iex", "Elixir's shell"),
        ("erl", "the Erlang shell"),
        ("python", "the prompt of a Python node that serves a console"),
    ):
        kind.add_argument(
            f"--{name}", dest="kind", action="store_const", const=name, default=None, help=about
        )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--dot-iex", metavar="FILE", help="what IEx evaluates first: a file that the node can read"
    )
    start.add_argument(
        "--no-dot-iex", dest="dot_iex", action="store_const", const="", help="evaluate no .iex.exs"
    )
    add_node(parser)


def run_remote(options: argparse.Namespace) -> int:
    """`remote`: serve a shell of another node until it is left."""
    dot_iex = options.dot_iex
    choice = Choice(options.kind, os.path.abspath(dot_iex) if dot_iex else dot_iex)
    with connected(options) as other:
        node, name = other.node, other.name
        kind = find_kind(node, name, choice, other.left())
        at_terminal = os.isatty(STDIN) and os.isatty(STDOUT) and moves_cursor()
        serve = _at_terminal if at_terminal else _between_pipes
        try:
            return serve(node, name, kind, choice, other.left())
        except UdsDistError:
            raise
        except OSError as error:
            raise OutputError(
                f"standard output cannot be written: {error.strerror}",
                isinstance(error, BrokenPipeError),
            ) from None


def _at_terminal(node: Node, name: str, kind: Kind, choice: Choice, timeout: float) -> int:
    loop = node.loop
    output = Output(loop, STDOUT)
    history = History(history_path(kind, os.environ))
    console = TerminalConsole(output, loop.call_soon, history, *terminal_size(STDOUT))
    shell = RemoteShell(node, name, kind, console)
    console.reader = shell

    def on_data(data: bytes) -> None:
        if data:
            console.feed(data)
        else:
            shell.leave()  # the terminal has hung up

    source = Input(loop, STDIN, on_data)
    with raw_mode(STDIN, output) as mode:
        console.on_suspend = stop_group

        def continued() -> None:
            mode.enter()
            console.redraw()

        code = OK

        def end(number: signal.Signals) -> None:
            nonlocal code
            code = ENDED_BY_SIGNAL + number
            shell.leave()

        def suspend() -> None:
            console.suspend()
            mode.suspend()
            console.redraw()

        signals: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGWINCH: lambda: console.resize(*terminal_size(STDOUT)),
            signal.SIGCONT: continued,
            signal.SIGTSTP: suspend,
            signal.SIGINT: console.interrupt,
            signal.SIGTERM: partial(end, signal.SIGTERM),
            signal.SIGHUP: partial(end, signal.SIGHUP),
        }
        with on_signals(loop, signals), _logging_to(partial(_print, console)):
            try:
                shell.start(choice.dot_iex, timeout, has_colour())
                source.read(True)
                shell.run()
            finally:
                source.close()
                console.close()
                _close(shell)
    return code


def _between_pipes(node: Node, name: str, kind: Kind, choice: Choice, timeout: float) -> int:
    loop = node.loop
    interactive = os.isatty(STDIN)
    write_out("")  # tells if standard output is closed
    output = Output(loop, STDOUT)
    with ExitStack() as stack:
        stack.callback(output.close)
        if interactive:
            echo = stack.enter_context(echo_switch(STDIN))
            console = PlainConsole(output, loop.call_soon, prompts=True, banner=True, echo=echo)
        else:
            console = PlainConsole(output, loop.call_soon)
        shell = RemoteShell(node, name, kind, console, count_errors=True)
        console.reader = shell
        console.source = source = Input(loop, STDIN, console.feed)
        if interactive:
            stack.enter_context(on_signals(loop, {signal.SIGINT: shell.interrupt}))
        stack.enter_context(_logging_to(write_error))  # standard output is for what is evaluated
        try:
            shell.start(choice.dot_iex, timeout)
            shell.run()
        finally:
            source.close()
            _close(shell)
    if shell.unfinished:
        complain("the input ends within an expression, which was not evaluated")
    return RAISED if shell.failed else OK


def _print(console: Console, text: str) -> None:
    console.write(text, lambda: None)


def _close(shell: RemoteShell) -> None:
    try:
        shell.close()
    except NoConnectionError:
        pass  # the node is gone: nothing of the shell is left there


@contextmanager
def _logging_to(write: Callable[[str], object]) -> Iterator[None]:
    """Print what the other node's processes log; the node has filtered it already."""
    logger = logging.getLogger(REMOTE_LOGGER)
    handler = TextHandler(write)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


COMMANDS = (Command("remote", "open a shell at a node", run_remote, _add_arguments, EPILOG),)
