"""The processes that every node has under a name of its own: what a peer expects to find.

`net_kernel` answers pings. Without an answer `net_adm:ping` hangs, or, at a notice that there is
no such process, disconnects the node that it asked. `rex` is the server of the older forms of
remote calls. `logger_proxy` is where a node sends what processes log whose group leader is here.
"""

from __future__ import annotations

import logging
from weakref import ref as weak_reference

from uds_dist.errors import UdsDistError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.table import Processes
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import GEN_CALL, From, alias_of, answer_to
from uds_dist.services.group_leader import chardata_text
from uds_dist.services.outcome import ERROR, Outcome, encoding_error, outcome_of, raised
from uds_dist.services.rpc import start_rpc
from uds_dist.services.server import GenServer
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)

NET_KERNEL = "net_kernel"
REX = "rex"
LOGGER_PROXY = "logger_proxy"
IS_AUTH = Atom("is_auth")
YES = Atom("yes")
BADRPC = Atom("badrpc")
EXIT = Atom("EXIT")

# What logger_proxy hands to: a program sets its level and handlers like any other logger's.
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
# Log events whose text is being made at their nodes: beyond that many, Python makes a shorter one.
MAX_EVENTS_IN_WORK = 100


class NetKernel:
    """Answers ``{is_auth, Node}``: the peer that asks has proved the cookie to be connected."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.process: Mailbox = processes.new_mailbox(NET_KERNEL, self._on_message, trap_exit=True)
        self.process.system = True

    def _on_message(self, message: object) -> None:
        match message:
            case (label, (Pid() as caller, tag), (request, _node)) if (
                label == GEN_CALL and request == IS_AUTH
            ):
                answer_to(self._processes, self.process.pid, alias_of(tag) or caller, (tag, YES))


class Rex(GenServer):
    """The server of `rpc` before `erpc`, still in use for block_call and eval_everywhere.

    Args:
        exposed: what may be called.

    Source: the rpc module of OTP 27 and 29.
    """

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed

    def init(self) -> object:
        """No exit signal ends it."""
        self.process.system = True
        return None

    def handle_call(self, request: object, from_: From) -> object:
        """Answer ``{call|block_call, M, F, Args, GroupLeader}``."""
        match request:
            case (Atom("call" | "block_call"), module, function, arguments, _leader):
                outcome = self._exposed.run(module, function, arguments)
                if isinstance(outcome, Outcome):
                    return rpc_result(outcome)
                return _rpc_future(self.process.loop, outcome)
        return (ERROR, Atom("unknown_call"))

    def handle_cast(self, request: object) -> object:
        """Run ``{cast, M, F, Args, GroupLeader}``."""
        match request:
            case (Atom("cast"), module, function, arguments, _leader):
                outcome = self._exposed.run(module, function, arguments)
                if isinstance(outcome, Outcome):
                    _log_cast(module, function, outcome)
                else:
                    outcome.add_done_callback(
                        lambda done: _log_cast(module, function, outcome_of(done))
                    )
        return None

    def handle_info(self, message: object) -> object:
        """Answer ``{From, features_request}`` and ``{From, {sbcast, Name, Message}}``."""
        processes = self._running().processes
        match message:
            case (Pid() as sender, Atom("features_request")):
                features = [Atom("erpc")]
                answer: object = (Atom("features_reply"), processes.name, features)
                answer_to(processes, self.process.pid, sender, answer)
            case (Pid() as sender, (Atom("sbcast"), Atom() as name, term)):
                if name in processes.by_name:
                    self.process.send(name, term)
                    answer = (Atom(REX), processes.name, processes.name)
                else:
                    missing = (Atom("nonexisting_name"), name)
                    answer = (Atom(REX), processes.name, missing)
                answer_to(processes, self.process.pid, sender, answer)
        return None

    def get_state(self) -> object:
        """The calls under way in the BEAM's rex; here they are nobody's business."""
        return {}


def _rpc_future(loop: EventLoop, inner: Future[object]) -> Future[object]:
    """A future with the `rpc_result` of another one, which it drops when it is dropped itself."""

    def done(_inner: Future[object]) -> None:
        waiting = pending()
        if waiting is not None and not waiting.done():
            waiting.set_result(rpc_result(outcome_of(inner)))

    outer: Future[object] = Future(loop, inner.what, lambda: inner.remove_done_callback(done))
    pending = weak_reference(outer)
    inner.add_done_callback(done)
    return outer


def _log_cast(module: object, function: object, outcome: Outcome) -> None:
    if outcome.class_ != "return":
        logger.error(
            "the cast of %s:%s ended with %s: %s",
            shown(module), shown(function), outcome.class_, shown(outcome.value),
        )  # fmt: skip


def rpc_result(outcome: Outcome) -> object:
    """What `rpc:call` gives for an outcome: the value, or ``{badrpc, {'EXIT', Reason}}``."""
    if outcome.class_ in ("return", "throw"):
        unsendable = encoding_error(outcome.value)
        if unsendable is None:
            return outcome.value
        outcome = raised(unsendable)
    return (BADRPC, (EXIT, outcome.exit_reason))


class LoggerProxy:
    """Hands the log events of other nodes to Python's logger ``uds_dist.remote``.

    The text is made by the node that the event is of, with its own formatter, since an event may
    hold functions of that node.

    Args:
        loop: brings the texts.
        processes: the node's process table.
        group_leader: where the formatter would print.

    Source: the logger_proxy module of OTP 27 and 29.
    """

    def __init__(self, loop: EventLoop, processes: Processes, group_leader: Pid) -> None:
        self._loop = loop
        self._processes = processes
        self._group_leader = group_leader
        self._in_work = 0
        self.process: Mailbox = processes.new_mailbox(LOGGER_PROXY, self._on_message, True)
        self.process.system = True

    def _on_message(self, message: object) -> None:
        match message:
            case (Atom("log"), Atom() as level, format_, list() as arguments, dict() as meta):
                self._log(level, (format_, arguments), meta)
            case (Atom("log"), Atom() as level, bytes() as text, dict() as meta):
                self._log(level, (Atom("string"), text), meta)
            case (Atom("log"), Atom() as level, report, dict() as meta):
                kind = "report" if isinstance(report, dict) or _is_proplist(report) else "string"
                self._log(level, (Atom(kind), report), meta)

    def _log(self, level: str, message: object, meta: dict[object, object]) -> None:
        number = LEVELS.get(level, logging.ERROR)
        if not remote_logger.isEnabledFor(number):
            return
        pid = meta.get("pid")
        if not isinstance(pid, Pid) or self._in_work >= MAX_EVENTS_IN_WORK:
            remote_logger.log(number, "%s", shown(message))
            return
        node = pid.node
        event = {Atom("level"): Atom(level), Atom("msg"): message, Atom("meta"): meta}
        template = {Atom("template"): [Atom("msg")], Atom("single_line"): False}
        self._in_work += 1

        def made(future: Future[object]) -> None:
            self._in_work -= 1
            try:
                text = chardata_text(future.result())
            except UdsDistError:
                text = None
            what = shown(message) if text is None else text
            remote_logger.log(number, "%s: %s", node, what, extra={"erlang_meta": meta})

        start_rpc(
            self._loop,
            self._processes,
            self.process,
            self._group_leader,
            node,
            "logger_formatter",
            "format",
            [event, template],
        ).add_done_callback(made)


def _is_proplist(report: object) -> bool:
    return isinstance(report, list) and bool(report) and isinstance(report[0], tuple)


def reply(process: Mailbox, caller: Pid, tag: object, answer: object) -> None:
    """Answer a generic call.

    Args:
        process: the process that answers.
        caller: the pid of the call's ``From``.
        tag: the tag of it; with an alias in it the answer goes to that.
        answer: any term.
    """
    process.send(alias_of(tag) or caller, (tag, answer))
