"""`pg` as a BEAM uses it; tests/interop has a real BEAM."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from uds_dist import Atom, ConfigError, EncodeError, Node, Pid
from uds_dist.etf.terms import freeze
from uds_dist.protocol import control as ctl
from uds_dist.services.pg import PgScope

CAST = Atom("$gen_cast")
SYNC = Atom("sync")
WORKERS = [ord(character) for character in "workers"]  # "workers" of Erlang
GROUPS: list[object] = [
    Atom("group"),
    WORKERS,
    b"workers",
    {Atom("kind"): WORKERS},
    {1: 2, 1.0: [3]},
    [],
    {},
    [[[{(): []}]]],
    1,
    1.0,
    True,
    None,
    (Atom("t"), [1]),
    2**20_000,
]


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


@pytest.fixture
def scope(node: Node, member: ScriptedPeer) -> PgScope:
    """The node's scope, which has met process 5 of the peer."""
    made = node.pg()
    member.tell(made._scope.process.pid, (Atom("discover"), member.pid(5), 1))
    settle(member)
    return made


def settle(peer: ScriptedPeer) -> list[tuple[object, object]]:
    """What the node sends, the state that it tells at the end of a round included."""
    found = peer.settle() + peer.settle()
    return [(control[0], payload) for control, payload in found]


def states(peer: ScriptedPeer) -> list[Any]:
    """The states that the node tells."""
    told: list[Any] = [payload for _, payload in settle(peer)]
    return [payload[1][2] for payload in told if payload[0] == CAST]


def sync(scope: Pid, groups: object) -> object:
    return (CAST, (SYNC, scope, groups))


def test_a_scope_meets_its_namesake(node: Node, member: ScriptedPeer) -> None:
    scope = node.pg()
    assert node.pg() is scope
    box = node.mailbox()
    group = Atom("group")
    scope.join(group, box.pid)
    greeting = (Atom("discover"), scope._scope.process.pid)
    assert [payload for _, payload in settle(member)] == [greeting]

    member.tell(scope._scope.process.pid, (Atom("discover"), member.pid(5), 1))
    synced = sync(scope._scope.process.pid, [(group, [box.pid])])
    found = settle(member)
    assert [op for op, _ in found] == [ctl.MONITOR_P, ctl.SEND_SENDER, ctl.SEND_SENDER]
    assert [payload for _, payload in found[1:]] == [greeting, synced]
    member.tell(scope._scope.process.pid, (Atom("discover"), member.pid(5)))
    assert settle(member) == [(ctl.SEND_SENDER, synced)]

    theirs = [member.pid(6), member.pid(7)]
    member.tell(scope._scope.process.pid, sync(member.pid(5), [(group, theirs[:1])]))
    member.settle()
    assert scope.members(group) == [box.pid, theirs[0]]
    told = (Atom("local_data"), member.pid(5), 1, {group: theirs})
    member.tell(scope._scope.process.pid, (CAST, told))
    member.tell(scope._scope.process.pid, (Atom("join"), member.pid(5), group, theirs[1]))
    member.tell(scope._scope.process.pid, (Atom("leave"), member.pid(5), theirs[0], [group]))
    member.settle()
    assert scope.members(group) == [box.pid, theirs[1], theirs[1]]

    box.close()
    settle(member)
    assert scope.members(group) == [theirs[1]] * 2
    member.close()
    member.until(lambda: scope.members(group) == [])


def test_membership_counts_and_its_changes_are_told(
    node: Node, member: ScriptedPeer, scope: PgScope
) -> None:
    box = node.mailbox()
    pid = box.pid
    for change, told in (
        (scope.join, [(1, [pid])]),
        (scope.join, [(1, [pid, pid])]),
        (scope.leave, [(1, [pid])]),
        (scope.leave, []),
    ):
        assert change(1, pid) is not False
        assert states(member) == [told]
    assert not scope.leave(1, pid) and scope.members(1) == []


def test_the_state_is_told_once_a_round(node: Node, member: ScriptedPeer, scope: PgScope) -> None:
    box = node.mailbox()
    for number in range(100):
        scope.join(number, box.pid)
    assert [len(state) for state in states(member)] == [100]
    discover = b"".join(
        member.frames_of((ctl.SEND_SENDER, member.pid(5), scope._scope.process.pid), payload)[0]
        for payload in [(Atom("discover"), member.pid(5))] * 50
    )
    member.write(discover)
    assert len(states(member)) <= 3  # by how many reads the 50 came


@pytest.mark.parametrize("group", GROUPS, ids=[str(n) for n in range(len(GROUPS))])
@pytest.mark.parametrize("how", ["sync", "local_data", "join"])
def test_a_group_is_any_term(
    node: Node, member: ScriptedPeer, scope: PgScope, group: object, how: str
) -> None:
    theirs = member.pid(6)
    told: object = (Atom("join"), member.pid(5), group, [theirs])
    if how == "sync":
        told = sync(member.pid(5), [(group, [theirs])])
    elif how == "local_data":
        told = (CAST, (Atom("local_data"), member.pid(5), 1, {freeze(group): [theirs]}))
    member.tell(scope._scope.process.pid, told)
    member.settle()
    assert scope.members(group) == [theirs]
    box = node.mailbox()
    scope.join(group, box.pid)
    assert scope.members(group) == [box.pid, theirs]
    (found,) = scope.groups()
    assert found == group and type(found) is type(group)
    assert states(member) == [[(group, [box.pid])]]
    assert scope.leave(group, box.pid) and scope.members(group) == [theirs]
    member.tell(scope._scope.process.pid, (Atom("leave"), member.pid(5), [theirs], [group]))
    member.settle()
    assert scope.groups() == []


