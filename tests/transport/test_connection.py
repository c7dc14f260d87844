"""One connection by itself: its phases, its bytes both ways, its clock. In fake time and memory."""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from tests.transport.support import raiser, settle
from uds_dist import (
    Atom,
    Config,
    CookieMismatchError,
    EncodeError,
    EventLoop,
    HandshakeError,
    HandshakeTimeoutError,
    NoConnectionError,
    RemoteProtocolError,
    UdsDistError,
)
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import Role
from uds_dist.testing import FakeClock, MemorySelector, MemorySocket, fake_loop, memory_pair
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.connection import Connection
from uds_dist.transport.loop import READ, WRITE
from uds_dist.transport.parting import LINGER
from uds_dist.transport.phase import Phase
from uds_dist.transport.ticks import ANSWER_AFTER

HERE = SocketAddress("in memory", False)
CONTROL = (2, Atom(""), Atom("dest"))


class Side:
    """The owner of one connection, which notes what it is told."""

    def __init__(self, loop: EventLoop, name: str, config: Config) -> None:
        self.loop = loop
        self.name = name
        self.config = config
        self.cookie = "secret"
        self.status = Status.OK
        self.messages: list[object] = []
        self.told: list[str] = []
        self.ended: list[Connection] = []
        self.error: UdsDistError | None = None

    def start(self, end: MemorySocket, peer: str | None) -> Connection:
        """Begin the handshake on an end: dial `peer`, or await who dials."""
        handshake = Handshake(
            Role.ACCEPTOR if peer is None else Role.INITIATOR,
            self.name,
            7,
            default_flags(self.config),
            cookie_for=lambda _: self.cookie,
            expected=peer,
            choose_status=lambda _: self.status,
        )
        self.connection = Connection(self.loop, self.config, self, handshake, peer)
        if peer is None:
            self.connection.accept(cast(socket.socket, end), HERE)
        else:
            self.connection.connect(HERE, cast(socket.socket, end))
        return self.connection

    def connection_up(self, connection: Connection) -> None:
        self.told.append("up")

    @property
    def inbox(self) -> Side:
        return self

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        self.messages.append(payload)

    def connection_silent(self, connection: Connection) -> None:
        self.told.append(f"silent at {self.loop.now:g}")

    def connection_ended(self, connection: Connection) -> None:
        self.ended.append(connection)

    def connection_down(self, connection: Connection, error: UdsDistError) -> None:
        assert self.loop.running
        assert connection in self.ended  # told of it when it ended
        self.told.append("down")
        self.error = error


class Pair:
    """Two sides on one loop in fake time."""

    def __init__(self, loop: EventLoop, clock: FakeClock) -> None:
        self.loop = loop
        self.clock = clock
        self.left = Side(loop, "left@test", Config())
        self.right = Side(loop, "right@test", Config())

    def start(self, capacity: int = 64 * 1024, chunk: int | None = None) -> None:
        self.ends = memory_pair(capacity, chunk)
        self.right.start(self.ends[1], None)
        self.left.start(self.ends[0], "right@test")

    def up(self, capacity: int = 64 * 1024, chunk: int | None = None) -> Pair:
        self.start(capacity, chunk)
        settle(self.loop)
        assert self.left.told == self.right.told == ["up"]
        return self

    def close(self) -> None:
        for side in (self.left, self.right):
            if hasattr(side, "connection"):
                side.connection.fail(NoConnectionError("the test is over"))


@pytest.fixture
def pair() -> Iterator[Pair]:
    clock = FakeClock()
    with fake_loop(clock) as loop:
        pair = Pair(loop, clock)
        yield pair
        pair.close()
        assert loop.statistics().descriptors == 0


# --- phases ---------------------------------------------------------------------------------------


def phases(pair: Pair) -> set[Phase]:
    return {pair.left.connection.phase, pair.right.connection.phase}


