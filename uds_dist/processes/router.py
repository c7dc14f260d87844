"""The two interfaces between the processes of this node and its connections to others.

What the process table asks of the peers is the `Router`; what the peers pass to the processes is
the `Inbox`. Each side is given the other when it is made: the peers open the inbox as soon as the
node has its name, and give it themselves as the router.
"""

from __future__ import annotations

from typing import Protocol

from uds_dist.errors import UdsDistError
from uds_dist.processes.process import Process
from uds_dist.transport.backpressure import Pressure


class Router(Protocol):
    """What the process table asks of the peers."""

    pressure: Pressure

    def route(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a signal to another node, now or when it is connected; it is never refused."""

    def route_message(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a program's message; raises BusyError when too much waits to be written."""

    def hold_back(self, process: Process) -> None:
        """Stop reading from the peer whose message filled a mailbox until it is half empty."""


class Inbox(Protocol):
    """What the peers pass to the processes of this node."""

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Act on a control message of a peer, with its payload or NO_PAYLOAD."""

    def is_answer(self, control: tuple[object, ...]) -> bool:
        """Tell whether a control message of a peer is the answer to a call of this node."""

    def node_down(self, node: str, error: UdsDistError) -> None:
        """Fire the links and monitors with a node: there is no connection to it any more."""

    def node_silent(self, node: str) -> None:
        """Provoke an answer from a node that has said nothing for long."""
