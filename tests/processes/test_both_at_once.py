"""Two nodes that dial each other at once, and names that a peer gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.processes.support import ABOVE, BELOW, dial_both, name_message, notices_of
from tests.scripted import COOKIE, ScriptedPeer
from uds_dist import (
    Atom,
    Config,
    EventLoop,
    HandshakeTimeoutError,
    LocalProtocolError,
    Node,
    NotAllowedError,
)
from uds_dist.processes import dialling
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import Role
from uds_dist.testing import FakeClock

# --- both at once ---------------------------------------------------------------------------------


def test_the_greater_name_goes_on_with_its_attempt(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    notices = notices_of(a)
    first = make_peer(ABOVE)
    with dial_both(a, first, folder) as second:
        handshake = second.handshake(Role.INITIATOR)
        second.send_handshake(handshake.begin())
        status = second.frame()
        assert status == b"sok_simultaneous"
        second.send_handshake(handshake.receive(status))
        second.shake_hands(handshake)
        assert first.is_gone()  # the attempt that was shut down once the peer had proved itself
        assert [payload for _, payload in second.settle()] == [1]
    assert notices[0] == ("nodeup", ABOVE)


def test_the_lesser_name_waits_for_the_other_attempt(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    notices = notices_of(a)
    first = make_peer(BELOW)
    with dial_both(a, first, folder) as second:
        handshake = second.handshake(Role.INITIATOR)
        second.send_handshake(handshake.begin())
        assert second.frame() == b"snok"
        assert second.is_gone()
        # The attempt of a@localhost goes on; its name has been read already.
        acceptor = first.handshake(Role.ACCEPTOR, status=Status.OK)
        first.send_handshake(acceptor.receive(name_message(a)))
        first.shake_hands(acceptor)
        assert [payload for _, payload in first.settle()] == [1]
        assert notices == [("nodeup", BELOW)]


def test_nok_is_followed_by_the_other_attempt(a: Node, make_peer: MakePeer, folder: str) -> None:
    peer = make_peer(ABOVE)
    peer.listen(folder)
    future = a.connect(peer.name)
    peer.accept()
    peer.frame()
    peer.send_handshake([b"snok"])
    assert peer.is_gone()
    peer.connect(folder, a)
    future.result(timeout=5)
    assert a.nodes() == [ABOVE]
    assert not peer.is_dialled()  # nor is there another attempt


def test_nok_without_another_attempt_is_tried_again(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer(ABOVE)
    peer.listen(folder)
    future = a.connect(peer.name)
    for _ in range(2):
        peer.accept()
        peer.frame()
        peer.send_handshake([b"snok"])
        assert peer.is_gone()
    peer.welcome()
    future.result(timeout=5)


def test_nok_for_ever_has_an_end(make_node: MakeNode, make_peer: MakePeer, folder: str) -> None:
    node = make_node("a@localhost", handshake_timeout=0.3)
    peer = make_peer(ABOVE)
    peer.listen(folder)
    future = node.connect(peer.name)
    while not future.done():
        if peer.is_dialled():
            peer.frame()
            peer.send_handshake([b"snok"])
    with pytest.raises(HandshakeTimeoutError, match="refused this node's attempt"):
        future.result()
    assert not node._peers.nodes


def test_what_begins_after_the_deadline_of_an_attempt_is_told_too(
    folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    with EventLoop(clock=clock) as loop, ScriptedPeer(loop, ABOVE) as peer:
        node = Node("a@localhost", loop=loop, cookie=COOKIE, config=Config(socket_dir=folder))
        box = node.mailbox()
        peer.listen(folder)
        futures = [node.connect(ABOVE)]
        peer.accept()
        peer.frame()
        peer.send_handshake([b"snok"])
        assert peer.is_gone()
        clock.advance(node.config.handshake_timeout + 1)  # no round: the program computes
        futures.append(node.connect(ABOVE))
        box.send(("name", ABOVE), 1)
        ref = box.monitor(("name", ABOVE))
        for _ in range(5):
            loop.run_once(0)
        for future in futures:
            with pytest.raises(HandshakeTimeoutError, match="7 s"):
                future.result(timeout=0)
        down = (Atom("DOWN"), ref, Atom("process"), ("name", ABOVE), Atom("noconnection"))
        assert list(box) == [down]
        assert "2 signals could not be delivered" in caplog.text
        assert not node._peers.nodes

        peer.accept()  # the second attempt, which came too late
        again = node.connect(ABOVE)
        peer.welcome()
        again.result(timeout=5)
        node.close()


def test_a_handshake_that_is_accepted_is_not_dialled_against(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer(ABOVE)
    peer.listen(folder)
    peer.dial(folder, a.name)
    handshake = peer.handshake(Role.INITIATOR)
    peer.send_handshake(handshake.begin())
    status = peer.frame()
    assert status == b"sok"
    a.send(("name", peer.name), 1)
    with make_peer(ABOVE) as other:
        other.listener, peer.listener = peer.listener, None
        assert not other.is_dialled()
        peer.send_handshake(handshake.receive(status))
        peer.shake_hands(handshake)
        assert [payload for _, payload in peer.settle()] == [1]
        assert not other.is_dialled()


def test_an_accepted_handshake_that_breaks_off_is_made_up_for(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    for name in (ABOVE, BELOW):
        peer = make_peer(name)
        peer.listen(folder)
        peer.dial(folder, a.name)
        peer.send_handshake(peer.handshake(Role.INITIATOR).begin())
        assert peer.frame() == b"sok"
        a.send(("name", name), 1)
        peer.close()
        peer.welcome()
        assert [payload for _, payload in peer.settle()] == [1]


def test_an_attempt_after_ok_simultaneous_that_breaks_off_is_made_up_for(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer(ABOVE)
    with dial_both(a, peer, folder) as second:
        second.send_handshake(second.handshake(Role.INITIATOR).begin())
        assert second.frame() == b"sok_simultaneous"
        peer.send_handshake([b"snok"])
        assert peer.is_gone()
        assert not peer.is_dialled()  # this node waits for the attempt of the peer
        second.close()
        peer.welcome()
        assert [payload for _, payload in peer.settle()] == [1]


@pytest.mark.parametrize("names", [("a@h", "b@h"), ("b@h", "a@h")])
def test_two_nodes_that_dial_each_other(make_node: MakeNode, names: tuple[str, str]) -> None:
    one, two = (make_node(name) for name in names)
    notices = notices_of(one), notices_of(two)
    boxes = one.mailbox("box"), two.mailbox("box")
    for number in range(3):
        one.send(("box", two.name), number)
        two.send(("box", one.name), number)
    for box in boxes:
        assert [box.receive(timeout=5) for _ in range(3)] == [0, 1, 2]
    assert one.ping(two.name) and two.ping(one.name)
    assert notices == ([("nodeup", two.name)], [("nodeup", one.name)])
    assert len(one.statistics().connections) == len(two.statistics().connections) == 1


def run_both(loops: tuple[EventLoop, EventLoop], condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        for loop in loops:
            loop.run_once(0.0005)
    raise AssertionError("it never comes about")


@pytest.mark.parametrize("first_turns", list(itertools.product((0, 1), repeat=3)))
def test_two_nodes_in_every_interleaving(folder: str, first_turns: tuple[int, ...]) -> None:
    for more in itertools.product((0, 1), repeat=6):
        connect_in_turns(folder, first_turns + more)


def test_two_nodes_that_do_not_wait_for_a_claim(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each dials although the other does: they still get one connection."""
    monkeypatch.setattr(dialling, "CLAIM_PATIENCE", 0.0)
    random = Random(7)
    for _ in range(40):
        connect_in_turns(folder, tuple(random.randint(0, 1) for _ in range(14)))


