"""Answers to the sys module, in the same shapes as gen_server's.

Source: STDLIB, sys(3); the modules sys and gen_server of OTP 27 and 29.
"""

from __future__ import annotations

from collections.abc import Callable

from uds_dist.errors import RemoteError
from uds_dist.etf.atoms import MAX_ATOM_CHARACTERS
from uds_dist.etf.conversion import Hook
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, OK
from uds_dist.services.outcome import Outcome, charlist, encoding_error, outcome_of, raised

RUNNING = Atom("running")
SUSPENDED = Atom("suspended")


def system_state(get_state: Callable[[], object], default: Hook | None) -> object:
    """The answer to `sys:get_state`, ``{ok, State}``; a part that is not a term becomes a text."""
    try:
        state = get_state()
    except Exception as error:
        return callback_failed("system_get_state", raised(error, default))
    if encoding_error(state, default) is not None:
        if isinstance(state, dict):
            state = {
                key: value if encoding_error(value, default) is None else shown(value)
                for key, value in state.items()
                if encoding_error(key, default) is None
            }
        else:
            state = shown(state)
    return (OK, state)


def system_status(
    name: str, class_: type, pid: Pid, parent: Pid, suspended: bool, state: object
) -> object:
    """The answer to `sys:get_status`, as from a gen_server.

    Args:
        name: the server's name.
        class_: the server's class, instead of a callback module.
        pid, parent: its process, and the process that owns it.
        suspended: whether the server is suspended.
        state: the result of `system_state`.
    """
    status = SUSPENDED if suspended else RUNNING
    content = state[1] if isinstance(state, tuple) and state[0] is OK else state
    module = Atom(f"{class_.__module__}.{class_.__qualname__}"[:MAX_ATOM_CHARACTERS])
    data = Atom("data")
    nothing: list[object] = []
    misc: list[object] = [
        (Atom("header"), charlist(f"Status for generic server {name}")),
        (data, [(charlist("Status"), status), (charlist("Parent"), parent),
                (charlist("Logged events"), nothing)]),
        (data, [(charlist("State"), content)]),
    ]  # fmt: skip
    dictionary = [(Atom("$initial_call"), (module, Atom("init"), 1))]
    parts = [dictionary, status, parent, nothing, misc]
    return (Atom("status"), pid, (Atom("module"), Atom("gen_server")), parts)


def callback_failed(callback: str, outcome: Outcome) -> object:
    """The answer of a gen_server if a callback for a system message raises."""
    where = (Atom("gen_server"), Atom(callback))
    return (ERROR, (Atom("callback_failed"), where, (outcome.class_, outcome.value)))


def remote_outcome(future: Future[object], default: Hook | None) -> Outcome:
    """The outcome of a call on another node, with the original exception from there."""
    error = None if future.cancelled() else future.exception()
    if isinstance(error, RemoteError) and error.class_ in ("error", "exit", "throw"):
        return Outcome(Atom(error.class_), error.reason, [])
    return outcome_of(future, default)


def is_system(message: object) -> bool:
    """True for a request of the sys module that can be answered."""
    match message:
        case (Atom("system"), (Pid(), _), _):
            return True
    return False


def debug_answer(command: object) -> object:
    """The answer to sys:trace, statistics, log and similar; switching off always succeeds."""
    match command:
        case Atom("no_debug") | (Atom("trace" | "log" | "statistics"), False) | (Atom("remove"), _):
            return OK
        case (Atom("statistics"), Atom("get")):
            return (OK, Atom("no_statistics"))
        case (Atom("log"), Atom("get")):
            return (OK, [])
    return (ERROR, (Atom("unknown_system_msg"), (Atom("debug"), command)))
