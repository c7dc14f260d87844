"""How a node bounds what its peers make it queue, without two nodes blocking each other.

An answer that the library sends is never refused, so a peer that asks and does not read would make
this node queue without bound. Every queue of bytes for one peer therefore has a high-water mark
(``Config.write_high_water``). When serving a message makes the library queue more than the mark,
for whichever peer, the connection that brought the message stops serving: it *holds* what comes
next until that queue is down to the low-water mark. So a queue holds at most the high-water mark
plus one answer for each connection that was being served. An answer that a future brings later
waits for room in the same way.

It would be simpler not to read at all, but two nodes that do this to each other would wait forever:
each has a full queue that the other does not read. So a connection that holds goes on reading:

1. Answers to this node's own calls are handed on at once. They need no answer themselves.
2. Everything else is held, in order and undecoded, and handed on once the queue has drained.
3. While anything is held, this program's own sends to that peer raise BusyError.
4. When what is held, without its largest message, exceeds the high-water mark plus `IN_TRANSIT`,
   the connection stops reading.

Why this cannot block two nodes A and B with the same settings. By 3, a node adds no request of its
program to its queue while it holds. Suppose both hold, and A began last. The requests that still
reach A were in B's queue by then: by the rule for BusyError, at most the high-water mark and one
message, plus what was in the sockets. So A never reaches the limit of 4 and keeps reading; B's
queue therefore drains, B serves all that it holds, which is finite because A adds nothing, and then
reads without holding; so A's queue drains as well. Suppose only one holds: the other reads
everything, and the first one's queue drains. A BEAM always reads, and never holds.

A peer that breaks this, or has a higher mark, can keep a connection at the limit of 4. If no byte
is read or written for the tick time in that state, the connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from uds_dist.config import Config
from uds_dist.protocol.decoder import FrameDecoder
from uds_dist.transport.loop import EventLoop

# Bytes that may be in transit between two write queues: in the sockets, and in one recv.
IN_TRANSIT: Final = 4 * 1024 * 1024
# Memory that a held message takes in addition to its bytes.
OVERHEAD: Final = 256

Waiters = list[Callable[[], object]]


class Source(Protocol):
    """The connection that brought a message."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class QueueOwner(Protocol):
    """Knows a node's queues and its pending calls."""

    def is_answer(self, control: tuple[object, ...]) -> bool:
        """Whether a control message answers a call of this node."""

    def begins_to_hold(self, source: Source) -> None:
        """Note that a connection begins to hold its peer's requests."""

    def full_queue(self, node: str) -> Waiters | None:
        """The waiters of a node's queue if it is above its high-water mark, else None."""


class NoQueues:
    """The owner of a single connection's queue, which knows of no others."""

    def is_answer(self, control: tuple[object, ...]) -> bool:
        return False

    def begins_to_hold(self, source: Source) -> None:
        pass

    def full_queue(self, node: str) -> Waiters | None:
        return None


class Pressure:
    """The state about full queues that a node's processes and its connections share.

    ``waiters`` belong to the queue that the library has just found above its high-water mark, None
    if there is none; the loop calls each waiter when the queue is down to its low-water mark.
    ``source`` is the connection whose messages are being acted on, and ``decoder`` its decoder,
    None otherwise. ``owner`` has the queues. ``batch`` is None outside `Node.batch`; inside, it
    holds what writes the messages sent so far.
    """

    __slots__ = ("batch", "decoder", "owner", "source", "waiters")

    def __init__(self, owner: QueueOwner | None = None) -> None:
        self.owner = NoQueues() if owner is None else owner
        self.waiters: Waiters | None = None
        self.batch: list[Callable[[], object]] | None = None
        self.source: Source | None = None
        self.decoder: FrameDecoder | None = None

    def begin(self, source: Source, decoder: FrameDecoder) -> None:
        """Note whose messages are acted on from now until `end`."""
        self.source = source
        self.decoder = decoder
        self.waiters = None

    def end(self) -> None:
        """Note that no message is being acted on."""
        self.source = None
        self.decoder = None

    def wait(self, callback: Callable[[], object]) -> bool:
        """Call `callback` when the queue that was found too full has drained.

        Returns:
            False if no queue was found too full since the last call.
        """
        waiters, self.waiters = self.waiters, None
        if waiters is None:
            return False
        waiters.append(callback)
        return True

    def drained(self, waiters: Waiters) -> None:
        """Note that these waiters are called now: what is added to them later is never called."""
        if self.waiters is waiters:
            self.waiters = None

    @contextmanager
    def batched(self, loop: EventLoop) -> Iterator[None]:
        """Collect the writes of messages sent inside, and make them at the end."""
        if self.batch is not None:
            yield  # inside another batch, which writes at its end
            return
        writes: list[Callable[[], object]] = []
        self.batch = writes
        try:
            yield
        finally:
            self.batch = None
            if not loop.process.forked:  # in a child the messages are the parent's
                for write in writes:
                    write()

    def wait_for_room(self, node: str, callback: Callable[[], object]) -> bool:
        """Call `callback` when a node's queue has drained, for an answer that came late.

        A peer whose message makes anything wait is not served until then, either.

        Returns:
            False if there is room for the answer now.
        """
        waiters = self.owner.full_queue(node)
        if waiters is None:
            return False
        waiters.append(callback)
        self.waiters = waiters
        return True


class Held:
    """Messages that wait to be handed on, in order, their payloads undecoded.

    Args:
        config: the high-water mark is used.
    """

    __slots__ = ("limit", "messages", "size", "_largest")

    def __init__(self, config: Config) -> None:
        self.limit = config.write_high_water + IN_TRANSIT
        self.messages: deque[tuple[tuple[object, ...], object, int]] = deque()
        self.size = 0  # in bytes
        self._largest = 0

    @property
    def full(self) -> bool:
        """True when the connection should stop reading."""
        return self.size - self._largest > self.limit

    def add(self, control: tuple[object, ...], payload: object, size: int) -> None:
        """Hold a message that took `size` bytes on the wire."""
        size += OVERHEAD
        self.messages.append((control, payload, size))
        self.size += size
        if size > self._largest:
            self._largest = size

    def take(self) -> tuple[tuple[object, ...], object]:
        """Take the oldest message."""
        control, payload, size = self.messages.popleft()
        self.size -= size
        if not self.messages:
            self._largest = 0
        return control, payload
