"""What is still to be written: it leaves in order and once, whatever the socket takes of it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from random import Random
from typing import cast

import pytest

from tests.transport.support import Pair, raiser
from uds_dist import Config
from uds_dist.testing import MemorySocket, memory_pair
from uds_dist.protocol.encoder import Buffer
from uds_dist.transport.write_queue import (
    BUFFERS_PER_SEND,
    BULK,
    BYTES_PER_WRITE,
    GRANTED,
    WriteQueue,
)

WIDE = Config().send_buffer_size


@pytest.fixture
def ends() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


@pytest.fixture
def queue() -> WriteQueue:
    return WriteQueue(WIDE)


def arrived(sock: socket.socket) -> bytes:
    """All that can be read now."""
    data = bytearray()
    while True:
        try:
            data += sock.recv(1 << 20)
        except BlockingIOError:
            return bytes(data)


def in_memory(capacity: int, chunk: int | None = None) -> Pair:
    return cast(Pair, memory_pair(capacity, chunk))


def buffer_size(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


def test_nothing_to_write(ends: Pair, queue: WriteQueue) -> None:
    assert queue.write(ends[0]) == 0
    assert (queue.size, queue.blocked, arrived(ends[1])) == (0, False, b"")


def test_one_buffer_and_a_message_of_some_leave_in_their_order(
    ends: Pair, queue: WriteQueue
) -> None:
    left, right = ends
    queue.append(b"one")
    queue.extend([b"two", memoryview(b"-three-")[1:-1], b""])
    assert queue.size == 11
    assert queue.write(left) == 11
    assert (queue.size, queue.blocked, len(queue.buffers)) == (0, False, 0)
    assert arrived(right) == b"onetwothree"


def test_more_buffers_than_one_sendmsg_takes(ends: Pair, queue: WriteQueue) -> None:
    left, right = ends
    buffers: list[Buffer] = [b"%d," % number for number in range(2 * BUFFERS_PER_SEND + 1)]
    queue.extend(buffers)
    assert queue.write(left) == len(b"".join(buffers))
    assert arrived(right) == b"".join(buffers)


@pytest.mark.parametrize("seed", range(20))
def test_what_a_full_socket_takes_bit_by_bit_is_whole(seed: int) -> None:
    random = Random(seed)
    left, right = in_memory(random.randint(1, 3000), random.randint(1, 700))
    queue = WriteQueue(WIDE)
    sent, got, blocked = bytearray(), bytearray(), 0
    for size in [4000, *random.choices([0, 1, 4, 900], k=200)]:
        buffers: list[Buffer] = [random.randbytes(size), random.randbytes(size // 2)]
        queue.extend(buffers)
        sent += b"".join(buffers)
        queue.write(left)
        blocked += queue.blocked
        assert queue.blocked is (queue.size > 0)
        got += arrived(right)
        assert len(got) + queue.size == len(sent)
    while queue.size:
        queue.write(left)
        got += arrived(right)
    assert got == sent and blocked


def test_one_call_writes_no_more_than_its_share(queue: WriteQueue) -> None:
    left, right = in_memory(3 * BYTES_PER_WRITE)
    part = BYTES_PER_WRITE // 4
    for _ in range(8):
        queue.append(bytes(part))
        queue.extend([b""] * (BUFFERS_PER_SEND - 1))
    assert queue.write(left) == BYTES_PER_WRITE
    assert queue.blocked
    assert queue.write(left) == BYTES_PER_WRITE
    assert not queue.blocked
    assert arrived(right) == bytes(8 * part)


def test_a_broken_socket_is_reported(ends: Pair, queue: WriteQueue) -> None:
    left, right = ends
    right.close()
    queue.append(b"lost")
    with pytest.raises(BrokenPipeError):
        queue.write(left)
    queue.clear()
    assert (queue.size, len(queue.buffers), queue.blocked) == (0, 0, False)


def test_what_is_forgotten_blocks_nothing(queue: WriteQueue) -> None:
    left, _ = in_memory(10)
    queue.append(bytes(11))
    assert queue.write(left) == 10 and queue.blocked
    queue.clear()
    assert (queue.size, len(queue.buffers), queue.blocked) == (0, 0, False)


# --- the system's send buffer ---------------------------------------------------------------------


def test_the_send_buffer_is_wide_while_there_is_bulk(queue: WriteQueue) -> None:
    left, right = in_memory(BULK)
    queue.append(bytes(BULK))
    queue.write(left)
    assert not queue.wide
    arrived(right)
    queue.append(bytes(2 * BULK + 1))
    queue.write(left)
    assert queue.wide and queue.blocked and queue.size == BULK + 1
    assert len(right.recv(1000)) == 1000
    queue.write(left)
    assert queue.blocked and queue.size < BULK
    queue.write(left)
    assert queue.wide  # not taken back while the rest of it waits
    arrived(right)
    queue.write(left)
    assert not queue.blocked
    queue.append(b"small")
    queue.write(left)
    assert not queue.wide


def test_a_send_buffer_gets_its_usual_size_back(ends: Pair, queue: WriteQueue) -> None:
    left, right = ends
    usual = buffer_size(left)
    queue.append(bytes(3 * WIDE))
    queue.write(left)
    assert buffer_size(left) > usual
    while queue.size:
        arrived(right)
        queue.write(left)
    queue.append(b"small")
    queue.write(left)
    assert buffer_size(left) == usual


@pytest.mark.parametrize("usual", [0, 300_000, WIDE])
def test_a_send_buffer_is_never_made_smaller_than_it_was(
    monkeypatch: pytest.MonkeyPatch, queue: WriteQueue, usual: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(MemorySocket, "getsockopt", lambda *_: usual)
    monkeypatch.setattr(MemorySocket, "setsockopt", lambda *option: asked.append(option[-1]))
    left, _ = in_memory(2 * BULK)
    queue.append(bytes(BULK + 1))
    queue.write(left)
    queue.append(b"small")
    queue.write(left)
    assert asked == ([WIDE, usual // GRANTED] if usual < WIDE else [])


def test_a_send_buffer_that_the_system_refuses_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, queue: WriteQueue
) -> None:
    monkeypatch.setattr(MemorySocket, "setsockopt", raiser(OSError(errno.ENOBUFS, "no")))
    left, right = in_memory(2 * BULK)
    queue.append(bytes(BULK + 1))
    assert queue.write(left) == BULK + 1
    assert arrived(right) == bytes(BULK + 1)
