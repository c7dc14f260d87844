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
│   └── DuplicateNameError                 a live node already listens under this name
├── ProtocolError
│   ├── LocalProtocolError                 this program asked for what the protocol forbids
│   └── RemoteProtocolError                the peer sent what the protocol forbids
├── NoConnectionError (ConnectionError)    there is no connection to the node, or it was lost
│   ├── ConnectFailedError                 nothing answers at the node's socket
│   └── HandshakeError                     the handshake did not end in a connection
│       ├── CookieMismatchError            the two nodes do not have the same cookie
│       ├── HandshakeTimeoutError          the peer went silent during the handshake
│       ├── NotAllowedError                one side refuses the other's name, user or flags
│       ├── NodeNameMismatchError          another node answers at that socket
│       └── SimultaneousConnectError       the peer's own attempt takes precedence
├── BusyError (BlockingIOError)            too much waits to be written to the node
├── RemoteError                            the call raised in the remote process
│   └── NoProcessError                     there is no such process, or it ended
├── RemoteTimeoutError (TimeoutError)      the answer did not come in time
├── ReceiveTimeoutError (TimeoutError)     no matching message came in time
├── CancelledError                         the future was cancelled
├── InvalidStateError                      the future already has its outcome
├── ClosedError                            the node, the mailbox or the loop is closed
├── LoopReentryError (RuntimeError)        a blocking call from inside a handler
├── ForkedLoopError (RuntimeError)         the loop belongs to the parent process
└── ErlangRaiseError                       raised by a handler to fail its call as in Erlang
    ├── ErlangError                        error:Reason
    ├── Throw                              throw:Term
    └── Exit                               exit:Reason

Busy, NoConnection, NoProcess, RemoteTimeout and ErlangException are old names, kept as aliases in
this release only.
"""

from __future__ import annotations

from typing import Literal


class UdsDistError(Exception):
    """The root of everything that uds_dist raises on purpose."""


class ConfigError(UdsDistError, ValueError):
    """A setting or an argument cannot be used; the message names it and says what to use."""


class NodeNameError(ConfigError):
    """A node name is not of the form ``name@host`` within the protocol's limits."""


class AddressError(UdsDistError, ValueError):
    """A node's socket address cannot exist on this system."""


class TermError(UdsDistError, ValueError):
    """A value, bytes or a text cannot be converted to or from an Erlang term."""


class EncodeError(TermError):
    """A Python value cannot be written in the External Term Format."""


class DecodeError(TermError):
    """Bytes are not an external term; ``offset`` is the position of the fault, ``tag`` its tag."""

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
    """A live node already listens under this name."""


class ProtocolError(UdsDistError):
    """One of the two sides broke the distribution protocol."""


class LocalProtocolError(ProtocolError):
    """This program asked for something the distribution protocol forbids."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the distribution protocol forbids."""


class NoConnectionError(UdsDistError, ConnectionError):
    """There is no connection to the node, or it was lost before the answer came."""


class ConnectFailedError(NoConnectionError):
    """Nothing answers at the node's socket: the file is missing, or nobody listens there."""


class HandshakeError(NoConnectionError):
    """The handshake did not end in a connection."""


class CookieMismatchError(HandshakeError):
    """The two nodes do not have the same cookie."""


class HandshakeTimeoutError(HandshakeError, TimeoutError):
    """The peer went silent during the handshake."""


class NotAllowedError(HandshakeError):
    """One side refuses the other's name, user id or flags."""


class NodeNameMismatchError(HandshakeError):
    """A different node answers at that socket."""


class SimultaneousConnectError(HandshakeError):
    """The peer is connecting to this node at the same time and its attempt takes precedence."""


class BusyError(UdsDistError, BlockingIOError):
    """More than ``write_high_water`` bytes wait for the node; nothing was sent.

    Run the loop: sends work again once at most ``write_low_water`` bytes wait.
    """


class RemoteError(UdsDistError):
    """A call raised in the remote process.

    ``class_`` is ``"error"``, ``"exit"``, ``"throw"`` or ``"signal"`` (the process was killed
    before it could answer); ``reason`` is the term it raised; ``stack`` is Erlang's stack trace, a
    list of terms that may be empty.
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
    """There is no such process, or it ended before it could answer."""


class RemoteTimeoutError(UdsDistError, TimeoutError):
    """The answer did not come in time; a later answer is dropped."""


class ReceiveTimeoutError(UdsDistError, TimeoutError):
    """No matching message came in time; other messages stay in the mailbox."""


class CancelledError(UdsDistError):
    """The future was cancelled."""


class InvalidStateError(UdsDistError):
    """The future already has its outcome and cannot take another."""


class ClosedError(UdsDistError):
    """The node, the mailbox or the loop is closed."""


class LoopReentryError(UdsDistError, RuntimeError):
    """The loop was asked to run from inside one of its own handlers."""


class ForkedLoopError(UdsDistError, RuntimeError):
    """The loop belongs to the parent process; a forked child may only close it."""


class ErlangRaiseError(UdsDistError):
    """Raised by a handler to fail its call with one of Erlang's three exception classes."""

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


# Old names, kept in this release only.
Busy = BusyError  # old name
NoConnection = NoConnectionError  # old name
NoProcess = NoProcessError  # old name
RemoteTimeout = RemoteTimeoutError  # old name
ErlangException = ErlangRaiseError  # old name
