"""The functions that other nodes may call, and the processes that run them.

A peer calls a function with a spawn request: of ``erpc:execute_call/4`` for ``rpc:call``,
``erpc:call`` and similar functions, of ``erpc:execute_cast/3`` for the casts, and of the function
itself for ``spawn``. The reply with the pid always precedes the notice of the end: a BEAM node that
receives them in the other order disconnects.

A function runs as soon as its request is read. If it returns a future, its process lives until the
future is done, until the process is killed, or until the caller of ``rpc:call`` or ``erpc:call``
gives up, since then nobody would receive the result.

Source: Distribution Protocol, SPAWN_REQUEST; the erpc module of OTP 23 and newer.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial

from uds_dist.config import Config
from uds_dist.errors import ConfigError, TermError
from uds_dist.etf.atoms import MAX_ATOM_CHARACTERS, atom_of
from uds_dist.etf.conversion import conversion
from uds_dist.etf.shown import printable, shown
from uds_dist.etf.terms import Atom, Export, Pid, Reference
from uds_dist.processes.future import Future
from uds_dist.processes.names import LINK, MONITOR, SYSTEM_LIMIT, is_atom
from uds_dist.processes.table import Processes
from uds_dist.protocol.control import (
    PAYLOAD_EXIT,
    PAYLOAD_MONITOR_P_EXIT,
    SPAWN_REPLY,
    SpawnFlag,
    SpawnRequest,
    SpawnRequestTt,
)
from uds_dist.services.gen import is_large
from uds_dist.services.outcome import (
    Outcome,
    drop_coroutine,
    encoding_error,
    outcome_of,
    raised,
    refuse_coroutines,
    returned,
    undefined,
)
from uds_dist.transport.log_rate import BoundedLogs

logger = logging.getLogger(__name__)

EXECUTE_CALL = ("erpc", "execute_call", 4)
EXECUTE_CAST = ("erpc", "execute_cast", 3)
ERLANG = Atom("erlang")
APPLY = Atom("apply")
BADOPT = Atom("badopt")
MAX_ARITY = 255
# Spawn options for the BEAM's scheduler and memory, which have no effect here.
BEAM_OPTIONS = frozenset(
    {
        "async_dist",
        "fullsweep_after",
        "max_heap_size",
        "message_queue_data",
        "min_bin_vheap_size",
        "min_heap_size",
        "priority",
    }
)


Done = Callable[["Future[object]"], None]


class Function:
    """An exposed function and the arities that it accepts."""

    __slots__ = ("call", "min_arity", "max_arity")

    def __init__(self, call: Callable[..., object], min_arity: int, max_arity: int) -> None:
        self.call = call
        self.min_arity = min_arity
        self.max_arity = max_arity


class Caller:
    """The caller of a function: its node, its process, and the process's group leader."""

    __slots__ = ("node", "pid", "group_leader")

    def __init__(self, node: str, pid: Pid, group_leader: Pid) -> None:
        self.node = node
        self.pid = pid
        self.group_leader = group_leader


# Answers calls of functions that the program has not exposed: (caller, module, function, arguments)
# -> the outcome, or a future, or None if it does not know the function either.
Answers = Callable[[Caller, str, str, list[object]], "Outcome | Future[object] | None"]


