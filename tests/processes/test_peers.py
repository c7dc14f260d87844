"""Connections to other nodes: made, made at once from both sides, replaced, lost, watched."""

from __future__ import annotations

import os

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.processes.support import notices_of
from tests.scripted import COOKIE, GoneError, ScriptedPeer
from uds_dist import (
    EMPTY,
    Atom,
    ClosedError,
    ConnectFailedError,
    CookieMismatchError,
    EventLoop,
    HandshakeTimeoutError,
    NoConnectionError,
    Node,
    NodeNameError,
    NotAllowedError,
    UdsDistError,
)
from uds_dist.protocol import control as ctl
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import Role

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
    assert a.ping(peer.name, timeout=0.5) is False
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
