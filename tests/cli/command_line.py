"""Command lines for tests: in this process and in another one, and a node that they call."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from uds_dist.cli import main as cli
from uds_dist.config import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
COOKIE = "secret"
# A node with a few functions to call. It prints "ready", and the text given to py:never.
NODE = """
import os, sys
from uds_dist import Config, EventLoop, Exit, Future, Node, Throw

def never(*said):
    for words in said:
        print(words.decode(), flush=True)
    return Future(loop)

def throw(term):
    raise Throw(term)

def leave(reason):
    raise Exit(reason)

def inspect(term, options):
    if term == "boom":
        raise Throw(term)
    return "#User<grün>"

config = Config.from_env(cookie=sys.argv[2])
with EventLoop() as loop, Node(sys.argv[1], loop=loop, config=config) as node:
    node.expose("py", {
        "echo": lambda term: term,
        "all": lambda *terms: list(terms),
        "bytes": bytes,
        "never": never,
        "throw": throw,
        "leave": leave,
        "divide": lambda a, b: a // b,
        "die": lambda: os._exit(0),
    })
    node.expose("Elixir.Demo.Math", {"add": lambda a, b: a + b})
    if sys.argv[3:]:
        node.expose("Elixir.Kernel", {"inspect": inspect})
    node.listen()
    print("ready", flush=True)
    loop.run_forever()
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


def environment(folder: str, **more: str) -> dict[str, str]:
    """This process's environment, with a socket folder and a cookie and no other setting."""
    settings = {*ENVIRONMENT, "RELEASE_COOKIE"}
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "UDS_DIST_SOCKET_DIR": folder,
        "UDS_DIST_COOKIE": COOKIE,
        **more,
    }


@contextmanager
def running_node(
    folder: str, name: str, cookie: str = COOKIE, has_elixir: bool = False
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, name, cookie, *["elixir"] * has_elixir],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Cli:
    """Runs commands in this process, with the environment of `environment`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Result:
        self._capsys.readouterr()
        try:
            code = cli.main(words)
        except SystemExit as exit_:  # argparse exits this way
            assert isinstance(exit_.code, int)
            code = exit_.code
        out, err = self._capsys.readouterr()
        error, _, hint = err.partition("\nhint: ")
        assert error.count("\n") <= 1 and hint.count("\n") <= 1 and "Traceback" not in err, err
        assert code == 0 or err.startswith("uds-dist: "), err
        return Result(code, out, err)


def make_cli(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RELEASE_COOKIE", raising=False)
    return Cli(capsys)
