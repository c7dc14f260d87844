"""A process of the node itself, such as `net_kernel`; no message from a peer can end or stop it.

A message of unknown shape is logged, at a bounded rate, and dropped. A full write queue never
refuses the service's messages. An answer that cannot be encoded is not sent, and the service
continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from uds_dist.errors import TermError
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.dialect import UNUSED
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import ALIAS_SEND, REG_SEND, SEND_SENDER
from uds_dist.services.gen import alias_of
from uds_dist.transport.log_rate import BoundedLogs

logger = logging.getLogger(__name__)

# Acts on a message: (sending node, message); returns False if its shape is unknown.
Handle = Callable[[str, object], bool]


class FromNode:
    """A message, and the node whose connection it came by."""

    __slots__ = ("node", "message")

    def __init__(self, node: str, message: object) -> None:
        self.node = node
        self.message = message


class NodeService:
    """The process of one service.

    Args:
        processes: the node's process table.
        name: the registered name, or None.
        what: the service's name in the log.
        handle: acts on each message.
    Raises:
        ConfigError: the name is taken.
    """

    def __init__(self, processes: Processes, name: str | None, what: str, handle: Handle) -> None:
        self._processes = processes
        self._what = what
        self._handle = handle
        self._log = BoundedLogs(logger, processes.loop.time)
        self.process: Process = processes.new_process(name, self._on_message, trap_exit=True)
        self.process.system = True
        self.process.adapt = FromNode

    def _on_message(self, message: object) -> None:
        node: str = self._processes.name
        if isinstance(message, FromNode):
            node, message = message.node, message.message
        match message:
            case (Atom("EXIT"), Pid(), _):
                return  # a link from another process to this one
        if not self._handle(node, message):
            self.complain(node, "a message of unknown shape", message)

    def complain(self, node: str, what: str, term: object) -> None:
        """Log a message that a peer should not have sent."""
        self._log.log(
            logging.WARNING, what, "%s sent %s %s, which is dropped: %s",
            printable(node), self._what, what, shown(term),
        )  # fmt: skip

    def reply(self, node: str, caller: Pid, tag: object, answer: object) -> bool:
        """Answer a generic call; False if the call names another node: it gets no answer."""
        dest = alias_of(tag) or caller
        return dest.node == node and self.send(dest, (tag, answer))

    def send(self, dest: Pid | Reference | tuple[str, str], message: object) -> bool:
        """Send a message for the node; False, with nothing sent, if it cannot be encoded."""
        own = self.process.pid
        control: tuple[object, ...]
        if isinstance(dest, tuple):
            name, node = dest
            control = (REG_SEND, own, UNUSED, Atom(name))
        else:
            node = dest.node
            control = (ALIAS_SEND if isinstance(dest, Reference) else SEND_SENDER, own, dest)
        try:
            self._processes.signal(node, control, message)
        except (TermError, RecursionError):
            return False
        return True
