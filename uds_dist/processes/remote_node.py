"""What a node knows of one other node."""

from __future__ import annotations

from typing import NamedTuple

from uds_dist.processes.dialect import Dialect
from uds_dist.processes.future import Future
from uds_dist.transport.backpressure import Waiters
from uds_dist.transport.connection import Connection
from uds_dist.transport.timers import Timer


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
        "attempt",
        "busy",
        "closing",
        "connection",
        "deadline",
        "dialect",
        "futures",
        "name",
        "patience",
        "size",
        "timer",
        "waiters",
        "waiting",
        "yielded",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.attempt: Connection | None = None
        self.closing: Connection | None = None
        self.deadline: float | None = None
        self.timer: Timer | None = None  # for the deadline
        self.patience = 0.0  # until when another's handshake under this name is waited for
        self.yielded = False  # this attempt has waited for one after it had failed
        self.dialect: Dialect = {}
        self.futures: list[Future[None]] = []
        # Signals for the time when there is a connection, their payloads encoded.
        self.waiting: list[tuple[tuple[object, ...], bytes | None]] = []
        self.size = 0  # of what waits, in bytes
        self.waiters: Waiters = []  # for the time when nothing waits any more
        self.busy = False  # from the high-water mark of what is to be written down to the low one

    @property
    def connecting(self) -> bool:
        """True when somebody waits for a connection."""
        return self.deadline is not None

    @property
    def idle(self) -> bool:
        """True when there is nothing to know about this node."""
        return not (self.connection or self.attempt or self.closing or self.connecting)
