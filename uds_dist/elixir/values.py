"""Values of Elixir for which Python has no type, and how a struct becomes a map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from uds_dist import Atom
from uds_dist.etf.conversion import STRUCT

EXCEPTION: Final = Atom("__exception__")
ISO: Final = Atom("Elixir.Calendar.ISO")


def struct_term(module: str, /, **content: object) -> dict[Atom, object]:
    """A struct as the map that represents it."""
    return {STRUCT: Atom(module), **{Atom(name): value for name, value in content.items()}}


class UnfitError(Exception):
    """Python has no value for a struct."""


class ElixirError(Exception):
    """An exception of Elixir as a value, such as ``%ArgumentError{}``.

    Args:
        struct: the module, as ``Elixir.ArgumentError``.
        fields: its other fields by name.
    """

    def __init__(self, struct: str, fields: Mapping[str, object]) -> None:
        message = fields.get("message")
        shown = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        super().__init__(shown if isinstance(shown, str) else struct)
        self.struct = Atom(struct)
        self.fields = dict(fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ElixirError):
            return NotImplemented
        return (self.struct, self.fields) == (other.struct, other.fields)

    def __hash__(self) -> int:
        return hash(self.struct)

    def __reduce__(self) -> tuple[object, ...]:
        return ElixirError, (str(self.struct), self.fields)


# URI.default_port of each scheme: a default port is not written.
DEFAULT_PORTS: Final = {
    "ftp": 21, "http": 80, "https": 443, "ldap": 389, "sftp": 22, "tftp": 69, "ws": 80, "wss": 443
}  # fmt: skip


@dataclass(frozen=True)
class Uri:
    """A URI in the same parts as Elixir's; `str` joins them."""

    scheme: str | None = None
    userinfo: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    query: str | None = None
    fragment: str | None = None
    authority: str | None = None

    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme is not None else ""
        if self.host is not None:
            text += "//" + (f"{self.userinfo}@" if self.userinfo is not None else "")
            text += f"[{self.host}]" if ":" in self.host else self.host
            if self.port is not None and self.port != DEFAULT_PORTS.get(self.scheme or ""):
                text += f":{self.port}"
        text += self.path or ""
        text += f"?{self.query}" if self.query is not None else ""
        return text + (f"#{self.fragment}" if self.fragment is not None else "")


def text_of(term: object) -> str:
    """A binary as text.

    Raises:
        UnfitError: it is something else.
        UnicodeDecodeError: it is not UTF-8.
    """
    if isinstance(term, bytes):
        return term.decode("utf-8")
    if isinstance(term, str) and not isinstance(term, Atom):
        return term
    raise UnfitError
