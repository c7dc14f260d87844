"""The listening socket: how it is made and removed, and which peers are admitted."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.inside import settle
from tests.transport.conftest import MakeNode
from tests.transport.support import (
    Interrupted,
    alarm,
    in_child,
    interrupt,
    open_descriptors,
    raiser,
)
from uds_dist import Config, DuplicateNameError, EventLoop, ListenError, Node
from uds_dist.transport import folder as folder_module
from uds_dist.transport import listener as module
from uds_dist.transport.address import places
from uds_dist.transport.listener import ACCEPTS_PER_ROUND, Listener

umask = os.umask
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


@contextmanager
def listening(
    loop: EventLoop, folder: Path | str, name: str = "a@test", **settings: object
) -> Iterator[tuple[Listener, list[socket.socket]]]:
    """A listener, and what it has accepted."""
    config = Config(socket_dir=str(folder)).replace(**settings)
    accepted: list[socket.socket] = []
    listener = Listener(loop, places(config).own.address(name), config, accepted.append)
    try:
        yield listener, accepted
    finally:
        listener.close()
        for sock in accepted:
            sock.close()


def dial(path: Path | str) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.setblocking(False)
    try:
        caller.connect(str(path))
    except BaseException:
        caller.close()
        raise
    return caller


# --- the file -------------------------------------------------------------------------------------


def test_it_listens_and_its_close_removes_the_file(loop: EventLoop, tmp_path: Path) -> None:
    with listening(loop, tmp_path) as (listener, accepted):
        with dial(tmp_path / "a.sock"):
            assert loop.run_once(5) == 1
        assert len(accepted) == listener.accepted == 1
        assert not accepted[0].getblocking()
        assert "accepted=1" in repr(listener)
        listener.close()
        assert os.listdir(tmp_path) == []
        assert loop.statistics().descriptors == 0
        listener.close()
        assert "closed" in repr(listener)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o000])
def test_the_mode_is_the_one_asked_for(
    loop: EventLoop, tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with listening(loop, tmp_path, socket_mode=mode):
            assert stat.S_IMODE(os.stat(tmp_path / "a.sock").st_mode) == mode
            assert os.umask(umask) == umask  # and the process keeps its own
    finally:
        os.umask(before)


class ModesAtBirth(socket.socket):
    """Notes each file's mode as soon as bind has made it."""

    seen: list[int] = []

    def bind(self, address: object) -> None:
        super().bind(address)  # type: ignore[arg-type]
        assert isinstance(address, str)
        self.seen.append(stat.S_IMODE(os.stat(address).st_mode))


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_file_is_never_open_wider(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    if platform == "linux" != sys.platform:
        pytest.skip("the mode of a socket is its file's on Linux only")
    monkeypatch.setattr(socket, "socket", ModesAtBirth)
    monkeypatch.setattr(sys, "platform", platform)
    ModesAtBirth.seen.clear()
    before = os.umask(0)
    try:
        with listening(loop, tmp_path), listening(loop, tmp_path, "b@test", socket_mode=0o640):
            assert ModesAtBirth.seen == [0o600, 0o640]
    finally:
        os.umask(before)


def test_a_stale_file_is_taken_over(loop: EventLoop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "a.sock"))
        os.chmod(tmp_path / "a.sock", 0o666)
    with listening(loop, tmp_path), dial(tmp_path / "a.sock"):
        assert loop.run_once(5) == 1
        assert stat.S_IMODE(os.stat(tmp_path / "a.sock").st_mode) == 0o600
    assert os.listdir(tmp_path) == []


def test_the_file_of_a_killed_process_is_taken_over(make_node: MakeNode, tmp_path: Path) -> None:
    ready_r, ready_w = os.pipe()
    child = os.fork()
    if not child:
        with EventLoop() as own:
            node = Node("a@test", loop=own, cookie="secret", socket_dir=str(tmp_path))
            node.listen()
            os.write(ready_w, b"x")
            own.run_forever()
    try:
        os.read(ready_r, 1)
        with pytest.raises(DuplicateNameError, match="use another name or stop it"):
            make_node("a")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert os.listdir(tmp_path) == ["a.sock"]
    a, b = make_node("a"), make_node("b")
    assert b.ping("a@test")
    os.close(ready_r)
    os.close(ready_w)


