"""How two nodes come together over real sockets, and the many ways in which they do not."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest

from tests.inside import settle
from tests.transport.conftest import MakeNode
from tests.transport.support import open_descriptors
from uds_dist import (
    AddressError,
    ConnectFailedError,
    CookieMismatchError,
    EventLoop,
    HandshakeError,
    HandshakeTimeoutError,
    Node,
    NodeNameError,
    NodeNameMismatchError,
    NotAllowedError,
    RemoteProtocolError,
)
from uds_dist.transport.loop import READ

TIME = 0.05  # the handshake time of the tests in which it passes


@contextmanager
def impostor(path: Path, backlog: int = 5) -> Iterator[socket.socket]:
    """A socket that listens where a node might."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(backlog)
        listener.setblocking(False)
        yield listener


def error_of(node: Node, name: str) -> BaseException:
    """Why there is no connection; each time anew, and nothing is left of the attempt."""
    settle(node.loop)
    before = open_descriptors()
    errors = [node.connect(name).exception(timeout=5) for _ in range(2)]
    settle(node.loop)
    assert open_descriptors() == before
    assert errors[0] is not None and type(errors[0]) is type(errors[1])
    assert node.statistics().connections == ()
    return errors[0]


def test_nobody_there(make_node: MakeNode) -> None:
    error = error_of(make_node("a"), "b@test")
    assert isinstance(error, ConnectFailedError)
    assert "no such socket" in str(error)


def test_a_dead_socket(make_node: MakeNode, tmp_path: Path) -> None:
    with impostor(tmp_path / "b.sock"):
        pass
    error = error_of(make_node("a"), "b@test")
    assert isinstance(error, ConnectFailedError)
    assert "dead or not started" in str(error)


def test_a_path_that_is_no_socket(make_node: MakeNode, tmp_path: Path) -> None:
    (tmp_path / "b.sock").write_text("")
    assert isinstance(error_of(make_node("a"), "b@test"), ConnectFailedError)


@contextmanager
def nobody() -> Iterator[None]:
    """Become a user other than root, because root may connect to everything."""
    if os.getuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_socket_of_another_user(make_node: MakeNode) -> None:
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        make_node("b", socket_dir=folder, socket_mode=0)
        a = make_node("a", socket_dir=folder)
        with nobody():
            error = error_of(a, "b@test")
        assert isinstance(error, ConnectFailedError) and "may not connect" in str(error)


def test_no_descriptor_left(make_node: MakeNode) -> None:
    a = make_node("a")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as free:
        number = free.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, limits[1]))
    try:
        error = error_of(a, "b@test")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert isinstance(error, ConnectFailedError)
    assert str(error) == f"cannot create a socket for b@test: {os.strerror(errno.EMFILE)}"


@pytest.mark.parametrize("outcome", [0, errno.ECONNREFUSED, errno.ENETDOWN])
def test_a_system_that_connects_in_its_own_time(
    make_node: MakeNode, monkeypatch: pytest.MonkeyPatch, outcome: int
) -> None:
    # Linux connects a Unix socket at once or not at all. POSIX lets a system take its time, and
    # tell the outcome when the socket is writable.
    class SlowSocket(socket.socket):
        def connect_ex(self, address: object) -> int:
            if not outcome:
                assert super().connect_ex(cast(str, address)) == 0
            return errno.EINPROGRESS

        def getsockopt(self, *option: int) -> Any:
            return outcome if option[1] == socket.SO_ERROR else super().getsockopt(*option)

    make_node("b")
    a = make_node("a")
    monkeypatch.setattr(socket, "socket", SlowSocket)
    error = a.connect("b@test").exception(timeout=5)
    if outcome:
        assert isinstance(error, ConnectFailedError)
        assert ("dead or not started" in str(error)) is (outcome == errno.ECONNREFUSED)
    else:
        assert error is None and a.nodes() == ["b@test"]


def test_names_that_cannot_be(make_node: MakeNode) -> None:
    a = make_node("a")
    assert isinstance(error_of(a, "b"), NodeNameError)
    assert isinstance(error_of(a, "../b@test"), NodeNameError)
    assert isinstance(error_of(a, "a@test"), NodeNameError)
    assert isinstance(error_of(a, "b" * 120 + "@test"), AddressError)


def test_a_wrong_cookie(make_node: MakeNode) -> None:
    make_node("b", cookie="other")
    error = error_of(make_node("a"), "b@test")
    assert isinstance(error, CookieMismatchError)
    assert "the cookies differ" in str(error)


def test_a_refused_name(make_node: MakeNode) -> None:
    make_node("b").allow(["friend@test"])
    error = error_of(make_node("a"), "b@test")
    assert isinstance(error, NotAllowedError)
    assert make_node("friend").ping("b@test")


def test_another_node_behind_the_socket(make_node: MakeNode, tmp_path: Path) -> None:
    make_node("c")
    (tmp_path / "b.sock").symlink_to(tmp_path / "c.sock")
    assert isinstance(error_of(make_node("a"), "b@test"), NodeNameMismatchError)


@pytest.mark.parametrize("accepts", [False, True])
def test_a_peer_that_hangs(make_node: MakeNode, tmp_path: Path, accepts: bool) -> None:
    a = make_node("a", handshake_timeout=TIME)
    kept: list[socket.socket] = []
    with impostor(tmp_path / "b.sock") as listener:
        if accepts:
            a.loop.register(listener, READ, lambda _: kept.append(listener.accept()[0]))
        started = a.loop.time()
        for _ in range(2):
            error = a.connect("b@test").exception(timeout=5)
            assert isinstance(error, HandshakeTimeoutError)
            assert "b@test did not finish the handshake" in str(error)
        assert 2 * TIME <= a.loop.time() - started < 2 * TIME + 1
        if accepts:
            a.loop.unregister(listener)
            assert len(kept) == 2
    for sock in kept:
        sock.close()


