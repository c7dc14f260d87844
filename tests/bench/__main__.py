"""Measure how fast uds_dist is, compared with the BEAM and with its targets.

    python -m tests.bench                     all benchmarks
    python -m tests.bench codec rtt --quick   some of them, with small counts

Every comparison measures both sides in turn in one run: machines are noisy, ratios less so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.lab import CARRIERS, DEPLOYED, FULL, QUICK, Lab
from tests.bench.plot import plot
from tests.bench.report import COMPILED, MODE, as_json, conditions, heading, table
from tests.bench.suite import BENCHMARKS, GROUPS, chosen, left_out, run
from tests.interop.beam import HOW_TO_GET, Otp, find_otps

RUNS = 5
QUICK_RUNS = 3


def parser() -> argparse.ArgumentParser:
    """The command line."""
    purpose = __doc__.split("\n")[0]
    found = argparse.ArgumentParser(prog="python -m tests.bench", description=purpose)
    found.add_argument(
        "names", nargs="*", metavar="NAME",
        help=f"what to run: {', '.join([*BENCHMARKS, *GROUPS])} (default: all)",
    )  # fmt: skip
    found.add_argument("--otp", help="the OTP release to compare with (default: the first found)")
    found.add_argument(
        "--carrier", choices=CARRIERS, default=DEPLOYED,
        help="what the BEAM nodes use, among themselves and with Python alike: "
        + "; ".join(f"{name}: {what}" for name, what in CARRIERS.items())
        + f" (default: {DEPLOYED})",
    )  # fmt: skip
    found.add_argument(
        "--runs", type=int, help=f"how often each (default: {RUNS}, quick: {QUICK_RUNS})"
    )
    found.add_argument("--quick", action="store_true", help="small counts, for a first look")
    found.add_argument("--svg", type=Path, metavar="FILE", help="write a plot too")
    found.add_argument("--json", type=Path, metavar="FILE", help="write every sample too")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks; the exit code is 0 even if a target is missed."""
    usage = parser()
    options = usage.parse_args(arguments)
    try:
        names = chosen(options.names)
        otp = choose_otp(options.otp)
    except ValueError as error:
        usage.error(str(error))
    runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
    sizes = QUICK if options.quick else FULL
    figures: list[Figure] = []
    with Lab(sizes, runs, otp, options.carrier) as lab:
        found = conditions(lab)
        print(*heading(found, COMPILED), sep="\n", flush=True)
        if otp is None:
            missing = [*left_out(names, lab), *(["the BEAM's side of codec"] * ("codec" in names))]
            if missing:
                print(f"left out: {', '.join(missing)}: {HOW_TO_GET}")
        try:
            for name, more in run(names, lab):
                figures += more
                print(f"... {name} is done", file=sys.stderr, flush=True)
        finally:  # also show the figures measured before an error or Ctrl-C
            print(table(figures, COMPILED))
    if options.json:
        options.json.write_text(as_json(figures, found, COMPILED), "utf-8")
    if options.svg:
        title = f"uds_dist, codec {MODE}: medians, with the least and the most of {runs} runs"
        options.svg.write_text(plot(figures, title, heading(found, COMPILED), COMPILED), "utf-8")
    return 0


def choose_otp(label: str | None) -> Otp | None:
    """The OTP with this label, by default the first; None if there is none and none was named."""
    otps = find_otps()
    if label is None:
        return otps[0] if otps else None
    for otp in otps:
        if otp.label == label:
            return otp
    raise ValueError(f"there is no OTP {label}; found: {', '.join(otp.label for otp in otps)}")


if __name__ == "__main__":
    sys.exit(main())
