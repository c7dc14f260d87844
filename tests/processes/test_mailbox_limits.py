"""Whatever fills a mailbox counts, in messages and in bytes, and the peer that does it waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.scripted import ScriptedPeer
from uds_dist import Atom, GenServer, Mailbox, Node, Reference
from uds_dist.processes.process import SMALL_MESSAGE
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALTACT_SIG_SEND,
    PAYLOAD_EXIT2,
    REG_SEND,
    SEND_SENDER,
    AltactFlag,
)
from uds_dist.transport.connection import Connection
from uds_dist.transport.log_rate import BURST

LIMIT = 100
SIZE = 300_000
PRIO_ALIAS = int(AltactFlag.PRIO | AltactFlag.ALIAS)


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node with small mailboxes."""
    return make_node("node@localhost", max_mailbox_length=LIMIT, max_mailbox_size=SIZE,
                     messages_per_round=7)  # fmt: skip


@pytest.fixture
def filler(node: Node, make_peer: MakePeer, folder: str) -> ScriptedPeer:
    """A peer of it."""
    peer = make_peer()
    peer.connect(folder, node)
    return peer


@pytest.fixture
def box(node: Node) -> Mailbox:
    """A process of it that traps exit signals."""
    return node.mailbox("box", trap_exit=True)


def connection_of(node: Node) -> Connection:
    connection = node._peers.nodes["peer@localhost"].connection
    assert connection is not None
    return connection


def fill(node: Node, filler: ScriptedPeer, send: Callable[[int], object]) -> int:
    """Send until the node stops reading; return how many messages that took."""
    for number in range(10 * LIMIT):
        if connection_of(node).paused:
            return number
        send(number)
        node.loop.run_once(0)
    raise AssertionError("the node reads on and on")


Send = Callable[[ScriptedPeer, Mailbox, Reference, Reference, int], object]
WAYS: dict[str, Send] = {
    "pid": lambda peer, box, alias, prior, n: peer.send((SEND_SENDER, peer.pid(), box.pid), n),
    "name": lambda peer, box, alias, prior, n: peer.send(
        (REG_SEND, peer.pid(), Atom(""), Atom("box")), n
    ),
    "alias": lambda peer, box, alias, prior, n: peer.send((ALIAS_SEND, peer.pid(), alias), n),
    "priority": lambda peer, box, alias, prior, n: peer.send(
        (ALTACT_SIG_SEND, PRIO_ALIAS, peer.pid(), prior), n
    ),
    "exit": lambda peer, box, alias, prior, n: peer.send(
        (PAYLOAD_EXIT2, peer.pid(), box.pid), Atom("x")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_messages_count_by_whatever_way_they_come(
    node: Node, filler: ScriptedPeer, box: Mailbox, way: str
) -> None:
    alias, prior = box.alias(), box.alias(priority=True)
    fill(node, filler, lambda number: WAYS[way](filler, box, alias, prior, number))
    assert LIMIT <= len(box) < LIMIT + 20
    while len(box) > LIMIT // 2:
        box.poll()
    filler.until(lambda: not connection_of(node).paused)


def test_local_messages_count_too(node: Node, filler: ScriptedPeer, box: Mailbox) -> None:
    for number in range(LIMIT - 5):
        node.send(box.pid, number)
    assert fill(node, filler, lambda number: filler.tell(box.pid, number)) < 20
    assert len(box) < LIMIT + 20


def test_bytes_count(node: Node, filler: ScriptedPeer, box: Mailbox) -> None:
    sent = fill(node, filler, lambda number: filler.tell(box.pid, b"x" * 20_000))
    assert sent <= SIZE // 20_000 + 5
    assert SIZE <= inside(box).size < SIZE + 100_000
    assert len(box) < LIMIT
    while box.poll():
        pass
    assert (inside(box).size, inside(box).weight) == (0, 0)
    filler.until(lambda: not connection_of(node).paused)


def test_a_fragmented_message_counts_with_all_its_bytes(
    node: Node, filler: ScriptedPeer, box: Mailbox
) -> None:
    filler.tell(box.pid, b"x" * 200_000)
    filler.until(lambda: len(box))
    assert 200_000 <= inside(box).size < 201_000


def test_bytes_of_local_messages_count(node: Node, box: Mailbox) -> None:
    node.send(box.pid, b"x" * 5000)
    node.send(box.pid, [b"x" * 5000])
    assert 10_000 <= inside(box).size < 10_100
    box.receive(match=lambda message: isinstance(message, list))
    assert 5000 <= inside(box).size < 5050
    box.poll()
    assert inside(box).size == 0


def test_the_same_object_twice_is_counted_and_forgotten(node: Node, box: Mailbox) -> None:
    message = b"x" * 5000  # it cannot change, so no copy is made
    node.send(box.pid, message)
    node.send(box.pid, message)
    box.poll()
    box.poll()
    assert (inside(box).size, inside(box).weight) == (0, 0)


def test_small_messages_count_as_that_many_bytes(
    node: Node, filler: ScriptedPeer, box: Mailbox
) -> None:
    for number in range(10):
        filler.tell(box.pid, number)
    filler.until(lambda: len(box) == 10)
    assert inside(box).size == 10 * SMALL_MESSAGE


def test_what_a_suspended_server_sets_aside_counts(node: Node, filler: ScriptedPeer) -> None:
    class Server(GenServer):
        def __init__(self) -> None:
            self.got: list[object] = []

        def handle_info(self, message: object) -> object:
            self.got.append(message)
            return None

    server = Server()
    pid = node.serve(None, server)

    def system(request: str) -> None:
        filler.tell(pid, (Atom("system"), (filler.pid(), filler.reference()), Atom(request)))

    system("suspend")
    sent = fill(node, filler, lambda number: filler.tell(pid, number))
    assert LIMIT <= len(server.process) < LIMIT + 20
    node.send(pid, (Atom("system"), (node.pid, Atom("tag")), Atom("resume")))
    filler.until(lambda: len(server.got) == sent)
    assert server.got == list(range(sent)) and inside(server.process).size == 0
    filler.until(lambda: not connection_of(node).paused)


def test_the_peers_that_do_not_fill_it_are_read_from(
    node: Node, filler: ScriptedPeer, box: Mailbox, make_peer: MakePeer, folder: str
) -> None:
    other = make_peer("other@localhost")
    other.connect(folder, node)
    fill(node, filler, lambda number: filler.tell(box.pid, number))
    assert other.settle() == []


def test_the_log_of_full_mailboxes_is_bounded(
    node: Node, filler: ScriptedPeer, box: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(BURST + 5):
        assert fill(node, filler, lambda number: filler.tell(box.pid, number)) >= LIMIT
        while len(box):
            box.poll()
        filler.until(lambda: not connection_of(node).paused)
    told = [line for line in caplog.messages if "nothing is read until" in line]
    assert len(told) == BURST


def test_a_bare_value_from_the_own_node_arrives_as_from_another(node: Node, box: Mailbox) -> None:
    for name, value in (("true", True), ("false", False), ("nil", None), ("ok", Atom("ok"))):
        node.send(box.pid, Atom(name))
        assert box.poll() is value
    node.send(box.pid, 1 << 80_000)
    assert inside(box).size == 10_000
    assert box.poll() == 1 << 80_000 and inside(box).size == 0
