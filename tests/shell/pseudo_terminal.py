"""Programs at a pseudo-terminal: what they show, and what is typed."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from tests.shell.vt import Vt

PATIENCE = 20.0


class PseudoTerminal:
    """A program under its own terminal; it is killed at the end.

    Args:
        argv: the program, found by its path.
        environment: its whole environment.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self.vt = Vt(columns or 80, rows or 24)  # a terminal of no size is taken for this one
        self.status: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(argv[0], list(argv), dict(environment))
            finally:
                os._exit(127)

    def send(self, text: str | bytes) -> None:
        """Type."""
        data = text.encode() if isinstance(text, str) else text
        while data:
            self._read(0)
            data = data[os.write(self._fd, data[:512]) :]

    def _read(self, timeout: float) -> bool:
        if self._fd < 0 or not select.select([self._fd], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            data = b""
        if not data:
            os.close(self._fd)
            self._fd = -1
            return False
        self.vt.feed(self._decoder.decode(data))
        return True

    def until(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Read until a condition on the screen holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self._fd >= 0, f"the program has ended; it showed\n{self.vt.text}"
            left = deadline - time.monotonic()
            assert left > 0, f"the screen shows\n{self.vt.text}\n---- written {self.vt.written[-2000:]!r}"
            self._read(min(left, 0.1))

    def see(self, pattern: str, timeout: float = PATIENCE) -> None:
        """Wait until a pattern is anywhere in what was shown."""
        wanted = re.compile(pattern, re.MULTILINE)
        self.until(lambda: wanted.search(self.vt.text), timeout)

    def see_line(self, pattern: str, timeout: float = PATIENCE) -> None:
        """Wait until the last line that is not empty is this."""
        wanted = re.compile(pattern)
        self.until(lambda: wanted.fullmatch(self.vt.text.rpartition("\n")[2]), timeout)

    def read_for(self, seconds: float) -> None:
        """Read whatever comes for some time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._fd >= 0:
            self._read(left)

    def drain_until(self, end: bytes, timeout: float = PATIENCE) -> int:
        """Read past the screen, as fast as it goes, until these bytes have come; returns how many."""
        deadline = time.monotonic() + timeout
        size, tail = 0, b""
        while end not in tail:
            assert time.monotonic() < deadline, f"{size} bytes came, then {tail!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                data = os.read(self._fd, 1 << 20)
                size += len(data)
                tail = tail[-len(end) :] + data
        self.vt.feed(self._decoder.decode(tail))
        return size

    def processor_time(self) -> float:
        """Seconds of processor time that the program has used, in the system's steps."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size, as a window does."""
        self.vt.resize(columns, rows)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the program's end; returns its exit code."""
        deadline = time.monotonic() + timeout
        while self.status is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.status = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < deadline, f"it does not end; it shows\n{self.vt.text}"
            if not self._read(0.05) and self._fd < 0:
                time.sleep(0.01)
        while self._read(0):
            pass
        return self.status

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._fd >= 0:
            os.close(self._fd)


def uds_dist(
    *words: str, socket_dir: str, home: str, columns: int = 80, rows: int = 24, **settings: str
) -> PseudoTerminal:
    """`uds-dist` at a terminal; `settings` are variables of its environment."""
    environment = {
        **os.environ,
        "UDS_DIST_SOCKET_DIR": socket_dir,
        "UDS_DIST_COOKIE": "secret",
        "XDG_STATE_HOME": home,
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        **settings,
    }
    return PseudoTerminal([sys.executable, "-m", "uds_dist", *words], environment, columns, rows)


def remote(
    node: str, *words: str, socket_dir: str, home: str, columns: int = 80, rows: int = 24,
    **settings: str,
) -> PseudoTerminal:  # fmt: skip
    """`uds-dist remote` at a terminal."""
    return uds_dist(
        "remote", node, *words,
        socket_dir=socket_dir, home=home, columns=columns, rows=rows, **settings,
    )  # fmt: skip
