"""What a command does not wait for: the other commands, and the interpreter's last collections."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
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

@atexit.register
def report():
    print((sorted(sys.modules), gc.get_freeze_count()))

from uds_dist.__main__ import run
sys.exit(run())
"""
# The standard library's that only some commands use, and that take a millisecond or more.
HEAVY = {"tempfile", "shutil", "lzma", "subprocess", "asyncio", "readline", "rlcompleter", "unicodedata"}


def left_by(folder: Path, *words: str) -> tuple[int, set[str], int]:
    """The exit code of a command, the modules that it has loaded, and how many objects it froze."""
    argv = ["uds-dist", *words]
    # Isolated and without site: what an installation imports at its start is not ours.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROGRAM.format(where=WHERE, argv=argv)],
        env={**os.environ, "UDS_DIST_SOCKET_DIR": str(folder), "UDS_DIST_COOKIE": "secret"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    modules, frozen = ast.literal_eval(done.stdout.splitlines()[-1])
    return done.returncode, set(modules), frozen


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
    code, modules, _ = left_by(tmp_path, *words)
    assert code == (3 if "nobody" in words else 0)
    needed = {MODULES[words[0]]}
    if words[0] == "call":
        needed.add(MODULES["rpc"])  # they read terms and show answers alike
    assert modules & set(MODULES.values()) == needed
    assert [name for name in modules if name.startswith("uds_dist.shell")] == []
    assert modules & HEAVY == set()


def test_a_mistyped_command_connects_to_nothing(tmp_path: Path) -> None:
    code, modules, _ = left_by(tmp_path, "rpcs", "nobody")
    assert code == 2
    assert set(MODULES.values()) <= modules  # the answer names every command


@pytest.mark.parametrize("words", [("names",), ("ping",), ("--version",)])
def test_what_was_loaded_is_not_searched_for_garbage_at_the_end(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert left_by(tmp_path, *words)[2] > 1000
