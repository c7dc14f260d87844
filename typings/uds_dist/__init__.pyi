"""uds_dist: a synchronous Python program as an Erlang node over Unix domain sockets.

This is the public contract: `from uds_dist import ...` gives these names and no others. Times are
in seconds, sizes in bytes. The docstrings in the package say more of each.
"""

import selectors
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from socket import socket
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, overload

from typing_extensions import Self

from uds_dist.config import ANY as ANY, Config as Config
from uds_dist.errors import (
    AddressError as AddressError,
    Busy as Busy,  # old name
    BusyError as BusyError,
    CancelledError as CancelledError,
    ClosedError as ClosedError,
    ConfigError as ConfigError,
    ConnectFailedError as ConnectFailedError,
    CookieMismatchError as CookieMismatchError,
    DecodeError as DecodeError,
    DuplicateNameError as DuplicateNameError,
    EncodeError as EncodeError,
    ErlangError as ErlangError,
    ErlangException as ErlangException,  # old name
    ErlangRaiseError as ErlangRaiseError,
    Exit as Exit,
    ForkedLoopError as ForkedLoopError,
    HandshakeError as HandshakeError,
    HandshakeTimeoutError as HandshakeTimeoutError,
    InvalidStateError as InvalidStateError,
    ListenError as ListenError,
    LocalProtocolError as LocalProtocolError,
    LoopReentryError as LoopReentryError,
    NoConnection as NoConnection,  # old name
    NoConnectionError as NoConnectionError,
    NoProcess as NoProcess,  # old name
    NoProcessError as NoProcessError,
    NodeNameError as NodeNameError,
    NodeNameMismatchError as NodeNameMismatchError,
    NotAllowedError as NotAllowedError,
    ParseError as ParseError,
    ProtocolError as ProtocolError,
    ReceiveTimeoutError as ReceiveTimeoutError,
    RemoteError as RemoteError,
    RemoteProtocolError as RemoteProtocolError,
    RemoteTimeout as RemoteTimeout,  # old name
    RemoteTimeoutError as RemoteTimeoutError,
    SimultaneousConnectError as SimultaneousConnectError,
    TermError as TermError,
    Throw as Throw,
    UdsDistError as UdsDistError,
)

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

_T = TypeVar("_T")
_U = TypeVar("_U")
_F = TypeVar("_F", bound=Callable[..., object])

# --- Terms: how Erlang's values are written in Python, see the table in the README ----------------

# An Erlang atom: a str that encodes as an atom instead of a binary.
class Atom(str):
    def __new__(cls, text: str) -> Atom: ...

