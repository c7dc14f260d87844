"""How a signal changes for a peer that lacks one of the optional flags.

The rest of the node uses the newest form of every signal. Each connection has its dialect: a table
of the operations that its peer needs in another form, or cannot receive at all. Most traffic is not
in the table, and costs one lookup in it.

    flag missing          instead
    SEND_SENDER           SEND
    EXIT_PAYLOAD          EXIT, EXIT2 and MONITOR_P_EXIT, with the reason inside
    ALTACT_SIG            what it stands for without priority; exit signals to aliases: nothing
    ALIAS                 nothing, as a BEAM does it
    DIST_MONITOR(_NAME)   nothing: the monitor fires when the connection is lost, and only then
    SPAWN                 nothing; the node answers the request itself, with ``notsup``

With ALTACT_SIG, a send to an alias is an ALTACT_SIG_SEND too: ALIAS_SEND is being phased out.

Source: Distribution Protocol, section "Distribution Flags".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, cast

from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALTACT_SIG_SEND,
    DEMONITOR_P,
    EXIT,
    EXIT2,
    MONITOR_P,
    MONITOR_P_EXIT,
    NO_PAYLOAD,
    PAYLOAD_EXIT,
    PAYLOAD_EXIT2,
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND,
    SEND_SENDER,
    SPAWN_REQUEST,
    AltactFlag,
)
from uds_dist.protocol.flags import Flag

Control = tuple[object, ...]
# A signal and its payload in another form; None for a signal that the peer cannot be sent.
Translation = Callable[[Control, object], "tuple[Control, object] | None"]
Dialect = dict[int, Translation]

UNUSED = Atom("")
# The flags that a dialect depends on.
_FLAGS: Final = (
    Flag.SEND_SENDER
    | Flag.EXIT_PAYLOAD
    | Flag.ALIAS
    | Flag.ALTACT_SIG
    | Flag.DIST_MONITOR
    | Flag.DIST_MONITOR_NAME
    | Flag.SPAWN
)
_ALIAS = AltactFlag.ALIAS
_EXIT = AltactFlag.EXIT

# A payload that goes into the tuple: the operation with it, and the one without.
_INLINE = {
    PAYLOAD_EXIT: EXIT,
    PAYLOAD_EXIT2: EXIT2,
    PAYLOAD_MONITOR_P_EXIT: MONITOR_P_EXIT,
}


def dialect(flags: int) -> Dialect:
    """The table of one connection, shared by all connections with these capabilities.

    Args:
        flags: the capabilities of both nodes, `Handshake.effective_flags`.
    Returns:
        Operation -> the function that makes this peer's form of it; an operation that is not in the
        table is sent as it is.
    """
    return _table(flags & _FLAGS)


@cache
def _table(flags: int) -> Dialect:
    table: Dialect = {}
    if not flags & Flag.SEND_SENDER:
        table[SEND_SENDER] = _without_sender
    if not flags & Flag.EXIT_PAYLOAD:
        table.update(dict.fromkeys(_INLINE, _inline))
    if not flags & Flag.ALIAS:
        table[ALIAS_SEND] = _nothing
    elif flags & Flag.ALTACT_SIG:
        table[ALIAS_SEND] = _altact_alias
    if not flags & Flag.ALTACT_SIG:
        plain = dict(table)

        def downgrade(control: Control, payload: object) -> tuple[Control, object] | None:
            older = _without_altact(control)
            if older is None:
                return None
            further = plain.get(cast(int, older[0]))
            return (older, payload) if further is None else further(older, payload)

        table[ALTACT_SIG_SEND] = downgrade
    if not flags & Flag.DIST_MONITOR:
        table[MONITOR_P] = table[DEMONITOR_P] = _nothing
    elif not flags & Flag.DIST_MONITOR_NAME:
        table[MONITOR_P] = table[DEMONITOR_P] = _pids_only
    if not flags & Flag.SPAWN:
        table[SPAWN_REQUEST] = _nothing
    return table


def _without_sender(control: Control, payload: object) -> tuple[Control, object]:
    return (SEND, UNUSED, control[2]), payload


def _inline(control: Control, payload: object) -> tuple[Control, object]:
    return (_INLINE[cast(int, control[0])], *control[1:], payload), NO_PAYLOAD


def _altact_alias(control: Control, payload: object) -> tuple[Control, object]:
    return (ALTACT_SIG_SEND, _ALIAS, control[1], control[2]), payload


def _without_altact(control: Control) -> Control | None:
    _op, flags, from_pid, to = control
    assert isinstance(flags, int)
    if flags & _EXIT:
        return (PAYLOAD_EXIT2, from_pid, to) if isinstance(to, Pid) else None
    if isinstance(to, Pid):
        return (SEND_SENDER, from_pid, to)
    if isinstance(to, Reference):
        return (ALIAS_SEND, from_pid, to)
    return (REG_SEND, from_pid, UNUSED, to)


def _pids_only(control: Control, payload: object) -> tuple[Control, object] | None:
    return (control, payload) if isinstance(control[2], Pid) else None


def _nothing(_control: Control, _payload: object) -> None:
    return None