def connect_in_turns(folder: str, turns: tuple[int, ...]) -> None:
    """Two nodes send to each other, each on its own loop; `turns` says whose round it is."""
    with EventLoop() as first, EventLoop() as second:
        loops = (first, second)
        nodes = [
            Node(f"{name}@localhost", loop=loop, cookie=COOKIE, socket_dir=folder)
            for name, loop in zip("ab", loops, strict=True)
        ]
        notices = [notices_of(node) for node in nodes]
        boxes = []
        for node in nodes:
            node.listen()
            boxes.append(node.mailbox("box"))
        nodes[0].send(("box", "b@localhost"), 1)
        for step, turn in enumerate(turns):
            if step == 2:
                nodes[1].send(("box", "a@localhost"), 2)
            loops[turn].run_once(0)
        run_both(loops, lambda: all(inside(box).queue for box in boxes))
        assert (boxes[0].poll(), boxes[1].poll()) == (2, 1), turns
        for _ in range(3):
            first.run_once(0)
            second.run_once(0)
        assert notices == [[("nodeup", "b@localhost")], [("nodeup", "a@localhost")]], turns
        # Disconnect before they close: each would wait for the other, whose loop does not run.
        nodes[0].disconnect("b@localhost")
        run_both(loops, lambda: all(notes[1:] for notes in notices))
        for node in nodes:
            node.close()


