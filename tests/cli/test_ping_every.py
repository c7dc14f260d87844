"""`uds-dist ping NODE --every SECONDS`: one connection while the node answers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.readme_blocks import environment
from tests.scripted import COOKIE
from uds_dist import EventLoop
from uds_dist.transport.loop import READ


class Probe:
    """The command in another process; the test's loop reads its output."""

    def __init__(self, loop: EventLoop, process: subprocess.Popen[bytes]) -> None:
        self.loop = loop
        self.process = process
        self.lines: list[str] = []
        self.ended = False

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            self.loop.run_once(0.01)

    def end(self) -> tuple[int, str]:
        """The exit code and the error text."""
        self.until(lambda: self.ended and self.process.poll() is not None)
        assert self.process.stderr is not None
        return self.process.returncode, self.process.stderr.read().decode()


@contextmanager
def pinging(loop: EventLoop, folder: str, *words: str) -> Iterator[Probe]:
    process = subprocess.Popen(
        [sys.executable, "-m", "uds_dist", "ping", *words],
        env=environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE=COOKIE),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    probe = Probe(loop, process)
    output = process.stdout
    assert output is not None

    def read(_events: int) -> None:
        line = output.readline()
        if line:
            probe.lines.append(line.decode().strip())
        else:
            loop.unregister(output)
            probe.ended = True

    loop.register(output, READ, read)
    with process:
        try:
            yield probe
        finally:
            process.kill()
            probe.until(lambda: probe.ended)


def test_one_connection_until_the_node_goes(
    loop: EventLoop, make_node: MakeNode, folder: str
) -> None:
    node = make_node("a@localhost")
    with pinging(loop, folder, "a", "--every", "0.05") as probe:
        probe.until(lambda: len(probe.lines) > 3)
        assert probe.lines[:4] == ["pong"] * 4 and len(node.nodes()) == 1
        assert node._peers.listener is not None and node._peers.listener.accepted == 1
        start = time.monotonic()
        node.close()
        code, error = probe.end()
    assert code == 3 and "the connection to a@localhost was lost" in error
    assert probe.lines[-1] == "pang" and set(probe.lines[:-1]) == {"pong"}
    assert time.monotonic() - start < 5


def test_a_loss_is_reported_at_once(loop: EventLoop, make_node: MakeNode, folder: str) -> None:
    node = make_node("a@localhost")
    with pinging(loop, folder, "a", "--every", "600") as probe:
        probe.until(lambda: probe.lines == ["pong"])
        node.close()
        assert probe.end()[0] == 3


def test_no_answer_in_time(loop: EventLoop, make_peer: MakePeer, folder: str) -> None:
    peer = make_peer("mute@localhost")
    peer.listen(folder)
    with pinging(loop, folder, "mute", "--every=0.01", "--timeout=0.5", "--name=op@localhost") as probe:
        peer.welcome()
        code, error = probe.end()
    assert (code, probe.lines) == (1, ["pang"]) and "did not answer within 0.5 s" in error


def test_an_interrupt_ends_it(loop: EventLoop, make_node: MakeNode, folder: str) -> None:
    make_node("a@localhost")
    with pinging(loop, folder, "a", "--every", "0.05") as probe:
        probe.until(lambda: bool(probe.lines))
        probe.process.send_signal(signal.SIGINT)
        assert probe.end() == (130, "")


def test_a_node_that_does_not_listen(loop: EventLoop, folder: str) -> None:
    with pinging(loop, folder, "nobody", "--every", "0.05") as probe:
        code, error = probe.end()
    assert (code, probe.lines) == (3, ["pang"]) and "there is no such socket" in error


@pytest.mark.parametrize("word", ["0", "-1", "often"])
def test_an_impossible_time(loop: EventLoop, folder: str, word: str) -> None:
    with pinging(loop, folder, "a", f"--every={word}") as probe:
        assert probe.end()[0] == 2
