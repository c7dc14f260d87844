"""Helpers for several of these tests: sockets with something to read, and handlers that raise."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import traceback
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uds_dist import Node

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


class CountingSelector(selectors.DefaultSelector):
    """Notes the timeouts that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.timeouts.append(timeout)
        return super().select(0)


def raiser(error: BaseException) -> Callable[..., None]:
    def raise_it(*_args: object) -> None:
        raise error

    return raise_it


def in_child(work: Callable[[], object]) -> object:
    """Run `work` in a forked child that then vanishes, and give what it returned.

    What it returns must be a Python literal. An exception in the child is raised here too.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            outcome = (True, work())
        except BaseException:  # nothing may get out of the child
            outcome = (False, traceback.format_exc())
        os.write(writer, repr(outcome).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    succeeded, outcome_there = literal_eval(text)
    assert succeeded, outcome_there
    return outcome_there


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    count = 0
    for number in range(1024):
        try:
            os.fstat(number)
        except OSError:
            continue
        count += 1
    return count


def received(node: Node) -> int:
    """Bytes that are there to read, without reading them."""
    connection = next(iter(node._peers.nodes.values())).connection
    assert connection is not None and connection.sock is not None
    try:
        return len(connection.sock.recv(65536, socket.MSG_PEEK))
    except BlockingIOError:
        return 0


class Interrupted(Exception):
    """What the signal handlers of these tests raise."""


@contextmanager
def on_signal(handler: Callable[[], object], number: int = signal.SIGUSR1) -> Iterator[None]:
    """Make a signal call `handler`."""
    before = signal.signal(number, lambda _number, _frame: handler() and None)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def alarm(seconds: float, handler: Callable[[], object]) -> Iterator[None]:
    """Make SIGALRM call `handler` once, after some real time."""
    with on_signal(handler, signal.SIGALRM):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def interrupt() -> None:
    raise Interrupted