# The identifier of a process.
class Pid:
    __match_args__ = ("node", "id", "serial", "creation")
    def __init__(self, node: str, id: int, serial: int, creation: int) -> None: ...
    # The name of the process's node.
    @property
    def node(self) -> Atom: ...
    # The process's number on its node.
    @property
    def id(self) -> int: ...
    # What continues the number.
    @property
    def serial(self) -> int: ...
    # Which incarnation of the node it is of.
    @property
    def creation(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# The identifier of a port.
class Port:
    __match_args__ = ("node", "id", "creation")
    def __init__(self, node: str, id: int, creation: int) -> None: ...
    # The name of the port's node.
    @property
    def node(self) -> Atom: ...
    # The port's number on its node.
    @property
    def id(self) -> int: ...
    # Which incarnation of the node it is of.
    @property
    def creation(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# A unique value made by a node: of a monitor, a call, an alias.
class Reference:
    __match_args__ = ("node", "creation", "ids")
    def __init__(self, node: str, creation: int, ids: tuple[int, ...]) -> None: ...
    # The name of the node that made it.
    @property
    def node(self) -> Atom: ...
    # Which incarnation of the node made it.
    @property
    def creation(self) -> int: ...
    # Its numbers, in the order of the wire.
    @property
    def ids(self) -> tuple[int, ...]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# A fun of the form `fun Module:Function/Arity`.
@dataclass(frozen=True, slots=True)
class Export:
    module: Atom
    function: Atom
    arity: int  # 0 to 255

# A fun with its environment: not callable here, but it goes back byte for byte.
@dataclass(frozen=True, slots=True)
class Fun:
    module: Atom
    arity: int | None
    index: int  # 32 bits; FUN_EXT: any integer
    uniq: bytes  # 16 bytes: the MD5 of the module's code; FUN_EXT has none
    old_index: int
    old_uniq: int
    pid: Pid
    free: tuple[object, ...] = ()  # the values of its free variables

# A bit string whose length is no multiple of 8.
@dataclass(frozen=True, slots=True)
class BitString:
    data: bytes
    bits: int

# A list whose last tail is no list: `[a, b | tail]`.
class ImproperList:
    __match_args__ = ("items", "tail")
    def __init__(self, items: Iterable[object], tail: object) -> None: ...
    # The elements before the tail.
    @property
    def items(self) -> tuple[object, ...]: ...
    # The last tail.
    @property
    def tail(self) -> object: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# A native record of OTP 29, as in `#module:name{field = Value}`.
@dataclass(frozen=True, slots=True)
class Record:
    module: Atom
    name: Atom
    fields: tuple[tuple[Atom, object], ...]
    exported: bool = field(default=True, kw_only=True)
    # The value of the field of that name.
    def get(self, name: str, default: object = None) -> object: ...

# A record of Erlang: `(tag, value, ...)`, whose values are attributes, too.
class TaggedTuple(tuple[object, ...]):
    __slots__ = ()
    _tag: ClassVar[Atom]
    _fields: ClassVar[tuple[str, ...]] = ()
    def __new__(cls, *values: object, **named: object) -> Self: ...
    # The record of a tuple, its tag included.
    @classmethod
    def _make(cls, term: tuple[object, ...]) -> Self: ...
    def _replace(self, **changes: object) -> Self: ...
    def _asdict(self) -> dict[str, object]: ...
    def __getnewargs__(self) -> tuple[object, ...]: ...
    def __getattr__(self, name: str) -> object: ...

# Make a class for a record of Erlang: `-record(user, {name, age})` is `record("user", "name", "age")`.
def record(tag: str, *fields: str) -> type[TaggedTuple]: ...

# A term in the format that one node keeps for itself: opaque, it goes back as it came.
@dataclass(frozen=True, slots=True)
class LocalTerm:
    data: bytes  # all that follows the tag

# A list in the place of a map's key, where Python wants a hashable value.
class FrozenList:
    __match_args__ = ("items",)
    def __init__(self, items: Iterable[object]) -> None: ...
    # The elements.
    @property
    def items(self) -> tuple[object, ...]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...
    def __getitem__(self, index: int) -> object: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# A map that a dict cannot hold: its keys may be equal in Python, as 1, 1.0 and True are.
class Map:
    __match_args__ = ("pairs",)
    def __init__(self, pairs: Iterable[tuple[object, object]]) -> None: ...
    # The keys and values, in the order of the wire.
    @property
    def pairs(self) -> tuple[tuple[object, object], ...]: ...
    # The value of exactly this key: 1 is not 1.0.
    def get(self, key: object, default: object = None) -> object: ...
    def __getitem__(self, key: object) -> object: ...
    def __contains__(self, key: object) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...
    # The keys, as of a dict.
    def keys(self) -> list[object]: ...
    # The values, as of a dict.
    def values(self) -> list[object]: ...
    # The keys and values, as of a dict.
    def items(self) -> tuple[tuple[object, object], ...]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# --- Terms as bytes and as text -------------------------------------------------------------------

# The version of this package.
__version__: str

# True when the codec runs as extension modules that mypyc has made.
COMPILED: bool

# Write one term in the External Term Format, as `term_to_binary` does.
# `default` is called with what has no term, and returns one.
def encode(
    term: object,
    *,
    compressed: int = 0,
    max_depth: int = ...,
    default: Callable[[object], object] | None = None,
) -> bytes: ...
# Read one term in the External Term Format, as `term_to_binary` writes it. With `text` a binary that
# is UTF-8 comes as str. `object_hook` is called with each map that has a key `__struct__`, and with
# each tuple that begins with a tag in `records`; tuples of a class in it become its objects.
def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_depth: int = ...,
    max_size: int = ...,
    max_terms: int = ...,
    text: bool = False,
    object_hook: Callable[[object], object] | None = None,
    records: Collection[type[object] | str] = (),
) -> object: ...
# The text of a term, as Erlang prints it on one line, a map's keys in order.
def format_term(term: object) -> str: ...
# Read one term from Erlang's text.
def parse_term(text: str) -> object: ...

# --- Service managers -----------------------------------------------------------------------------

# Tell the service manager that this program is ready; False where NOTIFY_SOCKET is not set.
def notify_ready(environ: Mapping[str, str] | None = None) -> bool: ...

# --- The event loop -------------------------------------------------------------------------------

# Anything with `fileno() -> int`, a socket for one.
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

# Anything with `done() -> bool`, a Future for one.
class _Completable(Protocol):
    def done(self) -> bool: ...

# Owns every socket and every timer of the nodes that share it.
class EventLoop:
    on_error: Callable[[Exception], object] | None
    def __init__(
        self,
        *,
        selector: selectors.BaseSelector | None = None,
        clock: Callable[[], float] = ...,
        on_error: Callable[[Exception], object] | None = None,
        busy_wait: bool | None = None,
    ) -> None: ...
    # Wait for something to do and do one round of it.
    def run_once(self, timeout: float | None = 0.0) -> int: ...
    # Run rounds until a future is done or a predicate is true.
    def run_until(
        self, condition: _Completable | Callable[[], bool], timeout: float | None = None
    ) -> bool: ...
    # Let some time pass, and serve everything meanwhile.
    def sleep(self, seconds: float) -> None: ...
    # Run rounds until `stop` is called.
    def run_forever(self) -> None: ...
    # Let `run_forever` return after the present round.
    def stop(self) -> None: ...
    # Run a callback once, not before some time has passed.
    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> Timer: ...
    # Run a callback in the next round, in the order of the calls.
    def call_soon(self, callback: Callable[..., object], *args: object) -> None: ...
    # The same from another thread, or from a signal handler: a wait ends.
    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> None: ...
    # True inside `run_once`.
    @property
    def running(self) -> bool: ...
    # True after `close`.
    @property
    def closed(self) -> bool: ...
    # The loop's clock, in seconds from an arbitrary start.
    def time(self) -> float: ...
    # Watch a descriptor.
    def register(
        self, fileobj: int | _HasFileno, events: int, callback: Callable[[int], object]
    ) -> None: ...
    # Change the events that a registered descriptor is watched for.
    def modify(self, fileobj: int | _HasFileno, events: int) -> None: ...
    # Watch a descriptor no longer, a callback due in this round included.
    def unregister(self, fileobj: int | _HasFileno) -> None: ...
    # The selector's own descriptor, readable while a registered one is ready.
    def fileno(self) -> int: ...
    # Seconds until `run_once` has something to do without a descriptor being ready.
    def next_timeout(self) -> float | None: ...
    # End a wait of `run_once` from a signal handler or another thread.
    def wakeup(self) -> None: ...
    # Send due ticks from a signal handler while the program computes.
    @contextmanager
    def signal_ticks(self, interval: float = 1.0, timer: int = ...) -> Iterator[None]: ...
    # A snapshot of the loop's counters.
    def statistics(self) -> LoopStatistics: ...
    # Give the loop's own descriptors back; what others registered is left to them.
    def close(self) -> None: ...
    def __enter__(self) -> EventLoop: ...
    def __exit__(self, *_exc: object) -> None: ...

# A callback that waits for its time; `cancel` is all there is to do with it.
class Timer:
    when: float
    # Make sure the callback does not run; a no-op when it has run.
    def cancel(self) -> None: ...

# A snapshot of the loop's counters.
class LoopStatistics(NamedTuple):
    rounds: int
    events: int
    descriptors: int
    timers: int
    queued: int

# --- What is under way ----------------------------------------------------------------------------

# The outcome, once it is there.
class Future(Generic[_T]):
    what: str
    def __init__(
        self,
        loop: EventLoop,
        what: str = "the answer",
        withdraw: Callable[[], object] | None = None,
    ) -> None: ...
    # True when there is an outcome: a result, an exception or a cancellation.
    def done(self) -> bool: ...
    # True when it was cancelled.
    def cancelled(self) -> bool: ...
    # Run the loop until the outcome is there, and return or raise it.
    def result(self, timeout: float | None = None) -> _T: ...
    # Like `result`, but returns the exception, or None when there is a result.
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    # Have `callback(future)` called by the loop when the outcome is there.
    def add_done_callback(self, callback: Callable[[Future[_T]], object]) -> None: ...
    # Take a callback back; a pending future without any is dropped if nobody holds it.
    def remove_done_callback(self, callback: Callable[[Future[_T]], object]) -> bool: ...
    # A future with what `function` makes of the result; it may return another future.
    @overload
    def then(self, function: Callable[[_T], Future[_U]]) -> Future[_U]: ...
    @overload
    def then(self, function: Callable[[_T], _U]) -> Future[_U]: ...
    # Withdraw what is under way.
    def cancel(self) -> bool: ...
    # Set the result.
    def set_result(self, result: _T) -> None: ...
    # Set an exception as the outcome.
    def set_exception(self, error: BaseException) -> None: ...

# --- Processes ------------------------------------------------------------------------------------

Destination: TypeAlias = Pid | Reference | str | tuple[str, str]

# The type of `EMPTY`.
class _Empty:
    def __bool__(self) -> bool: ...

EMPTY: _Empty  # what Mailbox.poll returns when there is no message

# A process: made by `Node.mailbox`, ended by `close` or by an exit signal.
class Mailbox:
    @property
    def pid(self) -> Pid: ...
    @property
    def name(self) -> Atom | None: ...
    on_message: Callable[[object], object] | None
    on_exit: Callable[[object], object] | None
    on_unwatched: Callable[[Reference], None] | None
    trap_exit: bool
    group_leader: Pid | None
    @property
    def exit_reason(self) -> object: ...
    def __init__(self, processes: object, process: object) -> None: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    # False after `close` or a fatal exit signal.
    @property
    def alive(self) -> bool: ...
    # Send a message as this process.
    def send(self, dest: Destination, message: object, *, priority: bool = False) -> None: ...
    # Call a generic server as this process. See `Node.call`.
    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]: ...
    # Take the next message, running the loop until there is one.
    def receive(
        self, timeout: float | None = None, *, match: Callable[[object], object] | None = None
    ) -> object: ...
    # Take the next message if there is one, without running the loop.
    def poll(self) -> object: ...
    # Take what has come, message by message; it never waits.
    def __iter__(self) -> Iterator[object]: ...
    __contains__: None
    # Link this process with another: the end of either is a signal to the other.
    def link(self, pid: Pid) -> None: ...
    # Take a link back; no exit signal of the other comes through any more.
    def unlink(self, pid: Pid) -> None: ...
    # Watch a process by its pid or its name.
    def monitor(self, dest: Pid | str | tuple[str, str]) -> Reference: ...
    # Stop watching.
    def demonitor(self, ref: Reference, *, flush: bool = False) -> bool: ...
    # Make an alias: a reference that others can send to, until `unalias`.
    def alias(self, *, priority: bool = False) -> Reference: ...
    # Take an alias back: what is sent to it from now on is dropped.
    def unalias(self, ref: Reference) -> bool: ...
    # Send an exit signal to a process, as `exit/2` does.
    def exit(self, dest: Pid | Reference, reason: object, *, priority: bool = False) -> None: ...
    # Give this process a registered name.
    def register(self, name: str) -> None: ...
    # End this process: links and monitors hear of it with `reason`.
    def close(self, reason: object = ...) -> None: ...
    def __enter__(self) -> Mailbox: ...
    def __exit__(self, *_exc: object) -> None: ...

