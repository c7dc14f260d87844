"""What a node knows of one other node, and which signals are worth a connection to it."""

from __future__ import annotations

from typing import NamedTuple

from uds_dist.processes.dialect import Dialect
from uds_dist.processes.future import Future
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALIAS_SEND_TT,
    ALTACT_SIG_SEND,
    EXIT2,
    EXIT2_TT,
    GROUP_LEADER,
    LINK,
    MONITOR_P,
    PAYLOAD_EXIT2,
    PAYLOAD_EXIT2_TT,
    REG_SEND,
    REG_SEND_TT,
    SEND,
    SEND_SENDER,
    SEND_SENDER_TT,
    SEND_TT,
    SPAWN_REQUEST,
    SPAWN_REQUEST_TT,
)
from uds_dist.transport.connection import Connection

# Signals that are worth a connection. The others end something that the lost connection ended.
CONNECTING = frozenset(
    {
        LINK,
        SEND,
        SEND_TT,
        REG_SEND,
        REG_SEND_TT,
        GROUP_LEADER,
        EXIT2,
        EXIT2_TT,
        MONITOR_P,
        SEND_SENDER,
        SEND_SENDER_TT,
        PAYLOAD_EXIT2,
        PAYLOAD_EXIT2_TT,
        SPAWN_REQUEST,
        SPAWN_REQUEST_TT,
        ALIAS_SEND,
        ALIAS_SEND_TT,
        ALTACT_SIG_SEND,
    }
)


class PeerStatistics(NamedTuple):
    """A snapshot of one connection's counters; sizes in bytes."""

    name: str
    phase: str
    initiator: bool
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    unwritten: int


class RemoteNode:
    """What this node knows of another one: its connection or the attempt, and what waits."""

    __slots__ = (
        "accepting",
        "attempt",
        "busy",
        "closing",
        "connection",
        "deadline",
        "dialect",
        "futures",
        "name",
        "size",
        "waiting",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.attempt: Connection | None = None
        self.accepting: Connection | None = None
        self.closing: Connection | None = None
        self.deadline: float | None = None
        self.dialect: Dialect = {}
        self.futures: list[Future[None]] = []
        self.waiting: list[tuple[tuple[object, ...], object]] = []
        self.size = 0  # of what waits, in bytes
        self.busy = False  # from the high-water mark of what is to be written down to the low one

    @property
    def connecting(self) -> bool:
        """True when somebody waits for a connection."""
        return self.deadline is not None

    @property
    def idle(self) -> bool:
        """True when there is nothing to know about this node."""
        return not (
            self.connection or self.attempt or self.accepting or self.closing or self.connecting
        )
