"""A peer that is gone must not end the program.

A send to such a peer raises SIGPIPE, which ends a program that has set the signal to its default
action, as many do for their pipes (``signal(SIGPIPE, SIG_DFL)``). So every send of this package
asks for the error alone.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

# A flag for every send.
NO_SIGPIPE: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)
# macOS has a socket option instead of the flag; the socket module has no name for it.
_SO_NOSIGPIPE: Final = 0x1022


def suppress_sigpipe(sock: socket.socket) -> None:
    """Set the option where the flag does not exist, on a socket that will be written."""
    if sys.platform == "darwin":
        sock.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
