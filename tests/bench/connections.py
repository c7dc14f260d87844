"""Idle connections: the memory of one, and the time to set up many.

The node is alone in a fresh process (`hub`), and so are its peers (`peers`), which share one loop:
what a connection costs this side is counted as growth of resident memory and as processor time.
"""

from __future__ import annotations

import json
from functools import partial
from tempfile import TemporaryDirectory

from tests.bench.child import run_python
from tests.bench.figures import Figure, Reading, Sample
from tests.bench.hub import Growth
from tests.bench.lab import Lab
from tests.bench.peers import AT_A_TIME
from tests.interop.beam import socket_folder
from uds_dist import Config

PANEL_MEMORY = "connections: memory of an idle one"
PANEL_RATE = f"connections: set up per second, {AT_A_TIME} peers at a time"
ROOMY_BACKLOG = 128


def run(lab: Lab) -> list[Figure]:
    """Memory, and setting up."""
    count = lab.sizes.connections
    backlog = Config().backlog
    with TemporaryDirectory() as byte_code:
        grow = partial(_grow, byte_code)
        # Write the byte code, which an installed package has: compiling it would leave free
        # memory behind, and then a connection would seem to cost less.
        grow("connections", 1, backlog)
        ours = [grow("connections", count, backlog) for _ in range(lab.runs)]
        roomy = [grow("connections", count, ROOMY_BACKLOG) for _ in range(lab.runs)]
        bare = [grow("sockets", count) for _ in range(lab.runs)]

    def figure(panel: str, name: str, unit: str, values: list[float], detail: bool) -> Figure:
        higher = unit == "connections/s"
        samples = tuple(map(Sample, values))
        return Figure(panel, name, unit, samples, Reading.ALONE, higher, detail)

    memory = [growth.bytes_each / 1024 for growth in ours]
    memory_bare = [growth.bytes_each / 1024 for growth in bare]
    rate = [count / growth.seconds for growth in ours]
    roomy_rate = [count / growth.seconds for growth in roomy]
    processor = [growth.cpu_seconds / count * 1e6 for growth in ours]
    return [
        figure(PANEL_MEMORY, "idle connection", "KiB", memory, False),
        figure(PANEL_MEMORY, "of that a bare socket, registered", "KiB", memory_bare, True),
        figure(PANEL_RATE, f"{count:,} connections", "connections/s", rate, False),
        figure(PANEL_RATE, f"with a backlog of {ROOMY_BACKLOG}", "connections/s", roomy_rate, True),
        figure(PANEL_RATE, "processor time of each, this side", "us", processor, True),
    ]


def _grow(byte_code: str, what: str, *numbers: int) -> Growth:
    with socket_folder() as folder:
        words = ("-m", "tests.bench.hub", what, folder, *map(str, numbers))
        done = run_python(*words, byte_code=byte_code)
    return Growth(**json.loads(done.stdout))
