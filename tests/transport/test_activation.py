"""Sockets that a service manager has opened, and the notice that a program is ready."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme_blocks import environment
from tests.scripted import COOKIE
from uds_dist import (
    Config,
    ConfigError,
    EventLoop,
    ListenError,
    LocalProtocolError,
    Node,
    notify_ready,
)
from uds_dist.transport.credentials import peer_uid

SERVICE = 54_321  # the user of a program

# What a service manager does between fork and exec: the sockets become descriptors from 3 on.
START = """
import os, sys
descriptors = [os.dup(int(word)) for word in sys.argv[1].split(",") if word]
for number, descriptor in enumerate(descriptors):
    os.dup2(descriptor, 60 + number)
for number in range(len(descriptors)):
    os.dup2(60 + number, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
PROGRAM = """
from uds_dist import Config, ListenError, Node, notify_ready
with Node("py@localhost", config=Config.from_env()) as node:
    try:
        node.listen(inherit=True)
        node.listen(inherit=True)
    except ListenError as error:
        raise SystemExit(str(error))
    if not notify_ready():
        raise SystemExit("the service manager was not told")
    node.loop.run_until(lambda: bool(node.nodes()), 10)
    node.loop.run_until(lambda: not node.nodes(), 10)
"""


@pytest.fixture
def folder(folder: str) -> str:
    os.chmod(folder, 0o755)
    return folder


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def node(loop: EventLoop, name: str, folder: str) -> Node:
    return Node(name, loop=loop, cookie=COOKIE, config=Config(socket_dir=folder))


# --- a socket of the program ----------------------------------------------------------------------


def test_a_socket_that_is_given(loop: EventLoop, folder: str) -> None:
    path = Path(folder, "a.sock")
    with listening(path) as held:
        given = socket.socket(fileno=os.dup(held.fileno()))
        with node(loop, "a@localhost", folder) as a, node(loop, "b@localhost", folder) as b:
            a.listen(sock=given)
            assert b.ping("a@localhost")
            a.listen()  # this node does not watch its file
            with pytest.raises(LocalProtocolError, match="already listens"):
                a.listen(sock=given)
        assert given.fileno() == -1 and path.is_socket()
        # The socket still listens: the next program with it serves the peers that have dialled.
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            held.settimeout(5)
            held.accept()[0].close()


def test_an_abstract_socket_that_is_given(loop: EventLoop) -> None:
    if sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    name = f"given-{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0{name}/a")
    sock.listen()
    with node(loop, "a@localhost", f"@{name}") as a, node(loop, "b@localhost", f"@{name}") as b:
        a.listen(sock=sock)
        assert b.ping("a@localhost")


@pytest.mark.parametrize("kind", ["tcp", "datagram", "not listening", "closed"])
def test_a_socket_that_cannot_be_used(loop: EventLoop, folder: str, kind: str) -> None:
    family = socket.AF_INET if kind == "tcp" else socket.AF_UNIX
    type_ = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
    with socket.socket(family, type_) as sock, node(loop, "a@localhost", folder) as a:
        if kind == "closed":
            sock.close()
        with pytest.raises(ListenError):
            a.listen(sock=sock)
        assert sock.fileno() >= 0 or kind == "closed"  # it is still the program's
        a.listen()


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, to be another user"
)
def test_peers_see_the_user_of_the_program_and_not_the_one_that_made_the_socket(
    loop: EventLoop, folder: str
) -> None:
    path = Path(folder, "a.sock")
    with listening(path) as sock, node(loop, "a@localhost", folder) as a:
        os.seteuid(SERVICE)
        try:
            a.listen(sock=sock)
        finally:
            os.seteuid(0)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            assert peer_uid(caller) == SERVICE  # a release with uds_dist 2.0 refuses any other


# --- a socket of the service manager --------------------------------------------------------------


class Started:
    """A program, started as a service manager does it, and the socket that it reports ready to."""

    def __init__(self, folder: str, sockets: list[socket.socket], code: str = PROGRAM) -> None:
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(f"{folder}/notify")
        self.told.settimeout(10)
        descriptors = [sock.fileno() for sock in sockets]
        words = [",".join(map(str, descriptors)), code]
        environ = environment(
            UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE=COOKIE, NOTIFY_SOCKET=f"{folder}/notify"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *words],
            env=environ,
            pass_fds=descriptors,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.mark.parametrize("more", [False, True])
