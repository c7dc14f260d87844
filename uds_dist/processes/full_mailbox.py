"""A full mailbox: the peer whose message filled it is not read from until it is half empty."""

from __future__ import annotations

import logging

from uds_dist.config import Config
from uds_dist.processes.process import Process
from uds_dist.transport.connection import Connection
from uds_dist.transport.loop import EventLoop
from uds_dist.transport.phase import UP

logger = logging.getLogger(__name__)

# Seconds between two checks of a full mailbox.
FULL_CHECK = 0.02


def hold_back(loop: EventLoop, config: Config, connection: Connection, process: Process) -> None:
    """Stop reading from a peer until a mailbox is half empty.

    Args:
        loop: runs the checks.
        config: the limits of mailboxes.
        connection: the connection that brought the message.
        process: the mailbox.
    """
    if connection.paused:
        return
    logger.warning(
        "%s: the mailbox %s holds %d messages, about %d bytes: nothing is read until it is half"
        " empty",
        connection.name,
        process.name or process.pid,
        process.waiting,
        process.size,
    )
    connection.pause()

    def look() -> None:
        if connection.phase is UP:
            half_empty = (
                process.waiting <= config.max_mailbox_length // 2
                and process.size <= config.max_mailbox_size // 2
            )
            if process.alive and not half_empty:
                loop.call_later(FULL_CHECK, look)
            else:
                connection.resume()

    loop.call_later(FULL_CHECK, look)
