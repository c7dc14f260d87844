"""Where a node's socket is, and what is found there."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from uds_dist import AddressError, Config, NodeNameError
from uds_dist.transport import address as module
from uds_dist.transport.address import (
    ABSTRACT_LIMIT,
    ALIVE,
    DENIED,
    NO_SOCKET,
    PATH_LIMIT,
    STALE,
    SocketAddress,
    listening_names,
    probe,
    socket_address,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"socket_dir": "/run/app"}, "/run/app/a.sock"),
        ({"socket_dir": "."}, "./a.sock"),
        ({"socket_dir": "/run/app", "layout": "erl_uds_dist"}, "/run/app/a"),
    ],
)
def test_the_path_is_made_of_the_folder_and_the_part_before_the_at(
    settings: dict[str, str], path: str
) -> None:
    config = Config().replace(**settings)
    for name in ("a@localhost", "a@elsewhere", "a"):
        address = socket_address(name, config)
        assert (address.value, address.abstract, str(address)) == (path, False, path)


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    for name in ("../x@h", "x/../../y@h", "/etc/x@h", "/etc/x", "a b"):
        with pytest.raises(NodeNameError):
            socket_address(name, Config(socket_dir=str(tmp_path)))


@on_linux
@pytest.mark.parametrize(
    ("folder", "value", "text"),
    [("@run/app", "\0run/app/a", "@run/app/a"), ("@", "\0a", "@a")],
)
def test_abstract_names(folder: str, value: str, text: str) -> None:
    for layout in ("uds_dist", "erl_uds_dist"):
        address = socket_address("a@localhost", Config(socket_dir=folder, layout=layout))
        assert (address.value, address.abstract, str(address)) == (value, True, text)


@pytest.fixture
def no_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every way to the system fail."""

    def refuse(*_args: object) -> None:
        raise AssertionError("a system call was made")

    monkeypatch.setattr(module, "socket", SimpleNamespace(socket=refuse))
    for name in ("stat", "lstat", "listdir", "open"):
        monkeypatch.setattr(os, name, refuse)


def test_a_path_too_long_is_refused_before_any_system_call(no_system_calls: None) -> None:
    fits = "/" + "d" * (PATH_LIMIT - len("//a.sock"))
    assert len(socket_address("a@h", Config(socket_dir=fits)).value) == PATH_LIMIT
    with pytest.raises(AddressError, match=f"{PATH_LIMIT + 1} bytes .* shorter socket_dir"):
        socket_address("a@h", Config(socket_dir=fits + "d"))
    # Bytes count, not characters.
    with pytest.raises(AddressError):
        socket_address("a@h", Config(socket_dir=fits[:-1] + "ä"))


@on_linux
def test_an_abstract_name_too_long_is_refused_before_any_system_call(
    no_system_calls: None,
) -> None:
    fits = "@" + "d" * (ABSTRACT_LIMIT - len("\0/a"))
    assert len(socket_address("a@h", Config(socket_dir=fits)).value) == ABSTRACT_LIMIT
    with pytest.raises(AddressError, match=f"{ABSTRACT_LIMIT + 1} bytes"):
        socket_address("a@h", Config(socket_dir=fits + "d"))


def test_the_longest_addresses_can_be_bound(tmp_path: Path) -> None:
    folder = str(tmp_path) + "/" + "d" * (PATH_LIMIT - len(str(tmp_path)) - len("//a.sock"))
    os.mkdir(folder)
    addresses = [socket_address("a@h", Config(socket_dir=folder))]
    if sys.platform == "linux":
        abstract = "@" + "d" * (ABSTRACT_LIMIT - len("\0/a"))
        addresses.append(socket_address("a@h", Config(socket_dir=abstract)))
    for address in addresses:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address.value)
            listener.listen()
            assert probe(address) == ALIVE


