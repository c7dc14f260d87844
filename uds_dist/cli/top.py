"""`uds-dist top`: the busiest processes of a node, refreshed in place.

One expression, evaluated on the node, samples the numbers of all processes; a second one asks for
the names of the rows to show.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from uds_dist import Atom, ConfigError, Pid, RemoteError, UdsDistError
from uds_dist.cli.connected import Connected, connected
from uds_dist.cli.evaluate import parsed_erlang, value_of
from uds_dist.cli.exit_codes import ENDED_BY_SIGNAL, OK
from uds_dist.cli.json_text import write_json
from uds_dist.cli.output import write_line
from uds_dist.cli.words import Command, add_connection, add_node, read_seconds
from uds_dist.etf.shown import printable, shown
from uds_dist.shell.device import (
    STDIN,
    STDOUT,
    Input,
    Output,
    moves_cursor,
    on_signals,
    raw_mode,
    stop_group,
    terminal_size,
)
from uds_dist.shell.keys import SUSPEND, KeyDecoder
from uds_dist.shell.layout import text_width

EPILOG = """\
Keys: r, m and l sort by reductions, memory and message queue length; q quits. --once prints one
table and --json one object, both after watching the node for one interval.

"""
SAMPLE = """
    {[{P, R, M, Q} || P <- processes(), P =/= self(),
        [{reductions, R}, {memory, M}, {message_queue_len, Q}] <-
            [process_info(P, [reductions, memory, message_queue_len])]],
     erlang:memory(), erlang:statistics(run_queue), erlang:system_info(schedulers_online),
     element(1, erlang:statistics(wall_clock))}
"""
NAMES = """
    [{P, N, proc_lib:translate_initial_call(P), C} || P <- Ps,
        [{registered_name, N}, {current_function, C}] <-
            [process_info(P, [registered_name, current_function])]]
"""
MEMORY = ("total", "processes", "binary", "ets", "atom", "code")
ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
LINES_ABOVE = 4  # above the table
ONCE_ROWS = 20
SHORTEST = 0.1  # seconds between two samples


@dataclass(frozen=True, slots=True)
class Row:
    """One process: its numbers, and its name and current function if known."""

    pid: Pid
    reductions: int
    memory: int
    queue: int
    name: str = ""
    function: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A node's numbers at one moment."""

    rows: dict[Pid, Row]
    memory: dict[str, int]
    run_queue: int
    schedulers: int
    uptime: int  # milliseconds


