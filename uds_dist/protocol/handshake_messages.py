"""The messages of the handshake: their bytes, built and read.

All are without the length prefix. The caller has already identified a message by its tag.

Source: Distribution Protocol, section "The Handshake in Detail".
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import NamedTuple

from uds_dist.errors import NodeNameError, RemoteProtocolError
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.node_names import NAME_LIMIT, is_host_part, split_node_name

_NAME = Struct(">cQIH")  # tag, flags, creation, length of the name
_CHALLENGE = Struct(">cQIIH")  # tag, flags, challenge, creation, length of the name
_CHALLENGE_REPLY = Struct(">cI16s")
_CHALLENGE_ACK = Struct(">c16s")
_NAME_LENGTH = Struct(">H")
_CREATION = Struct(">I")


class Status(Enum):
    """What an acceptor may reply to a name, and what an initiator may answer.

    Source: Distribution Protocol, section "The Handshake in Detail", steps 3 and 3B.
    """

    __hash__ = object.__hash__  # the hash of Enum is Python code, which a lookup would call

    OK = "ok"
    OK_SIMULTANEOUS = "ok_simultaneous"
    NOK = "nok"
    NOT_ALLOWED = "not_allowed"
    ALIVE = "alive"
    NAMED = "named:"
    TRUE = "true"
    FALSE = "false"


NAMED = Status.NAMED.value.encode()


class Peer(NamedTuple):
    """The node at the other end, as it presented itself.

    Args:
        name: its full name; after the acceptor's ``assign_name``, the name it was given.
        flags: the 64 bits that it sent; `Flag` has names for some.
        creation: 32 bits; distinguishes its incarnations.
    """

    name: str
    flags: int
    creation: int


# --- step 2: the name ---


def name_message(flags: int, creation: int, name: str) -> bytes:
    """Step 2: the initiator's flags, creation (32 bits) and name."""
    encoded = name.encode()
    return _NAME.pack(b"N", flags, creation, len(encoded)) + encoded


def read_name(frame: bytes) -> Peer:
    """Step 2, read; a node that asks for a name sends only its host name.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    _check_size("name message", frame, _NAME)
    _, flags, creation, _ = _NAME.unpack_from(frame)
    name, _ = _name_at(frame, _NAME.size, host_only=bool(flags & Flag.NAME_ME))
    return Peer(name, flags, creation)


# --- step 3: the status ---


def status_message(status: Status) -> bytes:
    """Steps 3 and 3B: the status; "named:" has more fields, see `named_message`."""
    return b"s" + status.value.encode()


def named_message(name: str, creation: int) -> bytes:
    """Step 3, "named:": the name and the creation (32 bits) that the initiator asked for."""
    encoded = name.encode()
    given = _NAME_LENGTH.pack(len(encoded)) + encoded + _CREATION.pack(creation)
    return status_message(Status.NAMED) + given


def read_named(frame: bytes) -> tuple[str, int]:
    """Step 3, "named:", read: the name and the creation.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    name, after = _name_at(frame, 1 + len(NAMED) + _NAME_LENGTH.size)
    if len(frame) < after + _CREATION.size:
        raise RemoteProtocolError("the status named: ends before the creation")
    (creation,) = _CREATION.unpack_from(frame, after)
    return name, creation


# --- steps 4 to 6: the challenges ---


def challenge_message(flags: int, challenge: int, creation: int, name: str) -> bytes:
    """Step 4: the acceptor's flags, challenge (32 bits), creation (32 bits) and name."""
    encoded = name.encode()
    return _CHALLENGE.pack(b"N", flags, challenge, creation, len(encoded)) + encoded


def read_challenge(frame: bytes) -> tuple[Peer, int]:
    """Step 4, read: the acceptor and its challenge.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    _check_size("challenge", frame, _CHALLENGE)
    _, flags, challenge, creation, _ = _CHALLENGE.unpack_from(frame)
    name, _ = _name_at(frame, _CHALLENGE.size)
    return Peer(name, flags, creation), challenge


def challenge_reply_message(challenge: int, digest: bytes) -> bytes:
    """Step 5: the initiator's challenge (32 bits), and its digest of the acceptor's (16 bytes)."""
    return _CHALLENGE_REPLY.pack(b"r", challenge, digest)


def read_challenge_reply(frame: bytes) -> tuple[int, bytes]:
    """Step 5, read: the initiator's challenge and its digest.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    _check_size("challenge reply", frame, _CHALLENGE_REPLY, exact=True)
    _, challenge, digest = _CHALLENGE_REPLY.unpack(frame)
    return challenge, digest


def challenge_ack_message(digest: bytes) -> bytes:
    """Step 6: the acceptor's digest of the initiator's challenge (16 bytes)."""
    return _CHALLENGE_ACK.pack(b"a", digest)


def read_challenge_ack(frame: bytes) -> bytes:
    """Step 6, read: the acceptor's digest.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    _check_size("challenge ack", frame, _CHALLENGE_ACK, exact=True)
    digest: bytes = _CHALLENGE_ACK.unpack(frame)[1]
    return digest


# --- parts of several messages ---


def _check_size(what: str, frame: bytes, struct: Struct, *, exact: bool = False) -> None:
    if len(frame) < struct.size or (exact and len(frame) > struct.size):
        least = "" if exact else "at least "
        raise RemoteProtocolError(
            f"the {what} has {len(frame)} bytes: {least}{struct.size} are needed"
        )


def _name_at(frame: bytes, begin: int, *, host_only: bool = False) -> tuple[str, int]:
    """A name whose 2-byte length precedes ``begin``, and where it ends."""
    if len(frame) < begin:
        raise RemoteProtocolError("the message ends before the node name")
    (length,) = _NAME_LENGTH.unpack_from(frame, begin - _NAME_LENGTH.size)
    end = begin + length
    if len(frame) < end:
        raise RemoteProtocolError(
            f"the node name is cut off: {length} bytes announced, {len(frame) - begin} there"
        )
    raw = frame[begin:end]
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(f"the node name {shown(raw)} is not UTF-8") from None
    if host_only:
        if not is_host_part(name) or len(name) > NAME_LIMIT:
            raise RemoteProtocolError(f"the host name {shown(raw)} is not valid")
        return name, end
    try:
        split_node_name(name)
    except NodeNameError as error:
        raise RemoteProtocolError(str(error)) from None
    return name, end


def shown(data: bytes) -> str:
    """Foreign bytes for an error's text: printable, and of bounded length."""
    return repr(data[:64])[1:] + ("..." if len(data) > 64 else "")
