"""A figure: its samples on both sides in the same run, and its value."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from time import perf_counter
from typing import NamedTuple


class Reading(Enum):
    """How a sample becomes the figure's value."""

    RATIO = "ours / theirs"
    DIFFERENCE = "ours - theirs"
    ALONE = "ours"


@dataclass(frozen=True)
class Sample:
    """One run: this library's side, and right after it the other side."""

    ours: float
    theirs: float = math.nan


class Spread(NamedTuple):
    """Minimum, median and maximum over the runs."""

    minimum: float
    median: float
    maximum: float


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    `panel` is its heading, which says what it is compared with; `unit` is the unit of the samples;
    `detail` keeps a figure out of the plot; `carrier` is the carrier of the BEAM nodes, empty if
    nothing was sent between nodes.
    """

    panel: str
    name: str
    unit: str
    samples: tuple[Sample, ...]
    reading: Reading = Reading.RATIO
    higher_is_better: bool = False
    detail: bool = False
    carrier: str = ""

    @property
    def value_unit(self) -> str:
        """The unit of the value: "x" for a ratio."""
        return "x" if self.reading is Reading.RATIO else self.unit

    def values(self) -> list[float]:
        """The figure's value in each run."""
        return [_read(self.reading, sample) for sample in self.samples]

    def spread(self) -> Spread:
        """Minimum, median and maximum of the value."""
        values = self.values()
        return Spread(min(values), statistics.median(values), max(values))

    def medians(self) -> Sample:
        """The median of each side."""
        return Sample(
            statistics.median(sample.ours for sample in self.samples),
            statistics.median(sample.theirs for sample in self.samples),
        )


def by_panel(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """The figures by heading, in the order of each heading's first figure."""
    panels: dict[str, list[Figure]] = {}
    for figure in figures:
        panels.setdefault(figure.panel, []).append(figure)
    return panels


def _read(reading: Reading, sample: Sample) -> float:
    if reading is Reading.RATIO:
        return sample.ours / sample.theirs
    if reading is Reading.DIFFERENCE:
        return sample.ours - sample.theirs
    return sample.ours


def geometric_mean(figures: Sequence[Figure], panel: str, name: str) -> Figure:
    """The geometric mean of several figures, run by run and side by side."""

    def mean(values: Sequence[float]) -> float:
        return math.exp(statistics.fmean(map(math.log, values)))

    runs = zip(*(figure.samples for figure in figures))
    samples = tuple(
        Sample(mean([sample.ours for sample in run]), mean([sample.theirs for sample in run]))
        for run in runs
    )
    return Figure(panel, name, figures[0].unit, samples, figures[0].reading)


# A side repeats its work this many times and returns the seconds that it took.
Side = Callable[[int], float]


def interleave(runs: int, count: int, *sides: Side, slices: int = 1) -> list[tuple[float, ...]]:
    """Measure the sides in turn, A B A B, so that disturbances of the machine affect all of them.

    Args:
        runs: how often to measure each side.
        count: how many operations a run has; a tenth as many come before, to warm up.
        sides: each returns the seconds that this many operations took.
        slices: into how many parts a run is cut, which also take turns; for work that stays
            the same kind in smaller parts.
    Returns:
        For each run the seconds of each side.
    """
    parts = [count * (index + 1) // slices - count * index // slices for index in range(slices)]
    for side in sides:
        side(count // 10 + 1)
    seconds: list[tuple[float, ...]] = []
    for _ in range(runs):
        turns = [[side(part) for side in sides] for part in parts if part]
        seconds.append(tuple(map(sum, zip(*turns))))
    return seconds


# Into how many slices a run is cut if its work allows it.
SLICES = 10


def repeats(side: Side, seconds: float) -> int:
    """How many operations make a sample of at least this many seconds."""
    count = 1
    while (taken := side(count)) < seconds:
        count = max(2 * count, int(count * seconds / (taken + 1e-9) * 1.1)) if taken else 10 * count
    return count


def timed(work: Callable[[], object], count: int) -> float:
    """Seconds that `count` calls of `work` take."""
    turns = range(count)
    start = perf_counter()
    for _ in turns:
        work()
    return perf_counter() - start
