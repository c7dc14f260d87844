"""Evaluates what is typed at a Python prompt, for a program that must not stop for it.

There is no terminal and no Erlang here: lines in, text out. What is evaluated runs at once and to
its end, in the program's own thread. What could stop or end the program does not:

    print()              its text goes to the shell alone, never to the program's stdout
    input(), pdb         raise: to wait for an answer would stop the program
    breakpoint()         raises, for the same reason
    help(x)              prints the signature and the docstring, without a pager
    sys.exit(), quit()   end the shell
    an endless loop      is ended by an interval timer, where the system and the thread allow one
    a Future             is shown when it is done

A shell has names of its own. What it does not define itself it finds among the names that are
shared, those of the program.
"""

from __future__ import annotations

import builtins
import codeop
import inspect
import io
import keyword
import linecache
import pprint
import re
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from itertools import count
from types import CodeType, FrameType
from typing import Any

from uds_dist.errors import ConfigError
from uds_dist.processes.future import Future

MAX_VALUE = 100_000  # characters of a value that is shown
MAX_SOURCES = 200  # inputs whose lines tracebacks can quote
# The timer raises again after this part of the limit, for code that catches what it raises.
AGAIN = 0.25

NO_WAITING = (
    "{} cannot wait here: this prompt is served by the program's own loop, and to wait for an"
    " answer would stop the program. Give the value in the expression instead."
)


class Progress(Enum):
    """What has become of a line."""

    MORE = "more"  # the input is not whole yet
    DONE = "done"
    WAITING = "waiting"  # the value is a future
    EXIT = "exit"  # the shell is to end


class TimeLimitError(BaseException):
    """An input took longer than its time limit."""


class Namespace(dict[str, Any]):
    """The names of one shell, over those that are shared."""

    def __init__(self, shared: Mapping[str, object]) -> None:
        super().__init__(__name__="__console__", __builtins__=builtins)
        self.shared = shared

    def __missing__(self, name: str) -> object:
        return self.shared[name]


class Output(io.TextIOBase):
    """The stdout and stderr of what is evaluated."""

    encoding = "utf-8"

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        """True: it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Hand the text on."""
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        if text:
            self._write(text)
        return len(text)


class NoInput(io.TextIOBase):
    """The stdin of what is evaluated."""

    def readable(self) -> bool:
        """True, so that the reason why it cannot be read is told."""
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Refuse to wait."""
        raise RuntimeError(NO_WAITING.format("input()"))

    def read(self, size: int | None = -1, /) -> str:
        """Refuse to wait."""
        raise RuntimeError(NO_WAITING.format("sys.stdin"))

    def close(self) -> None:
        """Stay as it is: quit() closes its stdin."""


class Evaluator:
    """The Python of one shell.

    Args:
        shared: names that the shell finds besides its own, looked up as they are at that time.
        write: called with each text that is to be shown.
        time_limit: seconds that one input may take; None for no limit.
        while_busy: called now and then from the timer's signal handler, between bytecodes.
    """

    def __init__(
        self,
        shared: Mapping[str, object],
        write: Callable[[str], object],
        time_limit: float | None = None,
        while_busy: Callable[[], object] = lambda: None,
    ) -> None:
        self.namespace = Namespace(shared)
        self.namespace["help"] = self._help
        self.time_limit = time_limit
        self.future: Future[object] | None = None  # the value that is waited for
        self.width = 80
        self.failures = 0  # inputs that raised, or could not be read as Python
        self._write = write
        self._while_busy = while_busy
        self._lines: list[str] = []
        self._compile = codeop.CommandCompiler()
        self._numbers = count(1)
        self._sources: deque[str] = deque()

    def push(self, line: str) -> Progress:
        """Take a line, and evaluate the input when it is whole.

        Args:
            line: without its line end.
        """
        self._lines.append(line)
        source = "\n".join(self._lines)
        name = f"<console {id(self):x}-{next(self._numbers)}>"
        try:
            code = self._compile(source, name, "single")
        except (SyntaxError, ValueError, OverflowError) as error:
            self._lines.clear()
            self._fail("".join(traceback.format_exception_only(type(error), error)))
            return Progress.DONE
        if code is None:
            return Progress.MORE
        self._lines.clear()
        self._remember(name, source)
        return self._run(code)

    def interrupt(self) -> None:
        """Drop an input that is not whole, and the future that is waited for."""
        self._lines.clear()
        self.future = None

    def close(self) -> None:
        """Forget the sources."""
        self.interrupt()
        while self._sources:
            linecache.cache.pop(self._sources.popleft(), None)
        self.namespace.clear()

    def complete(self, text: str) -> list[str]:
        """What a name, or a name after dots, can go on with; nothing of it is called.

        The module `rlcompleter` is not used: to import it takes over the program's own readline.
        """
        names = {**vars(builtins), **self.namespace.shared, **self.namespace}
        head, dot, last = text.rpartition(".")
        if not dot:
            found = [*names, *keyword.kwlist]
        elif re.fullmatch(r"\w+(\.\w+)*", head):
            with self._guarded():
                found = _attributes(names, head)
        else:
            found = []
        hidden = not last.startswith("_")
        return sorted(
            f"{head}{dot}{name}"
            for name in set(found)
            if name.startswith(last) and not (hidden and name.startswith("_"))
        )

    def _remember(self, name: str, source: str) -> None:
        """Have tracebacks quote the lines of an input."""
        linecache.cache[name] = (len(source), None, [f"{x}\n" for x in source.split("\n")], name)
        self._sources.append(name)
        if len(self._sources) > MAX_SOURCES:
            linecache.cache.pop(self._sources.popleft(), None)

    # -- evaluating ------------------------------------------------------------------------

    def _run(self, code: CodeType) -> Progress:
        try:
            with self._guarded():
                exec(code, self.namespace)
        except SystemExit:
            return Progress.EXIT
        except TimeLimitError:
            self._fail(
                f"TimeLimitError: the input was ended after {self.time_limit:g} seconds,"
                " in which the program stood still\n"
            )
        except BaseException as error:
            self._fail(traceback_text(error))
        return Progress.DONE if self.future is None else Progress.WAITING

    def _fail(self, text: str) -> None:
        self.failures += 1
        self._write(text)

    def show(self, value: object) -> None:
        """Write a value as a prompt does, and keep it as ``_``."""
        if isinstance(value, Future):
            self.future = value
        elif value is not None:
            self.namespace["_"] = value
            self._write(value_text(value, self.width) + "\n")

    def show_future(self, future: Future[object]) -> None:
        """Write the outcome of a future that is done."""
        self.future = None
        try:
            with self._guarded():
                self.show(future.result())
        except TimeLimitError:
            self._fail("TimeLimitError: the value took too long to show\n")
        except BaseException as error:
            self._fail(traceback_text(error))

    def _help(self, *about: object) -> None:
        if not about:
            print("help(x) shows what is known of x; an interactive help would have to wait")
            return
        thing = about[0]
        try:
            signature = str(inspect.signature(thing))  # type: ignore[arg-type]  # tried, not known
        except (TypeError, ValueError):
            signature = ""
        name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
        print(f"{name or type(thing).__qualname__}{signature}\n")
        print(inspect.getdoc(thing) or "it has no docstring")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keep what is evaluated from the program's terminal, and within its time."""
        before = sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.breakpointhook
        output = Output(self._write)
        sys.stdout = sys.stderr = output
        sys.stdin = NoInput()
        sys.displayhook = self.show
        sys.breakpointhook = _no_breakpoint
        try:
            with time_limited(self.time_limit, self._while_busy):
                yield
        finally:
            sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.breakpointhook = before


