"""Signals between two processes of one node.

They are control messages too, and are handled like incoming ones, so a link or a monitor works the
same whether its other end is on this node or on another. They are handled one after the other,
never nested: a chain of linked processes may have any length.
"""

from __future__ import annotations

from collections import deque
from sys import maxsize
from typing import Final, Protocol

from uds_dist.etf.conversion import Hook
from uds_dist.etf.decode import decode_term
from uds_dist.etf.encode import encode
from uds_dist.etf.leaves import CONSTANTS
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.control import ControlMessage
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.loop import EventLoop

# Final: compiled, such a name is a static variable, while any other is a dict lookup.
MAX_TERMS: Final = maxsize  # a message of this node itself may have any number of elements
# Types whose values never change, and which decode to what was encoded; except for the atoms in
# CONSTANTS.
UNCHANGEABLE: Final = frozenset((Atom, int, bool, bytes, type(None), Pid, Reference))


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
        # Control messages, each with its payload or NO_PAYLOAD, and the payload's bytes on the wire.
        self.queue: deque[tuple[ControlMessage, object, int]] = deque()
        self.running = False
        self.size = 0  # of the payload that is being acted on, in bytes
        self._loop = loop
        self._name = name
        self._pressure = pressure
        self._handler = handler

    def run(self) -> None:
        """Act on the signals in the queue; only if they are not being acted on already."""
        self.running = True
        queue, pressure = self.queue, self._pressure
        decoder, pressure.decoder = pressure.decoder, None  # the peer's message has another size
        try:
            while queue:
                control, payload, self.size = queue.popleft()
                self._handler.handle(self._name, control, payload)
        finally:
            self.running = False
            self.size = 0
            pressure.decoder = decoder
            if queue:  # an exception came; the rest must not wait for the next signal
                self._loop.call_soon(self.run)


def copied(term: object, max_depth: int, default: Hook | None) -> tuple[object, int]:
    """A term as another node would receive it, and its size on the wire in bytes.

    A message between two processes of this node is encoded and decoded too: so it must be a term,
    and the receiver gets a copy, as it would from another node.

    Raises:
        EncodeError: it is not a term.
    """
    if type(term) in UNCHANGEABLE:
        if isinstance(term, Atom):
            return CONSTANTS.get(term, term), 0
        if isinstance(term, bytes):
            return term, len(term)
        return term, term.bit_length() // 8 if isinstance(term, int) else 0
    data = encode(term, max_depth=max_depth, default=default)
    size = len(data)
    copy = decode_term(data, 1, (), max_depth, size, MAX_TERMS)[0]  # after the version byte
    return copy, size
