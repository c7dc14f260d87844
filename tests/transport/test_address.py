"""Where a node's socket is, and what is found there."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    listening_nodes,
    probe,
    places,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"socket_dir": "/run/app"}, "/run/app/a.sock"),
        ({"socket_dir": "/run/app", "layout": "uds_dist2"}, "/run/app/a.sock"),
        ({"socket_dir": Path("/run/app")}, "/run/app/a.sock"),
        ({"socket_dir": "run"}, f"{os.getcwd()}/run/a.sock"),
        ({"socket_dir": "."}, f"{os.getcwd()}/a.sock"),
        ({}, f"{os.getcwd()}/a.sock"),
        ({"layout": "erl_uds_dist"}, f"{os.getcwd()}/a"),
        ({"layout": "uds_dist2"}, "/tmp/uds-dist-a.sock"),
        ({"socket_dir": "/run/app", "layout": "erl_uds_dist"}, "/run/app/a"),
    ],
)
def test_the_path_is_made_of_the_folder_and_the_part_before_the_at(
    settings: dict[str, Any], path: str
) -> None:
    config = Config(**settings)
    for name in ("a@localhost", "a@elsewhere", "a"):
        address = places(config).own.address(name)
        assert (address.value, address.abstract, str(address)) == (path, False, path)


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    for name in ("../x@h", "x/../../y@h", "/etc/x@h", "/etc/x", "a b"):
        with pytest.raises(NodeNameError):
            places(Config(socket_dir=str(tmp_path))).own.address(name)


@on_linux
@pytest.mark.parametrize(
    ("folder", "value", "text"),
    [("@run/app", "\0run/app/a", "@run/app/a"), ("@", "\0a", "@a")],
)
def test_abstract_names(folder: str, value: str, text: str) -> None:
    for layout in ("uds_dist", "erl_uds_dist"):
        address = places(Config(socket_dir=folder, layout=layout)).own.address("a@localhost")
        assert (address.value, address.abstract, str(address)) == (value, True, text)


@pytest.fixture
def no_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every call into the system fail."""

    def refuse(*_args: object) -> None:
        raise AssertionError("a system call was made")

    monkeypatch.setattr(module, "socket", SimpleNamespace(socket=refuse))
    for name in ("stat", "lstat", "listdir", "open"):
        monkeypatch.setattr(os, name, refuse)


def test_a_path_too_long_is_refused_before_any_system_call(no_system_calls: None) -> None:
    fits = "/" + "d" * (PATH_LIMIT - len("//a.sock"))
    assert len(places(Config(socket_dir=fits)).own.address("a@h").value) == PATH_LIMIT
    with pytest.raises(AddressError, match=f"{PATH_LIMIT + 1} bytes .* shorter socket_dir"):
        places(Config(socket_dir=fits + "d")).own.address("a@h")
    # Bytes count, not characters.
    with pytest.raises(AddressError):
        places(Config(socket_dir=fits[:-1] + "ä")).own.address("a@h")


@on_linux
def test_an_abstract_name_too_long_is_refused_before_any_system_call(
    no_system_calls: None,
) -> None:
    fits = "@" + "d" * (ABSTRACT_LIMIT - len("\0/a"))
    assert len(places(Config(socket_dir=fits)).own.address("a@h").value) == ABSTRACT_LIMIT
    with pytest.raises(AddressError, match=f"{ABSTRACT_LIMIT + 1} bytes"):
        places(Config(socket_dir=fits + "d")).own.address("a@h")


def test_the_longest_addresses_can_be_bound(tmp_path: Path) -> None:
    folder = str(tmp_path) + "/" + "d" * (PATH_LIMIT - len(str(tmp_path)) - len("//a.sock"))
    os.mkdir(folder)
    addresses = [places(Config(socket_dir=folder)).own.address("a@h")]
    if sys.platform == "linux":
        abstract = "@" + "d" * (ABSTRACT_LIMIT - len("\0/a"))
        addresses.append(places(Config(socket_dir=abstract)).own.address("a@h"))
    for address in addresses:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address.value)
            listener.listen()
            assert probe(address) == ALIVE


def test_abstract_sockets_off_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sys", SimpleNamespace(platform="darwin"))
    config = Config(socket_dir="@app")
    with pytest.raises(AddressError, match="Linux only: give a folder"):
        places(config).own.address("a@localhost")
    with pytest.raises(AddressError, match="Linux only"):
        names(config)
    assert not places(Config(socket_dir="app")).own.address("a@localhost").abstract


HERE = f"{os.getcwd()}/a.sock"
SHARED = "/tmp/uds-dist-a.sock"


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({}, [HERE, SHARED]),
        ({"layout": "uds_dist2"}, [HERE, SHARED]),
        ({"layout": "erl_uds_dist"}, [HERE.removesuffix(".sock")]),
        ({"socket_dir": "."}, [HERE]),
        ({"socket_dir": ".", "layout": "uds_dist2"}, [HERE]),
        ({"socket_dir": "@app"}, ["@app/a"]),
    ],
)
def test_where_a_node_is_looked_for(settings: dict[str, str], paths: list[str]) -> None:
    where = places(Config().replace(**settings))
    for name in ("a@localhost", "a"):
        assert [address.text for address in where.addresses(name)] == paths
    with pytest.raises(NodeNameError):
        where.addresses("../a")


