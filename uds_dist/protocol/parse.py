"""Make a control message from the tuple that a peer sent, and check every field.

Source: Distribution Protocol, section "Protocol between Connected Nodes".
"""

from __future__ import annotations

from typing import Final, cast

from uds_dist.errors import RemoteProtocolError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALTACT_SIG_SEND,
    DEMONITOR_P,
    MONITOR_P,
    OPERATIONS,
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND,
    SEND_SENDER,
    SPAWN_REPLY,
    SPAWN_REPLY_TT,
    SPAWN_REQUEST,
    SPAWN_REQUEST_TT,
    TABLE,
    UNLINK_ID,
    UNLINK_ID_ACK,
    AliasSend,
    AltactFlag,
    AltactSigSend,
    AltactSigSendTt,
    ControlMessage,
    DemonitorP,
    Mfa,
    MonitorP,
    Operation,
    PayloadMonitorPExit,
    RegSend,
    Send,
    SendSender,
    SpawnReply,
)

_IN_WORDS: dict[frozenset[type], str] = {
    frozenset((Pid,)): "a pid",
    frozenset((Reference,)): "a reference",
    frozenset((Atom, bool, type(None))): "an atom",
    frozenset((Pid, Atom, bool, type(None))): "a pid or an atom",
    frozenset((Pid, Reference, Atom, bool, type(None))): "a pid, a reference or an atom",
    frozenset((int,)): "an integer",
    frozenset((tuple,)): "{Module, Function, Arity}",
    frozenset((list,)): "a proper list",
}

_ATOMS: dict[object, Atom] = {True: Atom("true"), False: Atom("false"), None: Atom("nil")}
_NAMED_CONSTANTS = frozenset((bool, type(None)))

# ALTACT_SIG_SEND has two shapes, told apart by a flag.
_ALTACT: Final = {row.kind: row for row in TABLE if row.number == ALTACT_SIG_SEND}
_TOKEN = AltactFlag.TOKEN
_ALIAS = AltactFlag.ALIAS
_NAME_FLAG = AltactFlag.NAME

_new: Final = tuple.__new__


def parse(control: tuple[object, ...], has_payload: bool | None = None) -> ControlMessage:
    """Make a typed control message from the tuple that a peer sent.

    Args:
        control: the decoded tuple.
        has_payload: whether a payload came with it; None leaves that unchecked.
    Returns:
        An instance of the operation's class.
    Raises:
        RemoteProtocolError: the operation is unknown, the tuple has the wrong number of fields, a
            field has the wrong type, or a payload is missing or unexpected.

    Source: Distribution Protocol, section "Protocol between Connected Nodes".
    """
    # The operations of nearly all traffic come first: they take a third of the time.
    size = len(control)
    op = control[0] if size else None
    if type(op) is int:
        if has_payload is not False:
            if size == 3:
                if op == SEND_SENDER:
                    if type(control[1]) is Pid and type(control[2]) is Pid:
                        return _new(SendSender, control)
                elif op == ALIAS_SEND:
                    if type(control[1]) is Pid and type(control[2]) is Reference:
                        return _new(AliasSend, control)
                elif op == SEND:
                    if type(control[2]) is Pid:
                        return _new(Send, control)
            elif size == 4:
                if op == REG_SEND:
                    if type(control[1]) is Pid and type(control[3]) is Atom:
                        return _new(RegSend, control)
                elif op == PAYLOAD_MONITOR_P_EXIT:
                    if type(control[1]) is Pid and type(control[2]) is Pid:
                        if type(control[3]) is Reference:
                            return _new(PayloadMonitorPExit, control)
                elif op == ALTACT_SIG_SEND:
                    # The reply to a call between nodes of OTP 28 and later.
                    flags = control[1]
                    if type(flags) is int and flags == _ALIAS:
                        if type(control[2]) is Pid and type(control[3]) is Reference:
                            return _new(AltactSigSend, control)
        elif size == 5 and op == SPAWN_REPLY:
            # The answer to a call of a function: this, and a PAYLOAD_MONITOR_P_EXIT.
            if type(control[1]) is Reference and type(control[2]) is Pid:
                flags = control[3]
                if type(flags) is int and flags >= 0 and type(control[4]) is Pid:
                    return _new(SpawnReply, control)
        elif size == 4 and (op == MONITOR_P or op == DEMONITOR_P):
            target = type(control[2])
            if type(control[1]) is Pid and type(control[3]) is Reference:
                if target is Pid or target is Atom:
                    if op == MONITOR_P:
                        return _new(MonitorP, control)
                    return _new(DemonitorP, control)
    return _parse_any(control, has_payload)


