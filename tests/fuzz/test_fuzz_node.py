"""A fuzzer of a whole node: whatever a connected peer sends, `run_once` does not raise.

The peer has proved the cookie. It sends each operation of the protocol and each message that the
node's own services know, with parts replaced by any other term, and answers the node's requests in
the same way. The test checks the README's promises: no exception leaves `run_once`, the node still
answers, and nothing of a peer is left when it is gone.
"""

from __future__ import annotations

import logging
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from uds_dist import (
    Atom,
    BitString,
    BusyError,
    ClosedError,
    Config,
    EventHandler,
    EventLoop,
    EventManager,
    Export,
    From,
    FrozenList,
    Fun,
    Future,
    GenServer,
    ImproperList,
    Mailbox,
    Map,
    Node,
    Pid,
    Port,
    Record,
    Reference,
)
from uds_dist.errors import HandshakeError, RemoteProtocolError
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD, TABLE
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_table import Role
from uds_dist.protocol.session import Answer, Session
from uds_dist.transport.address import SocketAddress

SEEDS = range(6)
MESSAGES = 400  # of one seed
PEER = "peer@localhost"
NAME = "node@localhost"
CONFIG = Config(socket_dir="@uds_dist-fuzz", hidden=False, max_mailbox_length=1000)

Term = object
Message = tuple[tuple[object, ...], object]


def atom(name: str) -> Atom:
    """A short name for use in every line below."""
    return Atom(name)


def deep(depth: int) -> object:
    """Nested lists."""
    term: object = []
    for _ in range(depth):
        term = [term]
    return term


