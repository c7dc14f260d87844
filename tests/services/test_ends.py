"""A program can end what it has begun at its node: servers, exposed functions, notices of nodes."""

from __future__ import annotations

import pytest

from tests.conftest import MakeNode
from tests.inside import inside, settle
from uds_dist import (
    Atom,
    EventLoop,
    From,
    Future,
    GenServer,
    Node,
    NoProcessError,
    Pid,
    RemoteError,
    UdsDistError,
)

SOON = 5.0
SHUTDOWN = Atom("shutdown")


class Recorder(GenServer):
    """Notes its ends; answers with how often it was started."""

    def __init__(self) -> None:
        self.lives = 0
        self.ends: list[object] = []

    def init(self) -> None:
        self.lives += 1

    def handle_call(self, request: object, from_: From) -> object:
        return Future(inside(self.process).loop) if request == Atom("never") else self.lives

    def terminate(self, reason: object) -> None:
        self.ends.append(reason)


@pytest.mark.parametrize("restart", ["temporary", "transient", "permanent"])
def test_a_server_is_ended_for_good(a: Node, b: Node, loop: EventLoop, restart: str) -> None:
    server = Recorder()
    pid = a.serve("recorder", server, restart=restart)  # type: ignore[arg-type]
    box = b.mailbox()
    ref = box.monitor(pid)
    pending = b.call(pid, Atom("never"))
    assert b.call(pid, 1).result(SOON) == 1
    assert a.stop_server("recorder")
    assert server.ends == [SHUTDOWN] and a.whereis("recorder") is None
    with pytest.raises(RemoteError, match="shutdown"):
        pending.result(SOON)
    assert box.receive(SOON) == (Atom("DOWN"), ref, Atom("process"), pid, SHUTDOWN)
    settle(loop)
    assert server.lives == 1 and a.whereis("recorder") is None
    assert not a.stop_server("recorder") and not a.stop_server(pid)


def test_a_server_that_was_ended_can_be_served_again_at_once(a: Node, b: Node) -> None:
    server = Recorder()
    first = a.serve("recorder", server)
    assert a.stop_server(first)
    second = a.serve("recorder", server)
    assert second != first
    assert b.call(("recorder", a.name), 1).result(SOON) == 2
    assert server.ends == [SHUTDOWN]


def test_a_server_is_ended_between_its_end_and_its_restart(
    a: Node, b: Node, loop: EventLoop
) -> None:
    server = Recorder()
    pid = a.serve("recorder", server, restart="permanent")
    process = server.process
    process.close(Atom("crash"))  # the restart is for the next round
    assert a.stop_server("recorder")
    settle(loop)
    assert (server.lives, server.ends) == (1, [Atom("crash")])
    assert a.whereis("recorder") is None and not a.stop_server(pid)


def test_a_server_whose_restart_fails_again_and_again_is_ended(a: Node, loop: EventLoop) -> None:
    class Fragile(Recorder):
        def init(self) -> None:
            super().init()
            if self.lives > 1:
                raise OSError("not yet")

    server = Fragile()
    a.serve("fragile", server, restart="permanent")
    server.process.close(Atom("crash"))
    loop.run_once(0)
    assert server.lives == 2
    assert a.stop_server("fragile")
    settle(loop)
    assert server.lives == 2


def test_a_server_that_ends_by_itself_is_not_kept(a: Node, b: Node, loop: EventLoop) -> None:
    pid = a.serve(None, Recorder)
    b.exit(pid, Atom("kill"))
    loop.run_until(lambda: not a.stop_server(pid), SOON)
    assert len(a._named().servers) == 0


def test_a_server_ends_itself_from_its_own_handler(a: Node, b: Node) -> None:
    class Leaving(Recorder):
        def handle_call(self, request: object, from_: From) -> object:
            assert a.stop_server("leaving") and not a.stop_server("leaving")
            return self.lives

    server = Leaving()
    a.serve("leaving", server, restart="permanent")
    with pytest.raises(RemoteError, match="shutdown"):
        b.call(("leaving", a.name), 1).result(SOON)
    assert server.ends == [SHUTDOWN] and a.whereis("leaving") is None


def test_what_serves_the_node_itself_is_not_ended(a: Node, b: Node) -> None:
    rex = a.whereis("rex")
    assert isinstance(rex, Pid)
    assert not a.stop_server("rex") and not a.stop_server(rex)
    assert a.serve_tasks("tasks") and a.stop_server("tasks")
    with pytest.raises(NoProcessError):
        b.call(("tasks", a.name), 1).result(SOON)


def rpc_reason(node: Node, function: str) -> object:
    error = node.rpc("a@localhost", "math", function).exception(SOON)
    return error.reason if isinstance(error, RemoteError) else error


def test_functions_are_taken_back_by_name_and_by_module(a: Node, b: Node) -> None:
    a.expose("math", {"one": lambda: 1, "two": lambda: 2, "three": lambda: 3})
    a.expose("other", {"one": lambda: 1})
    assert b.rpc(a.name, "math", "one").result(SOON) == 1
    assert a.unexpose("math", ["one", "four"])
    assert not a.unexpose("math", ["one"]) and not a.unexpose("math", [])
    assert rpc_reason(b, "one") == "undef" and rpc_reason(b, "two") is None
    assert a.unexpose("math") and not a.unexpose("math")
    assert rpc_reason(b, "two") == rpc_reason(b, "three") == "undef"
    assert b.rpc(a.name, "other", "one").result(SOON) == 1
    with pytest.raises(TypeError, match="give a list of names"):
        a.unexpose("other", "one")
    a.expose("math", {"one": lambda: 11})
    assert b.rpc(a.name, "math", "one").result(SOON) == 11


def test_a_call_that_runs_goes_on_when_its_function_is_taken_back(
    a: Node, b: Node, loop: EventLoop
) -> None:
    future: Future[object] = Future(loop)
    started: list[int] = []

    def slow() -> Future[object]:
        started.append(1)
        return future

    a.expose("math", {"slow": slow})
    call = b.rpc(a.name, "math", "slow")
    assert loop.run_until(lambda: bool(started), SOON)
    assert a.unexpose("math", ["slow"])
    future.set_result(5)
    assert call.result(SOON) == 5


def test_news_of_nodes_end_for_the_callback_that_is_taken_back(
    a: Node, make_node: MakeNode, loop: EventLoop
) -> None:
    news: list[tuple[str, str, str]] = []

    def first(event: str, name: str, error: UdsDistError | None) -> None:
        news.append(("first", event, name))
        a.demonitor_nodes(second)  # which this round would call next

    def second(event: str, name: str, error: UdsDistError | None) -> None:
        news.append(("second", event, name))

    a.monitor_nodes(first)
    a.monitor_nodes(second)
    b = make_node("b@localhost")
    assert a.ping(b.name)
    settle(loop)
    assert news == [("first", "nodeup", b.name)]
    assert a.demonitor_nodes(first) and not a.demonitor_nodes(first)
    assert not a.demonitor_nodes(second)
    a.disconnect(b.name)
    settle(loop)
    assert news == [("first", "nodeup", b.name)]
