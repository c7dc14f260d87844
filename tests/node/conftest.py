"""Nodes on one loop, and peers by hand."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.node.scripted import COOKIE, ScriptedPeer
from uds_dist import Config, EventLoop, Node

MakeNode = Callable[..., Node]
MakePeer = Callable[..., ScriptedPeer]


@pytest.fixture
def folder() -> Iterator[str]:
    """A new folder for sockets, with a short name."""
    made = tempfile.mkdtemp(prefix="uds")
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """The loop that all the nodes of a test share."""
    with EventLoop() as made:
        yield made


@pytest.fixture
def make_node(loop: EventLoop, folder: str) -> Iterator[MakeNode]:
    """Start nodes: make_node(name, listen=True, ...settings of Config); they end with the test."""
    made: list[Node] = []

    def make(name: str, listen: bool = True, on_down: Any = None, **settings: Any) -> Node:
        config = Config(socket_dir=folder).replace(**settings)
        node = Node(name, loop=loop, cookie=COOKIE, config=config, on_down=on_down)
        made.append(node)
        if listen:
            node.listen()
        return node

    yield make
    for node in made:
        node.close()
    loop.run_once(0)


@pytest.fixture
def a(make_node: MakeNode) -> Node:
    """A node."""
    return make_node("a@localhost")


@pytest.fixture
def b(make_node: MakeNode) -> Node:
    """Another node on the same loop."""
    return make_node("b@localhost")


@pytest.fixture
def make_peer(loop: EventLoop) -> Iterator[MakePeer]:
    """Make peers by hand: make_peer(name, ...), as ScriptedPeer; they end with the test."""
    made: list[ScriptedPeer] = []

    def make(name: str = "peer@localhost", **options: Any) -> ScriptedPeer:
        peer = ScriptedPeer(loop, name, **options)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.__exit__()


@pytest.fixture
def peer(make_peer: MakePeer, a: Node, folder: str) -> ScriptedPeer:
    """A peer by hand, connected to `a`."""
    made = make_peer()
    made.connect(folder, a)
    return made
