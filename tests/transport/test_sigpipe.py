"""A peer that is gone does not end a program that has SIGPIPE at the system's default."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.scripted import COOKIE, ScriptedPeer
from tests.transport.support import in_child
from uds_dist import Config, EventLoop, Node
from uds_dist.protocol.handshake_table import Role
from uds_dist.protocol.encoder import Buffer
from uds_dist.transport.write_queue import WriteQueue

PEER = "peer@localhost"


def with_default_sigpipe() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def test_the_signal_ends_a_process_that_does_not_guard_against_it() -> None:
    child = os.fork()
    if not child:
        with_default_sigpipe()
        left, right = socket.socketpair()
        right.close()
        left.send(b"lost")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGPIPE


@pytest.mark.parametrize("buffers", [[b"lost"], [b"lost", b"too"]])
def test_a_write_to_a_broken_socket(buffers: list[Buffer]) -> None:
    def work() -> str:
        with_default_sigpipe()
        left, right = socket.socketpair()
        right.close()
        queue = WriteQueue(Config().send_buffer_size)
        queue.extend(buffers)
        with pytest.raises(BrokenPipeError):
            queue.write(left)
        return "alive"

    assert in_child(work) == "alive"


class Broken:
    """A node on a loop of its own, and a peer whose side of the connection is closed."""

    def __init__(self, folder: str) -> None:
        with_default_sigpipe()
        self.loop = EventLoop()
        self.node = Node("a@localhost", loop=self.loop, cookie=COOKIE, socket_dir=folder)
        self.node.listen()
        self.peer = ScriptedPeer(self.loop, PEER)

    def connect(self, folder: str) -> None:
        self.peer.connect(folder, self.node)
        self.peer.close()


def test_messages_to_a_peer_that_is_gone(folder: str) -> None:
    def work() -> list[str]:
        broken = Broken(folder)
        broken.connect(folder)
        for number in range(3):
            broken.node.send(("somebody", PEER), number)
        broken.peer.until(lambda: not broken.node.nodes())
        return broken.node.nodes()

    assert in_child(work) == []


def test_messages_that_leave_together_at_the_end_of_a_round(folder: str) -> None:
    def work() -> list[str]:
        broken = Broken(folder)
        broken.peer.connect(folder, broken.node)

        def send_some() -> None:
            broken.peer.close()
            for number in range(3):
                broken.node.send(("somebody", PEER), number)

        broken.loop.call_soon(send_some)
        broken.peer.until(lambda: not broken.node.nodes())
        return broken.node.nodes()

    assert in_child(work) == []


def test_the_answer_to_a_peer_that_left_in_the_handshake(folder: str) -> None:
    def work() -> list[str]:
        broken = Broken(folder)
        broken.peer.dial(folder, broken.node.name)
        broken.peer.send_handshake(broken.peer.handshake(Role.INITIATOR).begin())
        broken.peer.close()
        for _ in range(5):
            broken.loop.run_once(0.01)
        return broken.node.nodes()

    assert in_child(work) == []


def test_a_tick_from_a_signal_handler(folder: str) -> None:
    def work() -> list[str]:
        broken = Broken(folder)
        broken.connect(folder)
        with broken.loop.signal_ticks(interval=1000):
            now = broken.loop.time()
            broken.loop._clock = lambda: now + broken.node.config.tick_time
            signal.raise_signal(signal.SIGALRM)
        broken.peer.until(lambda: not broken.node.nodes())
        return broken.node.nodes()

    assert in_child(work) == []


def test_a_wake_up_of_a_loop_whose_other_end_is_closed() -> None:
    def work() -> str:
        with_default_sigpipe()
        loop = EventLoop()
        loop._waker.watched.close()  # as a signal handler may find it in the middle of `close`
        loop.wakeup()
        return "alive"

    assert in_child(work) == "alive"
