"""Where a node's socket is: a file in `socket_dir`, or a Linux abstract socket.

Without a configured folder, version 1.0 of the Erlang carrier listens in the working folder, and
version 2.0 on ``/tmp/uds-dist-NAME.sock``. A node listens at the place of its own layout, and looks
for others at both.

Only the part of a node name before the ``@`` identifies the socket; the host part is a convention.
So ``a@localhost`` and ``a@elsewhere`` are the same socket, and the handshake shows whether the
right node answers.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from typing import NamedTuple

from uds_dist.config import Config
from uds_dist.errors import AddressError
from uds_dist.protocol.node_names import is_node_part, split_node_name

# sun_path: 108 bytes on Linux, 104 on the BSDs and macOS, including the final NUL of a path.
PATH_LIMIT = (108 if sys.platform == "linux" else 104) - 1
# An abstract name starts with a NUL and does not end with one.
ABSTRACT_LIMIT = 107

ALIVE = "alive"
STALE = "stale"
DENIED = "denied"
NO_SOCKET = "no socket"


class SocketAddress(NamedTuple):
    """One node's socket: ``value`` for bind and connect, ``text`` for people."""

    value: str
    abstract: bool

    @property
    def text(self) -> str:
        return "@" + self.value[1:] if self.abstract else self.value

    def __str__(self) -> str:
        return self.text


class Place:
    """A pattern of sockets: the files ``FOLDER/PREFIXnodeSUFFIX``, or abstract sockets.

    ``given`` is the folder as the user gave it; ``folder`` is the absolute path, or the prefix of
    abstract names.
    """

    __slots__ = ("folder", "given", "prefix", "suffix", "abstract")

    def __init__(
        self, folder: str, given: str, prefix: str = "", suffix: str = "", abstract: bool = False
    ) -> None:
        self.folder = folder
        self.given = given
        self.prefix = prefix
        self.suffix = suffix
        self.abstract = abstract

    def __str__(self) -> str:
        return f"{self.folder}/{self.prefix}NAME{self.suffix}" if self.prefix else self.given

    def address(self, name: str) -> SocketAddress:
        """The socket of the node called `name`.

        Args:
            name: a full node name, or just the part before the ``@``.
        Returns:
            The address; this makes no system call.
        Raises:
            NodeNameError: the name is not a valid node name.
            AddressError: the path is too long for a socket, or abstract sockets do not exist here.
        """
        node = split_node_name(name)[0] if "@" in name else name
        if not is_node_part(node):
            split_node_name(f"{node}@localhost")  # raises an error that says what is wrong
        if self.abstract:
            return _abstract_address(self.folder, node)
        file = f"{self.prefix}{node}{self.suffix}"
        path = os.path.join(self.folder, file)
        size = _size(path)
        if size > PATH_LIMIT:
            # In a deep folder the relative path may still fit, until the program leaves it.
            relative = os.path.join(self.given, file)
            if _size(relative) > PATH_LIMIT or _absolute(relative) != os.path.normpath(path):
                raise AddressError(
                    f"the socket path has {size} bytes and at most {PATH_LIMIT} fit: {path}"
                    " (use a shorter socket_dir)"
                )
            path = relative
        return SocketAddress(path, False)

    def nodes(self) -> list[str]:
        """The node names, without ``@`` and host, that have a socket."""
        if self.abstract:
            names = _abstract_names(self.folder)
        else:
            start, end = len(self.prefix), -len(self.suffix) or None
            names = [
                entry[start:end]
                for entry in os.listdir(self.folder)
                if entry.startswith(self.prefix)
                and entry.endswith(self.suffix)
                and _is_socket(os.path.join(self.folder, entry))
            ]
        return sorted(name for name in set(names) if is_node_part(name))


# Where nodes with version 2 of the carrier meet without a configured folder.
SHARED = Place("/tmp", "/tmp", "uds-dist-", ".sock")


class Places:
    """Where a node listens, and where it looks for others, in this order.

    ``folder`` is the configured one, if nodes with the carrier `uds_dist` can share it.
    """

    __slots__ = ("own", "others", "folder")

    def __init__(self, own: Place, others: tuple[Place, ...], folder: str | None) -> None:
        self.own = own
        self.others = others
        self.folder = folder

    def addresses(self, name: str) -> tuple[SocketAddress, ...]:
        """Where to look for the node called `name`; raises what `Place.address` raises."""
        found = []
        for place in self.others:
            try:
                found.append(place.address(name))
            except AddressError:
                # The path of the working folder may be too long: there is another place.
                if place is self.others[-1]:
                    raise
        return tuple(found)