class Exposed:
    """The table of exposed functions: nothing else can be called from outside.

    ``console`` answers the calls of remote shells' clients; None while no console is served.

    Args:
        config: how arguments and values are converted: ``text``, ``default``, ``object_hook`` and
            ``records`` are used.
    """

    def __init__(self, config: Config | None = None) -> None:
        config = Config() if config is None else config
        self.default = config.default
        self._conversion = conversion(config.text, config.object_hook, config.records)
        self.console: Answers | None = None
        self._functions: dict[tuple[str, str], Function] = {}

    def add(self, module: str, functions: Mapping[str, Callable[..., object]]) -> None:
        """Let other nodes call functions like those of an Erlang module.

        Args:
            module: the module's name for the callers; an Elixir module's starts with ``Elixir.``.
            functions: the functions by name; to a caller that gives a number of arguments that
                the function does not accept, it is undefined.
        Raises:
            ConfigError: a function needs keyword arguments, or is a coroutine function.
        """
        found = {}
        for name, function in functions.items():
            if not callable(function):
                raise ConfigError(f"{module}:{name} cannot be exposed: it is not a function")
            refuse_coroutines(f"{module}:{name}", function)
            found[module, name] = Function(function, *_arities(module, name, function))
        self._functions.update(found)

    def remove(self, module: str, names: Collection[str] | None) -> bool:
        """Stop exposing these functions of a module, or all of them.

        Returns:
            False if none of them was exposed.
        """
        found = [
            key
            for key in self._functions
            if key[0] == module and (names is None or key[1] in names)
        ]
        for key in found:
            del self._functions[key]
        return bool(found)

    def run(
        self, module: object, function: object, arguments: object, caller: Caller | None = None
    ) -> Outcome | Future[object]:
        """Call a function.

        Args:
            module, function, arguments: the peer's request; any terms.
            caller: the caller, if known.
        Returns:
            The outcome, or the future that the function returned.
        """
        module, function = _as_atom(module), _as_atom(function)
        while is_atom(module, ERLANG) and is_atom(function, APPLY):
            # erlang:apply/3, and erlang:apply/2 of a named function.
            match arguments:
                case [inner_module, inner_function, list() as inner]:
                    module, function = _as_atom(inner_module), _as_atom(inner_function)
                    arguments = inner
                case [Export() as export, list() as inner] if len(inner) == export.arity:
                    module, function, arguments = export.module, export.function, inner
                case _:
                    break
        if not (isinstance(module, Atom) and isinstance(function, Atom)):
            return raised(TypeError("module and function must be atoms"), self.default)
        if not isinstance(arguments, list):
            return raised(TypeError("the arguments must be a list"), self.default)
        found = self._functions.get((module, function))
        arity = len(arguments)
        if found is None or not found.min_arity <= arity <= found.max_arity:
            answer: Outcome | Future[object] | None = None
            if self.console is not None and caller is not None:
                answer = self.console(caller, module, function, arguments)
            return undefined(module, function, arguments) if answer is None else answer
        try:
            if self._conversion is not None:
                arguments = list(map(self._conversion.convert, arguments))
            value = found.call(*arguments)
        except Exception as error:
            return raised(error, self.default, (module, function, arity))
        return value if isinstance(value, Future) else returned(value)


def _as_atom(term: object) -> object:
    """The atom that names a module or a function; any other term unchanged."""
    atom = atom_of(term)
    return term if atom is None else atom


def _arities(module: str, name: str, function: Callable[..., object]) -> tuple[int, int]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0, MAX_ARITY  # a C function without a signature
    least = most = 0
    for parameter in parameters:
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = MAX_ARITY
        elif parameter.kind is parameter.KEYWORD_ONLY and required:
            raise ConfigError(
                f"{module}:{name} cannot be exposed: it requires {parameter.name}=, and Erlang has"
                " no keyword arguments"
            )
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            least += required
            most += 1
    return least, min(most, MAX_ARITY)


