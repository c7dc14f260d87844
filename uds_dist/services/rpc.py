"""Calls of functions on other nodes, made like `rpc:call` and `erpc:call`.

A call is a spawn request for ``erpc:execute_call/4`` with a monitor: the process runs the function
and exits with its outcome as the reason. No server on the other node is involved.

Source: Distribution Protocol, SPAWN_REQUEST; the erpc module of OTP 23 and newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from uds_dist.errors import NoConnectionError, RemoteError, UdsDistError
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import down_error, settle
from uds_dist.processes.future import Future, failed
from uds_dist.processes.names import LINK, MONITOR, NOCONNECTION, RETURN, is_atom
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import SPAWN_REQUEST, SpawnReply, SpawnReplyTt

EXECUTE_CALL = (Atom("erpc"), Atom("execute_call"), 4)
# Erlang's exception classes; any other class counts as an error.
_CLASSES: dict[str, Literal["error", "exit", "throw"]] = {
    "error": "error", "exit": "exit", "throw": "throw",
}  # fmt: skip


class Caller(Protocol):
    """What a call needs of the process that calls: a `Process`, or the mailbox of one."""

    pid: Pid
    group_leader: Pid | None


def start_rpc(
    processes: Processes,
    caller: Caller,
    node: str,
    module: str,
    function: str,
    arguments: Sequence[object],
    own: bool = False,
) -> Future[object]:
    """Call a function on another node.

    Args:
        processes: the node's process table.
        caller: the process that calls; its group leader prints the function's output.
        node: the other node's name.
        module, function: what to call; an Elixir module's name starts with ``Elixir.``.
        arguments: the argument terms.
        own: True if the node itself calls: a full write queue does not refuse the call.
    Returns:
        A future with the function's value. Its errors are RemoteError and NoConnectionError.
    Raises:
        TypeError: the arguments are not a list of terms.
        EncodeError: an argument is not a term.
        BusyError: more than ``write_high_water`` bytes wait for the node; nothing was sent.
    """
    check_arguments(arguments)
    what = f"the answer of {module}:{function}/{len(arguments)} at {node}"
    call = Call(processes, caller.pid, node, what, own)
    leader = leader_of(caller)
    control = (SPAWN_REQUEST, call.ref, caller.pid, leader, EXECUTE_CALL, [MONITOR])
    call_arguments = [call.ref, Atom(module), Atom(function), list(arguments)]
    future: Future[object] = call.new_future(processes.loop)
    try:
        processes.request_spawn(call, control, call_arguments, own)
    except BaseException:
        future.cancel()
        raise
    return future


def leader_of(process: Caller) -> Pid:
    """The group leader of a process; by default the process itself."""
    return process.pid if process.group_leader is None else process.group_leader


def start_own_rpc(
    processes: Processes,
    caller: Caller,
    node: str,
    module: str,
    function: str,
    arguments: Sequence[object],
) -> Future[object]:
    """Call a function for the node itself, as part of a peer's request.

    Returns:
        A future like `start_rpc`'s; what `start_rpc` raises becomes its outcome.
    """
    try:
        return start_rpc(processes, caller, node, module, function, arguments, own=True)
    except (UdsDistError, RecursionError) as error:
        return failed(processes.loop, error)


def check_arguments(arguments: object) -> None:
    """Refuse a text instead of a list of arguments: each character would be an argument.

    Raises:
        TypeError: it is not a list, a tuple or another sequence of terms.
    """
    if isinstance(arguments, (list, tuple)):
        return
    if isinstance(arguments, (str, bytes, bytearray, memoryview)):
        kind = type(arguments).__name__
        raise TypeError(f"the arguments are a {kind}: give a list of terms, such as [{kind}]")
    if not isinstance(arguments, Sequence):
        kind = type(arguments).__name__
        raise TypeError(f"the arguments are a {kind}: give a list of terms")


class Call(PendingCall):
    """A call of a function: first the spawn request, then the monitor of the new process."""

    __slots__ = ("_own", "_processes")

    def __init__(self, processes: Processes, owner: Pid, node: str, what: str, own: bool) -> None:
        super().__init__(processes.numbers.new_reference(), owner, node, what)
        self._own = own  # the node's own calls get plain terms
        self._processes = processes

    def withdraw(self) -> None:
        """Stop monitoring the process; `on_reply` does it if the pid is not known yet."""
        self._processes.stop_monitor(self.ref)

    def on_reply(self, reply: SpawnReply | SpawnReplyTt) -> None:
        """The process has started, or the other node has refused to start it."""
        waiting = self.waiting()
        if isinstance(reply.result, Pid):
            self.target = reply.result
            self._processes.note_monitor(self)
            if waiting is None:
                self._processes.stop_monitor(self.ref)
        elif waiting is not None:
            waiting.set_exception(_refused(self._processes, self.node, reply.result))

    def on_down(self, reason: object) -> None:
        """The process has ended: its reason is the outcome."""
        waiting = self.waiting()
        if waiting is None:
            return
        if isinstance(reason, tuple) and len(reason) >= 2 and reason[0] == self.ref:
            if not (is_atom(reason[1], RETURN) and len(reason) == 3):
                waiting.set_exception(self._raised(reason))
            elif self._own:
                waiting.set_result(reason[2])
            else:
                settle(self._processes, waiting, reason[2])
        elif is_atom(reason, NOCONNECTION):
            waiting.set_exception(down_error(self._processes, self.node, reason))
        else:
            killed = f"{self.what}: the process was killed: {shown(reason)}"
            waiting.set_exception(RemoteError(killed, "signal", self._seen(reason)))

    def _raised(self, outcome: tuple[object, ...]) -> RemoteError:
        """The exception for ``{Ref, Class, Reason}`` or ``{Ref, error, Reason, Stack}``."""
        class_ = _CLASSES.get(outcome[1], "error") if isinstance(outcome[1], Atom) else "error"
        told = printable(outcome[1] if isinstance(outcome[1], Atom) else shown(outcome[1]))
        reason = outcome[2] if len(outcome) > 2 else None
        stack = outcome[3] if len(outcome) > 3 else []
        text = f"{self.what}: {told} {shown(reason)}"
        return RemoteError(text, class_, self._seen(reason), self._seen(stack))

    def _seen(self, term: object) -> object:
        return term if self._own else self._processes.terms.converted_or_plain(term)


class Start(PendingCall):
    """The start of a process, on request linked to its parent and monitored by it."""

    __slots__ = ("_link", "_monitor", "_parent", "_processes")

    def __init__(
        self,
        processes: Processes,
        parent: Process,
        node: str,
        what: str,
        link: bool = False,
        monitor: bool = False,
    ) -> None:
        super().__init__(processes.numbers.new_reference(), parent.pid, node, what)
        self._processes = processes
        self._parent = parent
        self._link = link
        self._monitor = monitor

    def on_reply(self, reply: SpawnReply | SpawnReplyTt) -> None:
        """The process has started, or the other node has refused to start it."""
        pid = reply.result
        if isinstance(pid, Pid):
            if self._link:
                self._processes.add_link(self._parent, pid)
            if self._monitor:
                self._processes.watch_spawned(self._parent, pid, self.ref)
        waiting = self.waiting()
        if waiting is None:
            return
        if isinstance(pid, Pid):
            waiting.set_result((pid, self.ref if self._monitor else None))
        else:
            waiting.set_exception(_refused(self._processes, self.node, pid))


def start_spawn(
    processes: Processes,
    parent: Process,
    node: str,
    module: str,
    function: str,
    arguments: Sequence[object],
    link: bool,
    monitor: bool,
) -> Future[tuple[Pid, Reference | None]]:
    """Start a process on another node, on request linked to or monitored by `parent`.

    Returns:
        A future with the pid, and the monitor's reference or None.
    Raises:
        TypeError: the arguments are not a list of terms.
        EncodeError: an argument is not a term.
        BusyError: more than ``write_high_water`` bytes wait for the node; nothing was sent.
    """
    check_arguments(arguments)
    what = f"the process of {module}:{function}/{len(arguments)} at {node}"
    start = Start(processes, parent, node, what, link, monitor)
    options = [LINK] * link + [MONITOR] * monitor
    mfa = (Atom(module), Atom(function), len(arguments))
    control = (SPAWN_REQUEST, start.ref, parent.pid, leader_of(parent), mfa, options)
    future: Future[tuple[Pid, Reference | None]] = start.new_future(processes.loop)
    processes.request_spawn(start, control, list(arguments))
    return future


def _refused(processes: Processes, node: str, reason: object) -> UdsDistError:
    if is_atom(reason, NOCONNECTION):
        return processes.down_error or NoConnectionError(f"there is no connection to {node}")
    text = f"{node} refuses to start a process: {shown(reason)}"
    return RemoteError(text, "error", processes.terms.converted_or_plain(reason))
