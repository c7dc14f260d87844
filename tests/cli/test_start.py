"""What a command loads and compiles when it starts, and that it collects no garbage at its end."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import uds_dist
from uds_dist.cli.main import MODULES

# The package of this test, which may be the compiled one.
WHERE = str(Path(uds_dist.__file__).resolve().parent.parent)
PROGRAM = """
import atexit, gc, sys
sys.path.insert(0, {where!r})
sys.argv = {argv!r}

texts = []

def on_event(event, arguments):
    if event == "compile" and arguments[1] == "<string>":
        texts.append(arguments[0])

sys.addaudithook(on_event)

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

@atexit.register
def report():
    print((sorted(sys.modules), collections() - before, gc.get_freeze_count(), len(texts)))

from uds_dist.__main__ import run
before = collections()
sys.exit(run())
"""
# Modules of the standard library that only some commands use and that take a millisecond or more.
HEAVY = {"tempfile", "shutil", "lzma", "subprocess", "asyncio", "readline", "rlcompleter"}


@dataclass(frozen=True)
class Ended:
    """A command's exit code, what it loaded, and the state of the garbage collector."""

    code: int
    modules: set[str]
    collections: int
    frozen: int
    texts: int  # that were compiled: those of annotations and of generated methods


def ended(folder: Path, *words: str) -> Ended:
    """Run a command to its end."""
    argv = ["uds-dist", *words]
    # Isolated and without site: imports of the installation itself do not count.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM.format(where=WHERE, argv=argv)],
        env={**os.environ, "UDS_DIST_SOCKET_DIR": str(folder), "UDS_DIST_COOKIE": "secret"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    modules, collections, frozen, texts = ast.literal_eval(done.stdout.splitlines()[-1])
    return Ended(done.returncode, set(modules), collections, frozen, texts)


@pytest.mark.parametrize(
    "words",
    [
        ("names",),
        ("ping", "nobody"),
        ("rpc", "nobody", "erlang", "node"),
        ("call", "nobody", "name", "get"),
        ("rpc", "--help"),
    ],
)
def test_a_command_loads_no_other_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = ended(tmp_path, *words)
    assert command.code == (3 if "nobody" in words else 0)
    needed = {MODULES[words[0]]}
    if words[0] == "call":
        needed.add(MODULES["rpc"])  # they read terms and show answers alike
    assert command.modules & set(MODULES.values()) == needed
    assert [name for name in command.modules if name.startswith("uds_dist.shell")] == []
    assert command.modules & {*HEAVY, "uds_dist.services.console", "codeop", "pprint"} == set()


def test_a_mistyped_command_gets_the_list_of_commands(tmp_path: Path) -> None:
    command = ended(tmp_path, "rpcs", "nobody")
    assert command.code == 2
    assert set(MODULES.values()) <= command.modules


@pytest.mark.parametrize("words", [("ping", "nobody"), ("names",), ("ping",), ("--version",)])
def test_loaded_modules_are_exempt_from_garbage_collection(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    command = ended(tmp_path, *words)
    assert command.collections == 0
    assert command.frozen > 1000  # so the interpreter does not either, at its end


def test_a_shell_loads_what_traces_only_to_trace(tmp_path: Path) -> None:
    tracing = {"uds_dist.cli.trace", "uds_dist.etf.text", "decimal"}
    assert ended(tmp_path, "remote", "nobody").modules & tracing == set()
    assert tracing <= ended(tmp_path, "remote", "nobody", "--trace").modules


def test_a_call_loads_json_only_for_json(tmp_path: Path) -> None:
    json = {"uds_dist.cli.json_terms", "uds_dist.cli.json_text", "json"}
    words = ("nobody", "erlang", "node")
    assert ended(tmp_path, "rpc", *words).modules & json == set()
    assert json <= ended(tmp_path, "rpc", "--json", *words).modules


def test_a_start_compiles_few_texts(tmp_path: Path) -> None:
    # A dataclass compiles each of its methods from a text; a NamedTuple its constructor, and each
    # annotation that is a text. If there are too many: `Value` in etf/value.py writes a dataclass's
    # methods out, and a class with `__slots__` is enough for what is not used as a tuple.
    assert 0 < ended(tmp_path, "remote", "nobody").texts <= 100