def test_an_inherited_socket(loop: EventLoop, folder: str, more: bool) -> None:
    path = Path(folder, "py.sock")
    with (
        listening(path) as sock,
        listening(Path(folder, "other.sock")) as other,
        socket.socket(socket.AF_INET) as tcp,
        node(loop, "b@localhost", folder) as b,
    ):
        started = Started(folder, [tcp, other, sock] if more else [sock])
        assert b.ping("py@localhost", timeout=10)  # waits in the backlog until it has started
        assert started.told.recv(100) == b"READY=1"
        b.close()
        assert started.process.wait(10) == 0 and started.process.communicate()[1] == ""
        started.told.close()
        assert path.is_socket()


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ([], "none of the 0 inherited descriptors is a Unix stream socket"),
        (["tcp"], "none of the 1 inherited descriptors is a Unix stream socket"),
        (["one", "two"], "2 sockets were inherited and none is at "),
    ],
)
def test_no_inherited_socket(folder: str, which: list[str], message: str) -> None:
    sockets = {
        "tcp": socket.socket(socket.AF_INET),
        "one": listening(Path(folder, "one.sock")),
        "two": listening(Path(folder, "two.sock")),
    }
    started = Started(folder, [sockets[name] for name in which])
    assert message in started.process.communicate(timeout=10)[1]
    assert started.process.returncode == 1
    for sock in (*sockets.values(), started.told):
        sock.close()


@pytest.mark.parametrize("missing", [1, 1_000_000])
def test_fewer_sockets_than_announced(folder: str, missing: int) -> None:
    more = f"import os; os.closerange(4, 50); os.environ['LISTEN_FDS'] = '{1 + missing}'"
    with listening(Path(folder, "py.sock")) as sock:
        started = Started(folder, [sock], more + PROGRAM)
        assert_ready(started)


def test_two_descriptors_of_one_socket(folder: str) -> None:
    with (
        listening(Path(folder, "py.sock")) as sock,
        socket.socket(fileno=os.dup(sock.fileno())) as same,
    ):
        assert_ready(Started(folder, [sock, same]))


@pytest.mark.parametrize(("name", "warns"), [("link/py.sock", False), ("other.sock", True)])
def test_an_inherited_socket_that_is_elsewhere(folder: str, name: str, warns: bool) -> None:
    Path(folder, "link").symlink_to(".")
    with listening(Path(folder, name)) as sock:
        written = assert_ready(Started(folder, [sock]), quiet=not warns)
    told = f"is at {folder}/other.sock, but other nodes look for this one at {folder}/py.sock"
    assert (told in written) is warns


def assert_ready(started: Started, quiet: bool = True) -> str:
    """Check that a program takes its socket, and end it; what it has written."""
    assert started.told.recv(100) == b"READY=1"
    started.told.close()
    started.process.terminate()
    written = started.process.communicate(timeout=10)[1]
    assert not (quiet and written), written
    return written


def test_without_a_service_manager(
    loop: EventLoop, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    with node(loop, "a@localhost", folder) as a, socket.socket(socket.AF_UNIX) as sock:
        with pytest.raises(ListenError, match="LISTEN_PID is not the id of this process"):
            a.listen(inherit=True)
        with pytest.raises(ConfigError, match="not both"):
            a.listen(sock=sock, inherit=True)


# --- ready ----------------------------------------------------------------------------------------


def test_ready_is_told_where_somebody_asks(folder: str) -> None:
    assert notify_ready({}) is False and notify_ready({"NOTIFY_SOCKET": ""}) is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        assert notify_ready({"NOTIFY_SOCKET": f"{folder}/notify"}) is True
        assert manager.recv(100) == b"READY=1"
    message = f"cannot notify the service manager at {folder}/gone: No such file"
    with pytest.raises(ListenError, match=message):
        notify_ready({"NOTIFY_SOCKET": f"{folder}/gone"})
    with pytest.raises(ListenError, match="xxx: AF_UNIX path too long"):
        notify_ready({"NOTIFY_SOCKET": "/" + "x" * 200})


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_ready_is_told_to_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0notify-{os.getpid()}")
        assert notify_ready({"NOTIFY_SOCKET": f"@notify-{os.getpid()}"}) is True
        assert manager.recv(100) == b"READY=1"
