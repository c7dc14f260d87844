"""Signals between two processes of one node.

They are control messages too, and are handled like incoming ones, so a link or a monitor works the
same whether its other end is on this node or on another. They are handled one after the other,
never nested: a chain of linked processes may have any length.
"""

from __future__ import annotations

from collections import deque
from sys import maxsize
from typing import Protocol

from uds_dist.etf.conversion import Hook
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.control import ControlMessage
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.loop import EventLoop

# Types whose values never change, and which decode to what was encoded.
UNCHANGEABLE = frozenset((Atom, int, bool, bytes, type(None), Pid, Reference))


class SignalHandler(Protocol):
    """Handles signals."""

    def handle(self, node: str, control: ControlMessage, payload: object) -> None:
        """Act on a control message of any node, this one included."""


class LocalSignals:
    """The signals of a node to itself.

    Args:
        loop: continues after an exception.
        name: the node's name.
        pressure: shared by the connections.
        handler: acts on them.
    """

    def __init__(
        self, loop: EventLoop, name: str, pressure: Pressure, handler: SignalHandler
    ) -> None:
        self.size = 0  # of the payload that is being acted on, in bytes
        self._loop = loop
        self._name = name
        self._pressure = pressure
        self._handler = handler
        self._queue: deque[tuple[ControlMessage, object, int]] = deque()
        self._running = False

    def add(self, control: ControlMessage, payload: object, size: int) -> None:
        """Act on a signal, now or after the one that is being acted on.

        Args:
            control: the control message.
            payload: the term that goes with it, or NO_PAYLOAD.
            size: how many bytes the payload takes on the wire.
        """
        self._queue.append((control, payload, size))
        if not self._running:
            self._run()

    def _run(self) -> None:
        self._running = True
        pressure = self._pressure
        decoder, pressure.decoder = pressure.decoder, None  # the peer's message has another size
        try:
            while self._queue:
                control, payload, self.size = self._queue.popleft()
                self._handler.handle(self._name, control, payload)
        finally:
            self._running = False
            self.size = 0
            pressure.decoder = decoder
            if self._queue:  # an exception came; the rest must not wait for the next signal
                self._loop.call_soon(self._run)


def copied(term: object, max_depth: int, default: Hook | None) -> tuple[object, int]:
    """A term as another node would receive it, and its size on the wire in bytes.

    A message between two processes of this node is encoded and decoded too: so it must be a term,
    and the receiver gets a copy, as it would from another node.

    Raises:
        EncodeError: it is not a term.
    """
    if type(term) in UNCHANGEABLE:
        return term, len(term) if isinstance(term, bytes) else 0
    data = encode(term, max_depth=max_depth, default=default)
    copy = decode(data, max_depth=max_depth, max_size=len(data), max_terms=maxsize)
    return copy, len(data)
