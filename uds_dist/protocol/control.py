"""Control messages: the tuple that says what a message between nodes is for.

Each class has the shape of the tuple on the wire, the operation's number first, so that an
instance is encoded as it stands and costs no more than a tuple. Make one with its number:
`SendSender(SEND_SENDER, from_pid, to_pid)`; `parse` makes them from what a peer sent.

A message is followed by a *payload* (the message sent, the exit reason, the argument list) where
its class says so; `WITH_PAYLOAD` is the list. A *trace token* of seq_trace stands where its class
says; a node that does not trace ignores it.

Source: Distribution Protocol, section "Protocol between Connected Nodes", where each operation
has an entry, from OTP 21 on under "New Ctrlmessages for Erlang/OTP ..."; the classes name theirs.
"""

# No annotations from the future here: as text, NamedTuple would compile each of some hundred.
from enum import Enum, IntFlag
from typing import Final, Literal, NamedTuple, Union, cast

from uds_dist.errors import RemoteProtocolError
from uds_dist.etf.terms import Atom, Pid, Reference


class NoPayload(Enum):
    """The type of `NO_PAYLOAD`."""

    NO_PAYLOAD = "no payload"


NO_PAYLOAD: Final = NoPayload.NO_PAYLOAD

LINK: Final = 1
SEND: Final = 2
EXIT: Final = 3
UNLINK: Final = 4
NODE_LINK: Final = 5
REG_SEND: Final = 6
GROUP_LEADER: Final = 7
EXIT2: Final = 8
SEND_TT: Final = 12
EXIT_TT: Final = 13
REG_SEND_TT: Final = 16
EXIT2_TT: Final = 18
MONITOR_P: Final = 19
DEMONITOR_P: Final = 20
MONITOR_P_EXIT: Final = 21
SEND_SENDER: Final = 22
SEND_SENDER_TT: Final = 23
PAYLOAD_EXIT: Final = 24
PAYLOAD_EXIT_TT: Final = 25
PAYLOAD_EXIT2: Final = 26
PAYLOAD_EXIT2_TT: Final = 27
PAYLOAD_MONITOR_P_EXIT: Final = 28
SPAWN_REQUEST: Final = 29
SPAWN_REQUEST_TT: Final = 30
SPAWN_REPLY: Final = 31
SPAWN_REPLY_TT: Final = 32
ALIAS_SEND: Final = 33
ALIAS_SEND_TT: Final = 34
UNLINK_ID: Final = 35
UNLINK_ID_ACK: Final = 36
ALTACT_SIG_SEND: Final = 37


class SpawnFlag(IntFlag):
    """What a SPAWN_REPLY says was set up along with the new process.

    Source: Distribution Protocol, "New Ctrlmessages for Erlang/OTP 23", SPAWN_REPLY.
    """

    LINK = 1
    MONITOR = 2


class AltactFlag(IntFlag):
    """What an ALTACT_SIG_SEND is: other bits are to be ignored.

    Without ALIAS and NAME it goes to a pid; without EXIT it is a message.

    Source: Distribution Protocol, "New Ctrlmessages for Erlang/OTP 28", ALTACT_SIG_SEND.
    """

    PRIO = 1
    TOKEN = 2
    ALIAS = 4
    NAME = 8
    EXIT = 16


Proc = Union[Pid, Atom]
Dest = Union[Pid, Atom, Reference]
Mfa = tuple[Atom, Atom, int]


class Link(NamedTuple):
    """from_pid wants a link with to_pid; no payload. Source: LINK."""

    op: Literal[1]
    from_pid: Pid
    to_pid: Pid


class Send(NamedTuple):
    """A message to a process; the second field is not used; the payload is the message.

    Source: SEND.
    """

    op: Literal[2]
    unused: object
    to_pid: Pid


class Exit(NamedTuple):
    """from_pid ended and to_pid was linked to it; no payload. Source: EXIT."""

    op: Literal[3]
    from_pid: Pid
    to_pid: Pid
    reason: object


class Unlink(NamedTuple):
    """The end of a link, as OTP 25 and older said it: obsolete; no payload. Source: UNLINK."""

    op: Literal[4]
    from_pid: Pid
    to_pid: Pid


