"""`pg`: process groups whose members every visible node of a cluster knows.

Each scope of `pg` is a process with the scope's name. When a node connects, the scope greets the
process of the same name there, which answers with its groups and their members. OTP 27 and 29 send
later changes in different messages, which crash each other, but both accept the whole state again.

A group is any term. A Python str is a binary; an Erlang string, as in ``pg:join("workers", Pid)``,
is a list of code points. Groups are compared like Erlang terms, so ``1`` and ``1.0`` are different.

A peer may report only processes of its own node, through one scope process at a time, and
`Config.max_group_size` bounds its report.

Source: the module pg of OTP 27 and 29, as observed; the protocol is not documented.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from uds_dist.config import Config
from uds_dist.errors import ConfigError
from uds_dist.etf.terms import Atom, Map, Pid, Reference, exact_key
from uds_dist.processes.names import GEN_CAST
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.node_service import NodeService
from uds_dist.services.outcome import encoded_size

MEMBER_SIZE = 64  # bytes counted for one membership


class Group:
    """One group's members on one node, and how many times each has joined."""

    __slots__ = ("pids", "size", "term")

    def __init__(self, term: object, size: int) -> None:
        self.term = term
        self.size = size
        self.pids: dict[Pid, int] = {}

    def members(self) -> list[Pid]:
        """The members, each repeated as often as it has joined."""
        return [pid for pid, count in self.pids.items() for _ in range(count)]

    def leave(self, pid: Pid) -> bool:
        """End one membership; False when there is none."""
        count = self.pids.get(pid, 0)
        if count > 1:
            self.pids[pid] = count - 1
        elif count:
            del self.pids[pid]
        return count > 0


class Groups:
    """The groups with members on one node, and the memory that they take."""

    def __init__(self, max_size: int | None = None) -> None:
        self.by_key: dict[bytes, Group] = {}
        self.size = 0
        self._max_size = max_size

    def join(self, term: object, pids: Iterable[Pid]) -> bool:
        """Add members; False when there is no room for all of them."""
        key = exact_key(term)
        group = self.by_key.get(key)
        if group is None:
            group = Group(term, encoded_size(term))
            if not self._has_room(group.size):
                return False
            self.by_key[key] = group
            self.size += group.size
        room = True
        for pid in pids:
            room = self._has_room(MEMBER_SIZE)
            if not room:
                break
            self.size += MEMBER_SIZE
            group.pids[pid] = group.pids.get(pid, 0) + 1
        self._drop_if_empty(key, group)
        return room

    def _has_room(self, size: int) -> bool:
        return self._max_size is None or self.size + size <= self._max_size

    def leave(self, key: bytes, pid: Pid) -> bool:
        """End one membership of the group with an `exact_key`; False when there is none."""
        group = self.by_key.get(key)
        if group is None or not group.leave(pid):
            return False
        self.size -= MEMBER_SIZE
        self._drop_if_empty(key, group)
        return True

    def _drop_if_empty(self, key: bytes, group: Group) -> None:
        if not group.pids:
            del self.by_key[key]
            self.size -= group.size

    def members(self, key: bytes) -> list[Pid]:
        """The members of the group with an `exact_key`."""
        group = self.by_key.get(key)
        return [] if group is None else group.members()


class Namesake:
    """The same scope on another node: its process, the monitor of it, and its groups."""

    __slots__ = ("groups", "monitor", "pid")

    def __init__(self, pid: Pid, monitor: Reference, groups: Groups) -> None:
        self.pid = pid
        self.monitor = monitor
        self.groups = groups


