"""`import uds_dist`: its time over a bare interpreter, and its memory.

Every sample starts interpreters of its own and takes the quickest of a few, both kinds in turn.
A bare interpreter is one with no .pth files: what these import would otherwise come for free here.
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

BARE = "import site"  # with -S: what site itself imports, and nothing that it finds
IMPORT = f"{BARE}; import uds_dist"
MEASURE = f"""{Path(rss.__file__).read_text("utf-8")}
{BARE}
before = rss()
{IMPORT}
print(rss() - before)"""


def run(lab: Lab) -> list[Figure]:
    """Wall time, what -X importtime says of it, and resident memory."""
    wall, own, memory = [], [], []
    with TemporaryDirectory() as folder:
        start = partial(run_python, byte_code=folder)
        for code in (BARE, IMPORT):
            start("-S", "-c", code)  # writes the byte code, which an installed package has
        for _ in range(lab.runs):
            pairs = [
                (_seconds(start, IMPORT), _seconds(start, BARE))
                for _ in range(lab.sizes.imports)
            ]
            with_it, bare = (min(column) for column in zip(*pairs))
            wall.append(Sample(with_it * 1e3, bare * 1e3))
            own.append(Sample(_importtime(start("-S", "-X", "importtime", "-c", IMPORT).stderr)))
            memory.append(Sample(int(start("-S", "-c", MEASURE).stdout) / 1024))
    return [
        Figure(PANEL_TIME, "import", "ms", tuple(wall), Reading.DIFFERENCE),
        Figure(PANEL_TIME, "by -X importtime", "ms", tuple(own), Reading.ALONE, detail=True),
        Figure(PANEL_MEMORY, "import, memory", "KiB", tuple(memory), Reading.ALONE),
    ]


def _seconds(start: Callable[..., object], code: str) -> float:
    begun = perf_counter()
    start("-S", "-c", code)
    return perf_counter() - begun


def _importtime(report: str) -> float:
    """Milliseconds of the whole import by the interpreter's own account, which costs something."""
    for line in report.splitlines():
        columns = line.split("|")
        if columns[-1] == " uds_dist":
            return int(columns[1]) / 1e3
    raise AssertionError("-X importtime does not mention uds_dist")