def _parse_any(control: tuple[object, ...], has_payload: bool | None) -> ControlMessage:
    op = control[0] if control else None
    # bool is a subclass of int, and True == 1: the atom true must not be a LINK.
    if type(op) is not int:
        raise RemoteProtocolError(
            f"the peer sent a control message without an operation: {_shown(control)}"
        )
    if op == ALTACT_SIG_SEND:
        return _parse_altact(control, has_payload)
    row = OPERATIONS.get(op)
    if row is None:
        raise RemoteProtocolError(
            f"the peer sent a control message of the unknown operation {shown(op, 40)}: "
            f"{_shown(control)}"
        )
    kind = row.kind
    checked = _checked(row, control, has_payload)
    if op == UNLINK_ID or op == UNLINK_ID_ACK:
        if not 1 <= cast(int, checked[1]) <= 0xFFFF_FFFF_FFFF_FFFF:
            raise RemoteProtocolError(
                f"the id of {kind.__name__} is not between 1 and 2**64 - 1: {_shown(control)}"
            )
    elif op == SPAWN_REPLY or op == SPAWN_REPLY_TT:
        if cast(int, checked[3]) < 0:
            raise RemoteProtocolError(
                f"the flags of {kind.__name__} are negative: {_shown(control)}"
            )
    elif op == SPAWN_REQUEST or op == SPAWN_REQUEST_TT:
        checked = (*checked[:4], _mfa(checked[4], control), *checked[5:])
    return _new(kind, checked)


def _checked(
    row: Operation, control: tuple[object, ...], has_payload: bool | None
) -> tuple[object, ...]:
    """The control tuple with every field checked, and atoms as Atom."""
    name = row.kind.__name__
    fields = row.fields
    if len(control) != len(fields) + 1:
        raise RemoteProtocolError(
            f"the control message {name} has {len(control)} elements instead of"
            f" {len(fields) + 1}: {_shown(control)}"
        )
    if has_payload is not None and has_payload != row.payload:
        needed = "came with a payload" if has_payload else "came without its payload"
        raise RemoteProtocolError(f"the control message {name} {needed}: {_shown(control)}")
    for index, allowed in enumerate(fields, 1):
        if allowed is None:
            continue
        found = type(control[index])
        if found not in allowed:
            raise RemoteProtocolError(
                f"element {index + 1} of the control message {name} is not"
                f" {_IN_WORDS[allowed]}: {_shown(control)}"
            )
        if found in _NAMED_CONSTANTS:
            control = (*control[:index], _ATOMS[control[index]], *control[index + 1 :])
    return control


def _parse_altact(control: tuple[object, ...], has_payload: bool | None) -> ControlMessage:
    flags = control[1] if len(control) > 1 else None
    if type(flags) is not int or flags < 0:
        raise RemoteProtocolError(
            f"the flags of the control message AltactSigSend are not a number: {_shown(control)}"
        )
    # Future nodes may append elements: the guide says to ignore unknown ones.
    if flags & _TOKEN:
        checked = _checked(_ALTACT[AltactSigSendTt], control[:5], has_payload)
    else:
        checked = _checked(_ALTACT[AltactSigSend], control[:4], has_payload)
    by_alias = bool(flags & _ALIAS)
    by_name = bool(flags & _NAME_FLAG)
    wanted = Reference if by_alias else Atom if by_name else Pid
    if by_alias and by_name or type(checked[3]) is not wanted:
        raise RemoteProtocolError(
            f"the destination of the control message AltactSigSend does not fit its flags"
            f" {shown(flags, 40)}: {_shown(control)}"
        )
    if flags & _TOKEN:
        return _new(AltactSigSendTt, checked)
    return _new(AltactSigSend, checked)


def _mfa(value: object, control: tuple[object, ...]) -> Mfa:
    if type(value) is tuple and len(value) == 3:
        module, function, arity = (
            _ATOMS[item] if type(item) in _NAMED_CONSTANTS else item for item in value
        )
        if type(module) is Atom and type(function) is Atom and type(arity) is int and arity >= 0:
            return module, function, arity
    raise RemoteProtocolError(
        f"a spawn request names no {{Module, Function, Arity}}: {_shown(control)}"
    )


def _shown(control: tuple[object, ...]) -> str:
    """A foreign tuple for an error's text, of bounded length."""
    items = [
        shown(item, 64) if type(item) in (int, Pid, Reference) else type(item).__name__
        for item in control[:8]
    ]
    text = "{" + ", ".join(items)
    return text + (", ...}" if len(control) > 8 else "}")
