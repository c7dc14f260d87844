"""How long a file, a class and a function of the package may be.

One room has one idea: what outgrows these limits has two. The loops of the codec are one function
each on purpose, since a call for each element would cost more than reading it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_architecture import PACKAGE, ROOT, project

MOST_LINES_OF_A_FILE = 600
MOST_LINES_OF_A_CLASS = 400
MOST_LINES_OF_A_FUNCTION = 60

CODEC_FILES = {"etf/reader.py", "etf/writer.py"}
CODEC_LOOPS = {
    "etf/reader.py: read_term",
    "etf/writer.py: write_term",
    "etf/decode.py: _read",
    "etf/encode.py: _write",
}
# Longer since before there were limits; none is added.
OLDER = {
    "elixir.py: 615 lines",
    "services/gen.py: start_multi_call, 61 lines",
    "services/server.py: Runner, 510 lines",
    "shell/io_server.py: IoServer, 418 lines",
}


def too_long(root: Path) -> list[str]:
    """Files, classes and functions that are too long: a class from its first line to its last."""
    faults = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        name = path.relative_to(root / PACKAGE).as_posix()
        source = path.read_text("utf-8")
        lines = len(source.splitlines())
        if lines > MOST_LINES_OF_A_FILE and name not in CODEC_FILES:
            faults.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(source, str(path))):
            if isinstance(node, ast.ClassDef):
                most = MOST_LINES_OF_A_CLASS
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                most = MOST_LINES_OF_A_FUNCTION
            else:
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > most and f"{name}: {node.name}" not in CODEC_LOOPS:
                faults.append(f"{name}: {node.name}, {lines} lines")
    return faults


def test_nothing_is_too_long() -> None:
    assert set(too_long(ROOT)) <= OLDER


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"node": "\n" * 601}, "node.py: 601 lines"),
        ({"node": "class Node:" + "\n    x = 1" * 400}, "node.py: Node, 401 lines"),
        ({"node": "def f():" + "\n    g()" * 60}, "node.py: f, 61 lines"),
        ({"node": "class Node:\n    def f():" + "\n        g()" * 60}, "node.py: f, 61 lines"),
    ],
)
def test_what_is_too_long_is_found(tmp_path: Path, sources: dict[str, str], fault: str) -> None:
    assert too_long(project(tmp_path, **sources)) == [fault]


def test_what_is_as_long_as_it_may_be_is_no_fault(tmp_path: Path) -> None:
    project(
        tmp_path,
        node="class Node:" + "\n    x = 1" * 399 + "\ndef f():" + "\n    g()" * 59 + "\n" * 140,
        etf__writer="\n" * 700,
    )
    assert too_long(tmp_path) == []
