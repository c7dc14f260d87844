"""Which framing to ask for: the atom cache, fragments, both or neither.

Each of the four does the same work in turn: small messages both ways, calls, a binary of 1 MiB to
the peer and back, and Elixir's structs both ways, which have many atoms. The figures are the time
and the processor time of both sides together, because a framing that is cheap to write may be
expensive to read. The BEAM nodes do not spin while they wait (`+sbwt none`): that would count as
work.

The figures support the defaults, with carriers that read like deployed ones. Fragments are needed:
without them 1 MiB takes twenty times as long. With many atoms, the atom cache makes receiving
cheaper by a quarter, and sending more expensive by as much; calls and round trips take the same
time. So it is on by default, as between BEAM nodes, and saves bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import clock_gettime, process_time

from tests.bench.bulk import echo_binaries
from tests.bench.figures import Figure, Sample
from tests.bench.lab import Cluster, Framing, Lab
from tests.bench.oneway import HELLO, HELLO_ERLANG, receive_from_beam, send_to_beam
from tests.bench.rtt import calls, round_trips
from uds_dist import parse_term

TIME = "framing: time, against the atom cache and fragments"
PROCESSOR = "framing: processor time of both sides, against the atom cache and fragments"
BOTH = Framing(atom_cache=True, fragments=True)
NAMES = {
    BOTH: "both",
    Framing(atom_cache=True, fragments=False): "atom cache",
    Framing(atom_cache=False, fragments=True): "fragments",
    Framing(atom_cache=False, fragments=False): "neither",
}

DATE = (
    "#{'__struct__' => 'Elixir.DateTime', calendar => 'Elixir.Calendar.ISO', year => 2026,"
    " month => 12, day => 3, hour => 4, minute => 3, second => 5, microsecond => {1, 6},"
    ' time_zone => <<"Etc/UTC">>, zone_abbr => <<"UTC">>, utc_offset => 0, std_offset => 0}'
)
STRUCT_ERLANG = (
    "{user_updated, #{'__struct__' => 'Elixir.MyApp.Accounts.User', id => 1234, role => admin,"
    f' name => <<"Joe">>, confirmed => true, inserted_at => {DATE}, updated_at => {DATE}}}}}'
)
STRUCT = parse_term(STRUCT_ERLANG)

Work = Callable[[Cluster, int], float]


def run(lab: Lab) -> list[Figure]:
    """Every framing except both, for each kind of work."""
    share = lab.sizes.messages // 10 + 1
    works: list[tuple[str, Work, int]] = [
        ("rtt", round_trips, lab.sizes.rtt // 10 + 1),
        ("rpc", calls, lab.sizes.rpc // 10 + 1),
        ("in", partial(_incoming, HELLO_ERLANG), share),
        ("out", partial(_outgoing, HELLO), share),
        ("structs in", partial(_incoming, STRUCT_ERLANG), share // 4 + 1),
        ("structs out", partial(_outgoing, STRUCT), share // 4 + 1),
        ("bulk echo", echo_binaries, lab.sizes.bulk // 4 + 1),
    ]
    figures = []
    for name, work, count in works:
        runs = _in_turn(lab, work, count)
        for framing, label in NAMES.items():
            if framing == BOTH:
                continue
            for index, panel in enumerate((TIME, PROCESSOR)):
                scale = 1e6 / count
                samples = tuple(
                    Sample(run[framing][index] * scale, run[BOTH][index] * scale) for run in runs
                )
                figures.append(Figure(panel, f"{name}, {label}", "us", samples, detail=True))
    return figures


def _in_turn(lab: Lab, work: Work, count: int) -> list[dict[Framing, tuple[float, float]]]:
    """The time and the processor time of each framing, for every run."""
    clusters = lab.framings
    for cluster in clusters.values():
        work(cluster, count // 10 + 1)  # to warm up, and to fill the caches
    return [
        {framing: _measured(cluster, work, count) for framing, cluster in clusters.items()}
        for _ in range(lab.runs)
    ]


def _incoming(message: str, cluster: Cluster, count: int) -> float:
    call = f"send('{cluster.node.name}', {message}, {count})"
    return receive_from_beam(cluster, call, count)


def _outgoing(message: object, cluster: Cluster, count: int) -> float:
    return send_to_beam(cluster, message, count)


def _measured(cluster: Cluster, work: Work, count: int) -> tuple[float, float]:
    """Seconds that the work took, and processor seconds of all processes that took part."""
    before = _processor(cluster)
    seconds = work(cluster, count)
    return seconds, _processor(cluster) - before


def _processor(cluster: Cluster) -> float:
    return process_time() + sum(_of_process(beam.pid) for beam in (cluster.a, cluster.b))


def _of_process(pid: int) -> float:
    return clock_gettime(~pid << 3 | 2)  # Linux's number for the clock of another process
