"""`uds-dist listen`: a node on the command line that prints the messages it receives."""

from __future__ import annotations

import argparse
import signal
from functools import partial

from uds_dist import Atom, EventLoop, Mailbox, Node, Pid, ReceiveTimeoutError, format_term
from uds_dist.cli.calls import escape_erlang
from uds_dist.cli.connected import cookie_of, full_name
from uds_dist.cli.exit_codes import ENDED_BY_SIGNAL, OK
from uds_dist.cli.json_terms import to_json
from uds_dist.cli.json_text import write_json
from uds_dist.cli.output import complain, speaks_utf8, write_line
from uds_dist.cli.words import Command, add_identity, config_of, read_seconds, read_word
from uds_dist.services.gen import alias_of
from uds_dist.shell.device import on_signals

ENDING = (signal.SIGTERM, signal.SIGHUP)
EPILOG = """\
The node has one process, of the same name: {NAME, 'NAME@localhost'} ! hello prints hello. Requests
of gen_server:call and cast are marked. --echo answers a call with its request, and sends a message
{Pid, Message} back to Pid.

"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_identity(parser)
    parser.add_argument("--json", action="store_true", help="print each message as a JSON object")
    parser.add_argument("--echo", action="store_true", help="send each message back")
    parser.add_argument(
        "--timeout",
        type=read_seconds,
        metavar="SECONDS",
        help="exit after this time, with code 5; by default it never ends",
    )
    parser.add_argument("--count", type=int, metavar="N", help="exit after N messages")
    parser.add_argument("node", type=read_word, metavar="NAME", help="name@host, or name")


def run_listen(options: argparse.Namespace) -> int:
    """`listen`: print messages until interrupted."""
    config = config_of(options)
    name = full_name(options.node)
    process = name.partition("@")[0]
    cookie = cookie_of(options, config)
    with (
        EventLoop() as loop,
        on_signals(loop, {number: partial(_end, number) for number in ENDING}),
        Node(name, loop=loop, cookie=cookie, config=config) as node,
    ):
        if options.trace:
            node.trace(options.tracer(cookie))
        box = node.mailbox(process)
        node.listen()
        complain(f"{name} listens; its process is {process}")
        received = 0
        end = None if options.timeout is None else loop.time() + options.timeout
        while options.count is None or received < options.count:
            left = None if end is None else max(end - loop.time(), 0.0)
            try:
                message = box.receive(timeout=left)
            except ReceiveTimeoutError:
                over = f"{options.timeout:g} s are over; messages printed: {received}"
                raise ReceiveTimeoutError(over) from None
            _show(box, message, options)
            received += 1
        node.flush(1.0)
    return OK


def _end(number: signal.Signals) -> None:
    raise SystemExit(ENDED_BY_SIGNAL + number)  # the node removes its socket file


def _show(box: Mailbox, message: object, options: argparse.Namespace) -> None:
    kind, term, sender, answer = "send", message, None, message
    match message:
        case (Atom("$gen_call"), (Pid() as caller, tag), request):
            kind, term, sender = "call", request, alias_of(tag) or caller
            answer = (tag, request)
        case (Atom("$gen_cast"), request):
            kind, term = "cast", request
        case (Pid() as caller, content):
            sender, answer = caller, content
    if options.json:
        line = {"kind": kind, "term": to_json(term)}
        write_line(write_json(line, ascii_only=not speaks_utf8()))
    else:
        write_line(("" if kind == "send" else kind + " ") + format_term(term), escape_erlang)
    if options.echo and sender is not None:
        box.send(sender, answer)


COMMANDS = (
    Command("listen", "be a node and print its messages", run_listen, _add_arguments, EPILOG),
)
