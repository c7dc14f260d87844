"""All benchmarks by name, and how to run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.bench import (
    bulk, codec, commands, connections, framing, importing, mailbox, oneway, rounds, rtt,
)  # fmt: skip
from tests.bench.figures import Figure
from tests.bench.lab import Lab


@dataclass(frozen=True)
class Benchmark:
    """A function from the lab to its figures."""

    run: Callable[[Lab], list[Figure]]
    needs_beam: bool = False


BENCHMARKS = {
    "codec": Benchmark(codec.run),
    "rtt": Benchmark(rtt.rtt, needs_beam=True),
    "rpc": Benchmark(rtt.rpc, needs_beam=True),
    "in": Benchmark(oneway.incoming, needs_beam=True),
    "out": Benchmark(oneway.outgoing, needs_beam=True),
    "bulk": Benchmark(bulk.run, needs_beam=True),
    "framing": Benchmark(framing.run, needs_beam=True),
    "idle": Benchmark(rounds.run),
    "connections": Benchmark(connections.run),
    "mailbox": Benchmark(mailbox.run),
    "import": Benchmark(importing.run),
    "command": Benchmark(commands.run, needs_beam=True),
}
GROUPS = {"scale": ("idle", "connections", "mailbox")}


def chosen(names: Sequence[str]) -> list[str]:
    """The named benchmarks, with groups resolved; by default all.

    Raises:
        ValueError: a name is unknown.
    """
    found: list[str] = []
    for name in names or BENCHMARKS:
        if name not in BENCHMARKS and name not in GROUPS:
            raise ValueError(f"{name} is none of {', '.join([*BENCHMARKS, *GROUPS])}")
        found += GROUPS.get(name, (name,))
    return list(dict.fromkeys(found))


def left_out(names: Sequence[str], lab: Lab) -> list[str]:
    """The benchmarks that cannot run without a BEAM."""
    return [name for name in names if BENCHMARKS[name].needs_beam and lab.otp is None]


def run(names: Sequence[str], lab: Lab) -> Iterator[tuple[str, list[Figure]]]:
    """Run benchmarks one after the other, except those that cannot run."""
    missing = left_out(names, lab)
    for name in names:
        if name not in missing:
            carrier = lab.carrier if BENCHMARKS[name].needs_beam else ""
            yield name, [replace(figure, carrier=carrier) for figure in BENCHMARKS[name].run(lab)]
