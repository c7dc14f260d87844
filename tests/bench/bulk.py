"""A binary of 1 MiB, echoed and one way in each direction."""

from __future__ import annotations

from time import perf_counter

from tests.bench.figures import SLICES, Figure, interleave
from tests.bench.lab import PEER, TIMEOUT, Cluster, Lab
from tests.bench.oneway import rate, receive_from_beam, send_to_beam

MIB = 1024 * 1024


def run(lab: Lab) -> list[Figure]:
    """The three figures; one measurement of the BEAM serves both directions."""
    cluster, count = lab.cluster, lab.sizes.bulk
    send = f"send_binaries('%s', {MIB}, %d)"
    echo = interleave(
        lab.runs,
        count,
        lambda count: echo_binaries(cluster, count),
        lambda count: cluster.time_beam(f"echo('{PEER}', {MIB}, {count})"),
        slices=SLICES,
    )
    one_way = interleave(
        lab.runs,
        count,
        lambda count: receive_from_beam(cluster, send % (cluster.node.name, count), count),
        lambda count: send_to_beam(cluster, bytes(MIB), count),
        lambda count: cluster.time_beam(send % (PEER, count)),
    )
    return [
        rate("bulk echo", "MiB/s", count, echo),
        rate("bulk in", "MiB/s", count, [(ours, beam) for ours, _, beam in one_way]),
        rate("bulk out", "MiB/s", count, [(ours, beam) for _, ours, beam in one_way]),
    ]


def echo_binaries(cluster: Cluster, count: int) -> float:
    """Seconds for this many binaries of 1 MiB to the echo and back."""
    box, dest = cluster.box, ("echo", PEER)
    message = (box.pid, b"\1" * MIB)
    start = perf_counter()
    for _ in range(count):
        box.send(dest, message)
        back = box.receive(timeout=TIMEOUT)
        if not isinstance(back, bytes) or len(back) != MIB:
            raise AssertionError("the echo answered something else")
    return perf_counter() - start
