"""Each recipe runs as a user would run it, against a node in this process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.services.test_console import Client
from uds_dist import Atom, Config, EventLoop, GenServer, Node, Pid
from uds_dist.transport.loop import READ

RECIPES = Path(__file__).parent
PEER = "peer@localhost"


class Server(GenServer):
    """Answers each call with its request."""

    def handle_call(self, request: object, _from: object) -> object:
        return request


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Node]:
    """The node that the recipes talk to."""
    tmp_path.chmod(0o755)  # every carrier accepts this mode
    with EventLoop() as loop:
        config = Config(socket_dir=str(tmp_path), tick_time=0.4)
        with Node(PEER, loop=loop, cookie="secret", config=config) as node:
            node.listen()

            def echo(message: object) -> None:
                match message:
                    case (Pid() as sender, term):
                        node.send(sender, term)

            node.mailbox("echo", on_message=echo)
            node.serve("server", Server())
            node.expose("erlang", {"node": lambda: node.name})
            yield node


class Recipe:
    """A running recipe; the peer's loop reads its output."""

    def __init__(self, peer: Node, *words: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "UDS_DIST_SOCKET_DIR": str(peer.config.socket_dir),
            "UDS_DIST_COOKIE": "secret",
            "UDS_DIST_TICK_TIME": "0.4",
        }
        script, *arguments = words
        self._loop = peer.loop
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(RECIPES / script), PEER, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self._stdout = self.process.stdout.fileno()
        self.output = b""
        self._open = True
        self._loop.register(self._stdout, READ, self._on_output)

    def _on_output(self, _events: int) -> None:
        data = os.read(self._stdout, 65536)
        self.output += data
        if not data:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._open:
            self._open = False
            self._loop.unregister(self._stdout)

    def wait_for_line(self) -> str:
        """The first line of its output."""
        assert self._loop.run_until(lambda: b"\n" in self.output or not self._open, timeout=20)
        return self.output.decode().partition("\n")[0]

    def finish(self) -> tuple[int, list[str], str]:
        """Serve it until it exits: exit status, lines, standard error."""
        ended = self._loop.run_until(lambda: not self._open, timeout=20)
        self._stop_reading()
        if not ended:
            self.process.kill()
        _, errors = self.process.communicate()
        return self.process.returncode, self.output.decode().splitlines(), errors.decode()


def run(peer: Node, *words: str) -> list[str]:
    """The output of a recipe that succeeds."""
    status, lines, errors = Recipe(peer, *words).finish()
    assert (status, errors) == (0, "")
    return lines


def test_while_loop(peer: Node) -> None:
    assert run(peer, "while_loop.py") == ["answer 0", "answer 1", "answer 2"]


def test_poll_loop(peer: Node) -> None:
    lines = run(peer, "poll_loop.py")
    assert sorted(lines) == ["answer b'to the node'", "own b'to the program'"]


