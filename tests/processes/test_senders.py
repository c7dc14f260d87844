"""A peer acts for its own processes only: signals in other names, and how much it may hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.scripted import ScriptedPeer
from uds_dist import Atom, Mailbox, Node, Pid, Reference
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD

Signal = Callable[[Pid, Pid, Reference], tuple[tuple[object, ...], object]]

NONE: list[object] = []
MFA = (Atom("svc"), Atom("f"), 0)
REASON = Atom("boom")
SIGNALS: dict[str, Signal] = {
    "LINK": lambda s, p, r: ((ctl.LINK, s, p), NO_PAYLOAD),
    "UNLINK": lambda s, p, r: ((ctl.UNLINK, s, p), NO_PAYLOAD),
    "UNLINK_ID": lambda s, p, r: ((ctl.UNLINK_ID, 5, s, p), NO_PAYLOAD),
    "UNLINK_ID_ACK": lambda s, p, r: ((ctl.UNLINK_ID_ACK, 5, s, p), NO_PAYLOAD),
    "EXIT": lambda s, p, r: ((ctl.EXIT, s, p, REASON), NO_PAYLOAD),
    "EXIT_TT": lambda s, p, r: ((ctl.EXIT_TT, s, p, 1, REASON), NO_PAYLOAD),
    "PAYLOAD_EXIT": lambda s, p, r: ((ctl.PAYLOAD_EXIT, s, p), REASON),
    "PAYLOAD_EXIT_TT": lambda s, p, r: ((ctl.PAYLOAD_EXIT_TT, s, p, 1), REASON),
    "EXIT2": lambda s, p, r: ((ctl.EXIT2, s, p, REASON), NO_PAYLOAD),
    "PAYLOAD_EXIT2": lambda s, p, r: ((ctl.PAYLOAD_EXIT2, s, p), REASON),
    "ALTACT": lambda s, p, r: ((ctl.ALTACT_SIG_SEND, int(ctl.AltactFlag.EXIT), s, p), REASON),
    "MONITOR_P": lambda s, p, r: ((ctl.MONITOR_P, s, p, r), NO_PAYLOAD),
    "DEMONITOR_P": lambda s, p, r: ((ctl.DEMONITOR_P, s, p, r), NO_PAYLOAD),
    "SPAWN_REQUEST": lambda s, p, r: ((ctl.SPAWN_REQUEST, r, s, s, MFA, NONE), NONE),
}


@pytest.fixture
def box(a: Node) -> Mailbox:
    """A process of the node that traps exits."""
    return a.mailbox("box", trap_exit=True)


@pytest.mark.parametrize("kind", SIGNALS)
@pytest.mark.parametrize("sender", ["third@localhost", "a@localhost"])
@pytest.mark.parametrize("dead", [False, True])
def test_a_signal_in_anothers_name_ends_the_connection(
    a: Node, peer: ScriptedPeer, box: Mailbox, kind: str, sender: str, dead: bool
) -> None:
    if dead:
        box.close()
    control, payload = SIGNALS[kind](Pid(sender, 5, 0, 7), box.pid, peer.reference())
    peer.send(control, payload)
    assert peer.is_gone()
    statistics = a.statistics()
    assert (statistics.links, statistics.watchers) == (0, 0)
    assert not a.processes.ties and not inside(box).queue
    assert [c.name for c in statistics.connections] == []  # and nobody else was dialled


@pytest.mark.parametrize("kind", ["MONITOR_P", "SPAWN_REQUEST"])
def test_a_reference_of_another_node_ends_the_connection(
    a: Node, peer: ScriptedPeer, box: Mailbox, kind: str
) -> None:
    ref = Reference("third@localhost", 7, (1, 2, 3))
    control, payload = SIGNALS[kind](peer.pid(), box.pid, ref)
    peer.send(control, payload)
    assert peer.is_gone() and not a.processes.ties


def test_a_peer_cannot_end_anothers_monitor(
    a: Node, peer: ScriptedPeer, box: Mailbox, make_peer: MakePeer, folder: str
) -> None:
    other = make_peer("other@localhost")
    other.connect(folder, a)
    ref = other.monitor(box.pid)
    other.settle()
    peer.send((ctl.DEMONITOR_P, peer.pid(), box.pid, ref))
    assert peer.settle() == []
    box.close()
    assert [control[3] for control, _ in other.settle()] == [ref]


def test_a_notice_of_another_node_is_dropped(
    a: Node, peer: ScriptedPeer, box: Mailbox, make_peer: MakePeer, folder: str
) -> None:
    other = make_peer("other@localhost")
    other.connect(folder, a)
    ref = box.monitor(other.pid(9))
    call = a.rpc(other.name, "m", "f", [])
    spawned = a.spawn(other.name, "m", "f", [])
    requests = [control for control, _ in other.settle()]
    (first, second) = [control[1] for control in requests if control[0] == ctl.SPAWN_REQUEST]
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, peer.pid(9), box.pid, ref), REASON)
    peer.send((ctl.MONITOR_P_EXIT, peer.pid(9), box.pid, ref, REASON))
    for request in (first, second):
        peer.send((ctl.SPAWN_REPLY, request, a.pid, 0, peer.pid(9)))
        peer.send((ctl.SPAWN_REPLY, request, a.pid, 0, Atom("system_limit")))
    peer.settle()
    assert not call.done() and not spawned.done() and not inside(box).queue
    other.send((ctl.SPAWN_REPLY, first, a.pid, 2, other.pid(3)))
    other.settle()
    answer = (first, Atom("return"), 1)
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, other.pid(3), a.pid, first), answer)
    peer.settle()
    assert not call.done()
    other.send((ctl.PAYLOAD_MONITOR_P_EXIT, other.pid(3), a.pid, first), answer)
    other.send((ctl.SPAWN_REPLY, second, a.pid, 0, other.pid(4)))
    assert call.result(5) == 1 and spawned.result(5)[0] == other.pid(4)


def test_a_spawn_reply_with_anothers_pid_ends_the_connection(a: Node, peer: ScriptedPeer) -> None:
    call = a.rpc(peer.name, "m", "f", [])
    ((control, _payload),) = peer.settle()
    peer.send((ctl.SPAWN_REPLY, control[1], a.pid, 2, Pid("third@localhost", 5, 0, 7)))
    assert peer.is_gone()
    peer.until(call.done)
    assert call.exception() is not None and not a.processes.ties


def test_processes_of_an_earlier_incarnation_are_nobody(
    a: Node, peer: ScriptedPeer, box: Mailbox
) -> None:
    pid = box.pid
    old = Pid(a.name, pid.id, pid.serial, pid.creation ^ 1)
    ref = peer.reference()
    peer.send((ctl.LINK, peer.pid(), old))
    peer.send((ctl.MONITOR_P, peer.pid(), old, ref))
    assert [control for control, _ in peer.settle()] == [
        (ctl.PAYLOAD_EXIT, old, peer.pid()),
        (ctl.PAYLOAD_MONITOR_P_EXIT, old, peer.pid(), ref),
    ]
    peer.send((ctl.PAYLOAD_EXIT2, peer.pid(), old), REASON)
    peer.send((ctl.GROUP_LEADER, peer.pid(), old))
    peer.tell(old, 5)
    peer.settle()
    assert box.alive and not inside(box).queue and not a.processes.ties


@pytest.mark.parametrize("kind", ["LINK", "MONITOR_P"])
def test_links_and_monitors_of_a_peer_are_bounded(
    make_node: MakeNode,
    make_peer: MakePeer,
    folder: str,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    losses: list[str] = []
    node = make_node(
        "a@localhost",
        max_links_and_monitors=20,
        on_down=lambda _name, error: losses.append(str(error)),
    )
    box = node.mailbox(trap_exit=True)
    peer = make_peer()
    peer.connect(folder, node)
    for number in range(20):
        control, payload = SIGNALS[kind](peer.pid(number), box.pid, peer.reference())
        peer.send(control, payload)
    peer.settle()
    statistics = node.statistics()
    assert statistics.links + statistics.watchers == 20
    control, payload = SIGNALS[kind](peer.pid(20), box.pid, peer.reference())
    peer.send(control, payload)
    assert peer.is_gone()
    peer.until(partial(bool, losses))
    assert "max_links_and_monitors is 20" in losses[0]
    statistics = node.statistics()
    assert statistics.links + statistics.watchers == 0 and box.alive
    own = [node.mailbox() for _ in range(30)]  # the node's own processes are not a peer's
    for mine in own:
        mine.link(box.pid)
        box.monitor(mine.pid)
    assert box.alive and len(inside(box).links) == 30


def test_nothing_is_kept_for_a_node_that_is_gone(
    a: Node, peer: ScriptedPeer, box: Mailbox
) -> None:
    for number in range(50):
        peer.send((ctl.LINK, peer.pid(number), box.pid))
        peer.send((ctl.MONITOR_P, peer.pid(number), box.pid, peer.reference()))
    peer.settle()
    assert len(inside(box).links) == len(inside(box).watchers) == 50
    peer.close()
    peer.until(lambda: not a.processes.ties_by_node)
    assert len(inside(box).links) == len(inside(box).watchers) == 0