SORTS: dict[str, tuple[str, Callable[[Row], int]]] = {
    "r": ("reductions", lambda row: row.reductions),
    "m": ("memory", lambda row: row.memory),
    "l": ("queue", lambda row: row.queue),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.add_argument(
        "--every", type=read_seconds, default=2.0, metavar="SECONDS",
        help="time between two samples; 2 by default",
    )  # fmt: skip
    names = [name for name, _ in SORTS.values()]
    parser.add_argument("--sort", choices=names, default=names[0], help="reductions by default")
    parser.add_argument("--rows", type=int, metavar="N", help="how many processes to show")
    parser.add_argument("--once", action="store_true", help="print one table and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object and exit")
    add_node(parser)


class Watch:
    """Takes samples of a node.

    Raises:
        ConfigError: the node does not evaluate Erlang.
    """

    def __init__(self, there: Connected) -> None:
        self.there = there
        try:
            self._sample = parsed_erlang(there, SAMPLE)
            self._names = parsed_erlang(there, NAMES)
        except RemoteError as error:
            raise ConfigError(f"{there.name} is not a BEAM node: {error}") from None

    def sample(self) -> Sample:
        """Ask for the current numbers."""
        match value_of(self.there, self._sample, []):
            case (list() as found, list() as memory, int() as queue, int() as threads, int() as up):
                rows = {row[0]: Row(*row) for row in found}
                return Sample(rows, dict(memory), queue, threads, up)
            case other:
                raise RemoteError(f"{self.there.name} did not return a sample: {shown(other)}")

    def largest(self, before: Sample, now: Sample, sort: str, count: int) -> list[Row]:
        """The rows to show, with names and with the reductions since the sample before."""
        key = next(key for name, key in SORTS.values() if name == sort)
        rows = [
            replace(row, reductions=row.reductions - _before(before, row))
            for row in now.rows.values()
        ]
        rows = sorted(rows, key=key, reverse=True)[:count]
        found = value_of(self.there, self._names, [(Atom("Ps"), [row.pid for row in rows])])
        names = {entry[0]: entry[1:] for entry in found} if isinstance(found, list) else {}
        return [_named(row, names.get(row.pid)) for row in rows]


def _before(before: Sample, row: Row) -> int:
    earlier = before.rows.get(row.pid)
    return 0 if earlier is None else earlier.reductions


def _named(row: Row, found: tuple[object, ...] | None) -> Row:
    if found is None:
        return row  # the process has ended
    registered, initial, current = found
    name = registered if isinstance(registered, Atom) else _function(initial)
    return replace(row, name=printable(str(name)), function=_function(current))


def _function(mfa: object) -> str:
    match mfa:
        case (module, function, arity):
            return printable(f"{module}:{function}/{arity}".replace("Elixir.", "", 1))
    return ""


def run_top(options: argparse.Namespace) -> int:
    """`top`: show the table until a key ends it, or once."""
    with connected(options) as there:
        watch = Watch(there)
        at_terminal = os.isatty(STDIN) and os.isatty(STDOUT) and moves_cursor()
        if options.json or options.once or not at_terminal:
            return _once(watch, options)
        return _Screen(watch, options).run()


def _once(watch: Watch, options: argparse.Namespace) -> int:
    there = watch.there
    before = watch.sample()
    there.node.loop.sleep(min(options.every, max(there.left() / 2, SHORTEST)))
    now = watch.sample()
    rows = watch.largest(before, now, options.sort, options.rows or ONCE_ROWS)
    if options.json:
        write_line(write_json(_object(there, before, now, rows), ascii_only=True))
        return OK
    for line in [*_head(there, before, now), "", *_table(rows, 1000)]:
        write_line(line.rstrip())
    return OK


def _object(there: Connected, before: Sample, now: Sample, rows: list[Row]) -> dict[str, object]:
    return {
        "node": there.name,
        "uptime_ms": now.uptime,
        "interval_ms": now.uptime - before.uptime,
        "run_queue": now.run_queue,
        "schedulers": now.schedulers,
        "process_count": len(now.rows),
        "memory": {str(name): size for name, size in now.memory.items()},
        "connection": there.node.statistics().connections[0]._asdict(),
        "processes": [
            {
                "pid": _pid(row.pid), "name": row.name, "reductions": row.reductions,
                "memory": row.memory, "queue": row.queue, "function": row.function,
            }
            for row in rows
        ],
    }  # fmt: skip


def _head(there: Connected, before: Sample, now: Sample) -> list[str]:
    seconds = now.uptime // 1000
    interval = max(now.uptime - before.uptime, 1) / 1000
    reductions = sum(row.reductions - _before(before, row) for row in now.rows.values())
    memory = "  ".join(f"{name} {_size(now.memory.get(name, 0))}" for name in MEMORY)
    (own,) = there.node.statistics().connections[:1]
    return [
        f"{there.name}  up {seconds // 86400}d {seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:"
        f"{seconds % 60:02}  processes {len(now.rows)}  run queue {now.run_queue}"
        f"  schedulers {now.schedulers}  reductions/s {_count(int(reductions / interval))}",
        f"memory  {memory}",
        f"connection  in {_size(own.bytes_in)}, {own.messages_in} messages"
        f"  out {_size(own.bytes_out)}, {own.messages_out} messages",
    ]


def _table(rows: list[Row], columns: int) -> list[str]:
    lines = [f"{'PID':<14} {'REDUCTIONS':>10} {'MEMORY':>9} {'QUEUE':>7}  {'NAME':<36} FUNCTION"]
    for row in rows:
        name = row.name + " " * max(36 - text_width(row.name), 0)
        lines.append(
            f"{_pid(row.pid):<14} {_count(row.reductions):>10} {_size(row.memory):>9}"
            f" {row.queue:>7}  {name} {row.function}"
        )
    return [line[:columns] for line in lines]


def _pid(pid: Pid) -> str:
    return f"<{pid.id}.{pid.serial}>"


def _count(number: int) -> str:
    for unit in ("", "k", "M"):
        if number < 100_000:
            return f"{number}{unit}"
        number //= 1000
    return f"{number}G"


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f}{unit}" if unit == "B" else f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}GiB"


