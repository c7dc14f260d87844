"""Control messages: the tuple that says what a message between nodes is for.

Each class has the shape of the tuple on the wire, the operation's number first, so an instance is
encoded as it is and costs no more than a tuple. Make one with its number: `SendSender(SEND_SENDER,
from_pid, to_pid)`; `parse.parse` makes them from what a peer sent.

A message is followed by a *payload* (the message sent, the exit reason, the argument list) if its
row of `TABLE` says so. A *trace token* of seq_trace is one of the fields of its class; a node that
does not trace ignores it.

A new message is a class, its row in `TABLE`, and its handler in `signals`.

Source: Distribution Protocol, section "Protocol between Connected Nodes", where each operation
has an entry, from OTP 21 on under "New Ctrlmessages for Erlang/OTP ..."; the classes name theirs.
"""

# No annotations from the future here: NamedTuple would compile each of about a hundred from text.
from enum import Enum, IntEnum
from typing import Final, Literal, NamedTuple, Union, get_args

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


class SpawnFlag(IntEnum):
    """What a SPAWN_REPLY set up together with the new process.

    Source: Distribution Protocol, "New Ctrlmessages for Erlang/OTP 23", SPAWN_REPLY.
    """

    LINK = 1
    MONITOR = 2


class AltactFlag(IntEnum):
    """The kind of an ALTACT_SIG_SEND; other bits are ignored.

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
    """SEND with a trace token; the payload is the message; the trace token comes last.

    Source: SEND_TT.
    """

    op: Literal[12]
    unused: object
    to_pid: Pid
    trace_token: object


class ExitTt(NamedTuple):
    """EXIT with a trace token; no payload; the token precedes the reason. Source: EXIT_TT."""

    op: Literal[13]
    from_pid: Pid
    to_pid: Pid
    trace_token: object
    reason: object


class RegSendTt(NamedTuple):
    """REG_SEND with a trace token; the payload is the message; the trace token comes last.

    Source: REG_SEND_TT.
    """

    op: Literal[16]
    from_pid: Pid
    unused: object
    to_name: Atom
    trace_token: object


class Exit2Tt(NamedTuple):
    """EXIT2 with a trace token; no payload; the trace token precedes the reason.

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
    """from_pid removes its monitor; no payload. Source: DEMONITOR_P."""

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
    """SEND_SENDER with a trace token; the payload is the message; the trace token comes last.

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
    """PAYLOAD_EXIT with a trace token; the payload is the reason; the trace token comes last.

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
    """PAYLOAD_EXIT2 with a trace token; the payload is the reason; the trace token comes last.

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
    """from_pid asks for a new process; req_id is also its monitor's reference.

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

    The payload is the list of arguments; the trace token comes last.

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
    """SPAWN_REPLY with a trace token; no payload; the trace token comes last.

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
    """ALIAS_SEND with a trace token; the payload is the message; the trace token comes last.

    Source: OTP 24, ALIAS_SEND_TT.
    """

    op: Literal[34]
    from_pid: Pid
    alias: Reference
    trace_token: object


class UnlinkId(NamedTuple):
    """from_pid ends its link with to_pid; acknowledged by the id, 1 to 2**64 - 1; no payload.

    Source: OTP 23, UNLINK_ID.
    """

    op: Literal[35]
    id: int
    from_pid: Pid
    to_pid: Pid


class UnlinkIdAck(NamedTuple):
    """from_pid has received the UNLINK_ID of to_pid; no payload. Source: OTP 23, UNLINK_ID_ACK."""

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

    The payload is the message, or the reason with the flag EXIT; the trace token comes last.

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

# The Python types that a field's terms decode to, by its annotation; None for any term. The atoms
# true, false and nil decode to True, False and None; here they are ordinary names.
Kinds = Union[frozenset[type], None]
_KINDS: dict[object, Kinds] = {
    object: None,
    int: frozenset((int,)),
    list[object]: frozenset((list,)),
    Mfa: frozenset((tuple,)),
    Reference: frozenset((Reference,)),
    Pid: frozenset((Pid,)),
    Atom: frozenset((Atom, bool, type(None))),
    Proc: frozenset((Pid, Atom, bool, type(None))),
    Dest: frozenset((Pid, Reference, Atom, bool, type(None))),
}


class Operation(NamedTuple):
    """A row of the table: one operation.

    ``number`` and ``fields`` are those of the class; ``payload`` says whether a payload follows,
    ``connects`` whether the message opens a connection if there is none. A message that opens no
    connection ends something that would end with the connection anyway.
    """

    number: int
    kind: type[ControlMessage]
    fields: tuple[Kinds, ...]
    payload: bool
    connects: bool


def _row(kind: type[ControlMessage], payload: bool, connects: bool) -> Operation:
    op, *fields = kind.__annotations__.values()
    kinds = tuple([_KINDS[field] for field in fields])
    return Operation(get_args(op)[0], kind, kinds, payload, connects)


# One row for each operation: its class, whether a payload follows, whether it opens a connection.
TABLE: Final = (
    _row(Link, False, True),
    _row(Send, True, True),
    _row(Exit, False, False),
    _row(Unlink, False, False),
    _row(NodeLink, False, False),
    _row(RegSend, True, True),
    _row(GroupLeader, False, True),
    _row(Exit2, False, True),
    _row(SendTt, True, True),
    _row(ExitTt, False, False),
    _row(RegSendTt, True, True),
    _row(Exit2Tt, False, True),
    _row(MonitorP, False, True),
    _row(DemonitorP, False, False),
    _row(MonitorPExit, False, False),
    _row(SendSender, True, True),
    _row(SendSenderTt, True, True),
    _row(PayloadExit, True, False),
    _row(PayloadExitTt, True, False),
    _row(PayloadExit2, True, True),
    _row(PayloadExit2Tt, True, True),
    _row(PayloadMonitorPExit, True, False),
    _row(SpawnRequest, True, True),
    _row(SpawnRequestTt, True, True),
    _row(SpawnReply, False, False),
    _row(SpawnReplyTt, False, False),
    _row(AliasSend, True, True),
    _row(AliasSendTt, True, True),
    _row(UnlinkId, False, False),
    _row(UnlinkIdAck, False, False),
    _row(AltactSigSendTt, True, True),
    _row(AltactSigSend, True, True),
)

# By number; the two shapes of ALTACT_SIG_SEND differ only in their last field.
OPERATIONS: Final = {row.number: row for row in TABLE}
OPENS_CONNECTION: Final = frozenset([row.number for row in TABLE if row.connects])
