"""Shared by accepting and dialling: the known nodes, and how connections are made."""

from __future__ import annotations

from typing import Protocol

from uds_dist.config import Config
from uds_dist.errors import UdsDistError
from uds_dist.processes.remote_node import RemoteNode
from uds_dist.processes.this_node import ThisNode
from uds_dist.protocol.handshake import Handshake
from uds_dist.transport.address import places
from uds_dist.transport.backpressure import Pressure
from uds_dist.transport.connection import Connection, ConnectionOwner
from uds_dist.transport.loop import EventLoop


class NetworkOwner(ConnectionOwner, Protocol):
    """Owns the connections, and handles failed attempts."""

    def no_connection(self, peer: RemoteNode, error: UdsDistError) -> None:
        """There is no connection to a node, and no attempt any more."""


class Network:
    """This node among the others.

    ``nodes`` are the records of other nodes, by name; ``places`` is where all of them listen.

    Args:
        loop: the loop of all the sockets.
        config: the settings.
        this: this node.
        owner: of the connections.
        pressure: shared by the connections.
    """

    __slots__ = ("config", "loop", "nodes", "owner", "places", "pressure", "this")

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        this: ThisNode,
        owner: NetworkOwner,
        pressure: Pressure,
    ) -> None:
        self.loop = loop
        self.config = config
        self.this = this
        self.owner = owner
        self.pressure = pressure
        self.nodes: dict[str, RemoteNode] = {}
        self.places = places(config)

    def connection(self, handshake: Handshake, name: str | None = None) -> Connection:
        """A new connection, to `name` if this node dials."""
        return Connection(self.loop, self.config, self.owner, handshake, name, self.pressure)

    def is_connected(self, name: str) -> bool:
        """Whether there is a connection to a node."""
        peer = self.nodes.get(name)
        return peer is not None and peer.connection is not None
