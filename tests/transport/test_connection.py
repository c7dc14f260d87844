"""One connection by itself: its phases, its bytes both ways, its clock. In fake time and memory."""

from __future__ import annotations

import selectors
from typing import cast

import pytest

from tests.inside import settle
from tests.transport.sides import CONTROL, Pair
from tests.transport.sides import pair as pair  # a fixture
from uds_dist import (
    Atom,
    EncodeError,
    NoConnectionError,
    RemoteProtocolError,
)
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.testing import MemorySelector, MemorySocket
from uds_dist.transport.connection import Connection
from uds_dist.transport.loop import READ, WRITE
from uds_dist.transport.parting import LINGER
from uds_dist.transport.phase import Phase

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
    assert pair.left.told == ["up"]  # the loop gives the notice
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
    assert interest(left) == READ and changes == []  # it was written at once
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
    pair.left.connection.send(CONTROL, b"too late")  # EPIPE: nothing of the above is lost
    settle(pair.loop)
    assert pair.left.messages == list(range(50))
    assert pair.left.told == ["up", "down"]
    assert type(pair.left.error) is NoConnectionError


@pytest.mark.parametrize("size", [256, 1024 * 1024])
def test_an_end_in_the_middle_of_a_frame(pair: Pair, size: int) -> None:
    pair.up()
    pair.ends[1].send(size.to_bytes(4, "big") + b" half of")
    settle(pair.loop)
    reader = pair.left.connection.session.reader
    assert reader.unread and (reader.large_buffer is not None) is (size > 256)
    pair.right.connection.fail(NoConnectionError("broken"))
    settle(pair.loop)
    assert pair.left.told == ["up", "down"] and pair.left.messages == []
    assert not reader.unread and reader.large_buffer is None  # its memory is free


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
    assert handshake is not None

    def choose(peer: Peer) -> Status:
        seen.append(peer)
        return Status.OK

    handshake._choose_status = choose
    settle(pair.loop)
    assert [(peer.name, peer.creation) for peer in seen] == [("left@test", 7)]
