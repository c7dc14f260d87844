"""The link table of one process.

Both ends of a link keep their own view of it, and signals cross on the wire. The unlink id keeps
the views equal: an end that unlinks keeps its entry, inactive and marked with the id, until that id
is acknowledged. As long as the entry exists, a LINK from the other end was sent before the other
end saw the unlink, and is ignored; both ends then agree that there is no link.

    entry      our link()      our unlink()     LINK        UNLINK_ID     UNLINK_ID_ACK   EXIT
    none       send, active    -                active      ack           -               ignored
    active     -               send, id         -           ack, none     -               none, acts
    id         send, active    -                ignored     ack           none if same id  none

Source: Distribution Protocol, section "Link Protocol".
"""

from __future__ import annotations

from uds_dist.etf.terms import Pid

ACTIVE = 0  # no unlink id is 0


class LinkTable:
    """The links of a process, and its unlinks that still await their acknowledgement."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[Pid, int] = {}

    def __contains__(self, pid: Pid) -> bool:
        return self._entries.get(pid) == ACTIVE

    def __len__(self) -> int:
        """How many entries there are, the inactive ones among them."""
        return len(self._entries)

    def known(self, pid: Pid) -> bool:
        """True when there is an entry, active or not."""
        return pid in self._entries

    def active(self) -> list[Pid]:
        """The linked pids."""
        return [pid for pid, state in self._entries.items() if state == ACTIVE]

    def all(self) -> list[Pid]:
        """The pids of all entries, the inactive ones among them."""
        return list(self._entries)

    def link(self, pid: Pid) -> bool:
        """Note this end's link; True when a LINK signal must be sent."""
        if self._entries.get(pid) == ACTIVE:
            return False
        self._entries[pid] = ACTIVE
        return True

    def unlink(self, pid: Pid, unlink_id: int) -> bool:
        """Note this end's unlink; True when an UNLINK_ID signal with the id must be sent."""
        if self._entries.get(pid) != ACTIVE:
            return False
        self._entries[pid] = unlink_id
        return True

    def received_link(self, pid: Pid) -> None:
        """A LINK signal came; an outstanding unlink precedes it."""
        self._entries.setdefault(pid, ACTIVE)

    def received_unlink(self, pid: Pid) -> None:
        """An UNLINK_ID signal came; it is acknowledged in any case."""
        if self._entries.get(pid) == ACTIVE:
            del self._entries[pid]

    def received_ack(self, pid: Pid, unlink_id: int) -> None:
        """An UNLINK_ID_ACK signal came; it counts for the last unlink only."""
        if unlink_id != ACTIVE and self._entries.get(pid) == unlink_id:
            del self._entries[pid]

    def received_exit(self, pid: Pid) -> bool:
        """An exit signal came over the link; True when the process is to react to it."""
        return self._entries.pop(pid, None) == ACTIVE

    def drop(self, pid: Pid) -> None:
        """Forget an entry whatever its state: its connection is gone."""
        self._entries.pop(pid, None)
