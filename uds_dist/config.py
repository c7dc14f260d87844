"""Every setting of a node, with its default, in one frozen dataclass."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from uds_dist.errors import ConfigError

# Repeated in pyproject.toml, which a copy of this folder does not have.
__version__: Final = "0.1.0"

KIB = 1024
MIB = 1024 * KIB

LAYOUTS = ("uds_dist", "uds_dist2", "erl_uds_dist")

# The value of `allowed_uids` that admits every user.
ANY: Final = "any"

# The environment variables that an operator can set. If two of them set the same setting, the later
# one in this table wins.
ENVIRONMENT = {
    "UDS_DIST_DIR": "socket_dir",
    "UDS_DIST_SOCKET_DIR": "socket_dir",
    "UDS_DIST_LAYOUT": "layout",
    "UDS_DIST_BACKLOG": "backlog",
    "UDS_DIST_ALLOWED_UIDS": "allowed_uids",
    "UDS_DIST_COOKIE": "cookie",
    "UDS_DIST_HIDDEN": "hidden",
    "UDS_DIST_TICK_TIME": "tick_time",
    "UDS_DIST_HANDSHAKE_TIMEOUT": "handshake_timeout",
}


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Config:
    """The settings of one node: times in seconds, sizes in bytes.

    Raises:
        ConfigError: a value is out of its range; the text names the setting.
    """

    # Where nodes meet
    # A folder, or "@name" for Linux abstract sockets; None: the default places of `layout`.
    socket_dir: str | os.PathLike[str] | None = None
    # "uds_dist": DIR/NAME.sock, by default in "."; "uds_dist2": the same, by default
    # /tmp/uds-dist-NAME.sock; "erl_uds_dist": DIR/NAME.
    layout: Literal["uds_dist", "uds_dist2", "erl_uds_dist"] = "uds_dist"
    backlog: int = 5
    socket_mode: int | None = None  # None: 0600, or 0666 with allowed_uids
    # User ids and names besides this process's own and root, or ANY; kept as a set of numbers.
    allowed_uids: Collection[int | str] | str = frozenset()

    # Who may connect
    cookie: str | bytes | None = field(default=None, repr=False)  # None: environment or file
    hidden: bool = True

    # How terms and the program's values are converted
    text: bool = False  # binaries that are UTF-8 come as str
    # Called with a value that has no term; returns one that has.
    default: Callable[[object], object] | None = None
    # Called with each map with `__struct__` and each tuple whose tag is in `records`; returns the
    # value that replaces it.
    object_hook: Callable[[object], object] | None = None
    records: Collection[type[object] | str] = ()  # classes made by `record`, and tags

    # Time
    tick_time: float = 60.0
    handshake_timeout: float = 7.0

    # Features that the handshake asks peers for
    atom_cache: bool = True
    fragments: bool = True

    # Limits
    max_frame_size: int = 256 * MIB  # one frame on the wire
    max_message_size: int = 256 * MIB  # one message, joined from its fragments
    max_fragment_sequences: int = 1024  # unfinished ones, per connection
    max_pending_handshakes: int = 256
    max_mailbox_length: int = 1_000_000  # messages waiting in one mailbox
    max_mailbox_size: int = 256 * MIB  # their size on the wire
    max_links_and_monitors: int = 200_000  # set up here by one peer
    max_pending_requests: int = 10_000  # unanswered, from one peer or to one server
    max_group_size: int = 16 * MIB  # one peer's report of one pg scope
    max_cluster_members: int = 256  # nodes that a peer's `global` can make this node connect to
    max_message_terms: int = 4_000_000  # elements of one message's containers
    max_term_depth: int = 512  # of terms received and sent
    max_decompressed_size: int = 64 * MIB
    max_atoms: int = 65_536  # kept by the process for reuse; more are still decoded
    fragment_size: int = 64 * KIB
    write_high_water: int = 64 * MIB
    write_low_water: int = 16 * MIB
    send_buffer_size: int = MIB  # requested for bulk sends; the system may grant less
    receive_size: int = 256 * KIB  # the largest recv
    messages_per_round: int = 1000  # decoded and delivered, per connection and round

    def __post_init__(self) -> None:
        if self.socket_dir is not None:
            object.__setattr__(self, "socket_dir", _path("socket_dir", self.socket_dir))
        object.__setattr__(self, "allowed_uids", _uids(self.allowed_uids))
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout is {self.layout!r}: use one of {', '.join(LAYOUTS)}")
        mode = self.socket_mode
        if mode is not None and not (isinstance(mode, int) and 0 <= mode <= 0o777):
            raise ConfigError(f"socket_mode is {mode!r}: use 0 to 0o777")
        if isinstance(self.records, (str, bytes)) or not isinstance(self.records, Collection):
            raise ConfigError(
                f"records is {self.records!r}: give a list of record classes and tags"
            )
        object.__setattr__(self, "records", tuple(self.records))
        for name in ("default", "object_hook"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise ConfigError(f"{name} is {hook!r}: give a function, or None")
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
        """Read settings from the environment; the others keep their defaults.

        Args:
            environ: the environment to read, by default this process's.
            settings: values that take precedence; their environment variables are not read.
        Returns:
            A Config.
        Raises:
            ConfigError: a variable's value is not of its setting's type or range.
        """
        environ = os.environ if environ is None else environ
        found: dict[str, Any] = {}
        for variable, name in ENVIRONMENT.items():
            text = environ.get(variable)
            if text and name not in settings:
                found[name] = _convert(variable, text, getattr(_DEFAULTS, name))
        return cls(**{**found, **settings})

    def replace(self, **settings: Any) -> Config:
        """A copy with some settings changed; itself if none is given."""
        return replace(self, **settings) if settings else self

    # Written out: `dataclass` would compile them from text whenever a program starts.
    def __repr__(self) -> str:
        shown = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
        return f"Config({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))


_POSITIVE = (
    "backlog",
    "fragment_size",
    "write_high_water",
    "write_low_water",
    "send_buffer_size",
    "receive_size",
    "messages_per_round",
)
_BOOLEANS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


_MAX_UID = 2**32 - 2  # the next value is -1, which means no user
_OVERFLOW_UID = 65534


def _path(setting: str, value: object) -> str:
    """A path as text, from text or any `os.PathLike`."""
    try:
        path = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise ConfigError(f"{setting} is {value!r}: use a str or an os.PathLike of one")
    if not path:
        raise ConfigError(f'{setting} is empty: give a folder, or "@name" for abstract sockets')
    if "\0" in path:
        raise ConfigError(f"{setting} holds a NUL character")
    return path


def _uids(value: object) -> frozenset[int] | str:
    """The value of `allowed_uids`, as user ids or ANY."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, Collection) or isinstance(value, (bytes, bytearray)):
        raise ConfigError(f"allowed_uids is {value!r}: use user ids and names, or ANY")
    if ANY in [user.lower() for user in value if isinstance(user, str)]:
        return ANY
    uids = frozenset(_uid(user) for user in value)
    overflow = overflow_uid() if uids else None
    if overflow in uids:
        raise ConfigError(
            f"allowed_uids holds {overflow}, the overflow uid: the kernel reports it for every user"
            " without a number here"
        )
    return uids


def _uid(user: object) -> int:
    if isinstance(user, str):
        if user.isascii() and user.isdigit() and len(user) <= 10:
            user = int(user)
        else:
            try:
                return pwd.getpwnam(user).pw_uid
            except (KeyError, ValueError):
                raise ConfigError(f"allowed_uids holds {user!r}: there is no such user") from None
    if not isinstance(user, int) or isinstance(user, bool) or not 0 <= user <= _MAX_UID:
        raise ConfigError(f"allowed_uids holds {user!r}: use user ids and names, or ANY")
    return user


def overflow_uid() -> int | None:
    """The user id that the kernel reports for users without a number in this user namespace.

    Returns:
        The number on Linux; None on other systems, which have none.
    """
    if sys.platform != "linux":
        return None
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _OVERFLOW_UID


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
        raise ConfigError(f"{variable} is {text!r}: it must be {kind}") from None
    return text


_DEFAULTS = Config()
