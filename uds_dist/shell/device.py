"""The operating system's side of a remote shell: the terminal's modes, its bytes, its signals.

If possible, output does not block the loop: a paused terminal (a selection, a pager that nobody
reads) must not keep the node from sending ticks. Non-blocking mode belongs to an open file
description that other programs share, so the terminal is opened again.
"""

from __future__ import annotations

import os
import signal
import stat
import termios
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from selectors import EVENT_READ, EVENT_WRITE
from types import FrameType
from typing import Any

from uds_dist.transport.loop import EventLoop

STDIN, STDOUT = 0, 1
CHUNK = 65536
# Bytes that may wait for the terminal before processes that print must wait too.
HIGH_WATER = 262144
PASTE_ON = "\x1b[?2004h"
PASTE_OFF = "\x1b[?2004l"


class Output:
    """Writes bytes to a terminal or a pipe as it takes them.

    Args:
        loop: tells when more can be written.
        descriptor: standard output, say.
    """

    def __init__(self, loop: EventLoop, descriptor: int) -> None:
        self._loop = loop
        self._queue: deque[memoryview] = deque()
        self._size = 0
        self._waiting: deque[Callable[[], object]] = deque()
        self._watched = False
        self._is_terminal = os.isatty(descriptor)
        own = _own_description(descriptor)
        self._owned = own is not None
        self._descriptor = descriptor if own is None else own

    def write(self, text: str) -> None:
        """Write text, or keep it until it can be written.

        Raises:
            OSError: nobody reads any more, or the disk is full.
        """
        data = text.encode("utf-8", "replace")
        if data:
            self._queue.append(memoryview(data))
            self._size += len(data)
            if not self._watched:
                self._flush()

    def when_ready(self, then: Callable[[], object]) -> None:
        """Call back when little is left to be written, perhaps at once."""
        if self._size <= HIGH_WATER:
            then()
        else:
            self._waiting.append(then)

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                written = os.write(self._descriptor, data[:CHUNK])
            except BlockingIOError:
                break
            except OSError:
                if not self._is_terminal:
                    raise
                self._queue.clear()  # it has hung up, and its input reports that too
                self._size = 0
                break
            self._size -= written
            if written == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = data[written:]
        self._watch(bool(self._queue))

    def _watch(self, watched: bool) -> None:
        if watched and not self._watched:
            self._loop.register(self._descriptor, EVENT_WRITE, self._on_writable)
        elif self._watched and not watched:
            self._loop.unregister(self._descriptor)
        self._watched = watched

    def _on_writable(self, _events: int) -> None:
        self._flush()
        while self._waiting and self._size <= HIGH_WATER:
            self._waiting.popleft()()

    def close(self) -> None:
        """Write the rest, wait for it, and close the descriptor."""
        self._watch(False)
        if self._owned:
            os.set_blocking(self._descriptor, True)
        try:
            while self._queue:
                data = self._queue.popleft()
                while data:
                    data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._queue.clear()  # the terminal is gone, or its reader
        if self._owned:
            os.close(self._descriptor)
            self._owned = False


def _own_description(descriptor: int) -> int | None:
    """Open a terminal or pipe again, as non-blocking; None if that is not possible."""
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or os.isatty(descriptor)):
        return None
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    paths = [f"/proc/self/fd/{descriptor}"]
    if os.isatty(descriptor):
        try:
            paths.append(os.ttyname(descriptor))
        except OSError:
            pass  # a terminal of another mount namespace has no name here
    for path in paths:
        try:
            return os.open(path, flags)
        except OSError:
            continue
    return None


