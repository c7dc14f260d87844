"""`uds-dist call`, `cast` and `send`: messages to a process on a node."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from uds_dist import ConfigError
from uds_dist.cli.calls import answer_line, module_name, terms_of
from uds_dist.cli.connected import Connected, connected
from uds_dist.cli.exit_codes import OK
from uds_dist.cli.several import Show, at_each_node
from uds_dist.cli.words import Command, add_connection, add_node, add_notation, read_word, unmarked

EPILOG = """\
PROCESS: a registered name; a capital letter starts an Elixir name (MyApp.Counter).
TERM: an Erlang term (get, {add,1}), with --json a JSON value, or with --elixir a literal Elixir
  term ({:add, 1}), which the node reads.

"""


def run_call(options: argparse.Namespace) -> int:
    """`call`: call a generic server and print its reply."""
    return at_each_node(options, _call)


def _call(options: argparse.Namespace, show: Show) -> int:
    term = _one_term(options)
    process = module_name(options.process)
    with connected(options) as there:
        request = term(there)
        dest = (process, there.name)
        what = f"{process} at {there.name}"
        reply = there.node.call(dest, request)
        show(answer_line(options, there, what, lambda: reply.result(there.left())))
    return OK


def _one_term(options: argparse.Namespace) -> Callable[[Connected], object]:
    """Read the term: here, or on the node if it is in Elixir."""
    terms = terms_of(options)
    if len(options.arguments) != 1:
        raise ConfigError(f"give one term after the process, not {len(options.arguments)}")
    return lambda there: terms(there)[0]


def run_cast(options: argparse.Namespace) -> int:
    """`cast`: send a generic server a request without a reply."""
    return at_each_node(options, _cast)


def _cast(options: argparse.Namespace, _show: Show) -> int:
    request = _one_term(options)
    with connected(options) as there:
        there.node.cast((module_name(options.process), there.name), request(there))
        there.node.flush(there.left())
    return OK


def run_send(options: argparse.Namespace) -> int:
    """`send`: send a message to a process."""
    return at_each_node(options, _send)


def _send(options: argparse.Namespace, _show: Show) -> int:
    message = _one_term(options)
    with connected(options) as there:
        there.node.send((module_name(options.process), there.name), message(there))
        there.node.flush(there.left())
    return OK


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    add_notation(parser)
    add_node(parser, several=True)
    parser.add_argument("process", type=read_word, metavar="PROCESS")
    parser.add_argument("arguments", type=unmarked, metavar="TERM", nargs="*", default=[])


COMMANDS = tuple(
    Command(name, about, run, _add_arguments, EPILOG)
    for name, about, run in (
        ("call", "call a generic server and print its reply", run_call),
        ("cast", "send a generic server a request without a reply", run_cast),
        ("send", "send a message to a registered process", run_send),
    )
)
