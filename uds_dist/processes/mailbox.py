"""A mailbox: the program's handle of a process of this node.

It has no state of its own: messages, links and monitors are the `Process`'s, and signals are sent
by the process table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from uds_dist.errors import ReceiveTimeoutError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.destination import Destination
from uds_dist.processes.future import Future
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes

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


class Search:
    """The search for the first message of a process that matches; it may have to wait for it.

    Args:
        process: its messages are searched.
        match: true for the message to find.
        seen: the number of messages already seen: they do not match.
        disturbed: the process's `disturbed` from before they were seen.
    """

    __slots__ = ("seen", "_disturbed", "_match", "_process")

    def __init__(
        self, process: Process, match: Callable[[object], object], seen: int, disturbed: int
    ) -> None:
        self.seen = seen
        self._process = process
        self._match = match
        self._disturbed = disturbed

    def found(self) -> bool:
        """Check the messages not seen yet; if one matches, `seen` is its place."""
        process = self._process
        if self._disturbed != process.disturbed:
            # A handler took a message out, or one with priority has come.
            self.seen, self._disturbed = 0, process.disturbed
        prior = len(process.prior) if process.prior else 0
        match, seen = self._match, self.seen
        while seen < prior + len(process.queue):
            for message in self._unseen(seen, prior):
                if match(message):
                    self.seen = seen
                    return True
                seen += 1
        self.seen = seen
        return False

    def _unseen(self, seen: int, prior: int) -> list[object]:
        """Some messages from place `seen` on; `prior` of all that wait have priority."""
        process = self._process
        if process.prior and seen < prior:
            return list(islice(process.prior, seen, prior))
        queue, place = process.queue, seen - prior
        if place < LOOK_FIRST:
            return list(islice(queue, place, LOOK_FIRST))
        # From the other end: an index into a deque costs its distance.
        unseen = list(islice(reversed(queue), len(queue) - place))
        unseen.reverse()
        return unseen


class Mailbox:
    """A process: made by `Node.mailbox`, ended by `close` or by an exit signal.

    With `on_message` each message goes to that function, inside `run_once`; without, messages wait
    for `receive` and `poll`. Exit signals and monitors arrive as in Erlang: as the message
    ``(Atom("DOWN"), ref, Atom("process"), object, reason)``, and, if `trap_exit` is set,
    ``(Atom("EXIT"), pid, reason)``; if it is not, an exit signal with a reason other than
    ``normal`` ends the mailbox.
    """

    __slots__ = ("pid", "_process", "_processes", "__weakref__")

    def __init__(self, processes: Processes, process: Process) -> None:
        self.pid = process.pid
        self._processes = processes
        self._process = process

    def __repr__(self) -> str:
        process = self._process
        state = "" if process.alive else f" exited: {shown(process.exit_reason)}"
        return f"<Mailbox {self.pid} {process.name or '-'} waiting={process.waiting}{state}>"

    def __len__(self) -> int:
        """How many messages wait."""
        return self._process.waiting

    def __bool__(self) -> bool:
        return True  # an empty mailbox is still a mailbox

    @property
    def alive(self) -> bool:
        """False after `close` or a fatal exit signal."""
        return self._process.alive

    @property
    def name(self) -> Atom | None:
        """The registered name, if there is one."""
        return self._process.name

    @property
    def exit_reason(self) -> object:
        """Why the process has ended; None while it lives."""
        return self._process.exit_reason

    @property
    def on_message(self) -> Callable[[object], object] | None:
        """Called with each message, inside `run_once`; None if messages wait."""
        return self._process.on_message

    @on_message.setter
    def on_message(self, callback: Callable[[object], object] | None) -> None:
        self._process.on_message = callback

    @property
    def on_exit(self) -> Callable[[object], object] | None:
        """Called with the reason when the process has ended."""
        return self._process.on_exit

    @on_exit.setter
    def on_exit(self, callback: Callable[[object], object] | None) -> None:
        self._process.on_exit = callback

    @property
    def on_unwatched(self) -> Callable[[Reference], object] | None:
        """Called when another process no longer monitors this one; must not run user code."""
        return self._process.on_unwatched

    @on_unwatched.setter
    def on_unwatched(self, callback: Callable[[Reference], object] | None) -> None:
        self._process.on_unwatched = callback

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals are turned into messages."""
        return self._process.trap_exit

    @trap_exit.setter
    def trap_exit(self, trap: bool) -> None:
        self._process.trap_exit = trap

    @property
    def group_leader(self) -> Pid | None:
        """The process that receives the output of functions that this process calls elsewhere."""
        return self._process.group_leader

    @group_leader.setter
    def group_leader(self, leader: Pid | None) -> None:
        self._process.group_leader = leader

    def _alive(self) -> Process:
        process = self._process
        if not process.alive:
            raise process.has_exited()
        return process

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
        self._processes.send(self._process, dest, message, priority)

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]:
        """Call a generic server as this process, as ``gen_server:call`` does. See `Node.call`.

        Raises:
            ClosedError: this process or its node has ended.
        """
        return start_call(self._processes, self._alive(), dest, request)

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
        process = self._process
        if match is not None:
            return process.take(self._find(match, timeout))
        if not (process.queue or process.prior):
            self._await(process.has_messages, timeout)
        return process.take(0)

    def _find(self, match: Callable[[object], object], timeout: float | None) -> int:
        """Wait for a message for which `match` is true, and return its place."""
        if not callable(match):
            raise TypeError(f"match is {shown(match)}: give a function of a message")
        process = self._process
        disturbed = process.disturbed
        seen = 0  # no message is checked twice
        if process.queue and not process.prior:
            if match(process.queue[0]):  # often it is the oldest one; a search costs more
                return 0
            seen = 1
        search = Search(process, match, seen, disturbed)
        if not search.found():
            self._await(search.found, timeout)
        return search.seen

    def _await(self, found: Callable[[], bool], timeout: float | None) -> None:
        process = self._alive()
        holds = False

        def ready() -> bool:
            nonlocal holds
            holds = found()
            return holds or not process.alive

        if not process.loop.run_until(ready, timeout):
            raise ReceiveTimeoutError(
                f"no message for {process.name or self.pid} within {timeout:g} s"
            )
        if not holds:
            self._alive()

    def poll(self) -> object:
        """Take the next message if there is one, without running the loop.

        Returns:
            The message, or `EMPTY`.
        """
        process = self._process
        return process.take(0) if process.queue or process.prior else EMPTY

    def __iter__(self) -> Iterator[object]:
        """Take the messages that have arrived, one by one; never waits."""
        process = self._process
        while process.queue or process.prior:
            yield process.take(0)

    __contains__ = None  # searching for a message must not take those before it

    # -- signals ---------------------------------------------------------------------------

    def link(self, pid: Pid) -> None:
        """Link this process with another: the end of either is a signal to the other.

        If the process does not exist, the exit reason is ``noproc``; if its node cannot be reached,
        it is ``noconnection``.

        Args:
            pid: the other process.
        Raises:
            ClosedError: this process or its node has ended.
        """
        self._processes.link(self._alive(), pid)

    def unlink(self, pid: Pid) -> None:
        """Remove a link; exit signals of the other process no longer arrive."""
        self._processes.unlink(self._alive(), pid)

    def monitor(self, dest: Pid | str | tuple[str, str]) -> Reference:
        """Watch a process by its pid or its name.

        Args:
            dest: a Pid, a registered name here, or ``(name, node)``.
        Returns:
            The reference that the DOWN message will carry.
        """
        return self._processes.monitor(self._alive(), dest)

    def demonitor(self, ref: Reference, *, flush: bool = False) -> bool:
        """Stop watching.

        Args:
            ref: what `monitor` returned.
            flush: also remove a DOWN message that has already arrived.
        Returns:
            False if there is no such monitor any more.
        """
        return self._processes.demonitor(self._alive(), ref, flush)

    def alias(self, *, priority: bool = False) -> Reference:
        """Make an alias: a reference that others can send to, until `unalias`.

        Args:
            priority: messages and exit signals sent to it with priority precede the waiting
                messages.
        Returns:
            The alias.
        """
        return self._processes.make_alias(self._alive(), priority)

    def unalias(self, ref: Reference) -> bool:
        """Remove an alias: messages sent to it from now on are dropped.

        Returns:
            False if it is not an alias of this process.
        """
        return self._processes.drop_alias(self._alive(), ref)

    def exit(self, dest: Pid | Reference, reason: object, *, priority: bool = False) -> None:
        """Send an exit signal to a process, as ``exit/2`` does.

        Args:
            dest: the process, or an alias of it (which needs a node of OTP 28 or later).
            reason: any term; ``Atom("kill")`` cannot be trapped.
            priority: put the ``EXIT`` message of a process that traps exits before others, under
                the conditions of `send`.
        Raises:
            EncodeError: the reason is not a term; nothing was sent.
            ClosedError: this process or its node has ended.
        """
        self._processes.exit_signal(self._alive().pid, dest, reason, priority)

    def register(self, name: str) -> None:
        """Give this process a registered name.

        Raises:
            ConfigError: the name is taken, or this process has one.
        """
        self._processes.register(self._alive(), name)

    def close(self, reason: object = Atom("normal")) -> None:
        """End this process; its links and monitors fire with `reason`.

        Messages that wait can still be taken with `poll` and `receive`.

        Args:
            reason: any term.
        Raises:
            EncodeError: the reason is not a term; the process continues.
        """
        if self._process.alive:
            self._processes.terminate(self._process, reason)

    def __enter__(self) -> Mailbox:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _wrong_timeout(timeout: object) -> Exception:
    """The exception for an invalid timeout; raised even if a message already waits."""
    if isinstance(timeout, (int, float)):
        return ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
    return TypeError(f"timeout is {shown(timeout)}: give seconds, or None to wait")
