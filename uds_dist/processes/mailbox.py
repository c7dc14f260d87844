"""A mailbox: a process of this node, with its pid, its messages, its links and its monitors."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol

from uds_dist.errors import ClosedError, ReceiveTimeoutError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import CallTable, start_call
from uds_dist.processes.destination import Destination
from uds_dist.processes.future import Future
from uds_dist.processes.links import LinkTable
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)

# A message of up to this many bytes on the wire counts as that many in the size of a mailbox.
SMALL_MESSAGE = 256
# A receive with a match checks this many messages before it makes a list of all that wait.
LOOK_FIRST = 32


class Empty:
    """The type of `EMPTY`."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "EMPTY"  # a copy is the one object

    def __repr__(self) -> str:
        return "EMPTY"

    def __bool__(self) -> bool:
        return False


# What `poll` returns when there is no message: None is a term.
EMPTY = Empty()


class FromNode(NamedTuple):
    """A message, and the node whose connection it came by: for the node's own services."""

    node: str
    message: object


class Signals(CallTable, Protocol):
    """What a mailbox needs of its node: the signals that a process sends."""

    def send(
        self, sender: Mailbox, dest: Destination, message: object, priority: bool = False
    ) -> None: ...

    def link(self, process: Mailbox, pid: Pid) -> None: ...

    def unlink(self, process: Mailbox, pid: Pid) -> None: ...

    def monitor(self, process: Mailbox, dest: Pid | str | tuple[str, str]) -> Reference: ...

    def demonitor(self, process: Mailbox, ref: Reference) -> bool: ...

    def make_alias(self, process: Mailbox, priority: bool = False) -> Reference: ...

    def drop_alias(self, process: Mailbox, ref: Reference) -> bool: ...

    def exit_signal(
        self, sender: Pid, dest: Pid | Reference, reason: object, priority: bool = False
    ) -> None: ...

    def register(self, process: Mailbox, name: str) -> None: ...

    def terminate(self, process: Mailbox, reason: object) -> None: ...

    def waits(self, process: Mailbox, message: object) -> None: ...

    @property
    def pressure(self) -> Pressure: ...


