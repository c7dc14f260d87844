"""A peer's requests make a node queue a bounded amount, and two nodes never block each other."""

from __future__ import annotations

import random

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import ask
from tests.scripted import ScriptedPeer
from uds_dist import (
    Atom,
    BusyError,
    Config,
    EventLoop,
    From,
    Future,
    GenServer,
    NoConnectionError,
    Node,
    Pid,
    UdsDistError,
)
from uds_dist.protocol.control import (
    EXIT,
    LINK,
    PAYLOAD_EXIT,
    PAYLOAD_EXIT2,
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND_SENDER,
    SPAWN_REPLY,
    SPAWN_REQUEST,
)
from uds_dist.transport.backpressure import IN_TRANSIT
from uds_dist.transport.connection import Connection

KIB = 1024
MARK = 64 * KIB
ANSWER = 100 * KIB
MARKS = {"write_high_water": MARK, "write_low_water": MARK // 4}


def connection_to(node: Node, name: str) -> Connection:
    connection = node._peers.nodes[name].connection
    assert connection is not None
    return connection


def answers(peer: ScriptedPeer, count: int) -> list[object]:
    """The references of the next calls that the node answers."""
    found: list[object] = []
    while len(found) < count:
        control, payload = peer.receive()
        if control[0] == PAYLOAD_MONITOR_P_EXIT:
            assert isinstance(payload, tuple) and payload[1] == "return"
            found.append(control[3])
    return found


def rounds(loop: EventLoop, count: int = 50) -> None:
    for _ in range(count):
        loop.run_once(0)


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node with low marks and a function with large answers."""
    made = make_node("node@localhost", **MARKS)
    made.expose("m", {"big": lambda size: b"x" * size})
    return made


def test_answers_for_a_peer_that_does_not_read_are_bounded_and_all_come(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    asked = [ask(peer, ANSWER) for _ in range(400)]
    most = 0
    for _ in range(100):
        node.loop.run_once(0)
        most = max(most, node.statistics().unwritten)
    assert MARK < most <= MARK + ANSWER + KIB
    assert connection_to(node, peer.name).held is not None
    assert answers(peer, 400) == asked
    rounds(node.loop)
    assert connection_to(node, peer.name).held is None


def test_a_flood_of_small_requests_is_not_read_for_ever(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    sent = flood(peer, node)
    connection = connection_to(node, peer.name)
    assert connection.choked and connection.held is not None
    assert MARK + IN_TRANSIT < connection.held.size < MARK + IN_TRANSIT + 1024 * KIB
    assert sent < MARK + 3 * IN_TRANSIT
    # When it reads, it is read from again.
    peer.until(lambda: not peer_reads(peer) and not connection.choked)
    peer.until(lambda: not peer_reads(peer) and connection.held is None)


def flood(peer: ScriptedPeer, node: Node) -> int:
    """Send small messages while the node reads, and read nothing; return how many bytes."""
    ask(peer, 8000 * KIB)
    junk = b"".join(peer.frames_of((SEND_SENDER, peer.pid(), node.pid), b"y" * 8000)) * 100
    sent = idle = 0
    left = memoryview(junk)
    while idle < 20:
        rest = peer.write_some(left)
        idle = 0 if len(rest) < len(left) else idle + 1
        sent += len(left) - len(rest)
        left = rest if len(rest) else memoryview(junk)
        node.loop.run_once(0)
    return sent


def peer_reads(peer: ScriptedPeer) -> bool:
    """Read what there is at the peer's end; True if there was something."""
    assert peer.sock is not None
    try:
        return bool(peer.sock.recv(1 << 20))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mark, request_size, answer_size, count", [
    (16 * KIB, 20, 40 * KIB, 150),  # answers alone are above the marks
    (16 * KIB, 40 * KIB, 40 * KIB, 150),  # so are the requests
    (64 * KIB, 3 * KIB, 300, 1500),
    (4 * KIB, 700 * KIB, 20 * KIB, 20),  # one request is above all that may be in transit
])  # fmt: skip
def test_two_nodes_that_flood_each_other_get_through(
    folder: str, seed: int, mark: int, request_size: int, answer_size: int, count: int
) -> None:
    rng = random.Random(seed)
    config = Config(socket_dir=folder, write_high_water=mark, write_low_water=mark // 4,
                    send_buffer_size=KIB, receive_size=8 * KIB)  # fmt: skip
    with EventLoop() as left, EventLoop() as right:
        nodes = [Node(f"{name}@localhost", loop=loop, cookie="c", config=config)
                 for name, loop in (("left", left), ("right", right))]  # fmt: skip
        for node in nodes:
            node.expose("m", {"f": lambda _request: b"x" * answer_size})
        nodes[0].listen()
        connected = nodes[1].connect(nodes[0].name)
        while not (connected.done() and nodes[0].nodes()):
            left.run_once(0)
            right.run_once(0)
        calls: list[list[Future[object]]] = [[], []]
        most = 0
        for _ in range(500_000):
            side = rng.randrange(2)
            node, made = nodes[side], calls[side]
            for _ in range(rng.randrange(1, 100)):
                if len(made) < count:
                    try:
                        made.append(node.rpc(nodes[1 - side].name, "m", "f", [b"r" * request_size]))
                    except BusyError:
                        break
            for _ in range(rng.randrange(1, 20)):
                node.loop.run_once(0)
                most = max(most, node.statistics().unwritten)
            if all(len(made) == count and made[-1].done() for made in calls):
                break
        for made in calls:
            assert [len(repr(call.result(0))) for call in made] == [answer_size + 3] * count
        # A program's last message below the mark, what is answered, and what names them.
        assert most <= mark + request_size + 2 * answer_size + 2 * KIB
        for node in nodes:
            node.close()


