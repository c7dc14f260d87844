"""Options of the interpreter, and a program without standard streams.

.ci/run also runs all tests with these options; the tests here do not need that.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme_blocks import ROOT, blocks, environment
from tests.scripted import ScriptedPeer
from uds_dist import Atom, Config, EventLoop, HandshakeError, Node

PACKAGE = ROOT / "uds_dist"


# --- -O: no check may be an assert ----------------------------------------------------------------


def test_asserts_in_tests_work_under_every_option() -> None:
    with pytest.raises(AssertionError):
        assert not PACKAGE
    with EventLoop() as loop, pytest.raises(AssertionError):
        ScriptedPeer(loop).write(b"an assert of a module that tests import")


def narrows(test: ast.expr) -> bool:
    """Whether a condition only narrows a type for the type checker: a None check or isinstance."""
    if isinstance(test, ast.BoolOp):
        return all(narrows(value) for value in test.values)
    if isinstance(test, ast.Compare):
        return ast.unparse(test).endswith((" is not None", " is None"))
    return isinstance(test, ast.Call) and ast.unparse(test.func) == "isinstance"


def wide_asserts(source: str) -> list[str]:
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert) and not narrows(node.test)
    ]


def test_asserts_of_the_package_only_narrow_types() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert wide_asserts(path.read_text("utf-8")) == [], path


@pytest.mark.parametrize("check", ["size > 0", "a is not None or a", "not x", "ok(x)"])
def test_an_assert_that_does_more_is_found(check: str) -> None:
    assert wide_asserts(f"assert {check}") == [f"assert {check}"]


# --- -bb: a peer's atom and a binary of the same text ---------------------------------------------

MAPS = """
from uds_dist import Atom, decode, encode

for term in ({Atom("a"): 1}, {Atom("b"): 1, (Atom("c"), 1): 2}):
    pairs = [*term.items(), (b"a", 3), ((b"c", 1), 4)]
    data = bytes((131, 116, 0, 0, 0, len(pairs)))
    data += b"".join(encode(part)[1:] for pair in pairs for part in pair)
    found = decode(data)
    assert encode(found) == data
    print(type(found).__name__, *sorted(map(str, found.values())))
"""


def under_bb(program: str) -> tuple[str, str]:
    """The standard error and standard output of a program."""
    done = subprocess.run(
        [sys.executable, "-bb", "-W", "error", "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr, done.stdout


def test_a_map_with_keys_that_python_refuses_to_compare() -> None:
    assert under_bb(MAPS) == ("", "Map 1 3 4\nMap 1 2 3 4\n")


UNREGISTER = """
import socket
from uds_dist import EventLoop

with EventLoop() as loop, socket.socket(socket.AF_UNIX) as listener:
    listener.bind("")  # Linux gives it an abstract name
    try:
        loop.unregister(listener)
    except KeyError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets exist on Linux only")
def test_an_abstract_socket_is_not_watched() -> None:
    assert under_bb(UNREGISTER) == ("", "'the socket is not registered'\n")


# --- no standard streams --------------------------------------------------------------------------


@pytest.fixture
def legacy(folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """The README's program with a loop of its own, started with all standard streams closed."""
    program = next(block.text for block in blocks("python") if "run_once" in block.text)
    path = Path(folder, "program.py")
    path.write_text(program)
    environ = environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE="secret")
    words = ["sh", "-c", 'exec "$0" "$1" <&- >&- 2>&-', sys.executable, str(path)]
    with subprocess.Popen(words, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_program_without_standard_streams(folder: str, legacy: subprocess.Popen[bytes]) -> None:
    config = Config(socket_dir=folder)
    name = "legacy@localhost"
    with Node("test@localhost", cookie="secret", config=config) as node:
        assert node.loop.run_until(
            lambda: node.ping(name, timeout=5) or legacy.poll() is not None, timeout=30
        )
        # The log line about this has nowhere to go.
        with Node("other@localhost", loop=node.loop, cookie="wrong", config=config) as stranger:
            with pytest.raises(HandshakeError):
                stranger.connect(name).result(10)
        first = node.rpc(name, "legacy", "jobs_done").result(10)
        assert isinstance(first, int) and legacy.poll() is None
        node.send(("commands", name), Atom("stop"))
        assert node.loop.run_until(lambda: name not in node.nodes(), timeout=30)
    assert legacy.wait(30) == 0
