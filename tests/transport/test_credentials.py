"""The user at the other end of a socket, and whether it is admitted, for every row of the table."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.inside import settle
from tests.scripted import COOKIE
from tests.transport.support import in_child
from uds_dist import ANY, Config, ConfigError, EventLoop, Node, NotAllowedError
from uds_dist.cli import exit_codes
from uds_dist.cli import main as cli
from uds_dist.config import overflow_uid
from uds_dist.transport import credentials as module
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress, places
from uds_dist.transport.credentials import (
    QUESTIONS,
    may_accept,
    may_dial,
    peer_pid,
    peer_uid,
    uid_in_xucred,
    uid_on_linux,
    uid_on_netbsd,
    uid_on_openbsd,
)
from uds_dist.transport.listener import Listener

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become other users"
)

OWNER, OTHER, STRANGER = 54_001, 54_002, 54_003


@contextmanager
def user(uid: int) -> Iterator[None]:
    """Be another user: the kernel notes the effective uid at connect and at listen."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


# --- what the systems tell ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "data", "uid"),
    [
        (uid_on_linux, struct.pack("=iII", 1, 1001, 7), 1001),
        (uid_on_linux, struct.pack("=iII", 1, 2**32 - 2, 7), 2**32 - 2),
        (uid_on_linux, struct.pack("=iI", 1, 1001), None),
        (uid_on_linux, b"", None),
        # macOS and FreeBSD: version, uid, count of groups, groups
        (uid_in_xucred, struct.pack("=IIh2x16I", 0, 1001, 1, *range(16)), 1001),
        (uid_in_xucred, struct.pack("=IIh2x16I4xQ", 0, 1001, 16, *range(16), 99), 1001),
        (uid_in_xucred, struct.pack("=IIh2x16I", 1, 1001, 1, *range(16)), None),
        (uid_in_xucred, struct.pack("=I", 0), None),
        (uid_on_netbsd, struct.pack("=iII", 1, 1001, 7), 1001),
        (uid_on_netbsd, struct.pack("=iII", 1, 1001, 7)[:-1], None),
        (uid_on_openbsd, struct.pack("=IIi", 1001, 7, 1), 1001),
        (uid_on_openbsd, b"", None),
    ],
)
def test_the_bytes_of_each_system(
    read: Callable[[bytes], int | None], data: bytes, uid: int | None
) -> None:
    assert read(data) == uid


@pytest.mark.parametrize(
    ("platform", "system", "answer"),
    [
        ("linux", "linux", struct.pack("=iII", 1, 5, 7)),
        ("darwin", "darwin", struct.pack("=IIh2x16I", 0, 5, 1, *range(16))),
        ("freebsd14", "freebsd", struct.pack("=IIh2x16I", 0, 5, 1, *range(16))),
        ("dragonfly6", "dragonfly", struct.pack("=IIh2x16I", 0, 5, 1, *range(16))),
        ("netbsd10", "netbsd", struct.pack("=iII", 1, 5, 7)),
        ("openbsd7", "openbsd", struct.pack("=IIi", 5, 7, 1)),
    ],
)
def test_each_system_is_asked_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, platform: str, system: str, answer: bytes
) -> None:
    asked = QUESTIONS[system]

    class Answering(socket.socket):
        def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
            assert (level, option) == asked[:2] and size >= len(answer)
            return answer

    monkeypatch.setattr(sys, "platform", platform)
    with Answering(socket.AF_UNIX) as sock:
        assert peer_uid(sock) == 5


@on_linux
def test_a_process_that_has_no_number_here() -> None:
    """Linux reports 0 for a process outside of this one's container."""

    class Outside(socket.socket):
        def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:  # type: ignore[override]
            return struct.pack("=iII", 0, 5, 7)

    with Outside(socket.AF_UNIX) as sock:
        assert peer_pid(sock) is None and peer_uid(sock) == 5


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = socket.socketpair()
    with left, right:
        if sys.platform == "linux":
            assert peer_uid(left) == os.geteuid()
        monkeypatch.setattr(sys, "platform", "sunos5")
        assert peer_uid(left) is None
    monkeypatch.undo()
    assert peer_uid(left) is None  # a closed socket


# --- the table ------------------------------------------------------------------------------------

FILE, ABSTRACT = SocketAddress("/x", False), SocketAddress("\0x", True)