class LargeAnswers(GenServer):
    """Answers each call with many bytes."""

    def handle_call(self, request: object, from_: object) -> object:
        return b"x" * ANSWER


def request(server: Pid, sender: ScriptedPeer, back: Pid) -> None:
    """Call a server of the node; its answer goes to `back`."""
    sender.tell(server, (Atom("$gen_call"), (back, sender.reference()), Atom("x")))


def ask_for_another(node: Node, peer: ScriptedPeer, third: ScriptedPeer, folder: str) -> None:
    """Make the node answer a hundred calls of `peer` to a third node, which it has to dial."""
    server = node.serve(None, LargeAnswers())
    third.listen(folder)
    peer.connect(folder, node)
    for _ in range(100):
        request(server, peer, third.pid())
    rounds(node.loop)


def test_answers_that_go_to_a_third_node_hold_up_who_asked_for_them(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    server = node.serve(None, LargeAnswers())
    third, peer, other = make_peer("third@localhost"), make_peer(), make_peer("other@localhost")
    for each in (third, peer, other):
        each.connect(folder, node)

    for _ in range(100):
        request(server, peer, third.pid())
    rounds(node.loop)
    assert node.statistics().unwritten <= MARK + ANSWER + KIB
    assert connection_to(node, "peer@localhost").held is not None
    assert connection_to(node, "other@localhost").held is None
    request(server, other, other.pid())
    assert other.receive()[1] is not None
    for _ in range(100):
        third.receive()
    peer.until(lambda: connection_to(node, "peer@localhost").held is None)


def test_answers_that_wait_for_a_dial_count(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    third, peer = make_peer("third@localhost"), make_peer()
    ask_for_another(node, peer, third, folder)
    assert MARK < node.statistics().unwritten <= MARK + ANSWER + KIB
    third.welcome()
    for _ in range(100):
        third.receive()
    peer.until(lambda: connection_to(node, peer.name).held is None)


def test_what_waits_for_a_dial_that_fails_holds_nobody_up(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    third, peer = make_peer("third@localhost"), make_peer()
    ask_for_another(node, peer, third, folder)
    assert connection_to(node, peer.name).held is not None
    third.accept()
    third.close()
    assert third.listener is not None
    third.listener.close()
    peer.until(lambda: connection_to(node, peer.name).held is None)


def test_a_full_queue_that_ends_in_the_same_call_holds_nobody_up(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    third, peer = make_peer("third@localhost"), make_peer()

    class Ends(GenServer):
        """A server whose handler fills a queue, and then ends its connection."""

        def handle_info(self, message: object) -> object:
            self.reply(From(third.pid(), third.reference()), b"x" * ANSWER)
            third.close()
            node.disconnect(third.name)
            return None

    node.serve("ends", Ends())
    third.connect(folder, node)
    peer.connect(folder, node)
    peer.send((REG_SEND, peer.pid(), Atom(""), Atom("ends")), 1)
    assert peer.settle() == []
    assert third.name not in node.nodes()


def test_the_messages_of_a_server_that_is_resumed_are_answered_within_the_marks(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    class Server(GenServer):
        def handle_call(self, request: object, from_: object) -> object:
            return b"x" * ANSWER

    server = node.serve("server", Server())
    peer = make_peer()
    peer.connect(folder, node)

    def system(request: str) -> None:
        peer.tell(server, (Atom("system"), (peer.pid(), peer.reference()), Atom(request)))

    system("suspend")
    peer.receive()
    for number in range(100):
        peer.tell(server, (Atom("$gen_call"), (peer.pid(), number), Atom("x")))
    rounds(node.loop)
    system("resume")
    rounds(node.loop)
    assert node.statistics().unwritten <= MARK + ANSWER + KIB
    numbers = [message[0] for _, message in (peer.receive() for _ in range(101))
               if isinstance(message, tuple)]  # fmt: skip
    assert numbers[1:] == list(range(100))


def test_a_program_s_own_sends_are_busy_while_requests_are_held(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    for _ in range(50):
        ask(peer, ANSWER)
    peer.until(lambda: connection_to(node, peer.name).held is not None)
    with pytest.raises(BusyError):
        node.send(peer.pid(), "x")
    assert not node.flush(0.01)
    answers(peer, 50)
    assert node.flush(5)
    node.send(peer.pid(), "x")


def test_answers_to_this_node_s_calls_are_handed_on_while_requests_are_held(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    box = node.mailbox("box")
    call = node.rpc(peer.name, "m", "f")
    while (request := peer.receive()[0])[0] != SPAWN_REQUEST:
        pass
    ref = request[1]
    for _ in range(50):
        ask(peer, ANSWER)
    peer.tell(box.pid, "before")
    peer.send((31, ref, request[2], 2, peer.pid(5)))
    down = (PAYLOAD_MONITOR_P_EXIT, peer.pid(5), request[2], ref)
    peer.send(down, (ref, Atom("return"), b"answer"))
    assert call.result(5) == b"answer"
    assert connection_to(node, peer.name).held is not None and not len(box)
    answers(peer, 50)
    assert box.receive(timeout=5) == b"before"


def test_a_peer_that_reads_nothing_is_given_up_when_no_more_can_be_held(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    errors: list[UdsDistError] = []
    node = make_node(
        "node@localhost", tick_time=0.4, on_down=lambda _name, error: errors.append(error), **MARKS
    )
    node.expose("m", {"big": lambda size: b"x" * size})
    peer = make_peer()
    peer.connect(folder, node)
    flood(peer, node)
    peer.until(lambda: errors)
    assert isinstance(errors[0], NoConnectionError) and "write_high_water" in str(errors[0])


@pytest.mark.parametrize("kind", ["rpc", "call", "task"])
def test_answers_that_futures_bring_later_wait_for_room(
    node: Node, make_peer: MakePeer, folder: str, kind: str
) -> None:
    ready: list[Future[object]] = []

    def later(*_arguments: object) -> Future[object]:
        ready.append(Future(node.loop))
        return ready[-1]

    class Server(GenServer):
        def handle_call(self, request: object, from_: object) -> object:
            return later()

    node.expose("m", {"later": later})
    server = node.serve(None, Server())
    tasks = node.serve_tasks("tasks")
    peer = make_peer()
    peer.connect(folder, node)
    for number in range(100):
        if kind == "rpc":
            ref = peer.reference()
            mfa = (Atom("erpc"), Atom("execute_call"), 4)
            control = (SPAWN_REQUEST, ref, peer.pid(), peer.pid(2), mfa, [Atom("monitor")])
            peer.send(control, [ref, Atom("m"), Atom("later"), []])
        elif kind == "call":
            peer.tell(server, (Atom("$gen_call"), (peer.pid(), number), Atom("x")))
        else:
            how = [(Atom(peer.name), Atom("x"), peer.pid()), Atom("nomonitor")]
            request = (Atom("start_task"), how, Atom("temporary"), None)
            peer.tell(tasks, (Atom("$gen_call"), (peer.pid(), number), request))
            while not isinstance(started := peer.receive()[1], tuple):
                pass  # the supervisor watches its caller
            called: tuple[object, ...] = (Atom("m"), Atom("later"), [])
            peer.tell(started[1][1], (peer.pid(), number, peer.pid(), [], called))
    peer.until(lambda: len(ready) == 100)
    rounds(node.loop)
    for future in ready:
        future.set_result(b"x" * ANSWER)
    most = 0
    for _ in range(50):
        node.loop.run_once(0)
        most = max(most, node.statistics().unwritten)
    assert MARK < most <= MARK + ANSWER + KIB
    sizes = 0
    while sizes < 100:
        payload = peer.receive()[1]
        sizes += isinstance(payload, tuple) and any(
            isinstance(part, bytes) and len(part) == ANSWER for part in payload
        )


def test_what_waits_for_a_dial_is_kept_as_bytes(node: Node, make_peer: MakePeer, folder: str) -> None:
    third = make_peer("third@localhost")
    third.listen(folder)
    message = [1, "two", {"three": [3.5, None]}]
    node.send(third.pid(), message)
    message.append("later")
    (waiting,) = node._peers.nodes[third.name].waiting
    assert isinstance(waiting[1], bytes)
    third.welcome()
    assert third.receive()[1] == [1, b"two", {b"three": [3.5, None]}]


def test_control_messages_that_are_held_count_with_their_memory(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    for _ in range(50):
        ask(peer, ANSWER)
    peer.until(lambda: connection_to(node, peer.name).held is not None)
    reason: list[object] = [[] for _ in range(60_000)]  # 60 KB, decoded 4 MB
    sent = 0
    while not connection_to(node, peer.name).choked:
        peer.send((EXIT, peer.pid(), node.pid, reason))
        rounds(node.loop, 5)
        sent += 1
        assert sent < 5
    answers(peer, 50)
    peer.settle()
    assert not connection_to(node, peer.name).choked


@pytest.mark.parametrize("tie", ["monitors", "links"])
def test_the_notices_of_an_end_wait_for_room(
    node: Node, make_peer: MakePeer, folder: str, tie: str
) -> None:
    peer, other = make_peer(), make_peer("other@localhost")
    peer.connect(folder, node)
    other.connect(folder, node)
    box = node.mailbox()
    for number in range(200):
        if tie == "monitors":
            peer.monitor(box.pid)
        else:
            peer.send((LINK, peer.pid(number), box.pid))
    other.monitor(box.pid)
    peer.settle()
    peer.send((PAYLOAD_EXIT2, peer.pid(), box.pid), list(range(ANSWER // 5)))
    rounds(node.loop)
    assert node.statistics().unwritten < MARK + 2 * ANSWER
    other.receive()  # it does not wait for the first peer
    told = (PAYLOAD_MONITOR_P_EXIT, PAYLOAD_EXIT)
    for _ in range(200):
        control, reason = peer.receive()
        assert control[0] in told and isinstance(reason, list)
    assert peer.settle() == []


def test_a_peer_is_not_served_while_a_notice_for_it_waits(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    box = node.mailbox()
    peer.monitor(box.pid)
    peer.settle()
    with pytest.raises(BusyError):
        while True:
            node.send(peer.pid(), b"x" * ANSWER)
    peer.send((PAYLOAD_EXIT2, peer.pid(), box.pid), Atom("stop"))
    peer.until(lambda: connection_to(node, peer.name).held is not None)
    assert [control[0] for control, _ in peer.settle()][-1] == PAYLOAD_MONITOR_P_EXIT


def io_request(peer: ScriptedPeer, request: object) -> object:
    return (Atom("io_request"), peer.pid(), peer.reference(), request)


def test_answers_of_the_group_leader_wait_for_room(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    bad = (Atom("put_chars"), Atom("unicode"), b"\xff" * ANSWER)  # the answer repeats it
    for _ in range(100):
        peer.tell(node._leader.pid, io_request(peer, (Atom("requests"), [bad])))
        rounds(node.loop, 3)
    assert node.statistics().unwritten < MARK + 4 * ANSWER
    for _ in range(100):
        reply = peer.receive()[1]
        assert isinstance(reply, tuple) and reply[0] == "io_reply"


def test_a_text_that_is_not_one_is_not_sent_back(
    node: Node, make_peer: MakePeer, folder: str
) -> None:
    peer = make_peer()
    peer.connect(folder, node)
    none: list[object] = []
    request = (Atom("put_chars"), Atom("unicode"), Atom("m"), Atom("f"), none)
    for _ in range(20):
        peer.tell(node._leader.pid, io_request(peer, request))
    calls = [peer.receive()[0] for _ in range(20)]
    for number, (_, ref, caller, *_) in enumerate(calls, 100):
        peer.send((SPAWN_REPLY, ref, caller, 2, peer.pid(number)))
        down = (PAYLOAD_MONITOR_P_EXIT, peer.pid(number), caller, ref)
        peer.send(down, (ref, Atom("return"), b"\xff" * ANSWER))
    for _ in range(20):
        reply = peer.receive()[1]
        assert isinstance(reply, tuple) and reply[2] == (Atom("error"), Atom("f"))


def test_the_state_of_pg_waits_for_room(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("node@localhost", hidden=False, **MARKS)
    scope, box = node.pg(), node.mailbox()
    scope.join(bytes(ANSWER), box.pid)
    peer = make_peer()
    peer.connect(folder, node)
    for _ in range(100):
        peer.tell(scope._scope.process.pid, (Atom("discover"), peer.pid(5)))
        rounds(node.loop, 3)
    assert node.statistics().unwritten < MARK + 4 * ANSWER
    scope.join(Atom("last"), box.pid)
    states = 0
    while "last" not in str(state := peer.receive()[1]):
        states += "sync" in str(state)[:40]
    assert 1 < states < 10
