"""Every setting of a node, with its default, in one frozen dataclass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from uds_dist.errors import ConfigError

KIB = 1024
MIB = 1024 * KIB

LAYOUTS = ("uds_dist", "erl_uds_dist")

# The environment's name of each setting that an operator may want to give there.
ENVIRONMENT = {
    "UDS_DIST_SOCKET_DIR": "socket_dir",
    "UDS_DIST_LAYOUT": "layout",
    "UDS_DIST_BACKLOG": "backlog",
    "UDS_DIST_COOKIE": "cookie",
    "UDS_DIST_HIDDEN": "hidden",
    "UDS_DIST_TICK_TIME": "tick_time",
    "UDS_DIST_HANDSHAKE_TIMEOUT": "handshake_timeout",
}


@dataclass(frozen=True)
class Config:
    """The settings of one node: times in seconds, sizes in bytes.

    Raises:
        ConfigError: a value is out of its range; the text names the setting.
    """

    # Where nodes meet
    socket_dir: str = "."  # a folder, or "@name" for Linux abstract sockets
    layout: str = "uds_dist"  # "uds_dist": DIR/NAME.sock; "erl_uds_dist": DIR/NAME
    backlog: int = 5
    socket_mode: int = 0o600
    allowed_uids: frozenset[int] = frozenset()  # beside this process's own and root

    # Who may come in
    cookie: str | None = field(default=None, repr=False)  # None: environment or ~/.erlang.cookie
    hidden: bool = True

    # Time
    tick_time: float = 60.0
    handshake_timeout: float = 7.0

    # What is asked of a peer in the handshake
    atom_cache: bool = True
    fragments: bool = True

    # Limits
    max_frame_size: int = 256 * MIB  # one frame on the wire
    max_message_size: int = 1024 * MIB  # one message, joined from its fragments
    max_fragment_sequences: int = 1024  # unfinished ones, per connection
    max_pending_handshakes: int = 256
    max_mailbox_length: int = 1_000_000
    max_term_depth: int = 512
    max_decompressed_size: int = 256 * MIB
    max_atoms: int = 65_536  # kept for reuse; more than that are still understood
    fragment_size: int = 64 * KIB
    write_high_water: int = 64 * MIB
    write_low_water: int = 16 * MIB
    send_buffer_size: int = MIB  # asked of the system for bulk; it may give less
    receive_size: int = 256 * KIB  # one recv, at most
    messages_per_round: int = 1000  # decoded and handed on, per connection and round

    def __post_init__(self) -> None:
        if not self.socket_dir:
            raise ConfigError('socket_dir is empty: give a folder, or "@name" for abstract sockets')
        if "\0" in self.socket_dir:
            raise ConfigError("socket_dir holds a NUL character")
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout is {self.layout!r}: use one of {', '.join(LAYOUTS)}")
        if not 0 <= self.socket_mode <= 0o777:
            raise ConfigError(f"socket_mode is {self.socket_mode:#o}: use 0 to 0o777")
        for name in ("tick_time", "handshake_timeout"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)!r}: use seconds above 0")
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name.startswith("max_") or setting.name in _POSITIVE:
                if not isinstance(value, int) or value < 1:
                    raise ConfigError(f"{setting.name} is {value!r}: use a whole number above 0")
        if self.write_low_water > self.write_high_water:
            raise ConfigError("write_low_water is above write_high_water")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Config:
        """Read the settings that the environment gives, the rest being defaults.

        Args:
            environ: the environment to read, by default this process's.
            settings: values that go before the environment's.
        Returns:
            A Config.
        Raises:
            ConfigError: a variable's value is not of its setting's type or range.
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for variable, name in ENVIRONMENT.items():
            text = environ.get(variable)
            if text:
                found[name] = _convert(variable, text, getattr(_DEFAULTS, name))
        return cls(**{**found, **settings})

    def replace(self, **settings: Any) -> Config:
        """A copy with some settings changed."""
        return replace(self, **settings)


_POSITIVE = (
    "backlog",
    "fragment_size",
    "write_high_water",
    "write_low_water",
    "send_buffer_size",
    "receive_size",
    "messages_per_round",
)
_DEFAULTS = Config()
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _convert(variable: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return _BOOLEANS[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise ConfigError(f"{variable} is {text!r}: it wants {kind}") from None
    return text