# --- The node -------------------------------------------------------------------------------------

_NodeEvent: TypeAlias = Literal["nodeup", "nodedown"]

# An Erlang node in this process.
class Node:
    config: Config
    loop: EventLoop
    on_down: Callable[[str, UdsDistError], object] | None
    output: Callable[[str], object]  # takes what functions print that this node runs elsewhere
    # Told the name and the reason of a server that has ended and is not started again.
    on_service_down: Callable[[str, object], object] | None
    def __init__(
        self,
        name: str,
        *,
        loop: EventLoop | None = None,
        cookie: str | bytes | None = None,
        socket_dir: str | PathLike[str] | None = None,
        hidden: bool | None = None,
        text: bool | None = None,
        config: Config | None = None,
        on_down: Callable[[str, UdsDistError], object] | None = None,
        output: Callable[[str], object] = ...,
        on_service_down: Callable[[str, object], object] | None = None,
    ) -> None: ...
    def __enter__(self) -> Node: ...
    def __exit__(self, *_exc: object) -> None: ...
    # The node's full name; of a node that has none yet, `nonode@nohost`.
    @property
    def name(self) -> Atom: ...
    # What tells this incarnation of the node from earlier ones: 32 bits.
    @property
    def creation(self) -> int: ...
    # True after `close`.
    @property
    def closed(self) -> bool: ...
    # The pid of the node's own process, in whose name `send`, `call` and `rpc` act.
    @property
    def pid(self) -> Pid: ...
    # Change the cookie for new connections.
    def set_cookie(self, cookie: str | bytes, node: str | None = None) -> None: ...
    # Admit only these nodes from now on; others get the status `not_allowed`.
    def allow(self, names: Sequence[str]) -> None: ...
    # Open the listening socket; without this call nobody can dial this node. `sock` is one that
    # listens already, `inherit` takes that of a service manager (LISTEN_FDS).
    def listen(self, *, sock: socket | None = None, inherit: bool = False) -> None: ...
    # Connect to a node, if there is no connection yet.
    def connect(self, name: str) -> Future[None]: ...
    # Ask a node for a sign of life, connecting to it if need be, as `net_adm:ping` does.
    def ping(self, name: str, timeout: float | None = 5.0) -> bool: ...
    # The names of the nodes that are connected.
    def nodes(self) -> list[str]: ...
    # Close the connection to a node.
    def disconnect(self, name: str) -> bool: ...
    # Be told of every node that comes and goes.
    def monitor_nodes(
        self, callback: Callable[[_NodeEvent, str, UdsDistError | None], object]
    ) -> None: ...
    # Show each control message to a function, from the connections on that come up later.
    def trace(
        self, callback: Callable[[str, str, tuple[object, ...], object], object]
    ) -> None: ...
    # Be told of nodes no longer.
    def demonitor_nodes(
        self, callback: Callable[[_NodeEvent, str, UdsDistError | None], object]
    ) -> bool: ...
    # Start a process of this node.
    def mailbox(
        self,
        name: str | None = None,
        on_message: Callable[[object], object] | None = None,
        *,
        trap_exit: bool = False,
    ) -> Mailbox: ...
    # Take part in a scope of `pg`, the process groups of a cluster.
    def pg(self, scope: str = "pg") -> PgScope: ...
    # The pid that is registered under a name here, or None.
    def whereis(self, name: str) -> Pid | None: ...
    # Send a message; connects to the node if need be. See `Mailbox.send`.
    def send(self, dest: Destination, message: object) -> None: ...
    # Send an exit signal to a process. See `Mailbox.exit`.
    def exit(self, dest: Pid | Reference, reason: object) -> None: ...
    # Make one process the group leader of another, as `group_leader/2` does.
    def set_group_leader(self, leader: Pid, dest: Pid) -> None: ...
    # Start a process at another node.
    def spawn(
        self,
        node: str,
        module: str,
        function: str,
        arguments: Sequence[object] = (),
        *,
        parent: Mailbox | None = None,
        link: bool = False,
        monitor: bool = False,
    ) -> Future[tuple[Pid, Reference | None]]: ...
    # Call a generic server, as `gen_server:call` does.
    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]: ...
    # Send a generic server a request that has no answer, as `gen_server:cast` does.
    def cast(self, dest: Destination, request: object) -> None: ...
    # Call a function at another node, as `erpc:call` does.
    def rpc(
        self, node: str, module: str, function: str, arguments: Sequence[object] = ()
    ) -> Future[object]: ...
    # Call the generic servers of one name at several nodes, as `gen_server:multi_call`.
    def multi_call(
        self,
        nodes: Iterable[str],
        name: str,
        request: object,
        timeout: float | None = 5.0,
    ) -> Future[MultiReply]: ...
    # Run a generic server, to be called from any node.
    def serve(
        self,
        name: str | None,
        server: GenServer | Callable[[], GenServer],
        *,
        restart: Literal["temporary", "transient", "permanent"] = "temporary",
    ) -> Pid: ...
    # End a server that `serve` or `serve_tasks` runs; it is not started again.
    def stop_server(self, server: str | Pid) -> bool: ...
    # Run a task supervisor: Elixir's `Task.Supervisor.async({name, node}, m, f, args)`.
    def serve_tasks(self, name: str) -> Pid: ...
    # Let other nodes call functions by `rpc`, `erpc` and `spawn`: these and no others.
    @overload
    def expose(self, module: str, functions: None = None) -> Callable[[_F], _F]: ...
    @overload
    def expose(self, module: str, functions: Mapping[str, Callable[..., object]]) -> None: ...
    # Let no node call these functions from now on, by default all of the module.
    def unexpose(self, module: str, names: Iterable[str] | None = None) -> bool: ...
    # Serve a Python prompt to remote shells: whoever is connected can run anything here.
    # `namespace`: names that the shells find besides `node` and `loop`; `banner`: their first line;
    # `audit`: called with each input before it is evaluated, which is not when it raises; `allow`:
    # the nodes that may open one; `time_limit`: seconds for one input, None for no limit.
    def serve_console(
        self,
        namespace: Mapping[str, object] | None = None,
        *,
        banner: str | None = None,
        audit: Callable[[ConsoleInput], object] | None = None,
        allow: Collection[str] | None = None,
        time_limit: float | None = 5.0,
    ) -> None: ...
    # End every shell and serve none from now on.
    def stop_console(self) -> None: ...
    # A snapshot of what the node holds.
    def statistics(self) -> NodeStatistics: ...
    # Have what is sent within leave together, at the end or when the loop runs.
    @contextmanager
    def batch(self) -> Iterator[None]: ...
    # Run the loop until everything that was sent has been handed to the sockets.
    def flush(self, timeout: float | None = None) -> bool: ...
    # End the node: processes exit with `shutdown`, sockets close, the socket file goes.
    def close(self) -> None: ...

