"""What waits for a future or a peer's text keeps nothing large of the request."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from uds_dist import Atom, From, Future, GenServer, ImproperList, Node
from uds_dist.protocol.control import (
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND_SENDER,
    SPAWN_REPLY,
    SPAWN_REQUEST,
)

BIG = 1_000_000
COUNT = 30
MFA = (Atom("m"), Atom("f"))


class Waiting:
    """A node whose functions and servers return futures, and a peer."""

    def __init__(self, node: Node, peer: ScriptedPeer) -> None:
        self.node = node
        self.peer = peer
        self.futures: list[Future[object]] = []
        node.expose("m", {"f": lambda _argument: self.future()})
        later = self.future

        class Server(GenServer):
            def handle_call(self, request: object, from_: From) -> object:
                return later()

        node.serve("server", Server())
        node.serve_tasks("tasks")

    def future(self) -> Future[object]:
        self.futures.append(Future(self.node.loop))
        return self.futures[-1]

    def call(self, name: str, tag: object, request: object) -> None:
        dest = (REG_SEND, self.peer.pid(), Atom(""), Atom(name))
        self.peer.send(dest, (Atom("$gen_call"), (self.peer.pid(), tag), request))

    def spawn(self, result: object, argument: object) -> None:
        mfa = (Atom("erpc"), Atom("execute_call"), 4)
        leader = self.peer.pid(2)
        options = [Atom("monitor")]
        control = (SPAWN_REQUEST, self.peer.reference(), self.peer.pid(), leader, mfa, options)
        self.peer.send(control, [result, *MFA, [argument]])

    def print(self, reply_as: object, request: object) -> None:
        dest = (SEND_SENDER, self.peer.pid(), self.node._leader.pid)
        self.peer.send(dest, (Atom("io_request"), self.peer.pid(), reply_as, request))


@pytest.fixture
def waiting(make_node: MakeNode, make_peer: MakePeer, folder: str) -> Iterator[Waiting]:
    node, peer = make_node("node@localhost"), make_peer()
    peer.connect(folder, node)
    yield Waiting(node, peer)


def argument(at: Waiting) -> None:
    at.spawn(at.peer.reference(), bytes(BIG))


def result(at: Waiting) -> None:
    at.spawn(bytes(BIG), 1)


def request(at: Waiting) -> None:
    at.call("server", at.peer.reference(), bytes(BIG))


def tag(at: Waiting) -> None:
    at.call("server", ImproperList([bytes(BIG)], at.peer.reference()), 1)


def reply_as(at: Waiting) -> None:
    at.print(bytes(BIG), (Atom("put_chars"), Atom("unicode"), *MFA, []))


def requests(at: Waiting) -> None:
    text: tuple[object, ...] = (Atom("put_chars"), Atom("unicode"), *MFA, [])
    large = (Atom("put_chars"), Atom("unicode"), bytes(BIG))
    at.print(at.peer.reference(), (Atom("requests"), [text, large]))


@pytest.mark.parametrize(
    "ask",
    [argument, result, request, tag, reply_as, requests],
    ids=lambda ask: str(ask.__name__),
)
def test_a_request_that_waits_keeps_nothing_large(
    waiting: Waiting, ask: Callable[[Waiting], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uds_dist.services.group_leader.MAX_IN_WORK", 3 * BIG)
    ask(waiting)
    waiting.peer.settle()
    tracemalloc.start()
    try:
        for _ in range(COUNT):
            ask(waiting)
            waiting.peer.settle()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 6 * BIG


def test_a_call_with_a_large_tag_fails_alone(waiting: Waiting) -> None:
    ref = waiting.peer.monitor("server")
    waiting.call("server", ImproperList([bytes(2000)], ref), 1)
    ((control, reason),) = waiting.peer.settle()
    assert control[0] == PAYLOAD_MONITOR_P_EXIT and control[3] == ref and reason == "system_limit"
    waiting.call("server", ref, 1)
    waiting.peer.settle()
    waiting.futures[-1].set_result(5)
    while not isinstance(answer := waiting.peer.receive()[1], tuple):
        pass  # the server watches its caller
    assert answer == (ref, 5)


def test_texts_are_made_again_once_enough_are_done(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uds_dist.services.group_leader.MAX_IN_WORK", 3 * BIG)
    peer = waiting.peer
    for _ in range(5):
        reply_as(waiting)
    found = peer.settle()
    asked = [control for control, _ in found if control[0] == SPAWN_REQUEST]
    refused = [answer for control, answer in found if control[0] == SEND_SENDER]
    assert len(asked) == 3 and len(refused) == 2
    assert isinstance(refused[0], tuple) and refused[0][2] == (Atom("error"), Atom("system_limit"))
    for number, (_, ref, caller, *_) in enumerate(asked, 100):
        peer.send((SPAWN_REPLY, ref, caller, 2, peer.pid(number)))
        down = (PAYLOAD_MONITOR_P_EXIT, peer.pid(number), caller, ref)
        peer.send(down, (ref, Atom("return"), b"text"))
    for _ in asked:
        answer = peer.receive()[1]
        assert isinstance(answer, tuple) and answer[2] is Atom("ok")
    reply_as(waiting)
    assert peer.receive()[0][0] == SPAWN_REQUEST
