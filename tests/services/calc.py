"""A generic server that does what its requests say, and a check of what calls leave behind."""

from __future__ import annotations

from collections.abc import Callable

from tests.inside import inside
from uds_dist import (
    Atom,
    ErlangError,
    EventLoop,
    Exit,
    From,
    Future,
    GenServer,
    Node,
    NoReply,
    RemoteError,
    Stop,
    Throw,
)

A = "a@localhost"
SOON = 5.0


class Calc(GenServer):
    """Does what its requests say."""

    def __init__(self) -> None:
        self.ended: list[object] = []
        self.infos: list[object] = []
        self.lives = 0

    def init(self) -> None:
        self.lives += 1
        self.count = 0
        self.waiting: list[From] = []
        self.futures: list[Future[object]] = []

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case (Atom("add"), int(number)):
                self.count += number
                return self.count
            case (Atom("raise"), error):
                raise ERRORS[str(error)]
            case Atom("object"):
                return object()
            case Atom("later"):
                self.waiting.append(from_)
                return NoReply()
            case Atom("future"):
                future: Future[object] = Future(inside(self.process).loop)
                self.futures.append(future)
                return future
            case Atom("never"):
                return Future(inside(self.process).loop)
            case (Atom("ask"), (Atom() as name, Atom() as node), inner):
                return self.call((name, node), inner)
            case (Atom("stop"), reason, answer):
                return Stop(reason, answer)
            case (Atom("stop"), reason):
                return Stop(reason)
        return super().handle_call(request, from_)

    def handle_cast(self, request: object) -> object:
        match request:
            case (Atom("set"), int(number)):
                self.count = number
                return None
            case Atom("raise"):
                raise ERRORS["value"]
            case Atom("flush"):
                for from_ in self.waiting:
                    self.reply(from_, Atom("flushed"))
                return None
        return super().handle_cast(request)

    def handle_info(self, message: object) -> object:
        self.infos.append(message)
        return Stop() if isinstance(message, Atom) and message == "stop" else None

    def terminate(self, reason: object) -> None:
        self.ended.append(reason)

    def get_state(self) -> object:
        return {Atom("count"): self.count}

    def set_state(self, state: object) -> None:
        assert isinstance(state, dict)
        self.count = state[Atom("count")]


ERRORS: dict[str, BaseException] = {
    "value": ValueError("no such thing"),
    "badarg": ErlangError("badarg"),
    "tuple": ErlangError((Atom("my"), [1])),
    "exit": Exit((Atom("bye"), 1)),
    "shutdown": Exit("shutdown"),
    "throw": Throw(Atom("ball")),
    "object": ErlangError(object()),
    "interrupt": KeyboardInterrupt(),
}


def ask(node: Node, request: object) -> object:
    return node.call(("calc", A), request).result(SOON)


def fail(node: Node, request: object) -> RemoteError:
    error = node.call(("calc", A), request).exception(SOON)
    assert isinstance(error, RemoteError)
    return error


def rounds(loop: EventLoop, condition: Callable[[], object]) -> None:
    assert loop.run_until(lambda: bool(condition()), SOON)


class Ledger:
    """What the two nodes hold, to be compared."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        for _ in range(5):  # what is still on its way arrives: all nodes share one loop
            nodes[0].loop.run_once(0)
        self.before = self.held()

    def held(self) -> list[object]:
        found: list[object] = []
        for node in self.nodes:
            s = node.statistics()
            found.append((s.processes, s.monitors, s.aliases, s.futures, s.links, s.watchers))
        return found

    def settle(self, loop: EventLoop) -> None:
        """Wait until everything is as it was."""
        loop.run_until(lambda: self.held() == self.before, SOON)
        assert self.held() == self.before


def never(node: Node) -> Future[object]:
    future = node.call(("calc", A), Atom("never"))
    assert ask(node, (Atom("add"), 0)) == 0
    return future
