"""Two more inboxes: one that shows each message to a function, and one without processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from uds_dist.errors import UdsDistError
from uds_dist.processes.router import Inbox
from uds_dist.transport.loop import EventLoop

# Called with each message: (SENT or RECEIVED, the other node, control message, payload).
Trace = Callable[[str, str, "tuple[object, ...]", object], object]
SENT = "sent"
RECEIVED = "received"


def harmless(trace: Trace, loop: EventLoop) -> Trace:
    """A trace that passes its exceptions to the next round: the message goes its way first."""

    def shown(direction: str, node: str, control: tuple[object, ...], payload: object) -> None:
        try:
            trace(direction, node, control, payload)
        except Exception as error:
            loop.call_soon(partial(_raise, error))

    return shown


def _raise(error: Exception) -> None:
    raise error


class TracedInbox:
    """An inbox whose messages are shown to a function first."""

    def __init__(self, inbox: Inbox, trace: Trace) -> None:
        self._inbox = inbox
        self._trace = trace

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        try:
            self._trace(RECEIVED, node, control, payload)
        finally:
            self._inbox.received(node, control, payload)

    def is_answer(self, control: tuple[object, ...]) -> bool:
        return self._inbox.is_answer(control)

    def node_down(self, node: str, error: UdsDistError) -> None:
        self._inbox.node_down(node, error)

    def node_silent(self, node: str) -> None:
        self._inbox.node_silent(node)


class NoInbox:
    """The inbox of a node that has no name yet: it has no processes."""

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        pass

    def is_answer(self, control: tuple[object, ...]) -> bool:
        return False

    def node_down(self, node: str, error: UdsDistError) -> None:
        pass

    def node_silent(self, node: str) -> None:
        pass
