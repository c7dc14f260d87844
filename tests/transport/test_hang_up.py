"""A peer that is gone is noticed in every state of its connection, also when it is not read from."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.inside import ask
from tests.scripted import ScriptedPeer
from tests.transport.conftest import MakeNode
from uds_dist import Atom, EventLoop, Node, UdsDistError
from uds_dist.transport.connection import Connection

SettledPeer = tuple[Node, ScriptedPeer, list[UdsDistError]]


@pytest.fixture
def connected(
    loop: EventLoop, make_node: MakeNode, tmp_path: Path
) -> Iterator[Callable[..., SettledPeer]]:
    """Connect a peer by hand to a node with these settings: (node, peer, errors of on_down)."""
    made: list[ScriptedPeer] = []

    def connect(**settings: object) -> SettledPeer:
        node = make_node("node", **settings)
        node.expose("m", {"big": lambda size: b"x" * size})
        errors: list[UdsDistError] = []
        node.on_down = lambda _name, error: errors.append(error)
        peer = ScriptedPeer(loop, "peer@test")
        made.append(peer)
        peer.connect(str(tmp_path), node)
        return node, peer, errors

    yield connect
    for peer in made:
        peer.close()


def connection_of(node: Node) -> Connection:
    connection = node._peers.nodes["peer@test"].connection
    assert connection is not None
    return connection


def test_while_a_mailbox_is_full(connected: Callable[..., SettledPeer]) -> None:
    node, peer, errors = connected(max_mailbox_length=10)
    box = node.mailbox()
    for number in range(10):
        peer.tell(box.pid, number)
    peer.until(lambda: connection_of(node).paused)
    for number in range(10, 30):
        peer.tell(box.pid, number)
    peer.close()
    peer.until(lambda: errors)
    assert node.nodes() == []
    # What the peer said before is not lost: the system held it, which is bounded.
    assert [box.poll() for _ in range(30)] == list(range(30))


def test_while_a_mailbox_is_full_and_the_socket_takes_nothing(
    connected: Callable[..., SettledPeer]
) -> None:
    node, peer, errors = connected(max_mailbox_length=10)
    box = node.mailbox()
    for number in range(10):
        peer.tell(box.pid, number)
    peer.until(lambda: connection_of(node).paused)
    while not node.statistics().unwritten:
        node.send(peer.pid(), b"x" * 4_000_000)
        node.loop.run_once(0)
    peer.close()
    peer.until(lambda: errors)


def test_while_requests_are_held(connected: Callable[..., SettledPeer]) -> None:
    node, peer, errors = connected(write_high_water=1000, write_low_water=1000)
    box = node.mailbox()
    for _ in range(40):
        ask(peer, 300_000)
    peer.until(lambda: connection_of(node).held is not None)
    peer.tell(box.pid, "last words")
    peer.close()
    peer.until(lambda: errors)
    assert box.poll() == b"last words"


def test_while_no_more_can_be_held(connected: Callable[..., SettledPeer]) -> None:
    node, peer, errors = connected(write_high_water=1000, write_low_water=1000)
    box = node.mailbox()
    for _ in range(40):
        ask(peer, 300_000)
    peer.until(lambda: connection_of(node).held is not None)
    frames = memoryview(b"".join(peer.frames_of((2, Atom(""), box.pid), b"y" * 60_000)))
    left = frames
    while not connection_of(node).choked:
        left = peer.write_some(left) or frames
        node.loop.run_once(0)
    peer.close()
    peer.until(lambda: errors)


def test_a_peer_that_only_reads_no_more(connected: Callable[..., SettledPeer]) -> None:
    node, peer, errors = connected()
    assert peer.sock is not None
    peer.sock.shutdown(socket.SHUT_RD)
    node.send(peer.pid(), "x")
    peer.until(lambda: errors)


def test_a_peer_that_reads_no_more_while_it_is_not_read_from(
    connected: Callable[..., SettledPeer]
) -> None:
    node, peer, errors = connected(max_mailbox_length=10)
    box = node.mailbox()
    for number in range(10):
        peer.tell(box.pid, number)
    peer.until(lambda: connection_of(node).paused)
    assert peer.sock is not None
    peer.sock.shutdown(socket.SHUT_RD)
    peer.until(lambda: errors)
    assert len(box) == 10


def test_a_peer_that_is_alive_stays(connected: Callable[..., SettledPeer]) -> None:
    node, peer, errors = connected(max_mailbox_length=10)
    box = node.mailbox()
    for number in range(20):
        peer.tell(box.pid, number)
    peer.until(lambda: connection_of(node).paused)
    while peer.ticks < 2:
        if not peer.frame():
            peer.ticks += 1
    assert not errors
    assert [box.receive(timeout=5) for _ in range(20)] == list(range(20))
    peer.until(lambda: not connection_of(node).paused)


def half_close(peer: ScriptedPeer) -> None:
    assert peer.sock is not None
    peer.sock.shutdown(socket.SHUT_WR)


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="only Linux tells of it before everything is read")
def test_a_peer_that_writes_no_more_while_a_mailbox_is_full(
    connected: Callable[..., SettledPeer]
) -> None:
    node, peer, errors = connected(max_mailbox_length=10)
    box = node.mailbox()
    for number in range(10):
        peer.tell(box.pid, number)
    peer.until(lambda: connection_of(node).paused)
    for number in range(10, 30):
        peer.tell(box.pid, number)
    half_close(peer)
    peer.until(lambda: errors)
    assert "the peer closed it" in str(errors[0])
    assert [box.poll() for _ in range(30)] == list(range(30))


def test_what_is_held_for_a_peer_that_writes_no_more_is_not_lost(
    connected: Callable[..., SettledPeer]
) -> None:
    node, peer, errors = connected(write_high_water=1000, write_low_water=1000)
    box = node.mailbox()
    for _ in range(40):
        ask(peer, 300_000)
    peer.until(lambda: connection_of(node).held is not None)
    for number in range(30):
        peer.tell(box.pid, number)
    half_close(peer)
    peer.until(lambda: errors)
    assert [box.poll() for _ in range(30)] == list(range(30))


def test_a_slow_program_gets_all_that_a_peer_wrote_before_it_was_gone(
    connected: Callable[..., SettledPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uds_dist.transport.hang_up.LINGER", 0.0)  # each round takes longer
    node, peer, errors = connected(messages_per_round=10)
    box = node.mailbox()
    for number in range(100):
        peer.tell(box.pid, number)
    peer.close()
    node.send(peer.pid(), "x")  # fails
    peer.until(lambda: errors)
    assert [box.poll() for _ in range(100)] == list(range(100))
