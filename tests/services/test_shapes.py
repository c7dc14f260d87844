"""Messages to the node's own services with every field replaced by something else.

A peer may send any term anywhere. None may make `run_once` raise, end a service or the connection,
or fill the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.conftest import MakeNode, MakePeer
from uds_dist import (
    Atom,
    BitString,
    EventHandler,
    EventManager,
    Export,
    GenServer,
    ImproperList,
    Node,
    Pid,
    Reference,
)
from uds_dist.etf.terms import freeze
from uds_dist.protocol import control as ctl

HERE = Atom("beam@localhost")
PID = Pid(HERE, 5, 0, 7)
REF = Reference(HERE, 7, (1, 2, 3))
TAG = ImproperList((Atom("alias"),), REF)
CALL = Atom("$gen_call")
CAST = Atom("$gen_cast")
NONE: list[object] = []
MAP: dict[object, object] = {}
META = {Atom("pid"): PID, Atom("gl"): PID}
LOCKER = (Atom("locker"), Atom("no_longer_a_pid"), MAP, PID)
MFA = (Atom("m"), Atom("f"), NONE)


def deep(levels: int) -> object:
    term: object = NONE
    for _ in range(levels):
        term = [term]
    return term


ODD: list[object] = [
    5,
    -1,
    2**20_000,
    1.5,
    b"",
    b"is_auth",
    b"\xff",
    True,
    None,
    Atom(""),
    Atom("a b@c"),
    Atom("undefined"),
    Atom("third@localhost"),
    Pid("third@localhost", 1, 0, 7),
    Reference("third@localhost", 7, (1, 2, 3)),
    (),
    (1, 2, 3, 4, 5, 6, 7),
    [],
    [104, 105],
    [0xD800, 2**70],
    [(1, 2), (3,), 4],
    ImproperList((1,), 2),
    {},
    {b"a": [1]},
    {freeze([1]): freeze({1: [2]})},
    {1: 2, (1.0,): 3},
    Export(Atom("lists"), Atom("map"), 2),
    BitString(b"\x80", 1),
    deep(400),
]

# What is documented, by the name that it is sent to; None is the group leader.
DOCUMENTED: dict[str | None, list[object]] = {
    "net_kernel": [(CALL, (PID, TAG), (Atom("is_auth"), HERE))],
    "rex": [
        (CALL, (PID, TAG), (Atom("call"), Atom("m"), Atom("f"), NONE, PID)),
        (CALL, (PID, TAG), (Atom("block_call"), Atom("m"), Atom("f"), NONE, PID)),
        (CAST, (Atom("cast"), Atom("m"), Atom("f"), NONE, PID)),
        (PID, Atom("features_request")),
        (PID, (Atom("sbcast"), Atom("net_kernel"), (Atom("EXIT"), PID, 1))),
        (PID, (Atom("sbcast"), Atom("pg"), (Atom("discover"), PID))),
        (Atom("system"), (PID, TAG), Atom("get_status")),
        (Atom("system"), (PID, TAG), (Atom("debug"), (Atom("trace"), True))),
        (Atom("system"), (PID, TAG), (Atom("replace_state"), PID)),
    ],
    "logger_proxy": [
        (Atom("log"), Atom("error"), b"~p", [1], META),
        (Atom("log"), Atom("error"), b"text", META),
        (Atom("log"), Atom("error"), [(Atom("a"), 1)], META),
        (Atom("log"), Atom("error"), {Atom("label"): 1}, META),
    ],
    "global_name_server": [
        (CAST, (Atom("init_connect"), (8, 11), HERE, LOCKER)),
        (CAST, (Atom("lock_set"), PID, True, NONE, 1)),
        (CAST, (Atom("exchange"), HERE, NONE, NONE, 1)),
        (CAST, (Atom("resolved"), HERE, NONE, [(HERE, 8)], Atom("unused"), NONE, 1)),
        (CAST, (Atom("in_sync"), HERE, True)),
        (CALL, (PID, TAG), (Atom("set_lock"), (Atom("global"), [PID]))),
        (Atom("init_connect_ack"), HERE, 1, 2),
        (Atom("cancel_connect"), HERE, 1),
    ],
    "pg": [
        (Atom("discover"), PID, 1),
        (CAST, (Atom("sync"), PID, [(Atom("g"), [PID])])),
        (CAST, (Atom("local_data"), PID, 1, {Atom("g"): [PID]})),
        (Atom("join"), PID, Atom("g"), [PID]),
        (Atom("leave"), PID, [PID], [Atom("g")]),
        (Atom("DOWN"), REF, Atom("process"), PID, Atom("x")),
    ],
    "plain": [
        (CALL, (PID, TAG), 1),
        (CAST, 1),
        (Atom("system"), (PID, TAG), Atom("get_state")),
        (Atom("system"), (PID, TAG), (Atom("replace_state"), Export(Atom("m"), Atom("f"), 1))),
        (Atom("system"), (PID, TAG), (Atom("debug"), (Atom("remove"), 1))),
    ],
    "events": [
        (Atom("notify"), 1),
        (PID, (PID, TAG), (Atom("sync_notify"), 1)),
        (PID, (PID, TAG), Atom("which_handlers")),
        (PID, (PID, TAG), (Atom("call"), Atom("h"), 1)),
        (PID, (PID, TAG), (Atom("delete_handler"), Atom("x"), NONE)),
    ],
    "tasks": [
        (CALL, (PID, TAG), (Atom("start_task"), [(HERE, PID, PID), Atom("monitor")], None, None)),
        (CALL, (PID, TAG), (Atom("start_task"), [(HERE, PID, PID), [PID], MFA], None, None)),
        (CALL, (PID, TAG), (Atom("terminate_child"), PID)),
        (CALL, (PID, TAG), Atom("which_children")),
    ],
    None: [
        (Atom("io_request"), PID, REF, (Atom("put_chars"), Atom("unicode"), b"text")),
        (Atom("io_request"), PID, REF, (Atom("put_chars"), Atom("latin1"), [104, [105]])),
        (
            Atom("io_request"),
            PID,
            REF,
            (Atom("put_chars"), Atom("unicode"), Atom("io_lib"), Atom("format"), [b"~p", [1]]),
        ),
        (
            Atom("io_request"),
            PID,
            REF,
            (Atom("requests"), [(Atom("requests"), [(Atom("put_chars"), b"x")]), Atom("getopts")]),
        ),
        (Atom("io_request"), PID, REF, (Atom("get_until"), Atom("unicode"), b"> ", *MFA)),
        (Atom("io_request"), PID, REF, (Atom("setopts"), [(Atom("binary"), True)])),
    ],
}


def variants(term: object, levels: int = 5) -> Iterator[object]:
    """A term with each of its parts replaced by each odd one, and with fields added and missing."""
    yield from ODD
    if levels == 0 or not isinstance(term, (tuple, list, dict)):
        return
    if isinstance(term, dict):
        for key, value in term.items():
            yield from ({**term, key: changed} for changed in variants(value, levels - 1))
        return
    kind = type(term)
    for index, part in enumerate(term):
        for changed in variants(part, levels - 1):
            yield kind((*term[:index], changed, *term[index + 1 :]))
    yield kind(term[:-1])
    yield kind((*term, 1))


class Handler(EventHandler):
    """Answers with its requests."""

    def handle_call(self, query: object) -> object:
        return query


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node that serves everything that the library has."""
    made = make_node("v@localhost", hidden=False)
    made.pg()
    made.serve("plain", GenServer())
    manager = EventManager()
    manager.add_handler("h", Handler())
    made.serve("events", manager)
    made.serve_tasks("tasks")
    made.output = lambda text: text.encode()  # fails for half a surrogate pair
    return made


