"""A process of this node: its messages, its links and monitors, and how it handles what arrives.

The program's handle of a process is its `Mailbox`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from uds_dist.errors import ClosedError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.links import LinkTable
from uds_dist.processes.names import EXIT
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)

# A message of up to this many bytes on the wire counts as that many in the size of a mailbox.
SMALL_MESSAGE: Final = 256


class Table(Protocol):
    """The process table, as its processes use it."""

    pressure: Pressure

    def waits(self, process: Process, message: object) -> None:
        """Count a message that waits."""


class Process:
    """One process.

    Args:
        loop: runs what must wait for the next round.
        table: counts the messages that wait.
        pid: its pid.
        on_message: acts on each message; without it they wait.
        trap_exit: turn exit signals into messages.
    """

    __slots__ = (
        "adapt",
        "aliases",
        "alive",
        "convert",
        "disturbed",
        "exit_reason",
        "group_leader",
        "held",
        "links",
        "loop",
        "monitors",
        "name",
        "of_program",
        "on_exit",
        "on_message",
        "on_unwatched",
        "pid",
        "prior",
        "queue",
        "system",
        "trap_exit",
        "watchers",
        "weight",
        "_downs",
        "_draining",
        "_table",
        "_weights",
    )

    def __init__(
        self,
        loop: EventLoop,
        table: Table,
        pid: Pid,
        on_message: Callable[[object], object] | None = None,
        trap_exit: bool = False,
    ) -> None:
        self.loop = loop
        self.pid = pid
        self.name: Atom | None = None
        self.alive = True
        self.exit_reason: object = None
        self.on_message = on_message
        self.on_exit: Callable[[object], object] | None = None  # called with the reason
        # Called when a monitor of this process ends while it lives; must not run user code.
        self.on_unwatched: Callable[[Reference], object] | None = None
        self.trap_exit = trap_exit
        self.group_leader: Pid | None = None
        # A process that the node needs: exit signals do not end it.
        self.system = False
        self.of_program = False  # the program gets what `on_message` raises
        # Converts a term for the program; None if the program gets terms unchanged.
        self.convert: Callable[[object], object] | None = None
        # What arrives here for a peer's message: a FromNode, or the result of `convert`.
        self.adapt: Callable[[str, object], object] | None = None

        self.queue: deque[object] = deque()
        self.prior: deque[object] | None = None  # messages with priority: before the queue
        # What a suspended server has set aside; None if nothing yet.
        self.held: deque[object] | None = None
        self.weight = 0  # bytes of the large messages that wait, beyond SMALL_MESSAGE each
        self.disturbed = 0  # counts the changes of places among the messages that wait

        self.links = LinkTable()
        self.monitors: set[Reference] = set()  # that this process holds
        self.watchers: dict[Reference, tuple[Pid, Pid | Atom]] = {}  # the watcher, and its target
        self.aliases: set[Reference] = set()

        self._table = table
        self._weights: dict[int, int] = {}  # of the large messages, by their identity
        self._downs: dict[Reference, None] = {}  # monitors whose DOWN waits
        self._draining = False  # `_drain` is to run in the next round

    def __repr__(self) -> str:
        state = "" if self.alive else f" exited: {shown(self.exit_reason)}"
        return f"<Process {self.pid} {self.name or '-'} waiting={self.waiting}{state}>"

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        count = len(self.queue)
        if self.prior:
            count += len(self.prior)
        if self.held:
            count += len(self.held)
        return count

    @property
    def size(self) -> int:
        """About how many bytes the messages that wait took on the wire."""
        return self.weight + SMALL_MESSAGE * self.waiting

    def convert_by(self, convert: Callable[[object], object]) -> None:
        """Convert messages, and the reasons in signals, before they arrive here."""
        self.convert = convert
        self.adapt = lambda _node, message: convert(message)

    def ended(self, reason: object) -> None:
        """Note that the process has ended; only its table calls this."""
        self.alive = False
        self.exit_reason = reason

    def has_exited(self) -> ClosedError:
        """The error for a use after the end."""
        return ClosedError(
            f"the mailbox {self.pid} has exited with reason {shown(self.exit_reason)}"
        )

    # -- messages in -----------------------------------------------------------------------

    def deliver(self, message: object, priority: bool = False) -> None:
        """Queue a message here, without running user code."""
        if not self.alive:
            return
        if priority:
            if self.prior is None:
                self.prior = deque()
            self.prior.append(message)
            self.disturbed += 1
        else:
            self.queue.append(message)
        self._table.waits(self, message)
        if self.on_message is not None:
            self._drain_soon()

    def deliver_now(self, message: object) -> bool:
        """Pass a peer's message to `on_message`, or queue it; True if it waits."""
        if self.on_message is None or self.queue or self.prior:
            if not self.alive:
                return False
            self.queue.append(message)
            if self.on_message is not None:
                self._drain_soon()
            return True
        try:
            self.on_message(message)
        except Exception as error:
            if self.of_program:
                self.loop.program_error = error
            raise
        return False

    def deliver_down(self, ref: Reference, message: object) -> None:
        """Queue the message of a monitor here."""
        # If it is here already, an exception kept the caller from noting it.
        if self.alive and self._place_of_down(ref) is None:
            self._downs[ref] = None
            self.deliver(message)

    def deliver_exit(self, sender: Pid, reason: object, priority: bool) -> None:
        """Queue an exit signal here as a message."""
        if self.convert is not None:
            reason = self.convert(reason)
        self.deliver((EXIT, sender, reason), priority)

    def flush_down(self, ref: Reference) -> None:
        """Drop the message of a monitor if it waits here."""
        index = self._place_of_down(ref)
        if index is not None:
            self.take(index + (len(self.prior) if self.prior else 0))

    def _place_of_down(self, ref: Reference) -> int | None:
        """The place in the queue of the DOWN of a monitor."""
        if ref in self._downs:
            for index, message in enumerate(self.queue):
                if isinstance(message, tuple) and len(message) == 5:
                    if message[0] == "DOWN" and message[1] == ref:
                        return index
        return None

    def hold(self, message: object) -> None:
        """Set a message aside: a suspended server does not act on it."""
        if self.alive:
            if self.held is None:
                self.held = deque()
            self.held.append(message)
            self._table.waits(self, message)

    def weigh(self, message: object, size: int) -> None:
        """Note the size on the wire of a message that waits here."""
        if size > SMALL_MESSAGE:
            self._weights[id(message)] = self._weights.get(id(message), 0) + size - SMALL_MESSAGE
            self.weight += size - SMALL_MESSAGE

    # -- messages out of the queue ---------------------------------------------------------

    def has_messages(self) -> bool:
        """Tell whether a message waits."""
        return bool(self.queue or self.prior)

    def take(self, index: int) -> object:
        """Take the message at a place, counted from the first with priority."""
        self.disturbed += 1
        queue = self.queue
        if self.prior:
            if index < len(self.prior):
                queue = self.prior
            else:
                index -= len(self.prior)
        if index == 0:
            message = queue.popleft()
        else:
            message = queue[index]
            del queue[index]
        if self._weights:
            self._lighten(message)
        if self._downs and type(message) is tuple and len(message) == 5:
            if isinstance(message[1], Reference):
                self._downs.pop(message[1], None)
        return message

    def take_held(self) -> object:
        """Take the oldest message that was set aside."""
        assert self.held is not None
        message = self.held.popleft()
        if self._weights:
            self._lighten(message)
        return message

    def _lighten(self, message: object) -> None:
        self.weight -= self._weights.pop(id(message), 0)

    def _drain_soon(self) -> None:
        if not self._draining:
            self._draining = True
            self.loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Pass waiting messages to `on_message`, but not those that arrive meanwhile."""
        self._draining = False
        if not self.alive:
            return
        pressure = self._table.pressure
        pressure.waiters = None
        try:
            for _ in range(len(self.queue) + (len(self.prior) if self.prior else 0)):
                if not self.alive or self.on_message is None or not (self.queue or self.prior):
                    return
                self._act_on(self.on_message, self.take(0))
                if pressure.wait(self._drain):
                    self._draining = True  # it continues when the answers are written
                    return
        finally:
            # For example the rest of a drain that a handler's exception cut short.
            if (self.queue or self.prior) and self.alive and self.on_message is not None:
                self._drain_soon()

    def _act_on(self, on_message: Callable[[object], object], message: object) -> None:
        try:
            on_message(message)
        except Exception as error:
            # A service of the library must not raise because of a message to it.
            known = self.of_program or error is self.loop.program_error
            if known or not is_own_fault(error):
                raise
            logger.error("%s failed at a message", self.name or self.pid, exc_info=error)
