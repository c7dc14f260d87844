"""Generic calls on the server's side, casts, and calls of several servers at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from weakref import ref as weak_reference

from uds_dist.etf.terms import ImproperList, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.future import Future
from uds_dist.processes.names import ALIAS, GEN_CAST, is_atom
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import ALIAS_SEND, SEND_SENDER
from uds_dist.services.outcome import encoded_size

# The largest tag of a call that is kept until its answer comes, in bytes. A BEAM's have about 50.
MAX_TAG_SIZE: Final = 1024


class From(NamedTuple):
    """The caller that waits for a reply: its pid, and the tag by which it recognizes the reply."""

    pid: Pid
    tag: object


class MultiReply(NamedTuple):
    """The outcome of a call to servers at several nodes.

    ``replies`` has the reply of each node that answered; ``bad_nodes`` are the others.
    """

    replies: dict[str, object]
    bad_nodes: list[str]


def cast(processes: Processes, caller: Process, dest: object, request: object) -> None:
    """Send a request without an answer. Raises what `Mailbox.send` raises."""
    assert isinstance(dest, (Pid, Reference, str, tuple))
    processes.send(caller, dest, (GEN_CAST, request))


def start_multi_call(
    processes: Processes,
    caller: Process,
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
        timeout: seconds after which a node without an answer counts as bad; None for no limit.
    Returns:
        A future with a MultiReply; it does not fail.
    Raises:
        EncodeError: the request is not a term.
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
        waiting.set_result(_outcomes(calls))
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


def _outcomes(calls: dict[str, Future[object]]) -> MultiReply:
    """The replies by node, and the nodes that have not replied."""
    replies = {
        node: call.result()
        for node, call in calls.items()
        if call.done() and not call.cancelled() and call.exception() is None
    }
    return MultiReply(replies, [node for node in calls if node not in replies])


def reply(processes: Processes, sender: Pid, from_: From, answer: object) -> None:
    """Answer a generic call.

    A reply is never refused because the write queue is full: the caller would not know.

    Args:
        processes: the node's process table.
        sender: the process that answers.
        from_: the caller; the answer goes to the alias in its tag, if there is one.
        answer: any term.
    Raises:
        EncodeError: the answer is not a term; nothing was sent.
    """
    answer_to(processes, sender, alias_of(from_.tag) or from_.pid, (from_.tag, answer))


def answer_to(processes: Processes, sender: Pid, dest: Pid | Reference, message: object) -> None:
    """Send what another process waits for; unlike a program's own message, it is never refused."""
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


def is_large(tag: object) -> bool:
    """True for a tag that takes too much memory to be kept until the answer comes."""
    if isinstance(tag, ImproperList) and len(tag.items) == 1 and is_atom(tag.items[0], ALIAS):
        tag = tag.tail
    return not isinstance(tag, Reference) and encoded_size(tag) > MAX_TAG_SIZE


def from_term(term: object) -> From | None:
    """The ``{Pid, Tag}`` of a generic call."""
    if type(term) is tuple and len(term) == 2 and isinstance(term[0], Pid):
        return From(term[0], term[1])
    return None
