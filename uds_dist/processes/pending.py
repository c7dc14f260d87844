"""What a process of this node has asked for elsewhere and has no outcome of yet.

A call of a server, a call of a function and the start of a process are one thing to the books: a
request to one node, known by one reference, whose future hears of the outcome, of the end of the
process that was to bring it, or of the end of the connection.
"""

from __future__ import annotations

from typing import Any
from weakref import ref as weak_reference

from uds_dist.etf.terms import Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.monitors import Monitor
from uds_dist.protocol.control import SpawnReply, SpawnReplyTt
from uds_dist.transport.loop import EventLoop


class PendingCall(Monitor):
    """A request without an outcome; a subclass says what is an outcome.

    ``ref`` is the monitor, the alias and the spawn request of it, as far as it has them; ``what``
    is awaited, for people.
    """

    __slots__ = ("what", "_future")

    def __init__(self, ref: Reference, owner: Pid, node: str, what: str) -> None:
        self.ref = ref
        self.owner = owner
        self.node = node
        self.what = what
        # Weak: a future that its program drops withdraws the request.
        self._future: weak_reference[Future[Any]] | None = None

    def new_future(self, loop: EventLoop) -> Future[Any]:
        """The future of the outcome; this keeps it only as long as others do."""
        future: Future[Any] = Future(loop, self.what, self.withdraw)
        self._future = weak_reference(future)
        return future

    def waiting(self) -> Future[Any] | None:
        """The future, if anybody still waits for it."""
        future = None if self._future is None else self._future()
        return None if future is None or future.done() else future

    def withdraw(self) -> None:
        """Nobody waits for the outcome any more. Must not run user code."""

    def on_message(self, message: object) -> None:
        """A message has come to the alias."""

    def on_reply(self, reply: SpawnReply | SpawnReplyTt) -> None:
        """The process that was to be started has started, or it has not."""