class NodeLink(NamedTuple):
    """Obsolete; no node sends it; no payload. Source: NODE_LINK."""

    op: Literal[5]


class RegSend(NamedTuple):
    """A message to a registered name; the third field is not used; the payload is the message.

    Source: REG_SEND.
    """

    op: Literal[6]
    from_pid: Pid
    unused: object
    to_name: Atom


class GroupLeader(NamedTuple):
    """from_pid becomes the group leader of to_pid; no payload. Source: GROUP_LEADER."""

    op: Literal[7]
    from_pid: Pid
    to_pid: Pid


class Exit2(NamedTuple):
    """from_pid called exit/2 on to_pid; no payload. Source: EXIT2."""

    op: Literal[8]
    from_pid: Pid
    to_pid: Pid
    reason: object


class SendTt(NamedTuple):
    """SEND with a trace token; the payload is the message; the trace token stands last.

    Source: SEND_TT.
    """

    op: Literal[12]
    unused: object
    to_pid: Pid
    trace_token: object


class ExitTt(NamedTuple):
    """EXIT with a trace token; no payload; the token stands before the reason. Source: EXIT_TT."""

    op: Literal[13]
    from_pid: Pid
    to_pid: Pid
    trace_token: object
    reason: object


class RegSendTt(NamedTuple):
    """REG_SEND with a trace token; the payload is the message; the trace token stands last.

    Source: REG_SEND_TT.
    """

    op: Literal[16]
    from_pid: Pid
    unused: object
    to_name: Atom
    trace_token: object


class Exit2Tt(NamedTuple):
    """EXIT2 with a trace token; no payload; the trace token stands before the reason.

    Source: EXIT2_TT.
    """

    op: Literal[18]
    from_pid: Pid
    to_pid: Pid
    trace_token: object
    reason: object


class MonitorP(NamedTuple):
    """from_pid monitors a process or a registered name; no payload. Source: MONITOR_P."""

    op: Literal[19]
    from_pid: Pid
    to_proc: Proc
    ref: Reference


class DemonitorP(NamedTuple):
    """from_pid takes its monitor back; no payload. Source: DEMONITOR_P."""

    op: Literal[20]
    from_pid: Pid
    to_proc: Proc
    ref: Reference


class MonitorPExit(NamedTuple):
    """What to_pid monitored is down; no payload. Source: MONITOR_P_EXIT."""

    op: Literal[21]
    from_proc: Proc
    to_pid: Pid
    ref: Reference
    reason: object


class SendSender(NamedTuple):
    """A message to a process, with its sender; for nodes with SEND_SENDER.

    The payload is the message. Source: OTP 21, SEND_SENDER.
    """

    op: Literal[22]
    from_pid: Pid
    to_pid: Pid


class SendSenderTt(NamedTuple):
    """SEND_SENDER with a trace token; the payload is the message; the trace token stands last.

    Source: OTP 21, SEND_SENDER_TT.
    """

    op: Literal[23]
    from_pid: Pid
    to_pid: Pid
    trace_token: object


class PayloadExit(NamedTuple):
    """EXIT with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_EXIT.
    """

    op: Literal[24]
    from_pid: Pid
    to_pid: Pid


class PayloadExitTt(NamedTuple):
    """PAYLOAD_EXIT with a trace token; the payload is the reason; the trace token stands last.

    Source: OTP 22, PAYLOAD_EXIT_TT.
    """

    op: Literal[25]
    from_pid: Pid
    to_pid: Pid
    trace_token: object


class PayloadExit2(NamedTuple):
    """EXIT2 with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_EXIT2.
    """

    op: Literal[26]
    from_pid: Pid
    to_pid: Pid


class PayloadExit2Tt(NamedTuple):
    """PAYLOAD_EXIT2 with a trace token; the payload is the reason; the trace token stands last.

    Source: OTP 22, PAYLOAD_EXIT2_TT.
    """

    op: Literal[27]
    from_pid: Pid
    to_pid: Pid
    trace_token: object


class PayloadMonitorPExit(NamedTuple):
    """MONITOR_P_EXIT with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_MONITOR_P_EXIT.
    """

    op: Literal[28]
    from_proc: Proc
    to_pid: Pid
    ref: Reference


