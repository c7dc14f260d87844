"""The links and monitors between a node's processes and another node, for when it goes down."""

from __future__ import annotations

import logging
from collections.abc import Callable

from uds_dist.etf.terms import Pid, Reference
from uds_dist.processes.monitors import Monitor
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.process import Process
from uds_dist.transport.fault import is_own_fault

logger = logging.getLogger(__name__)


class Ties:
    """All ties between processes of this node and one other node, for when it goes down."""

    __slots__ = ("links", "monitors", "spawns", "watchers")

    def __init__(self) -> None:
        self.links: set[tuple[Process, Pid]] = set()
        self.monitors: set[Monitor] = set()  # held here
        self.watchers: set[tuple[Process, Reference]] = set()  # held there
        self.spawns: set[PendingCall] = set()  # requests without a reply yet

    def __bool__(self) -> bool:
        return bool(self.links or self.monitors or self.watchers or self.spawns)


def guarded(fire: Callable[..., object], *arguments: object) -> None:
    """Fire one of many ties: if the library fails on it, the others still fire."""
    try:
        fire(*arguments)
    except Exception as error:
        if not is_own_fault(error):
            raise
        logger.error("could not report the end of a connection", exc_info=error)