@pytest.mark.parametrize("name", DOCUMENTED)
def test_nothing_comes_of_a_wrong_shape(
    node: Node,
    make_peer: MakePeer,
    folder: str,
    caplog: pytest.LogCaptureFixture,
    name: str | None,
) -> None:
    caplog.set_level(logging.DEBUG, "uds_dist")
    peer = make_peer("beam@localhost")
    peer.connect(folder, node)
    leader = node.processes.find(node.pid)
    assert leader is not None and leader.group_leader is not None
    living = {process: process.name for process in node.processes.by_pid.values()}
    for documented in DOCUMENTED[name]:
        for message in variants(documented):
            if name is None:
                control: tuple[object, ...] = (ctl.SEND_SENDER, PID, leader.group_leader)
            else:
                control = (ctl.REG_SEND, PID, Atom(""), Atom(name))
            peer.send(control, message)
        peer.settle()  # it answers pings: run_once has raised nothing
    assert peer.name in node.nodes()
    for process, registered in living.items():
        assert process.alive and process.name == registered
        assert node.processes.find(process.pid) is process
    lines = [record for record in caplog.records if record.name != "uds_dist.remote"]
    assert len(lines) < 100
    assert all(len(record.getMessage()) < 700 for record in lines)


ESSENTIAL = ["net_kernel", "rex", "logger_proxy", "global_name_server", "pg", "leader", "own"]


