"""The user at the other end of a socket, as the kernel reports it, and whether it is admitted.

The cookie alone is not enough: a node that dials sends its proof to any process that listens, and a
stranger can relay that proof. So the peer's user id is checked before a byte is sent:

    accepted, file        every user that the permission bits let in; if `allowed_uids` is set, only
                          this uid, root and the listed uids among them
    accepted, abstract    this uid, root and the listed uids: there are no permission bits
    dialled, file         this uid, root, the listed uids, and the owner of the folder if only the
                          owner and root may write to it: then no stranger can take a name
    dialled, abstract     this uid, root and the listed uids

`ANY` lists every user. If a rule needs the uid and the system does not report it, the peer is
refused. Uids are effective uids; a listener's is the one that it had when it called listen. Each
system has its own socket option and its own answer format.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Callable

from uds_dist.config import Config, overflow_uid
from uds_dist.transport.address import SocketAddress

_LINUX = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_XUCRED = struct.Struct("=II")  # struct xucred: version, effective uid; groups follow
_XUCRED_VERSION = 0
_NETBSD = struct.Struct("=iII")  # struct unpcbid: pid, effective uid, effective gid
_OPENBSD = struct.Struct("=IIi")  # struct sockpeercred: uid, gid, pid

_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_LOCAL_PEEREID = 3


# How to ask a system for the peer's uid: the level and the number of a `getsockopt` option, the size
# of its largest answer in bytes, and the reader of its answer.
Question = tuple[int, int, int, Callable[[bytes], "int | None"]]


def uid_on_linux(data: bytes) -> int | None:
    """The uid in Linux's SO_PEERCRED."""
    return int(_LINUX.unpack(data)[1]) if len(data) == _LINUX.size else None


def uid_in_xucred(data: bytes) -> int | None:
    """The uid in LOCAL_PEERCRED of macOS, FreeBSD and DragonFly."""
    if len(data) < _XUCRED.size:
        return None
    version, uid = _XUCRED.unpack_from(data)
    return int(uid) if version == _XUCRED_VERSION else None


def uid_on_netbsd(data: bytes) -> int | None:
    """The uid in NetBSD's LOCAL_PEEREID."""
    return int(_NETBSD.unpack(data)[1]) if len(data) == _NETBSD.size else None


def uid_on_openbsd(data: bytes) -> int | None:
    """The uid in OpenBSD's SO_PEERCRED."""
    return int(_OPENBSD.unpack(data)[0]) if len(data) == _OPENBSD.size else None


# By the prefix of sys.platform. Python's socket module may lack the constants of its own system.
QUESTIONS: dict[str, Question] = {
    "linux": (socket.SOL_SOCKET, getattr(socket, "SO_PEERCRED", 17), _LINUX.size, uid_on_linux),
    "darwin": (_SOL_LOCAL, _LOCAL_PEERCRED, 256, uid_in_xucred),
    "freebsd": (_SOL_LOCAL, _LOCAL_PEERCRED, 256, uid_in_xucred),
    "dragonfly": (_SOL_LOCAL, _LOCAL_PEERCRED, 256, uid_in_xucred),
    "netbsd": (_SOL_LOCAL, _LOCAL_PEEREID, _NETBSD.size, uid_on_netbsd),
    "openbsd": (socket.SOL_SOCKET, 0x1022, _OPENBSD.size, uid_on_openbsd),
}


def peer_uid(peer: socket.socket) -> int | None:
    """The peer's effective user id; None if the system does not report it."""
    for system, (level, option, size, read_uid) in QUESTIONS.items():
        if sys.platform.startswith(system):
            try:
                data = peer.getsockopt(level, option, size)
            except OSError:
                return None
            return read_uid(data)
    return None


def peer_pid(peer: socket.socket) -> int | None:
    """The peer's process id; None if it has none here, as in another container."""
    if sys.platform != "linux":
        return None
    try:
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _LINUX.size)
    except OSError:
        return None
    return int(_LINUX.unpack(data)[0]) or None


def admits_every_uid(address: SocketAddress, config: Config, *, bits_hold: bool = True) -> bool:
    """Whether the permission bits of a socket file alone decide who is admitted.

    Args:
        address: where this node listens.
        config: `allowed_uids` is used.
        bits_hold: whether the socket file has the permission bits that it should have.
    """
    return not address.abstract and bits_hold and not config.allowed_uids


def may_accept(
    uid: int | None, address: SocketAddress, config: Config, *, bits_hold: bool = True
) -> bool:
    """Whether a process that has connected to this node is admitted.

    Args:
        uid: the peer's uid; None if it is unknown.
        address: where the peer connected.
        config: `allowed_uids` is used.
        bits_hold: whether the socket file has the permission bits that it should have.
    """
    return admits_every_uid(address, config, bits_hold=bits_hold) or _is_trusted(uid, config)


def may_dial(uid: int | None, address: SocketAddress, config: Config) -> bool:
    """Whether the process that listens at an address is admitted.

    Args:
        uid: the listener's uid; None if it is unknown.
        address: where this node connected.
        config: `allowed_uids` is used.
    """
    if _is_trusted(uid, config):
        return True
    return uid is not None and not address.abstract and uid == _sole_writer(address)


def _is_trusted(uid: int | None, config: Config) -> bool:
    allowed = config.allowed_uids
    if isinstance(allowed, str):  # ANY
        return True
    return uid is not None and (uid in (0, os.geteuid()) or uid in allowed)


def _sole_writer(address: SocketAddress) -> int | None:
    """The owner of a socket's folder, if only the owner and root may write to it."""
    try:
        status = os.stat(os.path.dirname(address.value) or ".")
    except OSError:
        return None
    # With an access list, the group bits cover everyone that the list names.
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid == overflow_uid():
        return None
    return status.st_uid