class ScopeProcess:
    """The process of one scope, and what it and its namesakes on other nodes tell each other.

    Args:
        processes: the node's process table.
        config: `max_group_size` is used.
        name: the scope.
    Raises:
        ConfigError: the name is taken by another process.
    """

    def __init__(self, processes: Processes, config: Config, name: str) -> None:
        self._loop = processes.loop
        self._processes = processes
        self._max_size = config.max_group_size
        self._service = NodeService(processes, name, f"the pg scope {name}", self._handle)
        self.process: Process = self._service.process
        self._scope = name
        self.local = Groups()  # the members on this node
        self._watched: dict[Pid, set[bytes]] = {}  # members here -> the keys of their groups
        self.others: dict[str, Namesake] = {}  # by node
        self._unsynced: set[str] = set()  # nodes that get the state at the round's end
        self._without_room: set[str] = set()  # nodes that get it once their write queue is low

    def watch(self, pid: Pid, key: bytes) -> None:
        """Note a member, whose end is the end of its memberships."""
        keys = self._watched.get(pid)
        if keys is None:
            keys = self._watched[pid] = set()
            self._processes.monitor(self.process, pid)
        keys.add(key)

    def greet(self, node: str) -> None:
        """Tell a newly connected node that this scope exists."""
        self._service.send((self._scope, node), self._greeting())

    # -- messages from other nodes ---------------------------------------------------------

    def _greeting(self) -> object:
        return (Atom("discover"), self.process.pid)

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (Atom("discover"), Pid() as scope, *_) if scope.node == node:
                self._meet(node, scope)
            case (
                Atom("$gen_cast"),
                (Atom("sync"), Pid() as scope, list() as groups),
            ) if scope.node == node:
                return self._learn(node, scope, groups)
            case (
                Atom("$gen_cast"),
                (Atom("local_data"), Pid() as scope, _, (dict() | Map()) as told),
            ) if scope.node == node:
                return self._learn(node, scope, list(told.items()))
            case (Atom("join"), Pid() as scope, group, pids) if scope.node == node:
                return self._joined(node, scope, group, pids)
            case (Atom("leave"), Pid() as scope, pids, list() as left) if scope.node == node:
                return self._left(node, scope, pids, left)
            case (Atom("DOWN"), Reference() as ref, _, Pid() as pid, _) if (
                node == self._processes.name
            ):
                self._gone(pid, ref)
            case _:
                return False
        return True

    def _meet(self, node: str, scope: Pid) -> None:
        other = self.others.get(node)
        if other is None or other.pid != scope:
            self._take(node, scope)
            self._service.send(scope, self._greeting())
        self._sync_soon(node)

    def _take(self, node: str, scope: Pid) -> Namesake:
        """The namesake on a node, with its current process."""
        other = self.others.get(node)
        if other is None or other.pid != scope:
            if other is not None:
                self._processes.demonitor(self.process, other.monitor, flush=True)
            monitor = self._processes.monitor(self.process, scope)
            other = self.others[node] = Namesake(scope, monitor, Groups(self._max_size))
        return other

    def _learn(self, node: str, scope: Pid, told: list[object]) -> bool:
        other = self._take(node, scope)
        other.groups = Groups(self._max_size)
        good = True
        for entry in told:
            match entry:
                case (group, list() as pids):
                    good &= self._joined(node, scope, group, pids)
                case _:
                    good = False
        return good

    def _joined(self, node: str, scope: Pid, group: object, pids: object) -> bool:
        other = self.others.get(node)
        found = _pids(node, pids)
        if other is None or other.pid != scope or found is None:
            return False
        if not other.groups.join(group, found):
            self._service.complain(node, "more than max_group_size allows", group)
        return True

    def _left(self, node: str, scope: Pid, pids: object, groups: list[object]) -> bool:
        other = self.others.get(node)
        found = _pids(node, pids)
        # Either one process leaves its groups, or several processes leave one group. Several
        # processes and groups would cost the product of both, and no BEAM sends that.
        if other is None or other.pid != scope or found is None:
            return False
        if len(found) > 1 and len(groups) > 1:
            return False
        for key in map(exact_key, groups):
            for pid in found:
                other.groups.leave(key, pid)
        return True

    def _gone(self, pid: Pid, ref: Reference) -> None:
        other = self.others.get(pid.node)
        if other is not None and other.monitor == ref:
            del self.others[pid.node]
            self._unsynced.discard(pid.node)
        keys = self._watched.pop(pid, None)
        if keys is not None:
            for key in keys:
                while self.local.leave(key, pid):
                    pass
            self.tell()

    # -- messages to other nodes -----------------------------------------------------------

    def tell(self) -> None:
        """Tell the namesakes that the groups have changed."""
        for node in self.others:
            self._sync_soon(node)

    def _sync_soon(self, node: str) -> None:
        """Send a node the whole state at the end of the round, at most once a round."""
        if not self._unsynced:
            self._loop.round_end.append(self._sync)
        self._unsynced.add(node)

    def _sync(self) -> None:
        unsynced, self._unsynced = self._unsynced, set()
        if not self.process.alive:
            return
        groups = [(group.term, group.members()) for group in self.local.by_key.values()]
        state = (GEN_CAST, (Atom("sync"), self.process.pid, groups))
        for node in unsynced - self._without_room:
            other = self.others.get(node)
            if other is None:
                continue
            # A peer that asks in every round and reads nothing must not fill its queue.
            if self._processes.pressure.wait_for_room(node, partial(self._room_for, node)):
                self._without_room.add(node)
            else:
                self._service.send(other.pid, state)

    def _room_for(self, node: str) -> None:
        self._without_room.discard(node)
        self._sync_soon(node)