class Checked(logging.Handler):
    """A log handler that checks that every record can be written."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert "\n" not in text, text[:200]
        # If the library fails on a message, the connection ends. That is safe, but our mistake.
        assert record.exc_info is None or "this library failed" not in text, record.exc_info


@pytest.fixture(autouse=True)
def checked_log() -> Iterator[None]:
    """Write each log record, but show none."""
    logger = logging.getLogger("uds_dist")
    handler = Checked()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield
    logger.removeHandler(handler)
    logger.setLevel(before[0])
    logger.propagate = before[1]


class Any(GenServer):
    """A server of the program that accepts anything."""

    def handle_call(self, request: object, from_: From) -> object:
        """Answer with the request."""
        return request

    def handle_cast(self, request: object) -> object:
        """Accept it."""
        return None

    def handle_info(self, message: object) -> object:
        """Accept it."""
        return None

    def set_state(self, state: object) -> object:
        """Accept it."""
        return None


class World:
    """A node with everything that a program can register, and a scripted peer."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loop = EventLoop(busy_wait=False)
        self.node = node = Node(
            NAME, loop=self.loop, cookie="secret", config=CONFIG, output=lambda _text: None
        )
        self.got: deque[object] = deque(maxlen=10)
        self.box = node.mailbox("box", trap_exit=True)
        self.handler = node.mailbox("handler", on_message=self.got.append)
        self.alias = self.box.alias(priority=True)
        self.servers = [
            node.serve("any", Any(), restart="permanent"),
            node.serve("events", EventManager()),
            node.serve_tasks("tasks"),
        ]
        self.waiting: deque[Future[object]] = deque(maxlen=50)
        node.expose("m", {"echo": lambda *terms: list(terms), "wait": self._wait})
        node.pg("scope")
        self.futures: list[Future[object]] = []
        self.heard: deque[object] = deque([self.alias], maxlen=60)  # seen in the node's messages
        self.connections = 0
        self.session: Session | None = None
        self.connect()

    def _wait(self, *_terms: object) -> Future[object]:
        future: Future[object] = Future(self.loop)
        self.waiting.append(future)
        return future

    # -- the connection --

    def connect(self) -> None:
        """Connect the peer again whenever the node has disconnected it."""
        self.connections += 1
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        theirs.setblocking(False)
        self.node._peers.accepting.accept_over(theirs, SocketAddress("fuzz", False))
        handshake = Handshake(
            Role.INITIATOR, PEER, 7, default_flags(CONFIG), cookie_for=lambda _name: "secret"
        )
        self.session = session = Session(handshake, CONFIG)
        self.sock.sendall(session.begin())
        while not session.is_up:
            self.loop.run_once(0)
            self._read()
        self.run()

    def _read(self) -> bool:
        """Read the node's messages; False if it has closed."""
        assert self.session is not None
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self.session.receive_data(data)
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Answer):
                self.sock.sendall(event.data)
            elif isinstance(event, tuple):
                self.heard.extend(event[0][1:])
                if isinstance(event[1], tuple):
                    self.heard.extend(event[1])
        return bool(data)

    def run(self) -> None:
        """Run a round of the node; the program's code does not raise, so nothing may."""
        self.loop.run_once(0)
        if self._read():
            return
        self.gone()
        self.connect()

    def gone(self) -> None:
        """Check that nothing is left of a connection that has ended."""
        self.sock.close()
        assert self.loop.run_until(lambda: PEER not in self.node.nodes(), 5)
        self.loop.run_once(0)
        self.loop.run_once(0)
        assert all(future.done() for future in self.futures)
        self.futures.clear()
        for future in self.waiting:
            if not future.done():
                future.set_result(1)
        self.loop.run_once(0)
        assert set(self.node.processes.ties) <= {NAME}  # between its own processes

    def send(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> None:
        """Send a message as the peer."""
        assert self.session is not None
        data = b"".join(self.session.send(control, payload))
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                self.run()
                continue
            except (BrokenPipeError, ConnectionResetError):
                self.gone()
                self.connect()
                return

    def is_alive(self) -> None:
        """Check that the node answers a ping."""
        ref = Reference(PEER, 7, (1, 1, self.rng.getrandbits(31)))
        tag = ImproperList((atom("alias"),), ref)
        request = (atom("$gen_call"), (pid(1), tag), (atom("is_auth"), atom(PEER)))
        connections = self.connections
        self.heard.clear()
        self.heard.append(self.alias)
        self.send((ctl.REG_SEND, pid(1), atom(""), atom("net_kernel")), request)
        for _ in range(200):
            self.run()
            if atom("yes") in self.heard or self.connections > connections:
                return
        raise AssertionError("the node does not answer")

    # -- the program --

    def act(self) -> None:
        """Do something that a program does, so that the peer can answer it."""
        rng, node = self.rng, self.node
        while self.box.poll() and len(self.box):
            pass
        try:
            match rng.randrange(8):
                case 0:
                    self.futures.append(node.rpc(PEER, "m", "f", [1]))
                case 1:
                    self.futures.append(node.call(("server", PEER), 1))
                case 2:
                    self.box.link(pid(rng.randrange(5)))
                case 3:
                    self.box.monitor(("server", PEER))
                case 4:
                    self.box.monitor(pid(rng.randrange(5)))
                case 5:
                    node.spawn(PEER, "m", "f", parent=self.box, link=True, monitor=True)
                case 6 if self.waiting:
                    future = self.waiting.popleft()
                    if not future.done():
                        future.set_result(1)
                case _:
                    self.box.unlink(pid(rng.randrange(5)))
        except (BusyError, ClosedError):
            pass
        if not self.box.alive:
            self.box = node.mailbox("box", trap_exit=True)
        if not self.handler.alive:
            self.handler = node.mailbox("handler", on_message=self.got.append)

    def pids(self) -> list[Pid]:
        """Processes of the node."""
        return [process.pid for process in self.node.processes.by_pid.values()]


def pid(number: int) -> Pid:
    """A process of the peer."""
    return Pid(PEER, number, 0, 7)


FUN = Fun(atom("m"), 1, 0, bytes(16), 0, 0, Pid(PEER, 1, 0, 7), (1, [2]))
NAMES = [
    "net_kernel", "rex", "logger_proxy", "global_name_server", "box", "handler", "any", "events",
    "tasks", "scope", "pg", "nobody", "true", "", "undefined",
]  # fmt: skip
# Terms that fit nowhere, or almost nowhere.
LEAVES: list[Term] = [
    0, 1, -1, 255, 1 << 31, 1 << 64, -(1 << 20_000), 1 << 20_000, 0.5, -0.0, 1e308,
    True, False, None, atom("undefined"), atom(""), atom("x" * 255), atom("a\nb\x1b[0m"),
    atom("$gen_call"), atom("system"), atom("kill"), atom("normal"), atom(PEER), atom(NAME),
    atom("no node name"), atom("é@ü"), b"", b"\xff\xfe", b"$gen_call", bytes(5000), "text",
    [], (), {}, [1, 2, 3], ImproperList((1,), 2), ImproperList(([],), b""), BitString(b"\x80", 1),
    FUN, Export(atom("m"), atom("echo"), 1), Port(PEER, 1, 7), Pid(NAME, 1, 0, 1),
    Pid("other@localhost", 1, 0, 9), Reference("other@localhost", 9, (1,)), pid(3), pid(0),
    Record(atom("m"), atom("r"), ((atom("f"), 1),)), Map([(1, 2), (1.0, 3)]),
    {FrozenList([1]): [1]}, {atom("k"): [{}]}, deep(400), [deep(100)] * 3, [[0] * 500] * 3,
    (atom("EXIT"), pid(1), atom("normal")), [(atom("a"), 1), atom("b")],
]  # fmt: skip


# Requests, which hold a reference of their sender.
ASKING = (ctl.MONITOR_P, ctl.DEMONITOR_P, ctl.SPAWN_REQUEST, ctl.SPAWN_REQUEST_TT)


class Maker:
    """Makes messages that are almost right."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng

    def any(self) -> object:
        """Any term."""
        rng = self.rng
        kind = rng.randrange(10)
        if kind < 6:
            return rng.choice(LEAVES)
        if kind == 6 and self.world.heard:
            return rng.choice(self.world.heard)
        parts = [self.any() for _ in range(rng.randrange(4))]
        if kind == 7:
            return tuple(parts)
        return parts if kind == 8 else {atom(f"k{i}"): part for i, part in enumerate(parts)}

    def ours(self) -> Pid:
        """A process of the node, mostly."""
        pids = self.world.pids()
        return self.rng.choice(pids) if self.rng.random() < 0.9 else Pid(NAME, 99, 0, 1)

    def theirs(self) -> Pid:
        """A process of the peer, mostly."""
        return pid(self.rng.randrange(5)) if self.rng.random() < 0.995 else self.ours()

    def ref(self) -> Reference:
        """A reference: one from the node's messages, or one of the peer."""
        known = [term for term in self.world.heard if isinstance(term, Reference)]
        if known and self.rng.random() < 0.7:
            return self.rng.choice(known)
        return Reference(PEER, 7, (self.rng.randrange(9), 1, 2))

    def their_ref(self) -> Reference:
        """A reference of the peer, as in its requests; sometimes another one."""
        if self.rng.random() < 0.005:
            return self.ref()
        return Reference(PEER, 7, (self.rng.randrange(9), 1, 2))

    def name(self) -> Atom:
        """A registered name of the node."""
        return atom(self.rng.choice(NAMES))

    def from_(self) -> object:
        """The ``From`` of a call."""
        ref = self.ref()
        tags: list[object] = [ImproperList((atom("alias"),), ref), ref, self.any()]
        return (self.theirs(), self.rng.choice(tags))

    def broken(self, term: object) -> object:
        """A term with one part of it replaced, or left out."""
        rng = self.rng
        if isinstance(term, (tuple, list)) and term and rng.random() < 0.85:
            parts = list(term)
            at = rng.randrange(len(parts))
            match rng.randrange(12):
                case 0:
                    del parts[at]
                case 1:
                    parts.insert(at, self.any())
                case _:
                    parts[at] = self.broken(parts[at])
            return tuple(parts) if isinstance(term, tuple) else parts
        if type(term) is dict and term and rng.random() < 0.8:
            key = rng.choice(list(term))
            return {**term, key: self.broken(term[key])}
        return self.any()

    def known(self) -> object:
        """A message that one of the node's services knows."""
        rng, any_ = self.rng, self.any
        me, node = atom(PEER), atom(NAME)
        call = (atom("$gen_call"), self.from_())
        request: object = rng.choice(
            [
                (atom("is_auth"), me), (atom("call"), atom("m"), atom("echo"), [1], pid(1)),
                (atom("block_call"), atom("m"), atom("wait"), [], pid(1)),
                (atom("set_lock"), (atom("global"), [pid(1)])), (atom("del_lock"), any_()),
                (atom("register"), atom("n"), pid(1), any_()), (atom("unregister"), atom("n")),
                (atom("register_ext"), atom("n"), pid(1), any_(), me),
                (atom("start_task"), [(me, atom("n"), pid(1)), atom("monitor")],
                 atom("temporary"), None),
                (atom("start_task"), [(me, atom("n"), pid(1)), [pid(1)],
                                      (atom("m"), atom("wait"), [])], None, 5000),
                atom("which_children"), atom("count_children"),
                (atom("terminate_child"), self.ours()), any_(),
            ]
        )  # fmt: skip
        cast: object = rng.choice(
            [
                (atom("cast"), atom("m"), atom("echo"), [1], pid(1)),
                (atom("init_connect"), (8, rng.getrandbits(40)), me,
                 (atom("locker"), atom("no_longer_a_pid"), {}, pid(2))),
                (atom("lock_set"), pid(2), True, [], any_()),
                (atom("exchange"), me, [(atom("n"), pid(1), any_())], [], any_()),
                (atom("resolved"), me, [], [(me, 8), (node, 8)], atom("unused"), [], any_()),
                (atom("in_sync"), me, True), (atom("new_nodes"), me, [], [], [], any_()),
                (atom("sync"), pid(3), [(any_(), [pid(1)])]),
                (atom("local_data"), pid(3), 1, {atom("g"): [pid(1)]}), any_(),
            ]
        )  # fmt: skip
        system: object = rng.choice(
            [
                *map(atom, ["get_state", "get_status", "suspend", "resume"]),
                (atom("terminate"), any_()), (atom("replace_state"), FUN),
                (atom("debug"), (atom("trace"), True)), (atom("debug"), atom("no_debug")), any_(),
            ]
        )  # fmt: skip
        io: object = rng.choice(
            [
                (atom("put_chars"), atom("unicode"), b"text"),
                (atom("put_chars"), atom("latin1"), [65, [b"x"]]),
                (atom("put_chars"), atom("unicode"), atom("io_lib"), atom("format"), [b"~p", [1]]),
                (atom("requests"), [(atom("put_chars"), atom("unicode"), b"a")] * 3),
                atom("getopts"), (atom("setopts"), [(atom("binary"), True)]),
                (atom("get_geometry"), atom("columns")), (atom("get_line"), atom("unicode"), b">"),
                (atom("get_until"), atom("unicode"), b">", atom("m"), atom("f"), []), any_(),
            ]
        )  # fmt: skip
        meta = {atom("pid"): pid(1), atom("gl"): self.ours(), atom("time"): 1}
        event: object = rng.choice(
            [
                (atom("notify"), any_()), (pid(1), self.from_(), (atom("sync_notify"), any_())),
                (pid(1), self.from_(), atom("which_handlers")),
                (pid(1), self.from_(), (atom("call"), atom("h"), any_())),
                (pid(1), self.from_(), (atom("delete_handler"), atom("h"), any_())),
                (pid(1), self.from_(), (atom("add_handler"), any_(), any_())),
            ]
        )  # fmt: skip
        return rng.choice(
            [
                (*call, request), (*call, request), (atom("$gen_cast"), cast),
                (atom("$gen_cast"), cast), (atom("system"), self.from_(), system),
                (atom("io_request"), self.theirs(), self.ref(), io), event,
                (atom("log"), atom("error"), b"~p", [1], meta),
                (atom("log"), atom("info"), {atom("a"): 1}, meta),
                (atom("log"), atom("notice"), [(atom("a"), 1)], meta),
                (self.theirs(), atom("features_request")),
                (self.theirs(), (atom("sbcast"), self.name(), any_())),
                (atom("init_connect_ack"), me, any_(), any_()),
                (atom("cancel_connect"), me, any_()), (atom("remove_connection"), me),
                (atom("lost_connection"), me, any_(), me, any_()),
                (atom("discover"), pid(3)), (atom("discover"), pid(3), 1),
                (atom("join"), pid(3), any_(), [pid(1)]), (atom("join"), pid(3), any_(), pid(1)),
                (atom("leave"), pid(3), [pid(1)], [any_()]),
                (atom("DOWN"), self.ref(), atom("process"), pid(3), any_()),
                (atom("EXIT"), self.ours(), any_()),
                (pid(1), self.ref(), self.ref(), [pid(1)], (atom("m"), atom("echo"), [1])),
                (self.ref(), (atom("reply"), any_())), any_(),
            ]
        )  # fmt: skip

    def spawn(self) -> Message:
        """A spawn request."""
        rng = self.rng
        ref = self.their_ref()
        job = (atom("m"), atom(rng.choice(["echo", "wait", "none"])), [1])
        mfa, arguments = rng.choice(
            [
                ((atom("erpc"), atom("execute_call"), 4), [ref, *job]),
                ((atom("erpc"), atom("execute_cast"), 3), [*job]),
                ((atom("erlang"), atom("apply"), 2), [FUN, []]),
                ((atom("erlang"), atom("apply"), 3), [*job]),
                ((atom("m"), atom("wait"), 0), []),
            ]
        )
        options = rng.sample([atom("link"), atom("monitor"), (atom("priority"), atom("high"))], 2)
        return (ctl.SPAWN_REQUEST, ref, self.theirs(), pid(4), mfa, options), arguments

    def message(self) -> Message:
        """A message to the node."""
        rng = self.rng
        choice = rng.randrange(20)
        if choice < 8:
            return (ctl.REG_SEND, self.theirs(), atom(""), self.name()), self.known()
        if choice < 11:
            return (ctl.SEND_SENDER, self.theirs(), self.ours()), self.known()
        if choice == 11:
            return (ctl.ALTACT_SIG_SEND, rng.choice([4, 5, 20, 21]), self.theirs(), self.ref()), (
                self.known()
            )
        if choice < 14:
            return self.spawn()
        if choice == 14:
            reply = (self.ref(), atom(rng.choice(["return", "error", "exit", "throw"])), self.any())
            down = (ctl.PAYLOAD_MONITOR_P_EXIT, self.theirs(), self.ours(), self.ref())
            return down, rng.choice([reply, (*reply, self.any()), self.any()])
        return self.operation()

    def operation(self) -> Message:
        """Any row of the table, its fields of the right kinds."""
        rng = self.rng
        row = rng.choice(TABLE)
        ref = self.their_ref if row.number in ASKING else self.ref
        to = rng.choice([self.ours, self.name, self.ref])
        kind = {self.ours: 0, self.name: 8, self.ref: 4}[to]
        token = 2 if row.kind is ctl.AltactSigSendTt else 0
        makers: dict[str, Callable[[], object]] = {
            "from_pid": self.theirs, "to_pid": self.ours, "to_name": self.name, "ref": ref,
            "from_proc": self.theirs, "to_proc": rng.choice([self.ours, self.name]),
            "req_id": ref, "group_leader": self.theirs, "alias": self.ref,
            "to": to, "flags": lambda: rng.choice([0, 1, 16, 17]) | kind | token,
            "id": lambda: rng.randrange(1, 5),
            "result": rng.choice([self.theirs, lambda: atom("noconnection")]),
            "mfa": lambda: (atom("m"), atom("wait"), 0), "opts": lambda: [atom("link")],
        }  # fmt: skip
        names: tuple[str, ...] = row.kind._fields[1:]
        fields = [makers.get(name, self.any)() for name in names]
        payload: object = NO_PAYLOAD
        if row.payload:
            payload = [] if "mfa" in names else self.any()
        return (row.number, *fields), payload


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_and_a_peer_that_sends_anything(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    make = Maker(world)
    services = {
        name: world.node.whereis(name)
        for name in ("net_kernel", "rex", "logger_proxy", "global_name_server")
    }
    try:
        for number in range(MESSAGES):
            control, payload = make.message()
            if rng.random() < 0.6 and payload is not NO_PAYLOAD:
                payload = make.broken(payload)
            if rng.random() < 0.02:
                broken = make.broken(control)
                control = broken if isinstance(broken, tuple) else control
            world.send(control, payload)
            if rng.random() < 0.2:
                world.act()
            if rng.random() < 0.5:
                world.run()
            if number % 100 == 99:
                world.is_alive()
        world.gone()
        assert services == {name: world.node.whereis(name) for name in services}
        assert len(world.node.processes.by_pid) < 60
    finally:
        world.node.close()
        world.loop.close()
        world.sock.close()
