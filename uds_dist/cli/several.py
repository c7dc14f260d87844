"""One command on several nodes, named with commas or by `--all`; one row for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from uds_dist import ConfigError, UdsDistError
from uds_dist.cli.connected import living_nodes
from uds_dist.cli.exit_codes import OK, RAISED, exit_code
from uds_dist.cli.hints import advise
from uds_dist.cli.output import OutputError, complain, text_of, write_line
from uds_dist.cli.words import ALL
from uds_dist.etf.shown import printable


class Line(NamedTuple):
    """A command's line for one node; `escape` is for characters that cannot be written."""

    text: str
    escape: Callable[[str], str]


Show = Callable[[Line], None]


def at_each_node(
    options: argparse.Namespace, run: Callable[[argparse.Namespace, Show], int]
) -> int:
    """Run a command on each node that `options` name.

    Args:
        options: the command's options.
        run: runs the command on one node; gets a function that writes its line, and returns the
            exit code.
    Returns:
        The exit code: 0 if no node failed; the error's own code if every node failed with it;
        else 1.
    Raises:
        ConfigError: a name is missing; no node has run the command.
    """
    if options.node != ALL and "," not in options.node:
        return run(options, lambda line: write_line(*line))
    names = living_nodes(options) if options.node == ALL else options.node.split(",")
    if "" in names:
        given = printable(options.node, 60)
        raise ConfigError(f"a name is missing before or after a comma: {given}")
    width = max(map(len, names), default=0)
    codes = []
    last: UdsDistError | None = None
    for name in names:
        options.node = name
        try:
            codes.append(run(options, partial(_show_row, f"{name:<{width}}  ")))
        except OutputError:
            raise
        except UdsDistError as error:
            complain(f"{name}: {text_of(error)}")
            last = error
            codes.append(exit_code(error))
    if last is not None:
        advise(options, last)
    failed = {code for code in codes if code != OK}
    if not failed:
        return OK
    return failed.pop() if len(failed) == 1 and OK not in codes else RAISED


def _show_row(name: str, line: Line) -> None:
    write_line(name + line.text, line.escape)
