"""The line after an error, for common mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.command_line import environment
from uds_dist.cli import hints
from uds_dist.cli import main as cli


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a node, and an environment without a socket folder."""
    kept = environment("")
    del kept["UDS_DIST_SOCKET_DIR"]
    monkeypatch.setattr(os, "environ", kept)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    try:
        code = cli.main(words)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        code = ended.code
    return code, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (["lists"], "required: FUNCTION (see uds-dist rpc", hints.NO_FUNCTION),
        (["Enum.sum([1,2])"], "'Enum.sum([1,2])' is not the name of a module", hints.NOT_A_MODULE),
        (["Enum.sum([1, 2])", "--json"], "is not the name of a module", hints.NOT_A_MODULE),
        (["Enum.sum", "[1,2]"], "'Enum.sum' is not", hints.NOT_A_MODULE),
        ([":lists.sum", "[1,2]"], "':lists.sum' is not", hints.NOT_A_MODULE),
        (["lists:sum([1,2])."], "'lists:sum([1,2]).' is not", hints.NOT_A_MODULE),
        (["lists:sum", "[1,2]"], "'lists:sum' is not", hints.NOT_A_MODULE),
        (["node()"], "'node()' is not", hints.NOT_A_MODULE),
        (["lists", "sum([1,2])"], "'sum([1,2])' is not the name of a fun", hints.NOT_A_FUNCTION),
        (["lists", "sum/1", "[1,2]"], "'sum/1' is not the name of a fun", hints.NOT_A_FUNCTION),
    ],
)
def test_words_that_must_be_separate(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str, hint: str
) -> None:
    code, lines = run(capsys, "rpc", "myapp", *words)
    assert code == 2 and len(lines) == 2
    assert lines[0].startswith("uds-dist: ") and told in lines[0]
    assert lines[1] == f"hint: {hint}"


@pytest.mark.parametrize(
    "module", ["lists", ":lists", "Enum", "MyApp.Repo", "my_app", "'a(b)'", "'A.b'"]
)
@pytest.mark.parametrize(
    "function", ["sum", "valid?", "new!", "+", "/", "=:=", "'f(1)'", "'-f/1-fun-0-'"]
)
def test_names_that_are_accepted(
    bare: Path, capsys: pytest.CaptureFixture[str], module: str, function: str
) -> None:
    code, lines = run(capsys, "rpc", "myapp", module, function)
    assert code == 3 and "cannot connect" in lines[0]


@pytest.mark.parametrize(
    "words", [["ping", "no_such"], ["rpc", "no_such", "m", "f"], ["names"], ["rpc", "a,b", "m", "f"],
              ["eval", "--all", "1"], ["remote", "no_such"], ["probe", "no_such"], ["top", "no_such"]]
)  # fmt: skip
def test_no_folder_is_configured(
    bare: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    _, lines = run(capsys, *words)
    # The places, once for each node; then the hint, once.
    assert all(str(bare) in line or " . " in line for line in lines[:-1]), lines
    assert all("/tmp/uds-dist-" in line for line in lines[:-1] if words[0] != "probe")
    assert lines[-1] == f"hint: {hints.NO_FOLDER}"


def test_a_folder_is_configured(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(run(capsys, "ping", "no_such", "--socket-dir", str(bare))[1]) == 1
    assert len(run(capsys, "names", "--socket-dir", str(bare))[1]) == 1
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", str(bare))
    assert len(run(capsys, "ping", "no_such")[1]) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<<"grün">>', '"grün"'),
        ('{a, [<<1, "grün">>]}', '"grün"'),
        ('<<"a"/utf8, "ü">>', '"ü"'),
        ('<<"ü":8>>', '"ü"'),
        ('<<<<"x">>/binary, "ü">>', '"ü"'),
        ('#{<<"größe">> => 1}', '"größe"'),
        ('<<"gr\\"ün">>', '"gr\\"ün"'),
        ('<<"grün"/utf8>>', ""),
        ('<<"grün" / utf8 >>', ""),
        ('<<"grün":1/big-utf16>>', ""),
        ('"grün"', ""),
        ('~"grün"', ""),
        ('{<<"x">>, "grün"}', ""),
        ('<<"x">> % "ü"', ""),
        ("'<<' \"ü\"", ""),
        ('$" <<"a">> "ü"', ""),
        ("<<>>", ""),
    ],
)
def test_binaries_in_latin1(text: str, found: str) -> None:
    assert hints.latin1_string(text) == found
