"""Two nodes that shake hands, and the messages between them as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from uds_dist.config import Config
from uds_dist.protocol.flags import default_flags
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Peer, Status
from uds_dist.protocol.handshake_table import Role, State

FLAGS = default_flags(Config())
A = "py@localhost"
B = "myapp@localhost"
A_CREATION = 0x65000001
B_CREATION = 0x65000002
A_CHALLENGE = 0xFEDCBA98
B_CHALLENGE = 0x01234567


def cookie_for(name: str) -> str:
    return "secret"


def initiator(
    *,
    name: str = A,
    flags: int = FLAGS,
    expected: str | None = B,
    cookie: Callable[[str], str] = cookie_for,
    still_connected: Callable[[str], bool] = lambda name: False,
) -> Handshake:
    return Handshake(
        Role.INITIATOR,
        name,
        A_CREATION,
        flags,
        cookie_for=cookie,
        expected=expected,
        still_connected=still_connected,
        challenge=lambda: A_CHALLENGE,
    )


def acceptor(
    *,
    name: str = B,
    flags: int = FLAGS,
    cookie: Callable[[str], str] = cookie_for,
    choose_status: Callable[[Peer], Status] = lambda peer: Status.OK,
    assign_name: Callable[[str], tuple[str, int] | None] | None = None,
) -> Handshake:
    return Handshake(
        Role.ACCEPTOR,
        name,
        B_CREATION,
        flags,
        cookie_for=cookie,
        choose_status=choose_status,
        assign_name=assign_name,
        challenge=lambda: B_CHALLENGE,
    )


def due(handshake: Handshake) -> State:
    """The state, read again: mypy believes that an attribute stays what it was asserted to be."""
    return handshake.state


def talk(a: Handshake, b: Handshake) -> list[tuple[str, bytes]]:
    """Run two handshakes until neither sends anything; return the messages with their senders."""
    said = [("A", message) for message in a.begin()] + [("B", message) for message in b.begin()]
    at = 0
    while at < len(said):
        speaker, message = said[at]
        at += 1
        hearer = b if speaker == "A" else a
        said += [("B" if speaker == "A" else "A", answer) for answer in hearer.receive(message)]
    return said


# The messages of a plain handshake, byte by byte from the guide's tables.
NAME = bytes.fromhex("4e 0000002d07df7fbc 65000001 000c") + b"py@localhost"
OK = b"sok"
CHALLENGE = bytes.fromhex("4e 0000002d07df7fbc 01234567 65000002 000f") + b"myapp@localhost"
REPLY = b"r" + bytes.fromhex("fedcba98") + hashlib.md5(b"secret19088743").digest()
ACK = b"a" + hashlib.md5(b"secret4275878552").digest()
