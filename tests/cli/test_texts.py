"""The version, the help, the manual page, and the scripts that complete words in a shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from uds_dist import __version__
from uds_dist.cli import main as cli

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ("names", "ping", "rpc", "eval", "call", "cast", "send", "listen", "remote", "demo", "completion", "help")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"uds-dist {__version__}\n"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    whole = printed(capsys, "help")
    for name in COMMANDS:
        assert re.search(rf"^ +{name}\b", whole, re.MULTILINE)
        assert f"uds-dist {name}" in printed(capsys, "help", name)
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "nosuch"])
    assert ended.value.code == 2 and "there is no command nosuch" in capsys.readouterr().err


def test_the_manual_page_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(capsys, "help", "man")
    for name in COMMANDS:
        assert f'.SH "{name.upper()}"' in page
    assert "exit codes:" in page
    if shutil.which("man") is None:
        return  # no program here can render it
    done = subprocess.run(
        ["man", "--warnings", "-l", "-"], input=page, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_in_bash(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "completion", "bash")
    ask = f"""{script}
        uds-dist() {{ echo "myapp  alive  /x"; }}
        complete_words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _uds_dist; echo "${{COMPREPLY[*]}}"; }}
        complete_words uds-dist re
        complete_words uds-dist remote --no
        complete_words uds-dist ping my
    """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["remote", "--no-dot-iex", "myapp"]


def test_completion_in_zsh(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "completion", "zsh")
    assert "words_of=(names ping rpc" in script
    if shutil.which("zsh") is not None:
        subprocess.run(["zsh", "-n", "-c", script], check=True)