def test_a_folder_is_what_it_was_when_the_node_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = [places(Config(socket_dir=folder)) for folder in ("run", None)]
    monkeypatch.chdir("/")
    assert [where.own.address("a").value for where in found] == [
        f"{tmp_path}/run/a.sock",
        f"{tmp_path}/a.sock",
    ]


def test_a_working_folder_that_is_too_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert places(Config()).own.address("a").value == "./a.sock"
    assert places(Config(socket_dir="x" * 20)).own.address("a").value == "x" * 20 + "/a.sock"
    only_there = places(Config(layout="uds_dist2")).addresses("n" * 86)
    assert [address.value for address in only_there] == [f"./{'n' * 86}.sock", SHARED.replace("a.s", "n" * 86 + ".s")]
    with pytest.raises(AddressError):
        places(Config()).addresses("n" * PATH_LIMIT)
    # Elsewhere the relative path is another node's.
    found = [places(Config(socket_dir=folder)) for folder in ("run", None)]
    monkeypatch.chdir(tmp_path)
    for where in found:
        with pytest.raises(AddressError, match="shorter socket_dir"):
            where.own.address("a")
    assert [address.value for address in found[1].addresses("a")] == [SHARED]


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
    with pytest.raises(AddressError, match="not a socket"):
        probe(address_of(path))


def test_probe_of_a_socket_of_another_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(str(tmp_path / "a"))
        with pytest.raises(AddressError, match="another kind"):
            probe(address_of(tmp_path / "a"))


@on_linux
def test_probe_of_abstract_names() -> None:
    address = places(Config(socket_dir=f"@probe-{os.getpid()}")).own.address("a@h")
    assert probe(address) == NO_SOCKET
    with listener_at(address.value):
        assert probe(address) == ALIVE
    assert probe(address) == NO_SOCKET


# --- names ----------------------------------------------------------------------------------------


def names(config: Config) -> list[tuple[str, str]]:
    return [(one.name, one.state) for one in listening_nodes(places(config))]


def test_names_in_a_folder(tmp_path: Path) -> None:
    for name in ("b.sock", "c.sock", "d"):
        listener_at(str(tmp_path / name)).close()
    (tmp_path / "e.sock").write_text("a file")
    (tmp_path / "f.sock").symlink_to(tmp_path / "nothing")
    (tmp_path / "g h.sock").symlink_to(tmp_path / "b.sock")  # not a node's name
    os.unlink(tmp_path / "c.sock")
    config = Config(socket_dir=str(tmp_path))
    with listener_at(str(tmp_path / "a.sock")):
        assert names(config) == [("a", ALIVE), ("b", STALE)]
        bare = config.replace(layout="erl_uds_dist")
        assert names(bare) == [("d", STALE)]  # and a.sock is not a node's name


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
        assert names(Config(socket_dir=str(tmp_path))) == [("a", DENIED), ("b", ALIVE)]


def test_names_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        names(Config(socket_dir=str(tmp_path / "no")))


def test_names_where_no_folder_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, shared = tmp_path / "here", tmp_path / "tmp"
    here.mkdir()
    shared.mkdir()
    monkeypatch.setattr(module, "SHARED", module.Place(str(shared), "/tmp", "uds-dist-", ".sock"))
    paths = [here / "a.sock", shared / "uds-dist-a.sock", shared / "uds-dist-b.sock"]
    sockets = [listener_at(str(path)) for path in paths]
    for folder, known in ((here, paths), (shared, paths[1:])):
        monkeypatch.chdir(folder)  # the second: what is in the last place has no other name here
        found = listening_nodes(places(Config()))
        assert [(one.name, one.address.value) for one in found] == [
            (path.stem.removeprefix("uds-dist-"), str(path)) for path in known
        ]
    monkeypatch.chdir(here)
    shared.rename(tmp_path / "gone")
    assert names(Config()) == [("a", ALIVE)]
    for sock in sockets:
        sock.close()


@on_linux
def test_names_of_abstract_sockets() -> None:
    folder = f"@names-{os.getpid()}"
    config = Config(socket_dir=folder)
    assert names(config) == []
    with (
        listener_at(places(config).own.address("b@h").value),
        listener_at(places(config).own.address("a@h").value),
        listener_at(f"\0{folder[1:]}x/other"),
        listener_at(f"\0{folder[1:]}/a/b"),
    ):
        assert names(config) == [("a", ALIVE), ("b", ALIVE)]
        assert ("a", ALIVE) not in names(Config(socket_dir="@"))
