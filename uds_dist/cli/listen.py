"""`uds-dist listen`: a node on the command line that prints the messages it receives."""

from __future__ import annotations

import argparse

from uds_dist import Atom, EventLoop, Mailbox, Node, Pid, format_term
from uds_dist.cli.calls import escape_erlang
from uds_dist.cli.connected import cookie_of, full_name
from uds_dist.cli.exit_codes import OK
from uds_dist.cli.json_terms import to_json
from uds_dist.cli.json_text import write_json
from uds_dist.cli.output import complain, speaks_utf8, write_line
from uds_dist.cli.words import Command, add_connection, config_of, read_word
from uds_dist.services.gen import alias_of

EPILOG = """\
The node has one process, of the same name: {NAME, 'NAME@localhost'} ! hello prints hello. Requests
of gen_server:call and cast are marked. --echo answers a call with its request, and sends a message
{Pid, Message} back to Pid.

"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.add_argument("--json", action="store_true", help="print each message as a JSON object")
    parser.add_argument("--echo", action="store_true", help="send each message back")
    parser.add_argument("--count", type=int, metavar="N", help="exit after N messages")
    parser.add_argument("node", type=read_word, metavar="NAME", help="name@host, or name")


def run_listen(options: argparse.Namespace) -> int:
    """`listen`: print messages until interrupted."""
    config = config_of(options)
    name = full_name(options.node)
    process = name.partition("@")[0]
    cookie = cookie_of(options, config)
    with EventLoop() as loop, Node(name, loop=loop, cookie=cookie, config=config) as node:
        box = node.mailbox(process)
        node.listen()
        complain(f"{name} listens; its process is {process}")
        received = 0
        while options.count is None or received < options.count:
            _show(box, box.receive(), options)
            received += 1
        node.flush(1.0)
    return OK


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
