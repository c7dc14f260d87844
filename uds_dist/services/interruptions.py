"""Interruptions of code at a prompt: its time limit, and the program's signals.

The time limit is an interval timer whose signal handler raises. Python runs signal handlers in the
main thread, between two bytecodes, so a call into C is not interrupted before it returns.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from uds_dist.errors import ConfigError

# The timer raises again after this part of the limit, in case the code catches the exception.
AGAIN = 0.25
# A function of this package gets GRACE more seconds to return; the timer checks every LOOK_AGAIN.
GRACE = 1.0
LOOK_AGAIN = 0.002
# `while_busy` is called about this often, in seconds.
INTERVAL = 0.25

PACKAGE = __name__.partition(".")[0] + "."
# Modules of this package in which the exception may occur at any point.
OPEN = (__name__, "uds_dist.services.evaluator", "uds_dist.services.console_helpers")


class TimeLimitError(BaseException):
    """An input took longer than its time limit."""


@contextmanager
def time_limited(seconds: float | None, while_busy: Callable[[], object]) -> Iterator[None]:
    """Raise TimeLimitError in code that runs too long; call `while_busy` meanwhile.

    Without a free timer, or outside the main thread, there is no limit.

    Args:
        seconds: how long the code may run; None for no limit.
        while_busy: called every 0.25 seconds, and more often within a shorter limit.
    """
    free = _free_timer()
    if free is None:
        yield
        return
    timer, number = free
    begun = time.monotonic()
    interval = INTERVAL if seconds is None else min(INTERVAL, seconds * AGAIN)
    active = True

    def on_signal(_number: int, frame: FrameType | None) -> None:
        if not active:
            return
        while_busy()
        elapsed = time.monotonic() - begun
        if seconds is None or elapsed < seconds:
            return
        if elapsed < seconds + GRACE and _in_library(frame):
            signal.setitimer(timer, LOOK_AGAIN, interval)
            return
        raise TimeLimitError

    before = signal.signal(number, on_signal)
    try:
        signal.setitimer(timer, interval, interval)
        yield
    finally:
        active = False
        # The evaluated code may use the timer or the signal itself.
        if signal.getitimer(timer)[1] == interval or signal.getsignal(number) is on_signal:
            signal.setitimer(timer, 0.0)
        if signal.getsignal(number) is on_signal:
            signal.signal(number, before)


def _free_timer() -> tuple[int, int] | None:
    """A free interval timer and its signal; None if no timer is free."""
    if threading.current_thread() is not threading.main_thread():
        return None
    timers = ((signal.ITIMER_REAL, signal.SIGALRM), (signal.ITIMER_PROF, signal.SIGPROF))
    for timer, number in timers:
        if not signal.getitimer(timer)[0] and signal.getsignal(number) is signal.SIG_DFL:
            return timer, number
    return None


def _in_library(frame: FrameType | None) -> bool:
    """True while a function of this package runs, called by the evaluated code.

    An exception inside it could leave the node's tables half written.
    """
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module in OPEN:
            return False
        if module.startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


def checked_limit(seconds: object) -> float | None:
    """Check a time limit.

    Raises:
        ConfigError: it is neither a number of seconds above 0 nor None.
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ConfigError(f"time_limit is {seconds!r}: use seconds above 0, or None for no limit")
    return float(seconds)


# -- the program's own signals -------------------------------------------------------------


@contextmanager
def noted_interrupts() -> Iterator[None]:
    """Let `raised_by_signal` recognize the KeyboardInterrupt of Python's own SIGINT handler.

    That handler is a C function, so it does not appear in a traceback.
    """
    default = signal.default_int_handler
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not default
    ):
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, default)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def raised_by_signal(error: BaseException) -> bool:
    """True if a signal handler of the program raised this, not the code that it interrupted."""
    codes = {_interrupt.__code__}
    for number in signal.valid_signals():
        code = _code_of(signal.getsignal(number))
        if code is not None:
            codes.add(code)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: object) -> CodeType | None:
    handler = getattr(handler, "func", handler)  # of a functools.partial
    handler = getattr(handler, "__func__", handler)  # of a method
    code = getattr(handler, "__code__", None)
    if code is None and callable(handler):
        code = getattr(getattr(type(handler), "__call__", None), "__code__", None)
    return code if isinstance(code, CodeType) else None
