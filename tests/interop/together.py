"""A BEAM and a Python node in one test: the loop runs while the BEAM is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.interop.beam import Beam, Otp, Pending, socket_folder
from uds_dist import Config, EventLoop, Node, decode, encode

COOKIE = "secret"
BEAM_NAME = "beam@localhost"
PATIENCE = 10.0


class Together:
    """One BEAM, and Python nodes that share one loop, which runs whenever the BEAM is asked."""

    def __init__(self, beam: Beam, loop: EventLoop) -> None:
        self.beam = beam
        self.loop = loop
        self.nodes: list[Node] = []
        beam.pump = lambda: loop.run_once(0.002)

    @property
    def name(self) -> str:
        """The BEAM's name."""
        return self.beam.name

    def node(self, name: str = "py@localhost", listen: bool = True, **settings: Any) -> Node:
        """Start a Python node; it ends with the test."""
        on_down = settings.pop("on_down", None)
        config = Config(socket_dir=self.beam.socket_dir).replace(**settings)
        node = Node(name, loop=self.loop, cookie=COOKIE, config=config, on_down=on_down)
        self.nodes.append(node)
        if listen:
            node.listen()
        return node

    def eval(self, code: str, process: str = "main", **terms: object) -> str:
        """Evaluate Erlang in the BEAM, with terms bound to variables; the value printed."""
        bound, bindings = _bound(code, terms)
        return self.beam.eval(bound, bindings, keep=False, process=process)

    def eval_term(self, code: str, process: str = "main", **terms: object) -> object:
        """Evaluate Erlang in the BEAM, with terms bound to variables; the value."""
        bound, bindings = _bound(code, terms)
        return decode(self.beam.eval_binary(bound, bindings, keep=False, process=process))

    def submit(self, code: str, process: str = "main", **terms: object) -> Pending:
        """Ask the BEAM and do not wait."""
        bound, bindings = _bound(code, terms)
        return self.beam.submit(bound, bindings, keep=False, process=process)

    def until(self, condition: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Run the loop until something holds."""
        assert self.loop.run_until(lambda: bool(condition()), timeout), "it did not happen"

    def close(self) -> None:
        """End the Python nodes, and wait until the BEAM has seen that."""
        names = [node.name for node in self.nodes if not node.closed]
        for node in self.nodes:
            node.close()
        self.nodes.clear()
        self.loop.run_once(0)
        if names and self.beam.alive:
            gone = "[N || N <- nodes(connected), lists:member(N, [" + ", ".join(
                f"'{name}'" for name in names
            )
            self.beam.wait_until(gone + "])]", "[]")


def _bound(code: str, terms: dict[str, object]) -> tuple[str, dict[str, bytes]]:
    decoded = [f"{name} = binary_to_term({name}_)," for name in terms]
    bindings = {f"{name}_": encode(term) for name, term in terms.items()}
    return " ".join([*decoded, code]), bindings


@contextmanager
def together(otp: Otp, name: str = BEAM_NAME, **options: Any) -> Iterator[Together]:
    """Start a BEAM in a folder of its own (or in socket_dir=...) and a loop."""
    folder = options.pop("socket_dir", None)
    with socket_folder() as made, EventLoop() as loop:
        with Beam.start(otp, name, folder or made, **options) as beam:
            both = Together(beam, loop)
            try:
                yield both
            finally:
                beam.pump = None
                for node in both.nodes:
                    node.close()
