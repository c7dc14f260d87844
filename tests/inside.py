"""Helpers that several tests use: access to the insides of objects, and calls by hand."""

from __future__ import annotations

from tests.scripted import ScriptedPeer
from uds_dist import Atom, EventLoop, Mailbox, Pid, Reference
from uds_dist.processes.process import Process
from uds_dist.protocol.control import SPAWN_REQUEST
from uds_dist.services.gen import alias_of


def inside(box: Mailbox) -> Process:
    """The process of a mailbox: its queue, its links, its monitors."""
    return box._process


def reply(box: Mailbox, caller: Pid, tag: object, answer: object) -> None:
    """Answer a generic call as the process of a mailbox."""
    box.send(alias_of(tag) or caller, (tag, answer))


def ask(peer: ScriptedPeer, size: int) -> Reference:
    """Call the function `m:big` of a node, which answers with this many bytes."""
    ref = peer.reference()
    mfa = (Atom("erpc"), Atom("execute_call"), 4)
    control = (SPAWN_REQUEST, ref, peer.pid(), peer.pid(2), mfa, [Atom("monitor")])
    peer.send(control, [ref, Atom("m"), Atom("big"), [size]])
    return ref


def settle(loop: EventLoop) -> None:
    """Run rounds until there is nothing to do: in one process all that is on its way arrives."""
    for _ in range(10_000):
        if not loop.run_once():
            return
    raise AssertionError(f"{loop!r} does not come to rest")
