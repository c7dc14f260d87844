"""Every signal in and out, as a peer sees it on the wire."""

from __future__ import annotations

from typing import cast

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.processes.support import OOPS, UNUSED
from tests.scripted import ScriptedPeer
from uds_dist import (
    EMPTY,
    Atom,
    BusyError,
    ClosedError,
    EncodeError,
    EventLoop,
    Future,
    Mailbox,
    NoConnectionError,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD

TOKEN = (2, 7, 1, Pid("peer@localhost", 1, 0, 7), 0)  # a trace token of seq_trace


# --- messages in ----------------------------------------------------------------------------------


def test_every_way_to_send_a_message(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox("box")
    alias = box.alias()
    ways: list[tuple[object, ...]] = [
        (ctl.SEND, UNUSED, box.pid),
        (ctl.SEND_TT, UNUSED, box.pid, TOKEN),
        (ctl.SEND_SENDER, peer.pid(), box.pid),
        (ctl.SEND_SENDER_TT, peer.pid(), box.pid, TOKEN),
        (ctl.REG_SEND, peer.pid(), UNUSED, Atom("box")),
        (ctl.REG_SEND_TT, peer.pid(), UNUSED, Atom("box"), TOKEN),
        (ctl.ALIAS_SEND, peer.pid(), alias),
        (ctl.ALIAS_SEND_TT, peer.pid(), alias, TOKEN),
        (ctl.ALTACT_SIG_SEND, 0, peer.pid(), box.pid),
        (ctl.ALTACT_SIG_SEND, 2, peer.pid(), box.pid, TOKEN),
        (ctl.ALTACT_SIG_SEND, 4, peer.pid(), alias),
        (ctl.ALTACT_SIG_SEND, 6, peer.pid(), alias, TOKEN),
        (ctl.ALTACT_SIG_SEND, 8, peer.pid(), Atom("box")),
        (ctl.ALTACT_SIG_SEND, 10, peer.pid(), Atom("box"), TOKEN),
    ]
    for number, control in enumerate(ways):
        peer.send(control, number)
    assert [box.receive(timeout=5) for _ in ways] == list(range(len(ways)))
    assert peer.settle() == []


def test_messages_to_nobody_are_dropped_without_a_word(a: Node, peer: ScriptedPeer) -> None:
    gone = a.mailbox()
    gone.close()
    nobody = a.processes.numbers.new_reference()
    for control in (
        (ctl.SEND_SENDER, peer.pid(), gone.pid),
        (ctl.REG_SEND, peer.pid(), UNUSED, Atom("nobody")),
        (ctl.ALIAS_SEND, peer.pid(), nobody),
        (ctl.ALTACT_SIG_SEND, 5, peer.pid(), nobody),
        (ctl.ALTACT_SIG_SEND, 8, peer.pid(), Atom("nobody")),
    ):
        peer.send(control, 1)
    peer.send((ctl.ALTACT_SIG_SEND, 20, peer.pid(), nobody), OOPS)
    peer.send((ctl.ALTACT_SIG_SEND, 16, peer.pid(), gone.pid), OOPS)
    peer.send((ctl.PAYLOAD_EXIT2, peer.pid(), gone.pid), OOPS)
    peer.send((ctl.PAYLOAD_EXIT, peer.pid(), gone.pid), OOPS)
    peer.send((ctl.GROUP_LEADER, peer.pid(), gone.pid))
    peer.send((ctl.DEMONITOR_P, peer.pid(), gone.pid, peer.reference()))
    peer.send((ctl.UNLINK_ID_ACK, 1, peer.pid(), gone.pid))
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, peer.pid(), gone.pid, nobody), OOPS)
    peer.send((ctl.SPAWN_REPLY, nobody, gone.pid, 0, peer.pid()))
    peer.send((ctl.NODE_LINK,))
    peer.send((ctl.UNLINK, peer.pid(), gone.pid))
    assert peer.settle() == []