@pytest.mark.parametrize(
    ("address", "uid", "allowed", "admitted"),
    [
        (FILE, OTHER, (), True),  # the permission bits have decided
        (FILE, None, (), True),
        (FILE, OTHER, (OWNER,), False),
        (FILE, None, (OWNER,), False),
        (FILE, OWNER, (OWNER,), True),
        (FILE, 0, (OWNER,), True),
        (FILE, os.geteuid(), (OWNER,), True),
        (FILE, None, ANY, True),
        (ABSTRACT, OTHER, (), False),
        (ABSTRACT, None, (), False),
        (ABSTRACT, OTHER, (OTHER,), True),
        (ABSTRACT, OTHER, ANY, True),
        (ABSTRACT, 0, (), True),
        (ABSTRACT, os.geteuid(), (OWNER,), True),
    ],
)
def test_who_may_come_in(
    address: SocketAddress, uid: int | None, allowed: tuple[int, ...] | str, admitted: bool
) -> None:
    assert may_accept(uid, address, Config(allowed_uids=allowed)) is admitted


def test_where_the_permission_bits_do_not_hold_the_uid_decides() -> None:
    assert not may_accept(OTHER, FILE, Config(), bits_hold=False)
    assert may_accept(os.geteuid(), FILE, Config(), bits_hold=False)


@as_root
@pytest.mark.parametrize(
    ("owner", "mode", "uid", "allowed", "admitted"),
    [
        (OWNER, 0o755, OWNER, (), True),
        (OWNER, 0o700, OWNER, (), True),
        (OWNER, 0o755, OTHER, (), False),
        (OWNER, 0o755, None, (), False),
        (OWNER, 0o775, OWNER, (), False),
        (OWNER, 0o757, OWNER, (), False),
        (OWNER, 0o1777, OWNER, (), False),
        (0, 0o1777, OWNER, (), False),
        (0, 0o1777, OWNER, (OWNER,), True),
        (0, 0o1777, OWNER, ANY, True),
        (0, 0o1777, None, ANY, True),
        (0, 0o1777, None, (OWNER,), False),
        (0, 0o1777, 0, (), True),
        (0, 0o755, OWNER, (), False),
        (65534, 0o755, 65534, (), False),  # users without a number here
    ],
)
def test_whom_a_node_may_dial(
    folder: str,
    owner: int,
    mode: int,
    uid: int | None,
    allowed: tuple[int, ...] | str,
    admitted: bool,
) -> None:
    os.chown(folder, owner, owner)
    os.chmod(folder, mode)
    address = SocketAddress(folder + "/a.sock", False)
    assert may_dial(uid, address, Config(allowed_uids=allowed)) is admitted


def test_a_relative_path_is_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    owner = os.stat(tmp_path).st_uid
    for path in ("a.sock", "./a.sock"):
        assert may_dial(owner, SocketAddress(path, False), Config())
    if owner:
        assert not may_dial(owner, SocketAddress("no/a.sock", False), Config())


def test_a_setuid_program_is_its_effective_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: OWNER)
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    assert may_dial(OWNER, ABSTRACT, Config())
    assert not may_dial(OTHER, ABSTRACT, Config())


# --- the setting ----------------------------------------------------------------------------------


def test_allowed_uids_takes_numbers_and_names() -> None:
    assert Config(allowed_uids=[5, "root", "17"]).allowed_uids == {0, 5, 17}
    assert Config(allowed_uids=frozenset({1001})).allowed_uids == {1001}
    assert Config(allowed_uids="root, 1001,").allowed_uids == {0, 1001}
    assert Config.from_env({"UDS_DIST_ALLOWED_UIDS": "root,1001"}).allowed_uids == {0, 1001}
    assert Config.from_env({"UDS_DIST_ALLOWED_UIDS": ""}).allowed_uids == frozenset()
    spellings: list[Collection[int | str] | str] = [ANY, "ANY", " any ", [ANY], {5, "Any"}]
    for spelled in spellings:
        assert Config(allowed_uids=spelled).allowed_uids == ANY
    assert Config.from_env({"UDS_DIST_ALLOWED_UIDS": "any"}).allowed_uids == ANY
    config = Config(allowed_uids=[5])
    assert config == config.replace(backlog=5) and hash(config)


@pytest.mark.parametrize(
    "value",
    [
        ["no such user"],
        "root,nosuchuser",
        [-1],
        [2**32 - 1],
        ["99999999999"],
        [True],
        [1.0],
        [None],
        ["a\0b"],
        5,
        None,
        b"root",
    ],
    ids=repr,
)
def test_users_that_cannot_be(value: list[int]) -> None:
    with pytest.raises(ConfigError, match="allowed_uids"):
        Config(allowed_uids=value)


@on_linux
def test_the_overflow_uid_is_refused_in_a_list() -> None:
    overflow = overflow_uid()
    assert overflow is not None
    values: tuple[list[int | str] | str, ...] = ([overflow], str(overflow), [5, str(overflow)])
    for value in values:
        with pytest.raises(ConfigError, match="overflow uid"):
            Config(allowed_uids=value)


# --- over sockets, as other users -----------------------------------------------------------------


