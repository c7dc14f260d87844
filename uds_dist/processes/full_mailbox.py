"""A full mailbox: the peer whose message filled it is not read from until it is half empty."""

from __future__ import annotations

import logging

from uds_dist.config import Config
from uds_dist.processes.process import Process
from uds_dist.transport.connection import Connection
from uds_dist.transport.log_rate import BoundedLog
from uds_dist.transport.loop import EventLoop
from uds_dist.transport.phase import UP

logger = logging.getLogger(__name__)

# Seconds between two checks of a full mailbox.
FULL_CHECK = 0.02


class FullMailboxes:
    """Stops reading from peers whose messages have filled a mailbox of this node.

    Args:
        loop: runs the checks.
        config: the limits of mailboxes.
    """

    def __init__(self, loop: EventLoop, config: Config) -> None:
        self._loop = loop
        self._config = config
        self._log = BoundedLog(logger, loop.time)  # a peer can fill a mailbox again and again

    def hold_back(self, connection: Connection, process: Process) -> None:
        """Stop reading from a peer until a mailbox is half empty.

        Args:
            connection: the connection that brought the message.
            process: the mailbox.
        """
        if connection.paused:
            return
        self._log.warning(
            "%s: the mailbox %s holds %d messages, about %d bytes: nothing is read until it is half"
            " empty",
            connection.name,
            process.name or process.pid,
            process.waiting,
            process.size,
        )
        connection.pause()
        self._loop.call_later(FULL_CHECK, self._look, connection, process)

    def _look(self, connection: Connection, process: Process) -> None:
        if connection.phase is not UP:
            return
        half_empty = (
            process.waiting <= self._config.max_mailbox_length // 2
            and process.size <= self._config.max_mailbox_size // 2
        )
        if process.alive and not half_empty:
            self._loop.call_later(FULL_CHECK, self._look, connection, process)
        else:
            connection.resume()
