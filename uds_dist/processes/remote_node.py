"""What a node knows of one other node, and how much is still unwritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from uds_dist.processes.dialect import Dialect
from uds_dist.processes.future import Future
from uds_dist.transport.backpressure import Waiters
from uds_dist.transport.connection import Connection
from uds_dist.transport.phase import UP, PhaseName
from uds_dist.transport.timers import Timer


class PeerStatistics(NamedTuple):
    """A snapshot of one connection's counters; sizes in bytes."""

    name: str
    phase: PhaseName
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
        self.patience = 0.0  # until when a claim of this name delays an attempt
        self.yielded = False  # this attempt has waited for one after it had failed
        self.dialect: Dialect = {}
        self.futures: list[Future[None]] = []
        # Signals for the time when there is a connection, their payloads encoded.
        self.waiting: list[tuple[tuple[object, ...], bytes | None]] = []
        self.size = 0  # of what waits, in bytes
        self.waiters: Waiters = []  # called when nothing waits any more
        self.busy = False  # set above the high-water mark, cleared at the low one

    @property
    def connecting(self) -> bool:
        """True if anything waits for a connection."""
        return self.deadline is not None

    @property
    def idle(self) -> bool:
        """True when there is nothing to know about this node."""
        return not (self.connection or self.attempt or self.closing or self.connecting)

    @property
    def unwritten(self) -> int:
        """How many bytes wait to be written, for a connection or to its socket."""
        return self.size if self.connection is None else self.connection.write_queue.size

    @property
    def written(self) -> bool:
        """True when a program may send to this node whatever the write marks are."""
        connection = self.connection
        if connection is None:
            return not self.size
        return connection.phase is not UP or not (
            connection.write_queue.size or connection.held is not None
        )

    def stop_waiting(self) -> None:
        """Nothing waits for a connection any more."""
        self.deadline = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def flushed(nodes: dict[str, RemoteNode]) -> Callable[[], bool]:
    """A check whether everything is written; made for one wait, and called many times.

    It first checks the peer that was not done the last time, and only then the others.
    """
    left: list[RemoteNode] = []

    def is_flushed() -> bool:
        while left and left[-1].written:
            left.pop()
        if not left:
            left.extend(peer for peer in nodes.values() if not peer.written)
        return not left

    return is_flushed


def unwritten(nodes: dict[str, RemoteNode]) -> int:
    """How many bytes wait to be written, for connections or to the sockets."""
    return sum(peer.unwritten for peer in nodes.values())


def parted(nodes: dict[str, RemoteNode]) -> Callable[[], bool]:
    """A check whether the peers too have closed all connections that this node has closed.

    Made for one wait, like `flushed`.
    """
    parting: list[RemoteNode] = []

    def are_parted() -> bool:
        while parting and parting[-1].closing is None:
            parting.pop()
        if not parting:
            parting.extend(peer for peer in nodes.values() if peer.closing is not None)
        return not parting

    return are_parted


def statistics(nodes: dict[str, RemoteNode]) -> list[PeerStatistics]:
    """A snapshot of each connection's counters."""
    return [
        PeerStatistics(
            name=peer.name,
            phase=connection.phase.value,
            initiator=connection.initiator,
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            messages_in=connection.messages_in,
            messages_out=connection.messages_out,
            unwritten=connection.write_queue.size,
        )
        for peer in nodes.values()
        if (connection := peer.connection or peer.attempt) is not None
    ]