class _Screen:
    """The table at a terminal, until a key ends it."""

    def __init__(self, watch: Watch, options: argparse.Namespace) -> None:
        self._watch = watch
        self._options = options
        self._sort: str = options.sort
        self._keys = KeyDecoder()
        self._left = False
        self._code = OK
        self._redraw = True

    def run(self) -> int:
        node = self._watch.there.node
        losses: list[UdsDistError] = []
        node.on_down = lambda _name, error: losses.append(error)
        output = Output(node.loop, STDOUT)
        source = Input(node.loop, STDIN, self._on_data)
        with raw_mode(STDIN, output) as mode:

            def suspend() -> None:
                output.write(LEAVE_SCREEN)
                mode.suspend()
                output.write(ENTER_SCREEN)
                self._draw_again()

            signals: dict[signal.Signals, Callable[[], object]] = {
                signal.SIGWINCH: self._draw_again,
                signal.SIGTSTP: suspend,
                signal.SIGTERM: partial(self._end, signal.SIGTERM),
                signal.SIGHUP: partial(self._end, signal.SIGHUP),
            }
            output.write(ENTER_SCREEN)
            source.read(True)
            try:
                with on_signals(node.loop, signals):
                    self._refresh(output, losses)
            finally:
                source.close()
                output.write(LEAVE_SCREEN)
        if losses:
            raise losses[0]
        return self._code

    def _refresh(self, output: Output, losses: list[UdsDistError]) -> None:
        there = self._watch.there
        loop = there.node.loop
        before = now = self._watch.sample()
        while not (self._left or losses):
            due = loop.time() + self._options.every
            self._redraw = False
            there.allow(self._options.timeout)
            output.write(self._page(before, now))
            left = max(due - loop.time(), 0)
            loop.run_until(lambda: self._left or self._redraw or bool(losses), left)
            if not (self._left or self._redraw or losses):
                there.allow(self._options.timeout)
                before, now = now, self._watch.sample()

    def _page(self, before: Sample, now: Sample) -> str:
        columns, rows = terminal_size(STDOUT)
        count = min(self._options.rows or rows, max(rows - LINES_ABOVE - 1, 1))
        lines = _head(self._watch.there, before, now) + [""]
        lines += _table(self._watch.largest(before, now, self._sort, count), columns)
        return HOME + "\n".join(line[:columns] + CLEAR_LINE for line in lines) + CLEAR_BELOW

    def _end(self, number: signal.Signals) -> None:
        self._code = ENDED_BY_SIGNAL + number
        self._left = True

    def _draw_again(self) -> None:
        self._redraw = True

    def _on_data(self, data: bytes) -> None:
        if not data:
            self._left = True
        for key in self._keys.feed(data):
            if key.name in ("C-c", "C-d") or (key.name == "text" and "q" in key.text):
                self._left = True
            elif key.name == SUSPEND:
                stop_group()
            elif key.name == "text" and key.text[-1] in SORTS:
                self._sort = SORTS[key.text[-1]][0]
                self._redraw = True


COMMANDS = (Command("top", "watch the processes of a node", run_top, _add_arguments, EPILOG),)
