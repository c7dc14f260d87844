"""The targets of the figures: medians, on CPython 3.11 if the codec is interpreted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.figures import Figure


@dataclass(frozen=True)
class Target:
    """The limit of a figure's median; `unit` is the unit of its value."""

    unit: str
    interpreted: float
    compiled: float


TARGETS = {
    "codec": Target("x", 7.0, 1.3),
    "rtt": Target("x", 1.3, 1.0),
    "in": Target("x", 0.30, 0.80),
    "out": Target("x", 0.40, 1.0),
    "bulk echo": Target("x", 0.9, 0.9),
    "rpc": Target("x", 1.3, 1.0),
    "idle, 1 connection": Target("x", 2.0, 2.0),
    "idle, 10 connections": Target("x", 2.0, 2.0),
    "idle, 100 connections": Target("x", 2.0, 2.0),
    "idle, 1,000 connections": Target("x", 2.0, 2.0),
    "idle, most to one": Target("x", 1.25, 1.25),  # constant, apart from noise
    "import": Target("ms", 40.0, 40.0),
    "uds-dist rpc": Target("ms", 90.0, 90.0),
    "idle connection": Target("KiB", 8.0, 8.0),
}


def limit(figure: Figure, compiled: bool) -> float | None:
    """The figure's limit, or None."""
    target = TARGETS.get(figure.name)
    if target is None or target.unit != figure.value_unit:
        return None
    return target.compiled if compiled else target.interpreted


def reached(figure: Figure, compiled: bool) -> bool | None:
    """Whether the figure's median is within its limit; None if it has none."""
    wanted = limit(figure, compiled)
    if wanted is None:
        return None
    median = figure.spread().median
    return median >= wanted if figure.higher_is_better else median <= wanted
