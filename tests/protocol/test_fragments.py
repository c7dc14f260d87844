"""The memory of a message in fragments; test_decoder checks its contents."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from uds_dist.protocol.fragments import FAIR_SHARE, SMALL_FRAGMENT, FragmentSequence

RECEIVED = 256 * 1024  # what one recv brings


def sequence() -> FragmentSequence:
    return FragmentSequence((5,), (), 1, 4)


@contextmanager
def memory(at_most: int) -> Iterator[None]:
    """Check how many more bytes are held at the end of the block."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held <= at_most


def test_a_fair_share_of_what_was_received_is_not_copied() -> None:
    received = bytes(RECEIVED)
    made = sequence()
    with memory(100 * 1000):
        for _ in range(100):
            made.add(memoryview(received)[-RECEIVED // FAIR_SHARE :])
    assert made.size == 100 * RECEIVED // FAIR_SHARE


@pytest.mark.parametrize("size", [SMALL_FRAGMENT, RECEIVED // FAIR_SHARE - 1])
def test_a_view_does_not_keep_much_more_than_itself(size: int) -> None:
    made = sequence()
    with memory(100 * size + 20_000):
        for _ in range(100):
            made.add(memoryview(bytes(RECEIVED))[:size])
    assert made.joined() == bytes(100 * size)


@pytest.mark.parametrize("size", [1, 20, SMALL_FRAGMENT - 1])
def test_small_fragments_take_no_more_room_than_their_bytes(size: int) -> None:
    made = sequence()
    with memory(2 * 5000 * size):
        for _ in range(5000):
            made.add(memoryview(bytes(RECEIVED))[:size])
    assert made.joined() == bytes(5000 * size)


def test_empty_fragments_take_none() -> None:
    made = sequence()
    with memory(1000):
        for _ in range(5000):
            made.add(memoryview(b""))
    assert made.size == 0