# --- names that are given -------------------------------------------------------------------------


def test_a_node_without_a_name_is_given_one(make_node: MakeNode, a: Node) -> None:
    node = make_node("@localhost", listen=False)
    assert node.name == "nonode@nohost"
    with pytest.raises(LocalProtocolError, match="no name yet"):
        node.mailbox()
    with pytest.raises(LocalProtocolError):
        node.listen()
    assert node.ping(a.name)
    assert node.name.endswith("@localhost") and len(node.name) > len("@localhost")
    box, other = node.mailbox("box"), a.mailbox("other")
    assert box.pid.node == node.name and box.pid.creation == node.creation
    box.send(("other", a.name), box.pid)
    pid = other.receive(timeout=5)
    a.send(pid, 1)  # type: ignore[arg-type]
    assert box.receive(timeout=5) == 1
    node.disconnect(a.name)
    name = node.name
    assert node.ping(a.name) and node.name == name


def test_two_names_that_are_given_are_two(make_node: MakeNode, a: Node) -> None:
    one, two = (make_node("@localhost", listen=False) for _ in range(2))
    assert one.ping(a.name) and two.ping(a.name)
    assert one.name != two.name and sorted(a.nodes()) == sorted([one.name, two.name])


def test_two_peers_asked_for_a_name_at_once(make_node: MakeNode, a: Node, b: Node) -> None:
    node = make_node("@localhost", listen=False)
    futures = [node.connect(a.name), node.connect(b.name)]
    for future in futures:
        future.result(timeout=5)
    assert a.ping(node.name, timeout=5) and b.ping(node.name, timeout=5)
    assert sorted(node.nodes()) == [a.name, b.name]


def test_the_name_that_a_peer_gives_is_taken(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("@localhost", listen=False)
    peer = make_peer()
    peer.listen(folder)
    future = node.connect(peer.name)
    peer.accept()
    asked: list[str] = []

    def assign(host: str) -> tuple[str, int]:
        asked.append(host)
        return f"given@{host}", 4711

    peer.shake_hands(peer.handshake(Role.ACCEPTOR, assign_name=assign))
    future.result(timeout=5)
    assert asked == ["localhost"]
    assert (node.name, node.creation) == ("given@localhost", 4711)
    assert node.mailbox().pid.creation == 4711


def test_a_peer_that_gives_no_name(make_node: MakeNode, make_peer: MakePeer, folder: str) -> None:
    node = make_node("@localhost", listen=False)
    peer = make_peer()
    peer.listen(folder)
    future = node.connect(peer.name)
    peer.accept()
    peer.frame()
    peer.send_handshake([b"sok"])
    with pytest.raises(NotAllowedError, match="gave this node no name"):
        future.result(timeout=5)


def test_a_peer_that_asks_for_a_name_must_be_allowed_by_it(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    a.allow(["worker@*"])
    peer = make_peer("localhost", flags=default_flags(Config()) | Flag.NAME_ME)
    peer.dial(folder, a.name)
    peer.send_handshake(peer.handshake(Role.INITIATOR).begin())
    assert peer.frame() == b"snot_allowed"