class PgScope:
    """One scope of `pg`: process groups whose members every node of a cluster knows."""

    def __init__(self, processes: Processes, scope: ScopeProcess) -> None:
        self._processes = processes
        self._scope = scope

    def groups(self) -> list[object]:
        """The groups that have members: ``pg:which_groups``."""
        found: dict[bytes, object] = {}
        for groups in (self._scope.local, *(other.groups for other in self._scope.others.values())):
            for key, group in groups.by_key.items():
                found.setdefault(key, group.term)
        # A copy for the caller; a list that was the key of a map is a plain list again.
        copy = self._processes.terms.copy
        return [self._processes.terms.converted_or_plain(copy(term)) for term in found.values()]

    def members(self, group: object) -> list[Pid]:
        """The members of a group, this node's first.

        Args:
            group: any term; an Erlang string is a list of code points, a str is a binary.
        """
        key = self._key(group)
        found = self._scope.local.members(key)
        for other in self._scope.others.values():
            found += other.groups.members(key)
        return found

    def join(self, group: object, pid: Pid) -> None:
        """Make a process of this node a member; a process may join several times.

        Args:
            group: any term; an Erlang string is a list of code points, a str is a binary.
            pid: the process.
        Raises:
            EncodeError: the group is not a term.
            ConfigError: the process belongs to another node.
        """
        if pid.node != self._processes.name:
            raise ConfigError(f"{pid} is not a process of this node: let it join on its own node")
        group = self._processes.terms.copy(group)
        self._scope.local.join(group, (pid,))
        self._scope.watch(pid, exact_key(group))
        self._scope.tell()

    def leave(self, group: object, pid: Pid) -> bool:
        """End one membership of a process.

        Returns:
            False when it is not a member.
        """
        if not self._scope.local.leave(self._key(group), pid):
            return False
        self._scope.tell()
        return True

    def _key(self, group: object) -> bytes:
        """The `exact_key` of the term that the program's value encodes to."""
        if self._processes.terms.default is None:
            return exact_key(group)
        return exact_key(self._processes.terms.copy(group))


def _pids(node: str, one_or_many: object) -> list[Pid] | None:
    """The pids of a peer's processes; None if any of them is something else."""
    many = one_or_many if isinstance(one_or_many, list) else [one_or_many]
    found = [pid for pid in many if isinstance(pid, Pid) and pid.node == node]
    return found if len(found) == len(many) else None