def places(config: Config) -> Places:
    """Where nodes meet.

    A relative folder, or the working folder if none is configured, is resolved now: a later `chdir`
    changes nothing.

    Args:
        config: `socket_dir` and `layout` are used.
    """
    given = "." if config.socket_dir is None else os.fspath(config.socket_dir)
    if given.startswith("@"):
        own = Place(given[1:], given, abstract=True)
        return Places(own, (own,), None)
    if config.layout == "erl_uds_dist":
        own = Place(_absolute(given), given)
        return Places(own, (own,), None)
    own = Place(_absolute(given), given, suffix=".sock")
    if config.socket_dir is not None:
        return Places(own, (own,), own.folder)
    return Places(SHARED if config.layout == "uds_dist2" else own, (own, SHARED), None)


def _absolute(folder: str) -> str:
    try:
        return os.path.abspath(folder)
    except OSError:
        return folder  # the working folder was removed


def _size(path: str) -> int:
    """The size of a path in bytes, as the system counts it."""
    try:
        return len(os.fsencode(path))
    except UnicodeEncodeError:
        raise AddressError(
            f"the socket path {ascii(path)} has a character that this system's encoding of file"
            " names lacks: use another socket_dir"
        ) from None


def _abstract_address(directory: str, node: str) -> SocketAddress:
    if sys.platform != "linux":
        raise AddressError(
            f"abstract sockets (socket_dir {'@' + directory!r}) exist on Linux only: give a folder"
        )
    name = f"\0{directory}/{node}" if directory else f"\0{node}"
    size = _size(name)
    if size > ABSTRACT_LIMIT:
        raise AddressError(
            f"the abstract socket name has {size} bytes and at most {ABSTRACT_LIMIT} fit: "
            f"@{name[1:]} (use a shorter socket_dir)"
        )
    return SocketAddress(name, True)


def probe(address: SocketAddress) -> str:
    """Find out whether a node listens at an address, without a handshake.

    Args:
        address: the socket to try.
    Returns:
        ALIVE, STALE (a socket file without a listener), or NO_SOCKET (nothing is there).
    Raises:
        AddressError: something other than a stream socket is at that path.
        OSError: the system does not let this process find out.
    """
    if not address.abstract:
        try:
            mode = os.stat(address.value).st_mode
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.islink(address.value):
                return NO_SOCKET
            mode = stat.S_IFLNK  # a dangling link, which bind would fail on
        if not stat.S_ISSOCK(mode):
            raise AddressError(f"{address} exists and is not a socket: it is left unchanged")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        error = knock.connect_ex(address.value)
    if error in (0, errno.EAGAIN, errno.EINPROGRESS):
        return ALIVE  # EAGAIN: the backlog is full, so a process listens
    if error == errno.ECONNREFUSED:
        return NO_SOCKET if address.abstract else STALE
    if error == errno.ENOENT:
        return NO_SOCKET
    if error == errno.EPROTOTYPE:
        raise AddressError(f"{address} is a socket of another kind: it is left unchanged")
    raise OSError(error, os.strerror(error), str(address))


class Found:
    """A socket that was found: the part of its node's name before the ``@``, and its state.

    ``state`` is ALIVE, STALE, or DENIED (this user may not connect).
    """

    __slots__ = ("name", "state", "address")

    def __init__(self, name: str, state: str, address: SocketAddress) -> None:
        self.name = name
        self.state = state
        self.address = address


def listening_nodes(where: Places) -> list[Found]:
    """The sockets where nodes meet: those of live nodes, and files that dead nodes left.

    Returns:
        The sockets, sorted by name; abstract sockets are always live.
    Raises:
        OSError: the folder cannot be read.
        AddressError: abstract sockets do not exist on this system.
    """
    found: dict[SocketAddress, Found] = {}
    # In /tmp, the files of the last place also match the first, under other names.
    for place in reversed(where.others):
        try:
            nodes = place.nodes()
        except OSError:
            if len(where.others) == 1:
                raise
            continue  # nodes may still be in the other place
        for name in nodes:
            try:
                address = place.address(name)
                state = probe(address)
            except PermissionError:
                state = DENIED
            except AddressError:
                continue  # not a node's: a path too long to dial, or not a stream socket
            if state != NO_SOCKET:
                found.setdefault(address, Found(name, state, address))
    return sorted(reversed(found.values()), key=lambda one: one.name)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False  # it was removed meanwhile, or is a dangling link


def _abstract_names(directory: str) -> list[str]:
    _abstract_address(directory, "x")  # the error where abstract sockets do not exist
    prefix = f"@{directory}/" if directory else "@"
    listening = 0x00010000  # __SO_ACCEPTCON: the flag of a listening socket in /proc/net/unix
    names = []
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        for line in table.readlines()[1:]:
            columns = line.split(maxsplit=7)
            if len(columns) == 8 and int(columns[3], 16) & listening:
                path = columns[7].rstrip("\n")
                if path.startswith(prefix):
                    names.append(path[len(prefix) :])
    return names
