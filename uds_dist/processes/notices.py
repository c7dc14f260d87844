"""What the program is told of other nodes: that they come, that they go, that they are not reached.

Everything is told at the round's end, before any message of the peer and after every one; and to
each callback by itself: one that raises must not keep the news from the others.
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
        self.of_nodes: list[Notice] = []  # of nodes that come, and go again
        self.of_losses: list[Callable[[str, UdsDistError], object]] = []  # attempts among them
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
        if notice in self.of_nodes:  # else it was taken back in this round
            notice(event, name, error)

    def tell_loss(self, name: str, error: UdsDistError) -> None:
        """A connection was lost, or could not be made."""
        for notice in self.of_losses:
            self._loop.round_end.append(partial(notice, name, error))
