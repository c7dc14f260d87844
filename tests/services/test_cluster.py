"""`global` and `pg` as a BEAM uses them; tests/interop has a real BEAM."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import Message, ScriptedPeer
from uds_dist import EMPTY, Atom, ImproperList, Node, Pid
from uds_dist.protocol import control as ctl

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


def begin(peer: ScriptedPeer, tag: object = 11) -> object:
    """Begin an exchange; returns the node's tag of it."""
    here = Atom(peer.name)
    init, _ack = tell(peer, cast("init_connect", (8, tag), here, locker(peer.pid())))
    assert isinstance(init, tuple)
    return init[1][1][1]


def resolved(peer: ScriptedPeer, members: list[object], tag: object) -> object:
    return cast("resolved", Atom(peer.name), [], members, Atom("unused"), [], tag)


def test_the_members_that_are_not_known_are_connected_to(
    node: Node, member: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    third = make_peer("third@localhost")
    third.listen(folder)
    members: list[object] = [(Atom(third.name), 8), (Atom(member.name), 8)]
    tell(member, resolved(member, members, 1))
    assert not third.is_dialled()  # not the exchange that is under way
    tell(member, resolved(member, members, begin(member)))
    third.welcome()
    third.until(lambda: len(node.nodes()) == 2)
    assert tell(third, cast("in_sync", Atom(third.name), True)) == [
        cast("in_sync", Atom(node.name), True)
    ]


def test_a_peer_has_a_bounded_number_of_members_dialled(
    make_node: MakeNode, make_peer: MakePeer, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    losses: list[str] = []
    node = make_node(
        "v@localhost",
        hidden=False,
        max_cluster_members=3,
        on_down=lambda name, _error: losses.append(name),
    )
    member = make_peer("beam@localhost")
    member.connect(folder, node)
    tag = begin(member)
    for start in (0, 100, 200):
        names: list[object] = [(Atom(f"n{start + n}@localhost"), 8) for n in range(100)]
        tell(member, resolved(member, [*names, Atom("a b@c"), Atom(""), 5, b"x@y", ()], tag))
    member.until(lambda: len(losses) == 3)
    tell(member, cast("in_sync", Atom(member.name), True))
    assert losses == ["n0@localhost", "n1@localhost", "n2@localhost"]
    assert "max_cluster_members" in caplog.text
    assert node.nodes() == [member.name]


def test_a_peer_speaks_for_itself_only(
    node: Node, member: ScriptedPeer, make_peer: MakePeer, folder: str
) -> None:
    other = make_peer("other@localhost")
    other.connect(folder, node)
    tag = begin(other)
    name = Atom(other.name)
    for message in (
        cast("init_connect", (8, 5), name, locker(other.pid())),
        cast("lock_set", other.pid(), True, [], tag),
        cast("exchange", name, [], [], tag),
        cast("resolved", name, [], [(Atom("third@localhost"), 8)], Atom("unused"), [], tag),
        cast("in_sync", name, True),
        cast("init_connect", (8, 5), Atom("nobody@localhost"), locker(other.pid())),
        (Atom("cancel_connect"), name, tag),
        (Atom("remove_connection"), name),
    ):
        assert tell(member, message) == []
    assert other.settle() == []
    assert sorted(node.nodes()) == [member.name, other.name]
    assert tell(other, cast("lock_set", other.pid(), True, [], tag)) != []


def test_nothing_is_kept_of_a_member_that_is_gone(node: Node, member: ScriptedPeer) -> None:
    server = node._named().global_names
    assert server is not None
    tag = begin(member)
    tell(member, resolved(member, [(Atom("n1@localhost"), 8)], tag))
    assert server._tags and server._in_sync and server._met
    member.close()
    member.until(lambda: not (server._tags or server._in_sync or server._met))


def test_a_tag_that_is_large_is_not_kept(member: ScriptedPeer) -> None:
    here = Atom(member.name)
    assert tell(member, cast("init_connect", (8, bytes(5000)), here, locker(member.pid()))) == []


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
