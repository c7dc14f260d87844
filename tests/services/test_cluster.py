"""`global` and `pg` as a BEAM leads them; tests/interop has the BEAM itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scripted import Message, ScriptedPeer
from uds_dist import EMPTY, Atom, ImproperList, Node, Pid
from uds_dist.protocol import control as ctl

MakeNode = Callable[..., Node]
MakePeer = Callable[..., ScriptedPeer]

GLOBAL = Atom("global_name_server")
CAST = Atom("$gen_cast")


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A visible node."""
    return make_node("v@localhost", hidden=False)


@pytest.fixture
def member(make_peer: MakePeer, node: Node, folder: str) -> ScriptedPeer:
    """A BEAM's part, by hand."""
    made = make_peer("beam@localhost")
    made.connect(folder, node)
    return made


def tell(peer: ScriptedPeer, message: object, name: str = GLOBAL) -> list[object]:
    """Send a message to a name; returns what the node sends to the same name."""
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom(name)), message)
    return [answer for answer in map(to_name(name), peer.settle()) if answer is not EMPTY]


def to_name(name: str) -> Callable[[Message], object]:
    return lambda m: m[1] if m[0][0] == ctl.REG_SEND and m[0][3] == name else EMPTY


def cast(*request: object) -> object:
    return (CAST, (Atom(str(request[0])), *request[1:]))


def locker(pid: Pid) -> object:
    return (Atom("locker"), Atom("no_longer_a_pid"), {}, pid)


def test_the_whole_exchange(node: Node, member: ScriptedPeer) -> None:
    here, there = Atom(node.name), Atom(member.name)
    answers = tell(member, cast("init_connect", (8, 11), there, locker(member.pid())))
    (own_init, own_ack) = answers
    assert isinstance(own_init, tuple) and isinstance(own_ack, tuple)
    _label, (step, (version, tag), name, own_locker) = own_init
    assert (step, version, name) == ("init_connect", 8, here)
    locker_pid = own_locker[3]
    assert locker_pid.node == here and own_locker == locker(locker_pid)
    assert own_ack == (Atom("init_connect_ack"), here, 11, tag)
    assert tell(member, (Atom("init_connect_ack"), there, tag, 11)) == []
    for request in ("set_lock", "del_lock"):
        assert call(member, (Atom(request), (Atom("global"), [member.pid()]))) is True
    assert tell(member, cast("lock_set", member.pid(), True, [], tag)) == [
        cast("lock_set", locker_pid, True, [], 11)
    ]
    names = [(Atom("name"), member.pid(), Atom("random_exit_name"))]
    assert tell(member, cast("exchange", there, names, [], tag)) == [
        cast("exchange", here, [], [], 11),
        cast("resolved", here, [], [], Atom("unused"), [], 11),
    ]
    unused = Atom("unused")
    resolved = cast("resolved", there, [], [(there, 8), (here, 8)], unused, [], tag)
    assert tell(member, resolved) == [cast("in_sync", here, True)]
    assert tell(member, cast("in_sync", there, True)) == []  # told already


def call(peer: ScriptedPeer, request: object) -> object:
    tag = ImproperList((Atom("alias"),), peer.reference())
    control = (ctl.REG_SEND, peer.pid(), Atom(""), GLOBAL)
    peer.send(control, (Atom("$gen_call"), (peer.pid(), tag), request))
    ((_control, payload),) = peer.settle()
    assert isinstance(payload, tuple) and payload[0] == tag
    return payload[1]


def test_names_are_agreed_to(member: ScriptedPeer) -> None:
    name, pid, method = Atom("n"), member.pid(), Atom("random_exit_name")
    assert call(member, (Atom("register"), name, pid, method)) == "yes"
    assert call(member, (Atom("register_ext"), name, pid, method, Atom(member.name))) == "yes"
    assert call(member, (Atom("unregister"), name)) == "ok"


