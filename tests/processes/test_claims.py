"""Names that strangers claim, and challenges that they relay."""

from __future__ import annotations

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.processes.support import ABOVE, BELOW, dial_both, name_message
from tests.scripted import GoneError, ScriptedPeer
from uds_dist import (
    Config,
    EventLoop,
    HandshakeError,
    HandshakeTimeoutError,
    Node,
    NotAllowedError,
)
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.handshake_table import Role

# --- names that strangers claim -------------------------------------------------------------------


def claim(stranger: ScriptedPeer, folder: str, node: Node) -> bytes:
    """Dial a node under a name, without its cookie; returns the status."""
    stranger.dial(folder, node.name)
    stranger.send_handshake(stranger.handshake(Role.INITIATOR, cookie="guessed").begin())
    return stranger.frame()


def test_half_a_handshake_leaves_nothing(
    a: Node, make_peer: MakePeer, folder: str, loop: EventLoop
) -> None:
    for number in range(30):
        flags = default_flags(Config()) | 1 << 40 + number % 20 | number
        peer = make_peer(f"peer{number}@localhost", flags=flags)
        assert claim(peer, folder, a) == b"sok"
        assert not a._peers.nodes  # a name that is claimed is not a node
        peer.close()
    loop.run_until(lambda: loop.statistics().descriptors == 1, 5)
    loop.run_once(0)
    assert not a._peers.nodes and not a._peers.accepting.claims.incoming
    assert not loop.challenges


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
    for _ in range(10):  # a repeated claim is not waited for again
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
    """Two attempts to two strangers: the challenge of one is sent to the other."""
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
