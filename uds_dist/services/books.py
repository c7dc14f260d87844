"""A node's statistics: how many processes, calls, links and bytes it holds."""

# No annotations from the future here: NamedTuple would compile each of them from text.
from typing import NamedTuple

from uds_dist.processes.remote_node import PeerStatistics, RemoteNode, statistics, unwritten
from uds_dist.processes.table import Processes


class NodeStatistics(NamedTuple):
    """A snapshot of what a node holds.

    ``futures`` counts the calls that wait for an answer: `call`, `rpc` and `spawn`; ``unwritten``
    is in bytes.
    """

    name: str
    processes: int
    names: int
    monitors: int
    aliases: int
    futures: int
    links: int
    watchers: int
    unwritten: int
    connections: tuple[PeerStatistics, ...]


def node_statistics(processes: Processes, nodes: dict[str, RemoteNode]) -> NodeStatistics:
    """The snapshot of a node, from its process table and the nodes that it knows."""
    return NodeStatistics(
        name=processes.name,
        processes=len(processes.by_pid),
        names=len(processes.by_name),
        monitors=len(processes.monitors),
        aliases=len(processes.aliases) + len(processes.mailbox_aliases),
        futures=len(processes.pending()),
        links=sum(len(process.links) for process in processes.by_pid.values()),
        watchers=sum(len(process.watchers) for process in processes.by_pid.values()),
        unwritten=unwritten(nodes),
        connections=tuple(statistics(nodes)),
    )
