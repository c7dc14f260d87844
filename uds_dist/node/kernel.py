"""The processes that every node has under a name of its own: what a peer expects to find.

`net_kernel` answers pings. Without an answer `net_adm:ping` hangs, or, at a notice that there is
no such process, disconnects the node that it asked.
"""

from __future__ import annotations

from uds_dist.etf.terms import Atom, ImproperList, Pid, Reference
from uds_dist.node.gen import ALIAS, GEN_CALL
from uds_dist.node.mailbox import Mailbox
from uds_dist.node.processes import Processes

NET_KERNEL = "net_kernel"
IS_AUTH = Atom("is_auth")
YES = Atom("yes")


class NetKernel:
    """Answers ``{is_auth, Node}``: the peer that asks has proved the cookie to be connected."""

    def __init__(self, processes: Processes) -> None:
        self.process: Mailbox = processes.new_mailbox(NET_KERNEL, self._on_message, trap_exit=True)
        self.process.system = True

    def _on_message(self, message: object) -> None:
        match message:
            case (label, (Pid() as caller, tag), (request, _node)) if (
                label == GEN_CALL and request == IS_AUTH
            ):
                reply(self.process, caller, tag, YES)


def reply(process: Mailbox, caller: Pid, tag: object, answer: object) -> None:
    """Answer a generic call.

    Args:
        process: the process that answers.
        caller: the pid of the call's ``From``.
        tag: the tag of it; with an alias in it the answer goes to that.
        answer: any term.
    """
    process.send(alias_of(tag) or caller, (tag, answer))


def alias_of(tag: object) -> Reference | None:
    """The alias in the tag of a generic call: ``[alias|Ref]`` or ``[[alias|Ref]|_]``."""
    if isinstance(tag, ImproperList) and len(tag.items) == 1:
        if tag.items[0] == ALIAS and isinstance(tag.tail, Reference):
            return tag.tail
        return alias_of(tag.items[0])
    return None
