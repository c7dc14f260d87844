"""Challenges that are passed on, and those that are not outstanding any more."""

from __future__ import annotations

import pytest

from uds_dist import CookieMismatchError, NotAllowedError
from uds_dist.protocol.challenges import (
    Outstanding,
    check_challenge,
    gen_digest,
    put_challenge,
)
from uds_dist.protocol.flags import MANDATORY
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import challenge_message, challenge_reply_message
from uds_dist.protocol.handshake_table import Role

A, B, EVIL = "a@localhost", "b@localhost", "evil@localhost"


def handshake(role: Role, this: str, outstanding: Outstanding) -> Handshake:
    return Handshake(
        role, this, 5, MANDATORY, cookie_for=lambda _name: "secret", outstanding=outstanding
    )


def test_two_challenges_are_never_the_same() -> None:
    outstanding: Outstanding = {}
    numbers = iter([1, 1, 1, 2])
    assert put_challenge(outstanding, A, B, lambda: next(numbers)) == 1
    assert put_challenge(outstanding, A, EVIL, lambda: next(numbers)) == 2
    assert outstanding == {1: (A, B), 2: (A, EVIL)}


@pytest.mark.parametrize(
    ("this", "other", "refused"),
    [
        (B, A, False),  # between the two that it is for
        (A, B, True),  # it comes back
        (A, EVIL, True),
        (B, EVIL, True),
        (EVIL, A, True),  # put by the right node, but to another
    ],
)
def test_who_may_put_a_challenge_that_is_outstanding(this: str, other: str, refused: bool) -> None:
    outstanding = {7: (A, B)}
    check_challenge(outstanding, 8, this, other)
    if refused:
        with pytest.raises(NotAllowedError, match=f"passed on the challenge of {A}"):
            check_challenge(outstanding, 7, this, other)
    else:
        check_challenge(outstanding, 7, this, other)


def test_an_initiator_answers_no_challenge_of_another_handshake() -> None:
    outstanding: Outstanding = {}
    victim = handshake(Role.ACCEPTOR, A, outstanding)
    victim.receive(handshake(Role.INITIATOR, EVIL, {}).begin()[0])
    (challenge,) = outstanding
    for dialling in (A, B):
        dialled = handshake(Role.INITIATOR, dialling, outstanding)
        dialled.begin()
        dialled.receive(b"sok")
        with pytest.raises(NotAllowedError, match="passed on"):
            dialled.receive(challenge_message(MANDATORY, challenge, 7, EVIL))
    assert list(outstanding) == [challenge]


def test_an_acceptor_takes_no_challenge_of_another_handshake() -> None:
    outstanding: Outstanding = {99: (B, A)}
    accepting = handshake(Role.ACCEPTOR, A, outstanding)
    accepting.receive(handshake(Role.INITIATOR, EVIL, {}).begin()[0])
    (own,) = outstanding.keys() - {99}
    for challenge in (99, own):
        again = handshake(Role.ACCEPTOR, A, outstanding)
        again.receive(handshake(Role.INITIATOR, EVIL, {}).begin()[0])
        (put,) = outstanding.keys() - {99, own}
        with pytest.raises(NotAllowedError, match="passed on"):
            again.receive(challenge_reply_message(challenge, gen_digest(put, "secret")))
    assert set(outstanding) == {99, own}


def test_two_nodes_that_share_them_connect_and_leave_none() -> None:
    outstanding: Outstanding = {}
    a, b = (handshake(role, name, outstanding) for role, name in zip(Role, (A, B), strict=True))
    said = [(b, message) for message in a.begin()]
    while said:
        hearer, message = said.pop(0)
        other = a if hearer is b else b
        said += [(other, answer) for answer in hearer.receive(message)]
    assert a.is_up and b.is_up and not outstanding


def test_an_end_takes_the_challenge_back() -> None:
    outstanding: Outstanding = {}
    accepting = handshake(Role.ACCEPTOR, A, outstanding)
    accepting.receive(handshake(Role.INITIATOR, B, {}).begin()[0])
    assert len(outstanding) == 1
    accepting.end()
    accepting.end()
    assert not outstanding
    wrong = handshake(Role.ACCEPTOR, A, outstanding)
    wrong.receive(handshake(Role.INITIATOR, B, {}).begin()[0])
    with pytest.raises(CookieMismatchError):
        wrong.receive(challenge_reply_message(1, bytes(16)))
    assert not outstanding
