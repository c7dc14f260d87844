"""The transition tables of the handshake, version 6, and why they are tables.

The protocol guide tells the handshake as a conversation of two sequences of steps, one for the
node that connects (A, here the initiator) and one for the node that accepts (B, the acceptor).
Written as code, each side turns into a staircase of ifs, and whether a message may come in some
place has to be worked out by reading all of it. As a table it can be read off: what is not in
the table is refused, by one line of code, with the state and the message in the error's text.

A *state* bears the name of the step that is due, in the words of the guide: in RECV_CHALLENGE
the initiator waits for the challenge, in SEND_STATUS the acceptor has yet to answer the name.
An *event* is either a message of the peer, told apart by its tag and, for a status, by its text
(OK, ALIVE, NAMED ...), or the outcome of the step before, which is how this side's own decisions
enter: `recv_name` returns NOT_ALLOWED or ALIVE or OK, and the table says what follows from that.
A row is (state, event) -> (step, next state). The *step* is the name of the method that carries
it out, and each method does just what the guide's step of that name does. A step that returns an
event is followed at once by the row for that event; a step that returns None waits for the peer.

Three things that the tables decide and that are easy to get wrong:

- **nok and ok_simultaneous** settle two nodes dialling each other at once: the attempt of the
  node with the greater name wins. To the loser of `nok` this is no failure but a notice: the
  peer's own attempt is under way and will be the connection.
- **alive** asks the initiator whether it really means to connect anew. A BEAM says "true" as long
  as this attempt is the only one it knows of; so do we, by `still_connected`. After "true" the
  acceptor drops the old connection and goes on; no second status follows.
- **A refusal is sent before it is raised.** The acceptor that refuses and the initiator that
  answers "false" still have a status to flush. They end in REFUSED with `refusal` set, and the
  transport closes after writing; everything else that fails raises at once and ends in FAILED.

Messages of version 5 ('n' names, 'c' complements) have no rows but one each, for a refusal in
plain words: only nodes older than OTP 25 send them, and those lack flags that are mandatory.

Source: Distribution Protocol, sections "The Handshake in Detail" and "Semigraphic View".
"""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """Which side of the handshake this node is."""

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class State(Enum):
    """The step of the handshake that is due, or how it ended."""

    SEND_NAME = "send_name"
    RECV_NAME = "recv_name"
    SEND_STATUS = "send_status"
    RECV_STATUS = "recv_status"
    SEND_CHALLENGE = "send_challenge"
    RECV_CHALLENGE = "recv_challenge"
    SEND_CHALLENGE_REPLY = "send_challenge_reply"
    RECV_CHALLENGE_REPLY = "recv_challenge_reply"
    SEND_CHALLENGE_ACK = "send_challenge_ack"
    RECV_CHALLENGE_ACK = "recv_challenge_ack"
    UP = "up"
    REFUSED = "refused"
    FAILED = "failed"


class Status(Enum):
    """What an acceptor may say to a name that it was told, and what an initiator may answer.

    Source: Distribution Protocol, section "The Handshake in Detail", steps 3 and 3B.
    """

    OK = "ok"
    OK_SIMULTANEOUS = "ok_simultaneous"
    NOK = "nok"
    NOT_ALLOWED = "not_allowed"
    ALIVE = "alive"
    NAMED = "named:"
    TRUE = "true"
    FALSE = "false"


class Event(Enum):
    """What moves the handshake beside a `Status`: the other messages, and "go on"."""

    GO = "go"
    NAME = "N (name)"
    CHALLENGE = "N (challenge)"
    CHALLENGE_REPLY = "r (challenge reply)"
    CHALLENGE_ACK = "a (challenge ack)"
    OLD_NAME = "n (name of handshake version 5)"
    COMPLEMENT = "c (complement of handshake version 5)"


Transitions = dict[tuple[State, "Status | Event"], tuple[str, State]]

INITIATOR: Transitions = {
    (State.SEND_NAME, Event.GO): ("send_name", State.RECV_STATUS),
    (State.RECV_STATUS, Status.OK): ("recv_status", State.RECV_CHALLENGE),
    (State.RECV_STATUS, Status.OK_SIMULTANEOUS): ("recv_status", State.RECV_CHALLENGE),
    (State.RECV_STATUS, Status.NAMED): ("recv_status_named", State.RECV_CHALLENGE),
    (State.RECV_STATUS, Status.NOK): ("recv_status_nok", State.FAILED),
    (State.RECV_STATUS, Status.NOT_ALLOWED): ("recv_status_not_allowed", State.FAILED),
    (State.RECV_STATUS, Status.ALIVE): ("recv_status_alive", State.SEND_STATUS),
    (State.SEND_STATUS, Status.TRUE): ("send_status", State.RECV_CHALLENGE),
    (State.SEND_STATUS, Status.FALSE): ("send_status", State.REFUSED),
    (State.RECV_CHALLENGE, Event.CHALLENGE): ("recv_challenge", State.SEND_CHALLENGE_REPLY),
    (State.RECV_CHALLENGE, Event.OLD_NAME): ("recv_old_challenge", State.FAILED),
    (State.SEND_CHALLENGE_REPLY, Event.GO): ("send_challenge_reply", State.RECV_CHALLENGE_ACK),
    (State.RECV_CHALLENGE_ACK, Event.CHALLENGE_ACK): ("recv_challenge_ack", State.UP),
}

ACCEPTOR: Transitions = {
    (State.RECV_NAME, Event.NAME): ("recv_name", State.SEND_STATUS),
    (State.RECV_NAME, Event.OLD_NAME): ("recv_old_name", State.SEND_STATUS),
    (State.SEND_STATUS, Status.OK): ("send_status", State.SEND_CHALLENGE),
    (State.SEND_STATUS, Status.OK_SIMULTANEOUS): ("send_status", State.SEND_CHALLENGE),
    (State.SEND_STATUS, Status.NAMED): ("send_status_named", State.SEND_CHALLENGE),
    (State.SEND_STATUS, Status.NOK): ("send_status", State.REFUSED),
    (State.SEND_STATUS, Status.NOT_ALLOWED): ("send_status", State.REFUSED),
    (State.SEND_STATUS, Status.ALIVE): ("send_status", State.RECV_STATUS),
    (State.RECV_STATUS, Status.TRUE): ("recv_status_true", State.SEND_CHALLENGE),
    (State.RECV_STATUS, Status.FALSE): ("recv_status_false", State.FAILED),
    (State.SEND_CHALLENGE, Event.GO): ("send_challenge", State.RECV_CHALLENGE_REPLY),
    (State.RECV_CHALLENGE_REPLY, Event.CHALLENGE_REPLY): (
        "recv_challenge_reply",
        State.SEND_CHALLENGE_ACK,
    ),
    (State.RECV_CHALLENGE_REPLY, Event.COMPLEMENT): ("recv_complement", State.FAILED),
    (State.SEND_CHALLENGE_ACK, Event.GO): ("send_challenge_ack", State.UP),
}

TABLES = {Role.INITIATOR: INITIATOR, Role.ACCEPTOR: ACCEPTOR}
FIRST_STATE = {Role.INITIATOR: State.SEND_NAME, Role.ACCEPTOR: State.RECV_NAME}

# After these the step that sends comes at once, without a message from the peer.
OWN_TURN = frozenset(
    (State.SEND_NAME, State.SEND_CHALLENGE, State.SEND_CHALLENGE_REPLY, State.SEND_CHALLENGE_ACK)
)
ENDED = frozenset((State.UP, State.REFUSED, State.FAILED))
