"""How a socket is read: what one recv asks for, and where the bytes go."""

from __future__ import annotations

import socket
import struct
from typing import cast

import pytest

from tests.transport.support import Pair
from uds_dist import Config
from uds_dist.protocol.framing import MESSAGE_PREFIX, FrameReader
from uds_dist.testing import memory_pair
from uds_dist.transport.receive_size import FIRST_RECEIVE, Receiver

LARGEST = Config().receive_size


@pytest.fixture
def ends() -> Pair:
    return cast(Pair, memory_pair(4 * LARGEST))  # a socket's buffer may be smaller


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(FrameReader(Config(), MESSAGE_PREFIX), LARGEST)


def small_frames(size: int) -> bytes:
    """So many bytes of frames that get no buffer of their own."""
    frame = struct.pack(">I", 96) + bytes(96)
    return (frame * (size // len(frame) + 1))[:size]


def test_nothing_there(ends: Pair, receiver: Receiver) -> None:
    assert receiver.receive(ends[0]) is None


def test_the_end_of_the_stream(ends: Pair, receiver: Receiver) -> None:
    ends[1].send(struct.pack(">I", 3) + b"ab")
    ends[1].close()
    assert receiver.receive(ends[0]) == 6
    assert receiver.receive(ends[0]) == 0
    assert receiver.accumulator.unread == 6


def test_a_broken_stream(receiver: Receiver) -> None:
    left, right = socket.socketpair()
    with left:
        left.send(b"unread when the other side closes")
        right.close()
        with pytest.raises(ConnectionResetError):
            receiver.receive(left)


def test_a_filled_recv_is_followed_by_larger_ones(ends: Pair, receiver: Receiver) -> None:
    ends[1].send(small_frames(2 * LARGEST))
    sizes = [receiver.receive(ends[0]) for _ in range(3)]
    assert sizes == [FIRST_RECEIVE, 4 * FIRST_RECEIVE, LARGEST]
    assert receiver.size == LARGEST
    assert len(receiver.accumulator.frames()) == sum(filter(None, sizes)) // 100


def test_a_recv_that_was_nearly_empty_is_followed_by_a_small_one(
    ends: Pair, receiver: Receiver
) -> None:
    ends[1].send(small_frames(FIRST_RECEIVE))
    receiver.receive(ends[0])
    few = (4 * FIRST_RECEIVE - FIRST_RECEIVE) // 8
    for size, following in [(few, 4 * FIRST_RECEIVE), (few - 1, FIRST_RECEIVE)]:
        ends[1].send(bytes(size))
        assert receiver.receive(ends[0]) == size
        assert receiver.size == following


def test_a_small_recv_stays_small(ends: Pair, receiver: Receiver) -> None:
    ends[1].send(b"\0")
    assert receiver.receive(ends[0]) == 1
    assert receiver.size == FIRST_RECEIVE


def test_no_recv_asks_for_more_than_is_set(ends: Pair) -> None:
    receiver = Receiver(FrameReader(Config(), MESSAGE_PREFIX), 1000)
    ends[1].send(small_frames(5000))
    assert [receiver.receive(ends[0]) for _ in range(3)] == [1000, 1000, 1000]


def test_a_large_frame_is_received_into_its_place(ends: Pair, receiver: Receiver) -> None:
    frame = bytes(range(256)) * 3000
    ends[1].send((struct.pack(">I", len(frame)) + frame)[:FIRST_RECEIVE])
    receiver.receive(ends[0])
    assert receiver.accumulator.frames() == []  # the frame is begun now, and has its buffer
    size = receiver.size
    ends[1].send(frame[FIRST_RECEIVE - 4 :] + b"\0\0\0\0")
    assert receiver.receive(ends[0]) == len(frame) - (FIRST_RECEIVE - 4)
    assert receiver.size == size  # what went into a place of its own says nothing about a recv
    assert receiver.receive(ends[0]) == 4
    assert [bytes(one) for one in receiver.accumulator.frames()] == [frame, b""]
