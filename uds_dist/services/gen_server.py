"""The base class of generic servers in Python; `server.Server` runs them.

Their handlers return a reply, a `Future` with the reply, `NoReply()`, or a `Stop`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from uds_dist.errors import LocalProtocolError
from uds_dist.etf.terms import Atom, Pid
from uds_dist.etf.value import Value
from uds_dist.processes.destination import Destination
from uds_dist.processes.future import Future
from uds_dist.processes.mailbox import Mailbox
from uds_dist.processes.names import NORMAL
from uds_dist.processes.process import Process
from uds_dist.processes.table import Processes
from uds_dist.services.gen import From, cast
from uds_dist.transport.log_rate import BoundedLogs


class Running(Protocol):
    """What a server needs from its runner."""

    process: Process
    mailbox: Mailbox  # the same, for the server
    processes: Processes
    log: BoundedLogs

    def reply(self, from_: From, answer: object) -> None: ...

    def answer(self, from_: From, answer: object) -> None: ...

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]: ...

    def stop(self, reason: object) -> None: ...

    def complain(self, what: str, term: object) -> None: ...


class NoReply:
    """What `handle_call` returns if the program calls `GenServer.reply` later."""

    _only: ClassVar[NoReply | None] = None

    def __new__(cls) -> NoReply:
        """The only object of this class; copies are the same object."""
        if NoReply._only is None:
            NoReply._only = super().__new__(cls)
        return NoReply._only

    def __reduce__(self) -> tuple[object, ...]:
        return NoReply, ()

    def __repr__(self) -> str:
        return "NoReply()"


NO_REPLY: Final = NoReply()


@dataclass(init=False, repr=False, eq=False)
class Stop(Value):
    """What a handler returns to end its server, with an optional reply.

    ``reason`` is ``normal`` by default; a reason other than ``normal``, ``shutdown`` and
    ``{shutdown, _}`` is logged.
    """

    reason: Final[object] = NORMAL
    reply: Final[object] = field(default=NO_REPLY)

    def __init__(self, reason: object = NORMAL, reply: object = NO_REPLY) -> None:
        self._set(reason=reason, reply=reply)

    def __repr__(self) -> str:
        return f"Stop(reason={self.reason!r}, reply={self.reply!r})"


class FailCall:
    """What `handle_call` returns to make its caller exit with ``reason`` instead of a reply."""

    def __init__(self, reason: object) -> None:
        self.reason = reason


class GenServer:
    """A generic server: subclass it, override the methods that you need, and run it with
    `Node.serve`.

    Handlers run inside `run_once`, one at a time. A handler that raises ends the server, as in
    Erlang: the caller's call exits with the reason, links and monitors fire, the log has the
    traceback, and the `restart` policy decides whether the server is started again.

    ``trap_exit``: exit signals arrive in `handle_info` as ``(Atom("EXIT"), pid, reason)`` instead
    of ending the server.
    """

    trap_exit: bool = False
    _plain: ClassVar[bool] = False  # receives plain terms, whatever `Config.text` says
    _runner: Running | None = None

    # -- to override -----------------------------------------------------------------------

    def init(self) -> object:
        """Build the state; called before the first message, and again after every restart."""

    def handle_call(self, request: object, from_: From) -> object:
        """Answer a call.

        Args:
            request: the caller's request.
            from_: the caller, for `reply`.
        Returns:
            The reply, any term; or a Future with the reply; or `NoReply()` if `reply` is called
            later; or a `Stop`. By default the request is logged as unknown and its caller exits
            with ``{bad_call, Request}``.
        """
        self._running().complain("a call that it does not know", request)
        return FailCall((Atom("bad_call"), request))

    def handle_cast(self, request: object) -> object:
        """Act on a cast.

        Returns:
            A `Stop` to end the server, or a Future, whose exception ends it; any other value is
            ignored. By default the request is logged as unknown.
        """
        self._running().complain("a cast that it does not know", request)
        return None

    def handle_info(self, message: object) -> object:
        """Act on any other message; returns what `handle_cast` does."""
        self._running().complain("an unexpected message", message)
        return None

    def terminate(self, reason: object) -> object:
        """Clean up; called once when the server ends for any reason; the result is ignored."""

    def get_state(self) -> object:
        """The state that ``sys:get_state`` shows: by default a map of the public attributes."""
        return {Atom(name): value for name, value in vars(self).items() if name[0] != "_"}

    def set_state(self, state: object) -> object:
        """Set the state that ``sys:replace_state`` made from `get_state`'s term; the result is
        ignored.

        Raises:
            NotImplementedError: it is not overridden; the caller gets an error.
        """
        raise NotImplementedError(f"{type(self).__name__} has no set_state")

    # -- to use ----------------------------------------------------------------------------

    @property
    def process(self) -> Mailbox:
        """The server's process: its pid, its monitors and links, its `send`.

        Raises:
            LocalProtocolError: it is not served by a node.
        """
        return self._running().mailbox

    def reply(self, from_: From, answer: object) -> None:
        """Answer a call for which `handle_call` returned `NoReply()`.

        Args:
            from_: the caller that `handle_call` received.
            answer: any term, or a Future with the reply.
        Raises:
            EncodeError: the answer is not a term; nothing was sent.
        """
        self._running().reply(from_, answer)

    def call(self, dest: Pid | str | tuple[str, str], request: object) -> Future[object]:
        """Call another server; see `Node.call`. A handler may return the future as its reply."""
        return self._running().call(dest, request)

    def cast(self, dest: Destination, request: object) -> None:
        """Cast to another server; see `Node.cast`."""
        runner = self._running()
        cast(runner.processes, runner.process, dest, request)

    def stop(self, reason: object = NORMAL) -> None:
        """End this server."""
        self._running().stop(reason)

    def _running(self) -> Running:
        if self._runner is None:
            raise LocalProtocolError(f"{type(self).__name__} is not served: use Node.serve")
        return self._runner
