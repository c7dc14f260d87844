"""The cost of an import, in time and memory, compared with a bare interpreter.

`import uds_dist` alone loads none of the package's modules; each is loaded when a name is first
used. So there is a second figure for a program with a node, which loads nearly all of the package,
and of the standard library `dataclasses`, `logging`, `socket` and their imports.

Every sample starts new interpreters, all kinds in turn, and takes the fastest of a few. A bare
interpreter has no .pth files: otherwise their imports would not count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.bench import rss
from tests.bench.child import run_python
from tests.bench.figures import Figure, Reading, Sample
from tests.bench.lab import Lab

PANEL_TIME = "import uds_dist: time over a bare interpreter"
PANEL_MEMORY = "import uds_dist: memory over a bare interpreter"

BARE = "import site"  # with -S: the imports of site itself, without .pth files
IMPORT = f"{BARE}; import uds_dist"
NODE = f"{BARE}; from uds_dist import EventLoop, Node"
MEASURE = f"""{Path(rss.__file__).read_text("utf-8")}
{BARE}
before = rss()
{{}}
print(rss() - before)"""


def run(lab: Lab) -> list[Figure]:
    """Wall time and resident memory, of the import alone and of a program with a node."""
    wall: dict[str, list[Sample]] = {IMPORT: [], NODE: []}
    memory: dict[str, list[Sample]] = {IMPORT: [], NODE: []}
    with TemporaryDirectory() as folder:
        start = partial(run_python, byte_code=folder)
        for code in (BARE, IMPORT, NODE):
            start("-S", "-c", code)  # writes the byte code, which an installed package has
        for _ in range(lab.runs):
            turns = [
                (_seconds(start, BARE), _seconds(start, IMPORT), _seconds(start, NODE))
                for _ in range(lab.sizes.imports)
            ]
            bare, *others = (min(column) * 1e3 for column in zip(*turns))
            for code, taken in zip(wall, others):
                wall[code].append(Sample(taken, bare))
                kept = int(start("-S", "-c", MEASURE.format(code)).stdout) / 1024
                memory[code].append(Sample(kept))
    return [
        _time("import", wall[IMPORT]),
        _time("from uds_dist import EventLoop, Node", wall[NODE], detail=True),
        _memory("import, memory", memory[IMPORT]),
        _memory("EventLoop and Node, memory", memory[NODE], detail=True),
    ]


def _time(name: str, samples: list[Sample], detail: bool = False) -> Figure:
    return Figure(PANEL_TIME, name, "ms", tuple(samples), Reading.DIFFERENCE, detail=detail)


def _memory(name: str, samples: list[Sample], detail: bool = False) -> Figure:
    return Figure(PANEL_MEMORY, name, "KiB", tuple(samples), Reading.ALONE, detail=detail)


def _seconds(start: Callable[..., object], code: str) -> float:
    begun = perf_counter()
    start("-S", "-c", code)
    return perf_counter() - begun
