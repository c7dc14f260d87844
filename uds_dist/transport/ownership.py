"""Who may use a loop: the process that made it, and the thread and the greenlet that run it.

getpid is a system call, and a loop checks in every round whether it still is in the process that
made it. So a hook of `os.fork` marks the process's object in the child, and the check only reads an
attribute.
"""

from __future__ import annotations

import os
import sys
from threading import get_ident
from typing import Final

from uds_dist.errors import ClosedError, ForkedLoopError, LoopReentryError

# A program may use greenlets; this module does not import them for it.
_modules: Final = sys.modules


class OwnProcess:
    """The process that made a loop; in a child of it `forked` is true."""

    __slots__ = ("forked", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.forked = False


# The process that this is; None until the first loop is made.
_own: OwnProcess | None = None


def own_process() -> OwnProcess:
    """The present process, the same object until it forks."""
    global _own
    if _own is None:
        _own = OwnProcess()
        # The hook cannot be removed, so one serves all loops, and it refers to none.
        os.register_at_fork(after_in_child=_forked)
    return _own


def _forked() -> None:
    global _own
    if _own is not None:
        _own.forked = True
    _own = OwnProcess()


def current_greenlet() -> int:
    """Identifies the current greenlet; 0 in a program without greenlets."""
    current = getattr(_modules.get("greenlet"), "getcurrent", None)
    return 0 if current is None else id(current())


def refusal(
    process: OwnProcess, closed: bool, thread_id: int = 0, greenlet: int = 0
) -> ForkedLoopError | ClosedError | LoopReentryError:
    """The error for a call into a loop that is not at rest, or not this process's.

    Args:
        process: the one that made the loop.
        closed: whether the loop is closed.
        thread_id: the thread that runs it.
        greenlet: the greenlet that runs it.
    """
    if process.forked:
        return ForkedLoopError(
            f"this loop belongs to process {process.pid}: make a new EventLoop after the fork"
        )
    if closed:
        return ClosedError("the loop is closed")
    return LoopReentryError(_why_not_here(thread_id, greenlet))


def _why_not_here(thread_id: int, greenlet: int) -> str:
    """The error text for a call into a loop that a thread and a greenlet are running."""
    if get_ident() != thread_id:
        return (
            "the loop is running in another thread: use a loop and its nodes from one thread"
            " only; from others call loop.call_soon_threadsafe()"
        )
    if current_greenlet() != greenlet:
        return (
            "the loop is running in another greenlet, which waits in it or in one of its"
            " handlers: run the loop in one greenlet, and wake others from callbacks"
        )
    return (
        "the loop is running already: a handler must not wait;"
        " let it return a Future or use add_done_callback"
    )
