"""How a socket is read: what one recv asks for, and where the bytes go."""

from __future__ import annotations

import struct

import pytest

from tests.inside import settle
from tests.transport.sides import Pair
from tests.transport.sides import pair as pair  # a fixture
from uds_dist import Config
from uds_dist.protocol.framing import TICK
from uds_dist.testing import MemorySocket
from uds_dist.transport.receive_size import FIRST_RECEIVE, size_after

LARGEST = Config().receive_size


def test_a_filled_recv_is_followed_by_larger_ones() -> None:
    assert size_after(FIRST_RECEIVE, FIRST_RECEIVE, LARGEST) == 4 * FIRST_RECEIVE
    assert size_after(4 * FIRST_RECEIVE, 4 * FIRST_RECEIVE, LARGEST) == LARGEST


def test_a_nearly_empty_recv_is_followed_by_a_small_one() -> None:
    assert size_after(1, 4 * FIRST_RECEIVE, LARGEST) == FIRST_RECEIVE


def test_no_recv_asks_for_more_than_is_set() -> None:
    assert size_after(1000, 1000, 1000) == size_after(1, 1000, 1000) == 1000


@pytest.fixture
def asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each recv asks for once the two sides are connected."""
    pair.up(capacity=4 * LARGEST)  # a socket's buffer may be smaller
    sizes: list[int] = []
    real = MemorySocket.recv

    def recv(self: MemorySocket, size: int) -> bytes:
        sizes.append(size)
        return real(self, size)

    monkeypatch.setattr(MemorySocket, "recv", recv)
    return sizes


def tick(pair: Pair, size: int) -> None:
    """Send the other side some bytes of ticks."""
    pair.ends[0].send(TICK * (size // len(TICK)))


def test_the_size_grows_while_recvs_are_filled_and_falls_after_a_nearly_empty_one(
    pair: Pair, asked: list[int]
) -> None:
    connection = pair.right.connection
    assert connection.receive_size == FIRST_RECEIVE
    few = (4 * FIRST_RECEIVE - FIRST_RECEIVE) // 8
    tick(pair, FIRST_RECEIVE)
    settle(pair.loop)
    assert connection.receive_size == 4 * FIRST_RECEIVE
    tick(pair, few)
    settle(pair.loop)
    assert connection.receive_size == 4 * FIRST_RECEIVE
    tick(pair, few - 4)
    settle(pair.loop)
    assert connection.receive_size == FIRST_RECEIVE
    tick(pair, 4)
    settle(pair.loop)
    assert connection.receive_size == FIRST_RECEIVE
    assert asked == [FIRST_RECEIVE, 4 * FIRST_RECEIVE, 4 * FIRST_RECEIVE, FIRST_RECEIVE]


def test_a_large_frame_is_received_into_its_place(pair: Pair, asked: list[int]) -> None:
    frame = struct.pack(">I", 300_000) + bytes(300_000)
    pair.ends[0].send(frame[:FIRST_RECEIVE])
    pair.loop.run_once()
    connection = pair.right.connection
    size, missing = connection.receive_size, len(frame) - FIRST_RECEIVE
    assert len(connection.session.reader.large_buffer or b"") == missing
    pair.ends[0].send(frame[FIRST_RECEIVE:-1])
    pair.loop.run_once()
    # What went into a place of its own says nothing about the next recv.
    assert asked == [FIRST_RECEIVE, missing] and connection.receive_size == size
