"""Every setting of a node, with its default."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final, Literal

KIB: int
MIB: int
ANY: Final = "any"
LAYOUTS: tuple[str, str, str]
ENVIRONMENT: dict[str, str]

@dataclass(frozen=True, kw_only=True)
class Config:
    # A folder, or "@name" for Linux abstract sockets; None: the default places of `layout`.
    socket_dir: str | PathLike[str] | None = None
    # "uds_dist": DIR/NAME.sock, by default in "."; "uds_dist2": the same, by default
    # /tmp/uds-dist-NAME.sock; "erl_uds_dist": DIR/NAME.
    layout: Literal["uds_dist", "uds_dist2", "erl_uds_dist"] = "uds_dist"
    backlog: int = 5
    socket_mode: int | None = None  # None: 0600, or 0666 with allowed_uids
    # User ids and names beside this process's own and root, or ANY; kept as a set of numbers.
    allowed_uids: Collection[int | str] | str = ...
    cookie: str | bytes | None = None  # None: environment or ~/.erlang.cookie
    hidden: bool = True
    text: bool = False  # binaries that are UTF-8 come as str
    # Makes a term of a value that has none.
    default: Callable[[object], object] | None = None
    # Makes a value of a map with `__struct__`, and of a tuple whose tag is in `records`.
    object_hook: Callable[[object], object] | None = None
    records: Collection[type[object] | str] = ()  # classes made by `record`, and tags
    tick_time: float = 60.0  # seconds
    handshake_timeout: float = 7.0  # seconds
    atom_cache: bool = True
    fragments: bool = True
    max_frame_size: int = 268435456  # bytes: one frame on the wire
    max_message_size: int = 268435456  # bytes: one message, joined from its fragments
    max_fragment_sequences: int = 1024  # unfinished ones, per connection
    max_pending_handshakes: int = 256
    max_mailbox_length: int = 1000000
    max_mailbox_size: int = 268435456
    max_links_and_monitors: int = 200000  # that one peer has set up here
    max_pending_requests: int = 10000  # not answered yet: of one peer, or to one server
    max_group_size: int = 16777216  # bytes: what one peer's members of one pg scope take
    max_cluster_members: int = 256  # that a peer's `global` has this node connect to
    max_message_terms: int = 4000000  # elements of one message's containers
    max_term_depth: int = 512  # of terms that come and of terms that go
    max_decompressed_size: int = 67108864  # bytes
    max_atoms: int = 65536  # kept for reuse by the process; more are still understood
    fragment_size: int = 65536  # bytes
    write_high_water: int = 67108864  # bytes
    write_low_water: int = 16777216  # bytes
    send_buffer_size: int = 1048576  # bytes asked of the system for bulk
    receive_size: int = 262144  # bytes: one recv
    messages_per_round: int = 1000  # decoded and handed on, per connection and round

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Config: ...
    def replace(self, **settings: Any) -> Config: ...
