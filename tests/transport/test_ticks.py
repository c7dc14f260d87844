"""Own ticks and a silent peer, in fake time."""

from __future__ import annotations

from tests.inside import settle
from tests.transport.sides import CONTROL, Pair
from tests.transport.sides import pair as pair  # a fixture
from uds_dist import (
    Config,
)
from uds_dist.transport.connection import Connection
from uds_dist.transport.ticks import ANSWER_AFTER


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
