"""Functions in every shell that show why a program is slow or stuck.

tasks()        what is waiting: connections, processes, calls, timers
stack()        where the program called `run_once`
top(seconds)   how long each handler took
who()          the open shells
history()      the inputs of this shell
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import CodeType, FrameType
from typing import NamedTuple
from weakref import ref as weak_reference

from uds_dist.etf.shown import printable
from uds_dist.etf.terms import Pid
from uds_dist.processes.future import Future
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.remote_node import PeerStatistics
from uds_dist.processes.table import Processes
from uds_dist.services.console_shell import Shell
from uds_dist.transport.loop import EventLoop

PACKAGE = __name__.partition(".")[0]
MAX_ROWS = 1000  # shown of a table
MAX_CELL = 120  # characters shown of a value
LONGEST_MEASUREMENT = 600.0  # seconds

# The user id and the process id of a node; None where the system does not report them.
Credentials = Callable[[str], "tuple[int | None, int | None]"]


class Table:
    """Rows with headings; its repr is the table.

    Args:
        headings: the names of the columns.
        rows: tuples with a value for each heading.
    """

    def __init__(self, headings: Sequence[str], rows: Iterable[tuple[object, ...]]) -> None:
        self.headings = tuple(headings)
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        shown = [self.headings, *(tuple(map(_cell, row)) for row in self.rows[:MAX_ROWS])]
        widths = [max(map(len, column)) for column in zip(*shown)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in shown]
        if len(self.rows) > MAX_ROWS:
            lines.append(f"... and {len(self.rows) - MAX_ROWS} more")
        return "\n".join(lines)


def _cell(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return printable(text, MAX_CELL)


# -- what is waiting -----------------------------------------------------------------------


def tasks(processes: Processes, connections: Iterable[PeerStatistics]) -> Table:
    """What is waiting in a node: its connections, processes, calls and timers."""
    rows: list[tuple[str, str, str]] = []
    for peer in connections:
        counters = f"{peer.messages_in} messages in, {peer.messages_out} out"
        unwritten = f"{peer.unwritten} bytes to write"
        rows.append(("connection", peer.name, f"{peer.phase}, {counters}, {unwritten}"))
    for process in processes.by_pid.values():
        ties = len(process.links) + len(process.monitors) + len(process.watchers)
        what = "" if process.on_message is None else name_of(process.on_message)
        waiting = f"{process.waiting} messages wait, {ties} links and monitors"
        rows.append(
            ("process", f"{process.name or process.pid}", f"{waiting}, {what}".rstrip(", "))
        )
    rows += [("call", call.node, call.what) for call in processes.pending()]
    rows += [
        ("monitor", monitor.node, f"of {monitor.target}, by {monitor.owner}")
        for monitor in processes.monitors.values()
        if not isinstance(monitor, PendingCall)
    ]
    rows += [
        ("timer", f"in {max(left, 0.0):.3f} s", name_of(callback))
        for left, callback in processes.loop.timers.waiting(processes.loop.time())
    ]
    return Table(("waits", "which", "what"), rows)


def name_of(function: object) -> str:
    """The module and name of a function or another callable."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{name}"


# -- where the program is ------------------------------------------------------------------


def stack() -> None:
    """Print the stack of the program's call to `run_once`."""
    frame: FrameType | None = sys._getframe(1)
    below: FrameType | None = None
    while frame is not None:
        if _is_of_library(frame):
            below = frame.f_back
        frame = frame.f_back
    print("".join(traceback.format_stack(below)), end="")


def _is_of_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == PACKAGE


# -- how long each handler took ------------------------------------------------------------


class _Times:
    """How often a handler ran, how long in total, and its longest run."""

    __slots__ = ("calls", "longest", "total")

    def __init__(self) -> None:
        self.calls = 0
        self.total = 0.0
        self.longest = 0.0


class _Measurement:
    """Measures the handlers that run in a loop, with Python's call tracing.

    A handler is the first function outside this package that runs inside `run_once`. During the
    measurement each call of a Python function costs some tenths of a microsecond more; at other
    times it costs nothing.
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._times: dict[CodeType, _Times] = {}
        self._handler: FrameType | None = None
        self._begun = 0.0  # when that handler began
        self.started = time.perf_counter()

    def on_call(self, frame: FrameType, _event: str, _arg: object) -> object:
        """Note when a handler begins."""
        if self._handler is not None:
            return None
        if not self._loop.running:
            if self._loop.closed or self._loop.process.forked:
                self.stop()
            return None
        if _is_of_library(frame):
            return None
        self._handler = frame
        frame.f_trace_lines = False
        self._begun = time.perf_counter()
        return self._on_return

    def _on_return(self, frame: FrameType, event: str, _arg: object) -> object:
        if event == "return" and frame is self._handler:
            took = time.perf_counter() - self._begun
            times = self._times.setdefault(frame.f_code, _Times())
            times.calls += 1
            times.total += took
            times.longest = max(times.longest, took)
            self._handler = None
        return self._on_return

    def stop(self) -> None:
        """Stop tracing, unless something else traces now."""
        if getattr(sys.gettrace(), "__self__", None) is self:
            sys.settrace(None)

    def table(self) -> Table:
        """The handlers, by their total time, longest first."""
        elapsed = time.perf_counter() - self.started
        rows = sorted(self._times.items(), key=lambda item: -item[1].total)
        return Table(
            ("handler", "calls", "seconds", "longest", "share"),
            (
                (_code_name(code), x.calls, x.total, x.longest, f"{x.total / elapsed:.1%}")
                for code, x in rows
            ),
        )


def _code_name(code: CodeType) -> str:
    name = getattr(code, "co_qualname", code.co_name)
    place = f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"
    return f"{name} ({place})"


def top(loop: EventLoop, seconds: float = 5.0) -> Future[Table]:
    """Measure how long each handler takes.

    Args:
        loop: the loop that runs the handlers.
        seconds: how long to measure, at most 600.
    Returns:
        A future with a table: how often each handler ran, its total and its longest time.
    Raises:
        ValueError: `seconds` is out of its range.
        RuntimeError: something else traces this thread, such as a debugger.
    """
    if not 0 < seconds <= LONGEST_MEASUREMENT:
        raise ValueError(f"top() takes seconds above 0 and at most {LONGEST_MEASUREMENT:g}")
    if sys.gettrace() is not None:
        raise RuntimeError("a debugger or another top() already traces this thread")
    measurement = _Measurement(loop)
    future: Future[Table] = Future(loop, "the measurement", measurement.stop)

    pending = weak_reference(future)  # a future that is dropped ends the measurement

    def finish() -> None:
        measurement.stop()
        waiting = pending()
        if waiting is not None and not waiting.done():
            waiting.set_result(measurement.table())

    loop.call_later(seconds, finish)
    sys.settrace(measurement.on_call)  # type: ignore[arg-type]  # it is more exact than object
    return future


# -- the open shells -----------------------------------------------------------------------


class OpenShell(NamedTuple):
    """An open shell; ``uid`` and ``process`` identify the process at the other end."""

    shell: Pid
    node: str
    uid: int | None
    process: int | None
    since: str


def who(shells: Iterable[Shell], credentials: Credentials) -> Table:
    """The open shells."""
    return Table(
        OpenShell._fields,
        (
            OpenShell(
                shell.process.pid,
                shell.leader.node,
                *credentials(shell.leader.node),
                time.strftime("%H:%M:%S", time.localtime(shell.opened)),
            )
            for shell in shells
        ),
    )
