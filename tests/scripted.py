"""A peer that follows the test's script: the sans-I/O protocol over a raw socket.

It shares the thread with the node under test: whenever it waits for something, it runs the node's
loop. So a script reads like a conversation, and its steps happen in their order in the test.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from itertools import count

from uds_dist import Atom, Config, EventLoop, ImproperList, Node, Pid, Reference
from uds_dist.protocol.control import MONITOR_P, NO_PAYLOAD, REG_SEND, SEND_SENDER
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.framing import TICK, FrameReader, handshake_frame
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import Role, State
from uds_dist.protocol.session import Answer, Session

COOKIE = "secret"
PATIENCE = 10.0

Message = tuple[tuple[object, ...], object]


class GoneError(Exception):
    """The node under test has closed the connection."""


class ScriptedPeer:
    """A scripted node.

    Args:
        loop: the loop of the node under test.
        name: this peer's name.
        flags: the capabilities that it claims; by default all.
        config: the framing that it uses.
        creation: the creation of its pids.
    """

    def __init__(
        self,
        loop: EventLoop,
        name: str = "peer@localhost",
        flags: int | None = None,
        config: Config | None = None,
        creation: int = 7,
    ) -> None:
        self.loop = loop
        self.name = name
        self.config = Config() if config is None else config
        self.flags = default_flags(self.config) if flags is None else flags
        self.creation = creation
        self.sock: socket.socket | None = None
        self.listener: socket.socket | None = None
        self.reader = FrameReader(self.config)
        self.session: Session | None = None
        self.ticks = 0
        self._numbers = count(1)

    def __enter__(self) -> ScriptedPeer:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
        if self.listener is not None:
            self.listener.close()

    def pid(self, number: int = 1) -> Pid:
        """A pid of this peer."""
        return Pid(self.name, number, 0, self.creation)

    def reference(self) -> Reference:
        """A new reference of this peer."""
        return Reference(self.name, self.creation, (next(self._numbers), 1, 2))

    # -- waiting ---------------------------------------------------------------------------

    def until(self, condition: Callable[[], object]) -> None:
        """Run the node until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the node did not do what was expected of it"
            self.loop.run_once(0.01)

    # -- connecting ------------------------------------------------------------------------

    def listen(self, folder: str) -> None:
        """Listen where the node looks for this peer."""
        path = os.path.join(folder, self.name.partition("@")[0] + ".sock")
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.listener.setblocking(False)

    def accept(self) -> None:
        """Take the node's connection; the handshake is still to come."""
        assert self.listener is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._use(self.listener.accept()[0])
                return
            except BlockingIOError:
                assert time.monotonic() < deadline, "the node did not dial"
                self.loop.run_once(0.01)

    def is_dialled(self) -> bool:
        """Whether the node has a connection waiting to be accepted, after a few rounds."""
        assert self.listener is not None
        for _ in range(5):
            self.loop.run_once(0)
        try:
            self._use(self.listener.accept()[0])
        except BlockingIOError:
            return False
        return True

    def dial(self, folder: str, node: str) -> None:
        """Connect to the node; the handshake is still to come."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(os.path.join(folder, node.partition("@")[0] + ".sock"))
        self._use(sock)

    def _use(self, sock: socket.socket) -> None:
        self.close()
        sock.setblocking(False)
        self.sock = sock
        self.reader = FrameReader(self.config)
        self.session = None

    def close(self) -> None:
        """Close the connection."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    # -- bytes -----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes."""
        assert self.sock is not None
        left = memoryview(data)
        deadline = time.monotonic() + PATIENCE
        while left:
            try:
                left = left[self.sock.send(left) :]
            except BlockingIOError:
                assert time.monotonic() < deadline, "the node does not read"
                self.loop.run_once(0.01)

    def write_some(self, data: memoryview) -> memoryview:
        """Send as much as the socket accepts now; returns the rest."""
        assert self.sock is not None
        try:
            return data[self.sock.send(data) :]
        except BlockingIOError:
            return data

    def read(self) -> bytes:
        """Some bytes from the node; raises GoneError if it has closed."""
        assert self.sock is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                assert time.monotonic() < deadline, "the node says nothing"
                self.loop.run_once(0.01)
                continue
            except ConnectionResetError:
                raise GoneError from None
            if not data:
                raise GoneError
            return data

    def frame(self) -> bytes:
        """The next frame from the node; raises GoneError if it has closed."""
        if self.session is not None and self.session.backlog:
            return bytes(self.session.backlog.popleft())
        while (frame := self.reader.next_frame()) is None:
            self.reader.feed(self.read())
        return frame

    def is_gone(self) -> bool:
        """True if the node closes the connection, whatever it sends first."""
        try:
            while True:
                self.frame()
        except GoneError:
            return True

    # -- the handshake ---------------------------------------------------------------------

    def handshake(
        self,
        role: Role,
        *,
        cookie: str = COOKIE,
        status: Status = Status.OK,
        alive: bool = True,
        assign_name: Callable[[str], tuple[str, int]] | None = None,
    ) -> Handshake:
        """The protocol of this side."""
        return Handshake(
            role,
            self.name,
            self.creation,
            self.flags,
            cookie_for=lambda _name: cookie,
            choose_status=lambda _peer: status,
            still_connected=lambda _name: not alive,
            assign_name=assign_name,
        )

    def send_handshake(self, messages: Sequence[bytes]) -> None:
        """Send handshake messages."""
        for message in messages:
            self.write(handshake_frame(message))

    def shake_hands(self, handshake: Handshake) -> None:
        """Do the whole handshake, or its remaining steps."""
        if handshake.state is State.SEND_NAME:
            self.send_handshake(handshake.begin())
        self.session = session = Session(handshake, self.config)
        session.reader = self.reader
        while not session.is_up:
            event = session.next_event()
            if event is None:
                session.receive_data(self.read())
            elif isinstance(event, Answer):
                self.write(event.data)

    def connect(self, folder: str, node: Node) -> None:
        """Dial the node and do the handshake."""
        self.dial(folder, node.name)
        self.shake_hands(self.handshake(Role.INITIATOR))
        self.until(lambda: self.name in node.nodes())

    def welcome(self) -> Peer:
        """Accept the node's connection and do the handshake; returns the name that it gives."""
        self.accept()
        handshake = self.handshake(Role.ACCEPTOR)
        self.shake_hands(handshake)
        assert handshake.peer is not None
        return handshake.peer

    # -- messages --------------------------------------------------------------------------

    def frames_of(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> list[bytes]:
        """The bytes of a message, one item per frame."""
        data = self.message(control, payload)
        frames = []
        while data:
            size = 4 + int.from_bytes(data[:4], "big")
            frames.append(data[:size])
            data = data[size:]
        return frames

    def send(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> None:
        """Send a control message."""
        self.write(self.message(control, payload))

    def message(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> bytes:
        """The bytes of a message."""
        assert self.session is not None
        return b"".join(self.session.send(control, payload))

    def receive(self) -> Message:
        """The node's next message; ticks are counted."""
        assert self.session is not None
        while True:
            frame = self.frame()
            self.ticks += not frame
            self.session.backlog.appendleft(frame)
            event = self.session.next_event()
            if isinstance(event, tuple):
                return event

    def tick(self) -> None:
        """Send a tick."""
        self.write(TICK)

    def settle(self) -> list[Message]:
        """All messages that the node sends before it answers a ping."""
        ref = self.reference()
        tag = ImproperList((Atom("alias"),), ref) if self.flags & Flag.ALIAS else ref
        request = (Atom("$gen_call"), (self.pid(99), tag), (Atom("is_auth"), Atom(self.name)))
        self.send((REG_SEND, self.pid(99), Atom(""), Atom("net_kernel")), request)
        found: list[Message] = []
        while True:
            control, payload = self.receive()
            if isinstance(payload, tuple) and payload[0] == tag:
                return found
            found.append((control, payload))

    def tell(self, dest: Pid, message: object) -> None:
        """Send a message to a process of the node."""
        self.send((SEND_SENDER, self.pid(), dest), message)

    def monitor(self, target: Pid | str) -> Reference:
        """Monitor a process of the node."""
        ref = self.reference()
        self.send((MONITOR_P, self.pid(), target if isinstance(target, Pid) else Atom(target), ref))
        return ref
