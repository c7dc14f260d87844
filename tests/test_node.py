"""Two nodes that talk to each other."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import pytest

from tests.conftest import MakeNode
from tests.inside import inside, reply
from tests.scripted import ScriptedPeer
from uds_dist import (
    Atom,
    BusyError,
    CancelledError,
    Config,
    ConfigError,
    EventLoop,
    Future,
    GenServer,
    LocalProtocolError,
    LoopReentryError,
    NoConnectionError,
    Node,
    NoProcessError,
    Pid,
    RemoteError,
    RemoteTimeoutError,
)


def echo_server(node: Node, name: str = "echo") -> None:
    """A process that answers every gen call with its request."""

    def on_message(message: object) -> None:
        match message:
            case ("$gen_call", (Pid() as caller, tag), request):
                reply(box, caller, tag, request)

    box = node.mailbox(name, on_message)


def left_over(node: Node) -> tuple[int, int, int, int]:
    """The tables in which calls could leave something behind."""
    statistics = node.statistics()
    watchers = statistics.watchers
    return statistics.monitors, statistics.aliases, statistics.futures, watchers


@pytest.mark.parametrize("settings", [{}, {"socket_dir": "@uds_dist-test-node"}])
def test_ping_both_ways(make_node: MakeNode, settings: dict[str, str]) -> None:
    one, two = make_node("a@localhost", **settings), make_node("b@localhost", **settings)
    assert one.ping(two.name) and two.ping(one.name)
    assert one.nodes() == [two.name] and two.nodes() == [one.name]


def test_500_calls_at_once_over_one_connection(a: Node, b: Node) -> None:
    echo_server(b)
    sizes = (64, 4096, 70_000, 200_000)
    futures = [a.call(("echo", b.name), (n, bytes(sizes[n % 4] // 10))) for n in range(500)]
    for number, future in reversed(list(enumerate(futures))):
        answer = future.result(timeout=20)
        assert isinstance(answer, tuple) and answer[0] == number
    assert len(a.statistics().connections) == 1
    a.loop.run_once(0)
    assert left_over(a) == left_over(b) == (0, 0, 0, 0)


def test_2000_calls_leave_nothing_behind(a: Node, b: Node, loop: EventLoop) -> None:
    echo_server(b)
    b.mailbox("silent", on_message=lambda message: None)
    for number in range(500):
        assert a.call(("echo", b.name), number).result(timeout=5) == number
    for number in range(500):
        with pytest.raises(NoProcessError):
            a.call(("nobody", b.name), number).result(timeout=5)
    pending: list[Future[object]] = [a.call(("silent", b.name), n) for n in range(500)]
    for future in pending[:250]:
        assert future.cancel()
    with pytest.raises(CancelledError):
        pending[0].result()
    pending.clear()  # dropped, and so withdrawn
    del future
    gc.collect()
    for number in range(500):
        assert a.call("nobody here", number).exception(timeout=5)
    loop.run_until(lambda: left_over(a) == left_over(b) == (0, 0, 0, 0), 5)
    assert left_over(a) == left_over(b) == (0, 0, 0, 0)
    assert loop.run_once(0) == 0


def test_a_late_answer_is_dropped(a: Node, b: Node) -> None:
    requests: list[object] = []
    server = b.mailbox("slow", on_message=requests.append)
    future = a.call(("slow", b.name), 1)
    with pytest.raises(RemoteTimeoutError):
        future.result(timeout=0.02)
    future.cancel()
    (request,) = requests
    assert isinstance(request, tuple)
    caller, tag = request[1]
    reply(server, caller, tag, 2)
    assert a.ping(b.name)
    assert left_over(a) == (0, 0, 0, 0)


def test_the_end_of_a_server_ends_its_calls(a: Node, b: Node) -> None:
    server = b.mailbox("server")
    futures = [a.call(("server", b.name), n) for n in range(3)]
    server.receive(timeout=5)
    server.close((Atom("bad"), 1))
    for future in futures:
        with pytest.raises(RemoteError, match="bad"):
            future.result(timeout=5)


def test_calls_from_a_handler_use_callbacks(a: Node, b: Node, loop: EventLoop) -> None:
    echo_server(b)
    answers: list[object] = []

    def handler(message: object) -> None:
        future = a.call(("echo", b.name), message)
        future.add_done_callback(lambda done: answers.append(done.result()))
        for blocking in (future.result, lambda: a.ping(b.name), a.flush):
            with pytest.raises(LoopReentryError):
                blocking()

    box = a.mailbox(on_message=handler)
    for number in range(3):
        box.send(box.pid, number)
    gc.collect()
    assert loop.run_until(lambda: len(answers) == 3, 5)
    assert answers == [0, 1, 2]


def test_links_and_monitors_between_nodes(a: Node, b: Node) -> None:
    one, two = a.mailbox(trap_exit=True), b.mailbox("two")
    one.link(two.pid)
    ref = one.monitor(("two", b.name))
    a.ping(b.name)
    assert one.pid in inside(two).links
    one.exit(two.pid, Atom("oops"))
    found = [one.receive(timeout=5), one.receive(timeout=5)]
    name = (Atom("two"), Atom(b.name))
    assert (Atom("EXIT"), two.pid, Atom("oops")) in found
    assert (Atom("DOWN"), ref, Atom("process"), name, Atom("oops")) in found
    assert not a.processes.ties and not b.processes.ties


def test_both_ends_unlink_at_once(a: Node, b: Node) -> None:
    one, two = a.mailbox(), b.mailbox()
    one.link(two.pid)
    a.ping(b.name)
    one.unlink(two.pid)
    two.unlink(one.pid)
    one.link(two.pid)
    a.ping(b.name)
    b.ping(a.name)
    assert (two.pid in inside(one).links) == (one.pid in inside(two).links)
    one.close(Atom("oops"))
    a.ping(b.name)


@pytest.mark.parametrize("size", [64, 4096, 70_000, 200_000, 262_144])
def test_traffic_both_ways(a: Node, b: Node, size: int) -> None:
    echo_server(a)
    echo_server(b)
    data = bytes(range(256)) * (size // 256 + 1)
    message = (Atom("data"), data[:size], [size])
    futures = [a.call(("echo", b.name), message) for _ in range(20)]
    futures += [b.call(("echo", a.name), message) for _ in range(20)]
    for future in futures:
        assert future.result(timeout=20) == message


def test_a_term_of_100_megabytes(make_node: MakeNode) -> None:
    one = make_node("a@localhost", write_high_water=256 * 2**20)
    two = make_node("b@localhost")
    box = two.mailbox("box")
    assert one.ping(two.name)
    data = bytes(100_000_000)
    one.send(("box", two.name), (Atom("data"), data))
    message = box.receive(timeout=60)
    assert isinstance(message, tuple) and message[1] == data


def test_on_down_and_the_error_say_why(make_node: MakeNode, b: Node, loop: EventLoop) -> None:
    losses: list[tuple[str, str]] = []
    node = make_node("a@localhost", on_down=lambda name, error: losses.append((name, str(error))))
    b.mailbox("silent")
    future = node.call(("silent", b.name), 1)
    loop.run_until(lambda: b.statistics().watchers == 1, 5)
    b.close()
    with pytest.raises((NoConnectionError, RemoteError)):
        future.result(timeout=5)
    loop.run_until(lambda: bool(losses), 5)
    assert losses == [("b@localhost", "the connection to b@localhost was lost: the peer closed it")]


def test_a_node_without_settings_of_its_own_keeps_no_copy_of_its_config(loop: EventLoop) -> None:
    config = Config(hidden=False)
    with Node("a@localhost", loop=loop, cookie="c", config=config) as node:
        assert node.config is config
    with Node("a@localhost", loop=loop, cookie="c", config=config, hidden=True) as node:
        assert node.config == config.replace(hidden=True) != config


def test_impossible_settings_are_refused(loop: EventLoop, folder: str) -> None:
    for name in ("a", "a@", "@", "a@b@c", ""):
        with pytest.raises(ConfigError):
            Node(name, loop=loop, cookie="c", config=Config(socket_dir=folder))


def test_a_hidden_node_is_hidden_and_a_visible_one_owns_global(make_node: MakeNode) -> None:
    assert make_node("a@localhost").whereis("global_name_server") is None
    assert make_node("b@localhost", hidden=False).whereis("global_name_server") is not None


# --- a node without a name, its statistics, its end -----------------------------------------------


def test_a_node_without_a_name_says_what_it_cannot_do(make_node: MakeNode) -> None:
    node = make_node("@localhost", listen=False)
    attempts: list[Callable[[], object]] = [
        lambda: node.pid,
        lambda: node.processes,
        lambda: node.mailbox(),
        lambda: node.pg(),
        lambda: node.whereis("x"),
        lambda: node.send(("x", "b@localhost"), 1),
        lambda: node.cast(("x", "b@localhost"), 1),
        lambda: node.call(("x", "b@localhost"), 1),
        lambda: node.multi_call(["b@localhost"], "x", 1),
        lambda: node.rpc("b@localhost", "m", "f"),
        lambda: node.spawn("b@localhost", "m", "f"),
        lambda: node.serve("x", GenServer()),
        lambda: node.serve_tasks("x"),
        lambda: node.statistics(),
    ]
    for attempt in attempts:
        with pytest.raises(LocalProtocolError, match="has no name yet: connect"):
            attempt()
    assert node.name == "nonode@nohost" and repr(node) and node.nodes() == []
    assert not node.disconnect("b@localhost") and node.flush(1)


def test_every_attribute_of_a_node_without_a_name_works_or_says_why(
    make_node: MakeNode,
) -> None:
    node = make_node("@localhost", listen=False)
    for name in dir(node):
        try:
            getattr(node, name)
        except LocalProtocolError:
            pass


def test_all_unanswered_calls_are_counted(a: Node, b: Node, loop: EventLoop) -> None:
    b.mailbox("silent")
    b.expose("svc", {"never": lambda: Future(loop)})
    calls: list[Future[object]] = []
    for number in range(3):
        calls.append(a.call(("silent", b.name), number))
        calls.append(a.rpc(b.name, "svc", "never"))
    assert a.statistics().futures == 6
    loop.run_until(lambda: len(b._named().jobs) == 3, 5)
    assert a.ping(b.name)
    assert a.statistics().futures == 6
    for future in calls:
        future.cancel()
    assert a.statistics().futures == 0


def test_closing_takes_at_most_a_second(
    make_node: MakeNode, make_peer: Callable[..., ScriptedPeer], folder: str
) -> None:
    node = make_node("a@localhost")
    peer = make_peer()
    peer.connect(folder, node)
    while node.statistics().unwritten < 2**20:
        node.send(("x", peer.name), bytes(2**18))  # the peer reads nothing of it
    start = time.monotonic()
    node.close()
    assert 0.8 < time.monotonic() - start < 1.6


def test_a_node_takes_its_settings_from_the_environment(
    loop: EventLoop, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, text in {
        "UDS_DIST_SOCKET_DIR": folder,
        "UDS_DIST_COOKIE": "secret",
        "UDS_DIST_TICK_TIME": "7.5",
        "UDS_DIST_HIDDEN": "no",
    }.items():
        monkeypatch.setenv(variable, text)
    with Node("a@localhost", loop=loop) as one, Node("b@localhost", loop=loop) as two:
        two.listen()
        assert one.ping(two.name)
        assert (one.config.socket_dir, one.config.tick_time, one.config.hidden) == (folder, 7.5, False)


def test_arguments_precede_the_environment(
    loop: EventLoop, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("UDS_DIST_SOCKET_DIR", "UDS_DIST_COOKIE"):
        monkeypatch.setenv(variable, "/nowhere")
    monkeypatch.setenv("UDS_DIST_HIDDEN", "perhaps")
    monkeypatch.setenv("UDS_DIST_TICK_TIME", "8")
    settings: dict[str, Any] = {"loop": loop, "socket_dir": folder, "cookie": "c"}
    with Node("a@localhost", hidden=False, **settings) as one:
        assert (one.config.socket_dir, one.config.tick_time, one.config.hidden) == (folder, 8, False)
        with Node("b@localhost", config=Config(), **settings) as two:  # this reads no variable
            assert (two.config.tick_time, two.config.hidden) == (60, True)
            two.listen()
            assert one.ping(two.name)
    with pytest.raises(ConfigError, match="UDS_DIST_HIDDEN is 'perhaps'"):
        Node("a@localhost", **settings)


class Recorded(Config):
    """Settings that record which of them are read."""

    read: ClassVar[set[str]] = set()

    def __getattribute__(self, name: str) -> Any:
        Recorded.read.add(name)
        return super().__getattribute__(name)


def test_a_node_in_use_reads_every_setting(loop: EventLoop, folder: str) -> None:
    config = Recorded(
        socket_dir=folder,
        cookie="secret",
        hidden=False,
        write_high_water=2**20,
        write_low_water=2**19,
    )
    Recorded.read.clear()
    with Node("a@localhost", loop=loop, config=config) as one:
        with Node("b@localhost", loop=loop, config=config) as two:
            two.listen()
            box = two.mailbox("box")
            two.pg()
            assert one.ping(two.name)
            one.send(("box", two.name), bytes(200_000))
            assert box.receive(timeout=5) == bytes(200_000)
            with pytest.raises(BusyError):
                for _ in range(100):
                    one.send(("box", two.name), bytes(200_000))
    assert {setting.name for setting in fields(Config)} - Recorded.read == set()


def test_a_trace_shows_what_is_sent_and_received(a: Node, b: Node) -> None:
    seen: list[tuple[str, str, object, object]] = []
    a.trace(lambda direction, node, control, payload: seen.append((direction, node, control[0], payload)))
    b.expose("m", {"f": lambda number: number + 1})
    assert a.rpc(b.name, "m", "f", [41]).result(5) == 42
    (_, node, request, arguments), (direction, _, reply, _), (_, _, end, outcome) = seen
    assert (node, request) == (b.name, 29) and isinstance(arguments, list) and arguments[1:] == ["m", "f", [41]]
    assert (direction, reply, end) == ("received", 31, 28)
    assert isinstance(outcome, tuple) and outcome[1:] == ("return", 42)


def test_a_trace_that_raises_affects_no_message(a: Node, b: Node) -> None:
    def trace(direction: str, node: str, control: object, payload: object) -> None:
        if payload in (b"in", b"out"):
            raise ValueError(direction)

    a.trace(trace)
    b.connect(a.name).result(5)
    for sender, receiver, message, direction in ((a, b, b"out", "sent"), (b, a, b"in", "received")):
        box = receiver.mailbox()
        sender.send(box.pid, message)
        with pytest.raises(ValueError, match=direction):
            a.loop.run_until(lambda: False, 5)
        assert box.receive(timeout=5) == message
    assert a.nodes() == [b.name]
