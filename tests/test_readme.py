"""Runs the README: its commands, its examples, its tables.

tests/interop/test_release.py builds a release from the blocks about it, and runs them there.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path

import pytest

from tests.readme_blocks import (
    README,
    ROOT,
    SOCKET_DIR,
    blocks,
    commands,
    environment,
    run_command_line,
)
from uds_dist import Atom, Config, Node
from uds_dist.cli import exit_codes
from uds_dist.config import ENVIRONMENT
from uds_dist.elixir import from_elixir, to_elixir
from uds_dist.transport.address import places

KINDS = {
    "sh",
    "sh install",
    "sh release",
    "text release",
    "elixir release",
    "ini release",
    "ini activation",
    "sh containers",
    "sh ssh",
    "python",
}

# Replaces the release: it has the functions that the README calls.
RELEASE = """
from datetime import datetime, timezone

from uds_dist import Atom, Config, GenServer, Node
from uds_dist.elixir import to_elixir

class Counter(GenServer):
    def handle_call(self, request, from_):
        return 42

with Node("myapp@localhost", config=Config.from_env()) as node:
    node.expose("erlang", {"node": lambda: node.name, "max": lambda a, b: b})
    node.expose("Elixir.Enum", {"sum": sum})
    node.expose("Elixir.String", {"upcase": lambda text: text.decode().upper()})
    node.expose("Elixir.URI", {"parse": lambda _: {Atom("__struct__"): Atom("Elixir.URI")}})
    node.expose("Elixir.DateTime", {"utc_now": lambda: to_elixir(datetime.now(timezone.utc))})
    node.serve("Elixir.MyApp.Counter", Counter())
    node.listen()
    print("ready", flush=True)
    node.loop.run_forever()
"""


@pytest.fixture
def environ(folder: str) -> dict[str, str]:
    return environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE="secret")


@contextmanager
def python(program: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program with this Python; end it if it does not exit by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def release(environ: dict[str, str]) -> Iterator[None]:
    with python(RELEASE, environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose header starts with a word, without the header."""
    rows = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert rows, heading
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[1].splitlines()]


