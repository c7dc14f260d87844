"""The event loop: one selector, one verb, no thread.

`run_once` is one select and one round of dispatch. The order inside a round is fixed:

1. wait, at most `timeout` seconds, for a ready descriptor or the next timer;
2. descriptors that were ready when the wait ended;
3. timers that were due by then;
4. callbacks that `call_soon` queued before the round;
5. end-of-round callbacks: the round's joined writes, notices of lost nodes.

Whatever a handler starts runs in the next round at the earliest, so a handler that keeps itself
busy cannot starve the others. A handler's exception leaves `run_once` at once, and the next call
does the rest of that round and nothing else. So even a handler that raises every time, before it
has read anything, delays the others by one call at most.

A round that finds nothing costs less than twice the bare `select(0)`. So the work of a round is in
a separate method that an idle round does not enter, and a hook notes forks, because getpid would be
a system call.

Programs call the methods. The fields without an underscore are for the modules of this package,
which add to `round_end`, `writers`, `held` and `urgent` and read `state`, `process` and `now`.
Callbacks in `round_end` run at the end of the present round, or of the next one outside a round. A
connection in `writers` removes itself when it has written: an exception before that leaves it
there.
"""

from __future__ import annotations

import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Final, NamedTuple, Protocol, cast

from uds_dist.errors import ForkedLoopError, LoopReentryError
from uds_dist.transport.descriptors import Descriptors, HasFileno, Registration
from uds_dist.transport.ownership import current_greenlet, own_process, refusal
from uds_dist.transport.signal_ticks import Sender, on_interval, send_ticks
from uds_dist.transport.timers import Timer, Timers
from uds_dist.transport.waiting import LONGEST_WAIT, Ready, Waiting, Waker

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

# The loop's states: only IDLE allows `run_once`.
IDLE: Final = 0
RUNNING: Final = 1
CLOSED: Final = 2
STATES = ("idle", "running", "closed")

# Whether a program uses greenlets is seen here.
_modules: Final = sys.modules


class Completable(Protocol):
    """Anything with `done() -> bool`, such as a Future."""

    def done(self) -> bool: ...


class Writer(Protocol):
    """A connection with messages for the round's end."""

    def flush_at_round_end(self) -> None: ...


class LoopStatistics(NamedTuple):
    """A snapshot of the loop's counters.

    ``rounds`` calls of `run_once`; ``events`` handlers run by them; ``descriptors`` registered
    now; ``timers`` waiting; ``queued`` callbacks for the next round.
    """

    rounds: int
    events: int
    descriptors: int
    timers: int
    queued: int


class _Unfinished:
    """The part of a round that an exception prevented.

    ``registrations`` that were ready; ``timers`` below this number belong to the round; ``soon``
    and ``round_end`` are numbers of callbacks of each queue, None for all.
    """

    __slots__ = ("registrations", "timers", "soon", "round_end")

    def __init__(
        self, registrations: frozenset[object], timers: int, soon: int, round_end: int | None
    ) -> None:
        self.registrations = registrations
        self.timers = timers
        self.soon = soon
        self.round_end = round_end

    def remains(self, any_timer: bool, round_end: int) -> bool:
        """True if there is anything to do."""
        left = round_end if self.round_end is None else self.round_end
        return bool(self.registrations or self.soon or left or any_timer)


