"""The listening socket: how it comes to be, how it goes, and who is let in.

Three things can stand in the way at the path of a new socket. A live node: then this one is a
duplicate and says so. A file that its dead owner left: then it is taken over. Anything that is no
socket: then it is never touched. Two nodes that both find the same dead file could each unlink the
other's new one, so the look and the take-over happen under an advisory lock on the folder; it
needs no file of its own and the kernel drops it with the process. Whoever can read the folder can
hold that lock, so the wait for it is bounded. Where there is none to be had, on a file system
without locks or in a folder that this user may write to and not read, a warning says so.

The file is never open wider than `socket_mode`, not for a moment: Linux takes the mode of a new
socket file from the socket itself, so it is set there before bind. Elsewhere the umask does it. On
a file system that keeps no modes the kernel's word on the user id decides in their place.

Whatever fails, no file stays that nobody listens at, and the error is a ListenError.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uds_dist.config import Config
from uds_dist.errors import AddressError, DuplicateNameError, ListenError
from uds_dist.transport import reasons
from uds_dist.transport.address import ALIVE, STALE, SocketAddress, probe
from uds_dist.transport.credentials import may_accept, peer_uid
from uds_dist.transport.log_rate import BoundedLog
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.timers import Timer

logger = logging.getLogger(__name__)

# Accepting is one of many things in a round: the rest of the backlog waits for the next one.
ACCEPTS_PER_ROUND = 16
# With no descriptor left, accept is tried again after this many seconds.
PAUSE = 0.5
# Seconds to wait for the lock on the folder; a node holds it for a millisecond.
LOCK_PATIENCE = 2.0
LOCK_RETRY = 0.005
# What a system says whose file system has no locks, and what it says of a lock that is held.
NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
)
HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})

# Permission bits of a new socket file, and of one that `allowed_uids` guards.
OWN_MODE = 0o600
GUARDED_MODE = 0o666


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
        self._refusals = BoundedLog(logger, loop.time)
        # The folder may be given relative to a current directory that changes later.
        self._path = address.value if address.abstract else os.path.abspath(address.value)
        self._bound = False  # there is a socket file that was made here
        self._file_id: tuple[int, int] | None = None
        self._bits_hold = True
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise _listen_error(address, error) from None
        try:
            self._listen()
            loop.register(self._socket, READ, self._on_readable)
        except ListenError:
            self._undo()
            raise
        except OSError as error:
            self._undo()
            raise _listen_error(address, error) from None
        except BaseException:
            self._undo()
            raise

    def _listen(self) -> None:
        address, config = self.address, self._config
        self._socket.setblocking(False)
        if address.abstract:
            _bind_abstract(self._socket, address)
            self._socket.listen(config.backlog)
            return
        with _folder_lock(os.path.dirname(address.value) or "."):
            _take_over(address)
            _bind_file(self._socket, address, _mode(config))
            self._bound = True
            self._file_id = _file_id(address.value)
            self._bits_hold = _set_mode(address, _mode(config))
            # Within the lock: another node that looks must not find a bound socket that
            # does not listen yet and call it stale.
            self._socket.listen(config.backlog)

    def _undo(self) -> None:
        """Take back what was done before something failed."""
        self._remove_file()
        self._socket.close()

    def _remove_file(self) -> None:
        """Remove the socket file, if it is still the one made here."""
        if self._bound and _file_id(self._path) == self._file_id:
            try:
                os.unlink(self._path)
            except OSError as error:
                logger.warning("%s: the socket file stays: %s", self.address, error.strerror)

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
                # Without a descriptor to give, above all; and whatever it is, the peer is as well
                # served by another attempt as the program is by a listener that stays.
                self._pause(error)
                return
            try:
                self._admit(accepted)
            except Exception as error:
                accepted.close()
                if not is_own_fault(error):
                    raise
                logger.error("%s: a caller could not be served", self.address, exc_info=error)
            if self._socket.fileno() < 0 or self._held_back:  # by on_accept
                return

    def _admit(self, accepted: socket.socket) -> None:
        """Hand on who may connect."""
        accepted.setblocking(False)
        uid = peer_uid(accepted)
        if may_accept(uid, self.address, self._config, bits_hold=self._bits_hold):
            self.accepted += 1
            self._on_accept(accepted)
        else:
            self.refused += 1
            accepted.close()
            self._refusals.warning("%s: %s", self.address, reasons.caller_refused(uid))

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
        self._remove_file()
        try:
            # A forked child may hold the socket too: whoever dials it shall not wait for ever.
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # some systems shut down connected sockets only
        self._socket.close()


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


def _mode(config: Config) -> int:
    """The permission bits of the socket file."""
    if config.socket_mode is not None:
        return config.socket_mode
    return GUARDED_MODE if config.allowed_uids else OWN_MODE


def _bind_file(listener: socket.socket, address: SocketAddress, mode: int) -> None:
    try:
        with _narrow_mode(listener, mode):
            listener.bind(address.value)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _duplicate(address) from None
        raise


def _set_mode(address: SocketAddress, mode: int) -> bool:
    """Give a new socket file its mode; False if it stays open wider than that."""
    # A wider mode than the umask lets through is asked for on purpose.
    found = stat.S_IMODE(os.lstat(address.value).st_mode)
    if found == mode:
        return True
    reason = "its file system keeps another mode"
    try:
        os.chmod(address.value, mode)
    except OSError as error:
        reason = error.strerror or str(error)
    found = stat.S_IMODE(os.lstat(address.value).st_mode)
    if found == mode:
        return True
    wider = bool(found & ~mode)
    logger.warning(
        "%s: the socket file has the mode %03o, not %03o: %s%s",
        address,
        found,
        mode,
        reason,
        "; only this process's user, root and allowed_uids are admitted" if wider else "",
    )
    return not wider


@contextmanager
def _narrow_mode(listener: socket.socket, mode: int) -> Iterator[None]:
    if sys.platform == "linux":
        try:
            os.fchmod(listener.fileno(), mode)
        except OSError:
            pass  # what the file is given is looked at after bind
        else:
            yield
            return
    umask = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(umask)


@contextmanager
def _folder_lock(folder: str) -> Iterator[None]:
    """Hold the lock on a folder, where there can be one."""
    descriptor = _open_folder(folder)
    try:
        if descriptor is not None:
            _lock(folder, descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open_folder(folder: str) -> int | None:
    """Open a folder for its lock; None for one that may be written to and not read."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        logger.warning("socket_dir %r cannot be locked: %s", folder, error.strerror)
        return None
    except OSError as error:
        raise ListenError(
            error.errno, f"socket_dir {folder!r} cannot be used: {error.strerror}"
        ) from None


def _lock(folder: str, descriptor: int) -> None:
    """Wait for the lock on a folder, for a while."""
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno in NO_LOCKS:
                logger.warning("socket_dir %r cannot be locked: %s", folder, error.strerror)
                return
            if error.errno not in HELD:
                raise
            if time.monotonic() >= deadline:
                raise ListenError(
                    errno.EWOULDBLOCK,
                    f"socket_dir {folder!r} is locked by another process for longer than"
                    f" {LOCK_PATIENCE:g} s: find it with 'lsof +d {folder}' or use another folder",
                ) from None
        time.sleep(LOCK_RETRY)


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
