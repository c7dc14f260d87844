"""Sends that never raise SIGPIPE.

A send to a peer that is gone raises the signal. It would end a program that has set SIGPIPE to its
default action, as many programs do for their pipes (``signal(SIGPIPE, SIG_DFL)``). So every send of
this package asks the system for an error instead.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

# The flag for every send.
NO_SIGPIPE: Final[int] = getattr(socket, "MSG_NOSIGNAL", 0)
# macOS has a socket option instead of the flag; the socket module does not name it.
_SO_NOSIGPIPE: Final = 0x1022


def suppress_sigpipe(sock: socket.socket) -> None:
    """Set the option on a socket, on a system without the flag."""
    if sys.platform == "darwin":
        sock.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
