"""A round of the loop that finds nothing to do: `run_once(0)` against the bare `select(0)`.

The connections are real, with finished handshakes and running tick timers. Their other ends are
nodes on a second loop in this process, which does not run meanwhile. The bare `select` uses the
loop's own selector, on the same descriptors.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from selectors import BaseSelector, DefaultSelector
from time import monotonic

from tests.bench.figures import SLICES, Figure, Sample, Side, interleave, timed
from tests.bench.lab import TIMEOUT, Lab
from tests.interop.beam import socket_folder
from uds_dist import Config, EventLoop, Node

PANEL = "idle loop: time of run_once(0) against select(0), by connections"
PANEL_FLAT = "idle loop: time of run_once(0) with the most connections against one"
HUB = "hub@localhost"


def run(lab: Lab) -> list[Figure]:
    """One figure for each number of connections, and the slowest against the fastest."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    numbers = lab.sizes.idle
    sides: list[Side] = []
    with ExitStack() as stack:
        for number in numbers:
            sides += _sides(*stack.enter_context(idle_connections(number)))
        seconds = interleave(lab.runs, lab.sizes.idle_calls, *sides, slices=SLICES)
    scale = 1e6 / lab.sizes.idle_calls
    rounds = [[run[index] * scale for run in seconds] for index in range(0, len(sides), 2)]
    selects = [[run[index] * scale for run in seconds] for index in range(1, len(sides), 2)]
    return [
        *(
            Figure(PANEL, figure_name(number), "us", tuple(map(Sample, ours, bare)))
            for number, ours, bare in zip(numbers, rounds, selects)
        ),
        Figure(PANEL_FLAT, "idle, most to one", "us", tuple(map(Sample, rounds[-1], rounds[0]))),
    ]


def figure_name(connections: int) -> str:
    """The name of the figure for this many connections."""
    return f"idle, {connections:,} connection{'' if connections == 1 else 's'}"


def _sides(loop: EventLoop, selector: BaseSelector) -> list[Side]:
    return [
        lambda count: timed(lambda: loop.run_once(0), count),
        lambda count: timed(lambda: selector.select(0), count),
    ]


@contextmanager
def idle_connections(count: int) -> Iterator[tuple[EventLoop, BaseSelector]]:
    """A loop with a node that has this many connections, and the loop's selector."""
    selector = DefaultSelector()
    with ExitStack() as stack:
        folder = stack.enter_context(socket_folder())
        config = Config(socket_dir=folder, max_pending_handshakes=count)
        loop = stack.enter_context(EventLoop(selector=selector))
        peer_loop = stack.enter_context(EventLoop())
        peers = [
            stack.enter_context(
                Node(f"n{number}@localhost", loop=peer_loop, cookie="secret", config=config)
            )
            for number in range(count)
        ]
        # Close it first: a peer's close would wait for an answer from this loop, which is idle.
        hub = stack.enter_context(Node(HUB, loop=loop, cookie="secret", config=config))
        hub.listen()
        for peer in peers:
            peer.connect(HUB)
        deadline = monotonic() + TIMEOUT
        while len(hub.nodes()) < count:
            loop.run_once(0.001)
            peer_loop.run_once(0)
            if monotonic() > deadline:
                raise AssertionError(f"only {len(hub.nodes())} of {count} connections came up")
        while loop.run_once(0) or peer_loop.run_once(0):
            pass
        yield loop, selector