class Job:
    """One spawn request and its call: of erpc's `call` or `cast`, or of any other function.

    Args:
        request: the request.
        flags: bits of `SpawnFlag`.
        call: the module, the function and the arguments.
        result: the reference with which erpc waits for the outcome; None if nobody waits.
        is_call: whether it is erpc's `call`.
    """

    __slots__ = ("parent", "request", "flags", "call", "result", "is_call", "_called")

    def __init__(
        self,
        request: SpawnRequest | SpawnRequestTt,
        flags: int,
        call: tuple[object, object, object],
        result: object = None,
        is_call: bool = False,
    ) -> None:
        self.parent = request.from_pid
        self.request = request.req_id
        self.flags = flags
        self.call = call
        self.result = result
        self.is_call = is_call
        self._called: tuple[str, str, int] | None = None  # once the arguments are forgotten

    def begun(self) -> None:
        """Forget the arguments: the function has them, and may take long."""
        self._called = self.called
        self.call = (None, None, None)

    def reason(self, outcome: Outcome) -> object:
        """The reason with which the process ends."""
        if not self.is_call:
            return outcome.exit_reason
        if outcome.class_ == "error":
            return (self.result, outcome.class_, outcome.value, outcome.stack)
        return (self.result, outcome.class_, outcome.value)

    @property
    def called(self) -> tuple[str, str, int]:
        """Module, function and arity, for the end of a stack."""
        if self._called is not None:
            return self._called
        module, function, arguments = self.call
        arity = len(arguments) if isinstance(arguments, list) else 0
        return _name(module), _name(function), arity

    @property
    def text(self) -> str:
        """Module, function and arity, for a line of the log."""
        module, function, arity = self.called
        return f"{printable(module)}:{printable(function)}/{arity}"


class Jobs:
    """The processes that run exposed functions for other nodes.

    Args:
        processes: the node's process table.
        exposed: the functions that may be called.
    """

    def __init__(self, processes: Processes, exposed: Exposed) -> None:
        self._log = BoundedLogs(logger, processes.loop.time)
        self._processes = processes
        self._exposed = exposed
        self._futures: dict[Pid, tuple[str, Future[object], Done]] = {}
        self._by_node: dict[str, int] = {}  # node -> how many of these processes it requested

    def __len__(self) -> int:
        """How many processes wait for a future."""
        return len(self._futures)

    def on_spawn(self, node: str, request: SpawnRequest | SpawnRequestTt, payload: object) -> None:
        """Answer a spawn request, and run its function."""
        job = _job(request, payload)
        refusal = BADOPT if job is None else None
        if self._by_node.get(node, 0) >= self._processes.max_pending_requests:
            refusal = SYSTEM_LIMIT
        if job is None or refusal is not None:
            refused = (SPAWN_REPLY, request.req_id, request.from_pid, 0, refusal)
            self._processes.signal(node, refused)
            return
        pid = self._processes.numbers.new_pid()
        accepted = (SPAWN_REPLY, job.request, job.parent, int(job.flags), pid)
        self._processes.signal(node, accepted)
        self._run(node, pid, job, request.group_leader)

    def _start_process(self, pid: Pid, job: Job, group_leader: Pid) -> None:
        """Start a process that peers can see and kill, for a function that is not done at once."""
        process = self._processes.new_process(pid=pid)
        process.group_leader = group_leader
        if job.flags & SpawnFlag.LINK:
            self._processes.add_link(process, job.parent)
        if job.flags & SpawnFlag.MONITOR:
            self._processes.add_watcher(process, job.parent, job.request)
        process.on_exit = lambda _reason: self._forget(pid)
        if job.is_call:
            process.on_unwatched = lambda ref: self._given_up(pid, job, ref)

    def _run(self, node: str, pid: Pid, job: Job, group_leader: Pid) -> None:
        try:
            caller = Caller(node, job.parent, group_leader)
            outcome = self._exposed.run(*job.call, caller)
        except BaseException as error:
            # KeyboardInterrupt and SystemExit are for the program, but the caller must not wait.
            self._end(node, pid, job, raised(error, self._exposed.default, job.called))
            raise
        if isinstance(outcome, Outcome):
            self._end(node, pid, job, outcome)
            return
        job.begun()
        self._start_process(pid, job, group_leader)
        callback = partial(self._done, node, pid, job)
        self._futures[pid] = (node, outcome, callback)
        self._by_node[node] = self._by_node.get(node, 0) + 1
        outcome.add_done_callback(callback)

    def _done(self, node: str, pid: Pid, job: Job, future: Future[object]) -> None:
        if pid not in self._futures:
            return
        again = partial(self._done, node, pid, job, future)
        if not self._processes.pressure.wait_for_room(node, again):
            self._take(pid)
            self._end(node, pid, job, outcome_of(future, self._exposed.default, job.called))

    def _given_up(self, pid: Pid, job: Job, ref: Reference) -> None:
        if ref == job.request:
            process = self._processes.find(pid)
            if process is not None and pid in self._futures:
                self._forget(pid)
                self._processes.terminate(process)

    def _take(self, pid: Pid) -> tuple[str, Future[object], Done] | None:
        """Remove a process that waits for a future from the tables."""
        entry = self._futures.pop(pid, None)
        if entry is not None:
            node = entry[0]
            self._by_node[node] -= 1
            if not self._by_node[node]:
                del self._by_node[node]
        return entry

    def _forget(self, pid: Pid) -> None:
        entry = self._take(pid)
        if entry is not None:
            entry[1].remove_done_callback(entry[2])

    def _end(self, node: str, pid: Pid, job: Job, outcome: Outcome) -> None:
        """End the process of a function that has ended."""
        if not job.is_call and outcome.class_ != "return":
            self._log.log(
                logging.ERROR, "a failed process",
                "the process of %s, started by %s, ended with %s: %s",
                job.text, printable(node), outcome.class_, shown(outcome.value),
            )  # fmt: skip
        process = self._processes.find(pid)
        if process is not None:
            reason = job.reason(outcome)
            unsendable = encoding_error(reason, self._exposed.default)
            if unsendable is not None:
                reason = job.reason(self._unsendable(outcome.value, unsendable))
            self._processes.terminate(process, reason)
            return
        # The function ended at once, so nobody has seen its process: report only the end.
        try:
            self._tell_end(node, pid, job, job.reason(outcome))
        except (TermError, RecursionError) as error:
            self._tell_end(node, pid, job, job.reason(self._unsendable(outcome.value, error)))

    def _unsendable(self, value: object, error: Exception) -> Outcome:
        """The outcome of a function whose value cannot be sent: an error that says where."""
        default = self._exposed.default
        return raised(drop_coroutine(value) or encoding_error(value, default) or error, default)

    def _tell_end(self, node: str, pid: Pid, job: Job, reason: object) -> None:
        if job.flags & SpawnFlag.MONITOR:
            down = (PAYLOAD_MONITOR_P_EXIT, pid, job.parent, job.request)
            self._processes.signal(node, down, reason)
        if job.flags & SpawnFlag.LINK:
            self._processes.signal(node, (PAYLOAD_EXIT, pid, job.parent), reason)


