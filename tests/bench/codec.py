"""Encode and decode, against the BEAM's `term_to_binary` and `binary_to_term` on the same bytes.

Each sample has enough repetitions to take `codec_seconds` on each side; the BEAM's is a loop in a
compiled module, in its own process.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.corpus import PROCESS_INFO, corpus
from tests.bench.figures import Figure, Reading, Sample, Side, geometric_mean, repeats, timed
from tests.bench.lab import EVALUATION_TIMEOUT, MODULE, Lab, nanoseconds
from tests.interop.beam import Beam
from uds_dist import decode, encode

TEXT = "decode as text"
PANEL = "codec: time against the BEAM's own functions"
PANEL_ALONE = "codec: time, with no BEAM to compare it with"


@dataclass(frozen=True)
class Case:
    """One term, in one direction, on both sides; the counts make a sample long enough."""

    name: str
    ours: Side
    count: int
    theirs: Side | None = None
    their_count: int = 0

    def sample(self) -> Sample:
        """Microseconds per term, of both sides."""
        ours = self.ours(self.count) / self.count * 1e6
        if self.theirs is None:
            return Sample(ours)
        return Sample(ours, self.theirs(self.their_count) / self.their_count * 1e6)


def run(lab: Lab) -> list[Figure]:
    """The means, then every term in both directions, and decoded in text mode."""
    data = corpus()
    if lab.otp is not None:
        data[PROCESS_INFO] = lab.beam.eval_binary(f"{MODULE}:process_info()")
        for name, value in data.items():
            store(lab.beam, name, value)
    cases = [
        _case(lab, direction, name, value)
        for direction in ("decode", "encode", TEXT)
        for name, value in data.items()
    ]
    for case in cases:
        case.sample()
    runs = [[case.sample() for case in cases] for _ in range(lab.runs)]
    alone = lab.otp is None
    panel = PANEL_ALONE if alone else PANEL
    reading = Reading.ALONE if alone else Reading.RATIO
    terms = [
        Figure(panel, case.name, "us", tuple(samples), reading, detail=True)
        for case, samples in zip(cases, zip(*runs))
    ]
    part = len(data)
    return [
        geometric_mean(terms[: 2 * part], panel, "codec"),
        geometric_mean(terms[:part], panel, "codec, decode"),
        geometric_mean(terms[part : 2 * part], panel, "codec, encode"),
        geometric_mean(terms[2 * part :], panel, f"codec, {TEXT}"),
        *terms,
    ]


def store(beam: Beam, name: str, data: bytes) -> None:
    """Give the BEAM the bytes, and check that it reads the right term from them."""
    if name == PROCESS_INFO:
        reread = encode(decode(data))
        if len(reread) != len(data):
            raise AssertionError(f"{name}: {len(data)} bytes of the BEAM became {len(reread)}")
    bindings = {"Name": name.encode(), "Bytes": data}
    beam.eval(f"{MODULE}:store(Name, Bytes)", bindings, keep=False)
    size = int(beam.eval(f"{MODULE}:stored_size(Name)", {"Name": name.encode()}, keep=False))
    if size != len(data):
        raise AssertionError(f"{name}: {len(data)} bytes, which the BEAM writes as {size}")


def _case(lab: Lab, direction: str, name: str, data: bytes) -> Case:
    if direction == "decode":
        ours: Side = lambda count: timed(lambda: decode(data), count)
    elif direction == TEXT:
        ours = lambda count: timed(lambda: decode(data, text=True), count)
    else:
        term = decode(data)
        ours = lambda count: timed(lambda: encode(term), count)
    label = f"{direction} {name}"
    seconds = lab.sizes.codec_seconds
    if lab.otp is None:
        return Case(label, ours, repeats(ours, seconds))
    beam = lab.beam

    def theirs(count: int) -> float:
        call = f"{MODULE}:{direction.partition(' ')[0]}(Name, {count})"
        bindings = {"Name": name.encode()}
        return nanoseconds(beam.eval(call, bindings, timeout=EVALUATION_TIMEOUT, keep=False))

    return Case(label, ours, repeats(ours, seconds), theirs, repeats(theirs, seconds))
