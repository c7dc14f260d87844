"""A remote shell without a terminal: lines from a pipe or a file, output as it comes.

A line is read only when a process asks for one, so the input after it is left to the processes that
read later.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Protocol

from uds_dist.shell.io_server import Draft, Question
from uds_dist.shell.terminal import Device, Reader


class LineSource(Protocol):
    """Where the lines come from."""

    def read(self, wanted: bool) -> None:
        """Read more, or stop."""


class PlainConsole:
    """The console of a shell whose input is not a terminal.

    Args:
        device: where output goes.
        later: runs a function in the loop's next round.
        prompts: print the prompts (somebody types the lines).
        banner: print what comes before the first prompt.
        echo: switches whether the system shows what is typed.
    """

    def __init__(
        self,
        device: Device,
        later: Callable[[Callable[[], object]], object],
        prompts: bool = False,
        banner: bool = False,
        echo: Callable[[bool], object] = lambda _on: None,
    ) -> None:
        self.reader: Reader | None = None
        self.source: LineSource | None = None
        self._device = device
        self._later = later
        self._prompts = prompts
        self._echo = echo
        self._printing = banner
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[str] = deque()
        self._unfinished = ""
        self._ended = False
        self._asked = False

    def write(self, text: str, then: Callable[[], object]) -> None:
        """Print."""
        if self._printing:
            self._device.write(text)
        self._device.when_ready(then)

    def ask(self, question: Question) -> None:
        """Hand over the next line, once it is there."""
        self._printing = self._printing or question.main
        self._echo(not question.secret)
        if self._prompts:
            self._device.write(question.prompt)
        self._asked = True
        self._later(self._hand_over)

    def withdraw(self) -> Draft:
        """Stop asking."""
        self._asked = False
        return Draft()

    def size(self) -> tuple[int, int] | None:
        """There is no screen."""
        return None

    def feed(self, data: bytes) -> None:
        """Take bytes of input; no bytes mean its end."""
        self._ended = not data
        lines = (self._unfinished + self._decoder.decode(data, final=self._ended)).split("\n")
        self._unfinished = lines.pop()
        self._lines.extend(lines)
        if self._ended and self._unfinished:
            self._lines.append(self._unfinished)
        self._hand_over()

    def _hand_over(self) -> None:
        assert self.reader is not None and self.source is not None, "the console is not complete"
        if not self._asked:
            return
        if not self._lines and not self._ended:
            self.source.read(True)
            return
        self._asked = False
        if self._lines:
            if not self._ended:
                self.source.read(False)
            self.reader.line(self._lines.popleft() + "\n")
        else:
            if self._prompts:
                self._device.write("\n")  # the prompt begins a new row
            self.reader.end_of_input()
