"""Socket activation: take a socket from a service manager such as systemd, and notify it.

Source: sd_listen_fds(3) and sd_notify(3); other service managers follow them.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Mapping

from uds_dist.errors import ListenError
from uds_dist.transport.address import SocketAddress

logger = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3


def inherited_socket(
    address: SocketAddress, environ: Mapping[str, str] | None = None
) -> socket.socket:
    """The listening socket that this process inherited.

    Args:
        address: where this node would listen by itself; picks one of several sockets.
        environ: the environment to read, by default this process's.
    Returns:
        A duplicate. The inherited descriptor stays open, so a peer that dials between two calls
        waits, as it does while the service manager starts a program.
    Raises:
        ListenError: no Unix socket was inherited, or several and none of them is at `address`.
    """
    environ = os.environ if environ is None else environ
    if environ.get("LISTEN_PID") != str(os.getpid()):
        raise ListenError(
            errno.ENOENT,
            "no socket was inherited: LISTEN_PID is not the id of this process; start it with a"
            " .socket unit, and use exec if a script starts it",
        )
    count = environ.get("LISTEN_FDS", "")
    last = FIRST_DESCRIPTOR + (int(count) if count.isascii() and count.isdigit() else 0)
    found = _inherited(last)
    sockets = [sock for sock in map(_unix_socket, found) if sock is not None]
    named = [sock for sock in sockets if _is_at(sock, address)]
    chosen = named[:1] or sockets
    try:
        if len(chosen) == 1:
            if not named:
                logger.warning(
                    "the inherited socket is at %s, but other nodes look for this one at %s: set"
                    " ListenStream to that path",
                    _name(chosen[0]).replace("\0", "@", 1),
                    address,
                )
            return chosen[0]
    finally:
        for sock in sockets:
            if chosen != [sock]:
                sock.close()
    if not sockets:
        raise ListenError(
            errno.ENOENT, f"none of the {len(found)} inherited descriptors is a Unix stream socket"
        )
    raise ListenError(
        errno.EINVAL,
        f"{len(sockets)} sockets were inherited and none is at {address}: set ListenStream to that"
        " path, or use listen(sock=...) with the right one",
    )


def _inherited(last: int) -> list[int]:
    """The inherited descriptors before `last`; this process's children do not inherit them."""
    found = []
    for descriptor in range(FIRST_DESCRIPTOR, last):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            break  # fewer are open than LISTEN_FDS says
        found.append(descriptor)
    return found


def _unix_socket(descriptor: int) -> socket.socket | None:
    """A duplicate of a descriptor; None if it is not a Unix stream socket."""
    try:
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None
    if sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
        return sock
    sock.close()
    return None


def _name(sock: socket.socket) -> str:
    return os.fsdecode(sock.getsockname())


def _is_at(sock: socket.socket, address: SocketAddress) -> bool:
    name = _name(sock)
    if name == address.value or address.abstract or name.startswith("\0"):
        return name == address.value
    try:
        return os.path.samefile(name, address.value)
    except OSError:
        return False


def notify_ready(environ: Mapping[str, str] | None = None) -> bool:
    """Tell the service manager that this program is ready (``Type=notify``).

    Args:
        environ: the environment to read, by default this process's.
    Returns:
        True if the message was sent; False if NOTIFY_SOCKET is not set, so a program can also call
        this without a service manager.
    Raises:
        ListenError: the service manager's socket cannot be written to.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("NOTIFY_SOCKET")
    if not name:
        return False
    path = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", path)
    except OSError as error:
        raise ListenError(
            error.errno, f"cannot notify the service manager at {name}: {error.strerror or error}"
        ) from None
    return True
