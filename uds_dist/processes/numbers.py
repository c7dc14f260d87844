"""The numbers of one node: pids, references and unlink ids that were never used before."""

from __future__ import annotations

from itertools import count
from secrets import randbits

from uds_dist.etf.terms import Atom, Pid, Reference

MAX_UNLINK_ID = 2**64 - 1


class Numbers:
    """Makes the unique numbers of one node.

    Args:
        name: the node's name.
        creation: the node's creation, which is in every pid and reference.
    """

    def __init__(self, name: Atom, creation: int) -> None:
        self._name = name
        self._creation = creation
        self._pids = count(1)
        # The first word counts; the others make two incarnations with the same creation differ.
        self._references = count(1)
        self._reference_tail = (randbits(32), randbits(32))
        self._unlink_ids = count(1)

    def new_pid(self) -> Pid:
        """A pid that no process of this node has, had or will have."""
        number = next(self._pids)
        return Pid(self._name, number & 0xFFFFFFFF, number >> 32, self._creation)

    def nobody(self) -> Pid:
        """The pid that no process ever has."""
        return Pid(self._name, 0, 0, self._creation)

    def new_reference(self) -> Reference:
        """A reference that equals no other of this node."""
        number = next(self._references)
        second, third = self._reference_tail
        # Older software reads only 18 bits of the first word.
        words = (number & 0x3FFFF, second + (number >> 18) & 0xFFFFFFFF, third)
        return Reference(self._name, self._creation, words)

    def new_unlink_id(self) -> int:
        """The next id of an unlink signal: 64 bits, and never 0."""
        return (next(self._unlink_ids) - 1) % MAX_UNLINK_ID + 1
