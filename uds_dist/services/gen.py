"""Calls to generic servers: a request under a label, answered once, under a monitor.

The call's one reference is a monitor and an alias at the same time. So whichever comes first, the
answer or the notice that the server is gone, ends the call, and an answer that comes too late is
dropped by this node instead of landing in somebody's mailbox.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from weakref import ref as weak_reference

from uds_dist.errors import NoConnection, NoProcess, RemoteError, UdsDistError
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, ImproperList, Pid, Reference
from uds_dist.processes.destination import process_and_node
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.names import ALIAS, GEN_CALL, GEN_CAST, NOCONNECTION, NOPROC, is_atom
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import ALIAS_SEND, SEND_SENDER


class From(NamedTuple):
    """Who waits for a reply: the caller's pid, and the tag by which it knows the reply."""

    pid: Pid
    tag: object


class MultiReply(NamedTuple):
    """The outcome of a call to servers at several nodes.

    ``replies`` has the reply of each node that answered; ``bad_nodes`` are the others.
    """

    replies: dict[str, object]
    bad_nodes: list[str]


class GenCall(PendingCall):
    """A call of a generic server: its reference is an alias and a monitor."""

    __slots__ = ("_dest", "_processes")

    def __init__(self, processes: Processes, owner: Pid, dest: object) -> None:
        self.target, node = process_and_node(dest, processes.name)
        super().__init__(
            processes.new_reference(), owner, node, f"the answer of {dest_text(dest)}"
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
    caller: Mailbox,
    dest: Pid | str | tuple[str, str],
    request: object,
    label: str = GEN_CALL,
) -> Future[object]:
    """Send a request to a generic server.

    Args:
        processes: the node's process table.
        caller: the process that calls.
        dest: the server, by pid, by name here or by ``(name, node)``.
        request: any term.
        label: the tag of the message: ``$gen_call``, ``system`` and their like.
    Returns:
        A future with the reply. Its errors are NoProcess, NoConnection and RemoteError.
    Raises:
        EncodeError: the request is not a term, or `dest` is not a destination.
    """
    call = GenCall(processes, caller.pid, dest)
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
    """Give a future of the program the term that came, as the program wants it."""
    try:
        value = processes.converted(term)
    except Exception as error:  # the program's object_hook
        future.set_exception(error)
    else:
        future.set_result(value)


def cast(processes: Processes, caller: Mailbox, dest: object, request: object) -> None:
    """Send a request that has no answer. Raises what `Mailbox.send` raises."""
    assert isinstance(dest, (Pid, Reference, str, tuple))
    processes.send(caller, dest, (GEN_CAST, request))


def start_multi_call(
    processes: Processes,
    caller: Mailbox,
    nodes: Iterable[str],
    name: str,
    request: object,
    timeout: float | None,
) -> Future[MultiReply]:
    """Call the servers of one name at several nodes, as ``gen_server:multi_call`` does.

    Args:
        processes, caller: as `start_call` takes them.
        nodes: the nodes' names.
        name: the servers' registered name.
        request: any term.
        timeout: seconds after which a node that has not answered is a bad one; None for no end.
    Returns:
        A future with a MultiReply; it does not fail.
    Raises:
        EncodeError: the request is no term.
    """
    names = list(dict.fromkeys(nodes))
    calls: dict[str, Future[object]] = {}
    timer = None if timeout is None else processes.loop.call_later(timeout, lambda: finish())

    def withdraw() -> None:
        if timer is not None:
            timer.cancel()
        for call in calls.values():
            call.cancel()

    future: Future[MultiReply] = Future(processes.loop, f"the answers of {name}", withdraw)
    pending = weak_reference(future)

    def finish() -> None:
        waiting = pending()
        if waiting is None or waiting.done():
            return
        replies = {
            node: call.result()
            for node, call in calls.items()
            if call.done() and not call.cancelled() and call.exception() is None
        }
        waiting.set_result(MultiReply(replies, [node for node in names if node not in replies]))
        withdraw()

    def answered(_call: Future[object]) -> None:
        if all(call.done() for call in calls.values()):
            finish()

    try:
        for node in names:
            calls[node] = start_call(processes, caller, (name, node), request)
    except BaseException:
        future.cancel()
        raise
    for call in calls.values():
        call.add_done_callback(answered)
    if not calls:
        finish()
    return future


def reply(processes: Processes, sender: Pid, from_: From, answer: object) -> None:
    """Answer a generic call.

    A reply is never refused because much waits to be written: the caller could not be told.

    Args:
        processes: the node's process table.
        sender: the process that answers.
        from_: who asked; with an alias in its tag the answer goes to that.
        answer: any term.
    Raises:
        EncodeError: the answer is no term; nothing was sent.
    """
    answer_to(processes, sender, alias_of(from_.tag) or from_.pid, (from_.tag, answer))


def answer_to(
    processes: Processes, sender: Pid, dest: Pid | Reference, message: object
) -> None:
    """Send what another process waits for; unlike a program's own message it is never refused."""
    op = ALIAS_SEND if isinstance(dest, Reference) else SEND_SENDER
    processes.signal(dest.node, (op, sender, dest), message)


def alias_of(tag: object) -> Reference | None:
    """The alias in the tag of a generic call: ``[alias|Ref]`` or ``[[alias|Ref]|_]``."""
    for _ in range(2):
        if not isinstance(tag, ImproperList) or len(tag.items) != 1:
            return None
        if is_atom(tag.items[0], ALIAS) and isinstance(tag.tail, Reference):
            return tag.tail
        tag = tag.items[0]
    return None


def monitor_of(tag: object) -> Reference | None:
    """The caller's monitor in the tag of a generic call: ``Ref`` or ``[_|Ref]``."""
    if isinstance(tag, ImproperList):
        tag = tag.tail
    return tag if isinstance(tag, Reference) else None


def from_term(term: object) -> From | None:
    """The ``{Pid, Tag}`` of a generic call."""
    if type(term) is tuple and len(term) == 2 and isinstance(term[0], Pid):
        return From(term[0], term[1])
    return None


def down_error(processes: Processes, dest: object, reason: object) -> UdsDistError:
    """The exception that stands for the reason of a DOWN."""
    if is_atom(reason, NOCONNECTION):
        if processes.down_error is not None:
            return processes.down_error
        return NoConnection(f"the connection to the node of {dest_text(dest)} was lost")
    if is_atom(reason, NOPROC):
        return NoProcess(f"there is no process {dest_text(dest)}", "exit", NOPROC)
    text = f"{dest_text(dest)} exited before it answered: {shown(reason)}"
    return RemoteError(text, "exit", processes.converted_or_plain(reason))


def dest_text(dest: object) -> str:
    """A destination as people write it."""
    if isinstance(dest, tuple) and len(dest) == 2:
        return f"{printable(str(dest[0]))} at {printable(str(dest[1]))}"
    return printable(str(dest))