class SpawnRequest(NamedTuple):
    """from_pid asks for a new process; req_id is its monitor's reference too.

    The payload is the list of arguments. Source: OTP 23, SPAWN_REQUEST.
    """

    op: Literal[29]
    req_id: Reference
    from_pid: Pid
    group_leader: Pid
    mfa: Mfa
    opts: list[object]


class SpawnRequestTt(NamedTuple):
    """SPAWN_REQUEST with a trace token.

    The payload is the list of arguments; the trace token stands last.

    Source: OTP 23, SPAWN_REQUEST_TT.
    """

    op: Literal[30]
    req_id: Reference
    from_pid: Pid
    group_leader: Pid
    mfa: Mfa
    opts: list[object]
    trace_token: object


class SpawnReply(NamedTuple):
    """The new process's pid, or an atom that says why there is none; flags: `SpawnFlag`.

    No payload. Source: OTP 23, SPAWN_REPLY.
    """

    op: Literal[31]
    req_id: Reference
    to_pid: Pid
    flags: int
    result: Proc


class SpawnReplyTt(NamedTuple):
    """SPAWN_REPLY with a trace token; no payload; the trace token stands last.

    Source: OTP 23, SPAWN_REPLY_TT.
    """

    op: Literal[32]
    req_id: Reference
    to_pid: Pid
    flags: int
    result: Proc
    trace_token: object


class AliasSend(NamedTuple):
    """A message to a process alias; for nodes with ALIAS; the payload is the message.

    Source: OTP 24, ALIAS_SEND.
    """

    op: Literal[33]
    from_pid: Pid
    alias: Reference


class AliasSendTt(NamedTuple):
    """ALIAS_SEND with a trace token; the payload is the message; the trace token stands last.

    Source: OTP 24, ALIAS_SEND_TT.
    """

    op: Literal[34]
    from_pid: Pid
    alias: Reference
    trace_token: object


class UnlinkId(NamedTuple):
    """from_pid ends its link with to_pid; to be acknowledged by the id, 1 to 2**64 - 1; no payload.

    Source: OTP 23, UNLINK_ID.
    """

    op: Literal[35]
    id: int
    from_pid: Pid
    to_pid: Pid


class UnlinkIdAck(NamedTuple):
    """from_pid has seen the UNLINK_ID of to_pid; no payload. Source: OTP 23, UNLINK_ID_ACK."""

    op: Literal[36]
    id: int
    from_pid: Pid
    to_pid: Pid


class AltactSigSend(NamedTuple):
    """A message or an exit signal by `AltactFlag`; for nodes with ALTACT_SIG.

    The payload is the message, or the reason with the flag EXIT. Source: OTP 28, ALTACT_SIG_SEND.
    """

    op: Literal[37]
    flags: int
    from_pid: Pid
    to: Dest


class AltactSigSendTt(NamedTuple):
    """ALTACT_SIG_SEND with the flag TOKEN and a trace token.

    The payload is the message, or the reason with the flag EXIT; the trace token stands last.

    Source: OTP 28, ALTACT_SIG_SEND.
    """

    op: Literal[37]
    flags: int
    from_pid: Pid
    to: Dest
    trace_token: object


ControlMessage = Union[
    Link,
    Send,
    Exit,
    Unlink,
    NodeLink,
    RegSend,
    GroupLeader,
    Exit2,
    SendTt,
    ExitTt,
    RegSendTt,
    Exit2Tt,
    MonitorP,
    DemonitorP,
    MonitorPExit,
    SendSender,
    SendSenderTt,
    PayloadExit,
    PayloadExitTt,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadMonitorPExit,
    SpawnRequest,
    SpawnRequestTt,
    SpawnReply,
    SpawnReplyTt,
    AliasSend,
    AliasSendTt,
    UnlinkId,
    UnlinkIdAck,
    AltactSigSend,
    AltactSigSendTt,
]

