"""Peers that lack a capability: what they are sent instead."""

from __future__ import annotations

from typing import cast

import pytest

from tests.processes.support import ALL, OOPS, UNUSED, without
from tests.scripted import ScriptedPeer
from uds_dist import (
    Atom,
    EncodeError,
    EventLoop,
    Future,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.processes.dialect import dialect
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.flags import Flag


def test_an_old_peer_gets_the_old_signals(a: Node, old_peer: ScriptedPeer) -> None:
    peer = old_peer
    box, trapping = a.mailbox("box"), a.mailbox(trap_exit=True)
    peer.send((ctl.LINK, peer.pid(), box.pid))
    ref = peer.monitor("box")
    peer.settle()
    trapping.send(peer.pid(), 1)
    trapping.send(("name", peer.name), 2)
    trapping.exit(peer.pid(), OOPS)
    trapping.exit(peer.pid(), OOPS, priority=True)
    box.close(OOPS)
    assert peer.settle() == [
        ((ctl.SEND, UNUSED, peer.pid()), 1),
        ((ctl.REG_SEND, trapping.pid, UNUSED, Atom("name")), 2),
        ((ctl.EXIT2, trapping.pid, peer.pid(), OOPS), NO_PAYLOAD),
        ((ctl.EXIT2, trapping.pid, peer.pid(), OOPS), NO_PAYLOAD),
        ((ctl.MONITOR_P_EXIT, Atom("box"), peer.pid(), ref, OOPS), NO_PAYLOAD),
        ((ctl.EXIT, box.pid, peer.pid(), OOPS), NO_PAYLOAD),
    ]


def test_what_an_old_peer_cannot_be_sent(a: Node, old_peer: ScriptedPeer) -> None:
    peer = old_peer
    box = a.mailbox(trap_exit=True)
    alias = peer.reference()
    box.send(alias, 1)
    box.send(alias, 1, priority=True)
    box.exit(alias, OOPS)
    ref = box.monitor(peer.pid())
    future = a.rpc(peer.name, "m", "f")
    spawned = a.spawn(peer.name, "m", "f")
    assert peer.settle() == []
    outcomes: list[Future[object]] = [future, cast(Future[object], spawned)]
    for one in outcomes:
        with pytest.raises(RemoteError, match="notsup"):
            one.result(timeout=5)
    with pytest.raises(EncodeError):
        box.send(alias, object())
    peer.close()
    down = (Atom("DOWN"), ref, Atom("process"), peer.pid(), Atom("noconnection"))
    assert box.receive(timeout=5) == down
    assert not a.processes.ties and not a.processes.spawns


def test_every_missing_flag_by_itself() -> None:
    pid, ref = Pid("p@h", 1, 0, 1), a_reference()
    name = Atom("name")
    alias_send = (ctl.ALIAS_SEND, pid, ref)
    for flags, control, expected in [
        (ALL, alias_send, (ctl.ALTACT_SIG_SEND, 4, pid, ref)),
        (without(Flag.ALTACT_SIG), alias_send, alias_send),
        (without(Flag.ALIAS), alias_send, None),
        (without(Flag.ALTACT_SIG), (ctl.ALTACT_SIG_SEND, 5, pid, ref), alias_send),
        (without(Flag.ALTACT_SIG), (ctl.ALTACT_SIG_SEND, 21, pid, ref), None),
        (
            without(Flag.ALTACT_SIG),
            (ctl.ALTACT_SIG_SEND, 9, pid, name),
            (ctl.REG_SEND, pid, UNUSED, name),
        ),
        (without(Flag.ALTACT_SIG, Flag.ALIAS), (ctl.ALTACT_SIG_SEND, 5, pid, ref), None),
        (
            without(Flag.ALTACT_SIG, Flag.SEND_SENDER),
            (ctl.ALTACT_SIG_SEND, 1, pid, pid),
            (ctl.SEND, UNUSED, pid),
        ),
        (without(Flag.DIST_MONITOR_NAME), (ctl.MONITOR_P, pid, name, ref), None),
        (
            without(Flag.DIST_MONITOR_NAME),
            (ctl.MONITOR_P, pid, pid, ref),
            (ctl.MONITOR_P, pid, pid, ref),
        ),
        (without(Flag.DIST_MONITOR), (ctl.DEMONITOR_P, pid, pid, ref), None),
        (without(Flag.SPAWN), (ctl.SPAWN_REQUEST, ref, pid, pid, (), []), None),
    ]:
        translation = dialect(flags).get(control[0])  # type: ignore[call-overload]
        found = (control, 1) if translation is None else translation(control, 1)
        assert found == (None if expected is None else (expected, 1))


def test_equal_peers_share_one_table() -> None:
    assert dialect(ALL) is dialect(ALL ^ Flag.FRAGMENTS)
    assert dialect(ALL) is not dialect(without(Flag.SPAWN))


def a_reference() -> object:
    """Some reference."""
    with EventLoop() as loop, Node("r@h", loop=loop, cookie="c") as node:
        return node.processes.numbers.new_reference()


def test_the_newest_peer_gets_the_newest_signals(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox()
    alias = peer.reference()
    box.send(alias, 1)
    box.send(alias, 2, priority=True)
    box.send(peer.pid(), 3, priority=True)
    assert peer.settle() == [
        ((ctl.ALTACT_SIG_SEND, 4, box.pid, alias), 1),
        ((ctl.ALTACT_SIG_SEND, 5, box.pid, alias), 2),
        ((ctl.SEND_SENDER, box.pid, peer.pid()), 3),
    ]
