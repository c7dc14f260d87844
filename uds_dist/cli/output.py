"""The commands' output, and the error if it cannot be written.

Every write is flushed at once, so a failure is known while the exit code can still report it, and
the interpreter has nothing left to complain about at exit.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TextIO

from uds_dist import UdsDistError


class OutputError(UdsDistError):
    """Standard output cannot be written; `reader_left` is True if a pipe has lost its reader."""

    def __init__(self, message: str, reader_left: bool = False) -> None:
        super().__init__(message)
        self.reader_left = reader_left


def prepare_streams() -> None:
    """Prepare the streams: open closed descriptors, escape unencodable characters, and buffer.

    A socket that took the number of a closed standard stream would receive the output. A stream
    without a buffer (``python -u``) says nothing if the system takes only a part of a text.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system picks the lowest free number
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
        if isinstance(stream.buffer, io.RawIOBase):
            encoding, raw = stream.encoding, stream.detach()
            return io.TextIOWrapper(
                io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True
            )
    return stream


def write_out(text: str) -> None:
    """Write to standard output.

    Raises:
        OutputError: it is closed, full, or a pipe without a reader.
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
        escape: returns the escape for a character that the stream's encoding lacks.
    Raises:
        OutputError: see `write_out`.
    """
    encoding = getattr(_stream("stdout"), "encoding", None) or "utf-8"
    if escape is not None and not _has(encoding, text):
        text = "".join([char if _has(encoding, char) else escape(char) for char in text])
    write_out(text + "\n")


def write_error(text: str) -> None:
    """Write to standard error; a failure is ignored."""
    stream = _stream("stderr")
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        _discard(stream)


def text_of(error: UdsDistError) -> str:
    """An error's message; that of an OSError without its number."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def complain(text: str) -> None:
    """Write one line about a problem to standard error."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join([char if char.isprintable() else ascii(char)[1:-1] for char in line])
    write_error(f"uds-dist: {line}\n")


def speaks_utf8() -> bool:
    """Whether standard output accepts every character."""
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
    """Discard what a stream still holds; Python would try to write it again at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # it has no descriptor
