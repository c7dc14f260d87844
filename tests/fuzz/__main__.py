"""Run the fuzzers in this folder for some time, each time with a new seed.

    python -m tests.fuzz --seconds 3600 [--seed 1]

Prints how many inputs each has tried. A failure prints the fuzzer, its seed, its current input and
the traceback, and ends the run with exit code 1. The same first seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, TracebackType

from tests.fuzz import test_fuzz_etf, test_fuzz_node, test_fuzz_protocol
from uds_dist import COMPILED

# Each fuzzer's module, and how many inputs one seed of it makes.
MODULES: list[tuple[ModuleType, int]] = [
    (test_fuzz_etf, test_fuzz_etf.CASES),
    (test_fuzz_protocol, test_fuzz_protocol.CASES),
    (test_fuzz_node, test_fuzz_node.MESSAGES),
]
# The names of the fuzzers' variables for their current input.
INPUTS = ("data", "text", "frame", "stream", "broken", "message")
SECONDS_BETWEEN_REPORTS = 60.0


@dataclass(frozen=True)
class Fuzzer:
    """One test function: each call tries `cases` inputs made from a seed."""

    name: str
    run: Callable[..., object]
    cases: int
    arguments: tuple[dict[str, object], ...]  # every choice of its other parameters


def fuzzers() -> list[Fuzzer]:
    """Every test function of the modules that takes a seed and is not skipped."""
    found = []
    for module, cases in MODULES:
        for name, function in vars(module).items():
            marks = list(getattr(function, "pytestmark", ()))
            if not name.startswith("test_") or any(
                mark.name == "skipif" and mark.args[0] for mark in marks
            ):
                continue
            choices = [
                [{mark.args[0]: value} for value in mark.args[1]]
                for mark in marks
                if mark.name == "parametrize" and mark.args[0] != "seed"
            ]
            arguments = [
                {key: value for part in parts for key, value in part.items()}
                for parts in itertools.product(*choices)
            ]
            found.append(Fuzzer(name, function, cases, tuple(arguments)))
    return found


def inputs(trace: TracebackType | None) -> Iterator[str]:
    """The repr of the variables in the fuzzer's own frames when it failed."""
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals.get("__name__", "").startswith("tests.fuzz."):
            for name in INPUTS:
                value = frame.f_locals.get(name)
                if isinstance(value, (bytes, bytearray, str)):
                    yield f"{frame.f_code.co_name}: {name} = {value!r}"
        trace = trace.tb_next


def run(seconds: float, seed: int) -> int:
    """Run every fuzzer in turn until the time is up; returns the exit code."""
    build = "compiled" if COMPILED else "interpreted"
    print(f"fuzzing the {build} build for {seconds:g} s, first seed {seed}", flush=True)
    logger = logging.getLogger("uds_dist")
    logger.addHandler(test_fuzz_node.Checked())  # a line that cannot be written is a failure
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    counts: Counter[str] = Counter()
    rng = random.Random(seed)
    started = reported = time.monotonic()
    every = fuzzers()
    while time.monotonic() - started < seconds:
        for fuzzer in every:
            one = rng.getrandbits(48)
            for arguments in fuzzer.arguments:
                try:
                    fuzzer.run(seed=one, **arguments)
                except Exception:
                    print(f"FAILED {fuzzer.name} with seed={one} {arguments or ''}")
                    print("\n".join(inputs(sys.exc_info()[2])))
                    traceback.print_exc()
                    return 1
                counts[fuzzer.name] += fuzzer.cases
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            print(f"{reported - started:.0f} s: {sum(counts.values()):,} inputs", flush=True)
    for name, count in counts.items():
        print(f"{count:>12,}  {name}")
    took = time.monotonic() - started
    print(f"{sum(counts.values()):>12,}  inputs in {took:.0f} s, first seed {seed}, no failure")
    return 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="of the first input; by default the clock's")
    options = parser.parse_args()
    seed = time.time_ns() & 0xFFFF_FFFF if options.seed is None else options.seed
    return run(options.seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
