"""The services of erl/svc.erl in Python: the same functions, servers, events, tasks, messages."""

from __future__ import annotations

import operator
from typing import NoReturn

from tests.inside import inside
from uds_dist import (
    Atom,
    ErlangError,
    EventHandler,
    EventLoop,
    EventManager,
    Exit,
    From,
    Future,
    GenServer,
    Mailbox,
    Node,
    NoReply,
    Pid,
    Reference,
    Stop,
    Throw,
)
from uds_dist.processes.destination import Destination

OK = Atom("ok")
FUNCTIONS = {("erlang", "+"): operator.add}


def later(loop: EventLoop, millis: int, value: object) -> Future[object]:
    """A future that is done after some milliseconds."""
    future: Future[object] = Future(loop)

    def finish() -> None:
        if not future.done():
            future.set_result(value)

    loop.call_later(millis / 1000, finish)
    return future


class Server(GenServer):
    """svc_server."""

    def init(self) -> None:
        self.count = 0
        self._waiting: list[From] = []

    def handle_call(self, request: object, from_: From) -> object:
        loop = inside(self.process).loop
        match request:
            case (Atom("add"), int(number)):
                self.count += number
                return self.count
            case (Atom("echo"), term):
                return term
            case Atom("which_children"):
                return [(Atom("one"), Atom("undefined"), Atom("worker"), [Atom("svc")])]
            case Atom("count_children"):
                counts = {"specs": 1, "active": 0, "supervisors": 0, "workers": 1}
                return [(Atom(name), number) for name, number in counts.items()]
            case (Atom("error"), reason):
                raise ErlangError(reason)
            case (Atom("exit"), reason):
                raise Exit(reason)
            case (Atom("throw"), term):
                raise Throw(term)
            case (Atom("stop"), reason):
                return Stop(reason)
            case (Atom("stop"), reason, reply):
                return Stop(reason, reply)
            case Atom("wait"):
                self._waiting.append(from_)
                return NoReply()
            case (Atom("later"), int(millis), value):
                return later(loop, millis, value)
            case Atom("never"):
                return Future(loop)
        return Stop((Atom("bad_call"), request))  # like svc_server, unlike GenServer

    def handle_cast(self, request: object) -> object:
        match request:
            case (Atom("set"), int(number)):
                self.count = number
            case (Atom("error"), reason):
                raise ErlangError(reason)
            case (Atom("release"), value):
                for from_ in self._waiting:
                    self.reply(from_, value)
                self._waiting.clear()
            case _:
                return Stop((Atom("bad_cast"), request))
        return None

    def handle_info(self, message: object) -> object:
        match message:
            case (Atom("add"), int(number)):
                self.count += number
            case (Atom("stop"), reason):
                return Stop(reason)
        return None

    def get_state(self) -> object:
        return {Atom("count"): self.count, Atom("waiting"): list(self._waiting)}

    def set_state(self, state: object) -> None:
        assert isinstance(state, dict)
        self.count = state[Atom("count")]


class Switch(GenServer):
    """svc_statem: for its callers a state machine is like any other server."""

    def init(self) -> None:
        self.on = False
        self.flips = 0

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case Atom("flip"):
                self.on = not self.on
                self.flips += 1
                return Atom("on" if self.on else "off")
            case Atom("count"):
                return self.flips
            case Atom("never"):
                return NoReply()
            case (Atom("error"), reason):
                raise ErlangError(reason)
        return super().handle_call(request, from_)

    def handle_cast(self, request: object) -> None:
        assert request == "reset"
        self.init()


class Log(EventHandler):
    """svc_log."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def handle_event(self, event: object) -> None:
        match event:
            case (Atom("error"), reason):
                raise ErlangError(reason)
        self.seen.append(event)

    def handle_call(self, query: object) -> object:
        return self.seen if query == "seen" else (Atom("error"), Atom("bad_query"))


class Agent(GenServer):
    """An Elixir agent: functions change its state, and Python has some of them."""

    def init(self) -> None:
        self.value: object = 1

    def _apply(self, mfa: object) -> object:
        assert isinstance(mfa, tuple)
        module, function, arguments = mfa
        return FUNCTIONS[module, function](self.value, *arguments)

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case (Atom("get"), mfa):
                return self._apply(mfa)
            case (Atom("update"), mfa):
                self.value = self._apply(mfa)
                return OK
        return super().handle_call(request, from_)

    def handle_cast(self, request: object) -> None:
        match request:
            case (Atom("cast"), mfa):
                self.value = self._apply(mfa)


class Services:
    """The module svc, exposed by a node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._notes: list[object] = []
        self._boxes: dict[str, tuple[Mailbox, list[object]]] = {}
        names = (
            "add big box echo error exit later never node note notes prio_alias received send start"
            " throw value_error zero"
        )
        functions = {name: getattr(self, "f_" + name) for name in names.split()}
        node.expose("svc", functions)

    def f_zero(self) -> int:
        return 0

    def f_echo(self, term: object) -> object:
        return term

    def f_add(self, a: float, b: float) -> float:
        return a + b

    def f_big(self, size: int) -> bytes:
        return b"x" * size

    def f_node(self) -> Atom:
        return self.node.name

    def f_error(self, reason: object) -> NoReturn:
        raise ErlangError(reason)

    def f_exit(self, reason: object) -> NoReturn:
        raise Exit(reason)

    def f_throw(self, term: object) -> NoReturn:
        raise Throw(term)

    def f_value_error(self) -> NoReturn:
        raise ValueError("no such thing")

    def f_never(self) -> Future[object]:
        return Future(self.node.loop)

    def f_later(self, millis: int, value: object) -> Future[object]:
        return later(self.node.loop, millis, value)

    def f_note(self, term: object) -> Atom:
        self._notes.append(term)
        return OK

    def f_notes(self) -> list[object]:
        notes, self._notes = self._notes, []
        return notes

    def f_start(self, kind: Atom, name: Atom) -> Pid:
        if kind == "tasks":
            return self.node.serve_tasks(name)
        if kind == "events":
            manager = EventManager()
            manager.add_handler("svc_log", Log())
            return self.node.serve(name, manager)
        kinds = {"server": Server, "statem": Switch, "agent": Agent}
        return self.node.serve(name, kinds[kind])

    def f_box(self, name: Atom) -> Pid:
        seen: list[object] = []

        def on_message(message: object) -> None:
            match message:
                case (Pid() as sender, (Atom("$server"), question)):
                    box.send(sender, (Atom("wrapped"), self.node.name, question))
                case (Atom("$send"), Pid() | Reference() as to, inner):
                    box.send(to, inner)
                case _:
                    seen.append(message)

        box = self.node.mailbox(name, on_message, trap_exit=True)
        self._boxes[name] = (box, seen)
        return box.pid

    def f_received(self, name: Atom) -> list[object]:
        seen = self._boxes[name][1]
        taken = list(seen)
        seen.clear()
        return taken

    def f_prio_alias(self, name: Atom) -> Reference:
        return self._boxes[name][0].alias(priority=True)

    def f_send(self, to: object, message: object) -> Atom:
        dest: Destination
        match to:
            case Pid() | Reference():
                dest = to
            case (Atom() as name, Atom() as node):
                dest = (name, node)
            case _:
                raise ErlangError("badarg")
        self.node.send(dest, message)
        return OK


