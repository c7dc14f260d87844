"""Ticks that a signal handler sends while the program computes.

A peer that gets no byte for its tick time believes this node is dead. Python runs a signal handler
between two bytecodes of the main thread, so it can send ticks while the program is busy.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from uds_dist.errors import ConfigError


class Sender(Protocol):
    """A connection that needs ticks."""

    def urgent_tick(self, now: float) -> None:
        """Send a tick if its time has come, and do nothing else."""


def send_ticks(senders: set[Sender], now: float) -> None:
    """Send due ticks: called by a signal handler of the main thread while a handler computes.

    Args:
        senders: the connections that are up.
        now: the present time of the loop's clock.
    """
    for sender in tuple(senders):
        sender.urgent_tick(now)


@contextmanager
def on_interval(callback: Callable[[], object], interval: float, timer: int) -> Iterator[None]:
    """Call a function from a signal handler at intervals; see `EventLoop.signal_ticks`."""
    if not interval > 0:
        raise ValueError(f"interval is {interval}: use seconds above 0")
    number = {
        signal.ITIMER_REAL: signal.SIGALRM,
        signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
        signal.ITIMER_PROF: signal.SIGPROF,
    }[timer]
    if signal.getitimer(timer)[0]:
        raise ConfigError("that interval timer is in use: give signal_ticks another timer")
    before = signal.signal(number, lambda _number, _frame: callback())
    try:
        signal.setitimer(timer, interval, interval)
        yield
    finally:
        signal.setitimer(timer, 0.0)
        # None: the previous handler is not Python's and cannot be restored.
        signal.signal(number, signal.SIG_DFL if before is None else before)
