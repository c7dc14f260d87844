"""`--trace`: print each control message as one line on standard error."""

from __future__ import annotations

from collections.abc import Callable

from uds_dist import UdsDistError, format_term
from uds_dist.cli.output import write_error
from uds_dist.etf.shown import printable, shown
from uds_dist.protocol.control import NO_PAYLOAD, OPERATIONS

MAX_PAYLOAD = 160  # characters
ARROWS = {"sent": "->", "received": "<-"}


def tracer(cookie: str | bytes) -> Callable[[str, str, tuple[object, ...], object], None]:
    """A function that prints a control message without the cookie."""
    secret = cookie.decode("latin-1") if isinstance(cookie, bytes) else cookie

    def trace(direction: str, node: str, control: tuple[object, ...], payload: object) -> None:
        line = f"{ARROWS[direction]} {node}  {_name(control)}"
        if payload is not NO_PAYLOAD:
            line += f"  {_text(payload)}"
        if secret:
            line = line.replace(secret, "***")
        write_error(line + "\n")

    return trace


def _name(control: tuple[object, ...]) -> str:
    """The operation's name and its fields."""
    number = control[0]
    row = OPERATIONS.get(number) if isinstance(number, int) else None
    name = "UNKNOWN" if row is None else row.kind.__name__
    return " ".join([name, *map(_text, control[1:])])


def _text(term: object) -> str:
    """A term as Erlang writes it; of a large one only the beginning."""
    text = shown(term)
    if len(text) > MAX_PAYLOAD:
        return printable(text, MAX_PAYLOAD)
    try:
        return printable(format_term(term), MAX_PAYLOAD)
    except UdsDistError:
        return printable(text, MAX_PAYLOAD)
