"""A listening socket: how it is bound to its address, and how it is removed.

Three things can already be at the path of a new socket. If a live node listens there, this node is
a duplicate and fails. A file that a dead node left is taken over. Anything else is never touched.
Two nodes that find the same dead file could each unlink the other's new file, so the check and the
take-over happen under an advisory lock on the folder. The lock needs no extra file, and the kernel
drops it with the process. Anyone who can read the folder can hold it, so the wait is bounded. If
the folder cannot be locked, because the file system has no locks or this user may write to the
folder but not read it, a warning says so.

The file never has a wider mode than `socket_mode`, not even for a moment: Linux takes the mode of a
new socket file from the socket itself, so it is set there before bind. Elsewhere the umask does it.
On a file system without modes the peer's user id decides instead.

A failure leaves no dead file, and raises a ListenError.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from uds_dist.config import Config
from uds_dist.errors import AddressError, DuplicateNameError, ListenError
from uds_dist.transport.address import ALIVE, STALE, SocketAddress, probe
from uds_dist.transport.credentials import peer_pid, peer_uid
from uds_dist.transport.folder import folder_lock, make_folder

logger = logging.getLogger(__name__)

# Permission bits of a new socket file, and of one with `allowed_uids` set.
OWN_MODE = 0o600
GUARDED_MODE = 0o666


class Binding:
    """A listening socket at its address, and its file if this node made one.

    ``bits_hold`` is False if the file has a wider mode than it should; ``given`` is True for a
    socket that another program made and may still hold.
    """

    def __init__(self, sock: socket.socket, address: SocketAddress, given: bool = False) -> None:
        self.sock = sock
        self.address = address
        self.given = given
        self.bits_hold = True
        # A relative folder must survive a later chdir.
        self._path = self._absolute()
        self._made = False  # this node made a socket file
        self._file: tuple[int, int] | None = None

    def _absolute(self) -> str:
        value = self.address.value
        return value if self.address.abstract else os.path.abspath(value)

    @property
    def in_place(self) -> bool:
        """False if the file that this node made has been removed or replaced."""
        return not self._made or _file_id(self._path) == self._file

    def again(self, config: Config, wait: bool) -> Binding:
        """Listen at the same address; the arguments and errors are those of `bind`."""
        if self._absolute() != self._path:
            raise ListenError(
                errno.ENAMETOOLONG,
                f"{self._path} is too long for a socket, and this program has left the folder from"
                " which it listened: use a shorter socket_dir",
            )
        return bind(self.address, config, wait)

    def made(self) -> None:
        """Note that the socket file now exists and is this socket's."""
        self._made = True
        self._file = _file_id(self._path)

    def remove(self) -> None:
        """Remove the socket file if it is still the one that this node made."""
        if self._made and self.in_place:
            try:
                os.unlink(self._path)
            except OSError as error:
                logger.warning(
                    "%s: cannot remove the socket file: %s", self.address, error.strerror
                )

    def close(self) -> None:
        """Remove the file and shut the socket down; a given socket is only closed."""
        self.remove()
        if not self.given:
            try:
                # A forked child may hold the socket too: a peer that dials would wait forever.
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # some systems shut down connected sockets only
        self.sock.close()


def bind(address: SocketAddress, config: Config, wait: bool = True) -> Binding:
    """Listen at an address.

    Args:
        address: where to listen; if only the last part of the folder is missing, it is made.
        config: `backlog`, `socket_mode` and `allowed_uids` are used.
        wait: False to fail at once if another process has locked the folder.
    Raises:
        DuplicateNameError: a live node listens there.
        ListenError: this process cannot listen at the address.
    """
    try:
        binding = Binding(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), address)
    except OSError as error:
        raise listen_error(address, error) from None
    try:
        _listen(binding, config, wait)
    except ListenError:
        binding.close()
        raise
    except OSError as error:
        binding.close()
        raise listen_error(address, error) from None
    except BaseException:
        binding.close()
        raise
    return binding


