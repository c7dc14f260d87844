"""The lab of a benchmark: how much to do, and the nodes for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tests.interop.beam import Beam, Otp, socket_folder
from uds_dist import Config, EventLoop, Mailbox, Node

ERLANG = Path(__file__).parent / "erl" / "uds_dist_bench.erl"

# The carriers; all except the first are controllers of the carrier on gen_tcp.
CARRIERS = {
    "socket": "on OTP's module socket, as deployed carriers are",
    "stream": "on gen_tcp, Erlang processes cut the frames out of what has come",
    "process": "on gen_tcp, Erlang processes get whole frames, as in OTP's example erl_uds_dist",
    "port": "on gen_tcp, the port inside the emulator moves the data, as it does over TCP",
}
DEPLOYED = "socket"


class Framing(NamedTuple):
    """The framing that a Python node asks its peers for."""

    atom_cache: bool
    fragments: bool


USUAL = Framing(Config().atom_cache, Config().fragments)
FRAMINGS = tuple(Framing(*flags) for flags in product((True, False), repeat=2))
PEER = "a@localhost"
COOKIE = "secret"
EVALUATION_TIMEOUT = 600.0
TIMEOUT = 60.0  # seconds for any one message


@dataclass(frozen=True)
class Sizes:
    """The counts and sizes of one run."""

    rtt: int = 20_000
    messages: int = 200_000
    bulk: int = 200
    rpc: int = 10_000
    codec_seconds: float = 0.05  # of each sample, on either side
    idle: tuple[int, ...] = (1, 10, 100, 1_000)
    idle_calls: int = 100_000
    connections: int = 1_000
    waiting: tuple[int, ...] = (0, 1_000, 30_000, 300_000)
    receives: int = 2_000
    receives_scanning: int = 5
    imports: int = 5
    commands: int = 5


FULL = Sizes()
QUICK = Sizes(
    rtt=2_000, messages=20_000, bulk=20, rpc=1_000, codec_seconds=0.01, idle_calls=10_000,
    connections=300, receives=500, receives_scanning=2, imports=3,
    commands=3,
)  # fmt: skip
TINY = Sizes(
    rtt=20, messages=50, bulk=2, rpc=10, codec_seconds=0.0005, idle=(1, 10), idle_calls=20,
    connections=20, waiting=(0, 100), receives=10, receives_scanning=2, imports=1,
    commands=1,
)  # fmt: skip


class Cluster:
    """Two BEAM nodes and a Python node, over one carrier.

    `a` is the peer that echoes, counts and is called. For comparison, `b` does the same with it as
    the Python node, and sends the same messages to the Python node as to `a`.
    """

    def __init__(self, a: Beam, b: Beam, node: Node) -> None:
        self.a = a
        self.b = b
        self.node = node
        self.box: Mailbox = node.mailbox("counter")

    def time_beam(self, call: str) -> float:
        """Let `b` run a function of the Erlang module; returns its seconds by the BEAM's clock."""
        text = self.b.eval(f"{MODULE}:{call}", timeout=EVALUATION_TIMEOUT, keep=False)
        self.settle()
        return nanoseconds(text)

    def settle(self) -> None:
        """Let the Python node do pending work, above all send its ticks."""
        while self.node.loop.run_once(0):
            pass


MODULE = "uds_dist_bench"
TICK_TIME = 3600  # seconds


def nanoseconds(text: str) -> float:
    """Seconds, from the nanoseconds that a function of the Erlang module returns."""
    return int(text) / 1e9


@dataclass
class Lab:
    """The sizes, and on demand the BEAM nodes; close it at the end.

    `otp` is None if there is no BEAM; then benchmarks that need one are left out.
    """

    sizes: Sizes
    runs: int
    otp: Otp | None = None
    carrier: str = DEPLOYED
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def beam(self) -> Beam:
        """A BEAM node without distribution, with the Erlang module."""
        return self._stack.enter_context(_lone_beam(self._otp()))

    @cached_property
    def cluster(self) -> Cluster:
        """The nodes for messages and calls."""
        clusters = _clusters(self._otp(), self.carrier, [USUAL])
        return self._stack.enter_context(clusters)[USUAL]

    @cached_property
    def framings(self) -> dict[Framing, Cluster]:
        """A Python node for each framing, with the same two BEAM nodes, which do not spin."""
        clusters = _clusters(self._otp(), self.carrier, FRAMINGS, ["+sbwt", "none"])
        return self._stack.enter_context(clusters)

    def _otp(self) -> Otp:
        if self.otp is None:
            raise RuntimeError("this benchmark needs a BEAM, and there is none")
        return self.otp

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()


@contextmanager
def _lone_beam(otp: Otp) -> Iterator[Beam]:
    with socket_folder() as folder, Beam.start(otp, "", folder) as beam:
        beam.load_module(ERLANG.read_text("utf-8"))
        yield beam


@contextmanager
def _clusters(
    otp: Otp, carrier: str, framings: Sequence[Framing], flags: Sequence[str] = ()
) -> Iterator[dict[Framing, Cluster]]:
    # Nodes do not run during other benchmarks: nobody should miss their ticks.
    arguments = [*flags, "-kernel", "net_ticktime", str(TICK_TIME)]
    module = "uds" if carrier == DEPLOYED else "uds_tcp"
    if module == "uds_tcp":
        arguments += ["-uds_dist", "controller", carrier]
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = enter(socket_folder())
        a = enter(Beam.start(otp, PEER, folder, carrier=module, extra_args=arguments))
        b = enter(Beam.start(otp, "b@localhost", folder, carrier=module, extra_args=arguments))
        loop = enter(EventLoop())
        for beam in (a, b):
            beam.load_module(ERLANG.read_text("utf-8"))
        a.eval(f"{MODULE}:start()")
        found = {}
        for number, framing in enumerate(framings):
            config = Config(socket_dir=folder, tick_time=TICK_TIME, **framing._asdict())
            name = f"py{number or ''}@localhost"
            node = enter(Node(name, loop=loop, cookie=COOKIE, config=config))
            node.listen()
            node.connect(PEER).result(10.0)
            found[framing] = Cluster(a, b, node)
        # Connect before timing, with one connection each: b dials, as in the comparison.
        names = [PEER, *(cluster.node.name for cluster in found.values())]
        quoted = ",".join(f"'{name}'" for name in names)
        b.pump = lambda: loop.run_once(0.01)
        answers = b.eval(f"[net_kernel:connect_node(Node) || Node <- [{quoted}]]")
        if "false" in answers:
            raise RuntimeError(f"the BEAM nodes did not connect: {b.log}")
        b.pump = None
        yield found