def _name(term: object) -> str:
    """A peer's name for a module or function, which may be any term."""
    atom = atom_of(term)
    return shown(term)[:MAX_ATOM_CHARACTERS] if atom is None else str(atom)


def _is_beam_option(option: object) -> bool:
    match option:
        case (Atom() as name, _):
            return name in BEAM_OPTIONS
    return False


def _job(request: SpawnRequest | SpawnRequestTt, payload: object) -> Job | None:
    """The job of a spawn request; None if its options or arguments are malformed."""
    options = request.opts
    if not isinstance(options, list) or not isinstance(payload, list):
        return None
    flags = 0
    for option in options:
        if is_atom(option, LINK):
            flags |= SpawnFlag.LINK
        elif is_atom(option, MONITOR):
            flags |= SpawnFlag.MONITOR
        elif not _is_beam_option(option):
            return None
    module, function, arity = request.mfa
    if len(payload) != arity:
        return None
    if request.mfa == EXECUTE_CALL:
        result, module, function, arguments = payload
        if is_large(result):
            return None
        return Job(request, flags, (module, function, arguments), result, is_call=True)
    if request.mfa == EXECUTE_CAST:
        module, function, arguments = payload
        return Job(request, flags, (module, function, arguments))
    return Job(request, flags, (module, function, payload))


__all__ = ["Exposed", "Jobs"]