@contextmanager
def listener_of(uid: int, address: SocketAddress) -> Iterator[socket.socket]:
    """A listening socket of another user, which everybody may connect to."""
    with socket.socket(socket.AF_UNIX) as sock:
        with user(uid):
            sock.bind(address.value)
            if not address.abstract:
                os.chmod(address.value, 0o666)
            sock.listen()
        sock.setblocking(False)
        yield sock


@pytest.fixture
def public(folder: str) -> str:
    """A folder that every user may look into."""
    os.chmod(folder, 0o755)
    return folder


def squatted(folder: str, loop: EventLoop, **settings: object) -> tuple[BaseException, bytes]:
    """Make a stranger listen under b's name; return how a's attempt ends and what b was sent."""
    config = Config(socket_dir=folder).replace(**settings)
    with (
        listener_of(STRANGER, places(config).own.address("b@h")) as stranger,
        Node("a@h", loop=loop, cookie=COOKIE, config=config) as node,
    ):
        error = node.connect("b@h").exception(timeout=5)
        settle(loop)
        accepted = stranger.accept()[0]
        with accepted:
            accepted.setblocking(False)
            received = accepted.recv(1000)
    assert error is not None
    return error, received


@as_root
@pytest.mark.parametrize("kind", ["a folder for all", "an abstract name"])
def test_no_byte_leaves_for_a_stranger(public: str, loop: EventLoop, kind: str) -> None:
    folder = public if kind == "a folder for all" else f"@squatted-{os.getpid()}"
    os.chmod(public, 0o1777)
    error, received = squatted(folder, loop)
    assert isinstance(error, NotAllowedError)
    assert f"uid {STRANGER}" in str(error) and "allowed_uids" in str(error)
    assert "uid 0" in str(error)
    assert received == b""


