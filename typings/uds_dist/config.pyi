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
    # User ids and names besides this process's own and root, or ANY; kept as a set of numbers.
    allowed_uids: Collection[int | str] | str = ...
    cookie: str | bytes | None = None  # None: environment or ~/.erlang.cookie
    hidden: bool = True
    text: bool = False  # binaries that are UTF-8 come as str
    # Called with a value that has no term; returns one that has.
    default: Callable[[object], object] | None = None
    # Called with each map with `__struct__` and each tuple whose tag is in `records`; returns the
    # value that replaces it.
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
    max_links_and_monitors: int = 200000  # set up here by one peer
    max_pending_requests: int = 10000  # unanswered, from one peer or to one server
    max_group_size: int = 16777216  # bytes: one peer's report of one pg scope
    max_cluster_members: int = 256  # nodes that a peer's `global` can make this node connect to
    max_message_terms: int = 4000000  # elements of one message's containers
    max_term_depth: int = 512  # of terms received and sent
    max_decompressed_size: int = 67108864  # bytes
    max_atoms: int = 65536  # kept by the process for reuse; more are still decoded
    fragment_size: int = 65536  # bytes
    write_high_water: int = 67108864  # bytes
    write_low_water: int = 16777216  # bytes
    send_buffer_size: int = 1048576  # bytes requested for bulk sends; the system may grant less
    receive_size: int = 262144  # bytes: the largest recv
    messages_per_round: int = 1000  # decoded and delivered, per connection and round

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> Config: ...
    def replace(self, **settings: Any) -> Config: ...