def test_groups_are_told_apart_as_erlang_does(node: Node) -> None:
    scope = node.pg()
    pids = {}
    for group in (1, 1.0, True, Atom("true?"), "a", Atom("a"), [97]):
        pids[repr(group)] = node.mailbox().pid
        scope.join(group, pids[repr(group)])
    assert scope.members(1) == [pids["1"]]
    assert scope.members(1.0) == [pids["1.0"]]
    assert scope.members(True) == [pids["True"]]
    assert scope.members(b"a") == scope.members("a") == [pids["'a'"]]
    assert scope.members(Atom("a")) == [pids["Atom('a')"]]
    assert len(scope.groups()) == 7


def test_what_cannot_join(node: Node, member: ScriptedPeer) -> None:
    scope = node.pg()
    with pytest.raises(ConfigError, match="not a process of this node"):
        scope.join(1, member.pid())
    with pytest.raises(EncodeError):
        scope.join(object(), node.mailbox().pid)
    assert scope.groups() == []


def test_a_peer_tells_of_its_own_processes_by_its_own_scope(
    node: Node, member: ScriptedPeer, scope: PgScope, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Pid("third@localhost", 5, 0, 7)
    own = node.mailbox().pid
    to = scope._scope.process.pid
    group = Atom("g")
    for message in (
        (Atom("discover"), stranger),
        sync(stranger, [(group, [stranger])]),
        (CAST, (Atom("local_data"), stranger, 1, {group: [stranger]})),
        (Atom("join"), member.pid(5), group, stranger),
        (Atom("join"), member.pid(5), group, [member.pid(6), own]),
        (Atom("join"), member.pid(99), group, member.pid(6)),
        sync(member.pid(5), [(group, [stranger])]),
        (Atom("DOWN"), member.reference(), Atom("process"), member.pid(5), Atom("x")),
    ):
        member.tell(to, message)
    settle(member)
    assert scope.members(group) == [] and node.nodes() == [member.name]
    assert "which is dropped" in caplog.text
    member.tell(to, (Atom("join"), member.pid(5), group, member.pid(6)))
    member.settle()
    assert scope.members(group) == [member.pid(6)]


def test_a_peer_has_one_scope_process_at_a_time(
    node: Node, member: ScriptedPeer, scope: PgScope
) -> None:
    for number in range(10, 200):
        member.tell(scope._scope.process.pid, (Atom("discover"), member.pid(number)))
        member.tell(
            scope._scope.process.pid, (Atom("join"), member.pid(number), b"g", member.pid(number))
        )
    member.settle()
    assert scope.members(b"g") == [member.pid(199)]
    assert node.statistics().monitors == 1


def test_what_a_peer_tells_is_bounded(
    make_node: MakeNode, make_peer: MakePeer, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    node = make_node("v@localhost", hidden=False, max_group_size=10_000)
    member = make_peer("beam@localhost")
    member.connect(folder, node)
    scope = node.pg()
    to = scope._scope.process.pid
    member.tell(to, (Atom("discover"), member.pid(5)))
    for number in range(50):
        member.tell(to, (Atom("join"), member.pid(5), (number, bytes(5000)), member.pid(number)))
        member.tell(to, (Atom("join"), member.pid(5), b"g", [member.pid(n) for n in range(500)]))
    member.settle()
    other = scope._scope.others[member.name]
    assert other.groups.size <= 10_000 and len(scope.groups()) == 2
    assert 1 <= len(scope.members(b"g")) <= 10_000 // 64
    assert "max_group_size" in caplog.text and len(caplog.records) <= 10
    member.tell(to, sync(member.pid(5), []))
    member.settle()
    assert other.groups.size == 0 and scope.groups() == []


def test_leaving_costs_what_was_sent(member: ScriptedPeer, scope: PgScope) -> None:
    to = scope._scope.process.pid
    pids = [member.pid(number) for number in range(3000)]
    groups = [(number, pids[:1]) for number in range(3000)]
    member.tell(to, sync(member.pid(5), [(b"g", pids), *groups]))
    member.tell(to, (Atom("leave"), member.pid(5), pids, [n for n in range(3000)]))
    member.settle()
    assert len(scope.groups()) == 3001  # many leave many: no pg says that
    member.tell(to, (Atom("leave"), member.pid(5), pids, [b"g"]))
    member.tell(to, (Atom("leave"), member.pid(5), pids[0], [n for n in range(3000)]))
    member.settle()
    assert scope.groups() == []


def test_a_scope_of_a_taken_name_is_refused(node: Node) -> None:
    with pytest.raises(ConfigError, match="taken"):
        node.pg("rex")
    with pytest.raises(ConfigError, match="taken"):
        node.pg("rex")
