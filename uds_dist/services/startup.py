"""The processes and services that a node starts once it has a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uds_dist.config import Config
from uds_dist.processes.future import Future
from uds_dist.processes.names import NODEUP, NodeEvent
from uds_dist.processes.router import Router
from uds_dist.processes.signals import Incoming
from uds_dist.processes.table import Processes
from uds_dist.services.cluster import GlobalNameServer
from uds_dist.services.exposed import Exposed, Jobs
from uds_dist.services.gen import alias_of
from uds_dist.services.group_leader import GroupLeader
from uds_dist.services.kernel import REX, LoggerProxy, NetKernel, Rex
from uds_dist.services.pg import PgScope, ScopeProcess
from uds_dist.services.runner import OnServiceDown, Runner
from uds_dist.services.supervisor import Supervisor
from uds_dist.transport.loop import EventLoop


class Services:
    """A node's process table, its own process, and the services that answer for it.

    Args:
        loop: the node's loop.
        config: `hidden` and the limits of processes are used.
        name: the node's name.
        creation: the node's creation.
        router: carries signals to other nodes.
        exposed: the functions that other nodes may call.
        output: receives the output of functions that this node calls on others.
        on_service_down: called when a server has ended abnormally and is not started again.
        connect, disconnect: for a visible node's part in `global`.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        name: str,
        creation: int,
        router: Router,
        exposed: Exposed,
        *,
        output: Callable[[str], object],
        on_service_down: OnServiceDown,
        connect: Callable[[str], Future[None]],
        disconnect: Callable[[str], bool],
    ) -> None:
        self._config = config
        self._exposed = exposed
        self.jobs: Jobs
        self.inbox = Incoming(loop, config, name, creation, router, self._start_jobs)
        self.processes = processes = self.inbox.processes
        self.own = processes.new_process(
            on_message=self._own_message, trap_exit=True, pid=processes.own
        )
        self.own.system = True
        NetKernel(processes)
        self.leader = GroupLeader(processes, config, output)
        self.own.group_leader = self.leader.pid
        Runner(processes, REX, Rex(exposed), self.leader.pid, "permanent")
        LoggerProxy(processes, self.leader.pid)
        self.servers = Supervisor(processes, self.leader.pid, on_service_down)
        self.global_names: GlobalNameServer | None = None
        if not config.hidden:
            self.global_names = GlobalNameServer(processes, config, connect, disconnect)
        self._pg_processes: dict[str, ScopeProcess] = {}
        self._pg_scopes: dict[str, PgScope] = {}

    def _start_jobs(self, processes: Processes) -> Jobs:
        self.jobs = Jobs(processes, self._exposed)
        return self.jobs

    def _own_message(self, message: object) -> None:
        """Messages to the node's own process are dropped, except answers to calls.

        A server on a node without aliases answers the caller's pid instead.
        """
        if isinstance(message, tuple) and len(message) == 2:
            alias = alias_of(message[0])
            call = None if alias is None else self.processes.aliases.get(alias)
            if call is not None:
                call.on_message(message)

    def pg(self, scope: str, nodes: Iterable[str]) -> PgScope:
        """A scope of `pg`; it is made at its first use, and then greets the connected nodes."""
        found = self._pg_scopes.get(scope)
        if found is None:
            process = ScopeProcess(self.processes, self._config, scope)
            self._pg_processes[scope] = process
            found = self._pg_scopes[scope] = PgScope(self.processes, process)
            for name in nodes:
                process.greet(name)
        return found

    def node_changed(self, event: NodeEvent, name: str) -> None:
        """A node has connected or disconnected."""
        if event == NODEUP:
            for scope in self._pg_processes.values():
                scope.greet(name)
        elif self.global_names is not None:
            self.global_names.node_down(name)