def test_a_live_node_is_left_alone(loop: EventLoop, tmp_path: Path) -> None:
    with listening(loop, tmp_path) as (_, accepted):
        inode = os.stat(tmp_path / "a.sock").st_ino
        before = open_descriptors()
        with pytest.raises(DuplicateNameError, match="live node"):
            with listening(loop, tmp_path):
                pass
        assert open_descriptors() == before
        assert os.stat(tmp_path / "a.sock").st_ino == inode
        with dial(tmp_path / "a.sock"):
            loop.run_once(5)
        assert accepted


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "link to a file", "link to nothing"])
def test_what_is_no_socket_is_never_touched(loop: EventLoop, tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.sock"
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
    before = os.lstat(path)
    with pytest.raises(ListenError, match="not a socket") as caught:
        with listening(loop, tmp_path):
            pass
    assert not isinstance(caught.value, DuplicateNameError)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_only_the_own_file_is_removed(loop: EventLoop, tmp_path: Path) -> None:
    with listening(loop, tmp_path) as (first, _):
        os.unlink(tmp_path / "a.sock")  # by a cleaner of temporary files
        first.close()
        with listening(loop, tmp_path) as (second, _):
            os.unlink(tmp_path / "a.sock")
            with listening(loop, tmp_path) as (third, _):
                second.close()
                assert os.listdir(tmp_path) == ["a.sock"]
                with dial(tmp_path / "a.sock"):
                    loop.run_once(5)
                assert third.accepted == 1


def test_a_relative_folder_survives_chdir(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with listening(loop, "."):
        assert "a.sock" in os.listdir(tmp_path)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert os.listdir(tmp_path) == ["elsewhere"]


def test_a_folder_that_cannot_be_used(loop: EventLoop, tmp_path: Path) -> None:
    before = open_descriptors()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "no" / "no", tmp_path / "file"):
        with pytest.raises(ListenError, match="socket_dir"):
            with listening(loop, folder):
                pass
    assert open_descriptors() == before


def test_two_that_find_the_same_stale_file_do_not_both_listen(tmp_path: Path) -> None:
    # Eight processes at once, five times: one wins, the others hear that it lives.
    for _ in range(5):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "a.sock"))
        start_r, start_w = os.pipe()
        end_r, end_w = os.pipe()
        out_r, out_w = os.pipe()
        children = []
        for _ in range(8):
            child = os.fork()
            if not child:
                os.close(start_w)
                os.close(end_w)
                with EventLoop() as own:
                    os.read(start_r, 1)
                    try:
                        with listening(own, tmp_path):
                            os.write(out_w, b"w")
                            os.read(end_r, 1)
                    except DuplicateNameError:
                        os.write(out_w, b"d")
                    except BaseException:
                        os.write(out_w, b"?")
                os._exit(0)
            children.append(child)
        os.close(start_w)
        outcome = b""
        while len(outcome) < 8:
            outcome += os.read(out_r, 8)
        os.close(end_w)
        for child in children:
            os.waitpid(child, 0)
        for number in (start_r, end_r, out_r, out_w):
            os.close(number)
        assert sorted(outcome) == sorted(b"wddddddd")
        assert os.listdir(tmp_path) == []


def test_the_take_over_waits_for_whoever_holds_the_folder(
    loop: EventLoop, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "a.sock"))
    inode = os.stat(tmp_path / "a.sock").st_ino
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with alarm(0.03, interrupt), pytest.raises(Interrupted):
        with listening(loop, tmp_path):
            pass
    assert os.stat(tmp_path / "a.sock").st_ino == inode
    os.close(holder)
    with listening(loop, tmp_path):
        pass