def code(cell: str) -> str:
    """The text between backquotes in a cell; empty if there is none."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else ""


# --- commands -------------------------------------------------------------------------------------


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.kind for block in blocks()} == KINDS


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_every_goal_of_make_exists() -> None:
    goals = []
    for block in blocks("sh"):
        for words, _comment in commands(block.text):
            goals += words.split()[1:] if words.startswith("make ") else []
    assert {"demo", "test"} <= set(goals)
    for goal in goals:
        # Not "make test" itself: it runs this test.
        dry = [] if goal == "demo" else ["-n"]
        done = subprocess.run(
            ["make", *dry, goal, f"PYTHON={sys.executable}", f"TOOLS_PYTHON={sys.executable}"],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert dry or "SHA-256 equal" in done.stdout


def test_the_units_make_the_socket_that_the_program_listens_on() -> None:
    (block,) = blocks("ini activation")
    units = ConfigParser()
    units.optionxform = str  # type: ignore[assignment, method-assign]
    units.read_string(block.text)
    variable, folder = units["Service"]["Environment"].split("=")
    where = places(Config.from_env({variable: folder}))
    assert units["Socket"]["ListenStream"] == where.own.address("legacy").value
    assert units["Socket"]["SocketUser"] == units["Service"]["User"]
    assert_folder_stays(units)


def test_the_containers_share_a_folder_and_a_user() -> None:
    (block,) = blocks("sh containers")
    for words in (shlex.split(command) for command, _ in commands(block.text)):
        given = dict(zip(words, words[1:]))
        assert (words[:2], given["--user"]) == (["docker", "run"], "1000:1000")
        assert given["-v"] == f"{SOCKET_DIR}:{SOCKET_DIR}"
        assert given["-e"] == f"UDS_DIST_SOCKET_DIR={SOCKET_DIR}"


def test_the_install_commands_are_run_by_the_checks() -> None:
    (block,) = blocks("sh install")
    assert [words for words, _ in commands(block.text)] == [
        "pip install .",
        "UDS_DIST_MYPYC=1 pip install .",
    ]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "pip wheel" in script and 'uds-dist" --help' in script
    assert "UDS_DIST_MYPYC=1" in (ROOT / "Makefile").read_text("utf-8")


def assert_folder_stays(units: ConfigParser) -> None:
    """Each service makes the folder that all share, and none removes it."""
    assert f"/run/{units['Service']['RuntimeDirectory']}" == SOCKET_DIR
    assert units["Service"]["RuntimeDirectoryPreserve"] == "yes"


def test_systemd_makes_the_folder_that_the_release_looks_for() -> None:
    (unit,) = [block.text for block in blocks("ini release")]
    settings = ConfigParser()
    settings.read_string(unit)
    assert_folder_stays(settings)
    (script,) = [block.text for block in blocks("sh release")]
    assert f"UDS_DIST_SOCKET_DIR={SOCKET_DIR} " in script


def erl_flags(script: str, environ: dict[str, str]) -> str:
    """The settings of env.sh for every command of the release."""
    done = subprocess.run(
        ["sh", "-ec", script + 'printf %s "$ERL_AFLAGS"'],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(Path(SOCKET_DIR).exists(), reason=f"there is a {SOCKET_DIR}")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "home/myapp"),
        ({"XDG_RUNTIME_DIR": "runtime"}, "runtime/myapp"),
        ({"XDG_RUNTIME_DIR": "runtime", "UDS_DIST_SOCKET_DIR": "own folder"}, "own folder"),
    ],
)
def test_the_folder_that_a_release_chooses(
    folder: str, given: dict[str, str], expected: str
) -> None:
    (script,) = [block.text for block in blocks("sh release")]
    environ = {"PATH": os.environ["PATH"], "HOME": f"{folder}/home"}
    environ |= {name: f"{folder}/{value}" for name, value in given.items()}
    assert erl_flags(script, environ) == f"-uds_dist socket_dir '\"{folder}/{expected}\"' "
    assert Path(folder, expected).is_dir()


def test_a_release_makes_no_folder_for_abstract_sockets(tmp_path: Path) -> None:
    (script,) = [block.text for block in blocks("sh release")]
    environ = {"PATH": os.environ["PATH"], "UDS_DIST_SOCKET_DIR": "@myapp"}
    assert erl_flags(f"cd {tmp_path}\n{script}", environ) == "-uds_dist socket_dir '\"@myapp\"' "
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(release: None, folder: str, tmp_path: Path) -> None:
    run_command_line(folder, tmp_path)


# --- examples -------------------------------------------------------------------------------------


def test_the_legacy_loop(environ: dict[str, str], folder: str) -> None:
    program = next(block.text for block in blocks("python") if "run_once" in block.text)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    config = Config.from_env(environ)
    with python(program, environ) as legacy, Node("test@localhost", config=config) as node:
        while not node.ping("legacy@localhost") and legacy.poll() is None:
            node.loop.run_once(0.01)
        done = node.rpc("legacy@localhost", "legacy", "jobs_done").result(10)
        assert isinstance(done, int) and done > 0
        node.send(("commands", "legacy@localhost"), Atom("go"))
        node.send(("commands", "legacy@localhost"), Atom("stop"))
        node.flush(10)
        assert legacy.communicate(timeout=10) == ("", "")
        assert legacy.returncode == 0
    assert list(Path(folder).iterdir()) == []


def test_calls_into_a_release_and_from_it(release: None, environ: dict[str, str]) -> None:
    program = next(block.text for block in blocks("python") if "GenServer" in block.text)
    # The example ends at once; here it continues.
    ending = '    print("ready", flush=True)\n    node.loop.run_forever()\n'
    config = Config.from_env(environ)
    with python(program + ending, environ) as shop, Node("test@localhost", config=config) as node:
        assert shop.stdout is not None
        assert shop.stdout.readline() == "the counter stands at 42\n"
        assert shop.stdout.readline() == "ready\n"
        server = ("cart", "shop@localhost")
        assert node.call(server, (Atom("add"), "apple")).result(10) == "ok"
        assert node.call(server, Atom("items")).result(10) == [b"apple"]


def test_values_at_home(release: None, environ: dict[str, str]) -> None:
    program = next(block.text for block in blocks("python") if "to_elixir" in block.text)
    ending = '    print("ready", flush=True)\n    node.loop.run_forever()\n'
    config = Config.from_env(environ, text=True, default=to_elixir, object_hook=from_elixir)
    with python(program + ending, environ) as shop, Node("test@localhost", config=config) as node:
        assert shop.stdout is not None
        assert shop.stdout.readline().startswith("True ")
        assert shop.stdout.readline() == "ready\n"

        def call(request: object) -> object:
            return node.call(("shop", "values@localhost"), request).result(10)

        assert call(Atom("stock")) == {"apples": 7}
        assert call("stock") == "stock is an atom"
        assert call((Atom("greet"), "ann")) == "hello ann"
        assert call((Atom("user"), "ann", 7)) == ["ann", 7]
        due = to_elixir(date(2024, 2, 28))
        order = {Atom("__struct__"): Atom("Elixir.MyApp.Order"), Atom("number"): 1, Atom("due"): due}
        assert call(order) == date(2024, 2, 29)


def test_the_prompt_and_the_stack_of_a_program_that_hangs(environ: dict[str, str]) -> None:
    prompt, hangs = (
        next(block.text for block in blocks("python") if word in block.text)
        for word in ("serve_console", "faulthandler")
    )
    with python(f"{hangs}\n{prompt}", environ) as legacy:
        words = [sys.executable, "-m", "uds_dist", "eval", "--python", "legacy", "version"]
        code, printed = 3, ""
        while code == 3 and legacy.poll() is None:  # until it listens
            done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
            code, printed = done.returncode, done.stdout
        assert (code, printed) == (0, "'1.2'\n")
        legacy.send_signal(signal.SIGUSR1)
        assert legacy.stderr is not None
        lines = [legacy.stderr.readline() for _ in range(2)]
        assert lines[0].startswith("Current thread") and "File" in lines[1]
        legacy.kill()


# --- tables ---------------------------------------------------------------------------------------


def test_the_settings_table() -> None:
    rows = table("Setting")
    assert [code(row[0]) for row in rows] == [field.name for field in fields(Config)]
    variables = {name: variable for variable, name in ENVIRONMENT.items()}
    for name, default, variable, meaning in rows:
        shown = code(default)
        assert eval(shown) == getattr(Config(), code(name)), name
        assert code(variable) == variables.get(code(name), "")
        assert meaning


def test_the_exit_codes_are_those_of_the_help() -> None:
    rows = [(number, meaning.replace("`", "")) for number, meaning in table("Code")]
    assert rows == re.findall(r"^  (\d+) +(.+)$", exit_codes.EPILOG, re.MULTILINE)
    names = "OK RAISED USAGE UNREACHABLE COOKIE TIMEOUT INTERRUPTED OUTPUT_LOST TERMINATED"
    numbers = [getattr(exit_codes, name) for name in names.split()]
    assert [int(number) for number, _meaning in rows] == numbers


def test_the_symptoms_are_messages_of_the_program() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "uds_dist").rglob("*.py"))
    # Texts that continue on the next line.
    joined = re.sub(r'"\s*\n\s*f?"', "", sources) + "Permission denied"
    messages = [code(symptom) for symptom, _cause in table("Symptom")]
    assert len([message for message in messages if message]) > 10
    for message in filter(None, messages):
        assert message in joined


def test_every_link_has_a_target() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_no_line_of_prose_is_too_long() -> None:
    assert [
        line for line in README.splitlines() if len(line) > 100 and not line.startswith("|")
    ] == []
