"""Evaluates the inputs of a Python prompt in a program that must not stop.

There is no terminal and no Erlang here: lines in, text out. An input runs at once and to its end,
in the program's own thread. It cannot stop or end the program by accident:

    print()              writes to the shell alone, never to the program's stdout
    input(), pdb         raise: waiting for an answer would stop the program
    breakpoint()         raises, for the same reason
    help(x)              prints the signature and the docstring, without a pager
    sys.exit(), quit()   end the shell
    an endless loop      is ended by an interval timer, if the system and the thread allow one
    endless output       raises once an input has written more than `MAX_OUTPUT` characters
    a Future             is shown when it is done

An exception from the program's own signal handlers, such as Ctrl-C at its terminal, goes to the
program. Output of other threads goes where it always goes.

A shell has its own names. A name that it does not define is looked up in the program's namespace.
"""

from __future__ import annotations

import ast
import builtins
import codeop
import inspect
import io
import keyword
import linecache
import pprint
import re
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from itertools import count
from threading import get_ident
from types import CodeType
from typing import Any, TextIO

from uds_dist.errors import LoopReentryError
from uds_dist.processes.future import Future
from uds_dist.services.interruptions import (
    TimeLimitError,
    noted_interrupts,
    raised_by_signal,
    time_limited,
)

MAX_VALUE = 100_000  # characters shown of a value or a traceback
MAX_OUTPUT = 4 * 1024 * 1024  # characters that one input may write
MAX_INPUT = 1024 * 1024  # characters of one input
# In an input of more lines than this, an indented line is not tried as the last one: each try
# compiles the whole input again.
LOOK_AT_EACH = 100
MAX_SOURCES = 200  # inputs that tracebacks can quote
COMPLETION_TIME = 0.5  # seconds

NO_WAITING = (
    "{} cannot wait here: the program's own loop serves this prompt, and waiting for an answer"
    " would stop the program. Write the value in the expression instead."
)
NO_RESULT = "This prompt shows a Future when it is done: leave .result() out.\n"


class Progress(Enum):
    """The result of a line."""

    MORE = "more"  # the input is incomplete
    DONE = "done"
    WAITING = "waiting"  # the value is a future
    EXIT = "exit"  # the input ends the shell


class OutputLimitError(RuntimeError):
    """An input has written more than `MAX_OUTPUT` characters."""


class Namespace(dict[str, Any]):
    """The names of one shell; other names are looked up in the shared ones."""

    def __init__(self, shared: Mapping[str, object]) -> None:
        super().__init__(__name__="__console__", __builtins__=builtins)
        self.shared = shared

    def __missing__(self, name: str) -> object:
        return self.shared[name]


class Output(io.TextIOBase):
    """The stdout and stderr of an input.

    Args:
        write: called with each text.
        program: receives the text of other threads.
    """

    encoding = "utf-8"

    def __init__(self, write: Callable[[str], object], program: TextIO | None) -> None:
        self._write = write
        self._program = program
        self._thread = get_ident()
        self._left = MAX_OUTPUT

    def writable(self) -> bool:
        """True: it accepts writes."""
        return True

    def write(self, text: str) -> int:
        """Pass the text on.

        Raises:
            OutputLimitError: the input has written more than `MAX_OUTPUT` characters.
        """
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        if get_ident() != self._thread:
            return len(text) if self._program is None else self._program.write(text)
        self._left -= len(text)
        if self._left < 0:
            raise OutputLimitError(f"one input may write up to {MAX_OUTPUT:,} characters")
        if text:
            self._write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the output of other threads."""
        if get_ident() != self._thread and self._program is not None:
            self._program.flush()

    def close(self) -> None:
        """Stay open."""


class NoInput(io.TextIOBase):
    """The stdin of an input."""

    def readable(self) -> bool:
        """True, so that a read raises the error below, which says why it fails."""
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Refuse to wait."""
        raise RuntimeError(NO_WAITING.format("input()"))

    def read(self, size: int | None = -1, /) -> str:
        """Refuse to wait."""
        raise RuntimeError(NO_WAITING.format("sys.stdin"))

    def close(self) -> None:
        """Stay open: quit() closes its stdin."""