class EventLoop:
    """Owns every socket and every timer of the nodes that share it.

    Args:
        selector: any `selectors` selector, by default the best one of this system.
        clock: a monotonic clock in seconds, by default `time.monotonic`.
        on_error: called with an exception that a handler raised; `run_once` then does not raise it.
            KeyboardInterrupt and SystemExit are always raised.
        busy_wait: spin for up to 100 microseconds before a wait that follows a short one; by
            default on two or more processors.
    """

    def __init__(
        self,
        *,
        selector: selectors.BaseSelector | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[Exception], object] | None = None,
        busy_wait: bool | None = None,
    ) -> None:
        self._descriptors = Descriptors(selector)
        self._clock = clock
        self.on_error = on_error
        self.process = own_process()
        self.state = IDLE
        self.timers = Timers()
        self._soon: deque[Callable[[], object]] = deque()
        self.round_end: deque[Callable[[], object]] = deque()
        self.writers: set[Writer] = set()
        self._unfinished: _Unfinished | None = None
        # What each round checks, together: one attribute lookup is faster than six.
        select = self._descriptors.selector.select
        self._parts = (select, clock, self.timers.heap, self._soon, self.round_end, self.writers)
        self._thread_id = 0  # where the present round runs, or the last one that had work
        self._greenlet = 0
        self._stopping = False
        self._waiting = Waiting(busy_wait)
        self.now = clock()  # when the present round, or the last one with work, began it
        self._rounds = self._events = 0
        # The exception of a program's message handler, on its way out of `run_once`.
        self.program_error: BaseException | None = None
        self.urgent: set[Sender] = set()  # what `signal_ticks` calls
        self.held: set[object] = set()  # kept alive although nothing else refers to it
        # The unanswered challenges of this loop's handshakes: see `protocol.challenges`.
        self.challenges: dict[int, tuple[str, str]] = {}
        self._waker = Waker()
        self.register(self._waker.watched, READ, self._waker.drain)

    def __repr__(self) -> str:
        return (
            f"<EventLoop {STATES[self.state]} descriptors={self.statistics().descriptors}"
            f" timers={len(self.timers)} queued={len(self._soon)} rounds={self._rounds}>"
        )

    # -- one round -------------------------------------------------------------------------

    def run_once(self, timeout: float | None = 0.0) -> int:
        """Wait for something to do and do one round of it.

        Args:
            timeout: seconds to wait at most; 0.0 polls, None waits until something happens.
                It bounds the waiting, not the work.
        Returns:
            How many handlers ran.
        Raises:
            ValueError: the timeout is negative.
            LoopReentryError: called from inside a handler.
            ForkedLoopError, ClosedError: the loop is the parent process's, or closed.
            Exception: a handler raised it and there is no `on_error`. The next call continues with
                the rest of the round.
        """
        if self.state or self.process.forked:
            self._check_usable()
        try:
            self.state = RUNNING
            self._rounds += 1
            if self._unfinished:
                return self._finish_round(self._unfinished)
            select, clock, timers, soon, round_end, writers = self._parts
            if timeout is not None and timeout == 0.0:
                ready = select(0.0)
            else:
                self._thread_id = get_ident()
                self._greenlet = current_greenlet() if "greenlet" in _modules else 0
                ready = self._waiting.wait(select, clock, timeout, self.next_timeout())
            now = clock()
            if ready or soon or round_end or writers or (timers and timers[0][0] <= now):
                self.now = now
                return self._dispatch(ready, self.timers.number, len(soon), None)
            return 0
        finally:
            self.state = IDLE

    def _dispatch(self, ready: Ready, first_new: int, soon: int, round_end: int | None) -> int:
        """Do a round: ready descriptors and expired timers, then `soon` and `round_end` callbacks.

        Timers numbered `first_new` or higher were started by handlers of this round: they run in
        the next one, even if the clock has not moved since.
        """
        self._thread_id = get_ident()
        self._greenlet = current_greenlet() if "greenlet" in _modules else 0
        events = 0
        rest = iter(ready)
        timers = self.timers
        heap = timers.heap
        now = self.now
        try:
            for key, mask in rest:
                registration: Registration = key.data
                mask &= registration.events
                if mask:
                    events += 1
                    try:
                        registration.callback(mask)
                    except Exception as error:
                        if not self._handled(error):
                            raise
                    if self.process.forked:
                        self._check_usable()
            while heap and heap[0][0] <= now and heap[0][1] < first_new:
                due = timers.take()
                if due is not None:
                    events += 1
                    self._call(due)
            while soon:
                soon -= 1
                events += 1
                self._call(self._soon.popleft())
            for writer in tuple(self.writers) if self.writers else ():
                events += 1
                self._call(writer.flush_at_round_end)
            if round_end is None:
                round_end = len(self.round_end)
            while round_end:
                round_end -= 1
                events += 1
                self._call(self.round_end.popleft())
        except BaseException:
            left = _Unfinished(frozenset(key.data for key, _ in rest), first_new, soon, round_end)
            if left.remains(timers.any_due(now, first_new), len(self.round_end)):
                self._unfinished = left
            raise
        finally:
            self._events += events
        return events

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            if not self._handled(error):
                raise
        if self.process.forked:
            self._check_usable()

    def _handled(self, error: Exception) -> bool:
        self.program_error = None
        if self.on_error is None or isinstance(error, ForkedLoopError):
            return False
        self.on_error(error)
        return True

    def _finish_round(self, left: _Unfinished) -> int:
        """Finish the part of a round that an exception prevented."""
        self._unfinished = None
        ready = self._descriptors.still_ready(left.registrations)
        self.now = self._clock()
        return self._dispatch(ready, left.timers, left.soon, left.round_end)

    def _check_usable(self) -> None:
        if self.state or self.process.forked:
            raise refusal(self.process, self.state == CLOSED, self._thread_id, self._greenlet)

    # -- many rounds -----------------------------------------------------------------------

    def run_until(
        self, condition: Completable | Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Run rounds until a future is done or a predicate is true.

        Args:
            condition: a Future, or a function without arguments asked after every round.
            timeout: seconds to run at most; None for as long as it takes.
        Returns:
            True when the condition holds, False if the time ran out first.
        Raises:
            LoopReentryError, ForkedLoopError, ClosedError: as `run_once` does.
        """
        done: Callable[[], bool] | None = getattr(condition, "done", None)
        holds = cast("Callable[[], bool]", condition) if done is None else done
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
        self._check_usable()
        left = timeout
        deadline = 0.0 if timeout is None else self._clock() + timeout
        while not holds():
            if timeout is not None:
                left = deadline - self._clock()
                if left <= 0.0:
                    self.run_once(0.0)
                    return holds()
            self.run_once(left)
        return True

    def sleep(self, seconds: float) -> None:
        """Let some time pass, and serve everything meanwhile.

        Args:
            seconds: 0 or more; 0 runs one round.
        Raises:
            LoopReentryError, ForkedLoopError, ClosedError: as `run_once` does.
        """
        self.run_until(lambda: False, seconds)

    def run_forever(self) -> None:
        """Run rounds until `stop` is called."""
        try:
            while not self._stopping:
                self.run_once(None)
        finally:
            self._stopping = False

    def stop(self) -> None:
        """Make `run_forever` return after the present round."""
        self._stopping = True
        self.wakeup()

    # -- what to run -----------------------------------------------------------------------

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> Timer:
        """Run a callback once, after some time has passed.

        Args:
            delay: seconds from now; 0 means in the next round.
            callback: called with `args`.
        Returns:
            The Timer, which can be cancelled.
        """
        if delay < 0:
            raise ValueError(f"delay is {delay}: use 0 or more seconds")
        when = self._clock() + delay
        return self.timers.start(when, partial(callback, *args) if args else callback)

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback, with `args`, in the next round, in the order of the calls."""
        self._soon.append(partial(callback, *args) if args else callback)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in the next round, and end a wait that is under way.

        Another thread may call only this and `wakeup`.
        """
        self.call_soon(callback, *args)
        self.wakeup()

    @property
    def running(self) -> bool:
        """True inside `run_once`."""
        return self.state == RUNNING and not self.process.forked

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self.state == CLOSED

    def time(self) -> float:
        """The loop's clock, in seconds from an arbitrary start."""
        return self._clock()

    # -- descriptors -----------------------------------------------------------------------

    def register(
        self, fileobj: int | HasFileno, events: int, callback: Callable[[int], object]
    ) -> None:
        """Watch a descriptor.

        Args:
            fileobj: a descriptor or an object with `fileno()`.
            events: selectors.EVENT_READ, EVENT_WRITE or both.
            callback: called with the events that are ready, once a round while they are.
        Raises:
            ValueError: the descriptor is unusable, or `events` is empty.
            OSError: the system cannot watch it; epoll cannot watch plain files.
            KeyError: it is registered already.
        """
        self._check_owner()
        self._descriptors.register(fileobj, events, callback)

    def modify(self, fileobj: int | HasFileno, events: int) -> None:
        """Change the events that a registered descriptor is watched for.

        Events that are no longer watched for are not reported any more, even in this round.

        Raises:
            ValueError: `events` is empty.
            KeyError: it is not registered.
        """
        self._check_owner()
        self._descriptors.modify(fileobj, events)

    def unregister(self, fileobj: int | HasFileno) -> None:
        """Stop watching a descriptor; a callback pending in this round does not run either.

        Raises:
            KeyError: it is not registered.
        """
        if self.state == CLOSED:
            return
        self._check_owner()
        self._descriptors.unregister(fileobj)

    def _check_owner(self) -> None:
        if self.state == CLOSED or self.process.forked:
            self._check_usable()

    def fileno(self) -> int:
        """The selector's own descriptor, readable while a registered one is ready.

        Raises:
            ConfigError: the selector has no descriptor (poll and select have none).
        """
        return self._descriptors.fileno()

    def next_timeout(self) -> float | None:
        """Seconds until `run_once` has something to do without a descriptor being ready.

        Returns:
            0.0 for at once, None for never.
        """
        if self._soon or self.round_end or self.writers or self._unfinished is not None:
            return 0.0
        when = self.timers.next_when()
        if when is None:
            return None
        return min(max(when - self._clock(), 0.0), LONGEST_WAIT)

    def wakeup(self) -> None:
        """End a wait of `run_once`, at any moment from a signal handler or another thread.

        After `call_soon` it makes the waiting loop look at its queue.
        """
        if not self.process.forked:  # in a child the other end is the parent's
            self._waker.wake()

    @contextmanager
    def signal_ticks(
        self, interval: float = 1.0, timer: int = signal.ITIMER_REAL
    ) -> Iterator[None]:
        """Send due ticks from a signal handler while the program computes.

        Python runs the handler between two bytecodes of the main thread. It does nothing while
        the loop is inside `run_once`, which sends ticks itself.

        Args:
            interval: seconds between two checks for due ticks.
            timer: signal.ITIMER_REAL (SIGALRM), ITIMER_VIRTUAL (SIGVTALRM) or ITIMER_PROF.
        Raises:
            ValueError: called off the main thread, or the interval is not above 0.
            ConfigError: that timer is in use already.
        """
        with on_interval(self._send_ticks, interval, timer):
            yield

    def _send_ticks(self) -> None:
        if self.state == IDLE and not self.process.forked:
            send_ticks(self.urgent, self._clock())

    def statistics(self) -> LoopStatistics:
        """A snapshot of the loop's counters."""
        # The loop's own wake-up pipe is not counted.
        watched = max(len(self._descriptors) - 1, 0)
        queued = len(self._soon) + len(self.round_end) + len(self.writers)
        return LoopStatistics(self._rounds, self._events, watched, len(self.timers), queued)

    def close(self) -> None:
        """Close the loop's own descriptors; those that others registered stay open.

        In a forked child this closes only the child's copies: the parent's registrations live
        in the shared epoll instance and are not touched.
        """
        if self.state == CLOSED:
            return
        if self.state == RUNNING and not self.process.forked:
            raise LoopReentryError("a handler must not close the loop: call stop() instead")
        self.state = CLOSED
        self._unfinished = None
        self.timers.clear()
        self._soon.clear()
        self.round_end.clear()
        self.writers.clear()
        self.urgent.clear()
        self.held.clear()
        self._descriptors.close()
        self._waker.close()

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
