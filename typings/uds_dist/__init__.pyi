"""uds_dist: a synchronous Python program as an Erlang node over Unix domain sockets.

This is the public contract: `from uds_dist import ...` gives these names and no others. Times are
in seconds, sizes in bytes. The docstrings in the package say more.
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

# --- Terms: Erlang's values in Python, see the table in the README --------------------------------

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
    # The second part of the number.
    @property
    def serial(self) -> int: ...
    # The incarnation of its node.
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
    # The incarnation of its node.
    @property
    def creation(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# A unique value that a node makes, for a monitor, a call or an alias.
class Reference:
    __match_args__ = ("node", "creation", "ids")
    def __init__(self, node: str, creation: int, ids: tuple[int, ...]) -> None: ...
    # The name of the node that made it.
    @property
    def node(self) -> Atom: ...
    # The incarnation of the node that made it.
    @property
    def creation(self) -> int: ...
    # Its numbers, in their order on the wire.
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

# A fun with its environment: it cannot be called here, but is sent back byte for byte.
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

# A bit string whose length is not a multiple of 8.
@dataclass(frozen=True, slots=True)
class BitString:
    data: bytes
    bits: int

# A list whose last tail is not a list: `[a, b | tail]`.
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
    # The value of the field with this name.
    def get(self, name: str, default: object = None) -> object: ...

# An Erlang record: a tuple `(tag, value, ...)` whose values are also attributes.
class TaggedTuple(tuple[object, ...]):
    __slots__ = ()
    _tag: ClassVar[Atom]
    _fields: ClassVar[tuple[str, ...]] = ()
    def __new__(cls, *values: object, **named: object) -> Self: ...
    # The record of a tuple that includes the tag.
    @classmethod
    def _make(cls, term: tuple[object, ...]) -> Self: ...
    def _replace(self, **changes: object) -> Self: ...
    def _asdict(self) -> dict[str, object]: ...
    def __getnewargs__(self) -> tuple[object, ...]: ...
    def __getattr__(self, name: str) -> object: ...

# Make a class for an Erlang record: `record("user", "name", "age")` for `-record(user, {name, age})`.
def record(tag: str, *fields: str) -> type[TaggedTuple]: ...

# A term in a node's private format: opaque, and sent back unchanged.
@dataclass(frozen=True, slots=True)
class LocalTerm:
    data: bytes  # all bytes after the tag

# A hashable list, for the keys of maps.
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

# A map that a dict cannot hold: its keys may be equal in Python, such as 1, 1.0 and True.
class Map:
    __match_args__ = ("pairs",)
    def __init__(self, pairs: Iterable[tuple[object, object]]) -> None: ...
    # The keys and values, in their order on the wire.
    @property
    def pairs(self) -> tuple[tuple[object, object], ...]: ...
    # The value of exactly this key: 1 is not 1.0.
    def get(self, key: object, default: object = None) -> object: ...
    def __getitem__(self, key: object) -> object: ...
    def __contains__(self, key: object) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[object]: ...
    # The keys, in a list.
    def keys(self) -> list[object]: ...
    # The values, in a list.
    def values(self) -> list[object]: ...
    # The pairs of key and value, as from a dict.
    def items(self) -> tuple[tuple[object, object], ...]: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

# --- Terms as bytes and as text -------------------------------------------------------------------

# The version of this package.
__version__: str

# True if the codec is compiled with mypyc.
COMPILED: bool

# Write one term in the External Term Format, like `term_to_binary`.
# `default` is called with a value that has no term, and returns one that has.
def encode(
    term: object,
    *,
    compressed: int = 0,
    max_depth: int = ...,
    default: Callable[[object], object] | None = None,
) -> bytes: ...
# Read one term in the External Term Format, like `binary_to_term`. With `text`, a binary that is
# UTF-8 becomes a str. `object_hook` is called with each map that has a key `__struct__`, and with
# each tuple that begins with a tag in `records`; tuples of a class in `records` become its objects.
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
# The text of a term as Erlang prints it, on one line, with the keys of maps in order.
def format_term(term: object) -> str: ...
# Read one term from Erlang's text.
def parse_term(text: str) -> object: ...

# --- Service managers -----------------------------------------------------------------------------

# Tell the service manager that this program is ready; False if NOTIFY_SOCKET is not set.
def notify_ready(environ: Mapping[str, str] | None = None) -> bool: ...

# --- The event loop -------------------------------------------------------------------------------

# Anything with `fileno() -> int`, such as a socket.
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

# Anything with `done() -> bool`, such as a Future.
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
    # Wait until there is something to do, and do one round of it.
    def run_once(self, timeout: float | None = 0.0) -> int: ...
    # Run rounds until a future is done or a predicate is true.
    def run_until(
        self, condition: _Completable | Callable[[], bool], timeout: float | None = None
    ) -> bool: ...
    # Wait, and serve everything meanwhile.
    def sleep(self, seconds: float) -> None: ...
    # Run rounds until `stop` is called.
    def run_forever(self) -> None: ...
    # Make `run_forever` return after the current round.
    def stop(self) -> None: ...
    # Run a callback once, after some seconds.
    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> Timer: ...
    # Run a callback in the next round, in the order of the calls.
    def call_soon(self, callback: Callable[..., object], *args: object) -> None: ...
    # The same from another thread or a signal handler; it ends a wait.
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
    # Stop watching a descriptor; a pending callback for it does not run.
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
    # Close the loop's own descriptors, but not those that others registered.
    def close(self) -> None: ...
    def __enter__(self) -> EventLoop: ...
    def __exit__(self, *_exc: object) -> None: ...

# A callback that runs at a certain time, unless `cancel` is called.
class Timer:
    when: float
    # Make sure the callback does not run; no effect if it has run.
    def cancel(self) -> None: ...

# A snapshot of the loop's counters.
class LoopStatistics(NamedTuple):
    rounds: int
    events: int
    descriptors: int
    timers: int
    queued: int

# --- Futures --------------------------------------------------------------------------------------

# An outcome that may come later.
class Future(Generic[_T]):
    what: str
    def __init__(
        self,
        loop: EventLoop,
        what: str = "the answer",
        withdraw: Callable[[], object] | None = None,
    ) -> None: ...
    # True if there is an outcome: a result, an exception or a cancellation.
    def done(self) -> bool: ...
    # True if it was cancelled.
    def cancelled(self) -> bool: ...
    # Run the loop until there is an outcome, and return or raise it.
    def result(self, timeout: float | None = None) -> _T: ...
    # Like `result`, but return the exception, or None if there is a result.
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    # Let the loop call `callback(future)` once there is an outcome.
    def add_done_callback(self, callback: Callable[[Future[_T]], object]) -> None: ...
    # Remove a callback; a pending future without callbacks is dropped if nobody holds it.
    def remove_done_callback(self, callback: Callable[[Future[_T]], object]) -> bool: ...
    # A future with the value of `function(result)`, which may be another future.
    @overload
    def then(self, function: Callable[[_T], Future[_U]]) -> Future[_U]: ...
    @overload
    def then(self, function: Callable[[_T], _U]) -> Future[_U]: ...
    # Give up the operation.
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

EMPTY: _Empty  # what Mailbox.poll returns if there is no message

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
    # Take the messages that have arrived, one by one, without waiting.
    def __iter__(self) -> Iterator[object]: ...
    __contains__: None
    # Link this process with another: when one ends, the other gets an exit signal.
    def link(self, pid: Pid) -> None: ...
    # Remove a link; no exit signal of the other process arrives any more.
    def unlink(self, pid: Pid) -> None: ...
    # Watch a process by its pid or its name.
    def monitor(self, dest: Pid | str | tuple[str, str]) -> Reference: ...
    # Stop watching.
    def demonitor(self, ref: Reference, *, flush: bool = False) -> bool: ...
    # Make an alias: a reference that others can send to, until `unalias`.
    def alias(self, *, priority: bool = False) -> Reference: ...
    # Remove an alias: messages to it are dropped from now on.
    def unalias(self, ref: Reference) -> bool: ...
    # Send an exit signal to a process, like `exit/2`.
    def exit(self, dest: Pid | Reference, reason: object, *, priority: bool = False) -> None: ...
    # Give this process a registered name.
    def register(self, name: str) -> None: ...
    # End this process; its links and monitors get `reason`.
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
    output: Callable[[str], object]  # receives the output of functions that run on other nodes
    # Called with the name and the reason of a server that has ended and is not started again.
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
    # The node's full name; `nonode@nohost` until it has one.
    @property
    def name(self) -> Atom: ...
    # The number of this incarnation of the node: 32 bits.
    @property
    def creation(self) -> int: ...
    # True after `close`.
    @property
    def closed(self) -> bool: ...
    # The pid of the node's own process, the sender for `send`, `call` and `rpc`.
    @property
    def pid(self) -> Pid: ...
    # Change the cookie for new connections.
    def set_cookie(self, cookie: str | bytes, node: str | None = None) -> None: ...
    # Admit only these nodes from now on; others get the status `not_allowed`.
    def allow(self, names: Sequence[str]) -> None: ...
    # Open the listening socket; without this call nobody can dial this node. `sock` is a socket
    # that already listens, `inherit` takes the one from a service manager (LISTEN_FDS).
    def listen(self, *, sock: socket | None = None, inherit: bool = False) -> None: ...
    # Connect to a node, if there is no connection yet.
    def connect(self, name: str) -> Future[None]: ...
    # Check whether a node answers, like `net_adm:ping`; connect first if needed.
    def ping(self, name: str, timeout: float | None = 5.0) -> bool: ...
    # The names of the connected nodes.
    def nodes(self) -> list[str]: ...
    # Close the connection to a node.
    def disconnect(self, name: str) -> bool: ...
    # Call a function whenever a node connects or disconnects.
    def monitor_nodes(
        self, callback: Callable[[_NodeEvent, str, UdsDistError | None], object]
    ) -> None: ...
    # Call a function with each control message of every connection made from now on; the next
    # `run_once` raises its exceptions.
    def trace(
        self, callback: Callable[[str, str, tuple[object, ...], object], object]
    ) -> None: ...
    # Stop calling a function of `monitor_nodes`.
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
    # The pid registered under a name on this node, or None.
    def whereis(self, name: str) -> Pid | None: ...
    # Send a message; connect to the node first if needed. See `Mailbox.send`.
    def send(self, dest: Destination, message: object) -> None: ...
    # Send an exit signal to a process. See `Mailbox.exit`.
    def exit(self, dest: Pid | Reference, reason: object) -> None: ...
    # Make one process the group leader of another, like `group_leader/2`.
    def set_group_leader(self, leader: Pid, dest: Pid) -> None: ...
    # Start a process on another node.
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
    # Call a generic server, like `gen_server:call`.
    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]: ...
    # Send a generic server a request without an answer, like `gen_server:cast`.
    def cast(self, dest: Destination, request: object) -> None: ...
    # Call a function on another node, like `erpc:call`.
    def rpc(
        self, node: str, module: str, function: str, arguments: Sequence[object] = ()
    ) -> Future[object]: ...
    # Call the generic servers of one name on several nodes, like `gen_server:multi_call`.
    def multi_call(
        self,
        nodes: Iterable[str],
        name: str,
        request: object,
        timeout: float | None = 5.0,
    ) -> Future[MultiReply]: ...
    # Run a generic server that any node can call.
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
    # Let other nodes call these functions with `rpc`, `erpc` and `spawn`.
    @overload
    def expose(self, module: str, functions: None = None) -> Callable[[_F], _F]: ...
    @overload
    def expose(self, module: str, functions: Mapping[str, Callable[..., object]]) -> None: ...
    # Stop exposing these functions of a module, by default all of them.
    def unexpose(self, module: str, names: Iterable[str] | None = None) -> bool: ...
    # Serve a Python prompt to remote shells: every connected node can run any code here.
    # `namespace`: names for the shells, in addition to `node` and `loop`; `banner`: their first
    # line; `audit`: called with each input before it is evaluated, and can stop it by raising;
    # `allow`: the nodes that may open a shell; `time_limit`: seconds for one input, None: no limit.
    def serve_console(
        self,
        namespace: Mapping[str, object] | None = None,
        *,
        banner: str | None = None,
        audit: Callable[[ConsoleInput], object] | None = None,
        allow: Collection[str] | None = None,
        time_limit: float | None = 5.0,
    ) -> None: ...
    # End every shell and serve no more.
    def stop_console(self) -> None: ...
    # A snapshot of what the node holds.
    def statistics(self) -> NodeStatistics: ...
    # Messages sent inside it leave together, at its end or when the loop runs.
    @contextmanager
    def batch(self) -> Iterator[None]: ...
    # Run the loop until all sent messages have been written to the sockets.
    def flush(self, timeout: float | None = None) -> bool: ...
    # End the node: processes exit with `shutdown`, sockets are closed, the socket file is removed.
    def close(self) -> None: ...

# --- Services -------------------------------------------------------------------------------------

# The caller of a generic call: its pid, and the tag that its reply must carry.
class From(NamedTuple):
    pid: Pid
    tag: object

# The outcome of a call to servers on several nodes.
class MultiReply(NamedTuple):
    replies: dict[str, object]
    bad_nodes: list[str]

# What `handle_call` returns if the program calls `GenServer.reply` later.
class NoReply:
    def __new__(cls) -> NoReply: ...

# What a handler returns to end its server, with an optional reply.
@dataclass(frozen=True)
class Stop:
    reason: object = ...  # by default the atom normal
    reply: object = ...

# A generic server: subclass it, override the methods that you need, and run it with `Node.serve`.
class GenServer:
    trap_exit: bool
    # Build the state; called before the first message, and again after every restart.
    def init(self) -> object: ...
    # Answer a call: return the reply, a Future with it, `NoReply()` or a `Stop`.
    def handle_call(self, request: object, from_: From) -> object: ...
    # Act on a cast; a `Stop` ends the server.
    def handle_cast(self, request: object) -> object: ...
    # Act on any other message; a `Stop` ends the server.
    def handle_info(self, message: object) -> object: ...
    # Clean up; called once when the server ends for any reason.
    def terminate(self, reason: object) -> object: ...
    # The state that `sys:get_state` shows: by default a map of the public attributes.
    def get_state(self) -> object: ...
    # Set the state that `sys:replace_state` made.
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

# A handler of events: subclass it and override the methods that you need.
class EventHandler:
    # Act on an event.
    def handle_event(self, event: object) -> object: ...
    # Answer a query of `gen_event:call`: return a term or a Future with it.
    def handle_call(self, query: object) -> object: ...
    # Clean up; return the result of `gen_event:delete_handler`.
    def terminate(self, reason: object) -> object: ...

# Passes events on to its handlers, like gen_event; run it with `Node.serve`.
class EventManager(GenServer):
    def __init__(self) -> None: ...
    # Add a handler; `gen_event:call` finds it by this name.
    def add_handler(self, name: str, handler: EventHandler) -> None: ...
    # Remove a handler; returns what its `terminate` returned.
    def delete_handler(self, name: str) -> object: ...
    # Let every handler act on an event.
    def notify(self, event: object) -> None: ...

# One scope of `pg`, made by `Node.pg`.
class PgScope:
    def __init__(self, processes: object, scope: object) -> None: ...
    # The groups that have members.
    def groups(self) -> list[object]: ...
    # The members of a group, this node's first. A group is any term; an Erlang string is a list of
    # code points, a str is a binary.
    def members(self, group: object) -> list[Pid]: ...
    # Make a process of this node a member; a process may join several times.
    def join(self, group: object, pid: Pid) -> None: ...
    # End one membership of a process.
    def leave(self, group: object, pid: Pid) -> bool: ...

# One input of a remote shell; `uid` and `pid` are None if the system does not report them.
class ConsoleInput(NamedTuple):
    node: str
    uid: int | None
    pid: int | None
    text: str

# A snapshot of what a node holds.
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
