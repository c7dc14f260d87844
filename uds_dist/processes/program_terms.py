"""The conversion of terms for the program, as its settings say."""

from __future__ import annotations

import logging

from uds_dist.config import Config
from uds_dist.etf.conversion import Hook, conversion
from uds_dist.etf.reader import DEEPEST
from uds_dist.etf.shown import shown
from uds_dist.processes.local_signals import copied
from uds_dist.transport.log_rate import BoundedLogs
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)


class ProgramTerms:
    """The conversions of one node.

    Args:
        loop: its clock bounds the rate of log lines.
        config: `text`, `object_hook`, `records`, `default` and `max_term_depth` are used.
    """

    def __init__(self, loop: EventLoop, config: Config) -> None:
        self.conversion = conversion(config.text, config.object_hook, config.records)
        self.default: Hook | None = config.default  # for the program's values on their way out
        self.max_depth = min(config.max_term_depth, DEEPEST)
        self._log = BoundedLogs(logger, loop.time)

    def converted(self, term: object) -> object:
        """A term converted for the program: by `Config.text`, `object_hook` and `records`.

        Raises:
            Exception: what the program's object_hook raised.
        """
        return term if self.conversion is None else self.conversion.convert(term)

    def converted_or_plain(self, term: object) -> object:
        """Like `converted`, but never raises: no caller could handle that.

        Returns:
            The unconverted term if the object_hook raised; that is logged.
        """
        try:
            return self.converted(term)
        except Exception as error:
            self._log.log(
                logging.ERROR, "object_hook", "the object_hook raised at %s", shown(term),
                exc_info=error,
            )  # fmt: skip
            return term

    def copy(self, term: object) -> object:
        """A term as another node would receive it, though it stays on this one.

        Raises:
            EncodeError: it is not a term.
        """
        return copied(term, self.max_depth, self.default)[0]