def test_a_lock_that_is_never_given_back(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "LOCK_PATIENCE", 0.05)
    before = open_descriptors()
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(ListenError, match="locked by another process"):
        with listening(loop, tmp_path):
            pass
    os.close(holder)
    assert open_descriptors() == before and os.listdir(tmp_path) == []


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_a_missing_folder_is_made(loop: EventLoop, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with listening(loop, tmp_path / "made"):
            assert (tmp_path / "made").stat().st_mode & 0o7777 == 0o755
    finally:
        os.umask(before)
    assert os.listdir(tmp_path / "made") == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks(
    loop: EventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    monkeypatch.setattr(fcntl, "flock", raiser(OSError(number, "no locks here")))
    with listening(loop, tmp_path), dial(tmp_path / "a.sock"):
        assert loop.run_once(5) == 1
    assert "cannot be locked: no locks here" in caplog.text


@pytest.mark.parametrize("refused", [True, False])
def test_a_file_system_that_keeps_no_modes(
    loop: EventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refused: bool,
) -> None:
    """It may say so or not; the file is open to all, so the user id decides."""
    no_chmod = raiser(PermissionError(errno.EPERM, "no modes here")) if refused else print
    monkeypatch.setattr(os, "fchmod", no_chmod)
    monkeypatch.setattr(os, "chmod", no_chmod)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    before = umask(0)
    try:
        with listening(loop, tmp_path) as (listener, accepted), dial(tmp_path / "a.sock"):
            assert stat.S_IMODE(os.stat(tmp_path / "a.sock").st_mode) == 0o777
            assert loop.run_once(5) == 1 and len(accepted) == 1
            monkeypatch.setattr(module, "peer_uid", lambda _sock: 54_321)
            with dial(tmp_path / "a.sock"):
                assert loop.run_once(5) == 1 and len(accepted) == 1
            assert listener.refused == 1
    finally:
        umask(before)
    assert "has the mode 777, not 600" in caplog.text
    assert "only this process's user, root and allowed_uids are admitted" in caplog.text


def test_a_folder_that_may_be_written_to_and_not_read(tmp_path: Path) -> None:
    """A folder like a drop box, mode 1733: there can be no lock, and a dead file is taken over."""
    if os.geteuid():
        pytest.skip("root alone can give a folder away and become another user")
    folder = tempfile.mkdtemp(prefix="uds")
    os.chmod(folder, 0o1733)
    path = os.path.join(folder, "a.sock")

    def listen() -> list[bool]:
        os.setgid(54_321)
        os.setuid(54_321)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        with EventLoop() as own:
            with listening(own, folder) as (_, accepted), dial(path):
                own.run_once(5)
                return [len(accepted) == 1, os.path.exists(path)]

    try:
        assert in_child(listen) == [True, True]
        assert os.listdir(folder) == []
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("theirs", ["dead", "closed", "folder"])
def test_what_belongs_to_another_user_is_named(theirs: str) -> None:
    """A dead file in a folder like /tmp, a file that may not be dialled, a folder."""
    if os.geteuid():
        pytest.skip("root alone can become another user")
    with tempfile.TemporaryDirectory(prefix="uds") as folder:
        os.chmod(folder, 0o755 if theirs == "folder" else 0o1777)
        path = os.path.join(folder, "a.sock")
        if theirs != "folder":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(path)
            os.chmod(path, 0o666 if theirs == "dead" else 0o600)

        def listen() -> str:
            os.setgid(54_321)
            os.setuid(54_321)
            with EventLoop() as own, pytest.raises(ListenError) as caught:
                with listening(own, folder):
                    pass
            return str(caught.value)

        told = in_child(listen)
    what = "folder belongs to uid 0 with mode 0755" if theirs == "folder" else "file belongs to uid 0"
    assert isinstance(told, str) and f": the {what}, and this process runs as uid 54321" in told


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize("step", ["socket", "bind", "stat", "listen", "register"])
def test_every_error_of_the_system_is_a_listen_error_and_leaves_nothing(
    loop: EventLoop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    abstract: bool,
) -> None:
    if abstract and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    before = open_descriptors()
    failing = raiser(OSError(errno.ENOSPC, "made up"))
    broken: type[socket.socket] | object = type("Broken", (socket.socket,), {step: failing})
    if step == "socket":
        broken = failing
    if step in ("socket", "bind", "listen"):
        monkeypatch.setattr(socket, "socket", broken)
    elif step == "stat":
        monkeypatch.setattr(os, "lstat", failing)
    else:
        monkeypatch.setattr(EventLoop, "register", failing)
    folder = f"@error-{os.getpid()}" if abstract else tmp_path
    try:
        with listening(loop, folder):
            assert step == "stat" and abstract  # where nothing is looked at
    except ListenError as error:
        assert "made up" in str(error) and error.errno == errno.ENOSPC
    else:
        assert step == "stat" and abstract
    monkeypatch.undo()
    assert open_descriptors() == before and os.listdir(tmp_path) == []
    with listening(loop, folder):
        pass


def test_an_interrupt_leaves_nothing(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventLoop, "register", raiser(KeyboardInterrupt()))
    before = open_descriptors()
    with pytest.raises(KeyboardInterrupt):
        with listening(loop, tmp_path):
            pass
    assert open_descriptors() == before and os.listdir(tmp_path) == []


def test_a_child_that_closes_leaves_file_and_listener(loop: EventLoop, tmp_path: Path) -> None:
    with listening(loop, tmp_path) as (listener, accepted):

        def close() -> int:
            listener.close()
            return listener._socket.fileno()

        assert in_child(close) == -1
        assert os.listdir(tmp_path) == ["a.sock"]
        with dial(tmp_path / "a.sock"):
            assert loop.run_once(5) == 1
        assert accepted


@on_linux
@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_a_child_that_holds_the_socket_does_not_keep_dialers_waiting(
    loop: EventLoop, tmp_path: Path, kind: str
) -> None:
    folder = str(tmp_path) if kind == "file" else f"@held-{os.getpid()}"
    address = places(Config(socket_dir=folder)).own.address("a@test")
    hold_r, hold_w = os.pipe()
    with listening(loop, folder) as (listener, _):
        child = os.fork()
        if not child:
            os.close(hold_w)
            os.read(hold_r, 1)
            os._exit(0)
    with pytest.raises(FileNotFoundError if kind == "file" else ConnectionRefusedError):
        dial(address.value)
    if kind == "abstract":
        with pytest.raises(ListenError, match="in use") as caught:
            with listening(loop, folder):
                pass
        assert not isinstance(caught.value, DuplicateNameError)
    os.close(hold_w)
    os.waitpid(child, 0)
    os.close(hold_r)
    with listening(loop, folder):
        dial(address.value).close()


# --- accepting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backlog", [1, 5])
def test_the_backlog_is_read_at_listen(loop: EventLoop, tmp_path: Path, backlog: int) -> None:
    callers: list[socket.socket] = []
    with listening(loop, tmp_path, backlog=backlog):
        try:
            while len(callers) < 50:
                callers.append(dial(tmp_path / "a.sock"))
        except BlockingIOError:
            pass
        for caller in callers:
            caller.close()
    assert backlog <= len(callers) <= backlog + 2


def test_a_rush_is_accepted_over_several_rounds(loop: EventLoop, tmp_path: Path) -> None:
    with listening(loop, tmp_path, backlog=100) as (_, accepted):
        callers = [dial(tmp_path / "a.sock") for _ in range(40)]
        counts = []
        while loop.run_once():
            counts.append(len(accepted))
        assert counts[:3] == [ACCEPTS_PER_ROUND, 2 * ACCEPTS_PER_ROUND, 40]
        for caller in callers:
            caller.close()


def test_a_handler_that_closes_the_listener_ends_its_round(
    loop: EventLoop, tmp_path: Path
) -> None:
    config = Config(socket_dir=str(tmp_path))
    accepted: list[socket.socket] = []

    def stop(sock: socket.socket) -> None:
        accepted.append(sock)
        listener.close()

    listener = Listener(loop, places(config).own.address("a@test"), config, stop)
    callers = [dial(tmp_path / "a.sock") for _ in range(3)]
    settle(loop)
    assert len(accepted) == 1
    for sock in [*callers, *accepted]:
        sock.close()


def test_a_caller_that_has_gone_already_does_no_harm(loop: EventLoop, make_node: MakeNode) -> None:
    a, b = make_node("a"), make_node("b")
    for _ in range(3):
        dial(Path(a.config.socket_dir or "") / "a.sock").close()
    assert b.ping("a@test")
    settle(loop)
    assert loop.statistics().descriptors == 4  # two listeners, two ends


def test_a_listener_that_cannot_be_watched_again_tries_later(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    with listening(loop, tmp_path) as (listener, accepted):
        listener.hold_back()
        with monkeypatch.context() as patch:
            # As epoll does when the user may watch no more descriptors.
            selector = loop._descriptors.selector
            patch.setattr(selector, "register", raiser(OSError(errno.ENOSPC, "no space")))
            listener.go_on()
            loop.sleep(0.02)
        with dial(tmp_path / "a.sock"):
            assert loop.run_until(lambda: bool(accepted), 5)


# --- abstract sockets -----------------------------------------------------------------------------


@on_linux
def test_abstract_sockets_leave_nothing_and_know_duplicates(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = f"@dup-{os.getpid()}"
    with listening(loop, folder):
        with pytest.raises(DuplicateNameError):
            with listening(loop, folder):
                pass
    with listening(loop, folder):
        pass
    assert os.listdir(tmp_path) == []
