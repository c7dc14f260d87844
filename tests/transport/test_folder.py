"""The folder of a socket file: the log warns of what nodes with uds_dist 2.0 would refuse."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from uds_dist import ListenError
from uds_dist.transport.folder import make_folder, warn_of_folder


def warning_of(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_folder(str(folder))
    return caplog.text


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777, 0o1755, 0o2755])
def test_the_command_mends_the_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    folder.chmod(mode)
    text = warning_of(folder, caplog)
    assert f"its mode is {mode:04o}" in text
    subprocess.run(shlex.split(text.partition("run '")[2].rpartition("'")[0]), check=True)
    assert folder.stat().st_mode & 0o7777 == 0o755
    assert warning_of(folder, caplog) == ""


def test_a_link(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "real").mkdir(0o755)
    (tmp_path / "link").symlink_to("real")
    text = warning_of(tmp_path / "link", caplog)
    assert f"a symbolic link: run 'export UDS_DIST_DIR={tmp_path}/real'" in text
    assert warning_of(tmp_path / "real", caplog) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_an_owner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.chown(tmp_path, 4321, -1)
    tmp_path.chmod(0o755)
    text = warning_of(tmp_path, caplog)
    assert f"belongs to uid 4321 and they may run as uid 0: run 'chown 0 {tmp_path}'" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")
def test_the_commands_mend_every_flaw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    os.chown(real, 4321, -1)
    real.chmod(0o1733)
    link.symlink_to("real")
    text = warning_of(link, caplog)
    for flaw in ("a symbolic link and", "belongs to uid 4321", "its mode is 1733"):
        assert flaw in text
    script = text.partition("run '")[2].rpartition("'")[0] + " && printf %s $UDS_DIST_DIR"
    done = subprocess.run(["sh", "-ec", script], check=True, capture_output=True, text=True)
    assert done.stdout == str(real) and warning_of(real, caplog) == ""


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    error = f"socket_dir .*/no/run' cannot be used: No such file .*: first run 'mkdir -p {tmp_path}/no'"
    with pytest.raises(ListenError, match=error):
        make_folder(str(tmp_path / "no" / "run"))


def test_what_is_not_a_folder_gets_no_advice_on_its_mode(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nothing")
    assert warning_of(tmp_path / "file", caplog) == warning_of(tmp_path / "link", caplog) == ""
