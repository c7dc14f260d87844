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

# The public names of each module: for the interpreter what the imports above are for type checkers.
_ROOMS = {
    "uds_dist.config": ("ANY", "Config", "__version__"),
    "uds_dist.errors": (
        "AddressError",
        "Busy",  # old name
        "BusyError",
        "CancelledError",
        "ClosedError",
        "ConfigError",
        "ConnectFailedError",
        "CookieMismatchError",
        "DecodeError",
        "DuplicateNameError",
        "EncodeError",
        "ErlangError",
        "ErlangException",  # old name
        "ErlangRaiseError",
        "Exit",
        "ForkedLoopError",
        "HandshakeError",
        "HandshakeTimeoutError",
        "InvalidStateError",
        "ListenError",
        "LocalProtocolError",
        "LoopReentryError",
        "NoConnection",  # old name
        "NoConnectionError",
        "NodeNameError",
        "NodeNameMismatchError",
        "NoProcess",  # old name
        "NoProcessError",
        "NotAllowedError",
        "ParseError",
        "ProtocolError",
        "ReceiveTimeoutError",
        "RemoteError",
        "RemoteProtocolError",
        "RemoteTimeout",  # old name
        "RemoteTimeoutError",
        "SimultaneousConnectError",
        "TermError",
        "Throw",
        "UdsDistError",
    ),
    "uds_dist.etf.decode": ("COMPILED", "decode"),
    "uds_dist.etf.encode": ("encode",),
    "uds_dist.etf.records": ("TaggedTuple", "record"),
    "uds_dist.etf.terms": (
        "Atom",
        "BitString",
        "Export",
        "FrozenList",
        "Fun",
        "ImproperList",
        "LocalTerm",
        "Map",
        "Pid",
        "Port",
        "Record",
        "Reference",
    ),
    "uds_dist.etf.text": ("format_term", "parse_term"),
    "uds_dist.node": ("Node",),
    "uds_dist.processes.destination": ("Destination",),
    "uds_dist.processes.future": ("Future",),
    "uds_dist.processes.mailbox": ("EMPTY", "Mailbox"),
    "uds_dist.processes.remote_node": ("PeerStatistics",),
    "uds_dist.services.books": ("NodeStatistics",),
    "uds_dist.services.console": ("ConsoleInput",),
    "uds_dist.services.events": ("EventHandler", "EventManager"),
    "uds_dist.services.gen": ("From", "MultiReply"),
    "uds_dist.services.gen_server": ("GenServer", "NoReply", "Stop"),
    "uds_dist.services.pg": ("PgScope",),
    "uds_dist.transport.activation": ("notify_ready",),
    "uds_dist.transport.loop": ("EventLoop", "LoopStatistics"),
    "uds_dist.transport.timers": ("Timer",),
}
_MODULES = {name: room for room, names in _ROOMS.items() for name in names}
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
