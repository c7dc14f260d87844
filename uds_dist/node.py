"""A node: the name, the peers, the processes, and what a program does with them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uds_dist import services
from uds_dist.config import Config
from uds_dist.errors import (
    ConfigError,
    NoConnectionError,
    NodeNameError,
    NoProcessError,
    RemoteProtocolError,
    RemoteTimeoutError,
    UdsDistError,
)
from uds_dist.etf.atoms import limit_atoms
from uds_dist.processes.destination import check_names
from uds_dist.processes.future import Future
from uds_dist.processes.names import IS_AUTH, NET_KERNEL, YES, NodeEvent
from uds_dist.processes.notices import Notice
from uds_dist.processes.peers import Peers
from uds_dist.processes.remote_node import flushed, parted, unwritten
from uds_dist.processes.router import Inbox, Router
from uds_dist.processes.this_node import this_node
from uds_dist.services.books import NodeStatistics, node_statistics
from uds_dist.services.exposed import Exposed
from uds_dist.services.group_leader import write_stdout
from uds_dist.services.interruptions import checked_limit
from uds_dist.services.local_node import LocalNode
from uds_dist.services.outcome import refuse_coroutines
from uds_dist.services.pg import PgScope
from uds_dist.services.startup import Services
from uds_dist.transport.loop import EventLoop

if TYPE_CHECKING:
    from uds_dist.services.console import Console, ConsoleInput

# Seconds that `close` gives to unwritten bytes.
CLOSE_TIMEOUT = 1.0
# Rounds that `close` gives to callbacks: an outcome becomes an answer within three.
CLOSE_ROUNDS = 4


class Node(LocalNode):
    """An Erlang node in this process.

    Args:
        name: ``name@host``; or ``@host``, to be given a name by the first node it connects to.
        loop: the event loop, which several nodes may share; by default the node's own.
        cookie: the shared secret, text or the bytes of it; by default UDS_DIST_COOKIE,
            RELEASE_COOKIE or the cookie file.
        socket_dir: the folder of the sockets, or ``@name`` for Linux abstract sockets.
        hidden: False to be among the visible nodes of its peers.
        text: True to receive binaries that are valid UTF-8 as str.
        config: all other settings, by default `Config.from_env()`; the arguments above precede it.
        on_down: called with a node's name and the error when its connection is lost, or could
            not be made.
        output: called with the text that functions print when this node runs them elsewhere; by
            default it is written to `sys.stdout`; also an attribute.
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
        this = this_node(config, name, cookie)
        exposed = Exposed(config)  # before the loop is made: after an error nobody would close it
        limit_atoms(config.max_atoms)
        self._own_loop = loop is None
        loop = EventLoop() if loop is None else loop
        super().__init__(loop, config, this, exposed, output, on_service_down)
        self.on_down = on_down
        self._console: Console | None = None
        self._peers = Peers(loop, config, this, self._start)
        self._peers.notices.of_losses.append(self._lost)
        self._peers.notices.of_nodes.append(self._notice)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "listening" if self._peers.listener else "open"
        return f"<Node {self.name} {state} peers={self.nodes()}>"

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        if any(exc):
            self._close()  # a callback could raise another exception
        else:
            self.close()

    # -- identity --------------------------------------------------------------------------

    def set_cookie(self, cookie: str | bytes, node: str | None = None) -> None:
        """Change the cookie for new connections.

        Args:
            cookie: 1 to 255 characters of Latin-1.
            node: the peer that it is for; None for all peers without a separate cookie.
        Raises:
            ConfigError: the cookie or the node's name cannot be used.
        """
        self._this.set_cookie(cookie, node)

    def allow(self, names: Sequence[str]) -> None:
        """Admit only these nodes from now on; others get the status ``not_allowed``.

        Args:
            names: full node names, or patterns such as ``worker-*@localhost``.
        Raises:
            TypeError: `names` is one text, not a list of names.
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

    # -- peers -----------------------------------------------------------------------------

    def listen(self, *, sock: socket.socket | None = None, inherit: bool = False) -> None:
        """Open the listening socket; without this call nobody can dial this node.

        A node that listens watches its socket file: if the file is removed, the node makes it again
        within a quarter of the tick time, or at the next call of `listen`.

        Args:
            sock: a socket that already listens; `close` closes it and leaves its file.
            inherit: take the socket that a service manager has opened (LISTEN_FDS).
        Raises:
            DuplicateNameError: a live node has this name.
            ListenError: the socket cannot be opened, or the given one cannot be used.
            AddressError: no such address can exist on this system.
            LocalProtocolError: the node already listens, and another socket was given.
        """
        self._peers.accepting.listen(sock, inherit=inherit)

    def connect(self, name: str) -> Future[None]:
        """Connect to a node, if there is no connection yet.

        Args:
            name: the node's full name.
        Returns:
            A future; its errors are NoConnectionError and its subclasses, RemoteProtocolError,
            NodeNameError and AddressError.
        """
        return self._peers.connect(name)

    def ping(self, name: str, timeout: float | None = 5.0) -> bool:
        """Check that a node answers, connecting to it if necessary, as ``net_adm:ping`` does.

        Args:
            name: the node's full name.
            timeout: seconds to wait at most.
        Returns:
            True for pong, False for pang.
        Raises:
            NodeNameError: the name is not a valid node name.
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
                that ended the connection; None with nodeup. The two alternate: a failed attempt to
                connect is not a ``"nodedown"``.
        Raises:
            ConfigError: the callback is a coroutine function.
        """
        refuse_coroutines("the callback of monitor_nodes", callback)
        self._peers.notices.of_nodes.append(callback)

    def trace(self, callback: Callable[[str, str, tuple[object, ...], object], object]) -> None:
        """Show each control message to a function, on all connections that come up from now on.

        Args:
            callback: called with ``"sent"`` or ``"received"``, the other node's name, the control
                message as a tuple, and the term that goes with it, if any. The next
                `run_once` raises its exceptions; they do not affect the message.
        Raises:
            ConfigError: the callback is a coroutine function.
        """
        refuse_coroutines("the callback of trace", callback)
        self._peers.trace(callback)

    def demonitor_nodes(self, callback: Notice) -> bool:
        """Stop calling a function of `monitor_nodes`; a call pending in this round is dropped too.

        Args:
            callback: the function given to `monitor_nodes`; if it was given twice, one call of it
                remains.
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

    def pg(self, scope: str = "pg") -> PgScope:
        """Take part in a scope of `pg`, the process groups of a cluster.

        Args:
            scope: the scope's name; a BEAM runs ``pg`` with ``-kernel start_pg true``.
        Returns:
            The scope: `join`, `leave` and `members`.
        """
        self._check_open()
        return self._named().pg(scope, self.nodes())

    # -- the console -----------------------------------------------------------------------

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
            namespace: names that the shells can use, besides ``node`` and ``loop``, ``tasks``,
                ``stack``, ``top``, ``who`` and ``history``; shells do not share what they define.
            banner: the first line that a client prints.
            audit: called with each input before it is evaluated; if it raises, the input is not
                evaluated. The log ``uds_dist.console`` records every input anyway.
            allow: names of the nodes that may open a shell; None for every connected one.
            time_limit: seconds that one input may take; None for no limit.
        Raises:
            ConfigError: the node already serves a console, or the time limit is not above 0.
        """
        if self._console is not None:
            raise ConfigError("a console is served already: call stop_console() first")
        refuse_coroutines("audit", audit)
        if allow is not None:
            check_names(allow)
        self._console = services.console.Console(
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

    # -- statistics and writing ------------------------------------------------------------

    def statistics(self) -> NodeStatistics:
        """A snapshot of what the node holds."""
        return node_statistics(self.processes, self._peers.nodes)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Send messages of this block together at its end: one system call for many messages.

        A batch also ends at an exception. A batch within another ends with the outer one. If the
        loop runs meanwhile, as it does while the program waits for an answer, the messages sent
        before leave in that round.
        """
        with self._peers.pressure.batched(self.loop):
            yield

    def flush(self, timeout: float | None = None) -> bool:
        """Run the loop until everything that was sent has been handed to the sockets.

        Args:
            timeout: seconds to run at most.
        Returns:
            False if the time ran out first.
        Raises:
            LoopReentryError: called in a handler.
        """
        return self.loop.run_until(flushed(self._peers.nodes), timeout)

    def close(self) -> None:
        """End the node: processes exit with ``shutdown``, sockets close, its socket file goes.

        Outside a handler the loop runs for at most another second, to send the answers of functions
        that have ended, to write what was sent before, and to wait until the peers have closed too.
        In a forked child only the descriptors are closed: the rest belongs to the parent.
        """
        rounds = CLOSE_ROUNDS if not self._closed and self._can_run() else 0
        while rounds and self.loop.statistics().queued:
            rounds -= 1
            self.loop.run_once(0)
        self._close()

    def _can_run(self) -> bool:
        """True if this process can run the loop now."""
        return not (self.loop.running or self.loop.closed or self.loop.process.forked)

    def _close(self) -> None:
        if self._closed:
            return
        forked = self.loop.process.forked
        if self._services is not None and not forked:
            self._services.inbox.close()
        self._closed = True
        can_run = self._can_run()
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
