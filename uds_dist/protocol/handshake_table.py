"""The handshake's two tables: what may come in each state, what is done, and what follows.

Why it is two tables
--------------------
The protocol guide describes the handshake as two sequences of steps, one for the node that connects
(A, here the initiator) and one for the node that accepts (B, the acceptor). Written as code, each
side becomes a staircase of ifs, and you must read all of it to see whether a message is allowed at
some point. In a table you can look it up: one line of code refuses whatever is not in the table,
with the state and the message in the error's text.

A *state* is named after the next step, in the words of the guide: in RECV_CHALLENGE the initiator
waits for the challenge, in SEND_STATUS the acceptor has yet to answer the name. An *event* is
either a message from the peer, identified by its tag and, for a status, by its text (OK, ALIVE,
NAMED ...), or the outcome of the previous step, which is how this side's own decisions enter:
`recv_name` returns NOT_ALLOWED or ALIVE or OK, and the table says what follows. A row is (state,
event) -> (step, next state). The *step* is the name of the method of `Handshake` that carries it
out; each method does exactly what the guide's step of that name does. A step that returns an event
is followed at once by the row for that event; a step that returns None waits for the peer.

The tables decide three things that are easy to get wrong:

- **nok and ok_simultaneous** settle two nodes that dial each other at once: the attempt of the node
  with the greater name wins. For the node that gets `nok` this is not a failure: the peer's own
  attempt is under way and will be the connection.
- **alive** asks the initiator whether it really means to connect again. A BEAM says "true" if it
  knows of no other connection; so do we, by `still_connected`. After "true" the acceptor drops the
  old connection and continues; no second status follows.
- **A refusal is sent before it is raised.** The acceptor that refuses and the initiator that
  answers "false" still have a status to send. They end in REFUSED with `refusal` set, and the
  transport closes after writing; every other failure raises at once and ends in FAILED.

Messages of version 5 ('n' names, 'c' complements) have one row each, which refuses them with a
clear text: only nodes older than OTP 25 send them, and those lack mandatory flags.

Source: Distribution Protocol, sections "The Handshake in Detail" and "Semigraphic View".
"""

from __future__ import annotations

from enum import Enum
from typing import Union

from uds_dist.protocol.handshake_messages import NAMED, Status, shown


class Role(Enum):
    """Which side of the handshake this node is."""

    __hash__ = object.__hash__  # the hash of Enum is Python code, which a lookup would call

    INITIATOR = "initiator"
    ACCEPTOR = "acceptor"


class State(Enum):
    """The next step of the handshake, or how it ended."""

    __hash__ = object.__hash__

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


class Event(Enum):
    """The events of a handshake besides a `Status`: the other messages, and "go on"."""

    __hash__ = object.__hash__

    GO = "go"
    NAME = "N (name)"
    CHALLENGE = "N (challenge)"
    CHALLENGE_REPLY = "r (challenge reply)"
    CHALLENGE_ACK = "a (challenge ack)"
    OLD_NAME = "n (name of handshake version 5)"
    COMPLEMENT = "c (complement of handshake version 5)"


Transitions = dict[tuple[State, Union[Status, Event]], tuple[str, State]]

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

# After these, this side sends at once, without a message from the peer.
OWN_TURN = frozenset(
    (State.SEND_NAME, State.SEND_CHALLENGE, State.SEND_CHALLENGE_REPLY, State.SEND_CHALLENGE_ACK)
)
ENDED = frozenset((State.UP, State.REFUSED, State.FAILED))

# An 'N' is a name to one side and a challenge to the other.
_TAGS: dict[Role, dict[int, Event]] = {
    Role.INITIATOR: {
        ord("N"): Event.CHALLENGE,
        ord("n"): Event.OLD_NAME,
        ord("a"): Event.CHALLENGE_ACK,
    },
    Role.ACCEPTOR: {
        ord("N"): Event.NAME,
        ord("n"): Event.OLD_NAME,
        ord("r"): Event.CHALLENGE_REPLY,
        ord("c"): Event.COMPLEMENT,
    },
}
_STATUSES = {status.value.encode(): status for status in Status if status is not Status.NAMED}


def event_of(frame: bytes, role: Role) -> Status | Event | str:
    """Identify a message that came to this role; a text if the handshake has no such message."""
    if not frame:
        return "an empty message"
    tag = frame[0]
    if tag == ord("s"):
        text = frame[1:]
        if text.startswith(NAMED):
            return Status.NAMED
        status = _STATUSES.get(text)
        return f"the unknown status {shown(text)}" if status is None else status
    event = _TAGS[role].get(tag)
    return f"a message with the tag {shown(frame[:1])}" if event is None else event
