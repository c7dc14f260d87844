"""A small terminal for tests: what a program has written, as rows of characters.

It knows what the shell uses (relative movements, erasing, wrapping at the edge with the cursor
held after the last column, wide characters) and what a full-screen program may send besides.
"""

from __future__ import annotations

import re
from unicodedata import combining, east_asian_width

SEQUENCE = re.compile(r"\x1b\[([0-?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()].|\x1b[^\[]")


class Vt:
    """A screen of some columns and rows, and what has scrolled off its top."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.rows = rows
        self.above: list[str] = []
        self.bells = 0
        self.written = ""
        self._grid: list[list[str]] = [[] for _ in range(rows)]
        self._row = 0
        self._column = 0
        self._held = ""

    @property
    def lines(self) -> list[str]:
        """The rows of the screen without the blanks at their ends."""
        return ["".join(row).rstrip() for row in self._grid]

    @property
    def text(self) -> str:
        """All that was shown, from the first line on, without empty rows at the end."""
        return "\n".join([*self.above, *self.lines]).rstrip("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column."""
        return self._row, self._column

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, like a terminal that does not wrap its text again."""
        while len(self._grid) > rows:
            if self._row < rows:
                self._grid.pop()
            else:
                self.above.append("".join(self._grid.pop(0)).rstrip())
                self._row -= 1
        self._grid += [[] for _ in range(rows - len(self._grid))]
        self._grid = [row[:columns] for row in self._grid]
        self.columns, self.rows = columns, rows
        self._column = min(self._column, columns - 1)

    def feed(self, text: str) -> None:
        """Take what a program writes; a newline is taken as it leaves the system's terminal."""
        self.written += text
        text = self._held + text
        self._held = ""
        position = 0
        while position < len(text):
            character = text[position]
            if character == "\x1b":
                found = SEQUENCE.match(text, position)
                if found is None:
                    self._held = text[position:]
                    return
                if found[2]:
                    self._sequence(found[1], found[2])
                position = found.end()
                continue
            self._character(character)
            position += 1

    def _character(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._line_feed()
        elif character == "\b":
            self._column = max(0, min(self._column, self.columns - 1) - 1)
        elif character == "\a":
            self.bells += 1
        elif character == "\t":
            self._column = min(self._column + 8 - self._column % 8, self.columns - 1)
        elif character >= " ":
            self._put(character)

    def _put(self, character: str) -> None:
        row = self._grid[self._row]
        if combining(character) or character in "\u200d\ufe0f":
            if 0 < self._column <= len(row):
                row[self._column - 1] += character
            return
        width = 2 if east_asian_width(character) in "WF" else 1
        if self._column + width > self.columns:
            self._column = 0
            self._line_feed()
            row = self._grid[self._row]
        row += [" "] * (self._column + width - len(row))
        row[self._column] = character
        if width == 2:
            row[self._column + 1] = ""
        self._column += width

    def _line_feed(self) -> None:
        if self._row + 1 < self.rows:
            self._row += 1
        else:
            self.above.append("".join(self._grid.pop(0)).rstrip())
            self._grid.append([])

    def _sequence(self, parameters: str, final: str) -> None:
        if parameters.startswith("?"):
            return
        numbers = [int(part) if part else 0 for part in parameters.split(";")]
        count = max(1, numbers[0])
        column = min(self._column, self.columns - 1)
        if final == "A":
            self._row = max(0, self._row - count)
        elif final == "B":
            self._row = min(self.rows - 1, self._row + count)
        elif final == "C":
            self._column = min(self.columns - 1, column + count)
        elif final == "D":
            self._column = max(0, column - count)
        elif final == "G":
            self._column = min(self.columns, count) - 1
        elif final == "H":
            self._row = min(self.rows, count) - 1
            self._column = min(self.columns, max(1, numbers[1] if len(numbers) > 1 else 1)) - 1
        elif final == "J":
            self._erase_display(numbers[0])
        elif final == "K":
            self._erase_line(numbers[0])

    def _erase_display(self, how: int) -> None:
        if how == 0:
            del self._grid[self._row][self._column :]
            rows = range(self._row + 1, self.rows)
        elif how == 1:
            rows = range(self._row)
        else:
            rows = range(self.rows)
        for row in rows:
            self._grid[row] = []

    def _erase_line(self, how: int) -> None:
        row = self._grid[self._row]
        if how == 0:
            del row[self._column :]
        elif how == 1:
            row[: self._column + 1] = [" "] * min(len(row), self._column + 1)
        else:
            row.clear()
