"""Command lines, and the node that they call."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from tests.cli.command_line import Cli, make_cli, running_node


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="uds_dist-")  # tmp_path may be too long for a socket
    os.chmod(folder, 0o755)  # every carrier accepts this mode
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def node(shared_folder: str) -> Iterator[subprocess.Popen[str]]:
    """The node py@localhost, for all tests that leave it intact."""
    with running_node(shared_folder, "py@localhost") as process:
        yield process


@pytest.fixture
def run(
    node: object,
    shared_folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """A command line in the folder where py@localhost listens."""
    return make_cli(shared_folder, monkeypatch, capsys)


@pytest.fixture
def run_alone(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """A command line in a folder of its own."""
    return make_cli(folder, monkeypatch, capsys)
