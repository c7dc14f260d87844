"""A loop on each selector, and what the tests count to see that nothing is left over."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uds_dist import Config, EventLoop, Node

SELECTORS = [
    getattr(selectors, name)
    for name in ("EpollSelector", "KqueueSelector", "PollSelector")
    if hasattr(selectors, name)
]


@pytest.fixture(params=SELECTORS, ids=lambda selector: selector.__name__[: -len("Selector")])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    """Each kind of selector that this system has: the rules hold on all of them."""
    made: selectors.BaseSelector = request.param()
    yield made
    made.close()


@pytest.fixture
def loop(selector: selectors.BaseSelector) -> Iterator[EventLoop]:
    """A loop on each selector."""
    with EventLoop(selector=selector) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected, non-blocking sockets."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(loop: EventLoop, tmp_path: Path) -> Iterator[MakeNode]:
    """Makes nodes that share a loop and a folder, and closes them."""
    nodes: list[Node] = []

    def make(name: str, *, listen: bool = True, cookie: str = "secret", **settings: object) -> Node:
        config = Config(socket_dir=str(tmp_path)).replace(**settings)
        node = Node(f"{name}@test", loop=loop, cookie=cookie, config=config)
        nodes.append(node)
        if listen:
            node.listen()
        return node

    yield make
    for node in nodes:
        node.close()
    loop.run_once(0)
