"""The monitors that processes of this node hold: what each watches, and what follows."""

from __future__ import annotations

from collections.abc import Callable

from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.names import DOWN, PROCESS
from uds_dist.processes.process import Process


class Monitor:
    """One monitor that a process of this node holds.

    ``ref`` identifies it; ``target`` is what the signal names (a Pid or a registered name);
    ``node`` is where that is. A subclass defines in `on_down` what happens then.
    """

    __slots__ = ("node", "owner", "ref", "target")
    node: str
    owner: Pid
    ref: Reference
    target: Pid | str

    def on_down(self, reason: object) -> None:
        """It has fired, which happens at most once. The base class does nothing."""


class MonitorCallback(Monitor):
    """A monitor that calls a function with the reason."""

    __slots__ = ("_callback",)

    def __init__(
        self,
        ref: Reference,
        owner: Pid,
        target: Pid | str,
        node: str,
        callback: Callable[[object], object],
    ) -> None:
        self.ref = ref
        self.owner = owner
        self.target = target
        self.node = node
        self._callback = callback

    def on_down(self, reason: object) -> None:
        """Call the function."""
        self._callback(reason)


class ProcessMonitor(Monitor):
    """A monitor that sends its process a DOWN message.

    Args:
        process: the process that holds it.
        ref: its reference.
        target: what the signal names.
        node: where that is.
        watched: what the message names: a pid, or ``{name, node}``.
    """

    __slots__ = ("_process", "_watched")

    def __init__(
        self, process: Process, ref: Reference, target: Pid | Atom, node: str, watched: object
    ) -> None:
        self.ref = ref
        self.owner = process.pid
        self.target = target
        self.node = node
        self._process = process
        self._watched = watched

    def on_down(self, reason: object) -> None:
        """Deliver the message."""
        process = self._process
        if self.ref not in process.monitors:
            return  # it has fired already, and an exception came after that
        if process.convert is not None:
            reason = process.convert(reason)
        process.deliver_down(self.ref, (DOWN, self.ref, PROCESS, self._watched, reason))
        process.monitors.discard(self.ref)
