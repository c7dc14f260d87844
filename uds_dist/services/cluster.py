"""What a visible node owes its peers: `global`, which they wait for, and `pg`, which they ask.

A BEAM counts every visible node among the members of its cluster. `global` then exchanges the
names that each side has registered, and as long as a member does not answer, `global:sync/0` hangs
on every peer, and a lock that is asked for everywhere is never given. So a visible node takes part
as a passive member: it answers every step, gives every lock, has no names of its own to tell, and
leaves conflicts of names to the others.

The exchange between A, a BEAM, and P, this node; TagA and TagP tell this exchange from others:

    A: init_connect(TagA)               P: init_connect(TagP), init_connect_ack
    A: init_connect_ack
    A: lock_set(true, TagP)             P: lock_set(true, TagA)
    A: exchange(names, TagP)            P: exchange([], TagA), resolved([], TagA)
    A: resolved(members, TagP)          P: in_sync, to A and to every member that says so
    A: in_sync                          P: connects to the members that it does not know

Each scope of `pg` sends its greeting to its namesake. A scope that is not there does not matter;
one that is answers with the groups it has members of. OTP 27 and 29 have different messages for later
changes, and the one's crash the other; what both take is the whole state anew.

Source: the modules global and pg of OTP 27 and 29, as observed; no document has this protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import randbits

from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.table import DOWN, Processes
from uds_dist.services.kernel import reply

GLOBAL_NAME_SERVER = "global_name_server"
GEN_CALL = Atom("$gen_call")
GEN_CAST = Atom("$gen_cast")
VERSION = 8  # of the exchange: that of OTP 25 and later
LOCKER = Atom("locker")
NO_LONGER_A_PID = Atom("no_longer_a_pid")
UNUSED = Atom("unused")
YES = Atom("yes")
OK = Atom("ok")


class GlobalNameServer:
    """The passive member of `global`.

    Args:
        processes: the node's process table.
        connect: connects to a node, if there is no connection yet.
        disconnect: closes the connection to a node.
    """

    def __init__(
        self,
        processes: Processes,
        connect: Callable[[str], object],
        disconnect: Callable[[str], object],
    ) -> None:
        self._node = processes.name
        self._connect = connect
        self._disconnect = disconnect
        # Node -> (its tag, this node's tag) of the exchange under way.
        self._tags: dict[str, tuple[object, int]] = {}
        self._in_sync: set[str] = set()
        self.process: Mailbox = processes.new_mailbox(
            GLOBAL_NAME_SERVER, self._on_message, trap_exit=True
        )
        self.process.system = True
        self._calls: dict[str, object] = {
            "set_lock": True,
            "del_lock": True,
            "register": YES,
            "register_ext": YES,
            "unregister": OK,
        }

    def node_down(self, node: str) -> None:
        """Forget the exchange with a node."""
        self._tags.pop(node, None)
        self._in_sync.discard(node)

    def _on_message(self, message: object) -> None:
        match message:
            case (label, tuple() as request) if label == GEN_CAST:
                self._on_cast(request)
            case (label, (Pid() as caller, tag), (str() as request, *_)) if label == GEN_CALL:
                if request in self._calls:
                    reply(self.process, caller, tag, self._calls[request])
            case ("cancel_connect", str() as node, _tag):
                self.node_down(node)
            case ("remove_connection", str() as node):
                # It waits for that: it has lost a member that this node is still connected to.
                self._disconnect(node)

    def _on_cast(self, request: tuple[object, ...]) -> None:
        match request:
            case ("init_connect", (_version, tag, *_), str() as node, _locker):
                self._init_connect(node, tag)
            case ("lock_set", Pid() as locker, True, _known, tag):
                self._answer(locker.node, tag, "lock_set", self.process.pid, True, [])
            case ("exchange", str() as node, _names, _external, tag):
                self._answer(node, tag, "exchange", self._node, [], [])
                self._answer(node, tag, "resolved", self._node, [], [], UNUSED, [])
            case ("resolved", str() as node, _operations, members, _unused, _external, _tag):
                self._tell_in_sync(node)
                if isinstance(members, list):
                    self._meet(members)
            case ("in_sync", str() as node, _is_true):
                self._tell_in_sync(node)

    def _init_connect(self, node: str, tag: object) -> None:
        own_tag = randbits(48)
        self._tags[node] = (tag, own_tag)
        self._in_sync.discard(node)
        known: dict[object, object] = {}
        locker = (LOCKER, NO_LONGER_A_PID, known, self.process.pid)
        self._cast(node, (Atom("init_connect"), (VERSION, own_tag), self._node, locker))
        server = (GLOBAL_NAME_SERVER, node)
        self.process.send(server, (Atom("init_connect_ack"), self._node, tag, own_tag))

    def _answer(self, node: str, tag: object, step: str, *fields: object) -> None:
        """Take the next step of an exchange, if it is the one under way."""
        peer_tag, own_tag = self._tags.get(node, (None, None))
        if own_tag is not None and own_tag == tag:
            self._cast(node, (Atom(step), *fields, peer_tag))

    def _tell_in_sync(self, node: str) -> None:
        if node not in self._in_sync:
            self._in_sync.add(node)
            self._cast(node, (Atom("in_sync"), self._node, True))

    def _meet(self, members: list[object]) -> None:
        """Connect to the members that are not known: a cluster is a full mesh."""
        for member in members:
            name = member[0] if isinstance(member, tuple) and member else member
            if isinstance(name, Atom) and name != self._node:
                self._connect(name)

    def _cast(self, node: str, request: tuple[object, ...]) -> None:
        self.process.send((GLOBAL_NAME_SERVER, node), (GEN_CAST, request))


class PgScope:
    """One scope of `pg`: process groups that every node of a cluster knows the members of.

    Args:
        processes: the node's process table.
        name: the scope.
    """

    def __init__(self, processes: Processes, name: str) -> None:
        self.process: Mailbox = processes.new_mailbox(name, self._on_message, trap_exit=True)
        self.process.system = True
        self._scope = name
        self._local: dict[object, list[Pid]] = {}
        self._remote: dict[Pid, dict[object, list[Pid]]] = {}  # by the peer's scope process
        self._watched: set[Pid] = set()

    def members(self, group: object) -> list[Pid]:
        """The members of a group, those here first."""
        found = list(self._local.get(group, []))
        for groups in self._remote.values():
            found += groups.get(group, [])
        return found

    def join(self, group: object, pid: Pid) -> None:
        """Make a process of this node a member, once more if it is one already."""
        self._local.setdefault(group, []).append(pid)
        if pid not in self._watched:
            self._watched.add(pid)
            self.process.monitor(pid)
        self._tell()

    def leave(self, group: object, pid: Pid) -> bool:
        """End one membership of a process.

        Returns:
            False when it is no member.
        """
        members = self._local.get(group, [])
        if pid not in members:
            return False
        members.remove(pid)
        if not members:
            del self._local[group]
        self._tell()
        return True

    def greet(self, node: str) -> None:
        """Say to a node that has come up that this scope is there."""
        self.process.send((self._scope, node), self._greeting())

    def _greeting(self) -> object:
        return (Atom("discover"), self.process.pid)

    def _on_message(self, message: object) -> None:
        match message:
            case ("discover", Pid() as scope, *_):
                self._meet(scope)
            case (label, ("sync", Pid() as scope, list() as groups)) if label == GEN_CAST:
                self._learn(scope, dict(entry for entry in groups if _is_pair(entry)))
            case (label, ("local_data", Pid() as scope, _version, dict() as groups)) if (
                label == GEN_CAST
            ):
                self._learn(scope, groups)
            case ("join", Pid() as scope, group, pids):
                self._add(scope, group, pids)
            case ("leave", Pid() as scope, pids, list() as groups):
                self._remove(scope, pids, groups)
            case (label, _ref, _process, Pid() as pid, _reason) if label == DOWN:
                self._gone(pid)

    def _meet(self, scope: Pid) -> None:
        new = scope not in self._remote
        if new:
            self._remote[scope] = {}
            self.process.monitor(scope)
            self.process.send(scope, self._greeting())
        self._sync(scope)

    def _learn(self, scope: Pid, groups: dict[object, list[Pid]]) -> None:
        if scope not in self._remote:
            self.process.monitor(scope)
        self._remote[scope] = {group: list(pids) for group, pids in groups.items()}

    def _add(self, scope: Pid, group: object, pids: object) -> None:
        if scope in self._remote:
            members = self._remote[scope].setdefault(group, [])
            members += _pids(pids)

    def _remove(self, scope: Pid, pids: object, groups: list[object]) -> None:
        known = self._remote.get(scope, {})
        for group in groups:
            for pid in _pids(pids):
                if pid in known.get(group, ()):
                    known[group].remove(pid)

    def _gone(self, pid: Pid) -> None:
        self._remote.pop(pid, None)
        if pid in self._watched:
            self._watched.discard(pid)
            for group in [group for group, pids in self._local.items() if pid in pids]:
                while self.leave(group, pid):
                    pass

    def _tell(self) -> None:
        for scope in self._remote:
            self._sync(scope)

    def _sync(self, scope: Pid) -> None:
        groups = [(group, list(pids)) for group, pids in self._local.items()]
        self.process.send(scope, (GEN_CAST, (Atom("sync"), self.process.pid, groups)))


def _pids(one_or_many: object) -> list[Pid]:
    many = one_or_many if isinstance(one_or_many, list) else [one_or_many]
    return [pid for pid in many if isinstance(pid, Pid)]


def _is_pair(entry: object) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], list)
