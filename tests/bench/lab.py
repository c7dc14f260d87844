"""What a benchmark is given: how much to do, and the nodes to do it with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.interop.beam import Beam, Otp, socket_folder
from uds_dist import Config, Mailbox, Node

ERLANG = Path(__file__).parent / "erl" / "uds_dist_bench.erl"

CARRIERS = ("process", "port")
PEER = "a@localhost"
EVALUATION_TIMEOUT = 600.0
TIMEOUT = 60.0  # seconds for any one message


@dataclass(frozen=True)
class Sizes:
    """How much of everything makes one run."""

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


FULL = Sizes()
QUICK = Sizes(
    rtt=2_000, messages=20_000, bulk=20, rpc=1_000, codec_seconds=0.01, idle_calls=10_000,
    connections=300, receives=500, receives_scanning=2, imports=3,
)  # fmt: skip
TINY = Sizes(
    rtt=20, messages=50, bulk=2, rpc=10, codec_seconds=0.0005, idle=(1, 10), idle_calls=20,
    connections=20, waiting=(0, 100), receives=10, receives_scanning=2, imports=1,
)  # fmt: skip


class Cluster:
    """Two BEAM nodes and a Python node, over one carrier.

    `a` is the peer that echoes, counts and is called. What the Python node does with it, `b` does
    too, for comparison; `b` also sends to the Python node what it sends to `a`.
    """

    def __init__(self, a: Beam, b: Beam, node: Node) -> None:
        self.a = a
        self.b = b
        self.node = node
        self.box: Mailbox = node.mailbox("counter")

    def time_beam(self, call: str) -> float:
        """Let `b` run a function of the Erlang module; the seconds it took by the BEAM's clock."""
        text = self.b.eval(f"{MODULE}:{call}", timeout=EVALUATION_TIMEOUT, keep=False)
        self.settle()
        return nanoseconds(text)

    def settle(self) -> None:
        """Let the Python node do what is due, its ticks above all."""
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

    `otp` is None where there is no BEAM; benchmarks that need one are then left out.
    """

    sizes: Sizes
    runs: int
    otp: Otp | None = None
    carrier: str = CARRIERS[0]
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def beam(self) -> Beam:
        """A BEAM node without distribution, with the Erlang module."""
        return self._stack.enter_context(_lone_beam(self._otp()))

    @cached_property
    def cluster(self) -> Cluster:
        """The nodes for messages and calls."""
        return self._stack.enter_context(_cluster(self._otp(), self.carrier))

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
def _cluster(otp: Otp, carrier: str) -> Iterator[Cluster]:
    # Nodes stand still while another benchmark runs: nobody is to miss their ticks.
    arguments = ("-uds_dist", "controller", carrier, "-kernel", "net_ticktime", str(TICK_TIME))
    with (
        socket_folder() as folder,
        Beam.start(otp, PEER, folder, extra_args=arguments) as a,
        Beam.start(otp, "b@localhost", folder, extra_args=arguments) as b,
        Node("py@localhost", cookie="secret", config=_config(folder)) as node,
    ):
        for beam in (a, b):
            beam.load_module(ERLANG.read_text("utf-8"))
        a.eval(f"{MODULE}:start()")
        node.listen()
        node.connect(PEER).result(10.0)
        b.pump = lambda: node.loop.run_once(0.01)
        # Connected before anything is timed, and by one link each: b dials, as in the comparison.
        connect = f"[net_kernel:connect_node(Node) || Node <- ['{PEER}', '{node.name}']]"
        if b.eval(connect) != "[true,true]":
            raise RuntimeError(f"the BEAM nodes did not connect: {b.log}")
        b.pump = None
        yield Cluster(a, b, node)


def _config(folder: str) -> Config:
    return Config(socket_dir=folder, tick_time=TICK_TIME)
