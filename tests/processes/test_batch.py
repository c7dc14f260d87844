"""`Node.batch`: messages sent inside leave together."""

from __future__ import annotations

import os
import select

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from uds_dist import COMPILED, BusyError, EventLoop, Node


def readable(peer: ScriptedPeer) -> bool:
    """Whether the node has written anything, without its loop being run."""
    assert peer.sock is not None
    return bool(select.select([peer.sock], [], [], 0)[0])


def received(peer: ScriptedPeer, count: int) -> list[object]:
    """This many messages, which have already come: the node's loop is not run."""
    assert readable(peer)
    return [peer.receive()[1] for _ in range(count)]


def test_what_is_sent_in_a_batch_leaves_at_its_end(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    with a.batch():
        for number in range(5):
            box.send(("x", peer.name), number)
        a.send(peer.pid(), 5)
        assert not readable(peer)
    assert received(peer, 6) == [0, 1, 2, 3, 4, 5]
    a.send(("x", peer.name), 6)  # after a batch each leaves at once, as before
    assert received(peer, 1) == [6]


@pytest.mark.skipif(COMPILED, reason="a compiled caller does not see a method that is replaced")
def test_a_batch_is_one_system_call(
    a: Node, peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = a._peers.nodes.values()
    connection = record.connection
    assert connection is not None
    writes: list[int] = []
    queue = type(connection.write_queue)
    write = queue.write

    def counted(self: object, sock: object) -> int:
        writes.append(1)
        return write(self, sock)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "write", counted)
    with a.batch():
        for number in range(100):
            a.send(("x", peer.name), number)
    assert len(writes) == 1
    assert received(peer, 100) == list(range(100))


def test_an_exception_ends_a_batch(a: Node, peer: ScriptedPeer) -> None:
    with pytest.raises(KeyboardInterrupt):
        with a.batch():
            a.send(("x", peer.name), 1)
            raise KeyboardInterrupt
    assert received(peer, 1) == [1]
    a.send(("x", peer.name), 2)
    assert received(peer, 1) == [2]


def test_a_batch_within_a_batch_ends_with_it(a: Node, peer: ScriptedPeer) -> None:
    with a.batch():
        a.send(("x", peer.name), 1)
        with pytest.raises(ValueError):
            with a.batch():
                a.send(("x", peer.name), 2)
                raise ValueError
        assert not readable(peer)
        a.send(("x", peer.name), 3)
        assert not readable(peer)
    assert received(peer, 3) == [1, 2, 3]


def test_a_batch_is_of_one_node(a: Node, b: Node, make_peer: MakePeer, folder: str) -> None:
    one, two = make_peer("one@localhost"), make_peer("two@localhost")
    one.connect(folder, a)
    two.connect(folder, b)
    with a.batch():
        a.send(("x", one.name), 1)
        b.send(("x", two.name), 2)
        assert received(two, 1) == [2] and not readable(one)
    assert received(one, 1) == [1]


def test_an_answer_can_be_awaited_within_a_batch(a: Node, b: Node) -> None:
    with a.batch():
        a.send(("nobody", b.name), 1)
        assert a.ping(b.name)
        assert a.rpc(b.name, "nothing", "here").exception(5)
        assert a.flush(5)


def test_a_batch_that_is_too_large_is_busy_and_goes_on_after_a_flush(make_node: MakeNode) -> None:
    a = make_node("a@localhost", write_high_water=300_000, write_low_water=100_000)
    b = make_node("b@localhost")
    assert a.ping(b.name)
    box = b.mailbox("box")
    with a.batch():
        with pytest.raises(BusyError):
            for _ in range(5):
                a.send(("box", b.name), bytes(100_000))
        assert a.flush(5)
        a.send(("box", b.name), b"last")
    assert [box.receive(5) for _ in range(4)] == [bytes(100_000)] * 3 + [b"last"]


def test_a_batch_in_a_handler_leaves_with_the_round(
    a: Node, peer: ScriptedPeer, loop: EventLoop
) -> None:
    def handler() -> None:
        with a.batch():
            a.send(("x", peer.name), 1)
        a.send(("x", peer.name), 2)

    loop.call_soon(handler)
    loop.run_once(0)
    assert received(peer, 2) == [1, 2]


def test_a_batch_before_there_is_a_connection(a: Node, b: Node) -> None:
    box = b.mailbox("box")
    with a.batch():
        for number in range(3):
            a.send(("box", b.name), number)
    assert [box.receive(5) for _ in range(3)] == [0, 1, 2]


def test_the_end_of_a_batch_in_a_forked_child_writes_nothing(a: Node, peer: ScriptedPeer) -> None:
    batch = a.batch()
    batch.__enter__()
    a.send(("x", peer.name), 1)
    child = os.fork()
    if child == 0:
        batch.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
    assert not readable(peer)
    batch.__exit__(None, None, None)
    assert received(peer, 1) == [1]
