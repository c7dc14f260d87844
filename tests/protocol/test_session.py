"""One connection's protocol without socket and clock, as a caller sees it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from uds_dist.config import Config
from uds_dist.errors import (
    CookieMismatchError,
    EncodeError,
    LocalProtocolError,
    NotAllowedError,
    RemoteProtocolError,
)
from uds_dist.etf.terms import Atom, Pid
from uds_dist.protocol.control import NO_PAYLOAD, SEND_SENDER
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.framing import TICK
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import Role
from uds_dist.protocol.session import UP, Answer, Event, Refused, Session, Up

CONFIG = Config(fragment_size=1000)
P = Pid("a@localhost", 1, 0, 1)
Q = Pid("b@localhost", 1, 0, 2)
CONTROL = (SEND_SENDER, P, Q)


def session(
    role: Role,
    cookie: str = "secret",
    choose: Callable[[Peer], Status] = lambda _peer: Status.OK,
    config: Config = CONFIG,
) -> Session:
    """One side."""
    name = "a@localhost" if role is Role.INITIATOR else "b@localhost"
    handshake = Handshake(
        role, name, 1, default_flags(config), cookie_for=lambda _name: cookie, choose_status=choose
    )
    return Session(handshake, config)


def pair() -> tuple[Session, Session]:
    """Two sides that are up."""
    a, b = session(Role.INITIATOR), session(Role.ACCEPTOR)
    talk(a, b, a.begin())
    assert a.is_up and b.is_up
    return a, b


def events(of: Session) -> list[Event]:
    """All events that there are now."""
    found = []
    while (event := of.next_event()) is not None:
        found.append(event)
    return found


def talk(a: Session, b: Session, data: bytes) -> tuple[list[Event], list[Event]]:
    """Carry the bytes of a handshake to and fro until neither side sends any more."""
    heard: tuple[list[Event], list[Event]] = ([], [])
    hearer = 1
    while data:
        (a, b)[hearer].receive_data(data)
        new = events((a, b)[hearer])
        heard[hearer].extend(new)
        data = b"".join(event.data for event in new if isinstance(event, Answer))
        hearer = 1 - hearer
    return heard


def test_a_handshake() -> None:
    a, b = session(Role.INITIATOR), session(Role.ACCEPTOR)
    assert b.begin() == b""
    at_a, at_b = talk(a, b, a.begin())
    assert [type(event) for event in at_a] == [Answer, Up]
    assert [type(event) for event in at_b] == [Answer, Answer, Up]
    assert a.prefix_size == b.prefix_size == 4
    assert a.handshake is not None and a.handshake.peer is not None
    assert a.handshake.peer.name == "b@localhost"
    assert a.next_event() is None


def test_messages_in_both_directions() -> None:
    a, b = pair()
    for sender, receiver in ((a, b), (b, a)):
        for payload in (NO_PAYLOAD, Atom("hello"), bytes(5000)):
            for buffer in sender.send(CONTROL, payload):
                receiver.receive_data(bytes(buffer))
            assert events(receiver) == [(CONTROL, payload)]
    b.receive_data(TICK)
    assert b.next_event() is None


def test_bytes_cut_anywhere() -> None:
    rng = random.Random(7)
    for _ in range(50):
        a, b = session(Role.INITIATOR), session(Role.ACCEPTOR)
        wires = [a.begin(), b""]  # what is on its way to b, and to a
        up = [False, False]
        while not all(up):
            for number, hearer in enumerate((b, a)):
                count = rng.randrange(1, 30)
                data, wires[number] = wires[number][:count], wires[number][count:]
                hearer.receive_data(data)
                for event in events(hearer):
                    if isinstance(event, Answer):
                        wires[1 - number] += event.data
                    up[number] = up[number] or isinstance(event, Up)


def test_a_first_message_that_comes_with_the_last_answer() -> None:
    a, b = session(Role.INITIATOR), session(Role.ACCEPTOR)
    b.receive_data(a.begin())
    (status,) = events(b)
    assert isinstance(status, Answer)
    a.receive_data(status.data)
    (reply,) = events(a)
    assert isinstance(reply, Answer)
    b.receive_data(reply.data)
    ack, up = events(b)
    assert isinstance(ack, Answer) and isinstance(up, Up)
    message = b"".join(bytes(buffer) for buffer in b.send(CONTROL, b"first"))
    a.receive_data(ack.data + message + message[:7])
    assert events(a) == [UP, (CONTROL, b"first")]
    a.receive_data(message[7:])
    assert events(a) == [(CONTROL, b"first")]


def test_a_refusal_is_written_before_it_is_told() -> None:
    a = session(Role.INITIATOR)
    b = session(Role.ACCEPTOR, choose=lambda _peer: Status.NOT_ALLOWED)
    b.receive_data(a.begin())
    answer, refused = events(b)
    assert isinstance(answer, Answer) and answer.data == b"\0\x0csnot_allowed"
    assert isinstance(refused, Refused) and isinstance(refused.error, NotAllowedError)
    b.receive_data(b"\0\x05hello")
    assert b.next_event() is None
    assert isinstance(answer, Answer)
    a.receive_data(answer.data)
    with pytest.raises(NotAllowedError):
        a.next_event()


def test_a_wrong_cookie() -> None:
    a, b = session(Role.INITIATOR), session(Role.ACCEPTOR, cookie="other")
    with pytest.raises(CookieMismatchError):
        talk(a, b, a.begin())
    assert not a.is_up and not b.is_up


def test_nothing_is_sent_before_the_handshake_is_done() -> None:
    with pytest.raises(LocalProtocolError, match="handshake is not done"):
        session(Role.INITIATOR).send(CONTROL)


def test_a_message_comes_before_the_error_of_the_next() -> None:
    a, b = pair()
    good = b"".join(bytes(buffer) for buffer in a.send(CONTROL, 1))
    b.receive_data(good + b"\0\0\0\x03bad" + good)
    assert b.next_event() == (CONTROL, 1)
    with pytest.raises(RemoteProtocolError):
        b.next_event()


def test_what_is_not_asked_for_waits_as_bytes() -> None:
    a, b = pair()
    for number in range(10):
        for buffer in a.send(CONTROL, number):
            b.receive_data(bytes(buffer))
    assert b.next_event() == (CONTROL, 0)
    assert len(b.backlog) == 9
    assert [event for event in events(b)] == [(CONTROL, number) for number in range(1, 10)]


def test_a_term_that_cannot_be_sent_leaves_the_session_as_it_was() -> None:
    a, b = pair()
    with pytest.raises(EncodeError):
        a.send(CONTROL, [Atom("new"), object()])
    for buffer in a.send(CONTROL, Atom("new")):
        b.receive_data(bytes(buffer))
    assert events(b) == [(CONTROL, Atom("new"))]


def test_its_repr() -> None:
    a, b = session(Role.INITIATOR), session(Role.ACCEPTOR)
    assert repr(a) == "<Session send_name prefix=2 unread=0 backlog=0>"
    talk(a, b, a.begin())
    assert repr(b) == "<Session up prefix=4 unread=0 backlog=0>"
