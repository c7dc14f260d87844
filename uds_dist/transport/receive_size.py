"""How many bytes one recv asks for: it follows from the last ones.

A recv of 256 KiB costs 20 us, mostly for mapping and unmapping memory; one of 32 KiB costs 2.5 us.
So the first one is small, and only connections that fill them get large ones. The rest of a large
frame is received directly into its place, and says nothing about the next recv.
"""

from __future__ import annotations

from functools import cache
from typing import Final

# The size of the first recv, in bytes.
FIRST_RECEIVE: Final = 32 * 1024


@cache
def keep_large_blocks() -> None:
    """Have malloc keep freed blocks of up to 24 MiB instead of returning them to the system.

    glibc does so after a block of that size was allocated and freed, even if it was never touched;
    elsewhere this has no effect. Otherwise each message of 1 MiB costs a thousand page faults: such
    messages arrive at 500 MB/s without this and at 3,200 MB/s with it.
    """
    bytes(24 * 1024 * 1024)


def size_after(count: int, size: int, largest: int) -> int:
    """The size of the next recv: larger after a full one, smaller after a nearly empty one.

    Args:
        count: how many bytes came.
        size: how many the recv asked for.
        largest: the most bytes that one recv asks for, ``Config.receive_size``.
    """
    if count == size:
        keep_large_blocks()
        return min(count * 4, largest)
    return min(FIRST_RECEIVE, largest)
