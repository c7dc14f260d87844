"""Calls to generic servers: a request under a label, answered once, under a monitor.

The call's one reference is a monitor and an alias at the same time. So whichever comes first, the
answer or the notice that the server is gone, ends the call, and an answer that comes too late is
dropped by this node instead of landing in somebody's mailbox.
"""

from __future__ import annotations

from weakref import ref as weak_reference

from uds_dist.errors import NoConnection, NoProcess, RemoteError, UdsDistError
from uds_dist.etf.terms import Atom, ImproperList, Pid, Reference
from uds_dist.node.future import Future
from uds_dist.node.mailbox import Mailbox
from uds_dist.node.processes import NOCONNECTION, NOPROC, Processes
from uds_dist.transport.loop import EventLoop

GEN_CALL = Atom("$gen_call")
GEN_CAST = Atom("$gen_cast")
ALIAS = Atom("alias")


def start_call(
    loop: EventLoop,
    processes: Processes,
    caller: Mailbox,
    dest: Pid | str | tuple[str, str],
    request: object,
    label: str = GEN_CALL,
) -> Future[object]:
    """Send a request to a generic server.

    Args:
        loop: brings the answer.
        processes: the node's process table.
        caller: the process that calls.
        dest: the server, by pid, by name here or by ``(name, node)``.
        request: any term.
        label: the tag of the message: ``$gen_call``, ``system`` and their like.
    Returns:
        A future with the reply. Its errors are NoProcess, NoConnection and RemoteError.
    Raises:
        EncodeError: the request is no term, or `dest` no destination.
    """
    ref = processes.new_reference()

    def withdraw() -> None:
        processes.aliases.pop(ref, None)
        processes.stop_monitor(ref)

    future: Future[object] = Future(loop, f"the answer of {shown(dest)}", withdraw)
    # Weak: a future that its program drops withdraws the call.
    pending = weak_reference(future)

    def on_reply(message: object) -> None:
        withdraw()
        waiting = pending()
        if waiting is None or waiting.done():
            return
        if isinstance(message, tuple) and len(message) == 2:
            waiting.set_result(message[1])
        else:
            waiting.set_exception(RemoteError(f"{shown(dest)} answered with no gen reply"))

    def on_down(reason: object) -> None:
        processes.aliases.pop(ref, None)
        waiting = pending()
        if waiting is not None and not waiting.done():
            waiting.set_exception(down_error(processes, dest, reason))

    processes.aliases[ref] = on_reply
    tag = ImproperList((ALIAS,), ref)
    try:
        processes.start_monitor(caller.pid, dest, ref, on_down)
        processes.send(caller, dest, (Atom(label), (caller.pid, tag), request))
    except BaseException:
        withdraw()
        future.cancel()
        raise
    return future


def cast(processes: Processes, caller: Mailbox, dest: object, request: object) -> None:
    """Send a request that has no answer. Raises what `Mailbox.send` raises."""
    assert isinstance(dest, (Pid, Reference, str, tuple))
    processes.send(caller, dest, (GEN_CAST, request))


def down_error(processes: Processes, dest: object, reason: object) -> UdsDistError:
    """The exception that stands for the reason of a DOWN."""
    if reason == NOCONNECTION and isinstance(reason, Atom):
        if processes.down_error is not None:
            return processes.down_error
        return NoConnection(f"the connection to the node of {shown(dest)} was lost")
    if reason == NOPROC and isinstance(reason, Atom):
        return NoProcess(f"there is no process {shown(dest)}", "exit", NOPROC)
    return RemoteError(f"{shown(dest)} exited before it answered: {reason!r}", "exit", reason)


def shown(dest: object) -> str:
    """A destination as people write it."""
    if isinstance(dest, tuple) and len(dest) == 2:
        return f"{dest[0]} at {dest[1]}"
    return str(dest)