def essential(node: Node, name: str) -> Pid:
    """The pid of a process that the node needs."""
    own = node.processes.find(node.pid)
    assert own is not None and own.group_leader is not None
    pid = {"own": own.pid, "leader": own.group_leader}.get(name) or node.whereis(name)
    assert pid is not None
    return pid


@pytest.mark.parametrize("name", ESSENTIAL)
def test_no_signal_of_a_peer_ends_what_the_node_needs(
    node: Node, make_peer: MakePeer, folder: str, name: str
) -> None:
    peer = make_peer("beam@localhost")
    peer.connect(folder, node)
    pid = essential(node, name)
    process = node.processes.find(pid)
    assert process is not None
    leader = process.group_leader
    for reason in (Atom("kill"), Atom("killed"), Atom("normal"), Atom("boom"), (1, 2)):
        peer.send((ctl.EXIT2, peer.pid(), pid, reason))
        peer.send((ctl.PAYLOAD_EXIT2, peer.pid(), pid), reason)
        flags = int(ctl.AltactFlag.EXIT | ctl.AltactFlag.PRIO)
        peer.send((ctl.ALTACT_SIG_SEND, flags, peer.pid(), pid), reason)
        peer.send((ctl.LINK, peer.pid(), pid))
        peer.send((ctl.PAYLOAD_EXIT, peer.pid(), pid), reason)
    peer.send((ctl.GROUP_LEADER, peer.pid(), pid))
    for number, request in enumerate(
        (
            Atom("suspend"),
            (Atom("terminate"), Atom("normal")),
            (Atom("replace_state"), Export(Atom("m"), Atom("f"), 1)),
        )
    ):
        tag = ImproperList((Atom("alias"),), Reference(HERE, 7, (number, 5, 6)))
        peer.tell(pid, (Atom("system"), (PID, tag), request))
    peer.send((ctl.LINK, peer.pid(), pid))
    answers = [payload for _, payload in peer.settle() if isinstance(payload, tuple)]
    if name == "rex":
        refused = (Atom("error"), Atom("system_process"))
        assert [answer[1] for answer in answers].count(refused) == 3
    peer.close()
    peer.until(lambda: not node.nodes())
    assert process.alive and node.processes.find(pid) is process
    assert process.group_leader == leader
    peer.connect(folder, node)  # and it does its work
    if name == "rex":
        tag = ImproperList((Atom("alias"),), REF)
        call = (Atom("call"), Atom("m"), Atom("f"), NONE, PID)
        peer.tell(pid, (CALL, (PID, tag), call))
        assert any(payload[0] == tag for _, payload in peer.settle() if isinstance(payload, tuple))