def test_a_peer_whose_backlog_stays_full(make_node: MakeNode, tmp_path: Path) -> None:
    a = make_node("a", handshake_timeout=TIME)
    with impostor(tmp_path / "b.sock", backlog=1):
        callers = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(str(tmp_path / "b.sock"))
        rounds = a.loop.statistics().rounds
        assert isinstance(error_of(a, "b@test"), HandshakeTimeoutError)
        # The node tries again now and then, not in every round.
        assert a.loop.statistics().rounds - rounds < 60
        for caller in callers:
            caller.close()


@pytest.mark.parametrize(
    ("talk", "kind"),
    [
        (b"", HandshakeError),
        (b"\0\3sok", HandshakeError),
        (b"\0\x0cHello world!", RemoteProtocolError),
        (b"\0\0", RemoteProtocolError),
    ],
)
def test_a_peer_that_talks_nonsense_and_goes(
    make_node: MakeNode, tmp_path: Path, talk: bytes, kind: type[Exception]
) -> None:
    a = make_node("a")
    with impostor(tmp_path / "b.sock") as listener:

        def serve(_events: int) -> None:
            sock = listener.accept()[0]
            sock.recv(1000)
            sock.send(talk)
            sock.close()

        a.loop.register(listener, READ, serve)
        error = error_of(a, "b@test")
        a.loop.unregister(listener)
    assert type(error) is kind


def test_every_failure_has_a_kind_of_its_own() -> None:
    kinds = [
        ConnectFailedError,
        CookieMismatchError,
        NotAllowedError,
        NodeNameMismatchError,
        HandshakeTimeoutError,
        RemoteProtocolError,
    ]
    for kind in kinds:
        assert not any(issubclass(kind, other) for other in kinds if other is not kind)


def test_a_caller_that_hangs_is_dropped_within_the_time(
    loop: EventLoop, make_node: MakeNode, tmp_path: Path
) -> None:
    a = make_node("a", handshake_timeout=TIME, max_pending_handshakes=3)
    settle(loop)
    before = loop.statistics().descriptors
    callers = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for caller in callers:
        caller.connect(str(tmp_path / "a.sock"))
    settle(loop)
    # Three are pending, and the listener is not watched: the others wait in the backlog.
    assert loop.statistics().descriptors == before + 3 - 1
    for caller in callers:
        caller.setblocking(False)
        assert loop.run_until(lambda: is_closed(caller), timeout=5)
        caller.close()
    settle(loop)
    assert loop.statistics().descriptors == before
    assert make_node("b").ping("a@test") and a.nodes() == ["b@test"]


def is_closed(caller: socket.socket) -> bool:
    """True when the other end has hung up."""
    try:
        return caller.recv(1) == b""
    except BlockingIOError:
        return False


def test_50_peers_connect_to_one_hub_at_once(loop: EventLoop, make_node: MakeNode) -> None:
    hub = make_node("hub", backlog=5)
    peers = [make_node(f"p{number}", listen=False) for number in range(50)]
    futures = [peer.connect("hub@test") for peer in peers]
    for future in futures:
        future.result(timeout=10)
    assert loop.run_until(lambda: len(hub.nodes()) == 50, timeout=5)
    box = hub.mailbox("box")
    for peer in peers:
        peer.send(("box", "hub@test"), peer.name)
    names = {box.receive(timeout=5) for _ in peers}
    assert names == {peer.name for peer in peers}


def test_two_that_dial_each_other_at_once_have_one_connection(
    loop: EventLoop, make_node: MakeNode
) -> None:
    for first in (True, False):
        a, b = make_node("a"), make_node("b")
        pairs: list[tuple[Node, str]] = [(a, "b@test"), (b, "a@test")]
        futures = [node.connect(name) for node, name in (pairs if first else pairs[::-1])]
        for future in futures:
            future.result(timeout=5)
        settle(loop)
        assert (a.nodes(), b.nodes()) == (["b@test"], ["a@test"])
        assert loop.statistics().descriptors == 4
        assert a.ping("b@test") and b.ping("a@test")
        a.close()
        b.close()
        settle(loop)
        assert loop.statistics().descriptors == 0


@pytest.mark.parametrize("closes", ["node", "disconnect"])
def test_a_graceful_close_removes_the_file_and_tells_the_peer(
    loop: EventLoop, make_node: MakeNode, tmp_path: Path, closes: str
) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    gone: list[str] = []
    a.monitor_nodes(lambda event, name, error: gone.append(f"{event} {name}"))
    act: Callable[[], object] = b.close if closes == "node" else lambda: b.disconnect("a@test")
    act()
    assert loop.run_until(lambda: bool(gone), timeout=5)
    assert gone == ["nodedown b@test"]
    assert sorted(os.listdir(tmp_path)) == ["a.sock"] + ["b.sock"] * (closes != "node")
    assert a.ping("b@test", timeout=1) is (closes != "node")


def test_messages_sent_just_before_the_close_arrive(
    loop: EventLoop, make_node: MakeNode
) -> None:
    a, b = make_node("a"), make_node("b")
    box = b.mailbox("box")
    assert a.ping("b@test")
    for number in range(2000):
        a.send(("box", "b@test"), (number, b"x" * 1000))
    a.close()
    settle(loop)
    assert len(box) == 2000
