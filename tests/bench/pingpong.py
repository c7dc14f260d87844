"""A bare ping-pong over a Unix socket: the cost of a round trip without a protocol.

This side waits in a selector, like the library. The other side is another Python process that
blocks in `recv`, which gives the fastest answer possible in Python.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from time import perf_counter

ECHO = """
import socket, sys
fd, request, answer = map(int, sys.argv[1:])
sock = socket.socket(fileno=fd)
reply = bytes(answer)
while True:
    left = request
    while left:
        got = len(sock.recv(left))
        if not got:
            sys.exit()
        left -= got
    sock.sendall(reply)
"""


class Pingpong:
    """A process that answers messages of `request` bytes with `answer` bytes."""

    def __init__(self, request: int, answer: int) -> None:
        self._request = bytes(request)
        self._answer = answer
        self._sock, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-c", ECHO, str(other.fileno()), str(request), str(answer)],
                pass_fds=[other.fileno()],
            )
        self._sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._sock, selectors.EVENT_READ)

    def round_trips(self, count: int) -> float:
        """Seconds for this many round trips."""
        sock, select, request = self._sock, self._selector.select, self._request
        start = perf_counter()
        for _ in range(count):
            sock.send(request)
            left = self._answer
            while left:
                select(None)
                left -= len(sock.recv(65536))
        return perf_counter() - start

    def __enter__(self) -> Pingpong:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._selector.close()
        self._sock.close()
        self._process.wait(10)
