"""Serves and exposes as a typed service does; mypy is the test."""

from __future__ import annotations

import math

from typing_extensions import assert_type

from uds_dist import (
    Atom,
    ConsoleInput,
    EventHandler,
    EventManager,
    From,
    Future,
    GenServer,
    Mailbox,
    MultiReply,
    Node,
    NoReply,
    Pid,
    Stop,
)


def audit(entry: ConsoleInput) -> None:
    assert_type(entry.node, str)
    assert_type(entry.uid, "int | None")
    assert_type(entry.text, str)


class Counter(GenServer):
    trap_exit = True

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def handle_call(self, request: object, from_: From) -> object:
        assert_type(from_.pid, Pid)
        assert_type(self.process, Mailbox)
        if request == "later":
            self.reply(from_, self.count)
            return NoReply()
        if request == "other":
            return self.call(("other", "a@localhost"), request)
        if request == "stop":
            return Stop(Atom("shutdown"), reply=self.count)
        return self.count

    def handle_cast(self, request: object) -> Stop | None:
        return Stop() if request == "stop" else None


def services(node: Node) -> None:
    assert_type(node.serve("counter", Counter(5)), Pid)
    assert_type(node.serve(None, Counter, restart="permanent"), Pid)
    assert_type(node.serve_tasks("Elixir.MyApp.Tasks"), Pid)
    node.serve("counter", Counter(), restart="often")  # type: ignore[arg-type]
    assert_type(node.stop_server("counter"), bool)
    assert_type(node.unexpose("py_math", ["sqrt"]), bool)
    node.serve("counter", object())  # type: ignore[arg-type]
    events = EventManager()
    events.add_handler("log", EventHandler())
    node.serve_console({"answer": 42}, audit=audit, allow=["op@localhost"], time_limit=None)
    node.serve_console(time_limit="5")  # type: ignore[arg-type]
    node.stop_console()
    node.serve("events", events)


def functions(node: Node) -> None:
    assert_type(node.expose("py_math", {"sqrt": math.sqrt}), None)

    @node.expose("py_math")
    def cube(x: float) -> float:
        return x**3

    assert_type(cube(2.0), float)
    cube("2")  # type: ignore[arg-type]
    node.expose("py_math", {"pi": math.pi})  # type: ignore[dict-item]


def calls(node: Node) -> None:
    nodes = ["a@localhost", "b@localhost"]
    future = node.multi_call(nodes, "counter", Atom("get"), timeout=1.0)
    assert_type(future, Future[MultiReply])
    assert_type(future.result().replies, dict[str, object])
    assert_type(future.result().bad_nodes, list[str])
    node.output = print
