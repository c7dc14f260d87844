"""How long a node that closes waits for a peer that never closes its own side."""

from __future__ import annotations

import sys
import time

import pytest

from tests.conftest import MakeNode, MakePeer
from uds_dist import EventLoop, Node
from uds_dist.transport.parting import PARTING

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is unread is told by Linux")

SLACK = 0.04


def seconds_to_close(node: Node) -> float:
    start = time.monotonic()
    node.close()
    return time.monotonic() - start


@pytest.mark.parametrize("reads_after", [0.0, 0.03, None])
def test_close_waits_until_the_peer_has_read_everything(
    loop: EventLoop, make_node: MakeNode, make_peer: MakePeer, folder: str, reads_after: float | None
) -> None:
    node = make_node("a@localhost", listen=False)
    peer = make_peer()
    peer.listen(folder)
    connected = node.connect(peer.name)
    peer.welcome()
    connected.result(timeout=5)
    sock = peer.sock
    assert sock is not None
    for _ in range(10):
        node.send(("name", peer.name), bytes(5000))
    got = 0

    def read() -> None:
        nonlocal got
        try:
            while data := sock.recv(65536):
                got += len(data)
        except BlockingIOError:
            pass

    if reads_after is not None:
        loop.call_later(reads_after, read)
    took = seconds_to_close(node)
    expected = PARTING if reads_after is None else reads_after
    assert expected <= took + 0.001 and took < expected + SLACK
    if reads_after is None:
        read()  # the sent bytes are still there
    assert got > 50_000
