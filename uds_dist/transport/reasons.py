"""Why a connection ended or could not be made, in texts that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from uds_dist.config import overflow_uid
from uds_dist.errors import (
    ConnectFailedError,
    CookieMismatchError,
    HandshakeError,
    HandshakeTimeoutError,
    NoConnectionError,
    NotAllowedError,
)
from uds_dist.transport.address import SocketAddress


def no_socket(name: str | None, reason: str | None) -> ConnectFailedError:
    """The system refused to create a socket."""
    return ConnectFailedError(f"cannot create a socket for {name}: {reason}")


def connect_failed(
    name: str | None, addresses: Sequence[SocketAddress], error: int
) -> ConnectFailedError:
    """The system refused to connect to any of the addresses, with this errno."""
    if error == errno.ENOENT:
        reason = "there is no such socket; is the node started, and is socket_dir the same?"
    elif error == errno.ECONNREFUSED:
        reason = "nobody listens there; the node is dead or not started"
    elif error in (errno.EACCES, errno.EPERM):
        reason = "this user may not connect to it"
    else:
        reason = os.strerror(error)
    where = " or ".join(address.text for address in addresses)
    return ConnectFailedError(f"cannot connect to {name} at {where}: {reason}")


def caller_refused(uid: int | None) -> str:
    """A process that has connected to this node is not admitted."""
    cure = _cure(uid, "add that user to allowed_uids (UDS_DIST_ALLOWED_UIDS) to admit it")
    return f"{_user(uid)} was refused by uid {os.geteuid()}: {cure}"


def listener_refused(uid: int | None, address: SocketAddress) -> NotAllowedError:
    """This node does not trust the process that listens."""
    cure = _cure(
        uid,
        "if you trust that user, add it to allowed_uids (UDS_DIST_ALLOWED_UIDS, or --allow-user of a"
        " command)",
    )
    return NotAllowedError(
        f"the process at {address} runs under another user, {_user(uid)}, and this one as uid"
        f" {os.geteuid()}; nothing was sent to it: {cure}"
    )


# The overflow uid stands for many users, so `allowed_uids` cannot list it.
_NUMBERLESS = (
    "that is the overflow uid, of a user without a number in this user namespace or container: run"
    " both under users that have the same number on both sides"
)


def _cure(uid: int | None, add_it: str) -> str:
    """What to do about a user that is not admitted."""
    return _NUMBERLESS if uid is not None and uid == overflow_uid() else add_it


def _user(uid: int | None) -> str:
    return "a user whose uid this system does not report" if uid is None else f"uid {uid}"


def unanswered(
    name: str | None, address: SocketAddress, reason: str, uid: int | None
) -> NotAllowedError | HandshakeError:
    """A node that runs as `uid` closed before it sent a byte: it probably refuses this user."""
    own = os.geteuid()
    if uid is None or uid == own:
        return HandshakeError(
            f"the handshake with {name} at {address} broke off before it answered a byte ({reason}):"
            " it is ending, is not a node, or is a release with uds_dist 2.0 whose allowed_uids does"
            f" not list its own uid: add {own} to config :uds_dist, allowed_uids"
        )
    return NotAllowedError(
        f"{name} at {address} broke off before it answered a byte ({reason}): it runs as"
        f" uid {uid} and probably does not admit this process's uid {own}. A release with"
        " uds_dist 2.0 admits only its own uid: run as that user, or start the release with"
        f" config :uds_dist, allowed_uids: [{uid}, {own}]"
    )


def no_proof(name: str | None, what: str) -> CookieMismatchError:
    """The peer did not answer this node's proof of its cookie.

    A node whose challenge was answered wrongly sends nothing: it closes the socket or, with the
    deployed carrier, leaves it open and silent. A program that runs its loop too seldom looks the
    same.
    """
    return CookieMismatchError(
        f"{name} {what} when this node proved its cookie: either the cookies differ (compare the"
        " cookie here with the one that node was started with), or one of the two is a program that"
        f" runs its loop too seldom ({_OFTEN_ENOUGH})"
    )


# A handshake takes a slow program three rounds, and OTP waits seven seconds.
_OFTEN_ENOUGH = "run_once() at least once a second keeps connections"


def broke_off(name: str | None, reason: str) -> HandshakeError:
    """The socket failed or was closed during the handshake."""
    return HandshakeError(f"the handshake with {name or 'a peer'} broke off: {reason}")


def caller_left(name: str, reason: str) -> HandshakeError:
    """A node that dialled this one gave up before it proved its cookie."""
    return HandshakeError(
        f"the handshake with {name} broke off: {reason}: either this program runs its loop too"
        f" seldom for that node ({_OFTEN_ENOUGH}), or the cookies differ"
    )


def too_late(name: str | None, seconds: float, where: str) -> HandshakeTimeoutError:
    """The handshake took too long."""
    return HandshakeTimeoutError(
        f"{name or 'a peer'} did not finish the handshake within {seconds:g} s: it stopped at"
        f" {where}; perhaps a program on one side runs its loop too seldom ({_OFTEN_ENOUGH}), or"
        " the cookies differ"
    )


def lost(name: str | None, reason: str) -> NoConnectionError:
    """The socket failed or was closed."""
    return NoConnectionError(f"the connection to {name} was lost: {reason}")


def silent(name: str | None, seconds: float) -> NoConnectionError:
    """Nothing was received for the tick time."""
    return NoConnectionError(
        f"{name} has sent nothing for {seconds:g} s and does not answer: the connection is closed"
    )


def interrupted(name: str | None, what: str) -> NoConnectionError:
    """An exception left the connection in an undefined state."""
    return NoConnectionError(
        f"the connection to {name} was ended: an exception interrupted its {what}"
    )


def closed_here(name: str | None) -> NoConnectionError:
    """This node has closed the connection."""
    return NoConnectionError(f"the connection to {name} was closed by this node")


def blocked(name: str | None, seconds: float) -> NoConnectionError:
    """The peer has read nothing for the tick time, and no more of its requests can be held."""
    return NoConnectionError(
        f"{name} has read nothing for {seconds:g} s, and the answers to its own requests have no"
        " room: the connection is closed; give both nodes the same write_high_water"
    )


def own_fault(name: str | None, error: BaseException) -> NoConnectionError:
    """This library failed on a message from the peer."""
    return NoConnectionError(
        f"the connection to {name} was ended: this library failed on a message from it"
        f" ({type(error).__name__}; see the log)"
    )
