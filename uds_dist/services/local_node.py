"""The processes and services of one node, as its program uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, overload

from uds_dist.config import Config
from uds_dist.errors import ClosedError, LocalProtocolError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.destination import Destination, check_names, checked_name
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.processes.this_node import ThisNode
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import MultiReply, cast, start_multi_call
from uds_dist.services.gen_server import GenServer
from uds_dist.services.group_leader import GroupLeader
from uds_dist.services.outcome import refuse_coroutines
from uds_dist.services.rpc import start_rpc, start_spawn
from uds_dist.services.runner import Restart
from uds_dist.services.startup import Services
from uds_dist.services.tasks import TaskSupervisor
from uds_dist.transport.loop import EventLoop

F = TypeVar("F", bound=Callable[..., object])


class LocalNode:
    """A node without its connections: what runs on it, and its requests to other nodes.

    Signals to other nodes go to the router of its process table. `Node` adds the connections.

    Args:
        loop: the event loop.
        config: the settings.
        this: the node's name, creation and cookies.
        exposed: the functions that other nodes may call.
        output: called with the text that functions print when this node runs them elsewhere.
        on_service_down: called when a server has ended abnormally and is not started again.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        this: ThisNode,
        exposed: Exposed,
        output: Callable[[str], object],
        on_service_down: Callable[[str, object], object] | None,
    ) -> None:
        self.loop = loop
        self.config = config
        self.output = output
        self.on_service_down = on_service_down
        self._this = this
        self._exposed = exposed
        self._services: Services | None = None  # from when the node has its name
        self._closed = False

    @property
    def name(self) -> Atom:
        """The node's full name; ``nonode@nohost`` while it has none."""
        return Atom("nonode@nohost") if self._this.dynamic else Atom(self._this.name)

    @property
    def creation(self) -> int:
        """The number that tells this incarnation of the node from earlier ones: 32 bits."""
        return self._this.creation

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self._closed

    @property
    def pid(self) -> Pid:
        """The pid of the node's own process, in whose name `send`, `call` and `rpc` act.

        Raises:
            LocalProtocolError: the node has no name yet.
        """
        return self._own.pid

    @property
    def processes(self) -> Processes:
        """The process table.

        Raises:
            LocalProtocolError: the node has no name yet.
            ClosedError: the node is closed.
        """
        services = self._named()
        self._check_open()
        return services.processes

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the node {self.name} is closed")

    def _named(self) -> Services:
        """The services, which the node has as soon as it has a name."""
        if self._services is None:
            raise LocalProtocolError("the node has no name yet: connect() it to a node first")
        return self._services

    @property
    def _own(self) -> Process:
        return self._named().own

    @property
    def _leader(self) -> GroupLeader:
        return self._named().leader

    def _service_down(self, name: str, reason: object) -> None:
        if self.on_service_down is not None:
            self.on_service_down(name, reason)

    # -- processes -------------------------------------------------------------------------

    def mailbox(
        self,
        name: str | None = None,
        on_message: Callable[[object], object] | None = None,
        *,
        trap_exit: bool = False,
    ) -> Mailbox:
        """Start a process of this node.

        Args:
            name: a registered name for it.
            on_message: called with each message, inside `run_once`; without it the messages wait
                for `Mailbox.receive` and `Mailbox.poll`.
            trap_exit: turn exit signals into messages.
        Returns:
            The mailbox.
        Raises:
            ConfigError: the name is taken, or `on_message` is a coroutine function.
        """
        refuse_coroutines("on_message", on_message)
        process = self.processes.new_process(name, on_message, trap_exit=trap_exit)
        process.of_program = True
        if self.processes.terms.conversion is not None:
            process.convert_by(self.processes.terms.converted_or_plain)
        process.group_leader = self._leader.pid
        return Mailbox(self.processes, process)

    def whereis(self, name: str) -> Pid | None:
        """The pid that is registered under a name here, or None."""
        process = self.processes.by_name.get(checked_name(name))
        return None if process is None else process.pid

    def send(self, dest: Destination, message: object) -> None:
        """Send a message; connects to the node if necessary.

        Raises:
            EncodeError: the message is not a term, or `dest` is not a destination.
            BusyError: more than ``write_high_water`` bytes wait for the node; nothing was sent.
            ClosedError: the node is closed.
            LocalProtocolError: the node has no name yet.
        """
        self.processes.send(self._own, dest, message)

    def exit(self, dest: Pid | Reference, reason: object) -> None:
        """Send an exit signal to a process. See `Mailbox.exit`."""
        self.processes.exit_signal(self._own.pid, dest, reason)

    def set_group_leader(self, leader: Pid, dest: Pid) -> None:
        """Make one process the group leader of another, as ``group_leader/2`` does.

        Args:
            leader: the process that gets what `dest` prints.
            dest: the process whose leader it becomes.
        """
        self.processes.set_group_leader(leader, dest)

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
    ) -> Future[tuple[Pid, Reference | None]]:
        """Start a process at another node.

        Args:
            node: the other node's name.
            module, function: what the process runs.
            arguments: the argument terms.
            parent: the process that links or monitors it; by default the node's own process.
            link: link the two.
            monitor: send the parent a DOWN message when the process ends.
        Returns:
            A future with the pid, and the monitor's reference or None; its errors are
            NoConnectionError and RemoteError.
        Raises:
            TypeError: the arguments are a text, not a list of terms, or a name is not text.
            EncodeError: an argument is not a term.
            BusyError, ClosedError, LocalProtocolError: as for `send`; ClosedError if the parent has
            ended.
        """
        own = self._own if parent is None else self.processes.find(parent.pid)
        if own is None:
            raise ClosedError(f"the parent {shown(parent)} is not a living process of {self.name}")
        return start_spawn(
            self.processes,
            own,
            node,
            checked_name(module),
            checked_name(function),
            arguments,
            link,
            monitor,
        )

    # -- calls -----------------------------------------------------------------------------

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]:
        """Call a generic server, as ``gen_server:call`` does.

        Args:
            dest: a Pid, a registered name here, or ``(name, node)``.
            request: any term.
        Returns:
            A future with the reply; its errors are NoProcessError, NoConnectionError and
            RemoteError, and RemoteTimeoutError and LoopReentryError from waiting for it.
        Raises:
            EncodeError: the request is not a term, or `dest` is not a destination.
            BusyError, ClosedError, LocalProtocolError: as for `send`.
        """
        return start_call(self.processes, self._own, dest, request)

    def cast(self, dest: Destination, request: object) -> None:
        """Send a generic server a request that has no answer, as ``gen_server:cast`` does.

        Args:
            dest: a Pid, an alias, a registered name here, or ``(name, node)``.
            request: any term.
        Raises:
            EncodeError: the request is not a term, or `dest` is not a destination.
            BusyError, ClosedError, LocalProtocolError: as for `send`.
        """
        cast(self.processes, self._own, dest, request)

    def multi_call(
        self, nodes: Iterable[str], name: str, request: object, timeout: float | None = 5.0
    ) -> Future[MultiReply]:
        """Call the generic servers of one name at several nodes, as ``gen_server:multi_call``.

        Args:
            nodes: the nodes' names.
            name: the servers' registered name.
            request: any term.
            timeout: seconds after which nodes without an answer count as bad.
        Returns:
            A future with the replies by node, and the list of bad nodes.
        Raises:
            TypeError: `nodes` is one text, not a list of names.
            EncodeError: the request is not a term.
            BusyError, ClosedError, LocalProtocolError: as for `call`.
        """
        check_names(nodes)
        return start_multi_call(self.processes, self._own, nodes, name, request, timeout)

    def rpc(
        self, node: str, module: str, function: str, arguments: Sequence[object] = ()
    ) -> Future[object]:
        """Call a function at another node, as ``erpc:call`` does.

        Args:
            node: the other node's name.
            module, function: what to call; an Elixir module is ``Elixir.Name``. True, False and
                None stand for the atoms `true`, `false` and `nil`.
            arguments: the argument terms.
        Returns:
            A future with the function's value; its errors are RemoteError and NoConnectionError,
            and RemoteTimeoutError and LoopReentryError from waiting for it.
        Raises:
            TypeError: the arguments are a text, not a list of terms, or a name is not text.
            EncodeError: an argument is not a term.
            BusyError, ClosedError, LocalProtocolError: as for `send`.
        """
        services = self._named()
        if self._closed:
            self._check_open()
        module, function = checked_name(module), checked_name(function)
        return start_rpc(services.processes, services.own, node, module, function, arguments)

    # -- services --------------------------------------------------------------------------

    def serve(
        self,
        name: str | None,
        server: GenServer | Callable[[], GenServer],
        *,
        restart: Restart = "temporary",
    ) -> Pid:
        """Run a generic server that any node can call.

        Args:
            name: its registered name; None for a server known by its pid.
            server: the server; or its class or a function, called at each start to make a new one.
                A restart of the same server calls its `init` again.
            restart: whether it is started again: never, after an abnormal end, or after any end. A
                server that ends more than three times in five seconds stays down, and
                `on_service_down` is called.
        Returns:
            The pid. After a restart the server has another one.
        Raises:
            ConfigError: the name is taken, the server is served already, or a handler of it is a
                coroutine function.
            Exception: what `GenServer.init` raised.
        """
        self._check_open()
        return self._named().servers.start(name, server, restart)

    def stop_server(self, server: str | Pid) -> bool:
        """End a server that `serve` or `serve_tasks` runs; it is not started again.

        Its `terminate` is called; its callers and watchers get the reason ``shutdown``. The name is
        free at once, and the same object can be served again.

        Args:
            server: the registered name, or the pid of a server without one.
        Returns:
            False when there is no such server.
        """
        return self._named().servers.stop(server)

    def serve_tasks(self, name: str) -> Pid:
        """Run a task supervisor: Elixir's ``Task.Supervisor.async({name, node}, m, f, args)``.

        Args:
            name: its registered name.
        Returns:
            The pid. Tasks run functions that are exposed, and no others.
        Raises:
            ConfigError: the name is taken.
        """
        return self.serve(name, lambda: TaskSupervisor(self._exposed), restart="permanent")

    @overload
    def expose(self, module: str, functions: None = None) -> Callable[[F], F]: ...

    @overload
    def expose(self, module: str, functions: Mapping[str, Callable[..., object]]) -> None: ...

    def expose(
        self, module: str, functions: Mapping[str, Callable[..., object]] | None = None
    ) -> Callable[[F], F] | None:
        """Let other nodes call functions by ``rpc``, ``erpc`` and ``spawn``: these and no others.

        As a decorator it exposes one function under its own name: ``@node.expose("py_math")``.
        A function may return a Future. What it raises is an error at the caller; ErlangError,
        Throw and Exit give the exact class and term.

        Args:
            module: the module's name for the callers; that of an Elixir module begins with
                ``Elixir.``.
            functions: functions by their names for the callers.
        Raises:
            ConfigError: a function cannot be called with positional arguments alone, or is a
                coroutine function.
        """
        module = checked_name(module)
        if functions is not None:
            self._exposed.add(
                module, {checked_name(name): call for name, call in functions.items()}
            )
            return None

        def decorate(function: F) -> F:
            self._exposed.add(module, {function.__name__: function})
            return function

        return decorate

    def unexpose(self, module: str, names: Iterable[str] | None = None) -> bool:
        """Stop letting nodes call these functions; a call that already runs continues.

        Args:
            module: the module's name for the callers.
            names: the functions' names for the callers; None for all of the module.
        Returns:
            False when none of them was exposed.
        Raises:
            TypeError: `names` is one text, not a list of names.
        """
        check_names(names)
        chosen = None if names is None else [checked_name(name) for name in names]
        return self._exposed.remove(checked_name(module), chosen)
