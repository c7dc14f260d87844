"""uds_dist: a synchronous Python program as an Erlang node over Unix domain sockets.

A module is imported when one of its public names is first used (PEP 562), so a program that needs
only the codec, the loop or the exceptions does not load the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uds_dist.config import ANY, Config, __version__
    from uds_dist.errors import (
        AddressError,
        Busy,  # old name
        BusyError,
        CancelledError,
        ClosedError,
        ConfigError,
        ConnectFailedError,
        CookieMismatchError,
        DecodeError,
        DuplicateNameError,
        EncodeError,
        ErlangError,
        ErlangException,  # old name
        ErlangRaiseError,
        Exit,
        ForkedLoopError,
        HandshakeError,
        HandshakeTimeoutError,
        InvalidStateError,
        ListenError,
        LocalProtocolError,
        LoopReentryError,
        NoConnection,  # old name
        NoConnectionError,
        NodeNameError,
        NodeNameMismatchError,
        NoProcess,  # old name
        NoProcessError,
        NotAllowedError,
        ParseError,
        ProtocolError,
        ReceiveTimeoutError,
        RemoteError,
        RemoteProtocolError,
        RemoteTimeout,  # old name
        RemoteTimeoutError,
        SimultaneousConnectError,
        TermError,
        Throw,
        UdsDistError,
    )
    from uds_dist.etf.decode import COMPILED, decode
    from uds_dist.etf.encode import encode
    from uds_dist.etf.records import TaggedTuple, record
    from uds_dist.etf.terms import (
        Atom,
        BitString,
        Export,
        FrozenList,
        Fun,
        ImproperList,
        LocalTerm,
        Map,
        Pid,
        Port,
        Record,
        Reference,
    )
    from uds_dist.etf.text import format_term, parse_term
    from uds_dist.services.books import NodeStatistics
    from uds_dist.services.console import ConsoleInput
    from uds_dist.services.events import EventHandler, EventManager
    from uds_dist.processes.future import Future
    from uds_dist.services.gen import From, MultiReply
    from uds_dist.processes.destination import Destination
    from uds_dist.processes.mailbox import EMPTY, Mailbox
    from uds_dist.node import Node
    from uds_dist.processes.remote_node import PeerStatistics
    from uds_dist.services.pg import PgScope
    from uds_dist.services.gen_server import GenServer, NoReply, Stop
    from uds_dist.transport.activation import notify_ready
    from uds_dist.transport.loop import EventLoop, LoopStatistics
    from uds_dist.transport.timers import Timer

__all__ = [
    "ANY",
    "AddressError",
    "Atom",
    "BitString",
    "Busy",  # old name
    "BusyError",
    "COMPILED",
    "CancelledError",
    "ClosedError",
    "Config",
    "ConfigError",
    "ConnectFailedError",
    "ConsoleInput",
    "CookieMismatchError",
    "DecodeError",
    "Destination",
    "DuplicateNameError",
    "EMPTY",
    "EncodeError",
    "ErlangError",
    "ErlangException",  # old name
    "ErlangRaiseError",
    "EventHandler",
    "EventLoop",
    "EventManager",
    "Exit",
    "Export",
    "ForkedLoopError",
    "From",
    "FrozenList",
    "Fun",
    "Future",
    "GenServer",
    "HandshakeError",
    "HandshakeTimeoutError",
    "ImproperList",
    "InvalidStateError",
    "ListenError",
    "LocalProtocolError",
    "LocalTerm",
    "LoopReentryError",
    "LoopStatistics",
    "Mailbox",
    "Map",
    "MultiReply",
    "NoConnection",  # old name
    "NoConnectionError",
    "NoProcess",  # old name
    "NoProcessError",
    "NoReply",
    "Node",
    "NodeNameError",
    "NodeNameMismatchError",
    "NodeStatistics",
    "NotAllowedError",
    "ParseError",
    "PeerStatistics",
    "PgScope",
    "Pid",
    "Port",
    "ProtocolError",
    "ReceiveTimeoutError",
    "Record",
    "Reference",
    "RemoteError",
    "RemoteProtocolError",
    "RemoteTimeout",  # old name
    "RemoteTimeoutError",
    "SimultaneousConnectError",
    "Stop",
    "TaggedTuple",
    "TermError",
    "Throw",
    "Timer",
    "UdsDistError",
    "decode",
    "encode",
    "format_term",
    "notify_ready",
    "parse_term",
    "record",
    "__version__",
]

# The module of each public name: for the interpreter what the imports above are for type checkers.
_MODULES = {
    "ANY": "uds_dist.config",
    "Config": "uds_dist.config",
    "__version__": "uds_dist.config",
    "AddressError": "uds_dist.errors",
    "Busy": "uds_dist.errors",  # old name
    "BusyError": "uds_dist.errors",
    "CancelledError": "uds_dist.errors",
    "ClosedError": "uds_dist.errors",
    "ConfigError": "uds_dist.errors",
    "ConnectFailedError": "uds_dist.errors",
    "CookieMismatchError": "uds_dist.errors",
    "DecodeError": "uds_dist.errors",
    "DuplicateNameError": "uds_dist.errors",
    "EncodeError": "uds_dist.errors",
    "ErlangError": "uds_dist.errors",
    "ErlangException": "uds_dist.errors",  # old name
    "ErlangRaiseError": "uds_dist.errors",
    "Exit": "uds_dist.errors",
    "ForkedLoopError": "uds_dist.errors",
    "HandshakeError": "uds_dist.errors",
    "HandshakeTimeoutError": "uds_dist.errors",
    "InvalidStateError": "uds_dist.errors",
    "ListenError": "uds_dist.errors",
    "LocalProtocolError": "uds_dist.errors",
    "LoopReentryError": "uds_dist.errors",
    "NoConnection": "uds_dist.errors",  # old name
    "NoConnectionError": "uds_dist.errors",
    "NodeNameError": "uds_dist.errors",
    "NodeNameMismatchError": "uds_dist.errors",
    "NoProcess": "uds_dist.errors",  # old name
    "NoProcessError": "uds_dist.errors",
    "NotAllowedError": "uds_dist.errors",
    "ParseError": "uds_dist.errors",
    "ProtocolError": "uds_dist.errors",
    "ReceiveTimeoutError": "uds_dist.errors",
    "RemoteError": "uds_dist.errors",
    "RemoteProtocolError": "uds_dist.errors",
    "RemoteTimeout": "uds_dist.errors",  # old name
    "RemoteTimeoutError": "uds_dist.errors",
    "SimultaneousConnectError": "uds_dist.errors",
    "TermError": "uds_dist.errors",
    "Throw": "uds_dist.errors",
    "UdsDistError": "uds_dist.errors",
    "COMPILED": "uds_dist.etf.decode",
    "decode": "uds_dist.etf.decode",
    "encode": "uds_dist.etf.encode",
    "Atom": "uds_dist.etf.terms",
    "BitString": "uds_dist.etf.terms",
    "Export": "uds_dist.etf.terms",
    "FrozenList": "uds_dist.etf.terms",
    "Fun": "uds_dist.etf.terms",
    "ImproperList": "uds_dist.etf.terms",
    "LocalTerm": "uds_dist.etf.terms",
    "Map": "uds_dist.etf.terms",
    "Pid": "uds_dist.etf.terms",
    "Port": "uds_dist.etf.terms",
    "Record": "uds_dist.etf.terms",
    "Reference": "uds_dist.etf.terms",
    "TaggedTuple": "uds_dist.etf.records",
    "record": "uds_dist.etf.records",
    "format_term": "uds_dist.etf.text",
    "notify_ready": "uds_dist.transport.activation",
    "parse_term": "uds_dist.etf.text",
    "ConsoleInput": "uds_dist.services.console",
    "EventHandler": "uds_dist.services.events",
    "EventManager": "uds_dist.services.events",
    "Future": "uds_dist.processes.future",
    "From": "uds_dist.services.gen",
    "MultiReply": "uds_dist.services.gen",
    "EMPTY": "uds_dist.processes.mailbox",
    "Destination": "uds_dist.processes.destination",
    "Mailbox": "uds_dist.processes.mailbox",
    "Node": "uds_dist.node",
    "NodeStatistics": "uds_dist.services.books",
    "PeerStatistics": "uds_dist.processes.remote_node",
    "PgScope": "uds_dist.services.pg",
    "GenServer": "uds_dist.services.gen_server",
    "NoReply": "uds_dist.services.gen_server",
    "Stop": "uds_dist.services.gen_server",
    "EventLoop": "uds_dist.transport.loop",
    "LoopStatistics": "uds_dist.transport.loop",
    "Timer": "uds_dist.transport.timers",
}
# Public modules that can be used without importing them.
_SUBMODULES = ("config", "errors")


if not TYPE_CHECKING:  # with this function, a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name in _SUBMODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value  # the next lookup does not call this function
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
