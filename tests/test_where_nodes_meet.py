"""Where nodes meet: folders, default places, environment variables and commands."""

from __future__ import annotations

import argparse
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from tests.conftest import MakeNode
from tests.readme_blocks import environment
from tests.scripted import COOKIE
from tests.transport.support import in_child
from uds_dist import Config, ConnectFailedError, EventLoop, Node, NotAllowedError
from uds_dist.cli.connected import living_nodes
from uds_dist.cli.main import main, make_parser

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
STRANGER = 54_321
NAME = f"meet-{os.getpid()}"
FULL = f"{NAME}@localhost"
SHARED = Path(f"/tmp/uds-dist-{NAME}.sock")


@contextmanager
def node(loop: EventLoop, name: str, listen: bool = True, **settings: object) -> Iterator[Node]:
    with Node(name, loop=loop, cookie=COOKIE, config=Config().replace(**settings)) as made:
        if listen:
            made.listen()
        yield made


def can_reach(loop: EventLoop, name: str = FULL, **settings: object) -> bool:
    with node(loop, "other@localhost", listen=False, **settings) as other:
        return other.ping(name, timeout=5)


def test_each_layout_by_its_default_place(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for layout, path in (
        ("uds_dist", tmp_path / f"{NAME}.sock"),
        ("uds_dist2", SHARED),
        ("erl_uds_dist", tmp_path / NAME),
    ):
        with node(loop, FULL, layout=layout):
            assert path.is_socket()
            # Without a folder, the first two are found; the third has no name in common with them.
            assert can_reach(loop, layout=layout)
            assert can_reach(loop) == can_reach(loop, layout="uds_dist2") == (path.suffix != "")
        assert not path.exists()


def test_the_working_folder_comes_first_and_a_dead_file_there_does_not_matter(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with node(loop, f"{NAME}@second", layout="uds_dist2"):
        with node(loop, f"{NAME}@first"):
            assert can_reach(loop, f"{NAME}@first") and not can_reach(loop, f"{NAME}@second")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{NAME}.sock")
        assert can_reach(loop, f"{NAME}@second")
    with node(loop, "other@localhost", listen=False) as other:
        with pytest.raises(ConnectFailedError, match=f"at {tmp_path}/{NAME}.sock: nobody listens"):
            other.connect(FULL).result(timeout=5)
        Path(f"{NAME}.sock").unlink()
        both = f"at {tmp_path}/{NAME}.sock or {SHARED}: there is no such socket"
        with pytest.raises(ConnectFailedError, match=both):
            other.connect(FULL).result(timeout=5)


@as_root
def test_a_stranger_at_the_common_place_receives_nothing(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as stranger:
        try:
            os.seteuid(STRANGER)
            try:
                stranger.bind(str(SHARED))
                stranger.listen()
            finally:
                os.seteuid(0)
            with node(loop, "other@localhost", listen=False) as other:
                error = other.connect(FULL).exception(timeout=5)
            assert isinstance(error, NotAllowedError) and f"uid {STRANGER}" in str(error)
            with stranger.accept()[0] as accepted:
                assert accepted.recv(1000) == b""
        finally:
            SHARED.unlink()


def test_a_relative_folder_is_resolved_when_the_node_is_made(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, path in (("run", tmp_path / "run"), (Path("run"), tmp_path / "run"), (None, tmp_path)):
        monkeypatch.chdir(tmp_path)
        with (
            node(loop, FULL, listen=False, socket_dir=folder) as listens,
            node(loop, "other@localhost", listen=False, socket_dir=folder) as dials,
        ):
            monkeypatch.chdir("/")
            listens.listen()
            assert (path / f"{NAME}.sock").is_socket()
            assert dials.ping(FULL, timeout=5)
        assert not (path / f"{NAME}.sock").exists()


def test_listen_warns_about_a_configured_folder(
    make_node: MakeNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o700)
    for number, layout in enumerate(("uds_dist", "uds_dist2", "erl_uds_dist")):
        caplog.clear()
        make_node(f"a{number}@localhost", socket_dir=tmp_path, layout=layout).close()
        assert ("refuse the socket_dir" in caplog.text) == (layout != "erl_uds_dist")


def test_the_variables(tmp_path: Path) -> None:
    both = {"UDS_DIST_DIR": "/two", "UDS_DIST_SOCKET_DIR": "/one"}
    assert Config.from_env(both).socket_dir == "/one"
    assert Config.from_env({**both, "UDS_DIST_SOCKET_DIR": ""}).socket_dir == "/two"
    assert Config.from_env({"UDS_DIST_DIR": ""}).socket_dir is None
    assert Config.from_env({"UDS_DIST_LAYOUT": "uds_dist2"}).layout == "uds_dist2"
    assert Config.from_env(both, socket_dir=tmp_path).socket_dir == str(tmp_path)


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of commands that are given no folder."""
    monkeypatch.setattr(os, "environ", environment())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_lists_both_places(
    loop: EventLoop, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with node(loop, FULL, layout="uds_dist2"), node(loop, "here@localhost"):
        assert main(["names", "--json"]) == 0
        found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
        assert found["here"]["socket"] == f"{bare}/here.sock"
        assert found[NAME] == {"name": NAME, "state": "alive", "socket": str(SHARED)}


def test_two_nodes_of_one_name(
    loop: EventLoop, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`names` lists both, first the one that commands dial; `--all` dials that one once."""
    with node(loop, FULL, layout="uds_dist2"), node(loop, FULL):
        assert main(["names", "--json"]) == 0
        found = [entry for entry in json.loads(capsys.readouterr().out) if entry["name"] == NAME]
        assert [entry["socket"] for entry in found] == [f"{bare}/{NAME}.sock", str(SHARED)]
        options = argparse.Namespace(socket_dir=None, layout=None, allow_user=None)
        assert living_nodes(options).count(NAME) == 1


def test_no_names(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDS_DIST_DIR", str(bare))
    assert main(["names"]) == 0
    assert capsys.readouterr().err == f"uds-dist: no node listens in {bare}\n"


@as_root
@pytest.mark.parametrize("words", [["names"], ["rpc", "--all", "erlang", "node"]])
def test_a_folder_that_may_not_be_listed(words: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="uds") as folder:
        os.chmod(folder, 0o1733)
        make_parser(words[0])  # loads the command: the stranger may not read this Python's files

        def run() -> tuple[int, str]:
            os.setuid(STRANGER)
            os.environ.update(UDS_DIST_DIR=folder, UDS_DIST_COOKIE=COOKIE)
            with redirect_stderr(StringIO()) as errors:
                return main(words), errors.getvalue()

        told = f"uds-dist: {folder}: Permission denied: this user may not list it, but can dial"
        assert str(in_child(run)).startswith(f"(2, '{told}")
