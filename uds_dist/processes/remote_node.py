"""What a node knows of one other node."""

from __future__ import annotations

from typing import NamedTuple

from uds_dist.processes.dialect import Dialect
from uds_dist.processes.future import Future
from uds_dist.transport.backpressure import Waiters
from uds_dist.transport.connection import Connection


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
        "waiters",
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
        self.waiters: Waiters = []  # for the time when nothing waits any more
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