def answer_of(uid: int, address: SocketAddress, loop: EventLoop) -> str:
    """What happens to a user that dials: "in", "out", or why the system does not let it connect."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            with user(uid):
                caller.connect(address.value)
        except PermissionError:
            return "no permission"
        settle(loop)
        caller.setblocking(False)
        try:
            return "out" if caller.recv(1) == b"" else "data"
        except BlockingIOError:
            return "in"
        except ConnectionResetError:
            return "out"


@as_root
@pytest.mark.parametrize(
    ("abstract", "settings", "answers"),
    [
        (False, {}, ("in", "no permission", "no permission")),
        (False, {"socket_mode": 0o666}, ("in", "in", "in")),
        (False, {"allowed_uids": [OWNER]}, ("in", "in", "out")),
        (False, {"allowed_uids": [OWNER], "socket_mode": 0o600}, ("in",) + ("no permission",) * 2),
        (False, {"allowed_uids": ANY}, ("in", "in", "in")),
        (True, {}, ("in", "out", "out")),
        (True, {"allowed_uids": [OWNER]}, ("in", "in", "out")),
        (True, {"allowed_uids": ANY}, ("in", "in", "in")),
    ],
)
def test_who_comes_in(
    public: str,
    loop: EventLoop,
    caplog: pytest.LogCaptureFixture,
    abstract: bool,
    settings: dict[str, object],
    answers: tuple[str, ...],
) -> None:
    config = Config(socket_dir=f"@in-{os.getpid()}" if abstract else public).replace(**settings)
    address = places(config).own.address("a@h")
    accepted: list[socket.socket] = []
    listener = Listener(loop, address, config, accepted.append)
    try:
        assert tuple(answer_of(uid, address, loop) for uid in (0, OWNER, OTHER)) == answers
    finally:
        listener.close()
        for sock in accepted:
            sock.close()
    assert listener.refused == answers.count("out") == len(caplog.records)
    if caplog.records:
        assert f"uid {OTHER} was refused by uid 0" in caplog.text
        assert "allowed_uids" in caplog.text and "UDS_DIST_ALLOWED_UIDS" in caplog.text


@as_root
def test_refusals_are_logged_at_a_bounded_rate(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(socket_dir=f"@rate-{os.getpid()}")
    address = places(config).own.address("a@h")
    listener = Listener(loop, address, config, lambda sock: None)
    for _ in range(50):
        assert answer_of(OTHER, address, loop) == "out"
    listener.close()
    assert listener.refused == 50 and len(caplog.records) == 10


@as_root
def test_a_release_of_another_user_in_its_own_folder(public: str, loop: EventLoop) -> None:
    """Root and a third user reach it; it is refused where others may write to the folder."""
    os.chown(public, OWNER, OWNER)
    ready, ready_end = os.pipe()
    life_line, life_line_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(life_line_end)
            os.setgid(OWNER)
            os.setuid(OWNER)
            with EventLoop() as own:
                config = Config(socket_dir=public, socket_mode=0o666)
                node = Node("release@h", loop=own, cookie=COOKIE, config=config)
                node.listen()
                own.register(life_line, 1, lambda _events: own.stop())
                os.write(ready_end, b"x")
                own.run_forever()
        finally:
            os._exit(0)
    os.close(ready_end)
    assert os.read(ready, 1) == b"x"

    def reached(uid: int) -> object:
        def ping() -> object:
            os.setgid(uid)
            os.setuid(uid)
            with EventLoop() as own, Node("a@h", loop=own, cookie=COOKIE, socket_dir=public) as node:
                error = node.connect("release@h").exception(timeout=5)
                return node.ping("release@h", timeout=5) if error is None else str(error)

        return in_child(ping)

    try:
        assert [reached(uid) for uid in (0, OWNER, OTHER)] == [True, True, True]
        os.chmod(public, 0o777)
        assert reached(OWNER) is True
        for uid in (0, OTHER):
            told = reached(uid)
            assert isinstance(told, str) and f"uid {OWNER}" in told and "allowed_uids" in told
            assert "--allow-user" in told

        def ping(*words: str) -> object:
            there = ["ping", "release@h", "--socket-dir", public, f"--cookie={COOKIE}"]
            return in_child(lambda: cli.main([*there, *words]))

        assert ping() == exit_codes.UNREACHABLE
        assert ping("--allow-user", str(OWNER)) == exit_codes.OK
        assert ping("--allow-user", str(OTHER), "--allow-user", "any") == exit_codes.OK
        assert ping("--allow-user=no-such-user") == exit_codes.USAGE
    finally:
        os.close(life_line_end)
        os.waitpid(child, 0)
        os.close(life_line)
        os.close(ready)


@as_root
def test_a_refusal_by_the_other_side_is_told_as_what_it_is(public: str, loop: EventLoop) -> None:
    """Refuse another user like a release with version 2.0 of the carrier: close at once."""
    os.chown(public, OWNER, OWNER)
    config = Config(socket_dir=public)
    with (
        listener_of(OWNER, places(config).own.address("b@h")) as release,
        Node("a@h", loop=loop, cookie=COOKIE, config=config) as node,
    ):
        loop.register(release, 1, lambda _events: release.accept()[0].close())
        error = node.connect("b@h").exception(timeout=5)
        loop.unregister(release)
    assert isinstance(error, NotAllowedError)
    for part in (f"uid {OWNER}", "uid 0", f"allowed_uids: [{OWNER}, 0]", "before it answered"):
        assert part in str(error)


@as_root
@pytest.mark.parametrize("uid", [0, OWNER])
def test_probe_tells_a_refusal_as_every_command_does(
    public: str, capsys: pytest.CaptureFixture[str], uid: int
) -> None:
    os.chown(public, uid, uid)
    with listener_of(uid, places(Config(socket_dir=public)).own.address("b@h")) as release:
        release.setblocking(True)

        def refuse() -> None:
            for _ in range(2):  # a first connection finds out whether anybody listens
                release.accept()[0].close()

        refusing = Thread(target=refuse)
        refusing.start()
        words = ["probe", "b@h", "--socket-dir", public, f"--cookie={COOKIE}"]
        assert cli.main(words) == exit_codes.UNREACHABLE
        refusing.join(5)
    told = capsys.readouterr().err
    cure = f"allowed_uids: [{uid}, 0]" if uid else "add 0 to config :uds_dist, allowed_uids"
    assert "before it answered a byte" in told and cure in told


@on_linux
def test_the_overflow_uid_is_told_as_what_it_is() -> None:
    """`allowed_uids` cannot list it, so the texts do not advise that."""
    overflow = overflow_uid()
    for uid in (overflow, OTHER):
        texts = [reasons.caller_refused(uid), str(reasons.listener_refused(uid, FILE))]
        for text in texts:
            assert f"uid {uid}" in text
            assert ("without a number in this user namespace" in text) is (uid == overflow)
            assert ("allowed_uids" in text) is (uid != overflow)


def test_a_release_whose_list_lacks_its_own_user(loop: EventLoop, tmp_path: Path) -> None:
    """It refuses its own user, like every release with uds_dist 2.0 that lists only others."""
    config = Config(socket_dir=tmp_path)
    with (
        socket.socket(socket.AF_UNIX) as release,
        Node("a@h", loop=loop, cookie=COOKIE, config=config) as node,
    ):
        release.bind(places(config).own.address("b@h").value)
        release.listen()
        loop.register(release, 1, lambda _events: release.accept()[0].close())
        error = node.connect("b@h").exception(timeout=5)
        loop.unregister(release)
    assert f"add {os.geteuid()} to config :uds_dist, allowed_uids" in str(error)
    assert not isinstance(error, NotAllowedError)  # it may also be ending


def test_module_has_a_question_for_each_system() -> None:
    assert set(module.QUESTIONS) == {
        "linux",
        "darwin",
        "freebsd",
        "dragonfly",
        "netbsd",
        "openbsd",
    }