def test_steps_of_another_exchange_are_ignored(member: ScriptedPeer) -> None:
    there = Atom(member.name)
    assert tell(member, cast("exchange", there, [], [], 99)) == []
    assert tell(member, cast("lock_set", member.pid(), True, [], 99)) == []
    tell(member, cast("init_connect", (8, 11), there, locker(member.pid())))
    assert tell(member, cast("exchange", there, [], [], 99)) == []
    assert tell(member, (Atom("cancel_connect"), there, 1)) == []
    for nonsense in (1, cast("nonsense"), (CAST, 1), (Atom("$gen_call"), 1, 2), ()):
        assert tell(member, nonsense) == []


def test_the_members_that_are_not_known_are_connected_to(
    node: Node, member: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    third = make_peer("third@localhost")
    third.listen(folder)
    members = [(Atom(third.name), 8), (Atom(member.name), 8)]
    resolved = cast("resolved", Atom(member.name), [], members, Atom("unused"), [], 1)
    tell(member, resolved)
    third.welcome()
    third.until(lambda: len(node.nodes()) == 2)
    assert tell(third, cast("in_sync", Atom(third.name), True)) == [
        cast("in_sync", Atom(node.name), True)
    ]


def test_a_member_that_is_to_go_goes(node: Node, member: ScriptedPeer) -> None:
    member.send(
        (ctl.REG_SEND, member.pid(), Atom(""), GLOBAL),
        (Atom("remove_connection"), Atom(member.name)),
    )
    assert member.is_gone() and node.nodes() == []


def test_global_cannot_be_killed(member: ScriptedPeer, node: Node) -> None:
    pid = node.whereis(GLOBAL)
    member.send((ctl.PAYLOAD_EXIT2, member.pid(), pid), Atom("kill"))
    assert call(member, (Atom("set_lock"), 1)) is True


# --- pg -------------------------------------------------------------------------------------------


def test_a_scope_meets_its_namesake(node: Node, member: ScriptedPeer) -> None:
    scope = node.pg()
    assert node.pg() is scope
    box = node.mailbox()
    scope.join(Atom("group"), box.pid)
    greeting = (Atom("discover"), scope.process.pid)
    assert [payload for _, payload in member.settle()] == [greeting]
    group = Atom("group")

    def answers() -> list[tuple[object, ...]]:
        return [(control[0], payload) for control, payload in member.settle()]

    member.tell(scope.process.pid, (Atom("discover"), member.pid(5), 1))
    synced = (CAST, (Atom("sync"), scope.process.pid, [(group, [box.pid])]))
    found = answers()
    assert [op for op, _ in found] == [ctl.MONITOR_P, ctl.SEND_SENDER, ctl.SEND_SENDER]
    assert [payload for _, payload in found[1:]] == [greeting, synced]
    member.tell(scope.process.pid, (Atom("discover"), member.pid(5)))
    assert answers() == [(ctl.SEND_SENDER, synced)]

    theirs = [member.pid(6), member.pid(7)]
    member.tell(scope.process.pid, (CAST, (Atom("sync"), member.pid(5), [(group, theirs[:1])])))
    member.settle()
    assert scope.members(group) == [box.pid, theirs[0]]
    member.tell(scope.process.pid, (CAST, (Atom("local_data"), member.pid(5), 1, {group: theirs})))
    member.tell(scope.process.pid, (Atom("join"), member.pid(5), group, theirs[1]))
    member.tell(scope.process.pid, (Atom("leave"), member.pid(5), theirs[0], [group]))
    member.settle()
    assert scope.members(group) == [box.pid, theirs[1], theirs[1]]

    box.close()
    member.settle()
    assert scope.members(group) == [theirs[1]] * 2
    member.close()
    member.until(lambda: scope.members(group) == [])


def test_membership_counts_and_its_changes_are_told(node: Node, member: ScriptedPeer) -> None:
    scope = node.pg("scope")
    member.tell(scope.process.pid, (Atom("discover"), member.pid(5)))
    member.settle()
    box = node.mailbox()
    scope.join(1, box.pid)
    scope.join(1, box.pid)
    assert scope.leave(1, box.pid) and scope.members(1) == [box.pid]
    assert scope.leave(1, box.pid) and not scope.leave(1, box.pid)
    told = [payload[1][2] for _, payload in member.settle() if isinstance(payload, tuple)]
    pid = box.pid
    assert told == [[(1, [pid])], [(1, [pid, pid])], [(1, [pid])], []]
