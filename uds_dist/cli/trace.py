"""`--trace`: print each control message as one line on standard error."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from uds_dist import Atom, UdsDistError, format_term
from uds_dist.cli.output import write_error
from uds_dist.etf.shown import printable, shown
from uds_dist.protocol.control import NO_PAYLOAD, OPERATIONS

MAX_PAYLOAD = 160  # characters
OMITTED = Atom("...")
ARROWS = {"sent": "->", "received": "<-"}


def tracer(cookie: str | bytes) -> Callable[[str, str, tuple[object, ...], object], None]:
    """A function that prints a control message without the cookie."""
    secret = cookie.decode("latin-1") if isinstance(cookie, bytes) else cookie

    def trace(direction: str, node: str, control: tuple[object, ...], payload: object) -> None:
        line = f"{ARROWS[direction]} {node}  {_name(control, secret)}"
        if payload is not NO_PAYLOAD:
            line += f"  {_text(payload, secret)}"
        write_error(line + "\n")

    return trace


def _name(control: tuple[object, ...], secret: str) -> str:
    """The operation's name and its fields."""
    number = control[0]
    row = OPERATIONS.get(number) if isinstance(number, int) else None
    name = "UNKNOWN" if row is None else row.kind.__name__
    return " ".join([name, *[_text(field, secret) for field in control[1:]]])


def _text(term: object, secret: str) -> str:
    """A term as Erlang writes it, without the secret; of a large one only the beginning."""
    # The secret must not be cut before it is found.
    room = MAX_PAYLOAD + len(secret)
    try:
        text = format_term(_beginning(term, room, [room]))
    except UdsDistError:
        text = shown(term, room)
    return printable(text.replace(secret, "***") if secret else text, MAX_PAYLOAD)


def _beginning(term: object, room: int, left: list[int]) -> object:
    """A term, or as much of it as one line can show.

    Args:
        room: how many characters that is.
        left: how many parts of the whole may still be taken; each has a character at least.
    """
    left[0] -= 1
    if left[0] <= 0:
        return OMITTED
    if isinstance(term, (bytes, str)):
        return term if isinstance(term, Atom) else term[:room]
    if type(term) in (tuple, list):
        assert isinstance(term, (tuple, list))
        parts = [_beginning(part, room, left) for part in term[: left[0]]]
        return tuple(parts) if isinstance(term, tuple) else parts
    if type(term) is dict:
        pairs = islice(term.items(), left[0])
        return {key: _beginning(value, room, left) for key, value in pairs}
    if type(term) is int and term.bit_length() > 4 * room:
        return Atom(shown(term))
    return term if len(shown(term)) <= MAX_PAYLOAD else OMITTED
