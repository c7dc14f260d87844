"""Calls to generic servers: a request under a label, answered once, under a monitor.

The call's one reference is a monitor and an alias at the same time. So whichever comes first, the
answer or the notice that the server is gone, ends the call, and an answer that comes too late is
dropped by this node instead of landing in somebody's mailbox.
"""

from __future__ import annotations

from uds_dist.errors import NoConnectionError, NoProcessError, RemoteError, UdsDistError
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, ImproperList, Pid
from uds_dist.processes.destination import process_and_node
from uds_dist.processes.future import Future
from uds_dist.processes.names import ALIAS, GEN_CALL, NOCONNECTION, NOPROC, is_atom
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes


class GenCall(PendingCall):
    """A call of a generic server: its reference is an alias and a monitor."""

    __slots__ = ("_dest", "_processes")

    def __init__(self, processes: Processes, owner: Pid, dest: object) -> None:
        self.target, node = process_and_node(dest, processes.name)
        super().__init__(
            processes.numbers.new_reference(), owner, node, f"the answer of {dest_text(dest)}"
        )
        self._dest = dest
        self._processes = processes

    def withdraw(self) -> None:
        """Nobody waits for the answer any more."""
        self._processes.aliases.pop(self.ref, None)
        self._processes.stop_monitor(self.ref)

    def on_message(self, message: object) -> None:
        """The server has answered."""
        self.withdraw()
        waiting = self.waiting()
        if waiting is None:
            return
        if isinstance(message, tuple) and len(message) == 2:
            settle(self._processes, waiting, message[1])
        else:
            text = f"{dest_text(self._dest)} sent a malformed reply"
            waiting.set_exception(RemoteError(text))

    def on_down(self, reason: object) -> None:
        """The server has ended."""
        self._processes.aliases.pop(self.ref, None)
        waiting = self.waiting()
        if waiting is not None:
            waiting.set_exception(down_error(self._processes, self._dest, reason))


def start_call(
    processes: Processes,
    caller: Process,
    dest: object,  # compiled, another type would be checked here, and raise TypeError
    request: object,
    label: str = GEN_CALL,
) -> Future[object]:
    """Send a request to a generic server.

    Args:
        processes: the node's process table.
        caller: the process that calls.
        dest: the server, by pid, by name here or by ``(name, node)``.
        request: any term.
        label: the tag of the message: ``$gen_call``, ``system`` and others.
    Returns:
        A future with the reply. Its errors are NoProcessError, NoConnectionError and RemoteError.
    Raises:
        EncodeError: the request is not a term, or `dest` is not a destination.
    """
    call = GenCall(processes, caller.pid, dest)
    assert isinstance(dest, (Pid, str, tuple))  # anything else was refused there
    future: Future[object] = call.new_future(processes.loop)
    processes.aliases[call.ref] = call
    tag = ImproperList((ALIAS,), call.ref)
    try:
        processes.watch(call)
        processes.send(caller, dest, (Atom(label), (caller.pid, tag), request))
    except BaseException:
        future.cancel()
        raise
    return future


def settle(processes: Processes, future: Future[object], term: object) -> None:
    """Set a received term, converted for the program, as the result of a future."""
    try:
        value = processes.terms.converted(term)
    except Exception as error:  # the program's object_hook
        future.set_exception(error)
    else:
        future.set_result(value)


def down_error(processes: Processes, dest: object, reason: object) -> UdsDistError:
    """The exception for the reason of a DOWN."""
    if is_atom(reason, NOCONNECTION):
        if processes.down_error is not None:
            return processes.down_error
        return NoConnectionError(f"the connection to the node of {dest_text(dest)} was lost")
    if is_atom(reason, NOPROC):
        return NoProcessError(f"there is no process {dest_text(dest)}", "exit", NOPROC)
    text = f"{dest_text(dest)} exited before it answered: {shown(reason)}"
    return RemoteError(text, "exit", processes.terms.converted_or_plain(reason))


def dest_text(dest: object) -> str:
    """A destination as people write it."""
    if isinstance(dest, tuple) and len(dest) == 2:
        return f"{printable(str(dest[0]))} at {printable(str(dest[1]))}"
    return printable(str(dest))
