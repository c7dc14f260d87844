"""The handshake, version 6, in both roles: messages in, messages out, no socket and no clock.

Which message may come in which state is in `handshake_table`; here are the steps, one method each,
named as the protocol guide names them.

Source: Distribution Protocol, sections "The Handshake in Detail" and "Semigraphic View".
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from uds_dist.errors import (
    CookieMismatchError,
    HandshakeError,
    LocalProtocolError,
    NodeNameMismatchError,
    NotAllowedError,
    RemoteProtocolError,
    SimultaneousConnectError,
)
from uds_dist.protocol.challenges import (
    Outstanding,
    check_challenge,
    gen_challenge,
    gen_digest,
    put_challenge,
)
from uds_dist.protocol.flags import Flag, effective_flags, flag_names, missing_mandatory
from uds_dist.protocol.handshake_messages import (
    Peer,
    Status,
    challenge_ack_message,
    challenge_message,
    challenge_reply_message,
    name_message,
    named_message,
    read_challenge,
    read_challenge_ack,
    read_challenge_reply,
    read_name,
    read_named,
    status_message,
)
from uds_dist.protocol.handshake_table import (
    ENDED,
    FIRST_STATE,
    OWN_TURN,
    TABLES,
    Event,
    Role,
    State,
    event_of,
)


def _accept(peer: Peer) -> Status:
    return Status.OK


def _never(name: str) -> bool:
    return False


class Handshake:
    """One handshake, from the first message to the connection being up.

    Args:
        role: which side this node is.
        name: this node's full name; with NAME_ME among the flags, its host name only.
        creation: this node's, 32 bits.
        flags: what this node sends the peer.
        cookie_for: gives the cookie for a peer's name.
        expected: the name of the node that was dialled (initiator); None takes any.
        choose_status: the acceptor's decision on a peer: OK, OK_SIMULTANEOUS, NOK, NOT_ALLOWED or
            ALIVE. A peer that asked for a name gets NAMED instead of OK.
        still_connected: called by an initiator that got "alive": is there a live connection to that
            name? If so this attempt ends; if not it continues, and the peer drops the old
            connection.
        assign_name: gives a name and a creation to a peer that asks for one with its host name
            (acceptor); None, or a result of None, refuses such peers.
        before_proof: called by the initiator with the peer's name before it answers the peer's
            challenge.
        outstanding: the unanswered challenges, shared by handshakes that must notice each other's:
            see `challenges`.
        challenge: gives this node's challenge, 32 bits.

    Attributes:
        state: the next step, or the end.
        peer: the other node, once it has sent its name; None before.
        name, creation: this node's; changed by the peer's answer to NAME_ME.
        refusal: why a refusing status was sent; raised after the status is written.
    """

    __slots__ = (
        "creation", "expected", "flags", "name", "peer", "refusal", "role", "state",
        "_assign_name", "_before_proof", "_choose_status", "_cookie_for", "_frame",
        "_gen_challenge", "_output", "_outstanding", "_own_challenge", "_peer_challenge",
        "_status", "_still_connected",
    )  # fmt: skip

    def __init__(
        self,
        role: Role,
        name: str,
        creation: int,
        flags: int,
        *,
        cookie_for: Callable[[str], str],
        expected: str | None = None,
        choose_status: Callable[[Peer], Status] = _accept,
        still_connected: Callable[[str], bool] = _never,
        assign_name: Callable[[str], tuple[str, int] | None] | None = None,
        before_proof: Callable[[str], object] = _never,
        outstanding: Outstanding | None = None,
        challenge: Callable[[], int] = gen_challenge,
    ) -> None:
        self.role = role
        self.name = name
        self.creation = creation
        self.flags = flags
        self.expected = expected
        self.state = FIRST_STATE[role]
        self.peer: Peer | None = None
        self.refusal: HandshakeError | None = None
        self._cookie_for = cookie_for
        self._choose_status = choose_status
        self._still_connected = still_connected
        self._assign_name = assign_name
        self._before_proof = before_proof
        self._outstanding = {} if outstanding is None else outstanding
        self._gen_challenge = challenge
        self._own_challenge: int | None = None
        self._peer_challenge = 0
        self._frame = b""
        self._status = Status.OK
        self._output: list[bytes] = []

    # --- the machine ---

    @property
    def is_up(self) -> bool:
        """Whether both sides have proved that they know the cookie."""
        return self.state is State.UP

    @property
    def effective_flags(self) -> int:
        """The capabilities of both nodes: the flags that govern the connection.

        Raises:
            LocalProtocolError: the peer has not shown its flags yet.
        """
        if self.peer is None:
            raise LocalProtocolError("the peer has not shown its flags yet")
        return effective_flags(self.flags, self.peer.flags)

    def begin(self) -> list[bytes]:
        """Start: the initiator sends its name; the acceptor sends nothing yet.

        Returns:
            Messages to send, without their length prefix.
        Raises:
            LocalProtocolError: the handshake has begun already.
        """
        if self.state is State.SEND_NAME:
            return self._run(Event.GO)
        if self.state is State.RECV_NAME:
            return []
        raise LocalProtocolError("begin() was called twice for one handshake")

    def receive(self, frame: bytes) -> list[bytes]:
        """Process one message from the peer.

        Args:
            frame: one whole message without its length prefix.
        Returns:
            Messages to send, without their length prefix, in this order.
        Raises:
            RemoteProtocolError: the message is malformed, or not the expected one.
            CookieMismatchError: the digest is wrong.
            NodeNameMismatchError: a different node than the expected one answers.
            NotAllowedError: the peer refuses this node, or lacks mandatory flags.
            SimultaneousConnectError: the other attempt to connect takes precedence.
        """
        self._frame = frame
        try:
            event = event_of(frame, self.role)
            if isinstance(event, str):
                raise self._unexpected(event)
            return self._run(event)
        except Exception:
            self.state = State.FAILED
            self.end()
            raise

    def end(self) -> None:
        """Expect no further answer: the handshake is done, has failed, or was broken off."""
        if self._own_challenge is not None:
            self._outstanding.pop(self._own_challenge, None)
            self._own_challenge = None

    def _run(self, event: Status | Event) -> list[bytes]:
        """Follow the table's rows until one needs a message."""
        table = TABLES[self.role]
        self._output = []
        while True:
            row = table.get((self.state, event))
            if row is None:
                kind = "status" if isinstance(event, Status) else "message"
                raise self._unexpected(f"the {kind} {event.value!r}")
            step, following = row
            outcome: Status | Event | None = getattr(self, step)()
            self.state = following
            if outcome is None:
                if following not in OWN_TURN:
                    return self._output
                outcome = Event.GO
            event = outcome

    def _unexpected(self, what: str) -> RemoteProtocolError:
        who = "the peer" if self.peer is None else self.peer.name
        if self.state in ENDED:
            return RemoteProtocolError(f"{who} sent {what} after the handshake: {self.state.value}")
        return RemoteProtocolError(
            f"{who} sent {what} in the handshake's state {self.state.value} ({self.role.value})"
        )

    # --- the steps of both ---

    def send_status(self) -> None:
        """Step 3 (acceptor) or 3B (initiator): say how this node sees the attempt."""
        self._output.append(status_message(self._status))

    # --- the initiator's steps ---

    def send_name(self) -> None:
        """Step 2: this node's flags, creation and name."""
        self._output.append(name_message(self.flags, self.creation, self.name))

    def recv_status(self) -> None:
        """Step 3: the peer continues the handshake."""
        if self.flags & Flag.NAME_ME:
            raise NotAllowedError(
                f"{self._dialled()} gave this node no name, though it asked for one: give the"
                " node a name of its own"
            )

    def recv_status_named(self) -> None:
        """Step 3, "named:": the peer continues and gives this node its name and creation."""
        if not self.flags & Flag.NAME_ME:
            raise RemoteProtocolError(
                f"{self._dialled()} gave this node another name without being asked"
            )
        self.name, self.creation = read_named(self._frame)

    def recv_status_nok(self) -> None:
        """Step 3, "nok": the peer is connecting to this node itself and takes precedence."""
        raise SimultaneousConnectError(
            f"{self._dialled()} is connecting to {self.name} at this moment and its attempt takes"
            " precedence: wait for that connection"
        )

    def recv_status_not_allowed(self) -> None:
        """Step 3, "not_allowed": the peer does not want this node."""
        raise NotAllowedError(
            f"{self._dialled()} does not allow {self.name} to connect: see its list of allowed"
            f" nodes and its log; the flags shown to it were {self.flags:#x}"
        )

    def recv_status_alive(self) -> Status:
        """Step 3, "alive": the peer believes it already has a connection to this node."""
        name = self._dialled()
        if self._still_connected(name):
            self._status = Status.FALSE
            self.refusal = SimultaneousConnectError(
                f"there is a live connection to {name} already: use that one"
            )
        else:
            self._status = Status.TRUE
        return self._status

    def recv_challenge(self) -> None:
        """Step 4: the peer's flags, creation and name, and its challenge."""
        self.peer, challenge = read_challenge(self._frame)
        name = self.peer.name
        if self.expected is not None and name != self.expected:
            raise NodeNameMismatchError(
                f"{name} answered instead of {self.expected}: check the node's name and"
                " the socket directory"
            )
        missing = missing_mandatory(self.peer.flags)
        if missing:
            raise NotAllowedError(_too_old(name, missing))
        self._take_challenge(challenge)

    def recv_old_challenge(self) -> None:
        """Step 4, of handshake version 5: refused."""
        raise NotAllowedError(
            f"{self._dialled()} answers with handshake version 5: the node is too old; OTP 26 or"
            " later is required"
        )

    def send_challenge_reply(self) -> None:
        """Step 5: the answer to the peer's challenge, and this node's own."""
        assert self.peer is not None
        self._before_proof(self.peer.name)
        digest = gen_digest(self._peer_challenge, self._cookie_for(self.peer.name))
        self._output.append(challenge_reply_message(self._put_challenge(), digest))

    def recv_challenge_ack(self) -> None:
        """Steps 6 and 7: check the peer's answer to this node's challenge."""
        self._check_digest(read_challenge_ack(self._frame))

    # --- the acceptor's steps ---

    def recv_name(self) -> Status:
        """Step 2: the peer's name, and whether it may connect."""
        self.peer = read_name(self._frame)
        name, flags, _ = self.peer
        wants_name = bool(flags & Flag.NAME_ME)
        missing = missing_mandatory(flags)
        if missing:
            return self._refuse(Status.NOT_ALLOWED, NotAllowedError(_too_old(name, missing)))
        if wants_name:
            given = None if self._assign_name is None else self._assign_name(name)
            if given is None:
                return self._refuse(
                    Status.NOT_ALLOWED,
                    NotAllowedError(
                        f"a node on {name} asks for a name and {self.name} gives none: start that"
                        " node with a name of its own"
                    ),
                )
            self.peer = Peer(given[0], flags, given[1])
        return self._judge(wants_name)

    def recv_old_name(self) -> Status:
        """Step 2, of handshake version 5: refused."""
        return self._refuse(
            Status.NOT_ALLOWED,
            NotAllowedError(
                "the peer sent its name in the format of handshake version 5: the node is too"
                " old; OTP 26 or later is required"
            ),
        )

    def _judge(self, wants_name: bool) -> Status:
        """Let the node choose the status for the peer."""
        assert self.peer is not None
        name = self.peer.name
        status = self._choose_status(self.peer)
        if status is Status.NOT_ALLOWED:
            return self._refuse(
                status, NotAllowedError(f"{name} is not allowed to connect to {self.name}")
            )
        if status is Status.NOK:
            return self._refuse(
                status,
                SimultaneousConnectError(
                    f"{self.name} is connecting to {name} now and its attempt takes precedence"
                ),
            )
        if status in (Status.NAMED, Status.TRUE, Status.FALSE):
            raise LocalProtocolError(f"choose_status may not answer a name with {status.value!r}")
        if wants_name:
            if status is Status.ALIVE:
                raise LocalProtocolError(f"assign_name gave {name}, which is connected already")
            status = Status.NAMED
        self._status = status
        return status

    def _refuse(self, status: Status, refusal: HandshakeError) -> Status:
        self.refusal = refusal
        self._status = status
        return status

    def send_status_named(self) -> None:
        """Step 3, "named:": continue, and tell the peer its name and creation."""
        assert self.peer is not None
        self._output.append(named_message(self.peer.name, self.peer.creation))

    def recv_status_true(self) -> None:
        """Step 3B, "true": the old connection is dead, this one replaces it."""

    def recv_status_false(self) -> None:
        """Step 3B, "false": the attempt was a mistake."""
        raise SimultaneousConnectError(
            f"{self._dialled()} has a live connection to {self.name} already and keeps that one"
        )

    def send_challenge(self) -> None:
        """Step 4: this node's flags, creation and name, and its challenge."""
        assert self.peer is not None
        # A BEAM that was given its name expects its own request in the flags of both.
        flags = self.flags | self.peer.flags & Flag.NAME_ME
        self._output.append(
            challenge_message(flags, self._put_challenge(), self.creation, self.name)
        )

    def recv_challenge_reply(self) -> None:
        """Step 5: check the peer's answer to this node's challenge; take the peer's own."""
        challenge, digest = read_challenge_reply(self._frame)
        self._take_challenge(challenge)
        self._check_digest(digest)

    def recv_complement(self) -> None:
        """Step 4B, of handshake version 5: refused."""
        raise RemoteProtocolError(
            "the peer sent a complement message, which only follows a name of handshake version 5"
        )

    def send_challenge_ack(self) -> None:
        """Step 6: the answer to the peer's challenge."""
        assert self.peer is not None
        digest = gen_digest(self._peer_challenge, self._cookie_for(self.peer.name))
        self._output.append(challenge_ack_message(digest))

    # --- helpers of the steps ---

    def _dialled(self) -> str:
        if self.peer is not None:
            return self.peer.name
        return "the peer" if self.expected is None else self.expected

    def _put_challenge(self) -> int:
        assert self.peer is not None
        challenge = put_challenge(self._outstanding, self.name, self.peer.name, self._gen_challenge)
        self._own_challenge = challenge
        return challenge

    def _take_challenge(self, challenge: int) -> None:
        assert self.peer is not None
        check_challenge(self._outstanding, challenge, self.name, self.peer.name)
        self._peer_challenge = challenge

    def _check_digest(self, digest: bytes) -> None:
        assert self.peer is not None and self._own_challenge is not None
        cookie = self._cookie_for(self.peer.name)
        expected = gen_digest(self._own_challenge, cookie)
        self.end()
        if not compare_digest(digest, expected):
            raise CookieMismatchError(
                f"{self.peer.name} and {self.name} do not have the same cookie: give both the"
                " same (argument cookie, UDS_DIST_COOKIE, or ~/.erlang.cookie)"
            )

    def __repr__(self) -> str:
        peer = None if self.peer is None else self.peer.name
        return f"<Handshake {self.role.value} {self.name} state={self.state.value} peer={peer}>"


def _too_old(name: str, missing: int) -> str:
    return (
        f"{name} lacks the mandatory distribution flags {flag_names(missing)}: the node is too"
        " old; OTP 26 or later is required"
    )
