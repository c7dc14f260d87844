"""Connections to other nodes: made, made at once from both sides, replaced, lost, watched."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from random import Random

import pytest

from tests.inside import inside
from tests.scripted import COOKIE, GoneError, ScriptedPeer
from uds_dist import (
    EMPTY,
    Atom,
    ClosedError,
    Config,
    ConnectFailedError,
    CookieMismatchError,
    EventLoop,
    HandshakeError,
    HandshakeTimeoutError,
    LocalProtocolError,
    NoConnectionError,
    Node,
    NodeNameError,
    NotAllowedError,
    UdsDistError,
)
from uds_dist.processes import dialling
from uds_dist.protocol import control as ctl
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import Role

MakeNode = Callable[..., Node]
MakePeer = Callable[..., ScriptedPeer]
Notices = list[tuple[str, str]]

BELOW, ABOVE = "Apeer@localhost", "zpeer@localhost"  # names on either side of a@localhost


def notices_of(node: Node) -> Notices:
    """What `monitor_nodes` tells from now on."""
    found: Notices = []
    node.monitor_nodes(lambda event, name, _error: found.append((event, name)))
    return found


# --- made on demand -------------------------------------------------------------------------------


def test_the_first_signal_connects_and_nothing_is_lost(a: Node, b: Node) -> None:
    box = b.mailbox("box")
    for number in range(100):
        a.send(("box", b.name), number)
    assert [box.receive(timeout=5) for _ in range(100)] == list(range(100))
    assert a.nodes() == [b.name] and b.nodes() == [a.name]


def test_what_waits_for_a_connection_is_a_copy(a: Node, b: Node) -> None:
    box = b.mailbox("box")
    message = [1]
    a.send(("box", b.name), message)
    message.append(2)
    assert box.receive(timeout=5) == [1]


def test_a_node_that_is_not_there(make_node: MakeNode, loop: EventLoop) -> None:
    losses: list[tuple[str, UdsDistError]] = []
    node = make_node("a@localhost", on_down=lambda *what: losses.append(what))
    notices = notices_of(node)
    box = node.mailbox(trap_exit=True)
    gone = "gone@localhost"
    ref = box.monitor(("name", gone))
    box.send(("name", gone), 1)
    for future in (node.call(("name", gone), 1), node.rpc(gone, "m", "f"), node.connect(gone)):
        with pytest.raises(ConnectFailedError, match="there is no such socket"):
            future.result(timeout=5)
    down = (Atom("DOWN"), ref, Atom("process"), (Atom("name"), Atom(gone)), Atom("noconnection"))
    assert box.receive(timeout=5) == down
    assert not node.ping(gone, timeout=5)
    while len(losses) < 2:
        loop.run_once(0)
    loop.run_once(0)
    assert [name for name, _error in losses] == [gone, gone]  # one for each attempt
    assert notices == []  # what never came has not gone
    assert not node._peers.nodes and not node.processes.ties


def test_a_name_that_cannot_be_dialled(a: Node, loop: EventLoop) -> None:
    losses: list[str] = []
    a.on_down = lambda name, _error: losses.append(name)
    box = a.mailbox()
    ref = box.monitor(("name", "no name"))
    assert box.receive(timeout=5) == (
        Atom("DOWN"),
        ref,
        Atom("process"),
        (Atom("name"), Atom("no name")),
        Atom("noconnection"),
    )
    loop.run_once(0)
    assert losses == ["no name"]
    with pytest.raises(NodeNameError):
        a.connect("no name").result(timeout=5)
    with pytest.raises(NodeNameError, match="itself"):
        a.connect(a.name).result(timeout=5)
    with pytest.raises(NodeNameError):
        a.ping("no name")
    with pytest.raises(NoConnectionError):
        a.call(("name", "x" * 200 + "@localhost"), 1).result(timeout=5)
    assert a.ping(a.name)


@pytest.mark.parametrize("name", ["my.app@localhost", "a b@localhost", "\xe4@h", "a@h\udcff"])
def test_a_name_that_a_beam_would_refuse(a: Node, folder: str, name: str) -> None:
    with pytest.raises(NodeNameError):
        Node(name, cookie=COOKIE, socket_dir=folder)
    with pytest.raises(NodeNameError):
        a.connect(name).result(timeout=5)
    with pytest.raises(NodeNameError):
        a.ping(name)
    with pytest.raises(NodeNameError):
        a.set_cookie(COOKIE, node=name)


@pytest.mark.parametrize(
    "name", ["my.app@localhost", "x\nFORGED a line@localhost", "../x@localhost", "a@h\x85"]
)
def test_a_peer_with_a_name_that_a_beam_would_refuse(
    a: Node, make_peer: MakePeer, folder: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    peer = make_peer(name)
    peer.dial(folder, a.name)
    peer.send_handshake(peer.handshake(Role.INITIATOR).begin())
    assert peer.is_gone()
    peer.until(lambda: caplog.records)
    assert "is not a valid node name" in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert not a._peers.nodes


def test_signals_that_end_something_open_no_connection(a: Node, make_peer: MakePeer) -> None:
    peer = make_peer()
    table = a.processes
    for control in (
        (ctl.UNLINK_ID, 1, a.pid, peer.pid()),
        (ctl.UNLINK_ID_ACK, 1, a.pid, peer.pid()),
        (ctl.DEMONITOR_P, a.pid, peer.pid(), table.numbers.new_reference()),
        (ctl.PAYLOAD_EXIT, a.pid, peer.pid()),
        (ctl.PAYLOAD_MONITOR_P_EXIT, a.pid, peer.pid(), table.numbers.new_reference()),
        (ctl.SPAWN_REPLY, table.numbers.new_reference(), peer.pid(), 0, Atom("x")),
    ):
        table.signal(peer.name, control, Atom("x"))
    assert not a._peers.nodes


def test_wrong_cookies_are_told_apart_from_silence(
    make_node: MakeNode, make_peer: MakePeer, folder: str, loop: EventLoop
) -> None:
    node = make_node("a@localhost")
    other = Node("b@localhost", loop=loop, cookie="other", socket_dir=folder)
    with other:
        other.listen()
        with pytest.raises(CookieMismatchError):
            node.connect("b@localhost").result(timeout=5)
        node.set_cookie("other", node="b@localhost")
        assert node.ping("b@localhost")
    mute = make_peer("mute@localhost")
    mute.listen(folder)
    hasty = make_node("hasty@localhost", handshake_timeout=0.05)
    with pytest.raises(HandshakeTimeoutError):
        hasty.connect(mute.name).result(timeout=5)


def test_both_sides_of_a_handshake_are_told_of_programs_that_poll_slowly(
    make_node: MakeNode, make_peer: MakePeer, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They look like a wrong cookie: the text has both causes."""
    node = make_node("a@localhost", handshake_timeout=0.1)
    slow = make_peer("slow@localhost")
    slow.listen(folder)
    future = node.connect(slow.name)
    slow.accept()
    handshake = slow.handshake(Role.ACCEPTOR)
    slow.send_handshake(handshake.receive(slow.frame()))
    slow.frame()  # the proof, to which nothing is said in time
    error = future.exception(timeout=5)
    assert isinstance(error, CookieMismatchError)
    assert "cookies differ" in str(error) and "runs its loop too seldom" in str(error)
    patient = make_node("b@localhost")
    hasty = make_peer("hasty@localhost")
    hasty.dial(folder, patient.name)
    hasty.send_handshake(hasty.handshake(Role.INITIATOR).begin())
    hasty.frame()
    hasty.close()
    hasty.until(lambda: "broke off" in caplog.text)
    assert "cookies differ" in caplog.text.partition("broke off")[2]
    assert "runs its loop too seldom" in caplog.text.partition("broke off")[2]
    future = node.connect(slow.name)
    slow.accept()
    late = future.exception(timeout=5)
    assert isinstance(late, HandshakeTimeoutError) and "loop too seldom" in str(late)


