"""The requests of this node's processes that have no outcome yet.

A call of a server, a call of a function and the start of a process are recorded alike: as a request
to one node, known by one reference. Its future is done at the outcome, at the end of the process
that was to bring it, or at the end of the connection.
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
    """A request without an outcome; a subclass defines the outcome.

    ``ref`` is its monitor, alias and spawn request, as far as it has them; ``what`` names in
    messages what is awaited.
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
