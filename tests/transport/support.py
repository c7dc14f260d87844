"""What several of these tests use: sockets with something to read, and handlers that raise."""

from __future__ import annotations

import socket
from collections.abc import Callable

Pair = tuple[socket.socket, socket.socket]


def pairs(count: int) -> list[Pair]:
    """Connected sockets; something is there to read at the first of each pair."""
    made = [socket.socketpair() for _ in range(count)]
    for left, right in made:
        left.setblocking(False)
        right.send(b"x")
    return made


def close_all(made: list[Pair]) -> None:
    for left, right in made:
        left.close()
        right.close()


def raiser(error: BaseException) -> Callable[..., None]:
    def raise_it(*_args: object) -> None:
        raise error

    return raise_it
