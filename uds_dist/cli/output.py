"""The commands' output, and what happens if it cannot be written.

Every write is flushed at once: what cannot be written is known while the exit code can still say
so, and nothing is left for the interpreter to complain about when it ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

from uds_dist import UdsDistError


class OutputError(UdsDistError):
    """Standard output cannot be written; `reader_left` where a pipe has lost its reader."""

    def __init__(self, message: str, reader_left: bool = False) -> None:
        super().__init__(message)
        self.reader_left = reader_left


def prepare_streams() -> None:
    """Have characters that a stream cannot take written as escapes, and no socket in its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def write_out(text: str) -> None:
    """Write to standard output.

    Raises:
        OutputError: it is closed, full, or a pipe that nobody reads.
    """
    stream = _stream("stdout")
    if stream is None:
        raise OutputError("standard output is closed")
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError) as error:
        _discard(stream)
        why = getattr(error, "strerror", None) or error
        raise OutputError(
            f"standard output cannot be written: {why}", isinstance(error, BrokenPipeError)
        ) from None


def write_line(text: str, escape: Callable[[str], str] | None = None) -> None:
    """Write a line to standard output.

    Args:
        text: the line.
        escape: gives the escape for a character that the stream's encoding lacks.
    Raises:
        OutputError: as of `write_out`.
    """
    encoding = getattr(_stream("stdout"), "encoding", None) or "utf-8"
    if escape is not None and not _has(encoding, text):
        text = "".join([char if _has(encoding, char) else escape(char) for char in text])
    write_out(text + "\n")


def write_error(text: str) -> None:
    """Write to standard error, if it can be written."""
    stream = _stream("stderr")
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        _discard(stream)


def complain(text: str) -> None:
    """Say what went wrong, in one line on standard error."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join([char if char.isprintable() else ascii(char)[1:-1] for char in line])
    write_error(f"uds-dist: {line}\n")


def speaks_utf8() -> bool:
    """Whether standard output takes any character."""
    encoding = getattr(_stream("stdout"), "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "") == "utf8"


def _stream(name: str) -> TextIO | None:
    stream: TextIO | None = getattr(sys, name)
    return stream  # None when the descriptor was closed before Python started


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python tries again when it ends."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # it has no descriptor
