"""Helpers for the tests of connections and of signals."""

from __future__ import annotations

from tests.scripted import ScriptedPeer
from uds_dist import Atom, Config, Node
from uds_dist.protocol.flags import default_flags

ALL = default_flags(Config())
UNUSED = Atom("")
OOPS = Atom("oops")
Notices = list[tuple[str, str]]
BELOW, ABOVE = "Apeer@localhost", "zpeer@localhost"  # names on either side of a@localhost


def without(*flags: int) -> int:
    """All flags but these."""
    left = ALL
    for flag in flags:
        left &= ~flag
    return left


def notices_of(node: Node) -> Notices:
    """The notices of `monitor_nodes` from now on."""
    found: Notices = []
    node.monitor_nodes(lambda event, name, _error: found.append((event, name)))
    return found


def dial_both(a: Node, peer: ScriptedPeer, folder: str) -> ScriptedPeer:
    """Make `a` dial the peer and the peer dial `a`; return the peer's own, second connection."""
    peer.listen(folder)
    a.send(("name", peer.name), 1)
    peer.accept()
    assert peer.frame()[:1] == b"N"
    second = ScriptedPeer(a.loop, peer.name)
    second.dial(folder, a.name)
    return second


def name_message(node: Node) -> bytes:
    """The name that a node sends."""
    name = node.name.encode()
    flags = int(default_flags(Config()))
    return (
        b"N"
        + flags.to_bytes(8, "big")
        + node.creation.to_bytes(4, "big")
        + len(name).to_bytes(2, "big")
        + name
    )
