"""Access to the insides of the objects that programs hold."""

from __future__ import annotations

from uds_dist import Mailbox, Pid
from uds_dist.processes.process import Process
from uds_dist.services.gen import alias_of


def inside(box: Mailbox) -> Process:
    """The process of a mailbox: its queue, its links, its monitors."""
    return box._process


def reply(box: Mailbox, caller: Pid, tag: object, answer: object) -> None:
    """Answer a generic call as the process of a mailbox."""
    box.send(alias_of(tag) or caller, (tag, answer))
