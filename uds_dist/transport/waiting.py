"""How a loop waits, and how a wait is ended from elsewhere.

Sleeping and waking costs more than a local BEAM needs to reply. So a wait that follows a short one
spins for up to 100 microseconds before it sleeps, as the BEAM's own schedulers do (``+sbwt``): a
round trip takes two thirds of the time. A program whose waits are longer never spins.
"""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from typing import Final

from uds_dist.transport.sigpipe import NO_SIGPIPE, suppress_sigpipe

# A longer wait would overflow the timeout of poll(2), and hide a clock that was set back.
LONGEST_WAIT: Final = 3600.0
# A wait below this, in seconds, is short, and the next one begins with this many polls. They take
# about as long; an answer that comes meanwhile is found without sleeping.
SHORT_WAIT: Final = 100e-6
LOOKS: Final = 40

Ready = list[tuple[selectors.SelectorKey, int]]


class Waiting:
    """Waits with a selector, and spins first if the last wait was short.

    Args:
        spins: whether to spin at all; None: on two or more processors.
    """

    __slots__ = ("_spins", "_was_short")

    def __init__(self, spins: bool | None) -> None:
        # With one processor, spinning would starve the peer we wait for.
        self._spins = _processors() > 1 if spins is None else spins
        self._was_short = False

    def wait(
        self,
        select: Callable[[float | None], Ready],
        clock: Callable[[], float],
        timeout: float | None,
        due: float | None,
    ) -> Ready:
        """Wait for a descriptor.

        Args:
            select: the selector's method.
            clock: the loop's clock.
            timeout: seconds to wait at most; None for as long as it takes.
            due: seconds until a timer ends the wait; None for never.
        Raises:
            ValueError: the timeout is negative.
        """
        if timeout is not None and timeout < 0:
            raise ValueError(f"timeout is {timeout}: use 0 to poll, None to wait")
        if due is None:
            due = LONGEST_WAIT
        seconds = due if timeout is None or due < timeout else timeout
        if not seconds or not self._spins:
            return select(seconds)
        begun = clock()
        ready: Ready = []
        if self._was_short and seconds > SHORT_WAIT:
            looks = LOOKS
            while looks and not ready:
                looks -= 1
                ready = select(0.0)
        if not ready:
            ready = select(seconds)
        self._was_short = bool(ready) and clock() - begun < SHORT_WAIT
        return ready


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Waker:
    """A pair of sockets: a byte in one ends the wait of the loop that watches the other."""

    __slots__ = ("watched", "_other")

    def __init__(self) -> None:
        self.watched, self._other = socket.socketpair()
        self.watched.setblocking(False)
        self._other.setblocking(False)
        suppress_sigpipe(self._other)

    def wake(self) -> None:
        """End the wait, from any thread and between any two bytecodes."""
        try:
            self._other.send(b"\0", NO_SIGPIPE)
        except OSError:
            # Full: a wake-up is under way already. Closed: there is no wait to end.
            pass

    def drain(self, _events: int) -> None:
        """Take the bytes out again."""
        try:
            self.watched.recv(4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close both."""
        self.watched.close()
        self._other.close()
