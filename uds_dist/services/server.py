"""A generic server that is written in Python, from its start to its end.

It does what gen_server does for its callback module: it separates requests from other messages,
replies to the caller's alias, answers system messages, and ends a server whose handler raises, with
the reason and the stack for all processes that watch it or wait for it. No handler can block the
loop by waiting: it returns a Future, and the reply is sent when that is done.

A reply that is not a term, or a request that the server does not know, fails only that call: its
caller exits with the reason, as if the server had ended, and the server continues.

Nothing outlives its caller. A call whose caller has given up, has died or is disconnected is
dropped together with its future.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import EMPTY, Mailbox
from uds_dist.processes.monitors import MonitorCallback
from uds_dist.processes.names import GEN_CALL, GEN_CAST, NORMAL, SHUTDOWN
from uds_dist.processes.table import Processes
from uds_dist.services.gen import From, from_term, is_large, monitor_of, reply
from uds_dist.services.gen_server import FailCall, GenServer, NoReply, Stop
from uds_dist.services.outcome import Outcome, drop_coroutine, encoding_error, outcome_of, raised
from uds_dist.services.system import is_system
from uds_dist.services.system_requests import SystemRequests
from uds_dist.transport.log_rate import BoundedLogs

logger = logging.getLogger(__name__)

Pending = tuple[Future[object], Callable[[Future[object]], None]]


class Server:
    """One life of a GenServer: its process, and its calls that are not answered.

    Args:
        processes: the node's process table.
        name: the registered name.
        handlers: the program's object, whose handlers are called.
        group_leader: the group leader of the process.
        log: takes what a peer can cause, at a bounded rate.
    Raises:
        ConfigError: the name is taken.
    """

    def __init__(
        self,
        processes: Processes,
        name: str | None,
        handlers: GenServer,
        group_leader: Pid,
        log: BoundedLogs,
    ) -> None:
        self.processes = processes
        self.name = name
        self.handlers = handlers
        self.log = log
        self._loop = processes.loop
        self._default = processes.terms.default
        self.group_leader = group_leader
        self._max_pending = processes.max_pending_requests
        # Futures of replies by the caller's monitor; those of casts and messages by a unique
        # object.
        self._pending: dict[object, Pending] = {}
        # The library's own servers recognize requests by their atoms and take plain terms.
        self._converts = processes.terms.conversion is not None and not handlers._plain
        self.suspended = False
        self.busy = True  # messages wait until `init` is done
        self._terminated = False
        self.process = processes.new_process(name, self._on_message, trap_exit=handlers.trap_exit)
        self.process.group_leader = group_leader
        self.mailbox = Mailbox(processes, self.process)  # the same, for the server
        self._requests = SystemRequests(self)
        handlers._runner = self

    def __repr__(self) -> str:
        return f"<{type(self.handlers).__name__} {self.name or self.process.pid}>"

    # -- a life ----------------------------------------------------------------------------

    def begin(self, on_exit: Callable[[object], object]) -> None:
        """Let the server build its state; `on_exit` is called with the reason after its end."""
        process = self.process
        try:
            self.handlers.init()
        except BaseException as error:
            self._terminated = True
            self.handlers._runner = None
            self.processes.terminate(process, raised(error, self._default).exit_reason)
            raise
        process.on_unwatched = self._unwatched
        process.on_exit = on_exit
        self.busy = False
        self.release_soon()
        if not process.alive:  # `init` stopped it, or ran the loop and it was killed
            self._loop.call_soon(partial(on_exit, process.exit_reason))

    @property
    def is_running(self) -> bool:
        """False after `end`."""
        return self.handlers._runner is self

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

    def _log_end(self, reason: object, error: BaseException | None) -> None:
        what = "" if error is not None else f": {shown(reason)}"
        logger.error("%r has ended%s", self, what, exc_info=error)

    def _terminate(self, reason: object) -> object:
        """Let the server clean up, once; an exception becomes the reason."""
        if self._terminated:
            return reason
        self._terminated = True
        try:
            self.handlers.terminate(self.seen(reason))
        except Exception as error:
            reason = raised(error, self._default).exit_reason
            self._log_end(reason, error)
        return reason

    def end(self, reason: object) -> None:
        """Clean up after the process has ended; the object may be served again."""
        self._terminate(reason)
        self._drop_pending()
        self.handlers._runner = None

    def _drop_pending(self) -> None:
        for future, callback in self._pending.values():
            future.remove_done_callback(callback)
        self._pending.clear()

    def complain(self, what: str, term: object) -> None:
        """Log a message that this server does not know, at a bounded rate."""
        self.log.log(logging.WARNING, what, "%r was sent %s: %s", self, what, shown(term))

    # -- messages --------------------------------------------------------------------------

    def _on_message(self, message: object) -> None:
        if not (self.suspended or self.busy or self.process.held):
            self._dispatch(message)
        elif not self.busy and is_system(message):
            self._dispatch(message)
        else:
            self.process.hold(message)

    def seen(self, term: object) -> object:
        """A term as the server takes it."""
        return self.processes.terms.converted_or_plain(term) if self._converts else term

    def _convert(self, message: object) -> object:
        """A message with its request converted for the program; EMPTY if a call has failed."""
        if type(message) is not tuple or not message or type(message[0]) is not Atom:
            return self.seen(message)
        if len(message) == 3 and message[0] == GEN_CALL:
            from_ = from_term(message[1])
            if from_ is not None:
                try:
                    return (*message[:2], self.processes.terms.converted(message[2]))
                except Exception as error:  # the program's object_hook
                    self._fail_call(from_, raised(error, self._default).exit_reason)
                    return EMPTY
        if len(message) == 2 and message[0] == GEN_CAST:
            return (GEN_CAST, self.seen(message[1]))
        return message if is_system(message) else self.seen(message)

    def _dispatch(self, message: object) -> None:
        server = self.handlers
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
                self._requests.handle(From(*message[1]), message[2])
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
        refused = ""
        if len(self._pending) >= self._max_pending:
            refused = "more requests at once than max_pending_requests"
        elif from_ is not None and is_large(from_.tag):
            refused = "a call with a tag that is too large to be kept"
        if refused:
            future.cancel()
            self.complain(refused, from_)
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

    # -- messages that have waited ---------------------------------------------------------

    def release_soon(self) -> None:
        """Handle the messages held back, in the next round."""
        if self.process.held:
            self._loop.call_soon(self._release)

    def _release(self) -> None:
        """Handle the messages held back, but not those that arrive meanwhile."""
        process = self.process
        waits = False
        pressure = self.processes.pressure
        pressure.waiters = None
        try:
            for _ in range(len(process.held or ())):
                if self.suspended or self.busy or not process.alive:
                    return
                self._dispatch(process.take_held())
                waits = pressure.wait(self._release)
                if waits:
                    return  # it continues when the answers are written
        finally:
            if process.alive and not (self.suspended or self.busy or waits):
                self.release_soon()


def is_abnormal(reason: object) -> bool:
    """True for a reason that is an error: not ``normal``, ``shutdown`` or ``{shutdown, _}``."""
    if isinstance(reason, tuple) and len(reason) == 2:
        reason = reason[0]
        return not (isinstance(reason, Atom) and reason == SHUTDOWN)
    return not (isinstance(reason, Atom) and reason in (NORMAL, SHUTDOWN))
