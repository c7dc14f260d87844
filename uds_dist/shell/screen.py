"""The screen around the line being edited, sans I/O.

Output scrolls upwards; the edited line is below it, where the output ended. To print above it, the
line is erased, the output written, and the line drawn again. All movements are relative to the
place where the line began, so the terminal never has to report its cursor.
"""

from __future__ import annotations

from collections.abc import Callable

from uds_dist.shell.layout import Spot, advance, char_width, column_after, lay_out

ERASE_BELOW = "\x1b[J"
CLEAR = "\x1b[H\x1b[2J"
# Moves the cursor from after the last column to the next row: writes a blank and goes back.
WRAP = " \r"
# A line longer than this many screens is not laid out to find whether it fits.
SCREENS = 2


class _Drawn:
    """The line as it is on the screen; `full` is False when only a part of it fits."""

    __slots__ = ("prompt", "text", "at", "cursor", "end", "full")

    def __init__(
        self, prompt: str, text: str, at: int, cursor: Spot, end: Spot, full: bool
    ) -> None:
        self.prompt = prompt
        self.text = text
        self.at = at
        self.cursor = cursor
        self.end = end
        self.full = full


class Screen:
    """Draws one line below the output.

    Args:
        emit: sends text to the terminal.
        columns, rows: the terminal's size.
    """

    def __init__(self, emit: Callable[[str], object], columns: int = 80, rows: int = 24) -> None:
        self._emit = emit
        self.columns = max(columns, 1)
        self.rows = max(rows, 1)
        self._column = 0  # where the output has ended and the line begins
        self._drawn: _Drawn | None = None

    @property
    def drawn(self) -> bool:
        """Whether the line is on the screen."""
        return self._drawn is not None

    def output(self, text: str) -> None:
        """Write output; a line that is drawn is erased first."""
        if text:
            self._emit(self._erasure() + text)
            self._column = column_after(text, self._column, self.columns)

    def show(self, prompt: str, text: str, index: int) -> None:
        """Draw the line, or what has changed of it.

        Args:
            prompt: a single line; colours are allowed.
            text: the line.
            index: the cursor's place in it.
        """
        old = self._drawn
        full = len(text) < SCREENS * self.rows * self.columns
        if full:
            after_prompt = advance(Spot(0, self._column), prompt, self.columns)
            _, spots = lay_out(text, after_prompt, self.columns)
            full = spots[-1].row < self.rows
        if not full:
            half = max(1, (self.rows - 1) * self.columns // 4)
            first = max(0, index - half)
            text, index = text[first : index + half], index - first
            prompt = "" if first else prompt
        if (
            old is not None and old.full and full and old.prompt == prompt
            and self._change(old, text, index)
        ):  # fmt: skip
            return
        self._draw(prompt, text, index, full)

    def _change(self, old: _Drawn, text: str, index: int) -> bool:
        """Draw only the difference where that is simple; returns whether it was."""
        _, spots = lay_out(
            text, advance(Spot(0, self._column), old.prompt, self.columns), self.columns
        )
        if text == old.text:
            if spots[index] != old.cursor:
                self._emit(self._move(old.cursor, spots[index]))
        elif (
            text.startswith(old.text) and old.at == len(old.text) and index == len(text)
            and char_width(text[old.at]) > 0  # a mark belongs to a character before it
        ):  # fmt: skip
            shown, _ = lay_out(
                text, advance(Spot(0, self._column), old.prompt, self.columns), self.columns
            )
            wrap = WRAP if spots[-1].column == 0 else ""
            self._emit("".join(shown[len(old.text) :]) + wrap)
        else:
            return False
        self._drawn = _Drawn(old.prompt, text, index, spots[index], spots[-1], True)
        return True

    def _draw(self, prompt: str, text: str, index: int, full: bool) -> None:
        out = self._erasure()
        if self._column >= self.columns:
            out += WRAP
            self._column = 0
        after_prompt = advance(Spot(0, self._column), prompt, self.columns)
        shown, spots = lay_out(text, after_prompt, self.columns)
        out += prompt + "".join(shown)
        if spots[-1].column == 0 and spots[-1].row > 0:
            out += WRAP
        self._emit(out + self._move(spots[-1], spots[index]))
        self._drawn = _Drawn(prompt, text, index, spots[index], spots[-1], full)

    def finish(self, prompt: str, text: str, tail: str = "") -> None:
        """Draw the line for the last time, and go to the row below it.

        Args:
            tail: the text after the line.
        """
        self.show(prompt, text, len(text))
        drawn = self._drawn
        at_row_start = drawn is not None and drawn.end.column == 0 and drawn.end.row > 0
        self._drawn = None
        self._emit(tail if at_row_start and not tail else tail + "\n")
        self._column = 0

    def erase(self) -> None:
        """Take the line from the screen."""
        out = self._erasure()
        if out:
            self._emit(out)

    def _erasure(self) -> str:
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return ""
        return self._move(drawn.cursor, Spot(0, self._column)) + ERASE_BELOW

    def clear(self) -> None:
        """Clear the whole screen."""
        self._drawn = None
        self._column = 0
        self._emit(CLEAR)

    def resize(self, columns: int, rows: int) -> None:
        """Note the terminal's new size, and erase the line so that it is drawn again.

        Some terminals wrap the text on the screen again, and some do not. The smaller of the two
        distances is taken: a remnant above is better than a lost line of output.
        """
        drawn = self._drawn
        columns, rows = max(columns, 1), max(rows, 1)
        if drawn is not None:
            after_prompt = advance(Spot(0, self._column), drawn.prompt, columns)
            _, spots = lay_out(drawn.text, after_prompt, columns)
            row = min(drawn.cursor.row, spots[drawn.at].row)
            column = min(self._column, columns - 1)
            # Even if it may not have moved: the cursor's place in its row is unknown.
            self._emit(self._move(Spot(row, self.columns), Spot(0, column)) + ERASE_BELOW)
            self._drawn = None
        self._column = min(self._column, columns - 1)
        self.columns, self.rows = columns, rows

    @staticmethod
    def _move(here: Spot, there: Spot) -> str:
        if here == there:
            return ""
        rows = there.row - here.row
        out = f"\x1b[{-rows}A" if rows < 0 else f"\x1b[{rows}B" if rows > 0 else ""
        out += "\r"
        return out + (f"\x1b[{there.column}C" if there.column else "")
