"""`uds-dist names`: the nodes that listen, and with `--watch` their changes."""

from __future__ import annotations

import argparse
import time

from uds_dist.cli.exit_codes import OK, NobodyListensError
from uds_dist.cli.hints import advise
from uds_dist.cli.json_text import write_json
from uds_dist.cli.output import complain, write_line
from uds_dist.cli.words import Command, add_where, config_of, unlisted
from uds_dist.transport.address import Places, listening_nodes, places

GONE = "gone"
INTERVAL = 1.0  # seconds between two checks

# Name and state, and the socket.
Listening = dict[tuple[str, str], str]


def run_names(options: argparse.Namespace) -> int:
    """`names`: list the nodes in the socket folder or under the abstract prefix."""
    where = places(config_of(options))
    found = _listening(where)
    if options.json:
        write_line(write_json([_entry(*item) for item in found.items()], ascii_only=True))
    else:
        if not found:
            missing = NobodyListensError(
                f"no node listens in {' or '.join(map(str, where.others))}"
            )
            complain(str(missing))
            advise(options, missing)
        width = max((len(name) for name, _ in found), default=0)
        for (name, state), address in found.items():
            write_line(f"{name:<{width}}  {state:<6}  {address}")
    if options.watch:
        _watch(options, where, found)
    return OK


def _watch(options: argparse.Namespace, where: Places, before: Listening) -> None:
    """Write a line for each change until interrupted."""
    while True:
        time.sleep(INTERVAL)
        now = _listening(where)
        changes = [item for item in now.items() if item[0] not in before]
        names = {name for name, _ in now}
        changes += [
            ((name, GONE), address) for (name, _), address in before.items() if name not in names
        ]
        for (name, state), address in changes:
            if options.json:
                write_line(write_json(_entry((name, state), address), ascii_only=True))
            else:
                write_line(f"{time.strftime('%H:%M:%S')}  {name}  {state}  {address}")
        before = now


def _entry(node: tuple[str, str], address: str) -> dict[str, str]:
    return {"name": node[0], "state": node[1], "socket": address}


def _listening(where: Places) -> Listening:
    try:
        return {(one.name, one.state): one.address.text for one in listening_nodes(where)}
    except OSError as error:
        raise unlisted(where.own.given, error) from None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_where(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array of objects")
    parser.add_argument(
        "--watch", action="store_true", help="then print a line, or an object, for each change"
    )


COMMANDS = (
    Command("names", "list the nodes that listen in the socket folder", run_names, _add_arguments),
)
