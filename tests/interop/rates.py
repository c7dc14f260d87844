"""The speed of output, on a machine that may have other work."""

from __future__ import annotations

from collections.abc import Callable

WANTED = 20e6  # bytes per second
ATTEMPTS = 8


def fast_enough(measure: Callable[[], float], of_the_system: Callable[[], float]) -> bool:
    """Whether bytes come at 20 MB/s, or at half the system's rate if that is less.

    Args:
        measure: returns the bytes per second of one attempt; the best of several counts.
        of_the_system: returns the rate of a system program at the same time.
    """
    rates = []
    for _ in range(ATTEMPTS):
        rates.append((measure(), of_the_system()))
        if rates[-1][0] >= min(WANTED, rates[-1][1] / 2):
            return True
    print(f"bytes per second, and what the system gives: {rates}")
    return False
