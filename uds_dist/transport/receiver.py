"""How one socket is read: one `recv` at a time, as large as the last ones deserve.

A recv of 256 KiB costs 20 us, most of it to map and unmap the memory; one of 32 KiB costs 2.5 us.
So the first asks for little, and large ones are kept for connections that fill them. The bytes of
a large frame that has begun are received right into their place.
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

    That is what glibc's does after a block of that size was made and freed, even if no byte of it
    was ever touched; elsewhere it is without effect. Otherwise each message of 1 MiB comes with a
    thousand page faults: one way in, such messages go at 500 MB/s without and 3,200 MB/s with it.
    """
    bytes(24 * 1024 * 1024)


class Receiver:
    """Brings what has come to a socket into the accumulator.

    ``size`` is what the next recv asks for.

    Args:
        accumulator: takes the bytes in.
        largest: bytes that one recv asks for at most, ``Config.receive_size``.
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
            OSError: nothing will come any more. When a signal handler raises it is not known
                whether bytes have come.
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
        """Ask for more when a recv was filled, for less when it was nearly empty."""
        if count == self.size:
            self.size = min(count * 4, self._largest)
            keep_large_blocks()
        else:
            self.size = min(FIRST_RECEIVE, self._largest)
