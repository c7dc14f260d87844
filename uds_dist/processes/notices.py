"""Notices to the program: another node has connected, disconnected or could not be reached.

Notices are given at the end of a round: before the first message of a peer that has connected,
after the last one of a peer that is gone. Each callback is called separately, so that one that
raises does not keep the others from being called.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from uds_dist.errors import UdsDistError
from uds_dist.processes.names import NodeEvent
from uds_dist.transport.loop import EventLoop

Notice = Callable[[NodeEvent, str, "UdsDistError | None"], object]


class Notices:
    """The callbacks of one node.

    Args:
        loop: calls them.
    """

    def __init__(self, loop: EventLoop) -> None:
        self.of_nodes: list[Notice] = []  # nodes connect and disconnect
        self.of_losses: list[Callable[[str, UdsDistError], object]] = []  # failed attempts too
        self._loop = loop

    def remove(self, notice: Notice) -> bool:
        """Stop calling a function of `of_nodes`; False when it is not there."""
        if notice not in self.of_nodes:
            return False
        self.of_nodes.remove(notice)
        return True

    def tell(self, event: NodeEvent, name: str, error: UdsDistError | None) -> None:
        """A node has connected or disconnected."""
        for notice in self.of_nodes:
            self._loop.round_end.append(partial(self._give, notice, event, name, error))

    def _give(
        self, notice: Notice, event: NodeEvent, name: str, error: UdsDistError | None
    ) -> None:
        if notice in self.of_nodes:  # else it was removed in this round
            notice(event, name, error)

    def tell_loss(self, name: str, error: UdsDistError) -> None:
        """A connection was lost, or could not be made."""
        for notice in self.of_losses:
            self._loop.round_end.append(partial(notice, name, error))
