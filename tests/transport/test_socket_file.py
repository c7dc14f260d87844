"""The socket file of a live node is removed or replaced: the node notices, logs and repairs it."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted import COOKIE
from uds_dist import Config, DuplicateNameError, EventLoop, ListenError, Node

TICK_TIME = 0.2
LOGGER = "uds_dist.transport.listener"


@pytest.fixture
def node(loop: EventLoop, folder: str) -> Iterator[Node]:
    """A node that listens, and checks its file every 50 ms."""
    os.chmod(folder, 0o755)
    config = Config(socket_dir=folder, tick_time=TICK_TIME)
    with Node("a@localhost", loop=loop, cookie=COOKIE, config=config) as made:
        made.listen()
        yield made


@pytest.fixture
def path(folder: str) -> Path:
    return Path(folder, "a.sock")


def test_a_removed_file_is_made_anew_within_a_tick_time(
    loop: EventLoop, node: Node, path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(str(path))  # waits in the backlog of the socket whose file goes
        path.unlink()
        start = loop.time()
        assert loop.run_until(path.exists, timeout=TICK_TIME)
        assert loop.time() - start < TICK_TIME
        assert "removed or replaced: making it again" in caplog.text
        with Node("b@localhost", cookie=COOKIE, socket_dir=folder, loop=loop) as b:
            assert b.ping("a@localhost")
        early.settimeout(1)
        early.sendall(b"\0\x02N!")  # nonsense: the node that has accepted it hangs up
        loop.run_until(lambda: False, timeout=0.02)
        assert early.recv(1) == b""
    node.close()
    assert not path.exists()


def test_a_program_that_has_left_a_deep_folder_makes_no_file_elsewhere(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir(mode=0o755)
    monkeypatch.chdir(deep)
    with Node("a@localhost", loop=loop, cookie=COOKIE, config=Config(socket_dir=".")) as node:
        node.listen()
        monkeypatch.chdir(tmp_path)
        node.listen()  # the file is still there
        (deep / "a.sock").unlink()
        with pytest.raises(ListenError, match="has left the folder .* shorter socket_dir"):
            node.listen()
        assert os.listdir(tmp_path) == [deep.name]
        monkeypatch.chdir(deep)
        node.listen()
        assert os.listdir(deep) == ["a.sock"]
        monkeypatch.chdir(tmp_path)
    assert os.listdir(deep) == []


def test_a_folder_that_was_removed_is_made_anew(
    loop: EventLoop, node: Node, path: Path, folder: str
) -> None:
    path.unlink()
    os.rmdir(folder)
    assert loop.run_until(path.exists, timeout=TICK_TIME)


def test_the_loop_does_not_wait_for_the_folder(
    loop: EventLoop, node: Node, path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    holder = os.open(folder, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    path.unlink()
    start = loop.time()
    assert loop.run_until(lambda: "is locked by" in caplog.text, timeout=TICK_TIME)
    assert loop.time() - start < TICK_TIME
    os.close(holder)
    assert loop.run_until(path.exists, timeout=TICK_TIME)


def test_listen_looks_at_the_file(node: Node, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = path.stat()
    node.listen()
    assert (path.stat().st_ino, path.stat().st_ctime) == (before.st_ino, before.st_ctime)
    assert caplog.text == ""
    path.unlink()
    node.listen()
    assert path.is_socket() and "making it again" in caplog.text


def test_another_that_has_the_name_now_is_named(
    loop: EventLoop, node: Node, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        who = f"a.sock (process {os.getpid()}, uid {os.geteuid()})"
        with pytest.raises(DuplicateNameError, match=who.replace("(", r"\(").replace(")", r"\)")):
            node.listen()
        with caplog.at_level(logging.ERROR, LOGGER):
            assert loop.run_until(lambda: bool(caplog.records), timeout=TICK_TIME)
            assert "nobody can dial this node" in caplog.text and who in caplog.text
            loop.run_until(lambda: False, timeout=TICK_TIME)
        assert len(caplog.records) == 1  # it is logged once
    # The other one is dead now, and has left its file.
    assert loop.run_until(lambda: "making it again" in caplog.text, timeout=TICK_TIME)


def test_a_closed_node_looks_no_more(loop: EventLoop, node: Node, path: Path) -> None:
    node.close()
    loop.run_once(0)
    assert loop.next_timeout() is None
    path.touch()
    node.close()
    assert path.exists()


def test_an_abstract_socket_has_no_file(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(socket_dir=f"@file-{os.getpid()}", tick_time=TICK_TIME)
    with Node("a@localhost", loop=loop, cookie=COOKIE, config=config) as made:
        made.listen()
        made.listen()
        loop.run_until(lambda: False, timeout=TICK_TIME)
    assert caplog.text == ""
