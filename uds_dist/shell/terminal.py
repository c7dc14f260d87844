"""A remote shell's terminal, sans I/O: keys, lines, history, and output above the prompt.

Keys that come while nobody reads wait for the next question, as the keys of a terminal do; only
the interrupt key does not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from uds_dist.shell.editor import Effect, LineEditor
from uds_dist.shell.history import History
from uds_dist.shell.io_server import Draft, Question
from uds_dist.shell.keys import SUSPEND, Key, KeyDecoder
from uds_dist.shell.screen import Screen

BELL = "\a"
INTERRUPT = "C-c"
LEAVE = "C-\\"


class Reader(Protocol):
    """Receives what the user types."""

    def line(self, text: str) -> None:
        """A line that was asked for, with its newline."""

    def end_of_input(self) -> None:
        """The end of input instead of a line."""

    def interrupt(self) -> None:
        """The interrupt key."""

    def leave(self) -> None:
        """The key that leaves the shell at once."""

    def complete(self, before: str, then: Callable[[str, str], object]) -> None:
        """Complete the text before the cursor; `then` gets what to insert and what to show."""


class Device(Protocol):
    """The terminal itself."""

    def write(self, text: str) -> None:
        """Send text."""

    def when_ready(self, then: Callable[[], object]) -> None:
        """Call back when the terminal has taken most of what was sent."""


class TerminalConsole:
    """The console of a shell at a terminal.

    Args:
        device: the terminal.
        later: runs a function in the loop's next round.
        history: the lines of earlier sessions.
        columns, rows: the terminal's size.
    """

    def __init__(
        self,
        device: Device,
        later: Callable[[Callable[[], object]], object],
        history: History,
        columns: int,
        rows: int,
    ) -> None:
        self.reader: Reader | None = None
        self.on_suspend: Callable[[], object] | None = None  # the suspend key
        self._device = device
        self._later = later
        self._history = history
        self._screen = Screen(device.write, columns, rows)
        self._decoder = KeyDecoder()
        self._editor = LineEditor()
        self._keys: deque[Key] = deque()
        self._question: Question | None = None
        self._prompt = ""  # the last line of the question's prompt
        self._completing: object = None
        self._scheduled = False

    # -- for the I/O server ----------------------------------------------------------------

    def write(self, text: str, then: Callable[[], object]) -> None:
        """Print above the line that is edited."""
        was_drawn = self._screen.drawn
        self._screen.output(text)
        if was_drawn:
            self._schedule()
        self._device.when_ready(then)

    def ask(self, question: Question) -> None:
        """Begin a line."""
        above, newline, self._prompt = question.prompt.rpartition("\n")
        self._screen.output(above + newline)
        self._question = question
        self._editor.start(self._history.lines, question.draft.text, question.draft.cursor)
        self._completing = None
        if self._keys:
            self._schedule()
        else:
            self._refresh()

    def withdraw(self) -> Draft:
        """Take the line from the screen."""
        draft = Draft(self._editor.text, self._editor.cursor)
        self._question = None
        self._completing = None
        self._screen.erase()
        return draft

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._screen.columns, self._screen.rows

    # -- for the terminal ------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take the bytes of keys."""
        for key in self._decoder.feed(data):
            if key.name == INTERRUPT:
                self.interrupt()
            elif key.name == LEAVE:
                self._keys.clear()
                self._reader().leave()
                return
            elif key.name == SUSPEND and self.on_suspend is not None:
                self.on_suspend()
            else:
                self._keys.append(key)
        self._work()

    def interrupt(self) -> None:
        """Do what the interrupt key does."""
        self._work()
        self._keys.clear()
        self._completing = None
        if self._question is not None:
            shown = "" if self._question.secret else self._editor.text
            self._screen.finish(self._prompt, shown, "^C")
            self._editor.start(self._history.lines)
        self._reader().interrupt()

    def resize(self, columns: int, rows: int) -> None:
        """Note the terminal's new size."""
        self._screen.resize(columns, rows)
        self._refresh()

    def suspend(self) -> None:
        """Leave the cursor in an empty row; `redraw` draws the line again."""
        if self._question is not None and self._screen.drawn:
            self._screen.finish(self._prompt, "" if self._question.secret else self._editor.text)

    def redraw(self) -> None:
        """Draw the line again: another program has written to the terminal."""
        self._screen.erase()
        self._refresh()

    def close(self) -> None:
        """Leave the cursor in an empty row."""
        if self._question is not None:
            self._screen.finish(self._prompt, "" if self._question.secret else self._editor.text)
            self._question = None

    # -- inside ----------------------------------------------------------------------------

    def _reader(self) -> Reader:
        assert self.reader is not None, "the console has no reader yet"
        return self.reader

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._later(self._work)

    def _work(self) -> None:
        """Act on the keys for as long as somebody reads, and draw the outcome once."""
        self._scheduled = False
        while self._keys and self._question is not None and self._completing is None:
            self._act(self._question, self._keys.popleft())
        self._refresh()

    def _act(self, question: Question, key: Key) -> None:
        effect = self._editor.feed(key)
        if effect is Effect.ACCEPT:
            text = self._editor.text
            self._screen.finish(self._prompt, "" if question.secret else text)
            self._question = None
            if question.history:
                self._history.add(text)
            self._reader().line(text + "\n")
        elif effect is Effect.END:
            self._screen.finish(self._prompt, "")
            self._question = None
            self._reader().end_of_input()
        elif effect is Effect.COMPLETE:
            self._complete(question)
        elif effect is Effect.CLEAR:
            self._screen.clear()
        elif effect is Effect.BELL:
            self._device.write(BELL)

    def _complete(self, question: Question) -> None:
        before = self._editor.text[: self._editor.cursor]
        if not question.main or not before.strip():
            self._editor.insert("\t")  # of a line that is indented
            return
        token = self._completing = object()

        def completed(insertion: str, matches: str) -> None:
            if self._completing is not token:
                return
            self._completing = None
            self._editor.insert(insertion)
            if matches:
                self._refresh()
                self._screen.finish(self._prompt, self._editor.text)
                self._screen.output(matches)
            elif not insertion:
                self._device.write(BELL)
            self._work()

        self._refresh()
        self._reader().complete(before, completed)

    def _refresh(self) -> None:
        question, editor = self._question, self._editor
        if question is None:
            return
        if question.secret:
            self._screen.show(self._prompt, "", 0)
        elif editor.search is not None:
            self._screen.show(editor.search.prompt, editor.text, editor.cursor)
        else:
            self._screen.show(self._prompt, editor.text, editor.cursor)
