"""The requests of the sys module to one generic server.

Source: STDLIB, sys(3) and proc_lib(3).
"""

from __future__ import annotations

from typing import Protocol

from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, OK
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.gen import From
from uds_dist.services.gen_server import GenServer
from uds_dist.services.outcome import raised, returned
from uds_dist.services.rpc import start_own_rpc
from uds_dist.services.system import (
    callback_failed,
    debug_answer,
    remote_outcome,
    system_state,
    system_status,
)

# Seconds that the caller's node has to run the function of sys:replace_state.
REPLACE_TIMEOUT = 5.0


class Served(Protocol):
    """A server with its process, as the requests use it."""

    name: str | None
    process: Process
    processes: Processes
    handlers: GenServer
    group_leader: Pid
    suspended: bool
    busy: bool

    def answer(self, from_: From, answer: object) -> None: ...

    def stop(self, reason: object) -> None: ...

    def release_soon(self) -> None: ...


class SystemRequests:
    """Answers the requests to one server.

    Args:
        server: the server.
    """

    def __init__(self, server: Served) -> None:
        self._server = server
        self._default = server.processes.terms.default

    def handle(self, from_: From, request: object) -> None:
        """Answer a request of the sys module. Source: STDLIB, sys(3) and proc_lib(3)."""
        if self._server.process.system:
            # Stopping this process would stop more than a server.
            match request:
                case Atom("suspend") | (Atom("terminate" | "replace_state"), _):
                    self._server.answer(from_, (ERROR, Atom("system_process")))
                    return
        match request:
            case Atom("get_state"):
                self._server.answer(from_, self._state())
            case Atom("get_status"):
                self._server.answer(from_, self._status())
            case Atom("suspend"):
                self._server.suspended = True
                self._server.answer(from_, OK)
            case Atom("resume"):
                self._server.suspended = False
                self._server.answer(from_, OK)
                self._server.release_soon()
            case (Atom("terminate"), reason):
                self._server.answer(from_, OK)
                self._server.stop(reason)
            case (Atom("replace_state"), function):
                self._replace_state(from_, function)
            case (Atom("debug"), command):
                self._server.answer(from_, debug_answer(command))
            case _:
                self._server.answer(from_, (ERROR, (Atom("unknown_system_msg"), request)))

    def _state(self) -> object:
        return system_state(self._server.handlers.get_state, self._default)

    def _status(self) -> object:
        server = self._server
        return system_status(
            server.name or str(server.process.pid),
            type(server.handlers),
            server.process.pid,
            server.group_leader,
            server.suspended,
            self._state(),
        )

    def _replace_state(self, from_: From, function: object) -> None:
        """Replace the state with a function, which only the caller's node can run."""
        state = self._state()
        if not (isinstance(state, tuple) and state[0] is OK):
            self._server.answer(from_, state)
            return
        if type(self._server.handlers).set_state is GenServer.set_state:
            error = NotImplementedError(f"{type(self._server.handlers).__name__} has no set_state")
            self._server.answer(
                from_, callback_failed("system_replace_state", raised(error, self._default))
            )
            return
        process = self._server.process
        self._server.busy = True  # as a server that runs the function itself would be

        def done(future: Future[object]) -> None:
            timer.cancel()
            if not process.alive:
                return
            self._server.busy = False
            self._server.release_soon()
            outcome = remote_outcome(future, self._default)
            if outcome.class_ == "return":
                try:
                    self._server.handlers.set_state(
                        self._server.processes.terms.converted(outcome.value)
                    )
                    outcome = returned((OK, outcome.value))
                except Exception as error:
                    outcome = raised(error, self._default)
            answer = outcome.value
            if outcome.class_ != "return":
                answer = callback_failed("system_replace_state", outcome)
            self._server.answer(from_, answer)

        future = start_own_rpc(
            self._server.processes,
            process,
            from_.pid.node,
            "erlang",
            "apply",
            [function, [state[1]]],
        )
        timer = self._server.processes.loop.call_later(REPLACE_TIMEOUT, future.cancel)
        future.add_done_callback(done)
