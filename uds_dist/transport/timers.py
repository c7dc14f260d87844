"""The timers of a loop, in a heap.

A cancelled timer stays in the heap until its time comes. Once most timers are cancelled, all of
these are removed, so that the timeouts of successful calls do not pile up.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Timer:
    """A callback that runs at a certain time, unless `cancel` is called."""

    __slots__ = ("callback", "when", "_timers")

    def __init__(self, timers: Timers, when: float, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback
        self.when = when
        self._timers = timers

    def cancel(self) -> None:
        """Make sure the callback does not run; no effect if it has run."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled_one()

    def __repr__(self) -> str:
        state = "spent" if self.callback is None else f"when={self.when:.3f}"
        return f"<Timer {state}>"


class Timers:
    """A heap of (when, number, timer); if two times are equal, the older timer comes first.

    ``number`` is the next timer's number; ``cancelled`` counts cancelled timers in the heap.
    """

    __slots__ = ("cancelled", "heap", "number")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Timer]] = []
        self.number = 0
        self.cancelled = 0

    def __len__(self) -> int:
        return len(self.heap) - self.cancelled

    def start(self, when: float, callback: Callable[[], object]) -> Timer:
        """Run a callback at a time of the loop's clock."""
        timer = Timer(self, when, callback)
        number = self.number
        self.number = number + 1  # before the push: two timers with one number cannot be compared
        heappush(self.heap, (when, number, timer))
        return timer

    def any_due(self, now: float, below: int) -> bool:
        """True if the next timer is due and was started before the one with number `below`."""
        heap = self.heap
        return bool(heap) and heap[0][0] <= now and heap[0][1] < below

    def take(self) -> Callable[[], object] | None:
        """Remove the next timer and return its callback; None if it was cancelled."""
        timer = heappop(self.heap)[2]
        callback, timer.callback = timer.callback, None
        if callback is None:
            self.cancelled -= 1
        return callback

    def next_when(self) -> float | None:
        """When the next timer is due, not counting cancelled ones; None if there is none."""
        heap = self.heap
        while heap and heap[0][2].callback is None:
            heappop(heap)
            self.cancelled -= 1
        return heap[0][0] if heap else None

    def cancelled_one(self) -> None:
        """Count a cancelled timer; remove all cancelled ones once they are too many."""
        self.cancelled += 1
        if self.cancelled > 64 and self.cancelled * 2 > len(self.heap):
            self.heap[:] = [entry for entry in self.heap if entry[2].callback is not None]
            heapify(self.heap)
            self.cancelled = 0

    def waiting(self, now: float) -> list[tuple[float, Callable[[], object]]]:
        """The waiting timers: how many seconds are left, and what each calls."""
        return [
            (when - now, timer.callback)
            for when, _, timer in sorted(self.heap)
            if timer.callback is not None
        ]

    def clear(self) -> None:
        """Cancel all timers."""
        for _, _, timer in self.heap:
            timer.callback = None
        self.heap.clear()
        self.cancelled = 0
