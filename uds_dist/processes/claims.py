"""Incoming handshakes until they have proved the cookie, and the names that they claim.

A peer that dials this node sends a name first and proves the cookie later, so anybody can claim any
name. Claims are kept here, apart from the known nodes: a claim may delay an attempt of this node
for a moment, because it is usually the node itself, and has no other effect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from uds_dist.errors import SimultaneousConnectError, UdsDistError
from uds_dist.transport.connection import Connection
from uds_dist.transport.log_rate import BoundedLog

logger = logging.getLogger(__name__)


class Claims:
    """The incoming connections of one node that are still in their handshake.

    Args:
        clock: a monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.incoming: set[Connection] = set()
        self._last: dict[
            str, Connection
        ] = {}  # the last for each name: a node dials once at a time
        self._log = BoundedLog(logger, clock)

    def __len__(self) -> int:
        return len(self.incoming)

    def __contains__(self, name: str) -> bool:
        """Whether a handshake under this name was answered and is not over."""
        return name in self._last

    def add(self, connection: Connection) -> None:
        """A connection was accepted."""
        self.incoming.add(connection)

    def claim(self, connection: Connection, name: str) -> None:
        """It has sent a name, and its handshake continues."""
        connection.name = name
        self._last[name] = connection

    def over(self, connection: Connection) -> None:
        """A handshake has ended; has no effect for a connection that this node dialled."""
        self.incoming.discard(connection)
        name = connection.name
        if name is not None and self._last.get(name) is connection:
            del self._last[name]

    def end(self, name: str) -> None:
        """End the handshake that claims a name: this node's own attempt continues."""
        for connection in tuple(self.incoming):
            if connection.name == name:
                connection.fail(
                    SimultaneousConnectError(
                        f"this node's own attempt to connect to {name} continues"
                    )
                )

    def failed(self, this: str, connection: Connection, error: UdsDistError, *, up: bool) -> None:
        """Log that a handshake has failed.

        Args:
            this: the name of this node.
            connection: the connection that has ended.
            error: why.
            up: there is a connection to the node that it claimed to be.
        """
        text = "%s: an incoming connection failed: %s"
        # When two nodes dial each other at once, one of the attempts fails; and a caller that
        # closes without sending anything only checked whether somebody listens.
        if up or isinstance(error, SimultaneousConnectError) or not connection.bytes_in:
            logger.debug(text, this, error)
        else:
            self._log.warning(text, this, error)
