"""Starts and ends the generic servers that a node runs for its program."""

from __future__ import annotations

from collections.abc import Callable

from uds_dist.etf.terms import Pid
from uds_dist.processes.names import SHUTDOWN
from uds_dist.processes.table import Processes
from uds_dist.services.gen_server import GenServer
from uds_dist.services.runner import OnServiceDown, Restart, Runner


class Supervisor:
    """Holds the servers that run or will be started again.

    Args:
        processes: the node's process table.
        group_leader: the group leader of the servers' processes.
        on_service_down: called when a server has ended abnormally and is not started again.
    """

    def __init__(
        self,
        processes: Processes,
        group_leader: Pid,
        on_service_down: OnServiceDown,
    ) -> None:
        self._processes = processes
        self._group_leader = group_leader
        self._on_service_down = on_service_down
        self._runners: dict[Runner, None] = {}  # in the order of their starts

    def __len__(self) -> int:
        """How many servers there are."""
        return len(self._runners)

    def start(
        self, name: str | None, server: GenServer | Callable[[], GenServer], restart: Restart
    ) -> Pid:
        """Run a server; see `Node.serve`."""
        runner = Runner(
            self._processes,
            name,
            server,
            self._group_leader,
            restart,
            on_service_down=self._on_service_down,
            on_over=self._over,
        )
        if not runner.over:  # it may have ended itself in `init`
            self._runners[runner] = None
        return runner.process.pid

    def stop(self, server: str | Pid) -> bool:
        """End a server and do not start it again; see `Node.stop_server`."""
        for runner in self._runners:
            if server in (runner.name, runner.process.pid):
                runner.retire(SHUTDOWN)
                return True
        return False

    def _over(self, runner: Runner) -> None:
        self._runners.pop(runner, None)
