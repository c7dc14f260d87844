"""Links, monitors and requests of nodes that have gone down, until all of them have fired.

Links, monitors and spawn requests each fire exactly once, with the reason ``noconnection``. An
exception may come between any two of them: the rest fires at the next call, for any node.
"""

from __future__ import annotations

from collections.abc import Callable

from uds_dist.errors import UdsDistError
from uds_dist.etf.terms import Pid
from uds_dist.processes.names import NOCONNECTION
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.processes.ties import Ties, guarded
from uds_dist.protocol.control import SPAWN_REPLY, SpawnReply


class Falling:
    """The ties with nodes that are down.

    Args:
        processes: the process table.
        link_broke: lets a process react to the end of a link.
    """

    def __init__(
        self, processes: Processes, link_broke: Callable[[Process, Pid, object], None]
    ) -> None:
        self._processes = processes
        self._link_broke = link_broke
        self._left: list[tuple[Ties, UdsDistError]] = []  # what has not fired, and why it must

    def node_down(self, node: str, error: UdsDistError) -> None:
        """Fire all links and monitors with a node."""
        ties = self._processes.ties_by_node.get(node)
        if ties is not None:
            self._left.append((ties, error))
            self._processes.ties_by_node.pop(node, None)
        self._fire_rest()

    def _fire_rest(self) -> None:
        processes = self._processes
        before = processes.down_error
        try:
            while self._left:
                ties, processes.down_error = self._left[0]
                self._fire(ties)
                if self._left and self._left[0][0] is ties:
                    del self._left[0]
        finally:
            processes.down_error = before

    def _fire(self, ties: Ties) -> None:
        # Each is removed after it has fired: firing twice has no effect.
        processes = self._processes
        for process, ref in tuple(ties.watchers):
            if process.watchers.pop(ref, None) and process.on_unwatched is not None:
                guarded(process.on_unwatched, ref)
        for spawn in tuple(ties.spawns):
            if spawn.ref in processes.spawns:
                nobody = processes.numbers.nobody()
                reply = SpawnReply(SPAWN_REPLY, spawn.ref, nobody, 0, NOCONNECTION)
                guarded(spawn.on_reply, reply)
                processes.take_spawn(spawn.ref)
        for monitor in tuple(ties.monitors):
            if monitor.ref in processes.monitors:
                guarded(monitor.on_down, NOCONNECTION)
                processes.forget_monitor(monitor.ref)
        for process, pid in tuple(ties.links):
            if process.alive:
                guarded(self._link_broke, process, pid, NOCONNECTION)
