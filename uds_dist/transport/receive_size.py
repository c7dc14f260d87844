"""How one socket is read: one `recv` at a time, sized by the last ones.

A recv of 256 KiB costs 20 us, mostly for mapping and unmapping memory; one of 32 KiB costs 2.5 us.
So the first one is small, and only connections that fill them get large ones. The rest of a large
frame is received directly into its place.
"""

from __future__ import annotations

import socket
from functools import cache
from typing import Final

from uds_dist.protocol.framing import FrameReader

# What the first recv asks for, in bytes.
FIRST_RECEIVE: Final = 32 * 1024


@cache
def keep_large_blocks() -> None:
    """Have malloc keep freed blocks of up to 24 MiB instead of returning them to the system.

    glibc does so after a block of that size was allocated and freed, even if it was never touched;
    elsewhere this has no effect. Otherwise each message of 1 MiB costs a thousand page faults: such
    messages arrive at 500 MB/s without this and at 3,200 MB/s with it.
    """
    bytes(24 * 1024 * 1024)


class Receiver:
    """Moves a socket's received bytes into the accumulator.

    ``size`` is what the next recv asks for.

    Args:
        accumulator: takes the bytes.
        largest: the most bytes that one recv asks for, ``Config.receive_size``.
    """

    __slots__ = ("accumulator", "size", "_largest")

    def __init__(self, accumulator: FrameReader, largest: int) -> None:
        self.accumulator = accumulator
        self.size = min(FIRST_RECEIVE, largest)
        self._largest = largest

    def receive(self, sock: socket.socket) -> int | None:
        """One recv.

        Args:
            sock: a non-blocking socket, the same each time.
        Returns:
            How many bytes came, 0 at the end of the stream; None when there is nothing now.
        Raises:
            OSError: the socket is broken. If a signal handler raises, it is unknown whether bytes
                were received.
        """
        accumulator = self.accumulator
        buffer = accumulator.large_buffer
        try:
            if buffer is None:
                data = sock.recv(self.size)
            else:
                count = sock.recv_into(buffer)
                accumulator.large_filled(count)
                return count
        except (BlockingIOError, InterruptedError):
            return None
        count = len(data)
        accumulator.feed(data)
        if count == self.size or count < self.size - FIRST_RECEIVE >> 3:
            self._fit_size(count)
        return count

    def _fit_size(self, count: int) -> None:
        """Ask for more after a recv that was filled, for less after one that was nearly empty."""
        if count == self.size:
            self.size = min(count * 4, self._largest)
            keep_large_blocks()
        else:
            self.size = min(FIRST_RECEIVE, self._largest)
