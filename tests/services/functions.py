"""Functions that are exposed, and calls of them that fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tests.scripted import ScriptedPeer
from tests.services.calc import SOON, A
from uds_dist import (
    Atom,
    ErlangError,
    Exit,
    Future,
    Node,
    Pid,
    Reference,
    Throw,
)
from uds_dist.protocol import control as ctl


class Service:
    """Exposed at a@localhost as the module ``svc``."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.calls: list[object] = []
        self.futures: list[Future[object]] = []
        functions = "echo boom badarg exit throw unsendable later never note"
        node.expose("svc", {name: getattr(self, name) for name in functions.split()})
        node.expose("math", {"sqrt": math.sqrt, "hypot": math.hypot})

    def echo(self, term: object, *more: object) -> object:
        return [term, *more] if more else term

    def boom(self) -> object:
        return 1 // 0

    def badarg(self) -> object:
        raise ErlangError("badarg")

    def exit(self, reason: object) -> object:
        raise Exit(reason)

    def throw(self, term: object) -> object:
        raise Throw(term)

    def unsendable(self) -> object:
        return object()

    def later(self) -> object:
        future: Future[object] = Future(self.node.loop)
        self.futures.append(future)
        return future

    def never(self) -> object:
        return Future(self.node.loop)

    def note(self, term: object) -> None:
        self.calls.append(term)


def spawn(
    peer: ScriptedPeer,
    mfa: tuple[str, str],
    arguments: Sequence[object],
    options: Sequence[object],
) -> Reference:
    """Send a spawn request."""
    ref = peer.reference()
    whole = (Atom(mfa[0]), Atom(mfa[1]), len(arguments))
    control = (ctl.SPAWN_REQUEST, ref, peer.pid(), peer.pid(9), whole, list(options))
    peer.send(control, list(arguments))
    return ref


class Tasks:
    """A task supervisor at a@localhost, and an owner of tasks at b@localhost."""

    def __init__(self, a: Node, b: Node) -> None:
        self.pid = a.serve_tasks("Elixir.Tasks")
        self.node = b
        self.box = b.mailbox()
        self.owner = (Atom(b.name), self.box.pid, self.box.pid)

    def ask(self, request: object) -> Any:
        """A call of the supervisor."""
        return self.node.call(("Elixir.Tasks", A), request).result(SOON)

    def start(self) -> Pid:
        """Begin as Task.Supervisor.async and start_child do."""
        ok, pid = self.ask(
            (Atom("start_task"), [self.owner, Atom("monitor")], Atom("temporary"), None)
        )
        assert ok == "ok" and isinstance(pid, Pid)
        return pid

    def tell(self, pid: Pid, mfa: tuple[str, str, list[object]], to: Reference) -> None:
        """Tell a task what to run."""
        module, function, arguments = mfa
        message = (self.box.pid, to, to, [self.box.pid], (Atom(module), Atom(function), arguments))
        self.box.send(pid, message)

    def children(self) -> list[object]:
        """The pids of the tasks."""
        return [child[1] for child in self.ask(Atom("which_children"))]
