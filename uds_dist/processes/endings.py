"""Tells those who watch a process that it has ended: the notices of its monitors and links.

A peer can set up very many monitors and links and then end the process with a large reason, which
each notice repeats. So the notices to a node go out only while its write queue is not above the
high-water mark; the others wait, as a late answer does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from uds_dist.errors import EncodeError, LocalProtocolError
from uds_dist.processes.names import BADARG
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.loop import EventLoop

# A node, and the control message for it.
Notice = tuple[str, tuple[object, ...]]


class Endings:
    """The notices of ends that one node sends.

    Args:
        loop: continues after an exception.
        pressure: knows the write queues.
        signal: sends a control message with its payload to a node.
    """

    def __init__(
        self,
        loop: EventLoop,
        pressure: Pressure,
        signal: Callable[[str, tuple[object, ...], object], None],
    ) -> None:
        self._loop = loop
        self._pressure = pressure
        self._signal = signal

    def tell(self, node: str, control: tuple[object, ...], reason: object) -> None:
        """Send one notice; a reason that cannot be sent there becomes ``badarg``."""
        # The reason may be a peer's term that only that peer understands, or be too deep for a node
        # that takes reasons only within control messages. The watchers must be told anyway.
        try:
            self._signal(node, control, reason)
        except (EncodeError, LocalProtocolError):
            self._signal(node, control, BADARG)

    def tell_all(self, notices: Iterable[Notice], reason: object) -> None:
        """Send the notices of one end, to each node in their order."""
        by_node: dict[str, deque[tuple[object, ...]]] = {}
        for node, control in notices:
            by_node.setdefault(node, deque()).append(control)
        for node, controls in by_node.items():
            self._tell_while_room(node, controls, reason)

    def _tell_while_room(
        self, node: str, controls: deque[tuple[object, ...]], reason: object
    ) -> None:
        again = partial(self._tell_while_room, node, controls, reason)
        try:
            while controls and not self._pressure.wait_for_room(node, again):
                self.tell(node, controls[0], reason)
                controls.popleft()  # afterwards: an exception may come between
        except BaseException:
            self._loop.call_soon(again)
            raise