# --- Services -------------------------------------------------------------------------------------

# Who waits for a reply: the caller's pid, and the tag by which it knows the reply.
class From(NamedTuple):
    pid: Pid
    tag: object

# The outcome of a call to servers at several nodes.
class MultiReply(NamedTuple):
    replies: dict[str, object]
    bad_nodes: list[str]

# What `handle_call` returns when the reply is to come from `GenServer.reply` later.
@dataclass(frozen=True)
class NoReply:
    def __new__(cls) -> NoReply: ...

# What a handler returns to end its server; with a reply, if one is given.
@dataclass(frozen=True)
class Stop:
    reason: object = ...  # by default the atom normal
    reply: object = ...

# A generic server: derive from it and override what is needed; run it by `Node.serve`.
class GenServer:
    trap_exit: bool
    # Build the state; called before the first message, and again after every restart.
    def init(self) -> object: ...
    # Answer a call: with a reply, a Future of it, `NoReply()` or a `Stop`.
    def handle_call(self, request: object, from_: From) -> object: ...
    # Act on a cast; a `Stop` ends the server.
    def handle_cast(self, request: object) -> object: ...
    # Act on any other message; a `Stop` ends the server.
    def handle_info(self, message: object) -> object: ...
    # Clean up; called once, whatever has ended the server.
    def terminate(self, reason: object) -> object: ...
    # The state that `sys:get_state` shows: by default a map of the public attributes.
    def get_state(self) -> object: ...
    # Take over what `sys:replace_state` made of the state.
    def set_state(self, state: object) -> object: ...
    # The server's process: its pid, its monitors and links, its `send`.
    @property
    def process(self) -> Mailbox: ...
    # Answer a call for which `handle_call` returned `NoReply()`.
    def reply(self, from_: From, answer: object) -> None: ...
    # Call another server; a handler may return the future as its reply.
    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]: ...
    # Cast to another server.
    def cast(self, dest: Destination, request: object) -> None: ...
    # End this server.
    def stop(self, reason: object = ...) -> None: ...

