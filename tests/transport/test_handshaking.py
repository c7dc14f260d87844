"""The handshake of one connection on its socket: its failures and its time."""

from __future__ import annotations

import pytest

from tests.inside import settle
from tests.transport.sides import CONTROL, Pair
from tests.transport.sides import pair as pair  # a fixture
from uds_dist import (
    CookieMismatchError,
    HandshakeError,
    HandshakeTimeoutError,
    RemoteProtocolError,
)
from uds_dist.protocol.handshake_messages import Status
from uds_dist.testing import memory_pair
from uds_dist.transport.connection import Connection


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
    # The wire carries a limited number of bytes, one more in each attempt, until both are up.
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
        # Both have given up when the time is over; a side that was up still is.
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
    # The acceptor may speak as soon as it is up; its bytes follow the handshake's last ones.
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