def test_asyncio_reader(peer: Node) -> None:
    assert run(peer, "asyncio_reader.py") == ["answers [0, 1, 2]", "beats True"]


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A display: the existing one, or a virtual one."""
    if find_spec("tkinter") is None or find_spec("_tkinter") is None:
        pytest.skip("this Python has no tkinter")
    if os.environ.get("DISPLAY"):
        yield
        return
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("there is no display and no Xvfb")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        [xvfb, "-displayfd", str(writer), "-screen", "0", "320x240x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with open(reader, encoding="ascii") as pipe:
        number = pipe.readline().strip()
    try:
        if not number:
            pytest.skip("there is no display and Xvfb does not start")
        monkeypatch.setenv("DISPLAY", f":{number}")
        yield
    finally:
        server.terminate()
        server.wait()


def test_tkinter_handler(peer: Node, display: None) -> None:
    assert run(peer, "tkinter_handler.py") == ["shown 42"]


def test_one_rpc(peer: Node) -> None:
    assert run(peer, "one_rpc.py") == [PEER]


def test_a_failed_rpc_says_why(peer: Node) -> None:
    peer.allow(["nobody@localhost"])
    status, lines, errors = Recipe(peer, "one_rpc.py").finish()
    assert (status, lines) == (1, [])
    assert "allow" in errors and "Traceback" not in errors


def test_prefork_server(peer: Node) -> None:
    recipe = Recipe(peer, "prefork_server.py", "3")
    nodes = ["master@localhost", "worker0@localhost", "worker1@localhost", "worker2@localhost"]
    try:
        port = int(recipe.wait_for_line().removeprefix("port "))
        assert peer.loop.run_until(lambda: sorted(peer.nodes()) == nodes, timeout=10)
        for number in range(12):
            with socket.create_connection(("127.0.0.1", port)) as client:
                answer = bytearray()
                client.sendall(b"q%d" % number)
                peer.loop.register(client, READ, lambda _: answer.extend(client.recv(100)))
                assert peer.loop.run_until(lambda: answer.endswith(b"\n"), timeout=10)
                peer.loop.unregister(client)
            assert answer.startswith(b"b'q%d' from worker " % number)
        assert sorted(peer.nodes()) == nodes
        # The master's socket file has survived its children, and the master still answers.
        assert sorted(os.listdir(peer.config.socket_dir)) == ["master.sock", "peer.sock"]
        assert peer.ping("master@localhost")
    finally:
        recipe.process.send_signal(signal.SIGTERM)
        status, _, errors = recipe.finish()
    assert (status, errors) == (0, "")
    assert peer.loop.run_until(lambda: not peer.nodes(), timeout=10)
    assert os.listdir(peer.config.socket_dir) == ["peer.sock"]


@pytest.mark.parametrize(("words", "outcome"), [([], "kept"), (["without"], "lost")])
def test_busy_program(peer: Node, words: list[str], outcome: str) -> None:
    reasons: list[str] = []
    peer.monitor_nodes(lambda event, name, error: reasons.append(str(error)))
    recipe = Recipe(peer, "busy_program.py", *words)
    assert recipe.wait_for_line() == outcome
    status, _, errors = recipe.finish()
    assert (status, errors) == (0, "")
    assert peer.loop.run_until(lambda: len(reasons) == 2, timeout=5)  # nodeup, nodedown
    assert ("has sent nothing" in reasons[1]) is (outcome == "lost"), reasons


def test_served_console(peer: Node) -> None:
    recipe = Recipe(peer, "served_console.py")
    assert recipe.wait_for_line() == "serving"
    served = "recipe@localhost"

    def evaluated(text: str) -> str:
        match peer.rpc(served, "uds_dist_console", "eval", [text]).result(10):
            case (Atom("ok"), _, bytes() as value, _):
                return value.decode()
        raise AssertionError(text)

    def period() -> float:
        return float(evaluated("work.period()"))

    shells = [Client(peer, name=served) for _ in range(10)]

    def periods() -> tuple[float, float]:
        """The work's period with nobody at the console, and with ten busy shells."""
        evaluated("work.begun.clear()")
        peer.loop.run_until(lambda: False, 1.0)
        alone = period()
        evaluated("work.begun.clear()")
        until = peer.loop.time() + 1.0
        while peer.loop.time() < until:
            for shell in shells[1:]:
                shell.typed.append([*b"work.rate", 10])
                shell._feed()
            assert len(shells[0].type("print('x' * 1_000_000)")) == 1_000_001
        return alone, period()

    for _attempt in range(4):  # other programs of a busy machine disturb one
        alone, shared = periods()
        if alone * 0.9 < shared < alone * 1.1:
            break
    else:
        raise AssertionError(f"{alone} s, and {shared} s with ten shells")
    assert evaluated("work.running = False") == ""
    status, _, errors = recipe.finish()
    assert (status, errors) == (0, "")


def test_every_recipe_has_a_test() -> None:
    tested = (RECIPES / "test_recipes.py").read_text("utf-8")
    for recipe in RECIPES.glob("*.py"):
        if recipe.name not in ("__init__.py", "test_recipes.py"):
            assert f'"{recipe.name}"' in tested
