"""Logs that peers cannot flood: the records that they cause are written at a bounded rate."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

# At most BURST records are written in PERIOD seconds; the others are counted.
BURST: Final = 10
PERIOD: Final = 60.0


class BoundedLog:
    """Writes at most `BURST` records in `PERIOD` seconds, and says how many it left out.

    Use one for each kind of record, so that a flood of one kind does not hide another.

    Args:
        logger: where the records go.
        clock: a monotonic clock in seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._begun = -PERIOD
        self._written = 0
        self._left_out = 0

    def warning(self, text: str, *args: object) -> None:
        """Write a warning, or count it.

        Args:
            text, args: as for `logging.Logger.warning`.
        """
        self.log(logging.WARNING, text, *args)

    def log(
        self, level: int, text: str, *args: object, exc_info: BaseException | None = None
    ) -> None:
        """Write a record, or count it.

        Args:
            level, text, args, exc_info: as for `logging.Logger.log`.
        """
        now = self._clock()
        if now - self._begun >= PERIOD:
            left_out, self._left_out = self._left_out, 0
            self._begun, self._written = now, 0
            if left_out:
                self._logger.log(level, "%d more records like the next were left out", left_out)
        if self._written < BURST:
            self._written += 1
            self._logger.log(level, text, *args, exc_info=exc_info)
        else:
            self._left_out += 1


class BoundedLogs:
    """A `BoundedLog` for each of a few kinds of records.

    Args:
        logger, clock: as for `BoundedLog`.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._kinds: dict[str, BoundedLog] = {}

    def log(
        self,
        level: int,
        kind: str,
        text: str,
        *args: object,
        exc_info: BaseException | None = None,
    ) -> None:
        """Write a record, or count it.

        Args:
            kind: records of one kind are counted together; one of a few fixed texts, never a text
                from a peer.
            level, text, args, exc_info: as for `logging.Logger.log`.
        """
        log = self._kinds.get(kind)
        if log is None:
            log = self._kinds[kind] = BoundedLog(self._logger, self._clock)
        log.log(level, text, *args, exc_info=exc_info)

    def once(self, level: int, kind: str, text: str, *args: object) -> None:
        """Write only the first record of a kind."""
        if kind not in self._kinds:
            self.log(level, kind, text, *args)
