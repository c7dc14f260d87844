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

The selector is level-triggered on purpose: a handler that reads only part of the data, or that
raises before reading, loses nothing. It also makes `fileno` nestable: epoll and kqueue descriptors
are readable exactly while something registered with them is ready.

Sleeping and waking costs more than a local BEAM needs to reply. So a wait that follows a short one
spins for up to 100 microseconds before it sleeps, as the BEAM's own schedulers do (``+sbwt``): a
round trip takes two thirds of the time. A program whose waits are longer never spins.

A round that finds nothing costs less than twice the bare `select(0)`. That is why a hook counts
forks, where getpid would be a system call, and why the work of a round is in a separate method that
an idle round does not enter.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Final, NamedTuple, Protocol, cast

from uds_dist.errors import (
    ClosedError,
    ConfigError,
    ForkedLoopError,
    LoopReentryError,
)
from uds_dist.transport.sigpipe import NO_SIGPIPE, suppress_sigpipe
from uds_dist.transport.timers import Timer, Timers

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

# A longer wait would overflow the timeout of poll(2), and hide a clock that was set back.
LONGEST_WAIT: Final = 3600.0
# A wait below this, in seconds, is short, and the next one begins with this many polls. They take
# about as long; an answer that comes meanwhile is found without sleeping.
SHORT_WAIT: Final = 100e-6
LOOKS: Final = 40

# The loop's states: anything but IDLE bars `run_once`.
IDLE: Final = 0
RUNNING: Final = 1
CLOSED: Final = 2
STATES = ("idle", "running", "closed")

# A program may use greenlets; this module does not import them for it.
_modules: Final = sys.modules

# How many forks lie between the first process that made a loop and this one; -1 before that. After
# a fork the number differs from that of older loops, in the child only.
_forks = -1

Ready = list[tuple[selectors.SelectorKey, int]]


class HasFileno(Protocol):
    """Anything with `fileno() -> int`, such as a socket."""

    def fileno(self) -> int: ...


class Completable(Protocol):
    """Anything with `done() -> bool`, such as a Future."""

    def done(self) -> bool: ...


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


class _Registration:
    """What a descriptor is watched for; `events` is checked at dispatch, 0 once unregistered."""

    __slots__ = ("callback", "events")

    def __init__(self, callback: Callable[[int], object], events: int) -> None:
        self.callback = callback
        self.events = events


