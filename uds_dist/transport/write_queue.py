"""The bytes still to be written to one socket, and how they are written.

Many buffers leave together, in one `sendmsg`. What the socket does not take stays here.

A Unix socket's send buffer, 208 KiB on Linux, takes more only after three quarters of it were read:
a message of 1 MiB would go in five parts, and the peer would wait before each. So the buffer is
widened for bulk. For small messages it stays narrow: they queue behind a full buffer and leave
together, while a wide one would take each separately, which costs both sides more.
"""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # a type only: the loop, which also writes, does not load the protocol
    from uds_dist.protocol.encoder import Buffer
from uds_dist.transport.sigpipe import NO_SIGPIPE

# The most buffers for one sendmsg: below every system's IOV_MAX.
BUFFERS_PER_SEND: Final = 512
# One call writes at most about this much, so that a fast reader cannot hold the loop.
BYTES_PER_WRITE: Final = 4 * 1024 * 1024
# A queue of more bytes than this is bulk.
BULK: Final = 128 * 1024
# Linux doubles the requested size of a send buffer, and reports the doubled size.
GRANTED: Final = 2 if sys.platform == "linux" else 1


class WriteQueue:
    """Buffers in order, and their byte count.

    ``blocked`` is true when the last `write` left something behind, ``wide`` while the socket's
    send buffer is widened for bulk.

    Args:
        wide_size: the send buffer's size for bulk in bytes, ``Config.send_buffer_size``.
    """

    __slots__ = ("blocked", "buffers", "size", "wide", "_usual_size", "_wide_size")

    def __init__(self, wide_size: int) -> None:
        self.buffers: deque[Buffer] = deque()
        self.size = 0
        self.blocked = False
        self.wide = False
        self._usual_size = 0  # the system's, once it has been wide
        self._wide_size = wide_size

    def append(self, buffer: Buffer) -> None:
        """Queue one buffer."""
        self.buffers.append(buffer)
        self.size += len(buffer)

    def extend(self, buffers: list[Buffer]) -> None:
        """Queue the buffers of a message."""
        queue = self.buffers
        for buffer in buffers:
            queue.append(buffer)
            self.size += len(buffer)

    def clear(self) -> None:
        """Forget what was not written."""
        self.buffers.clear()
        self.size = 0
        self.blocked = False

    def write(self, sock: socket.socket) -> int:
        """Write as much as the socket takes now.

        Args:
            sock: a non-blocking socket, the same each time.
        Returns:
            How many bytes it took.
        Raises:
            OSError: the socket is broken. Then, and if a signal handler raises, it is unknown how
                much it took.
        """
        queue = self.buffers
        bulk = self.size > BULK
        if bulk is not self.wide and (bulk or not self.blocked):
            self._fit_send_buffer(sock)
        written = 0
        try:
            while queue and written < BYTES_PER_WRITE:
                if len(queue) == 1:
                    size = sock.send(queue[0], NO_SIGPIPE)
                    if size == self.size:
                        # Not clear(): an emptied deque keeps a second block of 528 bytes.
                        queue.popleft()
                        self.size = 0
                        written += size
                        break
                else:
                    size = sock.sendmsg(list(islice(queue, BUFFERS_PER_SEND)), (), NO_SIGPIPE)
                written += size
                self._drop(size)
        except (BlockingIOError, InterruptedError):
            pass
        self.blocked = bool(queue)
        return written

    def _drop(self, size: int) -> None:
        """Drop the first `size` bytes."""
        queue = self.buffers
        self.size -= size
        # Not clear(), even if all is written: an emptied deque keeps a second block of 528 bytes.
        while queue and len(queue[0]) <= size:
            size -= len(queue.popleft())
        if size:
            queue[0] = memoryview(queue[0])[size:]

    def _fit_send_buffer(self, sock: socket.socket) -> None:
        """Widen the send buffer for bulk, or restore its usual size."""
        self.wide = not self.wide
        size = self._wide_size
        if self.wide:
            self._usual_size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        if self._usual_size < size:
            if not self.wide:
                size = self._usual_size // GRANTED
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
            except OSError:
                pass  # more than the system allows, or a broken socket: sending reports it


def unread_bytes(sock: socket.socket) -> int | None:
    """How much the peer has not read yet, in bytes of system memory.

    Returns:
        0 when everything was read; None where the system does not tell (SIOCOUTQ of Linux does).
    """
    if sys.platform != "linux":
        return None
    try:
        # For sockets this number is called SIOCOUTQ.
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return None
    return int.from_bytes(answer, sys.byteorder)
