"""Uses a node, its processes and its futures as a program does; mypy is the test."""

from __future__ import annotations

from typing_extensions import assert_type

from uds_dist import (
    EMPTY,
    Atom,
    Config,
    Destination,
    EventLoop,
    Future,
    Mailbox,
    Node,
    NodeStatistics,
    PeerStatistics,
    PgScope,
    Pid,
    Reference,
    UdsDistError,
)
from uds_dist import Nodes  # type: ignore[attr-defined]  # only what there is


def start(loop: EventLoop) -> Node:
    Node("py@localhost")
    Node("@localhost", hidden=False, on_down=lambda name, error: print(name, error))
    node = Node("py@localhost", loop=loop, cookie="c", socket_dir="/run/myapp", config=Config())
    assert_type(node.listen(), None)
    assert_type(node.name, Atom)
    assert_type(node.creation, int)
    assert_type(node.pid, Pid)
    assert_type(node.loop, EventLoop)
    assert_type(node.config, Config)
    with node as same:
        assert_type(same, Node)
    return node


def peers(node: Node) -> None:
    def changed(event: str, name: str, error: UdsDistError | None) -> None:
        print(event, name, error)

    node.monitor_nodes(changed)
    assert_type(node.demonitor_nodes(changed), bool)
    node.set_cookie("other", node="a@localhost")
    node.allow(["worker-*@localhost"])
    assert_type(node.connect("a@localhost"), Future[None])
    assert_type(node.ping("a@localhost", timeout=5), bool)
    assert_type(node.nodes(), list[str])
    assert_type(node.disconnect("a@localhost"), bool)
    assert_type(node.statistics(), NodeStatistics)
    assert_type(node.statistics().connections, tuple[PeerStatistics, ...])
    assert_type(node.flush(timeout=1), bool)
    assert_type(node.pg("scope"), PgScope)
    node.pg().join("group", node.pid)
    assert_type(node.pg().members("group"), list[Pid])
    assert_type(node.pg().groups(), list[object])
    node.on_service_down = lambda name, reason: print(name, reason)


def calls(node: Node, dest: Destination) -> None:
    assert_type(node.rpc("a@localhost", "erlang", "node", []), Future[object])
    assert_type(node.rpc("a@localhost", "erlang", "node").result(timeout=5), object)
    assert_type(node.call(("server", "a@localhost"), (Atom("get"), 1)), Future[object])
    assert_type(node.cast(dest, Atom("stop")), None)
    assert_type(node.send(dest, {b"k": 1}), None)
    assert_type(node.whereis("name"), Pid | None)
    spawned = node.spawn("a@localhost", "timer", "sleep", [1000], link=True, monitor=True)
    assert_type(spawned.result(), tuple[Pid, Reference | None])


def futures(future: Future[int], loop: EventLoop) -> None:
    assert_type(future.result(), int)
    assert_type(future.exception(timeout=1.5), BaseException | None)
    assert_type(future.done(), bool)
    assert_type(future.cancel(), bool)
    assert_type(future.cancelled(), bool)
    future.add_done_callback(lambda done: print(done.result() + 1))
    made: Future[str] = Future(loop, "the file")
    made.set_result("text")
    made.set_exception(OSError())


def processes(node: Node, pid: Pid) -> None:
    def handle(message: object) -> None:
        print(message)

    node.mailbox("events", on_message=handle)
    with node.mailbox(trap_exit=True) as box:
        assert_type(box, Mailbox)
        assert_type(box.pid, Pid)
        assert_type(box.name, Atom | None)
        assert_type(box.alive, bool)
        assert_type(box.receive(5), object)
        assert_type(box.receive(1, match=lambda m: isinstance(m, tuple)), object)
        if (message := box.poll()) is not EMPTY:
            handle(message)
        for message in box:
            handle(message)
        assert_type([each for each in box], list[object])
        assert_type(box.call(("name", "a@localhost"), "get"), Future[object])
        box.link(pid)
        box.unlink(pid)
        assert_type(box.monitor(pid), Reference)
        assert_type(box.monitor(("name", "a@localhost")), Reference)
        assert_type(box.demonitor(box.monitor("name"), flush=True), bool)
        assert_type(box.alias(), Reference)
        box.send(box.alias(), 1)
        box.send(box.alias(priority=True), 1, priority=True)
        box.exit(pid, Atom("kill"))
        node.set_group_leader(box.pid, pid)
        box.close(Atom("shutdown"))


def mistakes(node: Node, box: Mailbox, pid: Pid, future: Future[int]) -> None:
    Node("py@localhost", None)  # type: ignore[call-arg]
    Node("py@localhost", sockets="/run")  # type: ignore[call-arg]
    node.name = Atom("other@localhost")  # type: ignore[misc]
    node.rpc("a@localhost", "erlang", "node").result() + 1  # type: ignore[operator]
    node.call(1, "get")  # type: ignore[arg-type]
    node.monitor_nodes(lambda name: None)  # type: ignore[arg-type, misc]
    box.link("name")  # type: ignore[arg-type]
    box.receive(lambda message: True)  # type: ignore[arg-type]
    box.send(pid, 1, True)  # type: ignore[call-arg]
    box.exit(pid, 1, True)  # type: ignore[call-arg]
    box.alias(True)  # type: ignore[call-arg]
    box.demonitor(box.monitor(pid), True)  # type: ignore[call-arg]
    node.mailbox("name", print, True)  # type: ignore[call-arg]
    future.set_result("text")  # type: ignore[arg-type]
