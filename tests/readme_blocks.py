"""The README's fenced blocks, and a runner for its command lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from uds_dist.config import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
# The socket folder of the README's release.
SOCKET_DIR = "/run/myapp"

_FENCE = re.compile(r"^```(.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A comment after a command: its output or its purpose.
_COMMENT = re.compile(r"\s{2,}# (.*)$")


class Block(NamedTuple):
    """A fenced block; ``kind`` is its info string: a language, perhaps with a mark."""

    kind: str
    text: str


class Command(NamedTuple):
    """One command line and the comment after it."""

    words: str
    comment: str


def blocks(kind: str | None = None) -> list[Block]:
    """All blocks of the README in order, or only those of one kind."""
    found = [Block(kind, text) for kind, text in _FENCE.findall(README)]
    return found if kind is None else [block for block in found if block.kind == kind]


def commands(text: str) -> list[Command]:
    """The command lines of a shell block."""
    found = []
    for line in text.splitlines():
        comment = _COMMENT.search(line)
        found.append(Command(_COMMENT.sub("", line), comment[1] if comment else ""))
    return found


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the settings of uds_dist."""
    settings = {*ENVIRONMENT, "RELEASE_COOKIE", "MAKEFLAGS", "MAKELEVEL"}
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **more}


def run_command_line(socket_dir: str, tools: Path) -> None:
    """Run the block about the command line where myapp@localhost listens in `socket_dir`.

    Args:
        socket_dir: replaces the README's folder.
        tools: a folder of the caller, for the command `uds-dist`.
    """
    program = tools / "uds-dist"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uds_dist "$@"\n')
    program.chmod(0o755)
    environ = environment()
    environ["PATH"] = f"{tools}:{environ['PATH']}"
    (block,) = [block for block in blocks("sh") if "uds-dist" in block.text]
    ran = 0
    for words, comment in commands(block.text.replace(SOCKET_DIR, socket_dir)):
        if words.startswith("export "):
            name, _, value = words.removeprefix("export ").partition("=")
            environ[name] = value
            continue
        assert words.startswith("uds-dist "), words
        done = subprocess.run(
            ["sh", "-c", words], env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        if words.startswith(("uds-dist ping", "uds-dist rpc myapp")):
            # The comment is the output; "..." in it matches anything.
            pattern = ".*".join(map(re.escape, comment.split("...")))
            assert re.fullmatch(pattern, done.stdout.strip()), (words, done.stdout)
        elif words == "uds-dist names":
            assert "myapp  alive" in done.stdout
        ran += 1
    assert ran > 5
