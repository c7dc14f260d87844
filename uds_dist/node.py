"""A node: the name, the peers, the processes, and what a program does with them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, overload

from uds_dist.config import Config
from uds_dist.errors import (
    ClosedError,
    ConfigError,
    LocalProtocolError,
    NoConnectionError,
    NodeNameError,
    NoProcessError,
    RemoteProtocolError,
    RemoteTimeoutError,
    UdsDistError,
)
from uds_dist.etf.atoms import limit_atoms
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.calls import start_call
from uds_dist.processes.destination import Destination, check_names, checked_name
from uds_dist.processes.future import Future
from uds_dist.processes.identity import checked_cookie, find_cookie, new_creation
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.names import IS_AUTH, NET_KERNEL, YES, NodeEvent
from uds_dist.processes.notices import Notice
from uds_dist.processes.peers import Peers
from uds_dist.processes.process import Process
from uds_dist.processes.remote_node import flushed, parted, unwritten
from uds_dist.processes.router import Inbox, Router
from uds_dist.processes.table import Processes
from uds_dist.processes.this_node import ThisNode
from uds_dist.protocol.node_names import split_node_name
from uds_dist.services.books import NodeStatistics, node_statistics
from uds_dist.services.console import Console, ConsoleInput
from uds_dist.services.exposed import Exposed
from uds_dist.services.gen import MultiReply, cast, start_multi_call
from uds_dist.services.gen_server import GenServer
from uds_dist.services.group_leader import GroupLeader, write_stdout
from uds_dist.services.interruptions import checked_limit
from uds_dist.services.outcome import refuse_coroutines
from uds_dist.services.pg import PgScope
from uds_dist.services.rpc import start_rpc, start_spawn
from uds_dist.services.server import Restart
from uds_dist.services.startup import Services
from uds_dist.services.tasks import TaskSupervisor
from uds_dist.transport.loop import EventLoop

F = TypeVar("F", bound=Callable[..., object])

# Seconds that `close` gives to unwritten bytes.
CLOSE_TIMEOUT = 1.0


class Node:
    """An Erlang node in this process.

    Args:
        name: ``name@host``; or ``@host``, to be given a name by the first node it connects to.
        loop: the event loop, which several nodes may share; by default the node's own.
        cookie: the shared secret, text or the bytes of it; by default UDS_DIST_COOKIE,
            RELEASE_COOKIE or the cookie file.
        socket_dir: the folder of the sockets, or ``@name`` for Linux abstract sockets.
        hidden: False to be among the visible nodes of its peers.
        text: True to be given binaries that are valid UTF-8 as str.
        config: all other settings, by default `Config.from_env()`; the arguments above precede it.
        on_down: called with a node's name and the error when its connection is lost, or could
            not be made.
        output: called with what functions print that this node runs elsewhere, by default
            written to `sys.stdout`; also an attribute.
        on_service_down: called with a server's name and the reason when a server that `serve`
            runs has ended abnormally and is not started again; also an attribute.
    Raises:
        NodeNameError: the name is malformed.
        ConfigError: a setting cannot be used, or there is no cookie.
    """

    def __init__(
        self,
        name: str,
        *,
        loop: EventLoop | None = None,
        cookie: str | bytes | None = None,
        socket_dir: str | os.PathLike[str] | None = None,
        hidden: bool | None = None,
        text: bool | None = None,
        config: Config | None = None,
        on_down: Callable[[str, UdsDistError], object] | None = None,
        output: Callable[[str], object] = write_stdout,
        on_service_down: Callable[[str, object], object] | None = None,
    ) -> None:
        for what, callback in (
            ("on_down", on_down),
            ("output", output),
            ("on_service_down", on_service_down),
        ):
            refuse_coroutines(what, callback)
        settings = {"socket_dir": socket_dir, "hidden": hidden, "text": text}
        given = {setting: value for setting, value in settings.items() if value is not None}
        config = Config.from_env(os.environ, **given) if config is None else config.replace(**given)
        if cookie is None:
            cookie = config.cookie if config.cookie is not None else find_cookie()
        cookie = checked_cookie(cookie)  # before the loop is made: nobody would close it
        dynamic = isinstance(name, str) and name.startswith("@")
        split_node_name("nobody" + name if dynamic else name)
        exposed = Exposed(config)
        self.config = config
        limit_atoms(config.max_atoms)
        self.loop = EventLoop() if loop is None else loop
        self._own_loop = loop is None
        self.on_down = on_down
        self.output = output
        self.on_service_down = on_service_down
        self._exposed = exposed
        self._console: Console | None = None
        self._closed = False
        creation = new_creation()
        self._this = ThisNode(
            config, "nobody" + name if dynamic else name, creation, cookie, dynamic
        )
        self._services: Services | None = None
        self._peers = Peers(self.loop, config, self._this, self._start)
        self._peers.notices.of_losses.append(self._lost)
        self._peers.notices.of_nodes.append(self._notice)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "listening" if self._peers.listener else "open"
        return f"<Node {self.name} {state} peers={self.nodes()}>"

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- identity --------------------------------------------------------------------------

    @property
    def name(self) -> Atom:
        """The node's full name; of a node that has none yet, ``nonode@nohost``."""
        return Atom("nonode@nohost") if self._this.dynamic else Atom(self._this.name)

    @property
    def creation(self) -> int:
        """What tells this incarnation of the node from earlier ones: 32 bits."""
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

    def set_cookie(self, cookie: str | bytes, node: str | None = None) -> None:
        """Change the cookie for new connections.

        Args:
            cookie: 1 to 255 characters of Latin-1.
            node: the peer that it is for; None for all that have none of their own.
        Raises:
            ConfigError: the cookie or the node's name cannot be used.
        """
        if node is None:
            self._this.cookie = checked_cookie(cookie)
        else:
            split_node_name(node)
            self._this.cookies[node] = checked_cookie(cookie)

    def allow(self, names: Sequence[str]) -> None:
        """Admit only these nodes from now on; others get the status ``not_allowed``.

        Args:
            names: full node names, or patterns such as ``worker-*@localhost``.
        Raises:
            TypeError: it is one name: give a list of names.
        """
        check_names(names)
        self._this.allowed = list(names)

    def _start(self, router: Router, name: str, creation: int) -> Inbox:
        """Start what the node needs as soon as it has its name."""
        self._services = Services(
            self.loop,
            self.config,
            name,
            creation,
            router,
            self._exposed,
            output=lambda text: self.output(text),
            on_service_down=self._service_down,
            connect=self.connect,
            disconnect=self.disconnect,
        )
        return self._services.inbox

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
        """What the node has as soon as it has a name."""
        if self._services is None:
            raise LocalProtocolError("the node has no name yet: connect() it to a node first")
        return self._services

    @property
    def _own(self) -> Process:
        return self._named().own

    @property
    def _leader(self) -> GroupLeader:
        return self._named().leader

    # -- peers -----------------------------------------------------------------------------

    def listen(self, *, sock: socket.socket | None = None, inherit: bool = False) -> None:
        """Open the listening socket; without this call nobody can dial this node.

        A node that listens looks after its socket file: one that was removed is made again within a
        quarter of the tick time, and by another call of this.

        Args:
            sock: a socket that listens already; the node closes it at its end and leaves its file.
            inherit: take the socket that a service manager has opened (LISTEN_FDS).
        Raises:
            DuplicateNameError: a live node has this name.
            ListenError: the socket cannot be had, or the one given cannot be used.
            AddressError: no such address can exist on this system.
            LocalProtocolError: the node listens already, and another socket was given.
        """
        self._peers.accepting.listen(sock, inherit=inherit)

    def connect(self, name: str) -> Future[None]:
        """Connect to a node, if there is no connection yet.

        Args:
            name: the node's full name.
        Returns:
            A future; its errors are NoConnectionError and its kinds, RemoteProtocolError,
            NodeNameError and AddressError.
        """
        return self._peers.connect(name)

    def ping(self, name: str, timeout: float | None = 5.0) -> bool:
        """Ask a node for a sign of life, connecting to it if need be, as ``net_adm:ping`` does.

        Args:
            name: the node's full name.
            timeout: seconds to wait at most.
        Returns:
            True for pong, False for pang.
        Raises:
            NodeNameError: that cannot be a node's name.
            AddressError: no socket can have its address.
            LoopReentryError: called in a handler.
        """
        if name == self.name:
            return True
        deadline = None if timeout is None else self.loop.time() + timeout
        connected = self.connect(name)
        try:
            connected.result(timeout)
            left = None if deadline is None else max(deadline - self.loop.time(), 0.0)
            answer = self.call((NET_KERNEL, name), (IS_AUTH, self.name)).result(left)
        except NodeNameError:
            raise
        except (NoConnectionError, NoProcessError, RemoteProtocolError, RemoteTimeoutError):
            return False
        return answer == YES

    def nodes(self) -> list[str]:
        """The names of the nodes that are connected."""
        return self._peers.up()

    def disconnect(self, name: str) -> bool:
        """Close the connection to a node.

        Returns:
            False when there is none.
        """
        return self._peers.disconnect(name)

    def monitor_nodes(self, callback: Notice) -> None:
        """Call a function when a node connects or disconnects.

        Args:
            callback: called with ``"nodeup"`` or ``"nodedown"``, the node's name, and the error
                that ended the connection; None with nodeup. The two take turns: a node that
                could not be reached has not gone.
        Raises:
            ConfigError: the callback is a coroutine function.
        """
        refuse_coroutines("the callback of monitor_nodes", callback)
        self._peers.notices.of_nodes.append(callback)

    def trace(self, callback: Callable[[str, str, tuple[object, ...], object], object]) -> None:
        """Show each control message to a function, from the connections on that come up later.

        Args:
            callback: called with ``"sent"`` or ``"received"``, the other node's name, the control
                message as a tuple, and the term that goes with it, if any.
        Raises:
            ConfigError: the callback is a coroutine function.
        """
        refuse_coroutines("the callback of trace", callback)
        self._peers.trace(callback)

    def demonitor_nodes(self, callback: Notice) -> bool:
        """Stop calling a function of `monitor_nodes`; a call pending in this round is dropped too.

        Args:
            callback: what `monitor_nodes` was given; of one that was given twice, one goes.
        Returns:
            False when it was not given.
        """
        return self._peers.notices.remove(callback)

    def _notice(self, event: NodeEvent, name: str, _error: UdsDistError | None) -> None:
        if self._services is not None:
            self._services.node_changed(event, name)

    def _lost(self, name: str, error: UdsDistError) -> None:
        if self.on_down is not None:
            self.on_down(name, error)

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

    def pg(self, scope: str = "pg") -> PgScope:
        """Take part in a scope of `pg`, the process groups of a cluster.

        Args:
            scope: the scope's name; a BEAM runs ``pg`` with ``-kernel start_pg true``.
        Returns:
            The scope: `join`, `leave` and `members`.
        """
        self._check_open()
        return self._named().pg(scope, self.nodes())

    def whereis(self, name: str) -> Pid | None:
        """The pid that is registered under a name here, or None."""
        process = self.processes.by_name.get(checked_name(name))
        return None if process is None else process.pid

    def send(self, dest: Destination, message: object) -> None:
        """Send a message; connects to the node if need be.

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
            leader: the process that is to take what `dest` prints.
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
            parent: whose link and monitor it is; by default the node's own process.
            link: link the two.
            monitor: have the parent told by a DOWN message when the process ends.
        Returns:
            A future with the pid, and the monitor's reference or None; its errors are
            NoConnectionError and RemoteError.
        Raises:
            TypeError: the arguments are a text, not a list of terms, or a name is not text.
            EncodeError: an argument is not a term.
            BusyError, ClosedError, LocalProtocolError: as of `send`; ClosedError if the parent has
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
            BusyError, ClosedError, LocalProtocolError: as of `send`.
        """
        return start_call(self.processes, self._own, dest, request)

    def cast(self, dest: Destination, request: object) -> None:
        """Send a generic server a request that has no answer, as ``gen_server:cast`` does.

        Args:
            dest: a Pid, an alias, a registered name here, or ``(name, node)``.
            request: any term.
        Raises:
            EncodeError: the request is not a term, or `dest` is not a destination.
            BusyError, ClosedError, LocalProtocolError: as of `send`.
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
            timeout: seconds after which the nodes without an answer are bad ones.
        Returns:
            A future with the replies by node, and the list of bad nodes.
        Raises:
            TypeError: `nodes` is one name: give a list of names.
            EncodeError: the request is not a term.
            BusyError, ClosedError, LocalProtocolError: as of `call`.
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
            BusyError, ClosedError, LocalProtocolError: as of `send`.
        """
        return start_rpc(
            self.processes,
            self._own,
            node,
            checked_name(module),
            checked_name(function),
            arguments,
        )

    # -- services --------------------------------------------------------------------------

    def serve(
        self,
        name: str | None,
        server: GenServer | Callable[[], GenServer],
        *,
        restart: Restart = "temporary",
    ) -> Pid:
        """Run a generic server, to be called from any node.

        Args:
            name: its registered name; None for a server known by its pid.
            server: the server; or its class, or a function, that makes a new one for every
                restart. A server that is given as such has its `init` called again.
            restart: after which ends it is started again: never, after an abnormal one, always.
                One that ends more than three times in five seconds stays down, of which
                `on_service_down` is told.
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

        Its `terminate` is called; who calls or watches it hears the reason ``shutdown``. The name
        is free at once, and the same object can be served again.

        Args:
            server: the registered name, or the pid of a server without one.
        Returns:
            False when there is no such server.
        """
        return self._named().servers.stop(server)

    def _service_down(self, name: str, reason: object) -> None:
        if self.on_service_down is not None:
            self.on_service_down(name, reason)

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
            module: the module's name for the callers; of an Elixir module with ``Elixir.``.
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
            TypeError: `names` is one name: give a list of names.
        """
        check_names(names)
        chosen = None if names is None else [checked_name(name) for name in names]
        return self._exposed.remove(checked_name(module), chosen)

    def serve_console(
        self,
        namespace: Mapping[str, object] | None = None,
        *,
        banner: str | None = None,
        audit: Callable[[ConsoleInput], object] | None = None,
        allow: Collection[str] | None = None,
        time_limit: float | None = 5.0,
    ) -> None:
        """Serve a Python prompt to ``erl -remsh``, ``iex --remsh`` and `uds-dist remote`.

        Every connected node, which has the cookie, can run anything in this process. Inputs run
        inside `run_once`.

        Args:
            namespace: names that the shells find, besides ``node`` and ``loop``, ``tasks``,
                ``stack``, ``top``, ``who`` and ``history``; what a shell defines is its own.
            banner: the first line that a client prints.
            audit: called with each input before it is evaluated, which is not when this raises;
                the log ``uds_dist.console`` has them in any case.
            allow: names of the nodes that may open a shell; None for every connected one.
            time_limit: seconds that one input may take; None for no limit.
        Raises:
            ConfigError: a console is served already, or the time limit is not above 0.
        """
        if self._console is not None:
            raise ConfigError("a console is served already: call stop_console() first")
        refuse_coroutines("audit", audit)
        if allow is not None:
            check_names(allow)
        self._console = Console(
            self.loop,
            self.processes,
            self._peers,
            {} if namespace is None else namespace,
            {"node": self, "loop": self.loop},
            banner=banner,
            audit=audit,
            allow=allow,
            time_limit=checked_limit(time_limit),
        )
        self._exposed.console = self._console.answer

    def stop_console(self) -> None:
        """End every shell and serve none from now on."""
        if self._console is not None:
            self._exposed.console = None
            self._console.close()
            self._console = None

    # -- the books -------------------------------------------------------------------------

    def statistics(self) -> NodeStatistics:
        """A snapshot of what the node holds."""
        return node_statistics(self.processes, self._peers.nodes)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Send messages of this block together at its end: one system call for many messages.

        An exception ends a batch like any other end. A batch within another ends with that. If the
        loop runs meanwhile, as it does while the program waits for an answer, what was sent before
        leaves in that round.
        """
        with self._peers.pressure.batched(self.loop):
            yield

    def flush(self, timeout: float | None = None) -> bool:
        """Run the loop until everything that was sent has been handed to the sockets.

        Args:
            timeout: seconds to go on at most.
        Returns:
            False when the time was over first.
        Raises:
            LoopReentryError: called in a handler.
        """
        return self.loop.run_until(flushed(self._peers.nodes), timeout)

    def close(self) -> None:
        """End the node: processes exit with ``shutdown``, sockets close, the socket file goes.

        At top level the loop runs for at most a second more, to write what was sent before and
        to part from the peers.
        In a forked child only the descriptors are closed: the rest is the parent's.
        """
        if self._closed:
            return
        forked = self.loop.process.forked
        if self._services is not None and not forked:
            self._services.inbox.close()
        self._closed = True
        can_run = not forked and not self.loop.running and not self.loop.closed
        end = self.loop.time() + CLOSE_TIMEOUT
        if can_run and unwritten(self._peers.nodes):
            self.loop.run_until(flushed(self._peers.nodes), CLOSE_TIMEOUT)
        self._peers.close()
        if can_run:
            left = max(end - self.loop.time(), 0.0)
            self.loop.run_until(parted(self._peers.nodes), left)
        if self._own_loop and not self.loop.running:
            if not forked and not self.loop.closed:
                self.loop.run_once(0)
            self.loop.close()
