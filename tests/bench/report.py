"""The figures as a table and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Sequence

import uds_dist
from tests.bench.figures import Figure, Reading, by_panel
from tests.bench.lab import CARRIERS, FULL, Lab
from tests.bench.targets import limit, reached

COMPILED: bool = getattr(uds_dist, "COMPILED", False)
MODE = "compiled" if COMPILED else "interpreted"


def conditions(lab: Lab) -> dict[str, str]:
    """The conditions of a measurement."""
    found = {
        "codec": MODE,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "runs": str(lab.runs) + ("" if lab.sizes == FULL else ", fewer operations than usual"),
    }
    if lab.otp is not None:
        found["otp"] = lab.otp.label
        found["carrier"] = f"{lab.carrier}, {CARRIERS[lab.carrier]}"
    return found


def heading(found: dict[str, str], compiled: bool) -> list[str]:
    """The conditions in two lines: this side's, and the BEAM's with the common ones."""
    ours = f"codec {found['codec']}, {found['python']}, {found['system']}; runs: {found['runs']}"
    if not compiled and sys.version_info[:2] != (3, 11):
        ours += " (the targets are for 3.11)"
    if "otp" not in found:
        return [ours, "no BEAM"]
    return [ours, f"OTP {found['otp']}; carrier for BEAM and Python alike: {found['carrier']}"]


HEADER = ("", "min", "median", "max", "target", "", "ours", "theirs", "unit", "carrier")
WIDTHS = (44, 10, 10, 10, 12, 5, 12, 12, 14, 0)


def table(figures: Sequence[Figure], compiled: bool) -> str:
    """The table: the value's spread and its target, then the medians of both sides."""
    lines = []
    for panel, group in by_panel(figures).items():
        lines += ["", panel, _line(HEADER)]
        lines += [_line(_row(figure, compiled)) for figure in group]
    return "\n".join(lines[1:])


def _row(figure: Figure, compiled: bool) -> tuple[str, ...]:
    spread, medians = figure.spread(), figure.medians()
    wanted, good = limit(figure, compiled), reached(figure, compiled)
    alone = figure.reading is Reading.ALONE
    unit = figure.value_unit
    x = unit == "x"
    return (
        ("    " if figure.detail else "  ") + figure.name,
        *(number(value) + (unit if x else "") for value in spread),
        "" if wanted is None else f"{sense(figure)} {number(wanted)}{unit if x else ' ' + unit}",
        "" if good is None else "ok" if good else "MISS",
        "" if alone else number(medians.ours),
        "" if alone or math.isnan(medians.theirs) else number(medians.theirs),
        figure.unit,
        figure.carrier,
    )


def _line(columns: Sequence[str]) -> str:
    first, *rest = zip(columns, WIDTHS)
    text = f"{first[0]:<{first[1]}}"
    for column, width in rest:
        text += f"{column:>{width}}" if width > 5 else f"  {column:<{width}}"
    return text.rstrip()


def sense(figure: Figure) -> str:
    """The side of its limit that a figure must be on."""
    return ">=" if figure.higher_is_better else "<="


def number(value: float) -> str:
    """A number with three significant digits."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def as_json(figures: Sequence[Figure], found: dict[str, str], compiled: bool) -> str:
    """Everything, including every sample."""
    return json.dumps(
        {
            "conditions": found,
            "figures": [
                {
                    "panel": figure.panel,
                    "name": figure.name,
                    "unit": figure.unit,
                    "carrier": figure.carrier,
                    "reading": figure.reading.value,
                    "higher_is_better": figure.higher_is_better,
                    "values": figure.values(),
                    "ours": [sample.ours for sample in figure.samples],
                    "theirs": None
                    if figure.reading is Reading.ALONE
                    else [sample.theirs for sample in figure.samples],
                    "target": limit(figure, compiled),
                    "reached": reached(figure, compiled),
                }
                for figure in figures
            ],
        },
        indent=1,
    )