# The operations that a payload follows; the others have none.
WITH_PAYLOAD: Final = frozenset(
    (
        SEND,
        REG_SEND,
        SEND_TT,
        REG_SEND_TT,
        SEND_SENDER,
        SEND_SENDER_TT,
        PAYLOAD_EXIT,
        PAYLOAD_EXIT_TT,
        PAYLOAD_EXIT2,
        PAYLOAD_EXIT2_TT,
        PAYLOAD_MONITOR_P_EXIT,
        SPAWN_REQUEST,
        SPAWN_REQUEST_TT,
        ALIAS_SEND,
        ALIAS_SEND_TT,
        ALTACT_SIG_SEND,
    )
)

# What a field may be: the Python types its terms decode to, ANY for a term of any kind. The atoms
# true, false and nil decode to True, False and None, and are names like any other here.
_Kind = Union[frozenset[type], None]
_ANY: _Kind = None
_PID: _Kind = frozenset((Pid,))
_REF: _Kind = frozenset((Reference,))
_NAME: _Kind = frozenset((Atom, bool, type(None)))
_PROC: _Kind = frozenset((Pid, Atom, bool, type(None)))
_DEST: _Kind = frozenset((Pid, Reference, Atom, bool, type(None)))
_INT: _Kind = frozenset((int,))
_ID: _Kind = frozenset((int,))
_MFA: _Kind = frozenset((tuple,))
_LIST: _Kind = frozenset((list,))
_IN_WORDS: dict[_Kind, str] = {
    _PID: "a pid",
    _REF: "a reference",
    _NAME: "an atom",
    _PROC: "a pid or an atom",
    _DEST: "a pid, a reference or an atom",
    _INT: "an integer",
    _MFA: "{Module, Function, Arity}",
    _LIST: "a proper list",
}

_ATOMS: dict[object, Atom] = {True: Atom("true"), False: Atom("false"), None: Atom("nil")}
_NAMED_CONSTANTS = frozenset((bool, type(None)))

# The table that `parse` goes by: operation -> its class and the kinds of its fields.
_SHAPES: dict[int, tuple[type[ControlMessage], tuple[_Kind, ...]]] = {
    LINK: (Link, (_PID, _PID)),
    SEND: (Send, (_ANY, _PID)),
    EXIT: (Exit, (_PID, _PID, _ANY)),
    UNLINK: (Unlink, (_PID, _PID)),
    NODE_LINK: (NodeLink, ()),
    REG_SEND: (RegSend, (_PID, _ANY, _NAME)),
    GROUP_LEADER: (GroupLeader, (_PID, _PID)),
    EXIT2: (Exit2, (_PID, _PID, _ANY)),
    SEND_TT: (SendTt, (_ANY, _PID, _ANY)),
    EXIT_TT: (ExitTt, (_PID, _PID, _ANY, _ANY)),
    REG_SEND_TT: (RegSendTt, (_PID, _ANY, _NAME, _ANY)),
    EXIT2_TT: (Exit2Tt, (_PID, _PID, _ANY, _ANY)),
    MONITOR_P: (MonitorP, (_PID, _PROC, _REF)),
    DEMONITOR_P: (DemonitorP, (_PID, _PROC, _REF)),
    MONITOR_P_EXIT: (MonitorPExit, (_PROC, _PID, _REF, _ANY)),
    SEND_SENDER: (SendSender, (_PID, _PID)),
    SEND_SENDER_TT: (SendSenderTt, (_PID, _PID, _ANY)),
    PAYLOAD_EXIT: (PayloadExit, (_PID, _PID)),
    PAYLOAD_EXIT_TT: (PayloadExitTt, (_PID, _PID, _ANY)),
    PAYLOAD_EXIT2: (PayloadExit2, (_PID, _PID)),
    PAYLOAD_EXIT2_TT: (PayloadExit2Tt, (_PID, _PID, _ANY)),
    PAYLOAD_MONITOR_P_EXIT: (PayloadMonitorPExit, (_PROC, _PID, _REF)),
    SPAWN_REQUEST: (SpawnRequest, (_REF, _PID, _PID, _MFA, _LIST)),
    SPAWN_REQUEST_TT: (SpawnRequestTt, (_REF, _PID, _PID, _MFA, _LIST, _ANY)),
    SPAWN_REPLY: (SpawnReply, (_REF, _PID, _INT, _PROC)),
    SPAWN_REPLY_TT: (SpawnReplyTt, (_REF, _PID, _INT, _PROC, _ANY)),
    ALIAS_SEND: (AliasSend, (_PID, _REF)),
    ALIAS_SEND_TT: (AliasSendTt, (_PID, _REF, _ANY)),
    UNLINK_ID: (UnlinkId, (_ID, _PID, _PID)),
    UNLINK_ID_ACK: (UnlinkIdAck, (_ID, _PID, _PID)),
}

