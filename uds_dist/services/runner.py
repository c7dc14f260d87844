"""Runs a generic server for as long as its restart policy says: one life after another.

It does what a supervisor does for a gen_server: a server that ends too often stays down.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal

from uds_dist.errors import ClosedError, ConfigError, UdsDistError
from uds_dist.etf.terms import Pid
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.gen_server import GenServer
from uds_dist.services.outcome import raised, refuse_coroutines
from uds_dist.services.server import Server, is_abnormal
from uds_dist.transport.log_rate import BoundedLogs

logger = logging.getLogger(__name__)

HANDLERS = (
    "init",
    "handle_call",
    "handle_cast",
    "handle_info",
    "terminate",
    "get_state",
    "set_state",
)
RESTARTS = ("temporary", "transient", "permanent")
Restart = Literal["temporary", "transient", "permanent"]
# A server that ends more often than this within this many seconds stays down, as under a
# supervisor.
MAX_RESTARTS = 3
RESTART_PERIOD = 5.0

# Called when a server has ended for good: (its name or its pid, the reason).
OnServiceDown = Callable[[str, object], object]


class Runner:
    """Starts one GenServer, and starts it again.

    Args:
        processes: the node's process table.
        name: the registered name.
        source: the server; or a function that makes one, called for each restart.
        group_leader: the group leader of the server's process.
        restart: ``"temporary"``: never started again; ``"transient"``: after an abnormal end;
            ``"permanent"``: after any end.
        on_service_down: called after an abnormal end if the server is not started again.
        on_over: called after any end if it is not started again.
    Raises:
        ConfigError: the name is taken, the policy is unknown, or a handler is a coroutine function.
    """

    server: Server  # its present life

    def __init__(
        self,
        processes: Processes,
        name: str | None,
        source: GenServer | Callable[[], GenServer],
        group_leader: Pid,
        restart: Restart = "temporary",
        *,
        on_service_down: OnServiceDown | None = None,
        on_over: Callable[[Runner], object] | None = None,
    ) -> None:
        if restart not in RESTARTS:
            raise ConfigError(f"restart is {restart!r}: use one of {', '.join(RESTARTS)}")
        self.name = name
        self.over = False  # the server has ended for good
        self._processes = processes
        self._loop = processes.loop
        self._source = source
        self._group_leader = group_leader
        self._restart = restart
        self._restarts: deque[float] = deque()
        self._on_service_down = on_service_down
        self._on_over = on_over
        self._log = BoundedLogs(logger, processes.loop.time)
        self._start()

    @property
    def process(self) -> Process:
        """The server's process; after a restart another one."""
        return self.server.process

    def _start(self) -> None:
        made = self._source if isinstance(self._source, GenServer) else self._source()
        if not isinstance(made, GenServer):
            raise ConfigError(f"{made!r} is not a GenServer")
        for handler in HANDLERS:
            refuse_coroutines(f"{type(made).__name__}.{handler}", getattr(made, handler))
        if made._runner is not None:
            raise ConfigError(f"{made!r} is served already, as {made._runner!r}")
        self.server = server = Server(
            self._processes, self.name, made, self._group_leader, self._log
        )
        server.begin(partial(self._ended, server))

    def retire(self, reason: object) -> None:
        """End the server for good: whatever its restart policy is, it is not started again."""
        if self.over:
            return
        self._is_over()
        self.server.stop(reason)
        if self.server.is_running:
            self.server.end(self.process.exit_reason)

    def _ended(self, server: Server, reason: object) -> None:
        """The process has ended, for any reason."""
        if server is not self.server or self.over:
            return
        server.end(reason)
        if self._restart == "permanent" or (self._restart == "transient" and is_abnormal(reason)):
            self._start_again(reason)
        else:
            self._down(reason)

    def _start_again(self, reason: object) -> None:
        if self.over:
            return
        now = self._loop.time()
        self._restarts.append(now)
        while self._restarts and self._restarts[0] < now - RESTART_PERIOD:
            self._restarts.popleft()
        if len(self._restarts) > MAX_RESTARTS:
            logger.error(
                "%r is not started again: it has ended more than %d times in %g seconds",
                self.server, MAX_RESTARTS, RESTART_PERIOD,
            )  # fmt: skip
            self._down(reason)
            return
        try:
            self._start()
        except ClosedError:
            pass  # the node is closed
        except Exception as error:
            logger.error("%r could not be started again", self.server, exc_info=error)
            reason = raised(error, self._processes.terms.default).exit_reason
            if isinstance(error, UdsDistError):
                self._down(reason)
            else:
                self._loop.call_soon(partial(self._start_again, reason))

    def _down(self, reason: object) -> None:
        """The server has ended for good: tell the program, if the end was abnormal."""
        self._is_over()
        if not is_abnormal(reason):
            return
        if self._on_service_down is not None and not self._processes.closed:
            name = self.name or str(self.process.pid)
            self._loop.call_soon(partial(self._on_service_down, name, self.server.seen(reason)))

    def _is_over(self) -> None:
        self.over = True
        if self._on_over is not None:
            self._on_over(self)
