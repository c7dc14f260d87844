"""One exit code for each cause, and the help that lists them."""

from __future__ import annotations

from uds_dist import (
    AddressError,
    ConfigError,
    CookieMismatchError,
    HandshakeTimeoutError,
    ReceiveTimeoutError,
    RemoteError,
    RemoteTimeoutError,
    TermError,
    UdsDistError,
)
from uds_dist.cli.output import OutputError

OK = 0
RAISED = 1
USAGE = 2
UNREACHABLE = 3
COOKIE = 4
TIMEOUT = 5
INTERRUPTED = 130
OUTPUT_LOST = 141
TERMINATED = 143
ENDED_BY_SIGNAL = 128  # plus the signal's number


class CookieMissingError(ConfigError):
    """No cookie was given or found."""


class NobodyListensError(ConfigError):
    """A command is for all nodes, and no node listens."""


class DemoError(UdsDistError):
    """A step of the demonstration had a wrong result."""


# The first class that matches decides.
EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (OutputError, OUTPUT_LOST),
    (RemoteError, RAISED),
    (DemoError, RAISED),
    (CookieMissingError, COOKIE),
    (CookieMismatchError, COOKIE),
    (HandshakeTimeoutError, TIMEOUT),
    (RemoteTimeoutError, TIMEOUT),
    (ReceiveTimeoutError, TIMEOUT),
    (ConfigError, USAGE),
    (AddressError, USAGE),
    (TermError, USAGE),
    (UdsDistError, UNREACHABLE),
)

EPILOG = """\
exit codes:
  0    done; ping: pong
  1    the call raised on the other node; ping: connected, but no pong; demo: it failed
  2    a mistake in the command, an argument or a setting
  3    no connection: nothing listens there, or the node refused this one
  4    there is no cookie, or it differs from the node's
  5    no answer in time
  130  interrupted
  141  the output could not be written: its reader is gone, or it is closed or full
  143  ended by SIGTERM (129: by SIGHUP)

environment:
  UDS_DIST_SOCKET_DIR         the folder of the sockets, or @NAME for Linux abstract sockets; if it
                              is not set, UDS_DIST_DIR; else . and /tmp/uds-dist-NAME.sock
  UDS_DIST_COOKIE             the cookie; else RELEASE_COOKIE, else the file ~/.erlang.cookie
  UDS_DIST_ALLOWED_UIDS       other users whose nodes are trusted, with commas between them
  UDS_DIST_LAYOUT             uds_dist, uds_dist2 or erl_uds_dist
  UDS_DIST_HANDSHAKE_TIMEOUT  seconds for one handshake
"""


def exit_code(error: UdsDistError) -> int:
    """The exit code for an error."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
