"""Phrases that must not occur in docstrings, comments, messages and pages.

Each is a habit that makes a sentence read as translated. The patterns allow correct uses, such as
"there is no", "is no longer" and "is no more than".
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "uds_dist"
PAGES = ("README.md", "CHANGELOG.md")

# The habit, and what to write instead.
HABITS = {
    r"(?<!there )\b(is|are) no (?!longer\b|more\b|less\b|fewer\b)": "is not a valid ...",
    r"\bso many\b": "this many",
    r"\bgoes before\b": "precedes",
    r"\bit wants\b": "must be, needs",
    r"(?<!timer )\bis due\b": "expected ..., found ...",
    r"\bwants to be\b": "must be",
    r"\b(is|are) wanted\b": "needs",
    r"\b(is|are) asked of\b": "must",
    r"\bwhoever\b": "a peer that, anyone who",
    r"(?:^|[.:;] )Who (?:is|has|looks|waits|wants|says|asks)\b(?![^.]*\?)": "a peer that ...",
    r"\bto be had\b": "available",
    r"\bfor want of\b": "without",
    r"\bin the midst of\b": "in the middle of",
    r"\ball the same\b": "anyway, still",
    r"\bat its word\b": "trusts",
    r"\b(thereby|therein|thereof|therewith|hereby|wherein|whereof|whence|thence|hitherto)\b": "so",
    r"\b(falls?|fell|fallen) silent\b": "goes silent, went silent",
    r"\bbehind the (term|message|binary|list)\b": "after the ...",
    r"\bby way of\b": "through",
    r"\bin vain\b": "without success",
}


def habits(text: str) -> list[str]:
    """The habits in `text`, with what to write instead."""
    plain = " ".join(text.split())
    return [
        f"{found.group().strip()!r} in {plain[max(found.start() - 40, 0) : found.end() + 40]!r}:"
        f" write {better!r}"
        for pattern, better in HABITS.items()
        for found in re.finditer(pattern, plain, re.IGNORECASE)
    ]


def prose(source: str) -> Iterator[tuple[int, str]]:
    """The strings and comments of a module; consecutive comment lines are one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(_piece(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    start, last, words = 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield start, words
                start, words = token.start[0], ""
            last, words = token.start[0], f"{words} {token.string.lstrip('#')}"
    yield start, words


def _piece(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "{}"


def module_faults(root: Path) -> list[str]:
    """Every habit in the modules below `root`."""
    return [
        f"{path.relative_to(root)}:{line}: {fault}"
        for path in sorted(root.rglob("*.py"))
        for line, text in prose(path.read_text("utf-8"))
        for fault in habits(text)
    ]


def page_faults(page: Path) -> list[str]:
    """Every habit in a page; a sentence may continue on the next line."""
    return [f"{page.name}: {fault}" for fault in habits(page.read_text("utf-8"))]


def test_the_package_is_in_plain_english() -> None:
    assert module_faults(PACKAGE) == []


def test_the_tests_are_in_plain_english() -> None:
    here = Path(__file__).name  # it quotes the habits
    assert [fault for fault in module_faults(ROOT / "tests") if not fault.startswith(here)] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_in_plain_english(name: str) -> None:
    assert page_faults(ROOT / name) == []


@pytest.mark.parametrize(
    "text",
    [
        "'x' is no node name",
        "The names\n    are no atoms.",
        "so many bytes",
        "the header goes before it",
        "it wants a number",
        "an arity is due, here is tag 104",
        "a room that wants to be two",
        "a number is wanted",
        "Nothing. Who waits for a reply: the caller",
        "It can run whoever calls.",
    ],
)
def test_a_habit_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.md").write_text(text)
    assert len(page_faults(tmp_path / "page.md")) == 1
    comment = "".join(f"# {line}\n" for line in text.splitlines())
    for source in (f'"""{text}"""', f"raise E(f'''{{x}}: {text}''')", comment):
        (tmp_path / "module.py").write_text(source)
        assert module_faults(tmp_path) != [], source


@pytest.mark.parametrize(
    "text", ["there is no node", "There are no more", "it is no longer open", "is now open"]
)
def test_right_english_is_not(text: str) -> None:
    assert habits(text) == []
