"""uds_dist: a synchronous Python program as an Erlang node over Unix domain sockets."""

from uds_dist.config import Config
from uds_dist.errors import (
    AddressError,
    Busy,
    CancelledError,
    ClosedError,
    ConfigError,
    ConnectFailedError,
    CookieMismatchError,
    DecodeError,
    DuplicateNameError,
    EncodeError,
    ErlangError,
    ErlangException,
    Exit,
    ForkedLoopError,
    HandshakeError,
    HandshakeTimeoutError,
    InvalidStateError,
    ListenError,
    LocalProtocolError,
    LoopReentryError,
    NoConnection,
    NodeNameError,
    NodeNameMismatchError,
    NoProcess,
    NotAllowedError,
    ParseError,
    ProtocolError,
    ReceiveTimeoutError,
    RemoteError,
    RemoteProtocolError,
    RemoteTimeout,
    SimultaneousConnectError,
    TermError,
    Throw,
    UdsDistError,
)
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    Map,
    Pid,
    Port,
    Record,
    Reference,
)
from uds_dist.node.future import Future
from uds_dist.node.mailbox import EMPTY, Mailbox
from uds_dist.node.node import Node
from uds_dist.transport.loop import EventLoop