class _Unfinished(NamedTuple):
    """The part of a round that an exception prevented.

    ``registrations`` that were ready; ``timers`` below this number belong to the round; ``soon``
    and ``round_end`` are numbers of callbacks of each queue, None for all.
    """

    registrations: frozenset[object]
    timers: int
    soon: int
    round_end: int | None


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
        self._selector = selectors.DefaultSelector() if selector is None else selector
        self._clock = clock
        self.on_error = on_error
        self._pid = os.getpid()
        _count_forks()
        self._made_after = _forks
        self._timers = Timers()
        self._soon: deque[Callable[[], object]] = deque()
        self._round_end: deque[Callable[[], object]] = deque()
        self._unfinished: _Unfinished | None = None
        # What each round looks at, together: one attribute lookup is faster than five.
        self._parts = (self._selector.select, clock, self._timers.heap, self._soon, self._round_end)
        self._state = IDLE
        # Where the present round runs, or the last one that waited or had work.
        self._thread_id = 0
        self._greenlet = 0
        self._stopping = False
        # With one processor, spinning would starve the peer we wait for.
        self._busy_wait = _processors() > 1 if busy_wait is None else busy_wait
        self._was_short = False
        self.now = clock()  # when the present round, or the last one with work, began it
        self._rounds = 0
        self._events = 0
        # What a program's handler of messages has just raised, on its way out of `run_once`.
        self.program_error: BaseException | None = None
        self._urgent: set[Callable[[float], object]] = set()
        self._held: set[object] = set()
        # The unanswered challenges of this loop's handshakes, by sending and receiving node. If one
        # comes back from elsewhere, a stranger is trying to obtain its answer.
        self.challenges: dict[int, tuple[str, str]] = {}
        self._waker, self._wakeup_socket = socket.socketpair()
        self._waker.setblocking(False)
        self._wakeup_socket.setblocking(False)
        suppress_sigpipe(self._wakeup_socket)
        self.register(self._waker, READ, self._drain_wakeups)

    def __repr__(self) -> str:
        return (
            f"<EventLoop {STATES[self._state]} descriptors={self._descriptors()}"
            f" timers={len(self._timers)} queued={len(self._soon)} rounds={self._rounds}>"
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
            Exception: a handler raised it and there is no `on_error`. The next call goes on with
                the rest of the round.
        """
        if self._state or _forks != self._made_after:
            self._check_usable()
        try:
            self._state = RUNNING
            if self._unfinished:
                return self._finish_round(self._unfinished)
            select, clock, timers, soon, round_end = self._parts
            if timeout is not None and timeout == 0.0:
                ready = select(0.0)
            else:
                ready = self._wait(timeout)
            now = clock()
            self._rounds += 1
            if ready or soon or round_end or (timers and timers[0][0] <= now):
                self.now = now
                return self._dispatch(ready, self._timers.number, len(soon), None)
            return 0
        finally:
            self._state = IDLE

    def _wait(self, timeout: float | None) -> Ready:
        """Wait for a descriptor; spin first if the last wait was short."""
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
        due = self.next_timeout()
        if due is None:
            due = LONGEST_WAIT
        wait = due if timeout is None or due < timeout else timeout
        self._thread_id = get_ident()
        self._greenlet = _greenlet() if "greenlet" in _modules else 0
        select, clock = self._parts[:2]
        if not wait or not self._busy_wait:
            return select(wait)
        begun = clock()
        ready: Ready = []
        if self._was_short and wait > SHORT_WAIT:
            looks = LOOKS
            while looks and not ready:
                looks -= 1
                ready = select(0.0)
        if not ready:
            ready = select(wait)
        self._was_short = bool(ready) and clock() - begun < SHORT_WAIT
        return ready

    def _dispatch(self, ready: Ready, first_new: int, soon: int, round_end: int | None) -> int:
        """Do a round: ready descriptors and expired timers, then `soon` and `round_end` callbacks.

        Timers numbered `first_new` or higher were started by handlers of this round: they run in
        the next one, even if the clock has not moved since.
        """
        self._thread_id = get_ident()
        self._greenlet = _greenlet() if "greenlet" in _modules else 0
        events = 0
        rest = iter(ready)
        timers = self._timers
        now = self.now
        try:
            for key, mask in rest:
                registration: _Registration = key.data
                mask &= registration.events
                if mask:
                    events += 1
                    try:
                        registration.callback(mask)
                    except Exception as error:
                        if not self._handled(error):
                            raise
                    if _forks != self._made_after:
                        self._check_usable()
            while timers.any_due(now, first_new):
                due = timers.take()
                if due is not None:
                    events += 1
                    self._call(due)
            while soon:
                soon -= 1
                events += 1
                self._call(self._soon.popleft())
            if round_end is None:
                round_end = len(self._round_end)
            while round_end:
                round_end -= 1
                events += 1
                self._call(self._round_end.popleft())
        except BaseException:
            self._note_unfinished(
                _Unfinished(frozenset(key.data for key, _ in rest), first_new, soon, round_end)
            )
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
        if _forks != self._made_after:
            self._check_usable()

    def _handled(self, error: Exception) -> bool:
        self.program_error = None
        if self.on_error is None or isinstance(error, ForkedLoopError):
            return False
        self.on_error(error)
        return True

    def _note_unfinished(self, left: _Unfinished) -> None:
        if (
            left.registrations
            or left.soon
            or (len(self._round_end) if left.round_end is None else left.round_end)
            or self._timers.any_due(self.now, left.timers)
        ):
            self._unfinished = left

    def _finish_round(self, left: _Unfinished) -> int:
        """Finish the part of a round that an exception prevented."""
        self._unfinished = None
        ready: Ready = []
        if left.registrations:
            ready = self._selector.select(0.0)
            ready = [item for item in ready if item[0].data in left.registrations]
        self.now = self._clock()
        self._rounds += 1
        return self._dispatch(ready, left.timers, left.soon, left.round_end)

    def _check_usable(self) -> None:
        if self.forked:
            raise ForkedLoopError(
                f"this loop belongs to process {self._pid}: make a new EventLoop after the fork"
            )
        if self._state == CLOSED:
            raise ClosedError("the loop is closed")
        if self._state == RUNNING:
            raise LoopReentryError(self._why_not_here())

    def _why_not_here(self) -> str:
        """The error text for a call into the running loop."""
        if get_ident() != self._thread_id:
            return (
                "the loop is running in another thread: a loop and its nodes are used by one thread"
                " alone; from others call loop.call_soon_threadsafe()"
            )
        if _greenlet() != self._greenlet:
            return (
                "the loop is running in another greenlet, which waits in it or in one of its"
                " handlers: run the loop in one greenlet, and wake others from callbacks"
            )
        return (
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
        done: Callable[[], bool] | None = getattr(condition, "done", None)
        holds = cast("Callable[[], bool]", condition) if done is None else done
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
        if self._state or _forks != self._made_after:
            self._check_usable()
        if timeout is None:
            while not holds():
                self.run_once(None)
            return True
        clock = self._clock
        deadline = clock() + timeout
        while not holds():
            left = deadline - clock()
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
        """Let `run_forever` return after the present round."""
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
        if args:
            callback = partial(callback, *args)
        return self._timers.start(self._clock() + delay, callback)

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback, with `args`, in the next round, in the order of the calls."""
        self._soon.append(partial(callback, *args) if args else callback)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in the next round, and end a wait that is under way.

        Another thread may call only this and `wakeup`.
        """
        self.call_soon(callback, *args)
        self.wakeup()

    def call_at_round_end(self, callback: Callable[[], object]) -> None:
        """Run a callback at the end of the present round, or of the next one outside a round."""
        self._round_end.append(callback)

    def hold(self, thing: object) -> None:
        """Keep a strong reference until `release`."""
        self._held.add(thing)

    def release(self, thing: object) -> None:
        """Drop a reference that `hold` keeps, if it does."""
        self._held.discard(thing)

    @property
    def running(self) -> bool:
        """True inside `run_once`."""
        return self._state == RUNNING and not self.forked

    def at_rest(self) -> bool:
        """True outside of `run_once`, where descriptors may be used.

        Raises:
            ForkedLoopError: this is a child of the process that made the loop.
            ClosedError: the loop is closed.
        """
        if self._state == CLOSED or _forks != self._made_after:
            self._check_usable()
        return self._state == IDLE

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._state == CLOSED

    @property
    def forked(self) -> bool:
        """True in a child of the process that made the loop."""
        return _forks != self._made_after

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
        self.check_owner()
        self._selector.register(fileobj, events, _Registration(callback, events))

    def modify(self, fileobj: int | HasFileno, events: int) -> None:
        """Change the events that a registered descriptor is watched for.

        Events that are no longer watched for are not reported any more, even in this round.

        Raises:
            ValueError: `events` is empty.
            KeyError: it is not registered.
        """
        self.check_owner()
        if not events:
            # Some selectors accept 0; they would then report a hang-up in every round, for ever.
            raise ValueError("events is 0: unregister the descriptor instead")
        registration: _Registration = self._selector.get_key(fileobj).data
        self._selector.modify(fileobj, events, registration)
        registration.events = events

    def unregister(self, fileobj: int | HasFileno) -> None:
        """Stop watching a descriptor; a callback pending in this round does not run either.

        Raises:
            KeyError: it is not registered.
        """
        if self._state == CLOSED:
            return
        self.check_owner()
        try:
            self._selector.unregister(fileobj).data.events = 0
        except BytesWarning:
            # With -bb: the KeyError's text would show an abstract socket's address, which is bytes.
            raise KeyError("the socket is not registered") from None

    def check_owner(self) -> None:
        """Raise an error unless the descriptors may be used here.

        Raises:
            ForkedLoopError: this is a child of the process that made the loop.
            ClosedError: the loop is closed.
        """
        if self._state == CLOSED or self.forked:
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
        if self._soon or self._round_end or self._unfinished is not None:
            return 0.0
        when = self._timers.next_when()
        if when is None:
            return None
        due = when - self._clock()
        if due <= 0.0:
            return 0.0
        return due if due < LONGEST_WAIT else LONGEST_WAIT

    def wakeup(self) -> None:
        """End a wait of `run_once` from a signal handler or another thread.

        It may be called at any moment, also between any two bytecodes of the loop itself. After
        `call_soon` it makes the waiting loop look at its queue.
        """
        if self.forked:
            return  # the other end is the parent's
        try:
            self._wakeup_socket.send(b"\0", NO_SIGPIPE)
        except OSError:
            # Full: a wake-up is under way already. Closed: there is no wait to end.
            pass

    def _drain_wakeups(self, _events: int) -> None:
        try:
            self._waker.recv(4096)
        except BlockingIOError:
            pass

    def waiting_timers(self) -> list[tuple[float, Callable[[], object]]]:
        """The waiting timers: how many seconds are left, and what each calls."""
        now = self._clock()
        return [
            (when - now, timer.callback)
            for when, _, timer in sorted(self._timers.heap)
            if timer.callback is not None
        ]

    # -- ticks from a signal ---------------------------------------------------------------

    def add_urgent(self, callback: Callable[[float], object]) -> None:
        """Let `signal_ticks` call `callback` with the present time; it only sends ticks."""
        self._urgent.add(callback)

    def send_ticks(self) -> None:
        """Send due ticks, from a signal handler of the main thread while a handler computes."""
        now = self._clock()
        for callback in tuple(self._urgent):
            callback(now)

    def remove_urgent(self, callback: Callable[[float], object]) -> None:
        """Remove a callback of `add_urgent`."""
        self._urgent.discard(callback)

    @contextmanager
    def signal_ticks(
        self, interval: float = 1.0, timer: int = signal.ITIMER_REAL
    ) -> Iterator[None]:
        """Send due ticks from a signal handler while the program computes.

        Python runs the handler between two bytecodes of the main thread. It does nothing while
        the loop is inside `run_once`, which sends ticks itself. A peer that gets no byte for its
        tick time believes this node is dead.

        Args:
            interval: seconds between two checks for due ticks.
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
            if self._state == IDLE and not self.forked:
                self.send_ticks()

        before = signal.signal(number, on_signal)
        try:
            signal.setitimer(timer, interval, interval)
            yield
        finally:
            signal.setitimer(timer, 0.0)
            # None: the previous handler is not Python's and cannot be restored.
            signal.signal(number, signal.SIG_DFL if before is None else before)

    # -- the end ---------------------------------------------------------------------------

    def statistics(self) -> LoopStatistics:
        """A snapshot of the loop's counters."""
        return LoopStatistics(
            rounds=self._rounds,
            events=self._events,
            descriptors=self._descriptors(),
            timers=len(self._timers),
            queued=len(self._soon) + len(self._round_end),
        )

    def _descriptors(self) -> int:
        # The loop's own wake-up pipe is not counted.
        return 0 if self._state == CLOSED else len(self._selector.get_map()) - 1

    def close(self) -> None:
        """Close the loop's own descriptors; those that others registered stay open.

        In a forked child this closes only the child's copies: the parent's registrations live
        in the shared epoll instance and are not touched.
        """
        if self._state == CLOSED:
            return
        if self._state == RUNNING and not self.forked:
            raise LoopReentryError("a handler must not close the loop: call stop() instead")
        self._state = CLOSED
        self._unfinished = None
        self._timers.clear()
        self._soon.clear()
        self._round_end.clear()
        self._urgent.clear()
        self._held.clear()
        self._selector.close()
        self._waker.close()
        self._wakeup_socket.close()

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _greenlet() -> int:
    """Identifies the current greenlet; 0 in a program without greenlets."""
    current = getattr(_modules.get("greenlet"), "getcurrent", None)
    return 0 if current is None else id(current())


def _count_forks() -> None:
    # The hook cannot be removed, so one serves all loops, and it refers to none.
    global _forks
    if _forks < 0:
        _forks = 0
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    global _forks
    _forks += 1
