"""Every exception of uds_dist, in one tree.

UdsDistError
├── ConfigError (ValueError)               a setting or an argument cannot be used
│   └── NodeNameError                      a node name is malformed
├── AddressError (ValueError)              a socket address cannot exist on this system
├── TermError (ValueError)
│   ├── EncodeError                        a Python value has no Erlang term
│   ├── DecodeError                        bytes are not an external term; has .offset and .tag
│   └── ParseError                         text is not an Erlang term; has .offset
├── ListenError (OSError)                  the listening socket cannot be opened
│   └── DuplicateNameError                 a live node listens under this name already
├── ProtocolError
│   ├── LocalProtocolError                 this program asked for what the protocol forbids
│   └── RemoteProtocolError                the peer sent what the protocol forbids
├── NoConnectionError (ConnectionError)    there is no connection to the node, or it was lost
│   ├── ConnectFailedError                 nothing answers at the node's socket
│   └── HandshakeError                     the handshake did not end in a connection
│       ├── CookieMismatchError            the two nodes do not have the same cookie
│       ├── HandshakeTimeoutError          the peer fell silent within the handshake
│       ├── NotAllowedError                one side refuses the other's name, user or flags
│       ├── NodeNameMismatchError          another node answers at that socket
│       └── SimultaneousConnectError       the peer's own attempt takes precedence
├── BusyError (BlockingIOError)            too much waits to be written to the node
├── RemoteError                            the call raised in the remote process
│   └── NoProcessError                     no such process, or it is gone
├── RemoteTimeoutError (TimeoutError)      the answer did not come in time
├── ReceiveTimeoutError (TimeoutError)     no matching message came in time
├── CancelledError                         the future was cancelled
├── InvalidStateError                      the future has its outcome already
├── ClosedError                            the node, the mailbox or the loop is closed
├── LoopReentryError (RuntimeError)        a blocking call from inside a handler
├── ForkedLoopError (RuntimeError)         the loop belongs to the parent process
└── ErlangRaiseError                       raised by a handler to answer in Erlang's classes
    ├── ErlangError                        error:Reason
    ├── Throw                              throw:Term
    └── Exit                               exit:Reason

The old names Busy, NoConnection, NoProcess, RemoteTimeout and ErlangException are aliases, for
this release alone.
"""

from __future__ import annotations

from typing import Literal


class UdsDistError(Exception):
    """The root of everything that uds_dist raises on purpose."""


class ConfigError(UdsDistError, ValueError):
    """A setting or an argument cannot be used; the text says which and what would do."""


class NodeNameError(ConfigError):
    """A node name is not of the form ``name@host`` within the protocol's limits."""


class AddressError(UdsDistError, ValueError):
    """A node's socket address cannot exist on this system."""


class TermError(UdsDistError, ValueError):
    """A value, some bytes or a text do not stand for an Erlang term."""


class EncodeError(TermError):
    """A Python value has no place in the External Term Format."""


class DecodeError(TermError):
    """Bytes are not an external term; ``offset`` is where, ``tag`` the tag byte read there."""

    def __init__(self, message: str, offset: int = 0, tag: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        self.tag = tag


class ParseError(TermError):
    """Text is not an Erlang term; ``offset`` is the index of the first character at fault."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class ListenError(UdsDistError, OSError):
    """The listening socket cannot be opened."""


class DuplicateNameError(ListenError):
    """A live node listens under this name already."""


class ProtocolError(UdsDistError):
    """The distribution protocol was broken, by either side."""


class LocalProtocolError(ProtocolError):
    """This program asked for something the distribution protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the distribution protocol forbids."""


class NoConnectionError(UdsDistError, ConnectionError):
    """There is no connection to the node, or it was lost before the answer came."""


class ConnectFailedError(NoConnectionError):
    """Nothing answers at the node's socket: no such file, or nobody listens."""


class HandshakeError(NoConnectionError):
    """The handshake did not end in a connection."""


class CookieMismatchError(HandshakeError):
    """The two nodes do not have the same cookie."""


class HandshakeTimeoutError(HandshakeError, TimeoutError):
    """The peer fell silent within the handshake."""


class NotAllowedError(HandshakeError):
    """One side refuses the other: by its name, its user id or its flags."""


class NodeNameMismatchError(HandshakeError):
    """Another node than the one asked for answers at that socket."""


class SimultaneousConnectError(HandshakeError):
    """The peer is connecting to this node at the same time and its attempt takes precedence."""


class BusyError(UdsDistError, BlockingIOError):
    """More than ``write_high_water`` bytes wait for the node: nothing was sent.

    Sending goes on when no more than ``write_low_water`` bytes wait, for which the loop must run.
    """


class RemoteError(UdsDistError):
    """A call raised in the remote process.

    ``class_`` is ``"error"``, ``"exit"``, ``"throw"`` or ``"signal"`` (the process was killed
    before it could answer), ``reason`` the term it raised, ``stack`` Erlang's stack trace as a
    list of terms (empty where there is none).
    """

    def __init__(
        self,
        message: str,
        class_: Literal["error", "exit", "throw", "signal"] = "error",
        reason: object = None,
        stack: object = (),
    ) -> None:
        super().__init__(message)
        self.class_ = class_
        self.reason = reason
        self.stack = stack


class NoProcessError(RemoteError):
    """There is no such process, or it was gone before it could answer."""


class RemoteTimeoutError(UdsDistError, TimeoutError):
    """The answer did not come in time; it is dropped if it comes later."""


class ReceiveTimeoutError(UdsDistError, TimeoutError):
    """No matching message came in time; what came stays in the mailbox."""


class CancelledError(UdsDistError):
    """The future was cancelled."""


class InvalidStateError(UdsDistError):
    """The future has its outcome already: it cannot be given another one."""


class ClosedError(UdsDistError):
    """The node, the mailbox or the loop is closed."""


class LoopReentryError(UdsDistError, RuntimeError):
    """The loop was asked to run from inside one of its own handlers."""


class ForkedLoopError(UdsDistError, RuntimeError):
    """The loop belongs to the parent process; a forked child may only close it."""


class ErlangRaiseError(UdsDistError):
    """Raised by a handler to end its call in one of Erlang's three exception classes."""

    class_: Literal["error", "exit", "throw"] = "error"

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason


class ErlangError(ErlangRaiseError):
    """Answers as ``erlang:error(Reason)``; a plain str reason becomes an atom."""


class Throw(ErlangRaiseError):
    """Answers as ``throw(Term)``."""

    class_: Literal["error", "exit", "throw"] = "throw"


class Exit(ErlangRaiseError):
    """Answers as ``exit(Reason)``; a plain str reason becomes an atom."""

    class_: Literal["error", "exit", "throw"] = "exit"


# What these classes were called before: for this release alone, then they go.
Busy = BusyError  # old name
NoConnection = NoConnectionError  # old name
NoProcess = NoProcessError  # old name
RemoteTimeout = RemoteTimeoutError  # old name
ErlangException = ErlangRaiseError  # old name
