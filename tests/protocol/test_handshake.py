"""The handshake, step by step and between two of our own, in every way it can go."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest

from tests.protocol.handshakes import (
    A_CREATION,
    ACK,
    B_CHALLENGE,
    B_CREATION,
    CHALLENGE,
    FLAGS,
    NAME,
    OK,
    REPLY,
    A,
    B,
    acceptor,
    due,
    initiator,
    talk,
)
from uds_dist.config import Config
from uds_dist.errors import (
    CookieMismatchError,
    HandshakeError,
    LocalProtocolError,
    NodeNameMismatchError,
    NotAllowedError,
    RemoteProtocolError,
    SimultaneousConnectError,
)
from uds_dist.protocol.challenges import gen_challenge, gen_digest
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.framing import FrameReader, handshake_frame
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import State

# --- the whole conversation -----------------------------------------------------------------------


def test_golden_conversation() -> None:
    a, b = initiator(), acceptor()
    assert talk(a, b) == [("A", NAME), ("B", OK), ("B", CHALLENGE), ("A", REPLY), ("B", ACK)]
    assert a.is_up and b.is_up
    assert a.peer == Peer(B, FLAGS, B_CREATION)
    assert b.peer == Peer(A, FLAGS, A_CREATION)
    assert a.effective_flags == b.effective_flags == FLAGS
    assert a.refusal is None and b.refusal is None


def test_states_along_the_way() -> None:
    a, b = initiator(), acceptor()
    assert (due(a), due(b)) == (State.SEND_NAME, State.RECV_NAME)
    assert b.begin() == []
    (name,) = a.begin()
    assert due(a) is State.RECV_STATUS
    status, challenge = b.receive(name)
    assert due(b) is State.RECV_CHALLENGE_REPLY
    assert a.receive(status) == []
    assert due(a) is State.RECV_CHALLENGE
    (reply,) = a.receive(challenge)
    assert due(a) is State.RECV_CHALLENGE_ACK
    assert not a.is_up
    (ack,) = b.receive(reply)
    assert due(b) is State.UP
    assert a.receive(ack) == []
    assert due(a) is State.UP


def test_effective_flags_are_the_intersection() -> None:
    a = initiator(flags=FLAGS & ~Flag.FRAGMENTS | Flag.PUBLISHED)
    b = acceptor(flags=FLAGS & ~Flag.DIST_HDR_ATOM_CACHE)
    talk(a, b)
    assert a.effective_flags == b.effective_flags
    assert a.effective_flags == FLAGS & ~Flag.FRAGMENTS & ~Flag.DIST_HDR_ATOM_CACHE


def test_effective_flags_need_a_peer() -> None:
    with pytest.raises(LocalProtocolError):
        initiator().effective_flags  # noqa: B018


@pytest.mark.parametrize("seed", range(10))
def test_cut_anywhere_on_the_way(seed: int) -> None:
    """Both byte streams in random pieces (a few times: one byte each) through FrameReaders."""
    rng = random.Random(seed)
    sides = {"A": initiator(), "B": acceptor()}
    readers = {"A": FrameReader(Config()), "B": FrameReader(Config())}
    streams = {"A": bytearray(), "B": bytearray()}  # what each side has yet to receive
    for message in sides["A"].begin():
        streams["B"] += handshake_frame(message)
    while streams["A"] or streams["B"]:
        side, other = rng.choice([("A", "B"), ("B", "A")])
        count = 1 if seed < 3 else rng.randrange(1, 50)
        readers[side].feed(bytes(streams[side][:count]))
        del streams[side][:count]
        while (frame := readers[side].next_frame()) is not None:
            for message in sides[side].receive(frame):
                streams[other] += handshake_frame(message)
    assert sides["A"].is_up and sides["B"].is_up


def test_cookies_may_differ_by_peer() -> None:
    a = initiator(cookie=lambda name: f"for {name} and {A}")
    b = acceptor(cookie=lambda name: f"for {B} and {name}")
    talk(a, b)
    assert a.is_up and b.is_up


def test_unknown_trailing_data_is_ignored() -> None:
    a, b = initiator(), acceptor()
    a.begin()
    assert b.receive(NAME + b"news of OTP 40") == [OK, CHALLENGE]
    a.receive(OK)
    assert a.receive(CHALLENGE + b"\0news") == [REPLY]


def test_any_peer_is_taken_where_none_is_expected() -> None:
    a, b = initiator(expected=None), acceptor(name="other@localhost")
    talk(a, b)
    assert a.is_up and a.peer is not None and a.peer.name == "other@localhost"


def test_names_are_utf8() -> None:
    a, b = initiator(name="python@lÿcalhost"), acceptor()
    talk(a, b)
    assert b.peer is not None and b.peer.name == "python@lÿcalhost"


# --- the statuses ---------------------------------------------------------------------------------


def test_ok_simultaneous_goes_on() -> None:
    a, b = initiator(), acceptor(choose_status=lambda peer: Status.OK_SIMULTANEOUS)
    assert ("B", b"sok_simultaneous") in talk(a, b)
    assert a.is_up and b.is_up


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (Status.NOK, b"snok", SimultaneousConnectError),
        (Status.NOT_ALLOWED, b"snot_allowed", NotAllowedError),
    ],
)
def test_refusing_statuses(status: Status, message: bytes, error: type[HandshakeError]) -> None:
    a, b = initiator(), acceptor(choose_status=lambda peer: status)
    (name,) = a.begin()
    assert b.receive(name) == [message]
    assert due(b) is State.REFUSED
    assert type(b.refusal) is error
    with pytest.raises(error, match=B) as caught:
        a.receive(message)
    assert type(caught.value) is error
    assert due(a) is State.FAILED
    assert a.refusal is None


def test_alive_and_true_replaces_the_old_connection() -> None:
    asked = []

    def still_connected(name: str) -> bool:
        asked.append(name)
        return False

    a = initiator(still_connected=still_connected)
    b = acceptor(choose_status=lambda peer: Status.ALIVE)
    assert talk(a, b)[:4] == [("A", NAME), ("B", b"salive"), ("A", b"strue"), ("B", CHALLENGE)]
    assert a.is_up and b.is_up
    assert asked == [B]


def test_alive_and_false_ends_the_attempt() -> None:
    a = initiator(still_connected=lambda name: True)
    b = acceptor(choose_status=lambda peer: Status.ALIVE)
    (name,) = a.begin()
    assert b.receive(name) == [b"salive"]
    assert due(b) is State.RECV_STATUS
    assert a.receive(b"salive") == [b"sfalse"]
    assert due(a) is State.REFUSED
    assert isinstance(a.refusal, SimultaneousConnectError)
    with pytest.raises(SimultaneousConnectError, match="keeps that one"):
        b.receive(b"sfalse")
    assert due(b) is State.FAILED


def test_choose_status_sees_the_peer() -> None:
    seen = []

    def choose(peer: Peer) -> Status:
        seen.append(peer)
        return Status.OK

    talk(initiator(), acceptor(choose_status=choose))
    assert seen == [Peer(A, FLAGS, A_CREATION)]


@pytest.mark.parametrize("status", [Status.NAMED, Status.TRUE, Status.FALSE])
def test_choose_status_may_not_choose_an_answer(status: Status) -> None:
    b = acceptor(choose_status=lambda peer: status)
    with pytest.raises(LocalProtocolError):
        b.receive(NAME)
    assert due(b) is State.FAILED


# --- dynamic names --------------------------------------------------------------------------------


def test_named_both_ways() -> None:
    asked = []

    def assign(host: str) -> tuple[str, int]:
        asked.append(host)
        return "1A2B3C@localhost", 77

    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME, cookie=lambda name: "c")
    cookies = set()

    def cookie(name: str) -> str:
        cookies.add(name)
        return "c"

    b = acceptor(assign_name=assign, cookie=cookie)
    said = talk(a, b)
    assert said[1] == ("B", b"snamed:\x00\x101A2B3C@localhost\x00\x00\x00\x4d")
    assert asked == ["localhost"]
    assert cookies == {"1A2B3C@localhost"}
    assert (a.name, a.creation) == ("1A2B3C@localhost", 77)
    assert b.peer == Peer("1A2B3C@localhost", FLAGS | Flag.NAME_ME, 77)
    assert a.is_up and b.is_up
    assert not a.effective_flags & Flag.NAME_ME


def test_named_with_trailing_data() -> None:
    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME)
    a.begin()
    assert a.receive(b"snamed:\x00\x03x@y\x00\x00\x00\x01more") == []
    assert (a.name, a.creation) == ("x@y", 1)


@pytest.mark.parametrize("assign", [None, lambda host: None])
def test_no_name_is_given(assign: Callable[[str], None] | None) -> None:
    a, b = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME), acceptor(assign_name=assign)
    (name,) = a.begin()
    assert b.receive(name) == [b"snot_allowed"]
    assert isinstance(b.refusal, NotAllowedError)


def test_a_named_node_may_still_be_refused() -> None:
    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME)
    b = acceptor(
        assign_name=lambda host: (f"x@{host}", 1), choose_status=lambda peer: Status.NOT_ALLOWED
    )
    assert b.receive(a.begin()[0]) == [b"snot_allowed"]


def test_a_name_that_is_connected_already_is_a_local_error() -> None:
    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME)
    b = acceptor(
        assign_name=lambda host: (f"x@{host}", 1), choose_status=lambda peer: Status.ALIVE
    )
    with pytest.raises(LocalProtocolError, match="connected already"):
        b.receive(a.begin()[0])


def test_a_peer_that_ignores_name_me() -> None:
    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME)
    a.begin()
    with pytest.raises(NotAllowedError, match="name of its own"):
        a.receive(b"sok")


def test_a_name_that_nobody_asked_for() -> None:
    a = initiator()
    a.begin()
    with pytest.raises(RemoteProtocolError, match="without being asked"):
        a.receive(b"snamed:\x00\x03x@y\x00\x00\x00\x01")


@pytest.mark.parametrize(
    "message",
    [
        b"snamed:",
        b"snamed:\x00",
        b"snamed:\x00\x03x@",
        b"snamed:\x00\x03x@y\x00\x00\x00",
        b"snamed:\x00\x03xyz\x00\x00\x00\x01",
    ],
)
def test_named_cut_off_or_without_a_name(message: bytes) -> None:
    a = initiator(name="localhost", flags=FLAGS | Flag.NAME_ME)
    a.begin()
    with pytest.raises(RemoteProtocolError):
        a.receive(message)
    assert (a.name, a.creation) == ("localhost", A_CREATION)


# --- the peer's name, its flags, and the cookie ---------------------------------------------------


def test_the_acceptor_finds_a_wrong_cookie_first() -> None:
    a, b = initiator(cookie=lambda name: "other"), acceptor()
    with pytest.raises(CookieMismatchError, match="same cookie"):
        talk(a, b)
    assert due(b) is State.FAILED
    assert due(a) is State.RECV_CHALLENGE_ACK


def test_the_initiator_checks_the_cookie_too() -> None:
    a = initiator()
    a.begin()
    a.receive(OK)
    a.receive(CHALLENGE)
    with pytest.raises(CookieMismatchError):
        a.receive(b"a" + bytes(16))
    assert not a.is_up


def test_a_digest_does_not_fit_another_challenge() -> None:
    b = acceptor()
    b.receive(NAME)
    with pytest.raises(CookieMismatchError):
        b.receive(b"r" + bytes.fromhex("fedcba98") + gen_digest(B_CHALLENGE + 1, "secret"))


def test_digest_is_md5_of_cookie_and_decimal_challenge() -> None:
    assert gen_digest(4294967295, "Köln") == hashlib.md5(b"K\xf6ln4294967295").digest()
    with pytest.raises(LocalProtocolError, match="Latin-1"):
        gen_digest(1, "cookie \N{COOKIE}")


def test_challenges_are_32_bits_and_differ() -> None:
    challenges = {gen_challenge() for _ in range(100)}
    assert len(challenges) > 90
    assert all(0 <= challenge < 1 << 32 for challenge in challenges)


def test_another_node_answers() -> None:
    a, b = initiator(expected="other@localhost"), acceptor()
    with pytest.raises(NodeNameMismatchError, match="myapp@localhost.*other@localhost"):
        talk(a, b)


def test_the_acceptor_refuses_a_peer_without_mandatory_flags() -> None:
    a, b = initiator(flags=FLAGS & ~Flag.UNLINK_ID & ~Flag.V4_NC), acceptor()
    (name,) = a.begin()
    assert b.receive(name) == [b"snot_allowed"]
    assert due(b) is State.REFUSED
    assert isinstance(b.refusal, NotAllowedError)
    assert "UNLINK_ID, V4_NC" in str(b.refusal)


def test_the_initiator_refuses_a_peer_without_mandatory_flags() -> None:
    a, b = initiator(), acceptor(flags=FLAGS & ~Flag.V4_NC)
    with pytest.raises(NotAllowedError, match="V4_NC"):
        talk(a, b)


def test_old_names_are_refused_in_plain_words() -> None:
    b = acceptor()
    assert b.receive(b"n\x00\x05\x00\x01\x02\x03old@localhost") == [b"snot_allowed"]
    assert isinstance(b.refusal, NotAllowedError)
    assert "too old; OTP 26" in str(b.refusal)


def test_an_old_challenge_is_refused_in_plain_words() -> None:
    a = initiator()
    a.begin()
    a.receive(OK)
    with pytest.raises(NotAllowedError, match="too old; OTP 26"):
        a.receive(b"n\x00\x05\x00\x01\x02\x03\x00\x00\x00\x01myapp@localhost")


def test_a_complement_belongs_to_old_names() -> None:
    b = acceptor()
    b.receive(NAME)
    with pytest.raises(RemoteProtocolError, match="complement"):
        b.receive(b"c\x00\x00\x00\x00\x00\x00\x00\x01")


# --- what is refused ------------------------------------------------------------------------------

@pytest.mark.parametrize(
    "message",
    [
        NAME[:14],
        NAME[:-1],
        NAME.replace(b"@", b"_"),
        NAME.replace(b"@localhost", b"@local@ost"),
        NAME.replace(b"py@", b"@py"),
        NAME.replace(b"py@", b"\xff\xfe@"),
        NAME[:13] + b"\x01\x2c" + b"x" * 298 + b"@y",
    ],
)
def test_malformed_names(message: bytes) -> None:
    b = acceptor()
    with pytest.raises(RemoteProtocolError):
        b.receive(message)
    assert due(b) is State.FAILED


@pytest.mark.parametrize("message", [CHALLENGE[:18], CHALLENGE[:-1], CHALLENGE[:-10]])
def test_challenge_cut_off(message: bytes) -> None:
    a = initiator()
    a.begin()
    a.receive(OK)
    with pytest.raises(RemoteProtocolError):
        a.receive(message)


@pytest.mark.parametrize("message", [REPLY[:-1], REPLY + b"x", b"r"])
def test_reply_of_a_wrong_size(message: bytes) -> None:
    b = acceptor()
    b.receive(NAME)
    with pytest.raises(RemoteProtocolError, match="bytes"):
        b.receive(message)


@pytest.mark.parametrize("message", [ACK[:-1], ACK + b"x", b"a"])
def test_ack_of_a_wrong_size(message: bytes) -> None:
    a = initiator()
    for received in (OK, CHALLENGE):
        if a.state is State.SEND_NAME:
            a.begin()
        a.receive(received)
    with pytest.raises(RemoteProtocolError, match="bytes"):
        a.receive(message)


def test_foreign_bytes_in_an_error_are_few_and_printable() -> None:
    a = initiator()
    a.begin()
    with pytest.raises(RemoteProtocolError) as caught:
        a.receive(b"s" + b"\x1b[31m\n" * 10_000)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_repr_shows_the_state() -> None:
    a = initiator()
    assert repr(a) == f"<Handshake initiator {A} state=send_name peer=None>"
