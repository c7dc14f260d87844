"""Calls of functions at other nodes, as `rpc:call` and `erpc:call` make them.

A call is a spawn request for ``erpc:execute_call/4`` with a monitor: the process runs the
function and exits with its outcome as the reason. There is no server in between to be waited for.

Source: Distribution Protocol, SPAWN_REQUEST; the erpc module of OTP 23 and newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref as weak_reference

from uds_dist.errors import NoConnection, RemoteError, UdsDistError
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.node.future import Future
from uds_dist.node.gen import down_error
from uds_dist.node.mailbox import Mailbox
from uds_dist.node.processes import NOCONNECTION, Processes
from uds_dist.protocol.control import SPAWN_REQUEST, SpawnReply, SpawnReplyTt
from uds_dist.transport.loop import EventLoop

EXECUTE_CALL = (Atom("erpc"), Atom("execute_call"), 4)
LINK_OPTION = Atom("link")
MONITOR_OPTION = Atom("monitor")


def start_rpc(
    loop: EventLoop,
    processes: Processes,
    caller: Mailbox,
    group_leader: Pid,
    node: str,
    module: str,
    function: str,
    arguments: Sequence[object],
) -> Future[object]:
    """Call a function at another node.

    Args:
        loop: brings the answer.
        processes: the node's process table.
        caller: the process that calls.
        group_leader: where what the function prints goes.
        node: the other node's name.
        module, function: what to call; ``Elixir.`` belongs to an Elixir module's name.
        arguments: the argument terms.
    Returns:
        A future with the function's value. Its errors are RemoteError and NoConnection.
    Raises:
        EncodeError: an argument is no term.
    """
    ref = processes.new_reference()
    what = f"the answer of {module}:{function}/{len(arguments)} at {node}"
    started: list[Pid] = []

    def withdraw() -> None:
        if started:
            processes.stop_monitor(ref)
        elif ref in processes.spawns:
            # The process is to be left alone as soon as its pid is known.
            processes.spawns[ref] = (node, leave_alone)

    def leave_alone(reply: SpawnReply | SpawnReplyTt) -> None:
        if isinstance(reply.result, Pid):
            processes.note_monitor(caller.pid, reply.result, ref, ignore)
            processes.stop_monitor(ref)

    future: Future[object] = Future(loop, what, withdraw)
    pending = weak_reference(future)

    def on_reply(reply: SpawnReply | SpawnReplyTt) -> None:
        if isinstance(reply.result, Pid):
            started.append(reply.result)
            processes.note_monitor(caller.pid, reply.result, ref, on_down)
        else:
            fail(_refused(processes, node, reply.result))

    def on_down(reason: object) -> None:
        waiting = pending()
        if waiting is None or waiting.done():
            return
        if isinstance(reason, tuple) and len(reason) >= 2 and reason[0] == ref:
            if reason[1] == "return" and len(reason) == 3:
                waiting.set_result(reason[2])
            else:
                waiting.set_exception(_raised(what, reason))
        elif reason == NOCONNECTION:
            waiting.set_exception(down_error(processes, node, reason))
        else:
            waiting.set_exception(
                RemoteError(f"{what}: the process was killed: {reason!r}", "signal", reason)
            )

    def fail(error: UdsDistError) -> None:
        waiting = pending()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    mfa = (Atom(module), Atom(function), list(arguments))
    control = (SPAWN_REQUEST, ref, caller.pid, group_leader, EXECUTE_CALL, [MONITOR_OPTION])
    try:
        processes.request_spawn(node, control, [ref, *mfa], on_reply)
    except BaseException:
        processes.forget_spawn(ref)
        future.cancel()
        raise
    return future


def start_spawn(
    loop: EventLoop,
    processes: Processes,
    parent: Mailbox,
    group_leader: Pid,
    node: str,
    module: str,
    function: str,
    arguments: Sequence[object],
    link: bool,
    monitor: bool,
) -> Future[tuple[Pid, Reference | None]]:
    """Start a process at another node, linked to or monitored by `parent` on request.

    Returns:
        A future with the pid, and the monitor's reference or None.
    Raises:
        EncodeError: an argument is no term.
    """
    ref = processes.new_reference()
    future: Future[tuple[Pid, Reference | None]] = Future(
        loop, f"the process of {module}:{function}/{len(arguments)} at {node}"
    )

    def on_reply(reply: SpawnReply | SpawnReplyTt) -> None:
        if not isinstance(reply.result, Pid):
            if not future.done():
                future.set_exception(_refused(processes, node, reply.result))
            return
        if link:
            processes.add_link(parent, reply.result)
        if monitor:
            processes.watch_spawned(parent, reply.result, ref)
        if not future.done():
            future.set_result((reply.result, ref if monitor else None))

    options = [LINK_OPTION] * link + [MONITOR_OPTION] * monitor
    mfa = (Atom(module), Atom(function), len(arguments))
    control = (SPAWN_REQUEST, ref, parent.pid, group_leader, mfa, options)
    try:
        processes.request_spawn(node, control, list(arguments), on_reply)
    except BaseException:
        processes.forget_spawn(ref)
        raise
    return future


def ignore(_reason: object) -> None:
    """What a monitor tells that nobody waits for any more."""


def _refused(processes: Processes, node: str, reason: object) -> UdsDistError:
    if reason == NOCONNECTION:
        return processes.down_error or NoConnection(f"there is no connection to {node}")
    return RemoteError(f"{node} starts no process: {reason}", "error", reason)


def _raised(what: str, outcome: tuple[object, ...]) -> RemoteError:
    """The exception for ``{Ref, Class, Reason}`` or ``{Ref, error, Reason, Stack}``."""
    class_ = str(outcome[1])
    reason = outcome[2] if len(outcome) > 2 else None
    stack = outcome[3] if len(outcome) > 3 else []
    return RemoteError(f"{what}: {class_} {reason!r}", class_, reason, stack)
