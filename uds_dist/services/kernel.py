"""The registered processes that peers expect on every node.

`net_kernel` answers pings. Without an answer `net_adm:ping` hangs; if the process does not exist,
it disconnects the node. `rex` serves the older forms of remote calls. `logger_proxy` receives the
log events of processes whose group leader is on this node.
"""

from __future__ import annotations

import logging
from weakref import ref as weak_reference

from uds_dist.etf.atoms import atom_of
from uds_dist.etf.conversion import Hook
from uds_dist.etf.shown import MORE, printable, shown
from uds_dist.etf.terms import Atom, Map, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, EXIT, NET_KERNEL, YES
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import From, answer_to
from uds_dist.services.gen_server import GenServer
from uds_dist.services.group_leader import MAX_IN_WORK, chardata_text
from uds_dist.services.node_service import NodeService
from uds_dist.services.outcome import Outcome, encoded_size, encoding_error, outcome_of, raised
from uds_dist.services.rpc import start_own_rpc
from uds_dist.transport.loop import EventLoop

REX = "rex"
LOGGER_PROXY = "logger_proxy"
BADRPC = Atom("badrpc")

# Receives the events of logger_proxy; a program sets its level and handlers as for any logger.
remote_logger = logging.getLogger("uds_dist.remote")
LEVELS = {
    "emergency": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
EVENT_SIZE = 1024  # bytes counted for an event in addition to its own size
# Seconds that a node has to make a text.
FORMAT_TIMEOUT = 5.0
MAX_LOG_TEXT = 64 * 1024  # characters


class NetKernel:
    """Answers ``{is_auth, Node}``: a connected peer has already proved the cookie."""

    def __init__(self, processes: Processes) -> None:
        self._service = NodeService(processes, NET_KERNEL, NET_KERNEL, self._handle)
        self.process: Process = self._service.process

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (Atom("$gen_call"), (Pid() as caller, tag), (Atom("is_auth"), _)):
                return self._service.reply(node, caller, tag, YES)
        return False


class Rex(GenServer):
    """The server of `rpc` before `erpc`, still in use for block_call and eval_everywhere.

    Args:
        exposed: the functions that may be called.

    Source: the rpc module of OTP 27 and 29.
    """

    _plain = True

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed
        self._casts = 0  # functions whose futures are not done

    def init(self) -> object:
        """Make the process one that no exit signal and no message can end."""
        self._running().process.system = True
        return None

    def handle_call(self, request: object, from_: From) -> object:
        """Answer ``{call|block_call, M, F, Args, GroupLeader}``."""
        match request:
            case (Atom("call" | "block_call"), module, function, arguments, _leader):
                outcome = self._exposed.run(module, function, arguments)
                if isinstance(outcome, Outcome):
                    return rpc_result(outcome, self._exposed.default)
                return _rpc_future(self._running().processes.loop, outcome, self._exposed.default)
        self._running().complain("a call that it does not know", request)
        return (ERROR, Atom("unknown_call"))

    def handle_cast(self, request: object) -> object:
        """Run ``{cast, M, F, Args, GroupLeader}``."""
        match request:
            case (Atom("cast"), module, function, arguments, _leader):
                outcome = self._exposed.run(module, function, arguments)
                if isinstance(outcome, Outcome):
                    self._cast_ended(module, function, outcome)
                else:
                    self._await_cast(module, function, outcome)
            case _:
                self._running().complain("a cast that it does not know", request)
        return None

    def _await_cast(self, module: object, function: object, future: Future[object]) -> None:
        running = self._running()
        if self._casts >= running.processes.max_pending_requests:
            future.cancel()
            running.complain("more casts at once than max_pending_requests", (module, function))
            return
        self._casts += 1

        def done(future: Future[object]) -> None:
            self._casts -= 1
            self._cast_ended(module, function, outcome_of(future, self._exposed.default))

        future.add_done_callback(done)

    def _cast_ended(self, module: object, function: object, outcome: Outcome) -> None:
        runner = self._runner  # None once the node is closed
        if outcome.class_ != "return" and runner is not None:
            runner.log.log(
                logging.ERROR, "a failed cast", "the cast of %s:%s ended with %s: %s",
                shown(module), shown(function), outcome.class_, shown(outcome.value),
            )  # fmt: skip

    def handle_info(self, message: object) -> object:
        """Answer ``{From, features_request}`` and ``{From, {sbcast, Name, Message}}``."""
        processes = self._running().processes
        match message:
            case (Pid() as sender, Atom("features_request")):
                features = [Atom("erpc")]
                answer: object = (Atom("features_reply"), processes.name, features)
                answer_to(processes, self.process.pid, sender, answer)
            case (Pid() as sender, (Atom("sbcast"), name, term)) if (
                dest := atom_of(name)
            ) is not None:
                named = processes.by_name.get(dest)
                if named is not None:
                    named.deliver(term if named.adapt is None else named.adapt("", term))
                    answer = (Atom(REX), processes.name, processes.name)
                else:
                    answer = (Atom(REX), processes.name, (Atom("nonexisting_name"), dest))
                answer_to(processes, self.process.pid, sender, answer)
            case (Atom("EXIT"), Pid(), _):
                pass
            case _:
                self._running().complain("a message of unknown shape", message)
        return None

    def get_state(self) -> object:
        """An empty map: the BEAM's rex shows its calls here, this one shows none."""
        return {}


def _rpc_future(loop: EventLoop, inner: Future[object], default: Hook | None) -> Future[object]:
    """A future with the `rpc_result` of another one; cancelling it stops waiting for the other."""

    def done(_inner: Future[object]) -> None:
        waiting = pending()
        if waiting is not None and not waiting.done():
            waiting.set_result(rpc_result(outcome_of(inner, default), default))

    outer: Future[object] = Future(loop, inner.what, lambda: inner.remove_done_callback(done))
    pending = weak_reference(outer)
    inner.add_done_callback(done)
    return outer


def rpc_result(outcome: Outcome, default: Hook | None) -> object:
    """What `rpc:call` returns for an outcome: the value, or ``{badrpc, {'EXIT', Reason}}``."""
    if outcome.class_ in ("return", "throw"):
        unsendable = encoding_error(outcome.value, default)
        if unsendable is None:
            return outcome.value
        outcome = raised(unsendable, default)
    return (BADRPC, (EXIT, outcome.exit_reason))


class LoggerProxy:
    """Passes the log events of other nodes to Python's logger ``uds_dist.remote``.

    The event's own node makes the text with its formatter, since an event may hold functions of
    that node.

    Args:
        processes: the node's process table.
        group_leader: receives anything that the formatter prints.

    Source: the logger_proxy module of OTP 27 and 29.
    """

    def __init__(self, processes: Processes, group_leader: Pid) -> None:
        self._loop = processes.loop
        self._processes = processes
        self._in_work: dict[str, int] = {}  # node -> bytes of the events whose texts it is making
        self._service = NodeService(processes, LOGGER_PROXY, LOGGER_PROXY, self._handle)
        self.process: Process = self._service.process
        self.process.group_leader = group_leader

    def _handle(self, node: str, message: object) -> bool:
        match message:
            case (
                Atom("log"),
                Atom() as level,
                format_,
                list() as arguments,
                (dict() | Map()) as meta,
            ):
                self._log(node, level, (format_, arguments), meta)
            case (Atom("log"), Atom() as level, bytes() as text, (dict() | Map()) as meta):
                self._log(node, level, (Atom("string"), text), meta)
            case (Atom("log"), Atom() as level, report, (dict() | Map()) as meta):
                is_report = isinstance(report, (dict, Map)) or _is_proplist(report)
                kind = "report" if is_report else "string"
                self._log(node, level, (Atom(kind), report), meta)
            case _:
                return False
        return True

    def _log(
        self, node: str, level: str, message: object, meta: dict[object, object] | Map
    ) -> None:
        number = LEVELS.get(level, logging.ERROR)
        if not remote_logger.isEnabledFor(number):
            return
        shown_here = shown(message)
        event = {Atom("level"): Atom(level), Atom("msg"): message, Atom("meta"): meta}
        template = {Atom("template"): [Atom("msg")], Atom("single_line"): False}
        size = EVENT_SIZE + encoded_size(event)
        if not isinstance(meta.get(Atom("pid")), Pid) or (
            self._in_work.get(node, 0) + size > MAX_IN_WORK
        ):
            remote_logger.log(number, "%s: %s", printable(node), shown_here)
            return
        self._in_work[node] = self._in_work.get(node, 0) + size

        def made(done: Future[object]) -> None:
            timer.cancel()
            self._in_work[node] -= size
            if not self._in_work[node]:
                del self._in_work[node]
            text = None
            if not done.cancelled() and done.exception() is None:
                text = chardata_text(done.result())
            what = shown_here if text is None else log_text(text)
            extra = {"erlang_meta": self._processes.terms.converted_or_plain(meta)}
            remote_logger.log(number, "%s: %s", printable(node), what, extra=extra)

        future = start_own_rpc(
            self._processes,
            self.process,
            node,
            "logger_formatter",
            "format",
            [event, template],
        )
        timer = self._loop.call_later(FORMAT_TIMEOUT, future.cancel)
        future.add_done_callback(made)


def log_text(text: str) -> str:
    """A peer's text for the log: bounded, control characters escaped, later lines indented."""
    cut = text[:MAX_LOG_TEXT]
    lines = [printable(line, MAX_LOG_TEXT) for line in cut.replace("\r\n", "\n").split("\n")]
    return "\n    ".join(lines).rstrip() + (MORE if len(text) > MAX_LOG_TEXT else "")


def _is_proplist(report: object) -> bool:
    return isinstance(report, list) and bool(report) and isinstance(report[0], tuple)
