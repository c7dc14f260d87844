"""An event manager like gen_event, with handlers written in Python.

Processes anywhere notify it and query its handlers; only this program adds handlers. A handler that
raises is logged and removed, and the manager continues with the others, as in Erlang.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from uds_dist.errors import ConfigError
from uds_dist.etf.atoms import atom_of
from uds_dist.etf.terms import Atom, Pid
from uds_dist.processes.future import Future
from uds_dist.processes.names import ERROR, OK
from uds_dist.services.gen import From, from_term
from uds_dist.services.gen_server import GenServer
from uds_dist.services.outcome import (
    UNDEF,
    drop_coroutine,
    encoding_error,
    raised,
    refuse_coroutines,
)

logger = logging.getLogger(__name__)

BAD_MODULE = (ERROR, Atom("bad_module"))


class EventHandler:
    """A handler of events: subclass it and override the methods that you need."""

    def handle_event(self, event: object) -> object:
        """Act on an event; the result is ignored."""

    def handle_call(self, query: object) -> object:
        """Answer a query of ``gen_event:call``.

        Returns:
            The answer, or a Future with it.
        """
        return (ERROR, Atom("bad_query"))

    def terminate(self, reason: object) -> object:
        """Clean up: ``reason`` is ``remove_handler``, ``{stop, _}`` or ``{error, _}``.

        Returns:
            The result of ``gen_event:delete_handler``.
        """
        return OK


class EventManager(GenServer):
    """Passes events on to its handlers; run it with `Node.serve`."""

    def __init__(self) -> None:
        self._handlers: dict[str, EventHandler] = {}

    def add_handler(self, name: str, handler: EventHandler) -> None:
        """Add a handler; ``gen_event:call`` finds it by this name.

        Raises:
            ConfigError: the name is taken, or a method of the handler is a coroutine function.
        """
        for method in ("handle_event", "handle_call", "terminate"):
            refuse_coroutines(f"{type(handler).__name__}.{method}", getattr(handler, method))
        if name in self._handlers:
            raise ConfigError(f"there is already an event handler {name}")
        self._handlers[name] = handler

    def delete_handler(self, name: str) -> object:
        """Remove a handler.

        Returns:
            What its `terminate` returned; ``{error, module_not_found}`` if the name is unknown.
        """
        handler = self._handlers.pop(name, None)
        if handler is None:
            return (ERROR, Atom("module_not_found"))
        return self._guarded(name, handler.terminate, Atom("remove_handler"))

    def notify(self, event: object) -> None:
        """Let every handler act on an event."""
        for name, handler in tuple(self._handlers.items()):
            self._guarded(name, handler.handle_event, event)

    def handle_info(self, message: object) -> object:
        """Handle gen_event's messages; drop others."""
        match message:
            case (Atom("notify"), event):
                self.notify(event)
            case (Pid(), (Pid(), _) as from_term_, request):
                from_ = from_term(from_term_)
                assert from_ is not None
                self._running().answer(from_, self._answer(request))
            case _:
                return super().handle_info(message)
        return None

    def terminate(self, reason: object) -> object:
        """Let every handler clean up."""
        for name, handler in tuple(self._handlers.items()):
            self._guarded(name, handler.terminate, (Atom("stop"), reason))
        return None

    def get_state(self) -> object:
        """The handlers, as ``sys:get_state`` shows them: ``{Module, Id, State}``."""
        return [
            (Atom(type(handler).__qualname__), Atom(name), False)
            for name, handler in self._handlers.items()
        ]

    def handle_call(self, request: object, from_: From) -> object:
        """An event manager has no gen_server calls."""
        return (ERROR, Atom("bad_request"))

    def handle_cast(self, request: object) -> object:
        """An event manager has no gen_server casts."""
        return None

    def _answer(self, request: object) -> object:
        match request:
            case (Atom("sync_notify"), event):
                self.notify(event)
                return OK
            case Atom("which_handlers"):
                return [Atom(name) for name in self._handlers]
            case (Atom("call"), name, query):
                handler = self._handlers.get(atom_of(name) or "")
                if handler is None:
                    return BAD_MODULE
                return self._guarded(str(atom_of(name)), handler.handle_call, query)
            case (Atom("delete_handler"), name, _):
                return self.delete_handler(atom_of(name) or "")
            case (Atom("add_handler" | "add_sup_handler"), _, _):
                no_stack: list[object] = []
                return (Atom("EXIT"), (UNDEF, no_stack))
        return (ERROR, Atom("bad_request"))

    def _guarded(self, name: str, function: Callable[[object], object], term: object) -> object:
        default = None if self._runner is None else self._runner.processes.terms.default
        try:
            answer = function(term)
        except Exception as error:
            reason = raised(error, default).exit_reason
            logger.error("the event handler %s raised and is removed", name, exc_info=error)
            self._handlers.pop(name, None)
            return (ERROR, (Atom("EXIT"), reason))
        if isinstance(answer, Future) or function.__name__ == "handle_event":
            return answer
        unsendable = drop_coroutine(answer) or encoding_error(answer, default)
        return answer if unsendable is None else (ERROR, raised(unsendable, default).exit_reason)