# What an event manager calls: derive from it and override what is needed.
class EventHandler:
    # Act on an event.
    def handle_event(self, event: object) -> object: ...
    # Answer a query of `gen_event:call`, with a term or a Future of it.
    def handle_call(self, query: object) -> object: ...
    # Clean up; returns what `gen_event:delete_handler` gives.
    def terminate(self, reason: object) -> object: ...

# Passes events on to its handlers, as gen_event does; run it by `Node.serve`.
class EventManager(GenServer):
    def __init__(self) -> None: ...
    # Add a handler, under the name by which `gen_event:call` asks for it.
    def add_handler(self, name: str, handler: EventHandler) -> None: ...
    # Remove a handler; returns what its `terminate` returned.
    def delete_handler(self, name: str) -> object: ...
    # Have every handler act on an event.
    def notify(self, event: object) -> None: ...

# One scope of `pg`, made by `Node.pg`.
class PgScope:
    def __init__(
        self, loop: EventLoop, processes: object, config: Config, name: str
    ) -> None: ...
    # The groups that have members.
    def groups(self) -> list[object]: ...
    # The members of a group, those here first. A group is any term; an Erlang string is a list of
    # code points, a str is a binary.
    def members(self, group: object) -> list[Pid]: ...
    # Make a process of this node a member, once more if it is one already.
    def join(self, group: object, pid: Pid) -> None: ...
    # End one membership of a process.
    def leave(self, group: object, pid: Pid) -> bool: ...

# One input of a remote shell; `uid` and `pid` are None where the system does not tell them.
class ConsoleInput(NamedTuple):
    node: str
    uid: int | None
    pid: int | None
    text: str

# A snapshot of a node: what it holds at this moment.
class NodeStatistics(NamedTuple):
    name: str
    processes: int
    names: int
    monitors: int
    aliases: int
    futures: int
    links: int
    watchers: int
    unwritten: int
    connections: tuple[PeerStatistics, ...]

# A snapshot of one connection's counters; sizes in bytes.
class PeerStatistics(NamedTuple):
    name: str
    phase: Literal["connecting", "handshake", "up", "closing", "closed"]
    initiator: bool
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    unwritten: int
