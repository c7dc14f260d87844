"""Many messages one way, sent one by one.

The sender's clock measures until the receiver reports that it has counted the last message. If the
write queue is full, a message waits until the loop has emptied it.
"""

from __future__ import annotations

from time import perf_counter

from tests.bench.figures import Figure, Sample, interleave
from tests.bench.lab import MODULE, PEER, TIMEOUT, Cluster, Lab, nanoseconds
from uds_dist import Atom, BusyError, Mailbox, Pid

PANEL = "messages: throughput against BEAM to BEAM"

HELLO = (Atom("hello"), 42, b"payload")
HELLO_ERLANG = '{hello, 42, <<"payload">>}'


def incoming(lab: Lab) -> list[Figure]:
    """`{hello, 42, <<"payload">>}` from a BEAM, one by one."""
    cluster, count = lab.cluster, lab.sizes.messages
    send = f"send('%s', {HELLO_ERLANG}, %d)"
    seconds = interleave(
        lab.runs,
        count,
        lambda count: receive_from_beam(cluster, send % (cluster.node.name, count), count),
        lambda count: cluster.time_beam(send % (PEER, count)),
    )
    return [rate("in", "messages/s", count, seconds)]


def receive_from_beam(cluster: Cluster, call: str, count: int) -> float:
    """Let `b` send, and count the messages; the seconds are the sender's."""
    box = cluster.box
    pending = cluster.b.submit(f"{MODULE}:{call}", keep=False)
    request = box.receive(timeout=TIMEOUT)
    if not isinstance(request, tuple) or request[0] != "count" or request[2] != count:
        raise AssertionError(f"expected a request to count, got {request!r:.80}")
    for _ in range(count):
        box.receive(timeout=TIMEOUT)
    sender = request[1]
    assert isinstance(sender, Pid)
    box.send(sender, Atom("done"))
    cluster.node.flush(TIMEOUT)
    seconds = nanoseconds(pending.result(TIMEOUT))
    cluster.settle()
    return seconds


def outgoing(lab: Lab) -> list[Figure]:
    """`{hello, 42, <<"payload">>}` to a BEAM, one by one."""
    cluster, count = lab.cluster, lab.sizes.messages
    seconds = interleave(
        lab.runs,
        count,
        lambda count: send_to_beam(cluster, HELLO, count),
        lambda count: cluster.time_beam(f"send('{PEER}', {HELLO_ERLANG}, {count})"),
    )
    return [rate("out", "messages/s", count, seconds)]


def send_to_beam(cluster: Cluster, message: object, count: int) -> float:
    """Seconds until `a` reports that it has counted this many messages."""
    box, dest = cluster.box, ("counter", PEER)
    start = perf_counter()
    box.send(dest, (Atom("count"), box.pid, count))
    for _ in range(count):
        try:
            box.send(dest, message)
        except BusyError:
            _send_when_not_busy(cluster, box, dest, message)
    if box.receive(timeout=TIMEOUT) != "done":
        raise AssertionError("the counter answered something else")
    return perf_counter() - start


def _send_when_not_busy(
    cluster: Cluster, box: Mailbox, dest: tuple[str, str], message: object
) -> None:
    while True:
        cluster.node.loop.run_once(TIMEOUT)
        try:
            return box.send(dest, message)
        except BusyError:
            continue


def rate(name: str, unit: str, count: int, seconds: list[tuple[float, ...]]) -> Figure:
    """The figure of a throughput, from the seconds that both sides took for `count` messages."""
    samples = tuple(Sample(count / ours, count / theirs) for ours, theirs in seconds)
    return Figure(PANEL, name, unit, samples, higher_is_better=True)