# ALTACT_SIG_SEND has two shapes, told apart by a flag.
_ALTACT_KINDS = (_INT, _PID, _DEST)
_ALTACT_KINDS_TT = (*_ALTACT_KINDS, _ANY)
# Plain integers: an IntFlag would remember every value that a peer makes up.
_TOKEN = int(AltactFlag.TOKEN)
_ALIAS = int(AltactFlag.ALIAS)
_NAME_FLAG = int(AltactFlag.NAME)

_new = tuple.__new__


def parse(control: tuple[object, ...], has_payload: bool | None = None) -> ControlMessage:
    """Make a typed control message of the tuple that a peer sent.

    Args:
        control: the decoded tuple.
        has_payload: whether a payload came with it; None leaves that unchecked.
    Returns:
        An instance of the operation's class.
    Raises:
        RemoteProtocolError: the operation is unknown, the tuple has not its number of fields,
            a field is not of its kind, or there is a payload too many or too few.

    Source: Distribution Protocol, section "Protocol between Connected Nodes".
    """
    # What carries nearly all traffic, first and by itself: in a third of the time.
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
                elif op == ALTACT_SIG_SEND and control[1] == _ALIAS:
                    # What a reply to a call is sent with between nodes of OTP 28 and later.
                    if type(control[2]) is Pid and type(control[3]) is Reference:
                        if type(control[1]) is int:
                            return _new(AltactSigSend, control)
        elif size == 5 and op == SPAWN_REPLY:
            # How a call of a function is answered: this, and a PAYLOAD_MONITOR_P_EXIT.
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
    # bool is a subclass of int, and True == 1: the atom true is no LINK.
    if type(op) is not int:
        raise RemoteProtocolError(
            f"the peer sent a control message without an operation: {_shown(control)}"
        )
    if op == ALTACT_SIG_SEND:
        return _parse_altact(control, has_payload)
    shape = _SHAPES.get(op)
    if shape is None:
        raise RemoteProtocolError(
            f"the peer sent a control message of the unknown operation {op}: {_shown(control)}"
        )
    kind, fields = shape
    checked = _checked(kind.__name__, fields, control, has_payload)
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
    name: str,
    fields: tuple[_Kind, ...],
    control: tuple[object, ...],
    has_payload: bool | None,
) -> tuple[object, ...]:
    """The control tuple with every field of its kind, and atoms as Atom."""
    if len(control) != len(fields) + 1:
        raise RemoteProtocolError(
            f"the control message {name} has {len(control)} elements instead of"
            f" {len(fields) + 1}: {_shown(control)}"
        )
    if has_payload is not None and has_payload != (control[0] in WITH_PAYLOAD):
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
            f"the flags of the control message AltactSigSend are no number: {_shown(control)}"
        )
    # Nodes to come may append elements: the guide wants more than the known ones ignored.
    if flags & _TOKEN:
        checked = _checked("AltactSigSendTt", _ALTACT_KINDS_TT, control[:5], has_payload)
    else:
        checked = _checked("AltactSigSend", _ALTACT_KINDS, control[:4], has_payload)
    by_alias = bool(flags & _ALIAS)
    by_name = bool(flags & _NAME_FLAG)
    wanted = Reference if by_alias else Atom if by_name else Pid
    if by_alias and by_name or type(checked[3]) is not wanted:
        raise RemoteProtocolError(
            f"the destination of the control message AltactSigSend does not fit its flags"
            f" {flags:#x}: {_shown(control)}"
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
        str(item) if type(item) in (int, Pid, Reference) else type(item).__name__
        for item in control[:8]
    ]
    text = "{" + ", ".join(item[:64] for item in items)
    return text + (", ...}" if len(control) > 8 else "}")
