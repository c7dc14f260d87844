"""Fixtures of all tests: the build of the package under test, nodes, and scripted peers."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

# `python -O` drops asserts, except in modules that pytest rewrites. By default it rewrites only
# test_*.py; the modules that these import have asserts too.
pytest.register_assert_rewrite(
    *(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "tests").rglob("*.py")
    )
)

from tests.scripted import COOKIE, ScriptedPeer
from uds_dist import Config, EventLoop, Node
from uds_dist.config import ENVIRONMENT
from uds_dist.processes.identity import COOKIE_VARIABLES


def compiled_modules() -> list[str]:
    """The modules of the compiled build, from the list that the build reads."""
    lines = (ROOT / ".packaging" / "compiled.txt").read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def codec_files() -> list[str]:
    """The files of the codec's modules, found without loading them."""
    files = []
    for name in compiled_modules():
        spec = find_spec(name)
        assert spec is not None, f".packaging/compiled.txt: there is no module {name}"
        files.append(str(spec.origin))
    return files


def pytest_configure(config: pytest.Config) -> None:
    """Forget the user's own settings, and check that the tests run on the right build."""
    # A shell that starts the tests in the background makes them and their programs ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for variable in (*ENVIRONMENT, *COOKIE_VARIABLES):
        os.environ.pop(variable, None)
    if os.environ.get("UDS_DIST_EXPECT_COMPILED") == "1":
        interpreted = [path for path in codec_files() if path.endswith(".py")]
        if interpreted:
            raise pytest.UsageError(
                f"the compiled codec is to be tested, but found are {', '.join(interpreted)}"
            )


def pytest_report_header(config: pytest.Config) -> str:
    """Whether the codec under test is compiled, and where the package is."""
    files = codec_files()
    kind = "interpreted" if all(path.endswith(".py") for path in files) else "compiled"
    return f"uds_dist: codec {kind}, {os.path.dirname(files[0])}"


# --- nodes on one loop, and scripted peers ---------------------------------------------------------

MakeNode = Callable[..., Node]
MakePeer = Callable[..., ScriptedPeer]


@pytest.fixture
def folder() -> Iterator[str]:
    """A new folder for sockets, with a short name."""
    made = tempfile.mkdtemp(prefix="uds")
    os.chmod(made, 0o755)  # every carrier accepts this mode
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """The loop that all nodes of a test share."""
    with EventLoop() as made:
        yield made


@pytest.fixture
def make_node(loop: EventLoop, folder: str) -> Iterator[MakeNode]:
    """Start nodes: make_node(name, listen=True, ...settings of Config); they end with the test."""
    made: list[Node] = []

    def make(name: str, listen: bool = True, on_down: Any = None, **settings: Any) -> Node:
        config = Config(socket_dir=folder).replace(**settings)
        node = Node(name, loop=loop, cookie=COOKIE, config=config, on_down=on_down)
        made.append(node)
        if listen:
            node.listen()
        return node

    yield make
    for node in made:
        node.close()
    loop.run_once(0)


@pytest.fixture
def a(make_node: MakeNode) -> Node:
    """A node."""
    return make_node("a@localhost")


@pytest.fixture
def b(make_node: MakeNode) -> Node:
    """Another node on the same loop."""
    return make_node("b@localhost")


@pytest.fixture
def make_peer(loop: EventLoop) -> Iterator[MakePeer]:
    """Make scripted peers: make_peer(name, ...), like ScriptedPeer; they end with the test."""
    made: list[ScriptedPeer] = []

    def make(name: str = "peer@localhost", **options: Any) -> ScriptedPeer:
        peer = ScriptedPeer(loop, name, **options)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.__exit__()


@pytest.fixture
def peer(make_peer: MakePeer, a: Node, folder: str) -> ScriptedPeer:
    """A scripted peer, connected to `a`."""
    made = make_peer()
    made.connect(folder, a)
    return made
