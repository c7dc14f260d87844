"""The proof of the cookie: challenges, the digests that answer them, and relayed challenges.

Each node sends the other a number, and only a node with the cookie can answer it. A node answers
before it knows its peer, which is how a stranger without the cookie could get in: it dials a node,
receives a challenge, waits for a node with the same cookie to dial it, sends that node the same
challenge and passes its answer on. The protocol does not prevent this. But if both nodes are in one
program, the program knows the number and notices: `Outstanding` holds the challenges that are not
answered yet, with the node that sent each and the node that it was sent to. Between these two it is
answered; from any other node it is refused.

Source: Distribution Protocol, section "Definitions".
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from secrets import randbits

from uds_dist.errors import LocalProtocolError, NotAllowedError

# Challenge -> (the node that sent it, the node that it was sent to).
Outstanding = dict[int, tuple[str, str]]


def gen_digest(challenge: int, cookie: str) -> bytes:
    """The proof that a node knows the cookie.

    Args:
        challenge: 32 bits, the other node's.
        cookie: characters of Latin-1.
    Returns:
        16 bytes: MD5 of the cookie's text followed by the challenge's decimal text.
    Raises:
        LocalProtocolError: the cookie has a character that no Erlang cookie can have.

    Source: Distribution Protocol, section "Definitions".
    """
    try:
        secret = cookie.encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(
            "the cookie has a character beyond Latin-1: use letters, digits and punctuation"
        ) from None
    return md5(secret + b"%d" % challenge, usedforsecurity=False).digest()


def gen_challenge() -> int:
    """A random challenge of 32 bits.

    Source: Distribution Protocol, section "Definitions".
    """
    return randbits(32)


def put_challenge(
    outstanding: Outstanding, this: str, other: str, gen: Callable[[], int] = gen_challenge
) -> int:
    """A challenge that no other handshake uses at the moment; it is entered as outstanding.

    Args:
        outstanding: of all nodes of the program that may dial each other.
        this: the node that sends it.
        other: the node that it is sent to.
        gen: gives 32 random bits.
    """
    challenge = gen()
    while challenge in outstanding:
        challenge = gen()
    outstanding[challenge] = (this, other)
    return challenge


def check_challenge(outstanding: Outstanding, challenge: int, this: str, other: str) -> None:
    """Refuse a relayed challenge.

    Args:
        outstanding: of all nodes of the program that may dial each other.
        challenge: the number that was received.
        this: the node that received it.
        other: the node that claims to send it.
    Raises:
        NotAllowedError: another node sent it, or it was sent to another node.
    """
    made = outstanding.get(challenge)
    if made is not None and made != (other, this):
        raise NotAllowedError(
            f"{other} passed on the challenge of {made[0]}, whose answer would let it in there:"
            " it does not have the cookie"
        )
