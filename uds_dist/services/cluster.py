"""A visible node's part in `global`: its peers wait for the answers.

A BEAM counts every visible node as a member of its cluster. `global` then exchanges the names that
each side has registered. While a member does not answer, `global:sync/0` hangs on every peer, and a
lock on all nodes is never granted. So a visible node takes part as a passive member: it answers
every step, grants every lock, registers no names, and leaves name conflicts to the others.

A peer may only report about itself: a step of the exchange in another node's name is dropped.

The exchange between A, a BEAM, and P, this node; TagA and TagP identify this exchange:

    A: init_connect(TagA)               P: init_connect(TagP), init_connect_ack
    A: init_connect_ack
    A: lock_set(true, TagP)             P: lock_set(true, TagA)
    A: exchange(names, TagP)            P: exchange([], TagA), resolved([], TagA)
    A: resolved(members, TagP)          P: in_sync, to A and to every member that says so
    A: in_sync                          P: connects to the members that it does not know

Source: the module global of OTP 27 and 29, as observed; the protocol is not documented.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbits

from uds_dist.config import Config
from uds_dist.errors import NodeNameError
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.names import GEN_CAST, OK, YES
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.protocol.node_names import split_node_name
from uds_dist.services.gen import is_large
from uds_dist.services.node_service import NodeService

GLOBAL_NAME_SERVER = "global_name_server"
VERSION = 8  # of the exchange, as in OTP 25 and later
LOCKER = Atom("locker")
NO_LONGER_A_PID = Atom("no_longer_a_pid")
UNUSED = Atom("unused")
# Messages that a passive member ignores.
UNHEEDED = frozenset(
    {
        "async_del_lock",
        "async_del_name",
        "init_connect_ack",
        "lock_set",
        "lost_connection",
        "new_nodes",
        "nodedown",
        "nodeup",
    }
)


class GlobalNameServer:
    """The passive member of `global`.

    Args:
        processes: the node's process table.
        config: `max_cluster_members` is used.
        connect: connects to a node, if there is no connection yet.
        disconnect: closes the connection to a node.
    """

    def __init__(
        self,
        processes: Processes,
        config: Config,
        connect: Callable[[str], object],
        disconnect: Callable[[str], object],
    ) -> None:
        self._node = processes.name
        self._connect = connect
        self._disconnect = disconnect
        self._max_members = config.max_cluster_members
        # Node -> (its tag, this node's tag) of the current exchange.
        self._tags: dict[str, tuple[object, int]] = {}
        self._in_sync: set[str] = set()
        # Node -> the members that it named and that this node connected to.
        self._met: dict[str, set[str]] = {}
        self._service = NodeService(processes, GLOBAL_NAME_SERVER, GLOBAL_NAME_SERVER, self._handle)
        self.process: Process = self._service.process
        self._calls: dict[str, object] = {
            "set_lock": True,
            "del_lock": True,
            "register": YES,
            "register_ext": YES,
            "unregister": OK,
        }

    def node_down(self, node: str) -> None:
        """Forget a node."""
        self._forget_exchange(node)
        self._met.pop(node, None)
        for met in self._met.values():
            met.discard(node)

    def _forget_exchange(self, node: str) -> None:
        self._tags.pop(node, None)
        self._in_sync.discard(node)

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (Atom("$gen_cast"), (Atom() as step, *fields)):
                return self._on_cast(node, step, fields) or step in UNHEEDED
            case (Atom("$gen_call"), (Pid() as caller, tag), (Atom() as request, *_)) if (
                request in self._calls
            ):
                return self._service.reply(node, caller, tag, self._calls[request])
            case (Atom("cancel_connect"), Atom() as named, _) if named == node:
                self._forget_exchange(node)
            case (Atom("remove_connection"), Atom() as named) if named == node:
                # The peer waits for this: it lost a member that this node is still connected to.
                self._disconnect(node)
            case (Atom() as step, *_):
                return step in UNHEEDED
            case _:
                return False
        return True

    def _on_cast(self, node: str, step: Atom, fields: list[object]) -> bool:
        """Take a step of the exchange; False if it is not a step, or is about another node."""
        match step, *fields:
            case ("init_connect", (_, tag, *_), Atom() as named, _) if (
                named == node and not is_large(tag)
            ):
                self._init_connect(node, tag)
            case ("lock_set", Pid() as locker, True, _, tag) if locker.node == node:
                self._answer(node, tag, "lock_set", self.process.pid, True, [])
            case ("exchange", Atom() as named, _, _, tag) if named == node:
                self._answer(node, tag, "exchange", self._node, [], [])
                self._answer(node, tag, "resolved", self._node, [], [], UNUSED, [])
            case ("resolved", Atom() as named, _, list() as members, _, _, tag) if named == node:
                if self._is_under_way(node, tag):
                    self._tell_in_sync(node)
                    self._meet(node, members)
            case ("in_sync", Atom() as named, _) if named == node:
                self._tell_in_sync(node)
            case _:
                return False
        return True

    def _init_connect(self, node: str, tag: object) -> None:
        own_tag = randbits(48)
        self._tags[node] = (tag, own_tag)
        self._in_sync.discard(node)
        known: dict[object, object] = {}
        locker = (LOCKER, NO_LONGER_A_PID, known, self.process.pid)
        self._cast(node, (Atom("init_connect"), (VERSION, own_tag), self._node, locker))
        server = (GLOBAL_NAME_SERVER, node)
        self._service.send(server, (Atom("init_connect_ack"), self._node, tag, own_tag))

    def _is_under_way(self, node: str, tag: object) -> bool:
        _peer_tag, own_tag = self._tags.get(node, (None, None))
        return own_tag is not None and type(tag) is int and own_tag == tag

    def _answer(self, node: str, tag: object, step: str, *fields: object) -> None:
        """Send the next step of an exchange, if it is the current one."""
        if self._is_under_way(node, tag):
            self._cast(node, (Atom(step), *fields, self._tags[node][0]))

    def _tell_in_sync(self, node: str) -> None:
        if node not in self._in_sync:
            self._in_sync.add(node)
            self._cast(node, (Atom("in_sync"), self._node, True))

    def _meet(self, node: str, members: list[object]) -> None:
        """Connect to unknown members: a cluster is a full mesh."""
        met = self._met.setdefault(node, set())
        for member in members:
            name = member[0] if isinstance(member, tuple) and member else member
            if not isinstance(name, Atom):
                self._service.complain(node, "a member that is not a node", member)
                continue
            if name == self._node or name in met:
                continue
            if len(met) >= self._max_members:
                self._service.complain(node, "more members than max_cluster_members", name)
                return
            try:
                split_node_name(name)
            except NodeNameError:
                self._service.complain(node, "a member that is not a node", name)
                continue
            met.add(name)
            self._connect(name)

    def _cast(self, node: str, request: tuple[object, ...]) -> None:
        self._service.send((GLOBAL_NAME_SERVER, node), (GEN_CAST, request))
