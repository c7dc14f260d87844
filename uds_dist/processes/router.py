"""The two interfaces between the processes of this node and its connections to others.

The process table uses the peers through the `Router`; the peers use the processes through the
`Inbox`. Each side gets the other when it is made: the peers open the inbox as soon as the node has
its name, and pass themselves to it as the router.
"""

from __future__ import annotations

from typing import Protocol

from uds_dist.errors import UdsDistError
from uds_dist.processes.process import Process
from uds_dist.transport.backpressure import Pressure


class Router(Protocol):
    """The peers, as the process table uses them."""

    pressure: Pressure

    def route(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a signal to another node, now or when it is connected; it is never refused."""

    def route_message(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Send a program's message; raises BusyError when too much waits to be written."""

    def hold_back(self, process: Process) -> None:
        """Stop reading from the peer whose message filled a mailbox until it is half empty."""


class Inbox(Protocol):
    """The processes of this node, as the peers use them."""

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Act on a control message of a peer, with its payload or NO_PAYLOAD."""

    def is_answer(self, control: tuple[object, ...]) -> bool:
        """Tell whether a control message of a peer is the answer to a call of this node."""

    def node_down(self, node: str, error: UdsDistError) -> None:
        """Fire the links and monitors with a node: there is no connection to it any more."""

    def node_silent(self, node: str) -> None:
        """Provoke an answer from a node that has said nothing for long."""
