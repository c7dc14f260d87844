"""A node's identity: its cookie and its creation."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from secrets import randbelow

from uds_dist.errors import ConfigError

COOKIE_FILE = ".erlang.cookie"
COOKIE_VARIABLES = ("UDS_DIST_COOKIE", "RELEASE_COOKIE")
COOKIE_LIMIT = 255  # characters, as of any atom

# Bytes to read of a cookie file: a longer file holds no valid cookie.
_FILE_LIMIT = 64 * 1024


def new_creation() -> int:
    """A random creation: 32 bits, above the numbers 0 to 3 that mean "any" or are of old nodes."""
    return randbelow(2**32 - 4) + 4


def find_cookie(environ: Mapping[str, str] | None = None) -> str:
    """The cookie that this user's nodes share.

    Args:
        environ: the environment, by default this process's.
    Returns:
        The first of UDS_DIST_COOKIE, RELEASE_COOKIE and the contents of ~/.erlang.cookie and
        $XDG_CONFIG_HOME/erlang/.erlang.cookie (by default in ~/.config).
    Raises:
        ConfigError: there is none, or it cannot be used, or other users than its owner can access
            the file.
    """
    environ = os.environ if environ is None else environ
    for variable in COOKIE_VARIABLES:
        cookie = environ.get(variable)
        if cookie:
            return checked_cookie(cookie)
    paths = _cookie_files(environ)
    for path in paths:
        data = _read_cookie_file(path)
        if data is not None:
            return _cookie_of(path, data)
    raise ConfigError(
        f"there is no cookie: give one, set {COOKIE_VARIABLES[0]}, or write {paths[0]}, mode 400"
    )


def _cookie_files(environ: Mapping[str, str]) -> tuple[str, str]:
    """Where OTP looks for the cookie, in this order."""
    home = environ.get("HOME") or os.path.expanduser("~")
    settings = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return os.path.join(home, COOKIE_FILE), os.path.join(settings, "erlang", COOKIE_FILE)


def _read_cookie_file(path: str) -> bytes | None:
    """The contents of a cookie file; None if there is no such file."""
    try:
        # Without waiting: open() of a pipe without a writer would block forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the cookie file {path} cannot be read: {_reason(error)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"the cookie file {path} is not a regular file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"the cookie file {path} has the mode {mode:03o}, so other users than its owner can"
                f" access it: run chmod 400 {path}"
            )
        return os.read(descriptor, _FILE_LIMIT)
    except OSError as error:
        raise ConfigError(f"the cookie file {path} cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _cookie_of(path: str, data: bytes) -> str:
    """The cookie in a cookie file, as OTP's auth.erl reads it.

    It is all characters from the blank to ``~`` at the start of the file, with the blanks at both
    ends; only line ends may follow it.
    """
    cookie = data.rstrip(b"\r\n")
    if not cookie:
        raise ConfigError(f"the cookie file {path} is empty")
    wrong = next((byte for byte in cookie if not 0x20 <= byte <= 0x7E), None)
    if wrong is not None:
        raise ConfigError(
            f"the cookie file {path} has the character {chr(wrong)!a} in it: a cookie is one line"
            " of printable ASCII characters, and a BEAM refuses any other"
        )
    return checked_cookie(cookie)


def checked_cookie(cookie: str | bytes) -> str:
    """The cookie as text, if it is a valid one.

    Args:
        cookie: text, or the bytes of it in Latin-1.
    Raises:
        ConfigError: it is neither, or empty, too long, or has characters beyond Latin-1.
    """
    if isinstance(cookie, (bytes, bytearray)):
        cookie = cookie.decode("latin-1")
    if not isinstance(cookie, str):
        raise ConfigError(f"the cookie must be str or bytes, not {type(cookie).__name__}")
    if not 1 <= len(cookie) <= COOKIE_LIMIT:
        raise ConfigError(f"the cookie has {len(cookie)} characters: use 1 to {COOKIE_LIMIT}")
    try:
        cookie.encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigError("the cookie has a character beyond Latin-1") from None
    return cookie
