"""The text of a foreign term, for an error, a log line or a repr.

A peer can send an integer of a million digits, a term nested deeper than Python's frames, or a
newline that would forge a log line. So the text is bounded in length and depth, control characters
are escaped, and making it never fails. It is in Python's notation.

A class that contains other terms has a method ``_shown_parts``, which returns the text before its
parts, the parts, and the text after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

LENGTH: Final = 200  # characters in an error or a log line
REPR_LENGTH: Final = 1000  # characters of a repr
DEPTH: Final = 8
MORE: Final = "..."

# Python may refuse to write an integer of more than 640 digits; one of this many bits has 309.
_LONGEST_INTEGER: Final = 1024

# The start of a container's text, its parts with the text before each, and its end.
_Container = tuple[str, Iterable[tuple[str, object]], str]


def shown(term: object, length: int = LENGTH) -> str:
    """The text of any value, for people.

    Args:
        term: the value, a term or not.
        length: the rough limit in characters; ``...`` marks an omission.
    Returns:
        Printable text on one line.
    """
    out: list[str] = []
    _write(term, length, DEPTH, out)
    return "".join(out)


def printable(text: str, length: int = LENGTH) -> str:
    """A foreign text without quotes, with its control characters escaped.

    Args:
        text: the text.
        length: how many characters of it to show.
    Returns:
        Printable text on one line.
    """
    cut = text[:length]
    if not cut.isprintable():
        cut = repr(str(cut))[1:-1]
    return cut if len(text) <= length else cut + MORE


def _write(term: object, room: int, depth: int, out: list[str]) -> int:
    """Append a value's text; returns the room that is left, 0 or less if there is none."""
    container = _container(term)
    if container is None:
        text = _leaf(term, max(room, 1))
        out.append(text)
        return room - len(text)
    opening, parts, closing = container
    out.append(opening)
    room -= len(opening) + len(closing)
    for before, part in parts:
        room -= len(before)
        if depth == 0 or room <= 0:
            out.append(before + MORE)
            break
        out.append(before)
        room = _write(part, room, depth - 1, out)
    out.append(closing)
    return room


def _container(term: object) -> _Container | None:
    """The parts of a container; None for a leaf."""
    if isinstance(term, dict):
        return "{", _pairs(term), "}"
    if isinstance(term, (tuple, list)):
        kind = type(term)
        name = "" if kind is tuple or kind is list else kind.__name__
        if isinstance(term, list):
            return f"{name}[", _with_commas(term), "]"
        return f"{name}(", _with_commas(term), ",)" if len(term) == 1 else ")"
    parts = getattr(type(term), "_shown_parts", None)
    if parts is None:
        return None
    opening, items, closing = parts(term)
    return opening, _with_commas(items), closing


def _with_commas(items: Iterable[object]) -> Iterator[tuple[str, object]]:
    before = ""
    for item in items:
        yield before, item
        before = ", "


def _pairs(term: dict[object, object]) -> Iterator[tuple[str, object]]:
    before = ""
    for key, value in term.items():
        yield before, key
        yield ": ", value
        before = ", "


def _leaf(term: object, room: int) -> str:
    if type(term) is int and term.bit_length() > _LONGEST_INTEGER:
        return f"<an integer of {term.bit_length()} bits>"
    if isinstance(term, (str, bytes, bytearray)) and len(term) > room:
        return _repr(term[:room])[:room] + MORE
    text = _repr(term)
    return text if len(text) <= max(room, LENGTH) else text[:room] + MORE


def _repr(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        # The repr of a program's own value may raise.
        return f"<{type(value).__name__}>"
    return text if text.isprintable() else printable(text, len(text))