class Input:
    """Passes on the bytes of a terminal or a pipe as they come.

    Args:
        loop: tells when there are some.
        descriptor: standard input, say.
        on_data: called with the bytes; with none at the end of input.
    """

    def __init__(
        self, loop: EventLoop, descriptor: int, on_data: Callable[[bytes], object]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._on_data = on_data
        self._watched = False
        self._is_file = False

    def read(self, wanted: bool) -> None:
        """Start reading, or stop and leave the input to the next reader."""
        if wanted == self._watched or self._is_file:
            if wanted and self._is_file:
                self._loop.call_soon(lambda: self._on_readable(EVENT_READ))
            return
        if not wanted:
            self._loop.unregister(self._descriptor)
            self._watched = False
            return
        try:
            self._loop.register(self._descriptor, EVENT_READ, self._on_readable)
            self._watched = True
        except PermissionError:  # a plain file can be read at any time
            self._is_file = True
            self.read(True)

    def _on_readable(self, _events: int) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the terminal has hung up
            data = b""
        if not data:
            self.read(False)
        self._on_data(data)

    def close(self) -> None:
        """Stop reading."""
        if self._watched:
            self.read(False)


class RawMode:
    """A terminal that passes on each key unchanged; its output is processed as before."""

    def __init__(self, descriptor: int, output: Output) -> None:
        self._descriptor = descriptor
        self._output = output
        self._before = termios.tcgetattr(descriptor)
        self._mode = mode = termios.tcgetattr(descriptor)
        mode[0] &= ~(
            termios.BRKINT | termios.ICRNL | termios.IGNCR | termios.INLCR | termios.ISTRIP
            | termios.IXON | termios.PARMRK
        )  # fmt: skip
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0

    def enter(self) -> None:
        """Set the mode."""
        _set_mode(self._descriptor, self._mode)
        self._output.write(PASTE_ON)

    def leave(self) -> None:
        """Restore the previous mode."""
        self._output.write(PASTE_OFF)
        self.restore()

    def restore(self) -> None:
        """Restore the previous mode, without writing to the terminal."""
        _set_mode(self._descriptor, self._before)

    def suspend(self) -> None:
        """Stop this program, with the terminal in its previous mode, until it is continued.

        If no shell could continue it, the system ignores the signal.
        """
        self.leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL if handler is None else handler)
        self.enter()


@contextmanager
def raw_mode(descriptor: int, output: Output) -> Iterator[RawMode]:
    """Make a terminal pass on each key unchanged; `output` is closed at the end."""
    mode = RawMode(descriptor, output)
    mode.enter()
    try:
        yield mode
    finally:
        output.write(PASTE_OFF)
        output.close()
        mode.restore()


@contextmanager
def echo_switch(descriptor: int) -> Iterator[Callable[[bool], None]]:
    """Give a function that hides what is typed (False) or shows it as before (True)."""
    before = termios.tcgetattr(descriptor)
    hidden = termios.tcgetattr(descriptor)
    hidden[3] &= ~termios.ECHO

    def switch(on: bool) -> None:
        _set_mode(descriptor, before if on else hidden)

    try:
        yield switch
    finally:
        switch(True)


def stop_group() -> None:
    """Do what the terminal does at its suspend key: stop all programs of this job."""
    os.kill(0, signal.SIGTSTP)


def _set_mode(descriptor: int, mode: list[Any]) -> None:
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
    except termios.error:
        pass  # the terminal has hung up


@contextmanager
def on_signals(
    loop: EventLoop, callbacks: Mapping[signal.Signals, Callable[[], object]]
) -> Iterator[None]:
    """Run callbacks in the loop when signals come."""

    def install(number: signal.Signals, callback: Callable[[], object]) -> Any:
        def on_signal(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon(callback)
            loop.wakeup()

        return signal.signal(number, on_signal)

    before = {number: install(number, callback) for number, callback in callbacks.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: the previous handler is not Python's and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def moves_cursor() -> bool:
    """True if the user's terminal is one that can move its cursor."""
    return os.environ.get("TERM", "") not in ("", "dumb")


def has_colour() -> bool:
    """True if the user's terminal should show colours."""
    return moves_cursor() and not os.environ.get("NO_COLOR")


def terminal_size(descriptor: int) -> tuple[int, int]:
    """Columns and rows of a terminal; 80 and 24 if it does not report them."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24