def test_a_life(pair: Pair) -> None:
    pair.start()
    left, right = pair.left.connection, pair.right.connection
    assert phases(pair) == {Phase.HANDSHAKE}
    assert left.prefix_size == right.prefix_size == 2
    assert "handshake:" in repr(left) and "prefix=2" in repr(left)
    settle(pair.loop)
    assert phases(pair) == {Phase.UP}
    assert left.prefix_size == right.prefix_size == 4
    assert (left.name, right.name) == ("right@test", "left@test")
    left.send(CONTROL, b"last words")
    left.close()
    assert pair.left.told == ["up"]  # the notice is the loop's to give
    settle(pair.loop)
    assert phases(pair) == {Phase.CLOSED}
    assert pair.left.told == pair.right.told == ["up", "down"]
    assert pair.right.messages == [b"last words"]
    assert "closed by this node" in str(pair.left.error)
    assert "was lost: the peer closed it" in str(pair.right.error)
    for again in (left.close, lambda: left.fail(NoConnectionError("no")), left.flush):
        again()
    settle(pair.loop)
    assert pair.left.told == ["up", "down"]
    with pytest.raises(NoConnectionError, match="is closed"):
        left.send(CONTROL, 1)


def test_repr_shows_the_whole_state_on_one_line(pair: Pair) -> None:
    pair.up(capacity=100)
    pair.left.connection.send(CONTROL, b"x" * 1000)
    text = repr(pair.left.connection)
    for part in ("right@test", " up ", " out ", "prefix=4", "unwritten=", "deadline=", "backlog=0"):
        assert part in text
    assert "\n" not in text and "unwritten=0" not in text
    assert " in prefix" in repr(pair.right.connection)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_bytes_in_any_portions(pair: Pair, chunk: int) -> None:
    pair.up(chunk=chunk)
    sent = [b"x" * size for size in (0, 1, 100, 5000)] + [[1, Atom("a"), (2.5, "text")]]
    for payload in sent:
        pair.left.connection.send(CONTROL, payload)
        pair.right.connection.send(CONTROL, payload)
    settle(pair.loop)
    sent[-1] = [1, Atom("a"), (2.5, b"text")]
    assert pair.left.messages == pair.right.messages == sent


@pytest.mark.parametrize("capacity", [500, 5000, 64 * 1024])
def test_a_large_message_through_a_small_socket(pair: Pair, capacity: int) -> None:
    pair.up(capacity)
    payload = bytes(range(256)) * 1000
    pair.left.connection.send(CONTROL, payload)
    pair.left.connection.send(CONTROL, b"behind it")
    settle(pair.loop)
    assert pair.right.messages == [payload, b"behind it"]
    assert pair.left.connection.write_queue.size == 0
    assert pair.left.connection.bytes_out == pair.right.connection.bytes_in


