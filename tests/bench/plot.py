"""The figures as a plot, written as SVG text.

Each heading has a panel with its own axis, which begins at 0. A bar shows the median, its whisker
the minimum and maximum over the runs, and a vertical mark the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from tests.bench.figures import Figure, by_panel
from tests.bench.report import number
from tests.bench.targets import limit, reached

WIDTH = 900
MARGIN = 24
LABELS = 190  # space for names, left of the axis
VALUES = 210  # space for numbers, right of it
AXIS = WIDTH - 2 * MARGIN - LABELS - VALUES
ROW = 26
BAR = 14
TITLE = 90
PANEL_TITLE = 26
PANEL_AXIS = 40

INK, PALE, GRID = "#24292f", "#6e7781", "#d8dee4"
PLAIN, GOOD, BAD, MARK = "#8093a8", "#4a8f5c", "#c2543f", "#111111"


def plot(figures: Sequence[Figure], title: str, subtitles: Sequence[str], compiled: bool) -> str:
    """The whole picture as SVG, with two lines under its title; `detail` figures are left out."""
    shown = by_panel(figure for figure in figures if not figure.detail)
    parts: list[str] = []
    y = float(TITLE)
    for name, rows in shown.items():
        parts += _panel(name, rows, y, compiled)
        y += PANEL_TITLE + ROW * len(rows) + PANEL_AXIS
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}"'
            f' height="{y:.0f}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'
            f' font-size="12" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{y:.0f}" fill="white"/>',
            _text(MARGIN, 30, title, 'font-size="17" font-weight="bold"'),
            *(
                _text(MARGIN, 49 + 16 * index, line, f'font-size="11" fill="{PALE}"')
                for index, line in enumerate(subtitles)
            ),
            *parts,
            "</svg>\n",
        ]
    )


def _panel(name: str, rows: Sequence[Figure], top: float, compiled: bool) -> list[str]:
    left, first = MARGIN + LABELS, top + PANEL_TITLE
    bottom = first + ROW * len(rows)
    better = "more is better" if rows[0].higher_is_better else "less is better"
    most = max(max(row.spread().maximum, limit(row, compiled) or 0.0) for row in rows)
    step = _step(most)
    end = math.ceil(most / step - 1e-9) * step
    unit = rows[0].value_unit

    def x(value: float) -> float:
        return left + max(value, 0.0) / end * AXIS

    heading = f"{name}, carrier {rows[0].carrier}" if rows[0].carrier else name
    parts = [
        _text(MARGIN, top + 12, heading, 'font-size="13" font-weight="bold"'),
        _text(WIDTH - MARGIN, top + 12, better, f'text-anchor="end" fill="{PALE}"'),
    ]
    for index in range(round(end / step) + 1):
        at = x(index * step)
        parts.append(_line(at, first - 2, at, bottom + 2, GRID))
        label = f"{index * step:,g}{unit if unit == 'x' else ''}"
        small = f'font-size="10" text-anchor="middle" fill="{PALE}"'
        parts.append(_text(at, bottom + 16, label, small))
    for index, row in enumerate(rows):
        parts += _row(row, first + ROW * index + ROW / 2, left, x, compiled)
    return parts


def _row(
    figure: Figure, middle: float, left: float, x: Callable[[float], float], compiled: bool
) -> list[str]:
    spread = figure.spread()
    wanted, good = limit(figure, compiled), reached(figure, compiled)
    colour = PLAIN if good is None else GOOD if good else BAD
    unit = figure.value_unit if figure.value_unit == "x" else f" {figure.value_unit}"
    low, median, high = map(x, spread)
    parts = [
        _text(left - 10, middle + 4, figure.name, 'text-anchor="end"'),
        f'<rect x="{left:.1f}" y="{middle - BAR / 2:.1f}" width="{median - left:.1f}"'
        f' height="{BAR}" fill="{colour}"/>',
        _line(low, middle, high, middle, INK),
        _line(low, middle - 4, low, middle + 4, INK),
        _line(high, middle - 4, high, middle + 4, INK),
    ]
    if wanted is not None:
        at = x(wanted)
        parts.append(_line(at, middle - ROW / 2 + 1, at, middle + ROW / 2 - 1, MARK, 2.5))
    words = f"{number(spread.median)}{unit}"
    if wanted is not None:
        bound = "≥" if figure.higher_is_better else "≤"
        words += f", {'missed' if good is False else 'target'} {bound} {number(wanted)}{unit}"
    ink = colour if good is False else INK
    parts.append(_text(left + AXIS + 16, middle + 4, words, f'fill="{ink}"'))
    return parts


def _step(most: float) -> float:
    """A round distance between grid lines: four to eight of them."""
    power = 10.0 ** math.floor(math.log10(most / 4))
    return next(power * round_ for round_ in (1, 2, 5, 10) if most / (power * round_) <= 8)


def _text(x: float, y: float, words: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}" stroke-width="{width:g}"/>'
    )
