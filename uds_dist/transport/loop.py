"""The event loop: one selector, one verb, no thread.

`run_once` is one select and one round of dispatch. The order inside a round is fixed:

1. wait, at most `timeout` seconds, for a ready descriptor or the next timer;
2. descriptors that were ready when the wait ended;
3. timers that were due by then;
4. callbacks that `call_soon` had queued before the round;
5. end-of-round callbacks: writes joined over the round, notices of what went down.

Whatever a handler starts runs in the next round at the earliest, so a handler that keeps itself
busy cannot starve the others. A handler's exception leaves `run_once` at once; what it kept from
running is still ready, still in the heap or still in the queue, and the next call goes on with it.

The selector is level-triggered on purpose: a handler that reads only part of what is there, or
that raises before reading, loses nothing. It also makes `fileno` nestable: epoll and kqueue
descriptors are readable exactly while something registered with them is ready.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from uds_dist.errors import (
    ClosedError,
    ConfigError,
    ForkedLoopError,
    LoopReentryError,
)

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# A longer wait would overflow the timeout of poll(2) and hide a clock that was set back.
LONGEST_WAIT = 3600.0


class HasFileno(Protocol):
    """Anything with `fileno() -> int`, a socket for one."""

    def fileno(self) -> int: ...


class Completable(Protocol):
    """Anything with `done() -> bool`, a Future for one."""

    def done(self) -> bool: ...


@dataclass(frozen=True)
class LoopStatistics:
    """A snapshot of the loop's counters.

    ``rounds`` calls of `run_once`; ``events`` handlers run by them; ``descriptors`` registered
    now; ``timers`` waiting; ``queued`` callbacks for the next round.
    """

    rounds: int
    events: int
    descriptors: int
    timers: int
    queued: int


class Timer:
    """A callback that waits for its time; `cancel` is all there is to do with it."""

    __slots__ = ("callback", "when", "_loop")

    def __init__(self, loop: EventLoop, when: float, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback
        self.when = when
        self._loop = loop

    def cancel(self) -> None:
        """Make sure the callback does not run; a no-op when it has run."""
        if self.callback is not None:
            self.callback = None
            self._loop._timer_cancelled()

    def __repr__(self) -> str:
        state = "spent" if self.callback is None else f"when={self.when:.3f}"
        return f"<Timer {state}>"


class _Registration:
    """What a descriptor is watched for; `live` is re-checked at dispatch."""

    __slots__ = ("fileobj", "callback", "live")

    def __init__(self, fileobj: object, callback: Callable[[int], object]) -> None:
        self.fileobj = fileobj
        self.callback = callback
        self.live = True


class EventLoop:
    """Owns every socket and every timer of the nodes that share it.

    Args:
        selector: any `selectors` selector, by default the best one of this system.
        clock: a monotonic clock in seconds, by default `time.monotonic`.
        on_error: called with an exception that a handler raised, instead of letting it out of
            `run_once`. KeyboardInterrupt and SystemExit are let out in any case.
    """

    def __init__(
        self,
        *,
        selector: selectors.BaseSelector | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self._selector = selectors.DefaultSelector() if selector is None else selector
        self._clock = clock
        self.on_error = on_error
        self._pid = os.getpid()
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = count()
        self._cancelled = 0
        self._soon: deque[Callable[[], object]] = deque()
        self._round_end: deque[Callable[[], object]] = deque()
        self._running = False
        self._stopping = False
        self._closed = False
        self.now = clock()  # when the present or last round began to dispatch
        self._rounds = 0
        self._events = 0
        self._urgent: set[Callable[[float], object]] = set()
        self._waker, self._wakeup_socket = socket.socketpair()
        self._waker.setblocking(False)
        self._wakeup_socket.setblocking(False)
        self.register(self._waker, READ, self._drain_wakeups)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "idle"
        return (
            f"<EventLoop {state} descriptors={self._descriptors()} timers={len(self._timers)}"
            f" queued={len(self._soon)} rounds={self._rounds}>"
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
            ForkedLoopError: called in a child of the process that made the loop.
            ClosedError: the loop is closed.
        """
        if timeout:
            if timeout < 0:
                raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
            timeout = min(timeout, LONGEST_WAIT)
        if self._running or self._closed or os.getpid() != self._pid:
            self._check_usable()
        self._running = True
        events = 0
        try:
            soon = self._soon
            timers = self._timers
            if timeout != 0.0:
                timeout = self._wait(timeout)
            ready = self._selector.select(timeout)
            self.now = self._clock()
            self._rounds += 1
            newest = len(soon)
            for key, mask in ready:
                registration = key.data
                if registration.live:
                    events += 1
                    try:
                        registration.callback(mask)
                    except Exception as error:
                        self._handler_failed(error)
            if timers and timers[0][0] <= self.now:
                events += self._run_timers(self.now)
            for _ in range(newest):
                events += 1
                try:
                    soon.popleft()()
                except Exception as error:
                    self._handler_failed(error)
            if self._round_end:
                events += self._run_round_end()
        finally:
            self._running = False
            self._events += events
        return events

    def _wait(self, timeout: float | None) -> float | None:
        due = self.next_timeout()
        if due is None:
            return LONGEST_WAIT if timeout is None else timeout
        return due if timeout is None or due < timeout else timeout

    def _run_timers(self, now: float) -> int:
        timers = self._timers
        # A timer started by one that runs now has a higher number: it is for the next round,
        # even on a clock that has not moved since.
        first_new = next(self._sequence)
        events = 0
        while timers and timers[0][0] <= now and timers[0][1] < first_new:
            timer = heappop(timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._cancelled -= 1
                continue
            events += 1
            try:
                callback()
            except Exception as error:
                self._handler_failed(error)
        return events

    def _run_round_end(self) -> int:
        queue = self._round_end
        events = 0
        for _ in range(len(queue)):
            events += 1
            try:
                queue.popleft()()
            except Exception as error:
                self._handler_failed(error)
        return events

    def _handler_failed(self, error: Exception) -> None:
        if self.on_error is None:
            raise error
        self.on_error(error)

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedLoopError(
                f"this loop belongs to process {self._pid}: make a new EventLoop after the fork"
            )
        if self._closed:
            raise ClosedError("the loop is closed")
        if self._running:
            raise LoopReentryError(
                "the loop is running already: a handler must not wait;"
                " let it return a Future or use add_done_callback"
            )

    # -- many rounds -----------------------------------------------------------------------

    def run_until(
        self, condition: Completable | Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Run rounds until a future is done or a predicate is true.

        Args:
            condition: a Future, or a function without arguments asked after every round.
            timeout: seconds to go on at most; None for as long as it takes.
        Returns:
            True when the condition holds, False when the time is over.
        Raises:
            LoopReentryError, ForkedLoopError, ClosedError: as `run_once` does.
        """
        holds = getattr(condition, "done", condition)
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
        deadline = None if timeout is None else self._clock() + timeout
        if self._running or self._closed or os.getpid() != self._pid:
            self._check_usable()
        while not holds():
            if deadline is None:
                self.run_once(None)
                continue
            left = deadline - self._clock()
            self.run_once(left if left > 0.0 else 0.0)
            if left <= 0.0:
                return bool(holds())
        return True

    def run_forever(self) -> None:
        """Run rounds until `stop` is called."""
        try:
            while not self._stopping:
                self.run_once(None)
        finally:
            self._stopping = False

    def stop(self) -> None:
        """Let `run_forever` return after the present round."""
        self._stopping = True
        self.wakeup()

    # -- what to run -----------------------------------------------------------------------

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run a callback once, not before some time has passed.

        Args:
            delay: seconds from now; 0 means in the next round.
            callback: a function without arguments.
        Returns:
            The Timer, which can be cancelled.
        """
        if delay < 0:
            raise ValueError(f"delay is {delay}: use 0 or more seconds")
        timer = Timer(self, self._clock() + delay, callback)
        heappush(self._timers, (timer.when, next(self._sequence), timer))
        return timer

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run a callback in the next round, in the order of the calls."""
        self._soon.append(callback)

    def call_at_round_end(self, callback: Callable[[], object]) -> None:
        """Run a callback when the present round, or else the next one, is otherwise done."""
        self._round_end.append(callback)

    @property
    def running(self) -> bool:
        """True inside `run_once`."""
        return self._running

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    @property
    def forked(self) -> bool:
        """True in a child of the process that made the loop."""
        return os.getpid() != self._pid

    def time(self) -> float:
        """The loop's clock, in seconds from an arbitrary start."""
        return self._clock()

    def _timer_cancelled(self) -> None:
        # Cancelled timers stay in the heap until they come up; when they are the most of it,
        # they are swept out, so that calls which rarely time out do not pile up.
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._timers):
            self._timers[:] = [entry for entry in self._timers if entry[2].callback is not None]
            heapify(self._timers)
            self._cancelled = 0

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
            KeyError: it is registered already.
        """
        self._check_owner()
        self._selector.register(fileobj, events, _Registration(fileobj, callback))

    def modify(self, fileobj: int | HasFileno, events: int) -> None:
        """Change the events that a registered descriptor is watched for."""
        self._check_owner()
        self._selector.modify(fileobj, events, self._selector.get_key(fileobj).data)

    def unregister(self, fileobj: int | HasFileno) -> None:
        """Watch a descriptor no longer, a callback due in this round included.

        Raises:
            KeyError: it is not registered.
        """
        if self._closed:
            return
        self._check_owner()
        self._selector.unregister(fileobj).data.live = False

    def _check_owner(self) -> None:
        if self._closed or os.getpid() != self._pid:
            self._check_usable()

    # -- for other loops -------------------------------------------------------------------

    def fileno(self) -> int:
        """The selector's own descriptor, readable while a registered one is ready.

        Raises:
            ConfigError: the selector has no descriptor (poll and select have none).
        """
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise ConfigError(
                f"{type(self._selector).__name__} has no descriptor of its own:"
                " use EpollSelector or KqueueSelector"
            )
        return int(fileno())

    def next_timeout(self) -> float | None:
        """Seconds until `run_once` has something to do without a descriptor being ready.

        Returns:
            0.0 for at once, None for never.
        """
        if self._soon or self._round_end:
            return 0.0
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heappop(timers)
            self._cancelled -= 1
        if not timers:
            return None
        return min(max(timers[0][0] - self._clock(), 0.0), LONGEST_WAIT)

    def wakeup(self) -> None:
        """End a wait of `run_once` from a signal handler or another thread."""
        try:
            self._wakeup_socket.send(b"\0")
        except (BlockingIOError, OSError):
            # Full: a wake-up is under way already. Closed: there is no wait to end.
            pass

    def _drain_wakeups(self, _events: int) -> None:
        try:
            self._waker.recv(4096)
        except BlockingIOError:
            pass

    # -- ticks from a signal ---------------------------------------------------------------

    def add_urgent(self, callback: Callable[[float], object]) -> None:
        """Have `signal_ticks` call back with the present time; the callback only sends ticks."""
        self._urgent.add(callback)

    def remove_urgent(self, callback: Callable[[float], object]) -> None:
        """Take a callback of `add_urgent` back."""
        self._urgent.discard(callback)

    @contextmanager
    def signal_ticks(
        self, interval: float = 1.0, timer: int = signal.ITIMER_REAL
    ) -> Iterator[None]:
        """Send due ticks from a signal handler while the program computes.

        Python runs the handler between two bytecodes of the main thread. It does nothing while
        the loop is inside `run_once`, which sends ticks itself. A peer that got no byte for its
        tick time would take this node for dead.

        Args:
            interval: seconds between two looks at what is due.
            timer: signal.ITIMER_REAL (SIGALRM), ITIMER_VIRTUAL (SIGVTALRM) or ITIMER_PROF.
        Raises:
            ValueError: called off the main thread, or the interval is not above 0.
            ConfigError: that timer is in use already.
        """
        if not interval > 0:
            raise ValueError(f"interval is {interval}: use seconds above 0")
        number = {
            signal.ITIMER_REAL: signal.SIGALRM,
            signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
            signal.ITIMER_PROF: signal.SIGPROF,
        }[timer]
        if signal.getitimer(timer)[0]:
            raise ConfigError("that interval timer is in use: give signal_ticks another timer")

        def on_signal(_number: int, _frame: object) -> None:
            if not self._running and not self._closed and os.getpid() == self._pid:
                now = self._clock()
                for callback in tuple(self._urgent):
                    callback(now)

        before = signal.signal(number, on_signal)
        signal.setitimer(timer, interval, interval)
        try:
            yield
        finally:
            signal.setitimer(timer, 0.0)
            signal.signal(number, before)

    # -- the end ---------------------------------------------------------------------------

    def statistics(self) -> LoopStatistics:
        """A snapshot of the loop's counters."""
        return LoopStatistics(
            rounds=self._rounds,
            events=self._events,
            descriptors=self._descriptors(),
            timers=len(self._timers) - self._cancelled,
            queued=len(self._soon) + len(self._round_end),
        )

    def _descriptors(self) -> int:
        # The loop's own wake-up pipe is nobody's business.
        return 0 if self._closed else len(self._selector.get_map()) - 1

    def close(self) -> None:
        """Give the loop's own descriptors back; what others registered is left to them.

        In a forked child this closes only the child's copies: the parent's registrations live
        in the shared epoll instance and are not touched.
        """
        if self._closed:
            return
        if self._running:
            raise LoopReentryError("a handler must not close the loop: call stop() instead")
        self._closed = True
        self._timers.clear()
        self._soon.clear()
        self._round_end.clear()
        self._urgent.clear()
        self._selector.close()
        self._waker.close()
        self._wakeup_socket.close()

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