def test_the_send_buffer_for_bulk_is_the_configured_one(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(MemorySocket, "setsockopt", lambda *option: asked.append(option[-1]))
    pair.up()
    pair.left.connection.send(CONTROL, b"small")
    assert asked == []
    pair.left.connection.send(CONTROL, bytes(200_000))
    assert asked == [pair.left.config.send_buffer_size]
    settle(pair.loop)
    assert pair.right.messages == [b"small", bytes(200_000)]


# --- 8: write interest ----------------------------------------------------------------------------


def interest(connection: Connection) -> int:
    assert connection.sock is not None
    return connection.loop._descriptors.selector.get_key(connection.sock).events


def test_8_the_descriptor_is_watched_for_writing_only_while_something_waits(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.up(capacity=1000)
    left = pair.left.connection
    changes: list[int] = []
    real = MemorySelector.modify

    def noted(
        self: MemorySelector, sock: object, events: int, data: object = None
    ) -> selectors.SelectorKey:
        changes.append(events)
        return real(self, sock, events, data)

    monkeypatch.setattr(MemorySelector, "modify", noted)
    left.send(CONTROL, b"fits")
    assert interest(left) == READ and changes == []  # it was tried at once, and it went
    settle(pair.loop)
    for _ in range(5):
        left.send(CONTROL, b"x" * 2000)
        assert interest(left) == READ | WRITE
    settle(pair.loop)
    assert interest(left) == READ
    assert changes == [READ | WRITE, READ]
    assert len(pair.right.messages) == 6


def test_8_messages_of_a_round_leave_together(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.up()
    calls: list[int] = []
    real = MemorySocket.sendmsg

    def counted(
        self: MemorySocket, buffers: list[bytes | memoryview], *_options: object
    ) -> int:
        calls.append(len(buffers))
        return real(self, buffers)

    monkeypatch.setattr(MemorySocket, "sendmsg", counted)

    def handler() -> None:
        for number in range(100):
            pair.left.connection.send(CONTROL, number)
        assert calls == [] and not pair.ends[1].readable  # nothing is written in a handler

    pair.loop.call_soon(handler)
    settle(pair.loop)
    assert pair.right.messages == list(range(100))
    assert calls == [100]


def test_8_at_top_level_a_message_is_tried_at_once(pair: Pair) -> None:
    pair.up()
    pair.left.connection.send(CONTROL, b"now")
    assert pair.left.connection.write_queue.size == 0
    assert pair.ends[1].readable


# --- the peer's end -------------------------------------------------------------------------------


def test_what_the_peer_said_before_it_closed_is_read(pair: Pair) -> None:
    pair.up()
    for number in range(50):
        pair.right.connection.send(CONTROL, number)
    pair.ends[1].close()
    pair.loop.unregister(pair.ends[1])
    pair.right.connection.interest = 0
    pair.left.connection.send(CONTROL, b"too late")  # EPIPE: still nothing is lost of the above
    settle(pair.loop)
    assert pair.left.messages == list(range(50))
    assert pair.left.told == ["up", "down"]
    assert type(pair.left.error) is NoConnectionError


def test_an_end_in_the_middle_of_a_frame(pair: Pair) -> None:
    pair.up()
    pair.ends[1].send(b"\0\0\1\0 half of")
    pair.right.connection.fail(NoConnectionError("broken"))
    settle(pair.loop)
    assert pair.left.told == ["up", "down"] and pair.left.messages == []


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\0\0\0\1\0", b"\0\0\0\4\x83\x44\xff\xff", b"\0\0\0\3pxx"],
)
def test_bytes_that_the_protocol_forbids(pair: Pair, data: bytes) -> None:
    pair.up()
    pair.ends[1].send(data)
    settle(pair.loop)
    assert pair.left.told == ["up", "down"]
    assert isinstance(pair.left.error, RemoteProtocolError)
    assert pair.right.told == ["up", "down"]


def test_messages_before_the_forbidden_bytes_are_handed_on(pair: Pair) -> None:
    pair.up()
    pair.loop.call_soon(lambda: pair.right.connection.send(CONTROL, 1))
    pair.loop.call_soon(lambda: pair.right.connection.write_queue.append(b"\0\0\0\1\0"))
    settle(pair.loop)
    assert pair.left.messages == [1]
    assert isinstance(pair.left.error, RemoteProtocolError)


def test_a_term_without_an_encoding_leaves_the_stream_whole(pair: Pair) -> None:
    pair.up()
    with pytest.raises(EncodeError):
        pair.left.connection.send(CONTROL, [Atom("new_atom"), object()])
    pair.left.connection.send(CONTROL, [Atom("new_atom"), 1])
    settle(pair.loop)
    assert pair.right.messages == [[Atom("new_atom"), 1]]


def test_a_paused_connection_reads_nothing_and_goes_on(pair: Pair) -> None:
    pair.up(capacity=1000)
    left, right = pair.left.connection, pair.right.connection
    right.pause()
    for number in range(100):
        left.send(CONTROL, (number, b"x" * 100))
    settle(pair.loop)
    assert pair.right.messages == [] and left.write_queue.size > 5000
    assert not pair.loop.run_until(lambda: False, timeout=30)  # no spin: each wait is a whole one
    right.resume()
    settle(pair.loop)
    assert [cast(tuple[int, bytes], message)[0] for message in pair.right.messages] == [
        *range(100)
    ]


# --- closing --------------------------------------------------------------------------------------


def test_close_writes_what_is_queued_first(pair: Pair) -> None:
    pair.up(capacity=500)
    for number in range(20):
        pair.left.connection.send(CONTROL, (number, b"x" * 200))
    pair.left.connection.close()
    assert pair.left.connection.phase is Phase.CLOSING
    with pytest.raises(NoConnectionError, match="is closing"):
        pair.left.connection.send(CONTROL, 1)
    settle(pair.loop)
    assert len(pair.right.messages) == 20
    assert pair.left.told == pair.right.told == ["up", "down"]


def test_close_does_not_wait_for_ever(pair: Pair) -> None:
    pair.up(capacity=500)
    pair.right.connection.pause()
    pair.left.connection.send(CONTROL, b"x" * 5000)
    pair.left.connection.close()
    started = pair.clock()
    assert pair.loop.run_until(lambda: "down" in pair.left.told, timeout=60)
    assert pair.clock() - started == pytest.approx(LINGER)
    pair.right.connection.resume()


# --- the handshake's end --------------------------------------------------------------------------


def test_a_wrong_cookie(pair: Pair) -> None:
    pair.right.cookie = "other"
    pair.start()
    settle(pair.loop)
    for side in (pair.left, pair.right):
        assert side.told == ["down"] and isinstance(side.error, CookieMismatchError)


@pytest.mark.parametrize("status", [Status.NOK, Status.NOT_ALLOWED])
def test_a_refusing_status_reaches_the_peer(pair: Pair, status: Status) -> None:
    pair.right.status = status
    pair.start()
    settle(pair.loop)
    assert pair.left.told == pair.right.told == ["down"]
    assert isinstance(pair.left.error, HandshakeError)
    assert type(pair.left.error) is not HandshakeError
    assert type(pair.right.error) is type(pair.left.error)


@pytest.mark.parametrize("initiator", [True, False])
def test_a_peer_that_says_nothing(pair: Pair, initiator: bool) -> None:
    ends = memory_pair()
    side = pair.left
    side.start(ends[0], "right@test" if initiator else None)
    assert pair.loop.run_until(lambda: bool(side.told), timeout=60)
    assert pair.clock() == side.config.handshake_timeout
    assert side.told == ["down"] and isinstance(side.error, HandshakeTimeoutError)
    assert ("right@test" if initiator else "a peer") in str(side.error)


def test_a_peer_that_falls_silent_at_each_step(pair: Pair) -> None:
    # The wire carries only so many bytes, one more in each attempt, until both are up.
    kinds: list[str] = []
    for allowance in range(1, 500):
        pair.left.told.clear()
        pair.right.told.clear()
        pair.start(chunk=1)
        carried = 0
        while carried < allowance and pair.loop.run_once():
            carried = pair.left.connection.bytes_in + pair.right.connection.bytes_in
        for end in pair.ends:
            end.muted = True
        if pair.left.told == pair.right.told == ["up"]:
            break
        started = pair.clock()
        # Both have given up when the time for it is over; whoever was up already still is.
        pair.loop.run_until(lambda: False, timeout=pair.left.config.handshake_timeout)
        for side in (pair.left, pair.right):
            assert side.told in (["down"], ["up"]), (allowance, side.told)
            if side.told == ["down"]:
                assert isinstance(side.error, HandshakeError)
                kinds.append(type(side.error).__name__)
        assert pair.clock() - started <= pair.left.config.handshake_timeout
        pair.close()
        settle(pair.loop)
    else:
        raise AssertionError("they never came up")
    assert set(kinds) == {"HandshakeTimeoutError", "CookieMismatchError"}


def test_a_peer_that_closes_in_the_handshake(pair: Pair) -> None:
    ends = memory_pair()
    pair.left.start(ends[0], "right@test")
    ends[1].close()
    settle(pair.loop)
    assert pair.left.told == ["down"]
    assert isinstance(pair.left.error, HandshakeError)
    assert "broke off: the peer closed it" in str(pair.left.error)


@pytest.mark.parametrize("data", [b"\0\0", b"\xff\xff", b"\0\5hello", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_peer_that_speaks_something_else(pair: Pair, data: bytes) -> None:
    ends = memory_pair()
    pair.left.start(ends[0], None)
    ends[1].send(data)
    assert pair.loop.run_until(lambda: bool(pair.left.told), timeout=60)
    assert pair.left.told == ["down"]
    assert isinstance(pair.left.error, (RemoteProtocolError, HandshakeTimeoutError))


def test_messages_that_come_with_the_last_of_the_handshake(pair: Pair) -> None:
    # The acceptor may speak as soon as it is up; its bytes lie behind the handshake's last ones.
    pair.start()
    real = pair.right.connection_up

    def talk(connection: Connection) -> None:
        real(connection)
        for number in range(5):
            connection.send(CONTROL, number)

    pair.right.connection_up = talk  # type: ignore[method-assign]
    settle(pair.loop)
    assert pair.left.messages == list(range(5))
    assert pair.left.told == ["up"]


# --- time -----------------------------------------------------------------------------------------


def test_a_connection_at_rest_ticks_every_quarter_and_stays(pair: Pair) -> None:
    pair.up()
    before = pair.left.connection.bytes_out
    pair.loop.run_until(lambda: False, timeout=600)
    assert pair.left.told == pair.right.told == ["up"]
    ticks = (pair.left.connection.bytes_out - before) / 4
    assert 40 <= ticks <= 85  # one a quarter, and answers to the peer's


def test_a_connection_that_talks_does_not_tick(pair: Pair) -> None:
    pair.up()
    left = pair.left.connection

    def talk() -> None:
        left.send(CONTROL, b"x")
        pair.loop.call_later(0.5, talk)

    talk()
    pair.loop.run_until(lambda: False, timeout=100)
    messages, size = left.messages_out, 0
    size = pair.right.connection.bytes_in // messages
    assert left.bytes_out < messages * (size + 1) + 200
    assert pair.right.connection.bytes_out < 1000  # answers, one a second at most


def test_what_comes_is_answered_within_a_second(pair: Pair) -> None:
    # A peer with a shorter tick time must not take this node for dead.
    pair.left.config = Config(tick_time=4 * ANSWER_AFTER)
    pair.up()
    pair.loop.run_until(lambda: False, timeout=100)
    assert pair.left.told == pair.right.told == ["up"]
    assert pair.right.connection.bytes_out > 90 * 4


def test_a_silent_peer_is_probed_and_then_given_up(pair: Pair) -> None:
    pair.up()
    pair.ends[0].muted = True
    assert pair.loop.run_until(lambda: "down" in pair.left.told, timeout=600)
    assert pair.left.told == ["up", "silent at 45", "down"]
    assert pair.clock() == 60
    assert "has sent nothing for 60 s" in str(pair.left.error)


def test_a_single_byte_after_the_probe_keeps_the_connection(pair: Pair) -> None:
    pair.up()
    pair.ends[0].muted = True

    def answer(connection: Connection) -> None:
        pair.ends[0].muted = False
        pair.right.connection.send(CONTROL, b"alive")
        pair.loop.call_later(1, lambda: setattr(pair.ends[0], "muted", True))

    pair.left.connection_silent = answer  # type: ignore[method-assign]
    pair.loop.run_until(lambda: False, timeout=600)
    assert pair.left.told == ["up"]


def test_a_paused_connection_is_not_judged(pair: Pair) -> None:
    pair.up()
    pair.left.connection.pause()
    pair.loop.run_until(lambda: False, timeout=600)
    assert pair.left.told == pair.right.told == ["up"]
    pair.left.connection.resume()
    settle(pair.loop)
    assert pair.left.told == ["up"]


def test_ticks_do_not_break_into_a_message(pair: Pair) -> None:
    pair.up(capacity=100)
    payload = b"y" * 3000
    pair.right.connection.pause()
    pair.left.connection.send(CONTROL, payload)
    pair.loop.run_until(lambda: False, timeout=40)
    pair.right.connection.resume()
    settle(pair.loop)
    assert pair.right.messages == [payload]
    assert pair.right.told == ["up"]


def test_no_payload_is_told_from_a_payload(pair: Pair) -> None:
    pair.up()
    pair.left.connection.send((1, Atom("a"), Atom("b")))
    pair.left.connection.send(CONTROL, Atom("undefined"))
    settle(pair.loop)
    assert pair.right.messages[0] is NO_PAYLOAD
    assert pair.right.messages[1] == Atom("undefined")


def test_the_peer_is_known_by_its_own_name(pair: Pair) -> None:
    seen: list[Peer] = []
    pair.start()
    handshake = pair.right.connection.session.handshake

    def choose(peer: Peer) -> Status:
        seen.append(peer)
        return Status.OK

    handshake._choose_status = choose
    settle(pair.loop)
    assert [(peer.name, peer.creation) for peer in seen] == [("left@test", 7)]
