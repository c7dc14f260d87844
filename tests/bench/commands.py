"""The time of one command against a BEAM, `uds-dist rpc NODE erlang node`, from start to end.

It is compared with `python3 -c "import uds_dist"`, the least that any use of the package takes; the
two run in turn, and every sample takes the fastest of a few.
"""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.bench.child import run_python
from tests.bench.figures import Figure, Reading, Sample
from tests.bench.lab import COOKIE, PEER, Lab

PANEL = "a command: time over import uds_dist"


def run(lab: Lab) -> list[Figure]:
    """Milliseconds of one call of `erlang:node/0` from the command line."""
    folder = str(lab.cluster.node.config.socket_dir)
    where = ("--socket-dir", folder, "--cookie", COOKIE)
    samples = []
    with TemporaryDirectory() as byte_code:
        start = partial(run_python, byte_code=byte_code)

        def call() -> float:
            begun = perf_counter()
            answer = start("-m", "uds_dist", "rpc", PEER, "erlang", "node", *where).stdout
            taken = perf_counter() - begun
            if answer != f"{PEER}\n":
                raise AssertionError(f"erlang:node/0 returned {answer!r}")
            return taken * 1e3

        def load() -> float:
            begun = perf_counter()
            start("-c", "import uds_dist")
            return (perf_counter() - begun) * 1e3

        call()
        load()  # the two write the byte code, which an installed package has
        for _ in range(lab.runs):
            turns = [(call(), load()) for _ in range(lab.sizes.commands)]
            ours, theirs = (min(column) for column in zip(*turns))
            samples.append(Sample(ours, theirs))
    return [Figure(PANEL, "uds-dist rpc", "ms", tuple(samples), Reading.DIFFERENCE)]
