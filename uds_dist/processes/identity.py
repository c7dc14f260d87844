"""Who a node is: its cookie and its creation."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from secrets import randbelow

from uds_dist.errors import ConfigError

COOKIE_FILE = ".erlang.cookie"
COOKIE_VARIABLES = ("UDS_DIST_COOKIE", "RELEASE_COOKIE")


def new_creation() -> int:
    """A random creation: 32 bits, above the numbers 0 to 3 that mean "any" or are of old nodes."""
    return randbelow(2**32 - 4) + 4


def find_cookie(environ: Mapping[str, str] | None = None) -> str:
    """The cookie that this user's nodes share.

    Args:
        environ: the environment, by default this process's.
    Returns:
        The first of UDS_DIST_COOKIE, RELEASE_COOKIE and the contents of ~/.erlang.cookie.
    Raises:
        ConfigError: there is none, or others than the owner can read the file.
    """
    environ = os.environ if environ is None else environ
    for variable in COOKIE_VARIABLES:
        cookie = environ.get(variable)
        if cookie:
            return checked_cookie(cookie)
    path = os.path.join(environ.get("HOME") or os.path.expanduser("~"), COOKIE_FILE)
    try:
        with open(path, encoding="latin-1") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            cookie = file.read().strip()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no cookie: give one, set {COOKIE_VARIABLES[0]}, or write {path}"
        ) from None
    except OSError as error:
        raise ConfigError(f"the cookie file {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError(
            f"the cookie file {path} has the mode {mode:03o}, so that others than its owner get"
            f" at it: run chmod 400 {path}"
        )
    if not cookie:
        raise ConfigError(f"the cookie file {path} is empty")
    return checked_cookie(cookie)


def checked_cookie(cookie: str) -> str:
    """The cookie, if a node can have it.

    Raises:
        ConfigError: it is empty, too long, or has characters beyond Latin-1.
    """
    if not cookie or len(cookie) > 255:
        raise ConfigError(f"the cookie has {len(cookie)} characters: use 1 to 255")
    try:
        cookie.encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigError("the cookie has a character beyond Latin-1") from None
    return cookie
