"""Where text appears on a terminal's screen: widths of characters, rows and columns.

Lines wrap at the right edge. A character of two columns that does not fit there goes to the next
row. After a full row the cursor is at the beginning of the next one: a `Spot` is that place, and
the code that draws must move the terminal's cursor there.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from unicodedata import category, east_asian_width

TAB_STOPS = 8
# Sequences that do not move the cursor in the texts of prompts: colours, titles, links.
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_=>]")
WITHOUT_WIDTH = frozenset({"Mn", "Me", "Cf"})
SOFT_HYPHEN = "\xad"


class Spot(NamedTuple):
    """A place on the screen, counted from the row in which a text began."""

    row: int
    column: int


def char_width(character: str) -> int:
    """The columns that a printable character takes: 0, 1 or 2."""
    if character < "\x7f":
        return 1
    if category(character) in WITHOUT_WIDTH and character != SOFT_HYPHEN:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def shown_character(character: str, column: int) -> str:
    """The drawn text of a character of a line: blanks for a tab, ``^A`` for a control."""
    if character == "\t":
        return " " * (TAB_STOPS - column % TAB_STOPS)
    if character < " ":
        return "^" + chr(ord(character) + 64)
    if "\x7f" <= character < "\xa0":
        return "^?" if character == "\x7f" else f"\\x{ord(character):02x}"
    return character


def step(spot: Spot, character: str, columns: int) -> Spot:
    """Where the cursor is after a printable character."""
    width = char_width(character)
    if spot.column + width > columns:
        return Spot(spot.row + 1, width)
    return Spot(spot.row, spot.column + width)


def advance(spot: Spot, text: str, columns: int) -> Spot:
    """Where the cursor is after a text whose only control characters are line ends."""
    for character in ESCAPES.sub("", text):
        if character == "\n":
            spot = Spot(spot.row + 1, 0)
        elif character == "\r":
            spot = Spot(spot.row, 0)
        else:
            spot = step(spot, character, columns)
    return spot


def normal(spot: Spot, columns: int) -> Spot:
    """The place of a cursor after the last column of a row: the next row."""
    return Spot(spot.row + 1, 0) if spot.column >= columns else spot


def lay_out(text: str, start: Spot, columns: int) -> tuple[list[str], list[Spot]]:
    """Lay out an edited line.

    Returns:
        The drawn text of each character, and the place before each one and after the last.
    """
    drawn: list[str] = []
    spots: list[Spot] = [normal(start, columns)]
    spot = start
    for character in text:
        shown = shown_character(character, spot.column)
        for part in shown:
            spot = step(spot, part, columns)
        drawn.append(shown)
        spots.append(normal(spot, columns))
    return drawn, spots


def text_width(text: str) -> int:
    """The columns that a text takes on a line of any length."""
    return sum(char_width(character) for character in ESCAPES.sub("", text) if character >= " ")


def column_after(text: str, column: int, columns: int) -> int:
    """The column of the cursor after output, as far as text without cursor movements tells."""
    tail = re.split(r"[\r\n]", text[-4096:])
    if len(tail) > 1:
        column = 0
    for character in ESCAPES.sub("", tail[-1]):
        if character == "\t":
            column = min(column + TAB_STOPS - column % TAB_STOPS, columns - 1)
        elif character == "\b":
            column = max(column - 1, 0)
        elif character >= " ":
            column = step(Spot(0, column), character, columns).column
    return column


def begins_cluster(text: str, index: int) -> bool:
    """True if a cursor may be there: not between a base character and its marks."""
    if index <= 0 or index >= len(text):
        return True
    character = text[index]
    return character < " " or (char_width(character) > 0 and text[index - 1] != "\u200d")


def in_columns(words: list[str], columns: int) -> str:
    """Words in columns, read downwards, as many as fit."""
    if not words:
        return ""
    width = max(text_width(word) for word in words) + 2
    across = max(1, columns // width)
    rows = -(-len(words) // across)
    lines = []
    for row in range(rows):
        cells = words[row::rows]
        padded = [cell + " " * (width - text_width(cell)) for cell in cells[:-1]] + cells[-1:]
        lines.append("".join(padded))
    return "\n".join(lines) + "\n"
