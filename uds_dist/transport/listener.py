"""The listening socket: how it comes to be, how it goes, and who is let in.

Three things can stand in the way at the path of a new socket. A live node: then this one is a
duplicate and says so. A file that its dead owner left: then it is taken over. Anything that is no
socket: then it is never touched. Two nodes that both find the same dead file could each unlink the
other's new one, so the look and the take-over happen under an advisory lock on the folder; it
needs no file of its own and the kernel drops it with the process.

The file is never open wider than `socket_mode`, not for a moment: Linux takes the mode of a new
socket file from the socket itself, so it is set there before bind. Elsewhere the umask does it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uds_dist.config import Config
from uds_dist.errors import AddressError, DuplicateNameError, ListenError
from uds_dist.transport.address import ALIVE, STALE, SocketAddress, probe
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.timers import Timer

logger = logging.getLogger(__name__)

# Accepting is one of many things in a round: the rest of the backlog waits for the next one.
ACCEPTS_PER_ROUND = 16
# With no descriptor left, accept is tried again after this many seconds.
PAUSE = 0.5
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_UCRED = struct.Struct("3i")  # pid, uid, gid


class Listener:
    """One listening socket, registered with the loop.

    Args:
        loop: the loop that watches the socket.
        address: where to listen.
        config: `backlog`, `socket_mode` and `allowed_uids` are used.
        on_accept: called with each admitted, non-blocking socket.
    Raises:
        DuplicateNameError: a live node listens there.
        ListenError: the address cannot be listened at.
    """

    def __init__(
        self,
        loop: EventLoop,
        address: SocketAddress,
        config: Config,
        on_accept: Callable[[socket.socket], object],
    ) -> None:
        self.address = address
        self.accepted = 0
        self.refused = 0
        self._loop = loop
        self._config = config
        self._on_accept = on_accept
        self._resume: Timer | None = None
        self._held_back = False
        self._socket = _listen(address, config)
        self._file_id = None if address.abstract else _file_id(address.value)
        # The folder may be given relative to a current directory that changes later.
        self._path = address.value if address.abstract else os.path.abspath(address.value)
        loop.register(self._socket, READ, self._on_readable)

    def __repr__(self) -> str:
        state = "closed" if self._socket.fileno() < 0 else "open" if self._watched else "paused"
        return f"<Listener {self.address} {state} accepted={self.accepted} refused={self.refused}>"

    def _on_readable(self, _events: int) -> None:
        for _ in range(ACCEPTS_PER_ROUND):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_DESCRIPTORS:
                    raise
                self._pause(error)
                return
            accepted.setblocking(False)
            if may_connect(accepted, self.address, self._config):
                self.accepted += 1
                self._on_accept(accepted)
            else:
                self.refused += 1
                accepted.close()
            if self._socket.fileno() < 0 or self._held_back:  # by on_accept
                return

    @property
    def _watched(self) -> bool:
        return self._resume is None and not self._held_back

    def hold_back(self) -> None:
        """Accept nobody until `go_on`; who dials meanwhile waits in the backlog."""
        if not self._held_back and self._socket.fileno() >= 0:
            if self._watched:
                self._loop.unregister(self._socket)
            self._held_back = True

    def go_on(self) -> None:
        """Accept again after `hold_back`."""
        if self._held_back and self._socket.fileno() >= 0:
            self._held_back = False
            self._watch_again()

    def _watch_again(self) -> None:
        if self._watched:
            self._loop.register(self._socket, READ, self._on_readable)

    def _pause(self, error: OSError) -> None:
        logger.warning("%s: accepting pauses for %s s: %s", self.address, PAUSE, error.strerror)
        self._loop.unregister(self._socket)
        self._resume = self._loop.call_later(PAUSE, self._pause_over)

    def _pause_over(self) -> None:
        self._resume = None
        self._watch_again()

    def close(self) -> None:
        """Stop listening and remove the socket file, if it is still the one made here."""
        if self._socket.fileno() < 0:
            return
        if self._loop.forked:
            self._socket.close()  # the file and the epoll registration are the parent's
            return
        if self._watched and not self._loop.closed:
            self._loop.unregister(self._socket)
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if self._file_id is not None and _file_id(self._path) == self._file_id:
            try:
                os.unlink(self._path)
            except OSError as error:
                logger.warning("%s: the socket file stays: %s", self.address, error.strerror)
        try:
            # A forked child may hold the socket too: whoever dials it shall not wait for ever.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # some systems shut down connected sockets only
        self._socket.close()


def may_connect(peer: socket.socket, address: SocketAddress, config: Config) -> bool:
    """Tell whether the user id at the other end of a socket may be talked to.

    A socket file has permission bits, so the check is made there only when `allowed_uids` asks
    for it. An abstract socket has none: this uid and root are let in, and `allowed_uids`.
    """
    if not address.abstract and not config.allowed_uids:
        return True
    uid = peer_uid(peer)
    if uid is None or uid in (0, os.getuid()) or uid in config.allowed_uids:
        return True
    logger.warning("%s: uid %d is refused; allowed_uids would admit it", address, uid)
    return False


def peer_uid(peer: socket.socket) -> int | None:
    """The user id of the process at the other end; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(data)[1])


def _listen(address: SocketAddress, config: Config) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        if address.abstract:
            _bind_abstract(listener, address)
        else:
            with _folder_lock(os.path.dirname(address.value) or "."):
                _take_over(address)
                _bind_file(listener, address, config.socket_mode)
                # Within the lock: another node that looks must not find a bound socket that
                # does not listen yet and call it stale.
                listener.listen(config.backlog)
        if address.abstract:
            listener.listen(config.backlog)
    except BaseException:
        listener.close()
        raise
    return listener


def _bind_abstract(listener: socket.socket, address: SocketAddress) -> None:
    try:
        listener.bind(address.value)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and probe(address) == ALIVE:
            raise _duplicate(address) from None
        raise _listen_error(address, error) from None


def _take_over(address: SocketAddress) -> None:
    try:
        state = probe(address)
        if state == STALE:
            os.unlink(address.value)
            logger.info("%s: the file of a dead node is taken over", address)
    except AddressError as error:
        raise ListenError(errno.EADDRINUSE, str(error)) from None
    except OSError as error:
        raise _listen_error(address, error) from None
    if state == ALIVE:
        raise _duplicate(address)


def _bind_file(listener: socket.socket, address: SocketAddress, mode: int) -> None:
    try:
        with _narrow_mode(listener, mode):
            listener.bind(address.value)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _duplicate(address) from None
        raise _listen_error(address, error) from None
    # A wider mode than the umask lets through is asked for on purpose.
    if stat.S_IMODE(os.stat(address.value).st_mode) != mode:
        os.chmod(address.value, mode)


@contextmanager
def _narrow_mode(listener: socket.socket, mode: int) -> Iterator[None]:
    if sys.platform == "linux":
        os.fchmod(listener.fileno(), mode)
        yield
        return
    umask = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(umask)


@contextmanager
def _folder_lock(folder: str) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ListenError(
            error.errno, f"socket_dir {folder!r} cannot be used: {error.strerror}"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise ListenError(
                error.errno, f"socket_dir {folder!r} cannot be locked: {error.strerror}"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _duplicate(address: SocketAddress) -> DuplicateNameError:
    return DuplicateNameError(
        errno.EADDRINUSE, f"a live node listens at {address} already: use another name or stop it"
    )


def _listen_error(address: SocketAddress, error: OSError) -> ListenError:
    return ListenError(error.errno, f"cannot listen at {address}: {error.strerror}")
