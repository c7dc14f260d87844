"""The lines that were typed at a prompt, in a file of the user."""

from __future__ import annotations

import os
from collections.abc import Mapping

# The file holds at most twice as many before it is rewritten.
MAX_LINES = 2000


class History:
    """Lines, the oldest first.

    The file is only added to, so that several shells can share it; each shell sees what was there
    when it began, and its own lines.

    Args:
        path: the file, or None to keep nothing.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self.lines: list[str] = []
        if path is not None:
            self._load(path)

    def _load(self, path: str) -> None:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line for line in file.read().split("\n") if line]
        except OSError:
            return
        self.lines = lines[-MAX_LINES:]
        if len(lines) > 2 * MAX_LINES:
            self._write_anew(path)

    def _write_anew(self, path: str) -> None:
        new = f"{path}.{os.getpid()}"
        try:
            _write(new, os.O_TRUNC, "".join(line + "\n" for line in self.lines).encode())
            os.replace(new, path)
        except OSError:
            pass  # too long is better than lost

    def add(self, line: str) -> None:
        """Add a line, unless it is blank or the same as the last one."""
        line = line.strip("\n")
        if not line.strip() or "\n" in line or (self.lines and self.lines[-1] == line):
            return
        self.lines.append(line)
        if self._path is None:
            return
        try:
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            _write(self._path, os.O_APPEND, line.encode(errors="replace") + b"\n")
        except OSError:
            self._path = None  # a folder that cannot be written to: this session's lines only


def _write(path: str, flags: int, data: bytes) -> None:
    """Write to a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def history_path(kind: str, environment: Mapping[str, str]) -> str | None:
    """The file of one kind of shell in the user's state folder.

    Args:
        kind: ``iex``, ``erl`` or ``python``.
        environment: XDG_STATE_HOME and HOME are used.
    Returns:
        The path, or None when the user has no such folder.

    Source: XDG Base Directory Specification.
    """
    state = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification ignores relative paths
        home = environment.get("HOME", "")
        if not os.path.isabs(home):
            return None
        state = os.path.join(home, ".local", "state")
    return os.path.join(state, "uds_dist", f"{kind}_history")
