"""The folder of socket files: it is made if missing, checked, and locked.

Nodes with version 2.0 of the Erlang carrier listen only in a folder that their user owns, that is
not a symbolic link, and that has exactly the mode 0755. This library is less strict, and warns.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager

from uds_dist.errors import ListenError

logger = logging.getLogger(__name__)

# The mode of a new folder, and the only mode that nodes with uds_dist 2.0 accept.
FOLDER_MODE = 0o755
# The characters that a shell takes as they are.
WITHOUT_QUOTES = string.ascii_letters + string.digits + "@%+=:,./-_"
# Seconds to wait for the lock on the folder; a node holds it for a millisecond.
LOCK_PATIENCE = 2.0
LOCK_RETRY = 0.005
# The errors of a file system without locks, and of a lock that another process holds.
NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
)
HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def make_folder(folder: str) -> None:
    """Make a folder with mode 0755 if it is missing; its parent must exist.

    Raises:
        ListenError: it cannot be made.
    """
    if os.path.lexists(folder):
        return
    try:
        os.mkdir(folder, FOLDER_MODE)
    except FileExistsError:
        return  # another node made it first
    except FileNotFoundError as error:
        parent = _quoted(os.path.dirname(folder))
        raise _unusable(folder, error, f": first run 'mkdir -p {parent}'") from None
    except OSError as error:
        raise _unusable(folder, error) from None
    try:
        os.chmod(folder, FOLDER_MODE)  # the umask may have removed bits
    except OSError:
        pass  # a file system without modes
    logger.info("socket_dir %r was made", folder)


def warn_of_folder(folder: str) -> None:
    """Warn about a folder in which nodes with uds_dist 2.0 would refuse to listen."""
    flaws: list[str] = []
    cures: list[str] = []
    real, own = folder, os.geteuid()
    if os.path.islink(folder):
        real = os.path.realpath(folder)
        flaws.append("it is a symbolic link")
        cures.append(f"export UDS_DIST_DIR={_quoted(real)}")
    try:
        status = os.stat(real)
    except OSError:
        return  # the code that needs the folder will fail
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != own:
        flaws.append(f"it belongs to uid {status.st_uid} and they may run as uid {own}")
        cures.append(f"chown {own} {_quoted(real)}")
    if mode != FOLDER_MODE:
        # GNU chmod clears a folder's set-group-ID bit only with five digits.
        digits = 5 if mode & 0o7000 else 4
        flaws.append(f"its mode is {mode:04o}")
        cures.append(f"chmod {FOLDER_MODE:0{digits}o} {_quoted(real)}")
    if not flaws or not stat.S_ISDIR(status.st_mode):
        return
    logger.warning(
        "nodes with uds_dist 2.0 refuse the socket_dir %r, because %s: run '%s'",
        folder,
        " and ".join(flaws),
        " && ".join(cures),
    )


def _quoted(path: str) -> str:
    """A path as a word for the shell."""
    if not path.strip(WITHOUT_QUOTES):
        return path
    # Like `shlex.quote`, whose module every program would load for a warning that few log.
    return "'" + path.replace("'", "'\"'\"'") + "'"


@contextmanager
def folder_lock(folder: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock on a folder, if the file system has locks.

    Args:
        folder: its path.
        wait: False to fail at once if another process holds the lock.
    Raises:
        ListenError: the folder cannot be used, or another process holds the lock for too long.
    """
    descriptor = _open_folder(folder)
    try:
        if descriptor is not None:
            _lock(folder, descriptor, LOCK_PATIENCE if wait else 0.0)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open_folder(folder: str) -> int | None:
    """Open a folder for its lock; None if this user may write to it but not read it."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        logger.warning("socket_dir %r cannot be locked: %s", folder, error.strerror)
        return None
    except OSError as error:
        raise _unusable(folder, error) from None


def _unusable(folder: str, error: OSError, cure: str = "") -> ListenError:
    text = f"socket_dir {folder!r} cannot be used: {error.strerror}{cure}"
    return ListenError(error.errno, text)


def _lock(folder: str, descriptor: int, patience: float) -> None:
    """Wait up to `patience` seconds for the lock on a folder."""
    deadline = time.monotonic() + patience
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
                    f" {patience:g} s: find it with 'lsof +d {folder}' or use another folder",
                ) from None
        time.sleep(LOCK_RETRY)
