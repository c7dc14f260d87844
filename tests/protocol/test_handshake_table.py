"""The tables of the handshake: which message may come in which state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.protocol.handshakes import (
    ACK,
    CHALLENGE,
    NAME,
    OK,
    REPLY,
    acceptor,
    due,
    initiator,
)
from uds_dist.errors import (
    LocalProtocolError,
    RemoteProtocolError,
)
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import ACCEPTOR, INITIATOR, Event, State

MESSAGES = {
    "name or challenge": CHALLENGE,
    "reply": REPLY,
    "ack": ACK,
    "ok": OK,
    "ok_simultaneous": b"sok_simultaneous",
    "nok": b"snok",
    "not_allowed": b"snot_allowed",
    "alive": b"salive",
    "true": b"strue",
    "false": b"sfalse",
    "named": b"snamed:\x00\x03x@y\x00\x00\x00\x01",
    "unknown status": b"sokay",
    "unknown tag": b"x",
    "empty": b"",
}

# How to come to a state, and what may come there.
STATES: dict[State, tuple[Callable[[], Handshake], list[bytes], set[str]]] = {
    State.RECV_NAME: (acceptor, [], {"name or challenge"}),
    State.RECV_CHALLENGE_REPLY: (acceptor, [NAME], {"reply"}),
    State.RECV_STATUS: (
        lambda: acceptor(choose_status=lambda peer: Status.ALIVE),
        [NAME],
        {"true", "false"},
    ),
    State.RECV_CHALLENGE: (initiator, [OK], {"name or challenge"}),
    State.RECV_CHALLENGE_ACK: (initiator, [OK, CHALLENGE], {"ack"}),
    State.UP: (initiator, [OK, CHALLENGE, ACK], set()),
}


@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state in STATES for kind in MESSAGES if kind not in STATES[state][2]],
)
def test_a_message_out_of_turn_names_state_and_tag(state: State, kind: str) -> None:
    make, before, _ = STATES[state]
    handshake = make()
    handshake.begin()
    for message in before:
        handshake.receive(message)
    assert handshake.state is state
    message = MESSAGES[kind]
    with pytest.raises(RemoteProtocolError, match=state.value) as caught:
        handshake.receive(message)
    shown = {"empty": "empty", "unknown tag": "'x'", "named": "'named:'"}
    if message.startswith(b"s"):
        shown.setdefault(kind, repr(message[1:].decode()))
    assert shown.get(kind, f"'{message[:1].decode()}") in str(caught.value)
    assert due(handshake) is State.FAILED


@pytest.mark.parametrize("kind", ["true", "false"])
def test_an_initiator_is_not_answered_with_an_answer(kind: str) -> None:
    a = initiator()
    a.begin()
    with pytest.raises(RemoteProtocolError, match=f"status '{kind}'.*recv_status"):
        a.receive(MESSAGES[kind])


def test_nothing_may_come_before_begin() -> None:
    with pytest.raises(RemoteProtocolError, match="send_name"):
        initiator().receive(OK)


def test_nothing_may_come_after_a_refusal() -> None:
    b = acceptor(choose_status=lambda peer: Status.NOK)
    b.receive(NAME)
    with pytest.raises(RemoteProtocolError, match="after the handshake: refused"):
        b.receive(REPLY)


def test_begin_is_called_once() -> None:
    a = initiator()
    a.begin()
    with pytest.raises(LocalProtocolError, match="twice"):
        a.begin()


@pytest.mark.parametrize("table", [INITIATOR, ACCEPTOR])
def test_every_row_has_its_step_and_leads_on(
    table: dict[tuple[State, Status | Event], tuple[str, State]],
) -> None:
    ends = {State.UP, State.REFUSED, State.FAILED}
    left = {state for state, _ in table}
    for (state, _), (step, following) in table.items():
        assert callable(getattr(Handshake, step))
        assert step.startswith(state.value.split("_")[0])
        assert following in left | ends
    reached = {following for _, following in table.values()}
    assert left - reached <= {State.SEND_NAME, State.RECV_NAME}
    assert State.UP in reached
