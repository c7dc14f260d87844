"""Runs a generic server that is written in Python.

It does what gen_server does for its callback module: it separates requests from other messages,
replies to the caller's alias, answers system messages, and ends a server whose handler raises, with
the reason and the stack for all that watch or wait. No handler can block the loop by waiting: it
returns a Future, and the reply is sent when that is done.

A reply that is not a term, or a request that the server does not know, fails only that call: its
caller exits with the reason, as if the server had ended, and the server continues.

Nothing outlives its caller. A call whose caller has given up, has died or is disconnected is
dropped together with its future.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal

from uds_dist.errors import ClosedError, ConfigError, UdsDistError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import EMPTY, Mailbox
from uds_dist.processes.monitors import MonitorCallback
from uds_dist.processes.names import ERROR, GEN_CALL, GEN_CAST, NORMAL, OK, SHUTDOWN
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.gen import From, from_term, monitor_of, reply
from uds_dist.services.gen_server import FailCall, GenServer, NoReply, Stop
from uds_dist.services.outcome import (
    Outcome,
    drop_coroutine,
    encoding_error,
    outcome_of,
    raised,
    refuse_coroutines,
    returned,
)
from uds_dist.services.rpc import start_own_rpc
from uds_dist.services.system import (
    callback_failed,
    debug_answer,
    is_system,
    remote_outcome,
    system_state,
    system_status,
)
from uds_dist.transport.log_rate import BoundedLogs
from uds_dist.transport.loop import EventLoop

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
# Seconds that the caller's node has to run the function of sys:replace_state.
REPLACE_TIMEOUT = 5.0


# Called when a server has ended for good: (its name or its pid, the reason).
OnServiceDown = Callable[[str, object], object]
Pending = tuple[Future[object], Callable[[Future[object]], None]]


class Runner:
    """Runs one GenServer: its process, its unanswered calls, its restarts.

    Args:
        loop: the node's loop.
        processes: the node's process table.
        name: the registered name.
        server: the server; or a function that makes one, called for each restart.
        group_leader: the group leader of the server's process.
        restart: ``"temporary"``: never started again; ``"transient"``: after an abnormal end;
            ``"permanent"``: after any end.
        on_service_down: called after an abnormal end if the server is not started again.
        on_over: called after any end if it is not started again.
    Raises:
        ConfigError: the name is taken, the policy is unknown, or a handler is a coroutine function.
    """

    process: Process
    mailbox: Mailbox  # the same, for the server
    server: GenServer

    def __init__(
        self,
        loop: EventLoop,
        processes: Processes,
        name: str | None,
        server: GenServer | Callable[[], GenServer],
        group_leader: Pid,
        restart: Restart = "temporary",
        *,
        on_service_down: OnServiceDown | None = None,
        on_over: Callable[[Runner], object] | None = None,
    ) -> None:
        if restart not in RESTARTS:
            raise ConfigError(f"restart is {restart!r}: use one of {', '.join(RESTARTS)}")
        self.processes = processes
        self._default = processes.terms.default
        self._loop = loop
        self.name = name
        self.over = False  # the server has ended for good
        self._source = server
        self._group_leader = group_leader
        self._restart = restart
        self._restarts: deque[float] = deque()
        self._on_service_down = on_service_down
        self._on_over = on_over
        self.log = BoundedLogs(logger, loop.time)
        self._max_pending = processes.max_pending_requests
        # Futures of replies by the caller's monitor; those of casts and messages by an object of
        # their own.
        self._pending: dict[object, Pending] = {}
        self._suspended = False
        self._busy = False
        self._terminated = False
        self._start()

    def __repr__(self) -> str:
        return f"<{type(self.server).__name__} {self.name or self.process.pid}>"

    # -- a life ----------------------------------------------------------------------------

    def _start(self) -> None:
        server = self._source if isinstance(self._source, GenServer) else self._source()
        if not isinstance(server, GenServer):
            raise ConfigError(f"{server!r} is not a GenServer")
        for handler in HANDLERS:
            refuse_coroutines(f"{type(server).__name__}.{handler}", getattr(server, handler))
        if server._runner is not None and server._runner is not self:
            raise ConfigError(f"{server!r} is served already, as {server._runner!r}")
        process = self.processes.new_process(
            self.name, self._on_message, trap_exit=server.trap_exit
        )
        process.group_leader = self._group_leader
        self.server = server
        self.process = process
        self.mailbox = Mailbox(self.processes, process)
        # The library's own servers recognize requests by their atoms and take plain terms.
        self._converts = self.processes.terms.conversion is not None and not server._plain
        server._runner = self
        self._suspended = self._terminated = False
        self._busy = True  # messages wait until `init` is done
        try:
            server.init()
        except BaseException as error:
            self._terminated = True
            server._runner = None
            self.processes.terminate(process, raised(error, self._default).exit_reason)
            raise
        process.on_unwatched = self._unwatched
        process.on_exit = partial(self._ended, process)
        self._busy = False
        self._release_soon()
        if not process.alive:  # `init` stopped it, or ran the loop and it was killed
            self._loop.call_soon(partial(self._ended, process, process.exit_reason))

    def stop(self, reason: object, error: BaseException | None = None) -> None:
        """End the server: `terminate`, then notify links, monitors and waiting callers."""
        if not self.process.alive or self._terminated:
            return
        unsendable = encoding_error(reason, self._default)
        if unsendable is not None:
            reason, error = raised(unsendable, self._default).exit_reason, error or unsendable
        if is_abnormal(reason):
            self._log_end(reason, error)
        reason = self._terminate(reason)
        self._drop_pending()
        self.processes.terminate(self.process, reason)

    def retire(self, reason: object) -> None:
        """End the server for good: whatever its restart policy is, it is not started again."""
        if self.over:
            return
        self._is_over()
        self.stop(reason)
        if self.server._runner is self:
            self._end_life(self.process.exit_reason)

    def _log_end(self, reason: object, error: BaseException | None) -> None:
        what = "" if error is not None else f": {shown(reason)}"
        logger.error("%r has ended%s", self, what, exc_info=error)

    def _terminate(self, reason: object) -> object:
        """Let the server clean up, once; an exception becomes the reason."""
        if self._terminated:
            return reason
        self._terminated = True
        try:
            self.server.terminate(self._seen(reason))
        except Exception as error:
            reason = raised(error, self._default).exit_reason
            self._log_end(reason, error)
        return reason

    def _ended(self, process: Process, reason: object) -> None:
        """The process has ended, for any reason."""
        if process is not self.process or self.over:
            return
        self._end_life(reason)
        if self._restart == "permanent" or (self._restart == "transient" and is_abnormal(reason)):
            self._start_again(reason)
        else:
            self._down(reason)

    def _end_life(self, reason: object) -> None:
        self._terminate(reason)
        self._drop_pending()
        self.server._runner = None

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
                self, MAX_RESTARTS, RESTART_PERIOD,
            )  # fmt: skip
            self._down(reason)
            return
        try:
            self._start()
        except ClosedError:
            pass  # the node is closed
        except Exception as error:
            logger.error("%r could not be started again", self, exc_info=error)
            reason = raised(error, self._default).exit_reason
            if isinstance(error, UdsDistError):
                self._down(reason)
            else:
                self._loop.call_soon(partial(self._start_again, reason))

    def _down(self, reason: object) -> None:
        """The server has ended for good: tell the program, if the end was abnormal."""
        self._is_over()
        if not is_abnormal(reason):
            return
        if self._on_service_down is not None and not self.processes.closed:
            name = self.name or str(self.process.pid)
            self._loop.call_soon(partial(self._on_service_down, name, self._seen(reason)))

    def _is_over(self) -> None:
        self.over = True
        if self._on_over is not None:
            self._on_over(self)

    def _drop_pending(self) -> None:
        for future, callback in self._pending.values():
            future.remove_done_callback(callback)
        self._pending.clear()

    def complain(self, what: str, term: object) -> None:
        """Log a message that this server does not know, at a bounded rate."""
        self.log.log(logging.WARNING, what, "%r was sent %s: %s", self, what, shown(term))

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, message: object) -> None:
        if not (self._suspended or self._busy or self.process.held):
            self._dispatch(message)
        elif not self._busy and is_system(message):
            self._dispatch(message)
        else:
            self.process.hold(message)

    def _seen(self, term: object) -> object:
        return self.processes.terms.converted_or_plain(term) if self._converts else term

    def _convert(self, message: object) -> object:
        """A message with its request converted for the program; EMPTY if a call has failed."""
        if type(message) is not tuple or not message or type(message[0]) is not Atom:
            return self._seen(message)
        if len(message) == 3 and message[0] == GEN_CALL:
            from_ = from_term(message[1])
            if from_ is not None:
                try:
                    return (*message[:2], self.processes.terms.converted(message[2]))
                except Exception as error:  # the program's object_hook
                    self._fail_call(from_, raised(error, self._default).exit_reason)
                    return EMPTY
        if len(message) == 2 and message[0] == GEN_CAST:
            return (GEN_CAST, self._seen(message[1]))
        return message if is_system(message) else self._seen(message)

    def _dispatch(self, message: object) -> None:
        server = self.server
        if self._converts:
            message = self._convert(message)
            if message is EMPTY:
                return
        if type(message) is tuple:
            label = message[0] if message else None
            if type(label) is not Atom:
                pass
            elif len(message) == 3 and label == GEN_CALL:
                from_ = from_term(message[1])
                if from_ is not None:
                    self._handle(from_, server.handle_call, message[2], from_)
                    return
            elif len(message) == 2 and label == GEN_CAST:
                self._handle(None, server.handle_cast, message[1])
                return
            elif is_system(message):
                self._system(From(*message[1]), message[2])
                return
        self._handle(None, server.handle_info, message)

    def _handle(
        self, from_: From | None, handler: Callable[..., object], *arguments: object
    ) -> None:
        try:
            answer = handler(*arguments)
        except BaseException as error:
            if self.process.system:
                self.log.log(logging.ERROR, "raised", "%r has raised", self, exc_info=error)
                self._fail_call(from_, raised(error, self._default).exit_reason)
            else:
                self._crash(raised(error, self._default), error)
            if not isinstance(error, Exception):
                raise  # KeyboardInterrupt and SystemExit are for the program; no caller waits
        else:
            self._finish(from_, answer)

    def _crash(self, outcome: Outcome, error: BaseException | None) -> None:
        reason = outcome.exit_reason
        if outcome.class_ == "throw":  # in gen_server, a thrown term is the handler's result
            reason = (Atom("bad_return_value"), outcome.value)
        self.stop(reason, error)

    def _finish(self, from_: From | None, answer: object) -> None:
        """Act on what a handler has returned."""
        if isinstance(answer, Future):
            self._wait(from_, answer)
        elif isinstance(answer, Stop):
            if from_ is not None and not isinstance(answer.reply, NoReply):
                self._reply_or_fail(from_, answer.reply)
            self.stop(answer.reason)
        elif from_ is None:
            wrong = None if answer is None else drop_coroutine(answer)
            if wrong is not None:
                self.log.log(logging.ERROR, "coroutine", "%r: %s", self, wrong)
        elif isinstance(answer, FailCall):
            self._fail_call(from_, answer.reason)
        elif not isinstance(answer, NoReply):
            if answer is None:
                self.log.once(
                    logging.WARNING, "nil", "%r: handle_call returned None, so that its caller gets"
                    ' nil: return Atom("nil") if that is meant, Atom("ok") or NoReply() otherwise',
                    self,
                )  # fmt: skip
            self._reply_or_fail(from_, answer)

    def answer(self, from_: From, answer: object) -> None:
        """Answer a call; an answer that cannot be encoded fails only that call."""
        if isinstance(answer, Future):
            self._wait(from_, answer)
        else:
            self._reply_or_fail(from_, answer)

    def _reply_or_fail(self, from_: From, answer: object) -> None:
        """Send a reply; one that cannot be encoded fails only that call."""
        try:
            reply(self.processes, self.process.pid, from_, answer)
        except Exception as error:
            # With the path in the answer, not in the message that carries it.
            cause = drop_coroutine(answer) or encoding_error(answer, self._default) or error
            self.log.log(logging.ERROR, "reply", "%r: a reply cannot be sent: %s", self, cause)
            self._fail_call(from_, raised(cause, self._default).exit_reason)

    def _fail_call(self, from_: From | None, reason: object) -> None:
        """Make a caller exit with a reason: only its own monitor of this server fires."""
        ref = None if from_ is None else monitor_of(from_.tag)
        entry = None if ref is None else self.process.watchers.get(ref)
        if ref is None or entry is None:
            return  # a caller that does not watch this server cannot be told
        unsendable = encoding_error(reason, self._default)
        if unsendable is not None:
            reason = raised(unsendable, self._default).exit_reason
        watcher, target = entry
        self.processes.drop_watcher(self.process, ref)
        self.processes.send_down(watcher, target, ref, reason)

    def reply(self, from_: From, answer: object) -> None:
        """See `GenServer.reply`."""
        if isinstance(answer, Future):
            self._wait(from_, answer)
        else:
            reply(self.processes, self.process.pid, from_, answer)

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]:
        """See `GenServer.call`."""
        return start_call(self.processes, self.process, dest, request)

    # -- replies to come -------------------------------------------------------------------

    def _wait(self, from_: From | None, future: Future[object]) -> None:
        """Reply with a future's result; drop both if the caller is gone."""
        if not self.process.alive:
            return
        if len(self._pending) >= self._max_pending:
            future.cancel()
            self.complain("more requests at once than max_pending_requests", from_)
            self._fail_call(from_, Atom("system_limit"))
            return
        watch: object
        if from_ is None:
            watch = object()
        else:
            watch = monitor_of(from_.tag)
            if watch is None or watch not in self.process.watchers or watch in self._pending:
                watch = self._watch_caller(from_.pid)
        callback = partial(self._done, from_, watch)
        self._pending[watch] = (future, callback)
        future.add_done_callback(callback)

    def _watch_caller(self, caller: Pid) -> Reference:
        """Watch a caller that does not watch this server."""
        ref = self.processes.numbers.new_reference()

        def on_down(_reason: object) -> None:
            self.process.monitors.discard(ref)
            self._unwatched(ref)

        self.process.monitors.add(ref)
        pid = self.process.pid
        self.processes.watch(MonitorCallback(ref, pid, caller, caller.node, on_down))
        return ref

    def _unwatched(self, ref: Reference) -> None:
        entry = self._pending.pop(ref, None)
        if entry is not None:
            entry[0].remove_done_callback(entry[1])

    def _done(self, from_: From | None, watch: object, future: Future[object]) -> None:
        if watch not in self._pending:
            return  # the caller has gone, or the server was restarted
        if from_ is not None:
            again = partial(self._done, from_, watch, future)
            if self.processes.pressure.wait_for_room(from_.pid.node, again):
                return
        del self._pending[watch]
        if isinstance(watch, Reference) and watch in self.process.monitors:
            self.processes.demonitor(self.process, watch)
        if not self.process.alive:
            return
        outcome = outcome_of(future, self._default)
        if outcome.class_ == "return":
            self._finish(from_, outcome.value)
        else:
            error = None if future.cancelled() else future.exception()
            self._crash(outcome, error)

    # -- system messages -------------------------------------------------------------------

    def _system(self, from_: From, request: object) -> None:
        """Answer a request of the sys module. Source: STDLIB, sys(3) and proc_lib(3)."""
        if self.process.system:
            # Stopping this process would stop more than a server.
            match request:
                case Atom("suspend") | (Atom("terminate" | "replace_state"), _):
                    self._answer_system(from_, (ERROR, Atom("system_process")))
                    return
        match request:
            case Atom("get_state"):
                self._answer_system(from_, self._state())
            case Atom("get_status"):
                self._answer_system(from_, self._status())
            case Atom("suspend"):
                self._suspended = True
                self._answer_system(from_, OK)
            case Atom("resume"):
                self._suspended = False
                self._answer_system(from_, OK)
                self._release_soon()
            case (Atom("terminate"), reason):
                self._answer_system(from_, OK)
                self.stop(reason)
            case (Atom("replace_state"), function):
                self._replace_state(from_, function)
            case (Atom("debug"), command):
                self._answer_system(from_, debug_answer(command))
            case _:
                self._answer_system(from_, (ERROR, (Atom("unknown_system_msg"), request)))

    def _answer_system(self, from_: From, answer: object) -> None:
        self._reply_or_fail(from_, answer)

    def _state(self) -> object:
        return system_state(self.server.get_state, self._default)

    def _status(self) -> object:
        return system_status(
            self.name or str(self.process.pid),
            type(self.server),
            self.process.pid,
            self._group_leader,
            self._suspended,
            self._state(),
        )

    def _replace_state(self, from_: From, function: object) -> None:
        """Replace the state with a function, which only the caller's node can run."""
        state = self._state()
        if not (isinstance(state, tuple) and state[0] is OK):
            self._answer_system(from_, state)
            return
        if type(self.server).set_state is GenServer.set_state:
            error = NotImplementedError(f"{type(self.server).__name__} has no set_state")
            self._answer_system(
                from_, callback_failed("system_replace_state", raised(error, self._default))
            )
            return
        process = self.process
        self._busy = True  # as a server that runs the function itself would be

        def done(future: Future[object]) -> None:
            timer.cancel()
            if process is not self.process or not process.alive:
                return
            self._busy = False
            self._release_soon()
            outcome = remote_outcome(future, self._default)
            if outcome.class_ == "return":
                try:
                    self.server.set_state(self.processes.terms.converted(outcome.value))
                    outcome = returned((OK, outcome.value))
                except Exception as error:
                    outcome = raised(error, self._default)
            answer = outcome.value
            if outcome.class_ != "return":
                answer = callback_failed("system_replace_state", outcome)
            self._answer_system(from_, answer)

        future = start_own_rpc(
            self.processes,
            process,
            from_.pid.node,
            "erlang",
            "apply",
            [function, [state[1]]],
        )
        timer = self._loop.call_later(REPLACE_TIMEOUT, future.cancel)
        future.add_done_callback(done)

    # -- messages that have waited ---------------------------------------------------------

    def _release_soon(self) -> None:
        if self.process.held:
            self._loop.call_soon(partial(self._release, self.process))

    def _release(self, process: Process) -> None:
        """Handle the messages held back, but not those that arrive meanwhile."""
        if process is not self.process:
            return
        waits = False
        pressure = self.processes.pressure
        pressure.waiters = None
        try:
            for _ in range(len(process.held or ())):
                if self._suspended or self._busy or not process.alive:
                    return
                self._dispatch(process.take_held())
                waits = pressure.wait(partial(self._release, process))
                if waits:
                    return  # it goes on when the answers have drained
        finally:
            if process.alive and not (self._suspended or self._busy or waits):
                self._release_soon()


def is_abnormal(reason: object) -> bool:
    """True for a reason that is an error: not ``normal``, ``shutdown`` or ``{shutdown, _}``."""
    if isinstance(reason, tuple) and len(reason) == 2:
        reason = reason[0]
        return not (isinstance(reason, Atom) and reason == SHUTDOWN)
    return not (isinstance(reason, Atom) and reason in (NORMAL, SHUTDOWN))