def _attributes(names: Mapping[str, object], path: str) -> list[str]:
    """The names of what a path of names leads to; none where it leads nowhere."""
    first, *others = path.split(".")
    if first not in names:
        return []
    thing = names[first]
    try:
        for name in others:
            thing = getattr(thing, name)
        return [name for name in dir(thing) if isinstance(name, str)]
    except Exception:
        return []  # an attribute of the program's own that raises


def _no_breakpoint(*_args: object, **_options: object) -> None:
    raise RuntimeError(NO_WAITING.format("breakpoint()"))


def value_text(value: object, width: int) -> str:
    """A value as a prompt shows it: over several lines where one is too narrow."""
    text = repr(value)
    if len(text) > width and isinstance(value, (dict, list, tuple, set, frozenset)):
        if len(text) <= MAX_VALUE:
            text = pprint.pformat(value, width=width, compact=True)
    if len(text) > MAX_VALUE:
        text = f"{text[:MAX_VALUE]}... ({len(text)} characters; print() shows them all)"
    return text


def traceback_text(error: BaseException) -> str:
    """The traceback of what an input raised, from its own code on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


# -- the time limit --------------------------------------------------------------------------------


def _free_timer() -> tuple[int, int] | None:
    """An interval timer that nobody uses, and its signal; None where there is none."""
    if threading.current_thread() is not threading.main_thread():
        return None
    timers = ((signal.ITIMER_REAL, signal.SIGALRM), (signal.ITIMER_PROF, signal.SIGPROF))
    for timer, number in timers:
        if not signal.getitimer(timer)[0] and signal.getsignal(number) in (signal.SIG_DFL, None):
            return timer, number
    return None


@contextmanager
def time_limited(seconds: float | None, while_busy: Callable[[], object]) -> Iterator[None]:
    """Raise TimeLimitError in what runs for longer; call `while_busy` meanwhile.

    Signal handlers are Python's own, so that what is one call in C is not ended before it returns.

    Args:
        seconds: how long it may run; None for as long as it takes.
        while_busy: called about once a second, and more often within a shorter limit.
    """
    free = _free_timer()
    if free is None:
        yield
        return
    timer, number = free
    begun = time.monotonic()
    active = True

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if not active:
            return
        while_busy()
        if seconds is not None and time.monotonic() - begun >= seconds:
            raise TimeLimitError

    interval = 1.0 if seconds is None else min(1.0, seconds * AGAIN)
    before = signal.signal(number, on_signal)
    try:
        signal.setitimer(timer, interval, interval)
        yield
    finally:
        active = False
        signal.setitimer(timer, 0.0)
        signal.signal(number, before)


def checked_limit(seconds: object) -> float | None:
    """A time limit that can be used.

    Raises:
        ConfigError: it is not a number of seconds above 0, nor None.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ConfigError(f"time_limit is {seconds!r}: use seconds above 0, or None for no limit")
    return float(seconds)
