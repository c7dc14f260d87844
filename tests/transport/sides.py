"""Two connections in one process, in fake time and memory, and the calls of their owners."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import cast

import pytest

from tests.inside import settle
from uds_dist import (
    Atom,
    Config,
    EventLoop,
    NoConnectionError,
    UdsDistError,
)
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import Role
from uds_dist.testing import FakeClock, MemorySocket, fake_loop, memory_pair
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.connection import Connection

HERE = SocketAddress("in memory", False)
CONTROL = (2, Atom(""), Atom("dest"))


class Side:
    """The owner of one connection, which notes its calls."""

    def __init__(self, loop: EventLoop, name: str, config: Config) -> None:
        self.loop = loop
        self.name = name
        self.config = config
        self.cookie = "secret"
        self.status = Status.OK
        self.messages: list[object] = []
        self.told: list[str] = []
        self.ended: list[Connection] = []
        self.error: UdsDistError | None = None

    def start(self, end: MemorySocket, peer: str | None) -> Connection:
        """Begin the handshake on an end: dial `peer`, or wait to be dialled."""
        handshake = Handshake(
            Role.ACCEPTOR if peer is None else Role.INITIATOR,
            self.name,
            7,
            default_flags(self.config),
            cookie_for=lambda _: self.cookie,
            expected=peer,
            choose_status=lambda _: self.status,
        )
        self.connection = Connection(self.loop, self.config, self, handshake, peer)
        if peer is None:
            self.connection.accept(cast(socket.socket, end), HERE)
        else:
            self.connection.connect(HERE, cast(socket.socket, end))
        return self.connection

    def connection_up(self, connection: Connection) -> None:
        self.told.append("up")

    @property
    def inbox(self) -> Side:
        return self

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        self.messages.append(payload)

    def connection_silent(self, connection: Connection) -> None:
        self.told.append(f"silent at {self.loop.now:g}")

    def connection_ended(self, connection: Connection) -> None:
        self.ended.append(connection)

    def connection_down(self, connection: Connection, error: UdsDistError) -> None:
        assert self.loop.running
        assert connection in self.ended  # told of it when it ended
        self.told.append("down")
        self.error = error


class Pair:
    """Two sides on one loop in fake time."""

    def __init__(self, loop: EventLoop, clock: FakeClock) -> None:
        self.loop = loop
        self.clock = clock
        self.left = Side(loop, "left@test", Config())
        self.right = Side(loop, "right@test", Config())

    def start(self, capacity: int = 64 * 1024, chunk: int | None = None) -> None:
        self.ends = memory_pair(capacity, chunk)
        self.right.start(self.ends[1], None)
        self.left.start(self.ends[0], "right@test")

    def up(self, capacity: int = 64 * 1024, chunk: int | None = None) -> Pair:
        self.start(capacity, chunk)
        settle(self.loop)
        assert self.left.told == self.right.told == ["up"]
        return self

    def close(self) -> None:
        for side in (self.left, self.right):
            if hasattr(side, "connection"):
                side.connection.fail(NoConnectionError("the test is over"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    clock = FakeClock()
    with fake_loop(clock) as loop:
        pair = Pair(loop, clock)
        yield pair
        pair.close()
        assert loop.statistics().descriptors == 0