def test_abstract_sockets_off_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="darwin"))
    config = Config(socket_dir="@app")
    with pytest.raises(AddressError, match="Linux only: give a folder"):
        socket_address("a@localhost", config)
    with pytest.raises(AddressError, match="Linux only"):
        listening_names(config)
    assert not socket_address("a@localhost", Config(socket_dir="app")).abstract


# --- what is there --------------------------------------------------------------------------------


def listener_at(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    return listener


def address_of(path: Path) -> SocketAddress:
    return SocketAddress(str(path), False)


def test_probe_tells_live_from_stale_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    assert probe(address_of(path)) == NO_SOCKET
    assert probe(address_of(tmp_path / "no" / "folder")) == NO_SOCKET
    with listener_at(str(path)):
        assert probe(address_of(path)) == ALIVE
    assert probe(address_of(path)) == STALE
    (tmp_path / "link").symlink_to(path)
    assert probe(address_of(tmp_path / "link")) == STALE


def test_probe_of_a_full_backlog_is_alive(tmp_path: Path) -> None:
    with listener_at(str(tmp_path / "a")):
        callers = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(str(tmp_path / "a"))
        assert probe(address_of(tmp_path / "a")) == ALIVE
        for caller in callers:
            caller.close()


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "link to a file", "link to nothing"])
def test_probe_of_what_is_no_socket(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    if what == "file":
        path.write_text("keep")
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        if what == "link to a file":
            (tmp_path / "b").write_text("keep")
        path.symlink_to(tmp_path / "b")
    with pytest.raises(AddressError, match="no socket"):
        probe(address_of(path))


def test_probe_of_a_socket_of_another_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "a"))
        with pytest.raises(AddressError, match="another kind"):
            probe(address_of(tmp_path / "a"))


@on_linux
def test_probe_of_abstract_names() -> None:
    address = socket_address("a@h", Config(socket_dir=f"@probe-{os.getpid()}"))
    assert probe(address) == NO_SOCKET
    with listener_at(address.value):
        assert probe(address) == ALIVE
    assert probe(address) == NO_SOCKET


# --- names ----------------------------------------------------------------------------------------


def test_names_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.sock", "c.sock", "d"):
        listener_at(str(tmp_path / name)).close()
    (tmp_path / "e.sock").write_text("a file")
    (tmp_path / "f.sock").symlink_to(tmp_path / "nothing")
    (tmp_path / "g h.sock").symlink_to(tmp_path / "b.sock")  # not a node's name
    os.unlink(tmp_path / "c.sock")
    config = Config(socket_dir=str(tmp_path))
    with listener_at(str(tmp_path / "a.sock")):
        assert listening_names(config) == [("a", ALIVE), ("b", STALE)]
        bare = config.replace(layout="erl_uds_dist")
        assert listening_names(bare) == [("d", STALE)]  # and a.sock is not a node's name


def test_names_of_sockets_that_cannot_be_knocked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener_at(str(tmp_path / "a.sock")), listener_at(str(tmp_path / "b.sock")):
        real = probe

        def denied(address: SocketAddress) -> str:
            if address.value.endswith("a.sock"):
                raise PermissionError(13, "Permission denied")
            return real(address)

        monkeypatch.setattr(module, "probe", denied)
        assert listening_names(Config(socket_dir=str(tmp_path))) == [("a", DENIED), ("b", ALIVE)]


def test_names_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listening_names(Config(socket_dir=str(tmp_path / "no")))


@on_linux
def test_names_of_abstract_sockets() -> None:
    folder = f"@names-{os.getpid()}"
    config = Config(socket_dir=folder)
    assert listening_names(config) == []
    with (
        listener_at(socket_address("b@h", config).value),
        listener_at(socket_address("a@h", config).value),
        listener_at(f"\0{folder[1:]}x/other"),
        listener_at(f"\0{folder[1:]}/a/b"),
    ):
        assert listening_names(config) == [("a", ALIVE), ("b", ALIVE)]
        assert ("a", ALIVE) not in listening_names(Config(socket_dir="@"))
