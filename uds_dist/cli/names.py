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

# The name, the state and the socket of a node. Nodes at different places may have the same name.
Row = tuple[str, str, str]


def run_names(options: argparse.Namespace) -> int:
    """`names`: list the nodes in the socket folder or under the abstract prefix."""
    where = places(config_of(options))
    found = _listening(where)
    if options.json:
        write_line(write_json([_entry(row) for row in found], ascii_only=True))
    else:
        if not found:
            missing = NobodyListensError(
                f"no node listens in {' or '.join(map(str, where.others))}"
            )
            complain(str(missing))
            advise(options, missing)
        width = max((len(name) for name, _, _ in found), default=0)
        for name, state, address in found:
            write_line(f"{name:<{width}}  {state:<6}  {address}")
    if options.watch:
        _watch(options, where, found)
    return OK


def _watch(options: argparse.Namespace, where: Places, before: list[Row]) -> None:
    """Write a line for each change until interrupted."""
    while True:
        time.sleep(INTERVAL)
        now = _listening(where)
        changes = [row for row in now if row not in before]
        addresses = {address for _, _, address in now}
        changes += [
            (name, GONE, address) for name, _, address in before if address not in addresses
        ]
        for row in changes:
            if options.json:
                write_line(write_json(_entry(row), ascii_only=True))
            else:
                name, state, address = row
                write_line(f"{time.strftime('%H:%M:%S')}  {name}  {state}  {address}")
        before = now


def _entry(row: Row) -> dict[str, str]:
    name, state, address = row
    return {"name": name, "state": state, "socket": address}


def _listening(where: Places) -> list[Row]:
    """The nodes by name; of several with one name, the one that commands dial comes first."""
    try:
        return [(one.name, one.state, one.address.text) for one in listening_nodes(where)]
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