class Evaluator:
    """Evaluates the inputs of one shell.

    Args:
        shared: the program's names; each use looks them up again.
        write: called with each text to show.
        time_limit: seconds that one input may take; None for no limit.
        while_busy: called regularly by the timer's signal handler, between bytecodes.
        fail: called with each traceback, instead of `write`.
        write_value: called with each value to show, instead of `write`.
    """

    def __init__(
        self,
        shared: Mapping[str, object],
        write: Callable[[str], object],
        time_limit: float | None = None,
        while_busy: Callable[[], object] = lambda: None,
        fail: Callable[[str], object] | None = None,
        write_value: Callable[[str], object] | None = None,
    ) -> None:
        self.namespace = Namespace(shared)
        self.add(help=_help)
        self.time_limit = time_limit
        self.future: Future[object] | None = None  # the value that the shell waits for
        self.width = 80  # characters of a line
        self.max_value = MAX_VALUE
        self.colour = False  # of tracebacks
        self.failures = 0  # inputs that raised or were not valid Python
        self._write = write
        self._write_failure = write if fail is None else fail
        self._write_value = write if write_value is None else write_value
        self._while_busy = while_busy
        self._lines: list[str] = []
        self._size = 0  # of these lines
        self._compile = codeop.CommandCompiler()
        self._numbers = count(1)
        self._sources: deque[str] = deque()

    def add(self, **names: object) -> None:
        """Add names to the shell, except those that the program shares."""
        self.namespace.update(
            (name, value) for name, value in names.items() if name not in self.namespace.shared
        )

    def push(self, line: str) -> Progress:
        """Take a line; evaluate the input once it is complete.

        Args:
            line: without its line end.
        Raises:
            BaseException: a signal handler of the program raised it.
        """
        self._lines.append(line)
        self._size += len(line) + 1
        if self._size > MAX_INPUT:
            self._drop_lines()
            self._fail(f"ValueError: one input may have up to {MAX_INPUT:,} characters\n")
            return Progress.DONE
        if len(self._lines) > LOOK_AT_EACH and line[:1].isspace():
            return Progress.MORE
        source = "\n".join(self._lines)

        def compiled(name: str) -> list[CodeType] | None:
            code = self._compile(source, name, "single")
            return None if code is None else [code]

        return self._evaluate(source, compiled)

    def run(self, source: str) -> Progress:
        """Evaluate a program; if it ends with an expression, show that value.

        Raises:
            BaseException: a signal handler of the program raised it.
        """

        def compiled(name: str) -> list[CodeType]:
            tree = ast.parse(source, name)
            last = (
                []
                if not tree.body or not isinstance(tree.body[-1], ast.Expr)
                else [tree.body.pop()]
            )
            return [
                compile(tree, name, "exec"),
                compile(ast.Interactive(body=last), name, "single"),
            ]

        return self._evaluate(source, compiled)

    def interrupt(self) -> None:
        """Drop an incomplete input, and the future that the shell waits for."""
        self._drop_lines()
        self.future = None

    def close(self) -> None:
        """Forget the names and the sources."""
        self.interrupt()
        while self._sources:
            linecache.cache.pop(self._sources.popleft(), None)
        self.namespace.clear()

    def complete(self, text: str) -> list[str]:
        """The completions of a name, with or without dots.

        Importing the module `rlcompleter` would take over the program's own readline.
        """
        names = {**vars(builtins), **self.namespace.shared, **self.namespace}
        head, dot, last = text.rpartition(".")
        found: list[object] = []
        if not dot:
            found = [*names, *keyword.kwlist]
        elif re.fullmatch(r"\w+(\.\w+)*", head):
            try:
                with self._guarded(COMPLETION_TIME):
                    found = _attributes(names, head)
            except BaseException as error:  # an attribute of the program raised
                if raised_by_signal(error):
                    raise
        hidden = not last.startswith("_")
        return sorted(
            f"{head}{dot}{name}"
            for name in {name for name in found if isinstance(name, str)}
            if name.startswith(last) and not (hidden and name.startswith("_"))
        )

    def _drop_lines(self) -> None:
        self._lines.clear()
        self._size = 0

    def _remember(self, name: str, source: str) -> None:
        """Let tracebacks quote the lines of an input."""
        linecache.cache[name] = (len(source), None, [f"{x}\n" for x in source.split("\n")], name)
        self._sources.append(name)
        if len(self._sources) > MAX_SOURCES:
            linecache.cache.pop(self._sources.popleft(), None)

    # -- evaluating ------------------------------------------------------------------------

    def _evaluate(self, source: str, compiled: Callable[[str], list[CodeType] | None]) -> Progress:
        name = f"<console {id(self):x}-{next(self._numbers)}>"
        try:
            with self._guarded(self.time_limit):
                codes = compiled(name)
                if codes is None:
                    return Progress.MORE
                self._drop_lines()
                self._remember(name, source)
                for code in codes:
                    exec(code, self.namespace)
        except SystemExit as error:
            self._drop_lines()
            if raised_by_signal(error):
                raise
            return Progress.EXIT
        except BaseException as error:
            self._drop_lines()
            self._failed(error)
        return Progress.DONE if self.future is None else Progress.WAITING

    def show(self, value: object) -> None:
        """Write a value as a Python prompt does, and keep it as ``_``."""
        if isinstance(value, Future):
            self.future = value
        elif value is not None:
            self.namespace["_"] = value
            self._write_value(value_text(value, self.width, self.max_value) + "\n")

    def show_future(self, future: Future[object]) -> None:
        """Write the outcome of a future that is done.

        Raises:
            BaseException: a signal handler of the program raised it.
        """
        self.future = None
        try:
            with self._guarded(self.time_limit):
                self.show(future.result())
        except BaseException as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        """Show an input's exception, or raise it if it is for the program."""
        if raised_by_signal(error):
            self._fail("a signal of the program interrupted this input\n")
            raise error
        if isinstance(error, TimeLimitError):
            limit = 0.0 if self.time_limit is None else self.time_limit
            self._fail(
                f"TimeLimitError: the input was ended after {limit:g} seconds,"
                " during which it blocked the program\n"
            )
            return
        try:
            with self._guarded(self.time_limit):  # its text comes from the input's code
                text = traceback_text(error, self.colour)
        except BaseException as second:
            if raised_by_signal(second):
                raise
            text = f"{type(error).__name__}: its text cannot be shown\n"
        self._fail(text + NO_RESULT if isinstance(error, LoopReentryError) else text)

    def _fail(self, text: str) -> None:
        self.failures += 1
        self._write_failure(text)

    @contextmanager
    def _guarded(self, limit: float | None) -> Iterator[None]:
        """Keep an input away from the program's terminal, and within its time limit."""
        before = sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.breakpointhook
        sys.stdout = output = Output(self._write, sys.stdout)
        sys.stderr = Output(output.write, sys.stderr)
        sys.stdin = NoInput()
        sys.displayhook = self.show
        sys.breakpointhook = _no_breakpoint
        try:
            with noted_interrupts(), time_limited(limit, self._while_busy):
                yield
        finally:
            sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.breakpointhook = before