def test_ping_of_a_peer_that_speaks_something_else(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.listen(folder)
    assert peer.listener is not None

    def answer(_events: int) -> None:
        peer.accept()
        peer.write(b"HTTP/1.1 400 Bad Request")

    a.loop.register(peer.listener, 1, answer)
    assert a.ping(peer.name) is False
    a.loop.unregister(peer.listener)


def test_only_the_allowed_may_come(make_node: MakeNode, a: Node) -> None:
    a.allow(["b@*"])
    b, c = make_node("b@localhost"), make_node("c@localhost")
    assert b.ping(a.name)
    with pytest.raises(NotAllowedError):
        c.connect(a.name).result(timeout=5)


def test_a_stranger_cannot_come_under_this_nodes_name(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    twin = make_peer("a@localhost")
    twin.dial(folder, a.name)
    handshake = twin.handshake(Role.INITIATOR)
    twin.send_handshake(handshake.begin())
    assert twin.frame() == b"snot_allowed"


# --- both at once ---------------------------------------------------------------------------------


def dial_both(a: Node, peer: ScriptedPeer, folder: str) -> ScriptedPeer:
    """Have `a` dial the peer, and the peer dial `a`; returns the peer's own, second connection."""
    peer.listen(folder)
    a.send(("name", peer.name), 1)
    peer.accept()
    assert peer.frame()[:1] == b"N"
    second = ScriptedPeer(a.loop, peer.name)
    second.dial(folder, a.name)
    return second


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


def name_message(node: Node) -> bytes:
    """The name that a node sends."""
    name = node.name.encode()
    flags = int(default_flags(Config()))
    return (
        b"N"
        + flags.to_bytes(8, "big")
        + node.creation.to_bytes(4, "big")
        + len(name).to_bytes(2, "big")
        + name
    )


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


# --- names that are claimed by whoever likes ------------------------------------------------------


def claim(stranger: ScriptedPeer, folder: str, node: Node) -> bytes:
    """Dial a node under a name, without its cookie; returns the status."""
    stranger.dial(folder, node.name)
    stranger.send_handshake(stranger.handshake(Role.INITIATOR, cookie="guessed").begin())
    return stranger.frame()


def test_half_a_handshake_leaves_nothing(
    a: Node, make_peer: MakePeer, folder: str, loop: EventLoop
) -> None:
    kept = len(Flag._value2member_map_)
    for number in range(30):
        flags = default_flags(Config()) | 1 << 40 + number % 20 | number
        peer = make_peer(f"peer{number}@localhost", flags=flags)
        assert claim(peer, folder, a) == b"sok"
        assert not a._peers.nodes  # a name that is claimed is not a node
        peer.close()
    loop.run_until(lambda: loop.statistics().descriptors == 1, 5)
    loop.run_once(0)
    assert not a._peers.nodes and not a._peers.accepting.claims.incoming
    assert not loop.challenges and len(Flag._value2member_map_) == kept


@pytest.mark.parametrize("name", [ABOVE, BELOW])
def test_a_claim_does_not_end_an_attempt(
    a: Node, make_peer: MakePeer, folder: str, name: str
) -> None:
    peer = make_peer(name)
    with dial_both(a, peer, folder) as stranger:
        for _ in range(3):
            assert claim(stranger, folder, a) in (b"sok_simultaneous", b"snok")
        handshake = peer.handshake(Role.ACCEPTOR)
        peer.send_handshake(handshake.receive(name_message(a)))
        peer.shake_hands(handshake)
        assert [payload for _, payload in peer.settle()] == [1]
        assert stranger.is_gone()  # this node has proved itself to the real one
    assert a.nodes() == [name]


@pytest.mark.parametrize("name", [ABOVE, BELOW])
def test_a_claim_keeps_an_attempt_waiting_for_a_moment_only(
    make_node: MakeNode, make_peer: MakePeer, folder: str, name: str
) -> None:
    node = make_node("a@localhost", handshake_timeout=1.0)
    stranger, peer = make_peer(name), make_peer(name)
    assert claim(stranger, folder, node) == b"sok"
    peer.listen(folder)
    begun = node.loop.time()
    node.send(("name", name), 1)
    assert not peer.is_dialled()  # it may be the peer, about to prove it
    for _ in range(10):  # a claim that begins anew is not waited for anew
        claim(make_peer(name), folder, node)
    peer.welcome()
    assert 0.2 < node.loop.time() - begun < 0.9
    assert [payload for _, payload in peer.settle()] == [1]
    assert node.nodes() == [name]


def test_an_attempt_has_its_end_whatever_is_claimed(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("a@localhost", handshake_timeout=0.4)
    peer = make_peer(ABOVE)
    peer.listen(folder)
    begun = node.loop.time()
    future = node.connect(ABOVE)
    while not future.done():
        with ScriptedPeer(node.loop, ABOVE) as stranger:
            claim(stranger, folder, node)
    assert 0.3 < node.loop.time() - begun < 0.8
    with pytest.raises(HandshakeTimeoutError):
        future.result()
    node.loop.run_until(lambda: not node._peers.accepting.claims.incoming, 5)
    assert not node._peers.nodes


def test_an_attempt_that_is_broken_off_waits_for_a_claim_once(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("a@localhost", handshake_timeout=0.8)
    stranger, peer = make_peer(ABOVE), make_peer(ABOVE)
    assert claim(stranger, folder, node) == b"sok"
    peer.listen(folder)
    begun = node.loop.time()
    future = node.connect(ABOVE)
    for _ in range(2):
        peer.accept()
        peer.close()
    with pytest.raises(HandshakeError, match="broke off"):
        future.result(timeout=5)
    assert node.loop.time() - begun < 0.7


def test_an_attempt_that_a_claim_is_ended_for_waits_for_it(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    """As the other node ends it which has dialled, too, before it proves itself."""
    peer = make_peer(ABOVE)
    with dial_both(a, peer, folder) as second:
        handshake = second.handshake(Role.INITIATOR)
        second.send_handshake(handshake.begin())
        status = second.frame()
        peer.close()
        for _ in range(3):
            a.loop.run_once(0)
        second.send_handshake(handshake.receive(status))
        second.shake_hands(handshake)
        assert [payload for _, payload in second.settle()] == [1]


def test_failures_are_logged_at_a_bounded_rate(
    a: Node, make_peer: MakePeer, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(30):
        peer = make_peer(f"peer{number}@localhost")
        claim(peer, folder, a)
        peer.send_handshake([b"r" + bytes(20)])  # a wrong digest
        assert peer.is_gone()
    a.loop.run_once(0)
    assert 1 <= len(caplog.records) <= 12


# --- challenges that are passed on ----------------------------------------------------------------


def relay(folder: str, node: Node, dialled_by: Node, evil: ScriptedPeer, victim: ScriptedPeer) -> None:
    """Dial `node` as `victim`; have `dialled_by`, which dials `evil`, answer its challenge."""
    evil.listen(folder)
    victim.dial(folder, node.name)
    guess = victim.handshake(Role.INITIATOR, cookie="guessed")
    victim.send_handshake(guess.begin())
    assert victim.frame() == b"sok"
    challenge = victim.frame()[9:13]
    future = dialled_by.connect(evil.name)
    evil.accept()
    evil.frame()
    name = evil.name.encode()
    message = b"N" + int(default_flags(Config())).to_bytes(8, "big") + challenge
    message += (7).to_bytes(4, "big") + len(name).to_bytes(2, "big") + name
    evil.send_handshake([b"sok", message])
    try:
        digest = evil.frame()[5:]
    except GoneError:
        with pytest.raises(NotAllowedError, match="passed on the challenge"):
            future.result(timeout=5)
        return
    victim.send_handshake([b"r" + bytes(4) + digest])
    victim.frame()
    raise AssertionError("a stranger has come in")


@pytest.mark.parametrize("claimed", ["evil@localhost", "trusted@localhost"])
def test_a_challenge_that_comes_back_is_not_answered(
    a: Node, make_peer: MakePeer, folder: str, claimed: str
) -> None:
    relay(folder, a, a, make_peer("evil@localhost"), make_peer(claimed))
    assert a.nodes() == []


def test_a_challenge_of_another_node_of_this_program_is_not_answered(
    a: Node, b: Node, make_peer: MakePeer, folder: str
) -> None:
    relay(folder, a, b, make_peer("evil@localhost"), make_peer("evil@localhost"))
    assert a.nodes() == b.nodes() == []
    assert a.ping(b.name)  # whose challenges are answered


def test_the_challenge_of_an_attempt_is_not_answered_either(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    """Two attempts to two strangers: the one's challenge is put to the other."""
    first, second = make_peer("first@localhost"), make_peer("second@localhost")
    digests = []
    challenge = bytes(4)
    for evil in (first, second):
        evil.listen(folder)
        a.connect(evil.name)
        evil.accept()
        evil.frame()
        name = evil.name.encode()
        message = b"N" + int(default_flags(Config())).to_bytes(8, "big") + challenge
        message += (7).to_bytes(4, "big") + len(name).to_bytes(2, "big") + name
        evil.send_handshake([b"sok", message])
        if evil is second:
            assert evil.is_gone()
        else:
            reply = evil.frame()
            challenge = reply[1:5]
            digests.append(reply[5:])
    assert len(digests) == 1 and a.nodes() == []


def test_a_leftover_handshake_does_not_matter(a: Node, make_peer: MakePeer, folder: str) -> None:
    leftover, peer = make_peer(ABOVE), make_peer(ABOVE)
    leftover.dial(folder, a.name)
    leftover.send_handshake(leftover.handshake(Role.INITIATOR).begin())
    assert leftover.frame() == b"sok"
    peer.connect(folder, a)
    leftover.close()
    assert peer.settle() == []
    assert a.nodes() == [ABOVE]


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
    """Each dials although the other does: one connection comes about all the same."""
    monkeypatch.setattr(dialling, "CLAIM_PATIENCE", 0.0)
    random = Random(7)
    for _ in range(40):
        connect_in_turns(folder, tuple(random.randint(0, 1) for _ in range(14)))


def connect_in_turns(folder: str, turns: tuple[int, ...]) -> None:
    """Two nodes send to each other, each on a loop of its own; `turns` says whose round it is."""
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
        # Apart before they are closed: each would wait for the other, whose loop stands still.
        nodes[0].disconnect("b@localhost")
        run_both(loops, lambda: all(notes[1:] for notes in notices))
        for node in nodes:
            node.close()


# --- alive ----------------------------------------------------------------------------------------


def test_a_peer_that_comes_back_replaces_its_connection(
    a: Node, peer: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    notices = notices_of(a)
    box = a.mailbox(trap_exit=True)
    ref = box.monitor(peer.pid())
    box.link(peer.pid())
    peer.settle()
    again = make_peer(creation=8)
    again.dial(folder, a.name)
    handshake = again.handshake(Role.INITIATOR, alive=True)
    again.send_handshake(handshake.begin())
    status = again.frame()
    assert status == b"salive"
    answer = handshake.receive(status)
    assert answer == [b"strue"]
    again.send_handshake(answer)
    again.shake_hands(handshake)
    assert again.settle() == []
    assert peer.is_gone()
    found = [box.receive(timeout=5), box.receive(timeout=5)]
    noconnection = Atom("noconnection")
    assert (Atom("DOWN"), ref, Atom("process"), peer.pid(), noconnection) in found
    assert (Atom("EXIT"), peer.pid(), noconnection) in found
    assert len(box) == 0
    assert notices == [("nodedown", peer.name), ("nodeup", peer.name)]
    # A pid of the incarnation that is gone is for the peer to judge; the new one is another.
    box.link(again.pid())
    assert [control for control, _ in again.settle()] == [(ctl.LINK, box.pid, again.pid())]


def test_a_peer_that_takes_its_attempt_back_changes_nothing(
    a: Node, peer: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    notices = notices_of(a)
    again = make_peer()
    again.dial(folder, a.name)
    handshake = again.handshake(Role.INITIATOR, alive=False)
    again.send_handshake(handshake.begin())
    status = again.frame()
    assert status == b"salive"
    assert handshake.receive(status) == [b"sfalse"]
    again.send_handshake([b"sfalse"])
    assert again.is_gone()
    assert peer.settle() == [] and notices == []


def test_a_replacement_that_breaks_off_changes_nothing(
    a: Node, peer: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    again = make_peer()
    again.dial(folder, a.name)
    handshake = again.handshake(Role.INITIATOR)
    again.send_handshake(handshake.begin())
    again.send_handshake(handshake.receive(again.frame()))
    again.frame()
    again.close()
    assert peer.settle() == []
    peer.close()
    peer.until(lambda: not a._peers.nodes)


def test_this_node_says_true_when_it_has_forgotten_the_connection(
    a: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.listen(folder)
    future = a.connect(peer.name)
    peer.accept()
    handshake = peer.handshake(Role.ACCEPTOR, status=Status.ALIVE)
    peer.send_handshake(handshake.receive(peer.frame()))
    answer = peer.frame()
    assert answer == b"strue"
    peer.send_handshake(handshake.receive(answer))
    peer.shake_hands(handshake)
    future.result(timeout=5)
    assert peer.settle() == []


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


# --- notices --------------------------------------------------------------------------------------


def test_notices_come_in_pairs_around_the_messages(a: Node, b: Node, loop: EventLoop) -> None:
    heard: list[object] = []
    a.monitor_nodes(lambda event, name, error: heard.append((event, name, error is None)))
    a.mailbox("box", on_message=heard.append)
    for number in range(3):
        b.send(("box", a.name), number)
    while len(heard) < 4:
        loop.run_once(1)
    b.disconnect(a.name)
    while len(heard) < 5:
        loop.run_once(1)
    up, down = ("nodeup", b.name, True), ("nodedown", b.name, False)
    assert heard == [up, 0, 1, 2, down]


def test_a_notice_that_raises_does_not_keep_the_news_from_others(
    a: Node, b: Node, loop: EventLoop
) -> None:
    def bad(event: str, _name: str, _error: UdsDistError | None) -> None:
        if event == "nodeup":
            raise ZeroDivisionError

    a.monitor_nodes(bad)
    notices = notices_of(a)
    a.connect(b.name)
    with pytest.raises(ZeroDivisionError):
        while True:
            loop.run_once(1)
    loop.run_once(0)
    assert notices == [("nodeup", b.name)]
    assert a.ping(b.name)


# --- lost and closed ------------------------------------------------------------------------------


def test_the_next_send_connects_again(make_node: MakeNode, a: Node) -> None:
    notices = notices_of(a)
    for _ in range(3):
        with_name = make_node("b@localhost")
        box = with_name.mailbox("box")
        a.send(("box", "b@localhost"), 1)
        assert box.receive(timeout=5) == 1
        with_name.close()
        a.loop.run_until(lambda: not a.nodes(), 5)
    a.loop.run_once(0)
    assert notices == [("nodeup", "b@localhost"), ("nodedown", "b@localhost")] * 3


def test_a_send_in_the_round_in_which_the_connection_ended(
    a: Node, peer: ScriptedPeer, folder: str
) -> None:
    notices = notices_of(a)
    box = a.mailbox()
    ref = box.monitor(peer.pid())
    peer.settle()
    peer.listen(folder)
    connection = a._peers.nodes[peer.name].connection
    assert connection is not None
    connection.fail(NoConnectionError("made up"))
    later = box.monitor(peer.pid(2))  # before anybody was told
    box.send(("name", peer.name), 1)
    peer.welcome()
    assert [control[0] for control, _ in peer.settle()] == [ctl.MONITOR_P, ctl.REG_SEND]
    noconnection = Atom("noconnection")
    assert box.poll() == (Atom("DOWN"), ref, Atom("process"), peer.pid(), noconnection)
    assert inside(box).monitors == {later}
    assert notices == [("nodedown", peer.name), ("nodeup", peer.name)]


def test_disconnect_writes_what_was_sent_before_and_what_follows_connects_anew(
    a: Node, peer: ScriptedPeer, folder: str
) -> None:
    peer.listen(folder)
    box = a.mailbox()
    ref = box.monitor(peer.pid())
    bulk = bytes(3_000_000)
    box.send(peer.pid(), bulk)
    assert a.disconnect(peer.name) and not a.disconnect(peer.name)
    assert a.nodes() == []
    box.send(("name", peer.name), 2)
    assert not a.loop.running and len(box) == 1  # the notice of the monitor
    first = [peer.receive(), peer.receive()]
    assert [control[0] for control, _ in first] == [ctl.MONITOR_P, ctl.SEND_SENDER]
    assert first[1][1] == bulk
    with pytest.raises(GoneError):
        peer.receive()
    peer.welcome()
    assert [payload for _, payload in peer.settle()] == [2]
    message = box.poll()
    assert isinstance(message, tuple) and message[1] == ref
    assert len(box) == 0


def test_close_ends_everything_and_says_so(a: Node, b: Node, loop: EventLoop) -> None:
    server = b.mailbox("server")
    watcher = b.mailbox(trap_exit=True)
    box = a.mailbox("box")
    ref = watcher.monitor(("box", a.name))
    watcher.link(box.pid)
    call = a.call(("server", b.name), 1)
    local = a.call("box", 1)
    server.receive(timeout=5)
    connecting = a.connect("gone@localhost")
    box.send(("server", b.name), Atom("last"))
    a.close()
    a.close()
    assert server.receive(match=lambda m: m == "last", timeout=5) == "last"
    shutdown = Atom("shutdown")
    found = [watcher.receive(timeout=5), watcher.receive(timeout=5)]
    name = (Atom("box"), Atom("a@localhost"))
    assert (Atom("DOWN"), ref, Atom("process"), name, shutdown) in found
    assert (Atom("EXIT"), box.pid, shutdown) in found
    for future in (call, local, connecting):
        with pytest.raises((ClosedError, NoConnectionError, UdsDistError)):
            future.result(timeout=5)
    assert not box.alive and a.closed
    for action in (
        lambda: a.send(("server", b.name), 1),
        lambda: a.mailbox(),
        lambda: a.listen(),
        lambda: a.connect(b.name).result(timeout=1),
    ):
        with pytest.raises(ClosedError):
            action()
    loop.run_until(lambda: not b.nodes(), 5)
    assert not b.processes.ties
    assert "a.sock" not in os.listdir(b.config.socket_dir)


# --- liveness -------------------------------------------------------------------------------------


def test_a_mute_peer_is_probed_and_kept(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("c@localhost", tick_time=0.2)
    peer = make_peer()
    peer.connect(folder, node)
    for _ in range(3):
        control, request = peer.receive()  # nothing came from here for three quarters
        assert control[0] == ctl.REG_SEND and control[3] == "net_kernel"
        assert isinstance(request, tuple) and request[2] == (Atom("is_auth"), Atom(node.name))
        peer.tell(node.pid, 1)
    assert peer.ticks > 2  # this node's own
    assert node.nodes() == [peer.name]


def test_a_peer_that_does_not_answer_the_probe_is_given_up(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    losses: list[UdsDistError] = []
    node = make_node(
        "c@localhost", tick_time=0.1, on_down=lambda _name, error: losses.append(error)
    )
    peer = make_peer()
    peer.connect(folder, node)
    box = node.mailbox()
    box.monitor(peer.pid())
    message = box.receive(timeout=5)
    assert isinstance(message, tuple) and message[4] == "noconnection"
    peer.until(lambda: losses)
    assert "sent nothing" in str(losses[0])
    assert [control[0] for control, _ in messages_until_gone(peer)] == [ctl.MONITOR_P, ctl.REG_SEND]


def messages_until_gone(peer: ScriptedPeer) -> list[tuple[tuple[object, ...], object]]:
    """What is still to be read."""
    found = []
    try:
        while True:
            found.append(peer.receive())
    except GoneError:
        return found


def test_ticks_alone_keep_a_peer(make_node: MakeNode, make_peer: MakePeer, folder: str) -> None:
    node = make_node("c@localhost", tick_time=0.2)
    peer = make_peer()
    peer.connect(folder, node)
    connection = node._peers.nodes[peer.name].connection
    assert connection is not None
    while connection.bytes_out < 10_000 and peer.ticks < 8:
        peer.tick()
        assert peer.frame() == b""
        peer.ticks += 1
    assert connection.silent_quarters < 3


def test_a_peer_with_a_shorter_tick_time_is_answered(
    make_node: MakeNode, make_peer: MakePeer, folder: str, loop: EventLoop
) -> None:
    node = make_node("c@localhost", tick_time=60.0)
    peer = make_peer()
    peer.connect(folder, node)
    connection = node._peers.nodes[peer.name].connection
    assert connection is not None
    connection.last_sent -= 2.0
    peer.tick()
    assert peer.frame() == b""


def test_what_was_tied_to_a_connection_fires_when_it_ends(
    a: Node, peer: ScriptedPeer, folder: str
) -> None:
    peer.connect(folder, a)
    box = a.mailbox()
    ref = box.monitor(peer.pid())
    call = a.call(("server", peer.name), 1)
    connection = a._peers.nodes[peer.name].connection
    assert connection is not None
    connection.fail(NoConnectionError("the test ends it"))
    # In that call, and the next signal opens a new connection.
    assert not a._peers.nodes and a.nodes() == [] and not a.processes.ties
    assert call.done() and isinstance(call.exception(), NoConnectionError)
    assert box.poll() == (Atom("DOWN"), ref, Atom("process"), peer.pid(), Atom("noconnection"))
    assert box.poll() is EMPTY
