"""Runs the benchmarks with tiny counts, to see that they still work."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.__main__ import main
from tests.bench.figures import Figure, Reading, Sample, Spread, geometric_mean, interleave
from tests.bench.lab import FULL, TINY, Lab
from tests.bench.plot import plot
from tests.bench.report import as_json, conditions, table
from tests.bench.rounds import figure_name
from tests.bench.suite import BENCHMARKS, chosen, left_out, run
from tests.bench.targets import TARGETS, reached
from tests.interop.beam import HOW_TO_GET, find_otps

RATIO = Figure("panel", "rtt", "us", (Sample(1.0, 4.0), Sample(6.0, 2.0), Sample(2.0, 2.0)))
RATE = Figure("panel", "in", "messages/s", (Sample(1.0, 4.0),), higher_is_better=True)


def names(figures: Sequence[Figure]) -> set[str]:
    return {figure.name for figure in figures}


def test_the_spread_is_of_the_ratios_not_of_the_sides() -> None:
    assert RATIO.spread() == Spread(0.25, 1.0, 3.0)
    assert RATIO.medians() == Sample(2.0, 2.0)


def test_a_target_is_a_limit_on_the_worse_side() -> None:
    assert reached(RATIO, compiled=False) is True
    assert reached(RATE, compiled=False) is False
    assert reached(Figure("panel", "rtt", "us", RATIO.samples, Reading.ALONE), False) is None
    slow = Figure("panel", "rtt", "us", (Sample(1.2, 1.0),))
    assert (reached(slow, compiled=False), reached(slow, compiled=True)) == (True, False)


def test_the_geometric_mean_is_taken_run_by_run() -> None:
    other = Figure("panel", "other", "us", (Sample(4.0, 1.0), Sample(1.0, 3.0), Sample(2.0, 2.0)))
    mean = geometric_mean([RATIO, other], "panel", "mean")
    assert mean.values() == pytest.approx([1.0, 1.0, 1.0])
    assert mean.medians().ours == pytest.approx(2.0)


def test_sides_are_measured_in_turn_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []

    def a(count: int) -> float:
        calls.append(("a", count))
        return 1.0

    def b(count: int) -> float:
        calls.append(("b", count))
        return 2.0

    assert interleave(2, 30, a, b) == [(1.0, 2.0), (1.0, 2.0)]
    assert calls == [("a", 4), ("b", 4), ("a", 30), ("b", 30), ("a", 30), ("b", 30)]
    calls.clear()
    assert interleave(1, 5, a, b, slices=2) == [(2.0, 4.0)]
    assert calls[2:] == [("a", 2), ("b", 2), ("a", 3), ("b", 3)]


def test_the_plot_is_well_formed_and_names_what_it_shows() -> None:
    hidden = Figure("panel", "hidden", "us", RATIO.samples, detail=True)
    picture = plot([RATIO, RATE, hidden], "A < B", ["one", "two"], compiled=False)
    text = " ".join(ElementTree.fromstring(picture).itertext())
    assert "A < B" in text and "rtt" in text and "missed ≥ 0.30x" in text and "hidden" not in text


def test_names_on_the_command_line() -> None:
    assert chosen([]) == list(BENCHMARKS)
    assert chosen(["scale", "idle", "in"]) == ["idle", "connections", "mailbox", "in"]
    with pytest.raises(SystemExit):
        main(["nonsense"])


def test_without_a_beam() -> None:
    everything = chosen([])
    with Lab(TINY, 1) as lab:
        assert left_out(everything, lab) == ["rtt", "rpc", "in", "out", "bulk", "framing", "command"]
        figures = [figure for _, more in run(everything, lab) for figure in more]
        found = conditions(lab)
    assert {"codec", "import", "idle connection", "idle, 10 connections"} <= names(figures)
    assert all(math.isfinite(value) for figure in figures for value in figure.values())
    for name in names(figures):
        assert name in table(figures, compiled=False)
    written = json.loads(as_json(figures, found, compiled=False))
    assert {figure["name"] for figure in written["figures"]} == names(figures)


@pytest.mark.interop
@pytest.mark.parametrize("carrier, release", [("socket", 0), ("stream", -1)])
def test_with_a_beam(carrier: str, release: int) -> None:
    otps = find_otps()
    if not otps:
        if os.environ.get("UDS_DIST_REQUIRE_BEAM") == "1":
            pytest.fail(f"an OTP is missing: {HOW_TO_GET}")
        pytest.skip(HOW_TO_GET)
    against_beam = [name for name, benchmark in BENCHMARKS.items() if benchmark.needs_beam]
    with Lab(TINY, 2, otps[release], carrier) as lab:
        ran = dict(run(["codec", *against_beam], lab))
    figures = [figure for more in ran.values() for figure in more]
    differences = [figure for figure in figures if figure.reading is not Reading.RATIO]
    assert names(differences) == {"uds-dist rpc"}
    assert all(value > 0 for figure in figures for value in figure.values())
    assert {figure.carrier for figure in ran["codec"]} == {""}
    assert {figure.carrier for name in against_beam for figure in ran[name]} == {carrier}
    lines = table(ran["rtt"], compiled=False).splitlines()
    assert sum(line.endswith(f"  {carrier}") for line in lines) == len(ran["rtt"])
    needless = {"import", "idle connection", "idle, most to one", *map(figure_name, FULL.idle)}
    assert TARGETS.keys() <= names(figures) | needless


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg, samples = tmp_path / "plot.svg", tmp_path / "samples.json"
    options = ["import", "--quick", "--runs", "1", "--svg", str(svg), "--json", str(samples)]
    assert main(options) == 0
    assert "40.0 ms" in capsys.readouterr().out
    ElementTree.parse(svg)
    assert len(json.loads(samples.read_text("utf-8"))["figures"]) == 4