def _attributes(names: Mapping[str, object], path: str) -> list[object]:
    """The attributes of the object with this dotted path; none if its first name is unknown."""
    first, *others = path.split(".")
    if first not in names:
        return []
    thing = names[first]
    for name in others:
        thing = getattr(thing, name)
    return list(dir(thing))


def _no_breakpoint(*_args: object, **_options: object) -> None:
    raise RuntimeError(NO_WAITING.format("breakpoint()"))


def _help(*about: object) -> None:
    """Print the signature and docstring of an object."""
    if not about:
        print("help(x) describes x; interactive help would stop the program")
        return
    thing = about[0]
    try:
        signature = str(inspect.signature(thing))  # type: ignore[arg-type]  # tried, not known
    except (TypeError, ValueError):
        signature = ""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    print(f"{name or type(thing).__qualname__}{signature}\n")
    print(inspect.getdoc(thing) or "no docstring")


def value_text(value: object, width: int, most: int = MAX_VALUE) -> str:
    """A value as a prompt shows it: on several lines if one is too short."""
    text = repr(value)
    if len(text) > width and isinstance(value, (dict, list, tuple, set, frozenset)):
        if len(text) <= most:
            text = pprint.pformat(value, width=width, compact=True)
    if len(text) > most:
        text = f"{text[:most]}... ({len(text)} characters; print() shows them all)"
    return text


# The modules between the prompt and an input; a traceback begins below them.
OUTER = frozenset(
    {
        __name__,
        "uds_dist.services.interruptions",
        "uds_dist.processes.future",
        "ast",
        "codeop",
        "contextlib",
    }
)
# The parts of a traceback that Python 3.13 colours.
PLACE = r'^  File (".*"), line (\d+)(, in .*)?$'
ERROR = r"^([A-Za-z_][\w.]*)(: .*)?$"


def traceback_text(error: BaseException, colour: bool = False) -> str:
    """The traceback of an input's exception, from the input's own code on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in OUTER:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    text = "".join(lines)
    if len(text) > MAX_VALUE:
        text = f"{text[: MAX_VALUE // 2]}\n...\n{text[-MAX_VALUE // 2 :]}"
    return "".join(map(_coloured, text.splitlines(keepends=True))) if colour else text


def _coloured(line: str) -> str:
    """A line of a traceback with terminal colours."""
    text = line.rstrip("\n")
    if found := re.match(PLACE, text):
        place, number, where = found.groups("")
        text = f"  File \x1b[35m{place}\x1b[0m, line \x1b[35m{number}\x1b[0m{where}"
    elif found := re.match(ERROR, text):
        name, message = found.groups("")
        text = f"\x1b[1;35m{name}\x1b[0m\x1b[35m{message}\x1b[0m"
    return text + line[len(line.rstrip("\n")) :]