def _listen(binding: Binding, config: Config, wait: bool) -> None:
    sock, address = binding.sock, binding.address
    sock.setblocking(False)
    if address.abstract:
        _bind_abstract(sock, address)
        sock.listen(config.backlog)
        return
    folder = os.path.dirname(address.value) or "."
    make_folder(folder)
    with folder_lock(folder, wait):
        _take_over(address)
        _bind_file(sock, address, _mode(config))
        binding.made()
        binding.bits_hold = _set_mode(address, _mode(config))
        # Under the lock: otherwise another node could find a socket that is bound but does not
        # listen yet, and take it for stale.
        sock.listen(config.backlog)


def adopt(sock: socket.socket) -> Binding:
    """Use a socket that already listens.

    Raises:
        ListenError: it is not a Unix stream socket, or does not listen.
    """
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ListenError(errno.EINVAL, f"{sock!r} is not a Unix stream socket")
    try:
        name = sock.getsockname()
        listens = _listens(sock)
        if listens and peer_uid(sock) not in (None, os.geteuid()):
            # Peers see the user that called listen last. A carrier of version 2.0 refuses a service
            # manager's, which is root.
            sock.listen(socket.SOMAXCONN)
        sock.setblocking(False)
    except OSError as error:
        raise ListenError(error.errno, f"{sock!r} cannot be used: {error.strerror}") from None
    if not listens:
        raise ListenError(errno.EINVAL, f"{sock!r} does not listen: call its listen() first")
    abstract = isinstance(name, bytes)
    return Binding(sock, SocketAddress(os.fsdecode(name), abstract), given=True)


def _listens(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            return True  # the system does not know the option; accept would fail instead
        raise


def _bind_abstract(listener: socket.socket, address: SocketAddress) -> None:
    try:
        listener.bind(address.value)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and probe(address) == ALIVE:
            raise _duplicate(address) from None
        raise listen_error(address, error) from None


def _take_over(address: SocketAddress) -> None:
    try:
        state = probe(address)
        if state == STALE:
            os.unlink(address.value)
            logger.info("%s: taking over the file of a dead node", address)
    except AddressError as error:
        raise ListenError(errno.EADDRINUSE, str(error)) from None
    except OSError as error:
        raise listen_error(address, error) from None
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
    """Give a new socket file its mode; False if its mode stays wider than that."""
    # A mode wider than the umask allows was set on purpose.
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
            pass  # the file's mode is checked after bind
        else:
            yield
            return
    umask = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(umask)


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _duplicate(address: SocketAddress) -> DuplicateNameError:
    return DuplicateNameError(
        errno.EADDRINUSE,
        f"a live node already listens at {address}{_holder(address)}: use another name or stop it",
    )


def _holder(address: SocketAddress) -> str:
    """The process behind a live socket in parentheses, if the system reports it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        if knock.connect_ex(address.value):
            return ""
        pid, uid = peer_pid(knock), peer_uid(knock)
    known = [f"process {pid}"] * (pid is not None) + [f"uid {uid}"] * (uid is not None)
    return f" ({', '.join(known)})" if known else ""


def listen_error(address: SocketAddress, error: OSError) -> ListenError:
    """The system does not let this process listen."""
    whose = _whose(address) if error.errno in (errno.EACCES, errno.EPERM) else ""
    return ListenError(error.errno, f"cannot listen at {address}: {error.strerror}{whose}")


def _whose(address: SocketAddress) -> str:
    """Which user's file or folder keeps this process from listening."""
    if address.abstract:
        return ""
    own = f"and this process runs as uid {os.geteuid()}"
    try:
        owner = os.lstat(address.value).st_uid
        return f": the file belongs to uid {owner}, {own}: use another name or remove it"
    except FileNotFoundError:
        pass
    except OSError:
        return ""
    try:
        folder = os.stat(os.path.dirname(address.value) or ".")
    except OSError:
        return ""
    mode = stat.S_IMODE(folder.st_mode)
    return f": the folder belongs to uid {folder.st_uid} with mode {mode:04o}, {own}"
