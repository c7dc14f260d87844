"""Where a message goes: a process by its pid, alias or name; and which names are valid."""

from __future__ import annotations

from uds_dist.errors import EncodeError
from uds_dist.etf.atoms import atom_of
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference

Destination = Pid | Reference | str | tuple[str, str]


def process_and_node(dest: object, here: str) -> tuple[Pid | Atom, str]:
    """The target that a signal names, and its node.

    Args:
        dest: a Pid, a registered name, or ``(name, node)``.
        here: the node that is meant by a name alone.
    Raises:
        EncodeError: it is none of these.
    """
    if isinstance(dest, Pid):
        return dest, dest.node
    name, node = name_and_node(dest, here)
    return Atom(name), Atom(node)


def name_and_node(dest: object, here: str) -> tuple[str, str]:
    """Split a destination that is not a pid into a registered name and a node.

    Args:
        dest: a registered name, or ``(name, node)``.
        here: the node that is meant by a name alone.
    Raises:
        EncodeError: it is neither.
    """
    if isinstance(dest, tuple):
        if len(dest) == 2:
            name, node = dest
            if isinstance(node, str):
                if isinstance(name, str):
                    return name, node
                atom = atom_of(name)  # True, False and None are names like any other
                if atom is not None:
                    return atom, node
    elif isinstance(dest, str):
        return dest, here
    raise EncodeError(
        f"{shown(dest)} is not a destination: use a Pid, a Reference, a registered name,"
        " or (name, node)"
    )


def check_names(names: object) -> None:
    """Refuse one name where several are expected: each character would count as a name.

    Raises:
        TypeError: it is a text.
    """
    if isinstance(names, (str, bytes)):
        raise TypeError("the names are one text: give a list of names")


def checked_name(name: object) -> str:
    """The name of a module, a function or a process.

    Raises:
        TypeError: it is neither text nor one of True, False and None.
    """
    if isinstance(name, str):
        return name
    atom = atom_of(name)
    if atom is None:
        raise TypeError(f"a name is a {type(name).__name__}: give a str or an Atom")
    return atom