def test_a_pid_of_an_earlier_incarnation_is_nobody(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    earlier = Pid(a.name, box.pid.id, box.pid.serial, box.pid.creation ^ 1)
    peer.tell(earlier, 1)
    ref = peer.monitor(earlier)
    down = (ctl.PAYLOAD_MONITOR_P_EXIT, earlier, peer.pid(), ref)
    assert peer.settle() == [(down, Atom("noproc"))]
    assert len(box) == 0


def test_a_message_with_priority(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox(trap_exit=True)
    prior = box.alias(priority=True)
    peer.tell(box.pid, 1)
    peer.send((ctl.ALTACT_SIG_SEND, 5, peer.pid(), prior), 2)
    peer.send((ctl.ALTACT_SIG_SEND, 21, peer.pid(), prior), OOPS)
    peer.send((ctl.ALTACT_SIG_SEND, 17, peer.pid(), box.pid), OOPS)
    peer.settle()
    exit_signal = (Atom("EXIT"), peer.pid(), OOPS)
    assert [box.poll() for _ in range(5)] == [2, exit_signal, 1, exit_signal, EMPTY]


# --- links ----------------------------------------------------------------------------------------


def link_of(peer: ScriptedPeer, box: Mailbox) -> None:
    peer.send((ctl.LINK, peer.pid(), box.pid))
    assert peer.settle() == []
    assert peer.pid() in inside(box).links


@pytest.mark.parametrize("op", [ctl.EXIT, ctl.EXIT_TT, ctl.PAYLOAD_EXIT, ctl.PAYLOAD_EXIT_TT])
def test_a_link_breaks(a: Node, peer: ScriptedPeer, op: int) -> None:
    box, trapping = a.mailbox(), a.mailbox(trap_exit=True)
    for one in (box, trapping):
        link_of(peer, one)
        token = (TOKEN,) if op in (ctl.EXIT_TT, ctl.PAYLOAD_EXIT_TT) else ()
        if op in (ctl.EXIT, ctl.EXIT_TT):
            peer.send((op, peer.pid(), one.pid, *token, OOPS))
        else:
            peer.send((op, peer.pid(), one.pid, *token), OOPS)
    assert peer.settle() == []
    assert box.exit_reason == OOPS
    assert trapping.poll() == (Atom("EXIT"), peer.pid(), OOPS)
    assert a.statistics().links == 0 and not a.processes.ties


def test_an_exit_without_a_link_is_ignored(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox(trap_exit=True)
    peer.send((ctl.PAYLOAD_EXIT, peer.pid(), box.pid), OOPS)
    assert peer.settle() == []
    assert box.alive and box.poll() is EMPTY


def test_a_link_to_nobody_is_answered(a: Node, peer: ScriptedPeer) -> None:
    gone = a.mailbox()
    gone.close()
    peer.send((ctl.LINK, peer.pid(), gone.pid))
    answer = (ctl.PAYLOAD_EXIT, gone.pid, peer.pid())
    assert peer.settle() == [(answer, Atom("noproc"))]


def test_an_unlink_is_acknowledged_before_anything_else(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    gone = a.mailbox()
    gone.close()
    link_of(peer, box)
    peer.send((ctl.UNLINK_ID, 2**64 - 1, peer.pid(), box.pid))
    peer.send((ctl.UNLINK_ID, 5, peer.pid(), gone.pid))
    assert peer.settle() == [
        ((ctl.UNLINK_ID_ACK, 2**64 - 1, box.pid, peer.pid()), NO_PAYLOAD),
        ((ctl.UNLINK_ID_ACK, 5, gone.pid, peer.pid()), NO_PAYLOAD),
    ]
    assert len(inside(box).links) == 0 and not a.processes.ties


def test_links_that_this_node_makes(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    box.link(peer.pid())
    box.link(peer.pid())
    assert peer.settle() == [((ctl.LINK, box.pid, peer.pid()), NO_PAYLOAD)]
    box.unlink(peer.pid())
    ((control, _),) = peer.settle()
    assert control[0] == ctl.UNLINK_ID and control[2:] == (box.pid, peer.pid())
    box.link(peer.pid())  # before the acknowledgement
    peer.send((ctl.UNLINK_ID_ACK, control[1], peer.pid(), box.pid))
    assert peer.settle() == [((ctl.LINK, box.pid, peer.pid()), NO_PAYLOAD)]
    assert peer.pid() in inside(box).links
    box.close(OOPS)
    assert peer.settle() == [((ctl.PAYLOAD_EXIT, box.pid, peer.pid()), OOPS)]


def test_a_process_that_ends_with_an_unlink_under_way(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    box.link(peer.pid())
    box.unlink(peer.pid())
    box.close(OOPS)
    assert [control[0] for control, _ in peer.settle()] == [ctl.LINK, ctl.UNLINK_ID]
    assert not a.processes.ties  # though the acknowledgement never came


# --- exit signals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [ctl.EXIT2, ctl.EXIT2_TT, ctl.PAYLOAD_EXIT2, ctl.PAYLOAD_EXIT2_TT])
def test_an_exit_signal_of_a_peer(a: Node, peer: ScriptedPeer, op: int) -> None:
    token = (TOKEN,) if op in (ctl.EXIT2_TT, ctl.PAYLOAD_EXIT2_TT) else ()
    box, trapping = a.mailbox(), a.mailbox(trap_exit=True)

    def send(one: Mailbox, reason: object) -> None:
        if op in (ctl.EXIT2, ctl.EXIT2_TT):
            peer.send((op, peer.pid(), one.pid, *token, reason))
        else:
            peer.send((op, peer.pid(), one.pid, *token), reason)

    send(box, Atom("normal"))
    send(trapping, OOPS)
    peer.settle()
    assert box.alive
    assert trapping.poll() == (Atom("EXIT"), peer.pid(), OOPS)
    send(box, OOPS)
    send(trapping, Atom("kill"))
    peer.settle()
    assert box.exit_reason == OOPS and trapping.exit_reason == "killed"


def test_exit_signals_of_this_node(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    alias = peer.reference()
    box.exit(peer.pid(), OOPS)
    box.exit(peer.pid(), OOPS, priority=True)
    box.exit(alias, OOPS)
    box.exit(alias, OOPS, priority=True)
    assert peer.settle() == [
        ((ctl.PAYLOAD_EXIT2, box.pid, peer.pid()), OOPS),
        ((ctl.ALTACT_SIG_SEND, 17, box.pid, peer.pid()), OOPS),
        ((ctl.ALTACT_SIG_SEND, 20, box.pid, alias), OOPS),
        ((ctl.ALTACT_SIG_SEND, 21, box.pid, alias), OOPS),
    ]


def test_what_the_node_cannot_do_without_survives(a: Node, peer: ScriptedPeer) -> None:
    kernel = a.whereis("net_kernel")
    assert kernel is not None
    for pid in (kernel, a.pid):
        peer.send((ctl.PAYLOAD_EXIT2, peer.pid(), pid), Atom("kill"))
        peer.send((ctl.LINK, peer.pid(), pid))
        peer.send((ctl.PAYLOAD_EXIT, peer.pid(), pid), OOPS)
    assert peer.settle() == []  # and that was an answer of net_kernel
    a.send(("name", peer.name), 1)
    assert len(peer.settle()) == 1


# --- monitors -------------------------------------------------------------------------------------


def test_monitors_of_a_peer(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox("box")
    by_pid, by_name, nobody = peer.monitor(box.pid), peer.monitor("box"), peer.monitor("nobody")
    down = ctl.PAYLOAD_MONITOR_P_EXIT
    noproc = ((down, Atom("nobody"), peer.pid(), nobody), Atom("noproc"))
    assert peer.settle() == [noproc]
    ended = peer.monitor("box")
    peer.send((ctl.DEMONITOR_P, peer.pid(), Atom("box"), ended))
    peer.settle()
    box.close(OOPS)
    assert peer.settle() == [
        ((down, box.pid, peer.pid(), by_pid), OOPS),
        ((down, Atom("box"), peer.pid(), by_name), OOPS),
    ]
    assert not a.processes.ties


@pytest.mark.parametrize("op", [ctl.MONITOR_P_EXIT, ctl.PAYLOAD_MONITOR_P_EXIT])
def test_monitors_of_this_node(a: Node, peer: ScriptedPeer, op: int) -> None:
    box = a.mailbox()
    by_pid = box.monitor(peer.pid())
    by_name = box.monitor(("name", peer.name))
    ended = box.monitor(peer.pid())
    assert box.demonitor(ended)
    assert [control for control, _ in peer.settle()] == [
        (ctl.MONITOR_P, box.pid, peer.pid(), by_pid),
        (ctl.MONITOR_P, box.pid, Atom("name"), by_name),
        (ctl.MONITOR_P, box.pid, peer.pid(), ended),
        (ctl.DEMONITOR_P, box.pid, peer.pid(), ended),
    ]
    for target, ref in ((peer.pid(), by_pid), (Atom("name"), by_name), (peer.pid(), ended)):
        if op == ctl.MONITOR_P_EXIT:
            peer.send((op, target, box.pid, ref, OOPS))
        else:
            peer.send((op, target, box.pid, ref), OOPS)
    peer.settle()
    process = Atom("process")
    assert [box.poll() for _ in range(3)] == [
        (Atom("DOWN"), by_pid, process, peer.pid(), OOPS),
        (Atom("DOWN"), by_name, process, (Atom("name"), Atom(peer.name)), OOPS),
        EMPTY,
    ]
    assert not a.processes.ties and not inside(box).monitors


# --- group leaders and spawns ---------------------------------------------------------------------


def test_the_group_leader(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    peer.send((ctl.GROUP_LEADER, peer.pid(3), box.pid))
    assert peer.settle() == []
    assert box.group_leader == peer.pid(3)
    a.set_group_leader(box.pid, peer.pid())
    assert peer.settle() == [((ctl.GROUP_LEADER, box.pid, peer.pid()), NO_PAYLOAD)]


@pytest.mark.parametrize("op", [ctl.SPAWN_REPLY, ctl.SPAWN_REPLY_TT])
def test_a_spawn_with_link_and_monitor(a: Node, peer: ScriptedPeer, op: int) -> None:
    box = a.mailbox(trap_exit=True)
    leader = peer.pid(9)
    box.group_leader = leader
    future = a.spawn(peer.name, "m", "f", [1, b"2"], parent=box, link=True, monitor=True)
    ((control, arguments),) = peer.settle()
    request, mfa = control[1], (Atom("m"), Atom("f"), 2)
    options = [Atom("link"), Atom("monitor")]
    assert control == (ctl.SPAWN_REQUEST, request, box.pid, leader, mfa, options)
    assert arguments == [1, b"2"]
    token = (TOKEN,) if op == ctl.SPAWN_REPLY_TT else ()
    peer.send((op, request, box.pid, 3, peer.pid(5), *token))
    assert future.result(timeout=5) == (peer.pid(5), request)
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, peer.pid(5), box.pid, request), OOPS)
    peer.send((ctl.PAYLOAD_EXIT, peer.pid(5), box.pid), OOPS)
    peer.settle()
    assert box.poll() == (Atom("DOWN"), request, Atom("process"), peer.pid(5), OOPS)
    assert box.poll() == (Atom("EXIT"), peer.pid(5), OOPS)
    assert not a.processes.ties and not a.processes.spawns


def test_a_spawn_that_is_refused(a: Node, peer: ScriptedPeer) -> None:
    future = a.spawn(peer.name, "m", "f")
    ((control, _),) = peer.settle()
    peer.send((ctl.SPAWN_REPLY, control[1], a.pid, 0, Atom("system_limit")))
    with pytest.raises(RemoteError, match="system_limit"):
        future.result(timeout=5)
    assert not a.processes.ties


def test_a_spawn_whose_parent_ends_first(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    a.spawn(peer.name, "m", "f", parent=box, link=True, monitor=True)
    ((control, _),) = peer.settle()
    box.close()
    peer.send((ctl.SPAWN_REPLY, control[1], box.pid, 3, peer.pid(5)))
    assert peer.settle() == [
        ((ctl.PAYLOAD_EXIT, box.pid, peer.pid(5)), Atom("noproc")),
        ((ctl.DEMONITOR_P, box.pid, peer.pid(5), control[1]), NO_PAYLOAD),
    ]
    assert not a.processes.ties


def test_a_parent_that_has_ended_starts_no_process(a: Node, b: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    box.close()
    for parent in (box, b.mailbox()):  # nor does one of another node
        with pytest.raises(ClosedError, match="is not a living process of a@localhost"):
            a.spawn(peer.name, "m", "f", parent=parent)
    assert peer.settle() == [] and not a.processes.ties and not a.processes.spawns


# --- the end of a connection ----------------------------------------------------------------------


def test_everything_fires_once_when_the_connection_is_lost(a: Node, peer: ScriptedPeer) -> None:
    box, linked, watched = a.mailbox(trap_exit=True), a.mailbox(), a.mailbox("watched")
    ref = box.monitor(peer.pid())
    box.link(peer.pid())
    linked.link(peer.pid())
    peer.monitor("watched")
    spawned = a.spawn(peer.name, "m", "f", parent=box, link=True)
    outcomes: list[Future[object]] = [
        a.call(("server", peer.name), 1),
        a.rpc(peer.name, "m", "f"),
        cast(Future[object], spawned),
    ]
    peer.settle()
    peer.close()
    for future in outcomes:
        with pytest.raises(NoConnectionError):
            future.result(timeout=5)
    noconnection = Atom("noconnection")
    found = [box.poll(), box.poll(), box.poll()]
    assert sorted(map(str, found)) == sorted(
        map(
            str,
            [
                (Atom("DOWN"), ref, Atom("process"), peer.pid(), noconnection),
                (Atom("EXIT"), peer.pid(), noconnection),
                EMPTY,
            ],
        )
    )
    assert linked.exit_reason == noconnection
    assert watched.alive and not inside(watched).watchers
    statistics = a.statistics()
    assert (statistics.links, statistics.monitors, statistics.aliases) == (0, 0, 0)
    assert not a.processes.ties and not a.processes.spawns


def test_a_bad_control_message_costs_the_connection_and_no_more(
    a: Node, peer: ScriptedPeer, folder: str
) -> None:
    box = a.mailbox()
    ref = box.monitor(peer.pid())
    peer.settle()
    peer.send((99, peer.pid()))
    assert peer.is_gone()
    assert box.receive(timeout=5) == (
        Atom("DOWN"),
        ref,
        Atom("process"),
        peer.pid(),
        Atom("noconnection"),
    )
    peer.connect(folder, a)
    assert peer.settle() == []


def test_an_unencodable_term_leaves_the_connection_working(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox("box")
    peer.send((ctl.LINK, peer.pid(), box.pid))
    peer.settle()
    bad = [1, {"key": object()}]
    for action in (
        lambda: box.send(peer.pid(), bad),
        lambda: box.send(("name", peer.name), bad),
        lambda: box.exit(peer.pid(), bad),
        lambda: box.close(bad),
        lambda: a.call(("name", peer.name), bad),
        lambda: a.rpc(peer.name, "m", "f", [bad]),
        lambda: a.spawn(peer.name, "m", "f", [bad]),
    ):
        with pytest.raises(EncodeError):
            action()
    found = [control[0] for control, _ in peer.settle()]
    assert found in ([], [ctl.MONITOR_P, ctl.DEMONITOR_P])  # of the call that was withdrawn
    assert box.alive and peer.pid() in inside(box).links
    box.send(peer.pid(), 1)
    assert len(peer.settle()) == 1
    statistics = a.statistics()
    assert (statistics.monitors, statistics.aliases, statistics.futures) == (0, 0, 0)


def test_busy_says_so_and_flush_helps(
    make_node: MakeNode, make_peer: MakePeer, folder: str, loop: EventLoop
) -> None:
    node = make_node(
        "c@localhost", write_high_water=1_000_000, write_low_water=1000, send_buffer_size=1
    )
    peer = make_peer()
    peer.connect(folder, node)
    sent = 0
    with pytest.raises(BusyError, match="flush"):
        while True:
            node.send(("name", peer.name), (sent, bytes(10_000)))
            sent += 1
    with pytest.raises(BusyError):
        node.call(("name", peer.name), 1)
    with pytest.raises(BusyError):
        node.rpc(peer.name, "m", "f", [1])
    assert node.statistics().monitors == node.statistics().futures == 0
    assert not node.flush(timeout=0)
    numbers: list[object] = []

    def take() -> None:
        _control, payload = peer.receive()
        if isinstance(payload, tuple) and isinstance(payload[1], bytes):
            numbers.append(payload[0])

    # Below the high-water mark is not enough: senders go on at the low one.
    while node.statistics().unwritten > 1_000_000:
        take()
    assert node.statistics().unwritten > 1000
    with pytest.raises(BusyError):
        node.send(("name", peer.name), 1)
    while len(numbers) < sent:
        take()
    assert numbers == list(range(sent))
    assert node.flush(timeout=5)
    node.send(("name", peer.name), 1)


# --- fragments ------------------------------------------------------------------------------------


def test_fragments_of_several_senders_interleave(a: Node, peer: ScriptedPeer) -> None:
    boxes = [a.mailbox() for _ in range(3)]
    sequences = [
        peer.frames_of((ctl.SEND_SENDER, peer.pid(number), box.pid), (number, bytes(300_000)))
        for number, box in enumerate(boxes)
    ]
    assert all(len(frames) > 3 for frames in sequences)
    while any(sequences):
        for frames in sequences:
            if frames:
                peer.write(frames.pop(0))
        peer.tell(boxes[0].pid, 0)  # and a small message between them
    for number, box in enumerate(boxes):
        assert box.receive(match=lambda m: m != 0, timeout=5) == (number, bytes(300_000))
    peer.close()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("fragments", [True, False])
def test_every_framing(
    make_node: MakeNode, make_peer: MakePeer, folder: str, cache: bool, fragments: bool
) -> None:
    node = make_node("c@localhost", atom_cache=cache, fragments=fragments)
    peer = make_peer()
    peer.connect(folder, node)
    box = node.mailbox()
    terms = [(Atom("atom"), size, bytes(size)) for size in (0, 64, 4096, 70_000, 200_000)] * 2
    for term in terms:
        peer.tell(box.pid, term)
        box.send(peer.pid(), term)
    assert [payload for _, payload in peer.settle()] == terms
    assert [box.receive(timeout=5) for _ in terms] == terms


def test_a_server_that_answers_the_pid(a: Node, old_peer: ScriptedPeer) -> None:
    peer = old_peer
    future = a.call(("server", peer.name), 1)
    ((control, request),) = peer.settle()  # no monitor: the peer has none
    assert control[0] == ctl.REG_SEND and isinstance(request, tuple)
    caller, tag = request[1]
    peer.send((ctl.SEND, UNUSED, caller), (tag, 2))
    assert future.result(timeout=5) == 2
    peer.send((ctl.SEND, UNUSED, caller), (tag, 3))
    assert peer.settle() == []
    assert a.statistics().aliases == a.statistics().monitors == 0