class Mailbox:
    """A process: made by `Node.mailbox`, ended by `close` or by an exit signal.

    With `on_message` each message goes to that function, inside `run_once`; without, messages wait
    for `receive` and `poll`. Exit signals and monitors speak Erlang's language: the message
    ``(Atom("DOWN"), ref, Atom("process"), object, reason)``, and, if `trap_exit` is set,
    ``(Atom("EXIT"), pid, reason)``; if it is not, an exit signal with a reason other than
    ``normal`` ends the mailbox.
    """

    __slots__ = (
        "aliases",
        "exit_reason",
        "group_leader",
        "held",
        "links",
        "adapt",
        "convert",
        "loop",
        "monitors",
        "name",
        "of_program",
        "on_exit",
        "on_message",
        "on_unwatched",
        "pid",
        "queue",
        "system",
        "trap_exit",
        "watchers",
        "_disturbed",
        "_downs",
        "_draining",
        "prior",
        "_signals",
        "_weights",
        "weight",
        "__weakref__",
    )

    def __init__(
        self,
        loop: EventLoop,
        signals: Signals,
        pid: Pid,
        on_message: Callable[[object], object] | None = None,
        *,
        trap_exit: bool = False,
    ) -> None:
        self.loop = loop
        self.pid = pid
        self.name: Atom | None = None
        self.on_message = on_message
        self.on_exit: Callable[[object], object] | None = None  # told the reason, at the end
        # Told of a monitor that has ended while this process lives; must not run user code.
        self.on_unwatched: Callable[[Reference], None] | None = None
        self.trap_exit = trap_exit
        self.queue: deque[object] = deque()
        # What a suspended server has set aside; None if nothing yet.
        self.held: deque[object] | None = None
        self.weight = 0  # bytes of the large messages that wait, beyond SMALL_MESSAGE each
        self.links = LinkTable()
        self.monitors: set[Reference] = set()  # that this process holds
        self.watchers: dict[Reference, tuple[Pid, Pid | Atom]] = {}  # the watcher, and its target
        self.aliases: set[Reference] = set()
        self.group_leader: Pid | None = None
        self.exit_reason: object = None
        # A process that the node needs: exit signals do not end it.
        self.system = False
        self.of_program = False  # what `on_message` raises is for the program
        # Makes what the program sees of a term; None where that is the term.
        self.convert: Callable[[object], object] | None = None
        # What comes here for a peer's message: FromNode, or what `convert` gives.
        self.adapt: Callable[[str, object], object] | None = None
        self._signals: Signals | None = signals
        self.prior: deque[object] | None = None  # those with priority: before the queue
        self._weights: dict[int, int] = {}  # of the large messages, by their identity
        self._downs: dict[Reference, None] = {}  # monitors whose DOWN waits
        self._disturbed = 0  # counts what moves the places of the messages that wait
        self._draining = False  # `_drain` is to run in the next round

    def __repr__(self) -> str:
        state = "" if self.alive else f" exited: {shown(self.exit_reason)}"
        return f"<Mailbox {self.pid} {self.name or '-'} waiting={len(self)}{state}>"

    def __len__(self) -> int:
        """How many messages wait."""
        count = len(self.queue)
        if self.prior:
            count += len(self.prior)
        if self.held:
            count += len(self.held)
        return count

    def __bool__(self) -> bool:
        return True  # an empty mailbox is still a mailbox

    @property
    def size(self) -> int:
        """About how many bytes the messages that wait took on the wire."""
        return self.weight + SMALL_MESSAGE * len(self)

    @property
    def alive(self) -> bool:
        """False after `close` or a fatal exit signal."""
        return self._signals is not None

    def _alive(self) -> Signals:
        if self._signals is None:
            raise self._has_exited()
        return self._signals

    def _has_exited(self) -> ClosedError:
        return ClosedError(
            f"the mailbox {self.pid} has exited with reason {shown(self.exit_reason)}"
        )

    # -- messages --------------------------------------------------------------------------

    def send(self, dest: Destination, message: object, *, priority: bool = False) -> None:
        """Send a message as this process.

        Args:
            dest: a Pid, an alias Reference, a registered name here, or ``(name, node)``.
            message: any term.
            priority: put it before the waiting messages, if `dest` is an alias made for that and
                both nodes support it (OTP 28); otherwise it is sent like any other.
        Raises:
            EncodeError: the message is not a term; nothing was sent.
            BusyError: the connection's write queue is full; nothing was sent.
            ClosedError: this process or its node has ended.
        """
        if self._signals is None:
            raise self._has_exited()
        self._signals.send(self, dest, message, priority)

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]:
        """Call a generic server as this process, as ``gen_server:call`` does. See `Node.call`.

        Raises:
            ClosedError: this process or its node has ended.
        """
        return start_call(self._alive(), self, dest, request)

    def receive(
        self,
        timeout: float | None = None,
        *,
        match: Callable[[object], object] | None = None,
    ) -> object:
        """Take the next message, running the loop until there is one.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.
            match: takes the first message for which it is true; the others stay, in their order.
        Returns:
            The message.
        Raises:
            ReceiveTimeoutError: none came in time.
            ClosedError: this process has ended and no message is left.
            LoopReentryError: there is none yet and this is a handler.
            TypeError: the timeout is not a number, or `match` cannot be called.
            ValueError: the timeout is negative, or NaN.
        """
        if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0):
            raise _wrong_timeout(timeout)
        queue = self.queue
        if match is None:
            if not (queue or self.prior):
                self._await(lambda: bool(queue or self.prior), timeout)
            return self._take(0)
        if not callable(match):
            raise TypeError(f"match is {shown(match)}: give a function of a message")
        seen = 0  # messages that did not match are not looked at twice
        disturbed = self._disturbed

        def found() -> bool:
            nonlocal seen, disturbed
            if disturbed != self._disturbed:
                # A handler took a message out, or one with priority has come.
                seen, disturbed = 0, self._disturbed
            prior = len(self.prior) if self.prior else 0
            while seen < prior + len(queue):
                for message in self._unseen(seen, prior):
                    if match(message):
                        return True
                    seen += 1
            return False

        if not found():
            self._await(found, timeout)
        return self._take(seen)

    def _unseen(self, seen: int, prior: int) -> list[object]:
        """Some messages from place `seen` on; `prior` of all that wait have priority."""
        if self.prior and seen < prior:
            return list(islice(self.prior, seen, prior))
        place = seen - prior
        if place < LOOK_FIRST:
            return list(islice(self.queue, place, LOOK_FIRST))
        # From the other end: an index into a deque costs its distance.
        unseen = list(islice(reversed(self.queue), len(self.queue) - place))
        unseen.reverse()
        return unseen

    def _await(self, found: Callable[[], bool], timeout: float | None) -> None:
        self._alive()
        holds = False

        def ready() -> bool:
            nonlocal holds
            holds = found()
            return holds or self._signals is None

        if not self.loop.run_until(ready, timeout):
            raise ReceiveTimeoutError(f"no message for {self.name or self.pid} within {timeout} s")
        if not holds:
            self._alive()

    def poll(self) -> object:
        """Take the next message if there is one, without running the loop.

        Returns:
            The message, or `EMPTY`.
        """
        return self._take(0) if self.queue or self.prior else EMPTY

    def __iter__(self) -> Iterator[object]:
        """Take the messages that have arrived, one by one; never waits."""
        while self.queue or self.prior:
            yield self._take(0)

    __contains__ = None  # searching for a message must not take those before it

    def _take(self, index: int) -> object:
        self._disturbed += 1
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

    # -- messages in: only the node calls these --------------------------------------------

    def convert_by(self, convert: Callable[[object], object]) -> None:
        """Convert messages, and the reasons in signals, before they arrive here."""
        self.convert = convert
        self.adapt = lambda _node, message: convert(message)

    def deliver(self, message: object, *, priority: bool = False) -> None:
        """Queue a message here, without running user code."""
        if self._signals is None:
            return
        if priority:
            if self.prior is None:
                self.prior = deque()
            self.prior.append(message)
            self._disturbed += 1
        else:
            self.queue.append(message)
        self._signals.waits(self, message)
        if self.on_message is not None:
            self._drain_soon()

    def deliver_down(self, ref: Reference, message: object) -> None:
        """Queue the message of a monitor here."""
        # What is here already an exception has kept from being noted by the caller.
        if self._signals is not None and self._place_of_down(ref) is None:
            self._downs[ref] = None
            self.deliver(message)

    def _place_of_down(self, ref: Reference) -> int | None:
        """The place in the queue of the DOWN of a monitor."""
        if ref in self._downs:
            for index, message in enumerate(self.queue):
                if isinstance(message, tuple) and len(message) == 5:
                    if message[0] == "DOWN" and message[1] == ref:
                        return index
        return None

    def deliver_now(self, message: object) -> bool:
        """Pass a peer's message to `on_message`, or queue it; True if it waits."""
        if self.on_message is None or self.queue or self.prior:
            if self._signals is None:
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

    def hold(self, message: object) -> None:
        """Set a message aside: a suspended server does not act on it."""
        if self._signals is not None:
            if self.held is None:
                self.held = deque()
            self.held.append(message)
            self._signals.waits(self, message)

    def take_held(self) -> object:
        """Take the oldest message that was set aside."""
        assert self.held is not None
        message = self.held.popleft()
        if self._weights:
            self._lighten(message)
        return message

    def weigh(self, message: object, size: int) -> None:
        """Note the size on the wire of a message that waits here."""
        if size > SMALL_MESSAGE:
            self._weights[id(message)] = self._weights.get(id(message), 0) + size - SMALL_MESSAGE
            self.weight += size - SMALL_MESSAGE

    def _lighten(self, message: object) -> None:
        self.weight -= self._weights.pop(id(message), 0)

    def _drain_soon(self) -> None:
        if not self._draining:
            self._draining = True
            self.loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Pass waiting messages to `on_message`, but not those that arrive meanwhile."""
        self._draining = False
        if self._signals is None:
            return
        pressure = self._signals.pressure
        pressure.waiters = None
        try:
            for _ in range(len(self.queue) + (len(self.prior) if self.prior else 0)):
                if not self.alive or self.on_message is None or not (self.queue or self.prior):
                    return
                self._act_on(self.on_message, self._take(0))
                if pressure.wait(self._drain):
                    self._draining = True  # it goes on when the answers have drained
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

    # -- signals ---------------------------------------------------------------------------

    def link(self, pid: Pid) -> None:
        """Link this process with another: the end of either is a signal to the other.

        A process that does not exist answers with the exit reason ``noproc``, a node that cannot
        be reached with ``noconnection``.

        Args:
            pid: the other process.
        Raises:
            ClosedError: this process or its node has ended.
        """
        self._alive().link(self, pid)

    def unlink(self, pid: Pid) -> None:
        """Remove a link; exit signals of the other process no longer arrive."""
        self._alive().unlink(self, pid)

    def monitor(self, dest: Pid | str | tuple[str, str]) -> Reference:
        """Watch a process by its pid or its name.

        Args:
            dest: a Pid, a registered name here, or ``(name, node)``.
        Returns:
            The reference that the DOWN message will carry.
        """
        return self._alive().monitor(self, dest)

    def demonitor(self, ref: Reference, *, flush: bool = False) -> bool:
        """Stop watching.

        Args:
            ref: what `monitor` returned.
            flush: also remove a DOWN message that has already arrived.
        Returns:
            False if there is no such monitor any more.
        """
        found = self._alive().demonitor(self, ref)
        index = self._place_of_down(ref) if flush and not found else None
        if index is not None:
            self._take(index + (len(self.prior) if self.prior else 0))
        return found

    def alias(self, *, priority: bool = False) -> Reference:
        """Make an alias: a reference that others can send to, until `unalias`.

        Args:
            priority: messages and exit signals sent to it with priority precede the waiting
                messages.
        Returns:
            The alias.
        """
        return self._alive().make_alias(self, priority)

    def unalias(self, ref: Reference) -> bool:
        """Remove an alias: messages sent to it from now on are dropped.

        Returns:
            False if it is not an alias of this process.
        """
        return self._alive().drop_alias(self, ref)

    def exit(self, dest: Pid | Reference, reason: object, *, priority: bool = False) -> None:
        """Send an exit signal to a process, as ``exit/2`` does.

        Args:
            dest: the process, or an alias of it (which needs a node of OTP 28 or later).
            reason: any term; ``Atom("kill")`` cannot be trapped.
            priority: let the ``EXIT`` message of a process that traps exits go before others,
                under the conditions of `send`.
        Raises:
            EncodeError: the reason is not a term; nothing was sent.
            ClosedError: this process or its node has ended.
        """
        self._alive().exit_signal(self.pid, dest, reason, priority)

    def register(self, name: str) -> None:
        """Give this process a registered name.

        Raises:
            ConfigError: the name is taken, or this process has one.
        """
        self._alive().register(self, name)

    def close(self, reason: object = Atom("normal")) -> None:
        """End this process: links and monitors hear of it with `reason`.

        Messages that wait can still be taken with `poll` and `receive`.

        Args:
            reason: any term.
        Raises:
            EncodeError: the reason is not a term; the process continues.
        """
        if self._signals is not None:
            self._signals.terminate(self, reason)

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- for the node ----------------------------------------------------------------------

    def ended(self, reason: object) -> None:
        """Note that the process has ended; only its node calls this."""
        self._signals = None
        self.exit_reason = reason


def _wrong_timeout(timeout: object) -> Exception:
    """What is raised for what is not a time to wait: also when a message is there already."""
    if isinstance(timeout, (int, float)):
        return ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
    return TypeError(f"timeout is {shown(timeout)}: give seconds, or None to wait")
