"""Rule 14: a child of the process that made a loop can only close it, and leaves the parent alone."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inside import settle
from tests.transport.conftest import MakeNode
from tests.transport.support import Pair, in_child, received
from uds_dist import (
    EventLoop,
    ForkedLoopError,
    NoConnectionError,
    Node,
)
from uds_dist.transport.loop import READ, WRITE


def errors_of(*verbs: Callable[[], object]) -> list[str]:
    """The kinds of the exceptions that the functions raise."""
    kinds = []
    for verb in verbs:
        try:
            verb()
            kinds.append("none")
        except Exception as error:
            kinds.append(type(error).__name__)
    return kinds


def test_14_the_child_can_use_nothing_but_close(
    loop: EventLoop, make_node: MakeNode, pair: Pair
) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    settle(loop)
    loop.register(pair[0], READ, lambda _: None)
    before = received(b)
    kinds = in_child(
        lambda: errors_of(
            loop.run_once,
            lambda: loop.run_until(lambda: True),
            lambda: loop.register(pair[1], READ, print),
            lambda: loop.modify(pair[0], WRITE),
            lambda: loop.unregister(pair[0]),
            lambda: a.send(("box", "b@test"), 1),
            lambda: a.ping("b@test"),
            loop.wakeup,
        )
    )
    assert kinds == ["ForkedLoopError"] * 7 + ["none"]
    assert received(b) == before
    assert loop.run_once() == 0  # nor has the child's wakeup come here
    assert a.ping("b@test")
    loop.unregister(pair[0])


@pytest.mark.parametrize("way", ["close", "exit", "collect"])
def test_14_a_child_that_closes_or_exits_leaves_the_parent_alone(
    loop: EventLoop, make_node: MakeNode, tmp_path: Path, way: str
) -> None:
    a, b = make_node("a"), make_node("b")
    box = b.mailbox("box")
    assert a.ping("b@test")

    def child() -> str:
        if way == "close":
            a.close()
            b.close()
            loop.close()
            assert not a.loop.running
        elif way == "collect":
            for node in (a, b):
                node.__dict__.clear()
            gc.collect()
        return way

    descriptors = loop.statistics().descriptors
    assert in_child(child) == way
    assert sorted(os.listdir(tmp_path)) == ["a.sock", "b.sock"]
    assert loop.statistics().descriptors == descriptors
    for number in range(10):
        a.send(("box", "b@test"), number)
    assert [box.receive(timeout=5) for _ in range(10)] == list(range(10))
    c = make_node("c")
    assert c.ping("a@test") and c.ping("b@test")


def test_14_a_child_makes_a_loop_of_its_own(make_node: MakeNode, tmp_path: Path) -> None:
    parent = make_node("a")

    def child() -> bool:
        parent.close()
        with EventLoop() as loop:
            with Node("x@test", loop=loop, cookie="secret", socket_dir=str(tmp_path)) as x:
                x.listen()
                with Node("y@test", loop=loop, cookie="secret", socket_dir=str(tmp_path)) as y:
                    return y.ping("x@test")

    assert in_child(child) is True
    assert os.listdir(tmp_path) == ["a.sock"]


@pytest.mark.parametrize("where", ["descriptor", "timer", "soon", "end"])
def test_14_a_child_forked_by_a_handler_does_not_go_on_with_the_round(
    loop: EventLoop, where: str
) -> None:
    made = [socket.socketpair() for _ in range(2)]
    ran: list[int] = []
    reader, writer = os.pipe()
    parent = os.getpid()

    def fork(*_args: object) -> None:
        ran.append(1)
        if len(ran) == 1 and not os.fork():
            ran[:] = [0]

    for left, _ in made:
        loop.register(left, WRITE, fork if where == "descriptor" else lambda _: None)
    for _ in range(2):
        if where == "timer":
            loop.call_later(0, fork)
        elif where == "soon":
            loop.call_soon(fork)
        elif where == "end":
            loop.round_end.append(fork)
    try:
        loop.run_once()
    except ForkedLoopError:
        if os.getpid() != parent:
            loop.close()
            os.write(writer, b"refused" if ran == [0] else b"went on")
    finally:
        if os.getpid() != parent:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == b"refused"
    os.wait()
    assert ran == [1, 1]
    for left, right in made:
        loop.unregister(left)
        left.close()
        right.close()


@pytest.mark.parametrize("gracefully", [True, False])
def test_14_the_peer_sees_the_close_though_a_child_holds_the_socket(
    loop: EventLoop, make_node: MakeNode, gracefully: bool
) -> None:
    a, b = make_node("a"), make_node("b")
    assert a.ping("b@test")
    alive_r, alive_w = os.pipe()
    child = os.fork()
    if not child:
        os.close(alive_w)
        os.read(alive_r, 1)  # holds every descriptor until the parent is through
        os._exit(0)
    os.close(alive_r)
    if gracefully:
        a.disconnect("b@test")
    else:
        connection = a._peers.nodes["b@test"].connection
        assert connection is not None
        connection.fail(NoConnectionError("given up"))
    gone = loop.run_until(lambda: not b.nodes(), timeout=5)
    os.close(alive_w)
    os.waitpid(child, 0)
    assert gone
