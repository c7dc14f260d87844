"""What an idle connection keeps in memory: a node may have thousands of them."""

from __future__ import annotations

import gc
from functools import partial
from types import FunctionType, ModuleType

from tests.transport.sides import Pair
from tests.transport.sides import pair as pair  # a fixture
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer
from uds_dist.transport.connection import Connection

# What all connections of a node share.
SHARED = ("config", "loop", "owner", "pressure")


def kept(connection: Connection) -> list[object]:
    """The objects that only this connection keeps alive, the timer's callback included."""
    shared = {id(getattr(connection, field)) for field in SHARED}
    assert connection.timer is not None and connection.sock is not None
    shared |= {id(connection.sock), id(connection.timer._timers)}
    found: dict[int, object] = {}
    new: list[object] = [connection]
    while new:
        one = new.pop()
        if id(one) in found or id(one) in shared or isinstance(one, (type, ModuleType)):
            continue
        found[id(one)] = one
        if gc.is_tracked(one) and not isinstance(one, FunctionType):
            new += gc.get_referents(one)
    return list(found.values())


def is_left_over(one: object) -> bool:
    """Whether an object belongs to the handshake, or is a closure or a partial call."""
    closure = isinstance(one, FunctionType) and one.__closure__ is not None
    return closure or isinstance(one, (Handshake, Peer, partial))


def test_an_idle_connection_keeps_nothing_of_its_handshake(pair: Pair) -> None:
    pair.up()
    for side in (pair.left, pair.right):
        assert side.connection.session.handshake is None
        left = [one for one in kept(side.connection) if is_left_over(one)]
        assert not left


def test_a_connection_that_has_failed_keeps_no_handshake(pair: Pair) -> None:
    pair.start()
    assert pair.left.connection.session.handshake is not None
    pair.close()
    assert pair.left.connection.session.handshake is None
    assert "ended" in repr(pair.left.connection.session)
