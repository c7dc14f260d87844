"""Limits on the size of files, classes, functions and rooms, to keep the package readable.

An exception has a reason here; an exception that is no longer needed is a fault too.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import PACKAGE, ROOT, module_files, project

MAX_FILE = 600
MAX_CLASS = 400
MAX_FUNCTION = 60
MAX_SHARE = 0.20  # of one room in all lines of the package

LOOP = "one loop over the terms of a message: a call for each would cost more than all the rest"
# What exceeds these limits, and why.
REASONS = {
    "uds_dist.etf.writer": LOOP,
    "uds_dist.etf.reader.read_term": LOOP,
    "uds_dist.etf.writer.write_term": LOOP,
    "uds_dist.etf.decode._read": LOOP,
    "uds_dist.etf.encode._write": LOOP,
}


def large(root: Path) -> Iterator[tuple[str, str]]:
    """Whatever exceeds a limit: its dotted name, and a complaint."""
    for module, path in module_files(root).items():
        source = path.read_text("utf-8")
        lines = len(source.splitlines())
        if lines > MAX_FILE:
            yield module, f"{module} has {lines} lines, more than {MAX_FILE}"
        yield from _large_parts(ast.parse(source, str(path)), module)


def _large_parts(tree: ast.AST, where: str) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(tree):
        name = where
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{where}.{node.name}"
            most = MAX_CLASS if isinstance(node, ast.ClassDef) else MAX_FUNCTION
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > most:
                yield name, f"{name} has {lines} lines, more than {most}"
        yield from _large_parts(node, name)


def size_faults(root: Path, reasons: dict[str, str]) -> list[str]:
    """Complaints about parts that are too large without a reason, and about needless reasons."""
    found = dict(large(root))
    faults = [fault for name, fault in found.items() if name not in reasons]
    return faults + [f"{name} is not too large" for name in reasons if name not in found]


def long_tests(root: Path) -> list[str]:
    """Test files that are too long: they hold more than one idea."""
    return [
        f"{path.relative_to(root)} has {lines} lines, more than {MAX_FILE}"
        for path in sorted((root / "tests").rglob("*.py"))
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_FILE
    ]


def share_faults(root: Path) -> list[str]:
    """Rooms with too large a share of the package; its top-level files are one room."""
    rooms: Counter[str] = Counter()
    for path in module_files(root).values():
        parts = path.relative_to(root / PACKAGE).parts
        rooms[parts[0] if len(parts) > 1 else ""] += len(path.read_text("utf-8").splitlines())
    return [
        f"{room or PACKAGE} holds {lines} of {rooms.total()} lines"
        for room, lines in rooms.items()
        if lines > MAX_SHARE * rooms.total()
    ]


def test_nothing_is_too_large_without_a_reason() -> None:
    assert size_faults(ROOT, REASONS) == []


def test_no_test_file_is_too_long() -> None:
    assert long_tests(ROOT) == []


def test_no_room_holds_a_fifth_of_the_package() -> None:
    assert share_faults(ROOT) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("x = 1\n" * 601, "uds_dist.etf.decode has 601 lines, more than 600"),
        ("x = 1\n" * 600, None),
        ("class A:\n" + "    x = 1\n" * 400, "uds_dist.etf.decode.A has 401 lines, more than 400"),
        ("class A:\n" + "    x = 1\n" * 399, None),
        ("def f():\n" + "    x = 1\n" * 60, "uds_dist.etf.decode.f has 61 lines, more than 60"),
        ("def f():\n" + "    x = 1\n" * 59, None),
        (
            "class A:\n    if x:\n        async def f():\n" + "            y\n" * 60,
            "uds_dist.etf.decode.A.f has 61 lines, more than 60",
        ),
    ],
)
def test_what_is_too_large_is_found(tmp_path: Path, source: str, fault: str | None) -> None:
    project(tmp_path, etf__decode=source)
    assert size_faults(tmp_path, {}) == ([] if fault is None else [fault])


def test_a_long_test_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "tests" / "etf" / "test_decode.py"
    path.parent.mkdir(parents=True)
    path.write_text("x = 1\n" * 600)
    assert long_tests(tmp_path) == []
    path.write_text("x = 1\n" * 601)
    assert long_tests(tmp_path) == ["tests/etf/test_decode.py has 601 lines, more than 600"]


def test_a_reason_that_is_not_needed_is_found(tmp_path: Path) -> None:
    project(tmp_path, etf__decode="def f():\n" + "    x = 1\n" * 60)
    reasons = {"uds_dist.etf.decode.f": "it is long", "uds_dist.etf.decode.g": "it was long"}
    assert size_faults(tmp_path, reasons) == ["uds_dist.etf.decode.g is not too large"]


def test_a_large_room_is_found(tmp_path: Path) -> None:
    rooms = {f"{room}__a": "x\n" * 20 for room in ("etf", "protocol", "transport", "shell", "cli")}
    assert share_faults(project(tmp_path, **rooms)) == []
    project(tmp_path, etf__b="x\n")
    assert share_faults(tmp_path) == ["etf holds 21 of 101 lines"]
