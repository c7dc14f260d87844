"""Round trips: `{self(), N}` to a registered echo and N back, and calls of `erlang:node/0`.

Both are compared with a BEAM node that does the same with the same peer; the messages are also
compared with a bare ping-pong of as many bytes.
"""

from __future__ import annotations

from time import perf_counter

from tests.bench.figures import SLICES, Figure, Sample, interleave
from tests.bench.lab import PEER, TIMEOUT, Cluster, Lab
from tests.bench.pingpong import Pingpong

PANEL = "round trips: time against BEAM to BEAM"
PANEL_BARE = "round trips: time against a bare ping-pong of the same bytes"


def rtt(lab: Lab) -> list[Figure]:
    """`{self(), N}` to a registered echo, and N back."""
    cluster, count = lab.cluster, lab.sizes.rtt
    request, answer = _rtt_bytes(cluster)
    with Pingpong(request, answer) as bare:
        seconds = interleave(
            lab.runs,
            count,
            lambda count: round_trips(cluster, count),
            lambda count: cluster.time_beam(f"rtt('{PEER}', {count})"),
            bare.round_trips,
            slices=SLICES,
        )
    scale = 1e6 / count
    against_beam = tuple(Sample(ours * scale, beam * scale) for ours, beam, _ in seconds)
    against_bare = tuple(Sample(ours * scale, floor * scale) for ours, _, floor in seconds)
    return [
        Figure(PANEL, "rtt", "us", against_beam),
        Figure(PANEL_BARE, f"rtt, {request} + {answer} bytes", "us", against_bare),
    ]


def round_trips(cluster: Cluster, count: int) -> float:
    """Seconds for this many messages to the echo and back."""
    box, dest = cluster.box, ("echo", PEER)
    own = box.pid
    start = perf_counter()
    for number in range(count):
        box.send(dest, (own, number))
        if box.receive(timeout=TIMEOUT) != number:
            raise AssertionError("the echo answered something else")
    return perf_counter() - start


def _rtt_bytes(cluster: Cluster) -> tuple[int, int]:
    """The bytes of one message and of its answer, as the connection counts them."""
    count = 100
    round_trips(cluster, count)  # fills the atom cache
    before = _bytes(cluster)
    round_trips(cluster, count)
    after = _bytes(cluster)
    return (after[0] - before[0]) // count, (after[1] - before[1]) // count


def _bytes(cluster: Cluster) -> tuple[int, int]:
    for connection in cluster.node.statistics().connections:
        if connection.name == PEER:
            return connection.bytes_out, connection.bytes_in
    raise AssertionError(f"no connection to {PEER}")


def rpc(lab: Lab) -> list[Figure]:
    """`erlang:node/0` on a BEAM, call after call."""
    cluster, count = lab.cluster, lab.sizes.rpc
    seconds = interleave(
        lab.runs,
        count,
        lambda count: calls(cluster, count),
        lambda count: cluster.time_beam(f"rpc('{PEER}', {count})"),
        slices=SLICES,
    )
    scale = 1e6 / count
    samples = tuple(Sample(ours * scale, theirs * scale) for ours, theirs in seconds)
    return [Figure(PANEL, "rpc", "us", samples)]


def calls(cluster: Cluster, count: int) -> float:
    """Seconds for this many calls."""
    node = cluster.node
    start = perf_counter()
    for _ in range(count):
        if node.rpc(PEER, "erlang", "node", []).result(TIMEOUT) != PEER:
            raise AssertionError("erlang:node/0 answered something else")
    return perf_counter() - start
