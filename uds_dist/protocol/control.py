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
from enum import Enum
from typing import Final, NamedTuple, Union

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


class SpawnFlag:
    """What a SPAWN_REPLY set up together with the new process.

    Source: Distribution Protocol, "New Ctrlmessages for Erlang/OTP 23", SPAWN_REPLY.
    """

    LINK: Final = 1
    MONITOR: Final = 2


class AltactFlag:
    """The kind of an ALTACT_SIG_SEND; other bits are ignored.

    Without ALIAS and NAME it goes to a pid; without EXIT it is a message.

    Source: Distribution Protocol, "New Ctrlmessages for Erlang/OTP 28", ALTACT_SIG_SEND.
    """

    PRIO: Final = 1
    TOKEN: Final = 2
    ALIAS: Final = 4
    NAME: Final = 8
    EXIT: Final = 16


Proc = Union[Pid, Atom]
Dest = Union[Pid, Atom, Reference]
Mfa = tuple[Atom, Atom, int]


# The shapes of messages that differ only in their operation.


class FromTo(NamedTuple):
    """A message from one process to another."""

    op: int
    from_pid: Pid
    to_pid: Pid


class FromToTt(NamedTuple):
    """A message from one process to another, with a trace token."""

    op: int
    from_pid: Pid
    to_pid: Pid
    trace_token: object


class FromToReason(NamedTuple):
    """A message from one process to another, with a reason."""

    op: int
    from_pid: Pid
    to_pid: Pid
    reason: object


class FromToReasonTt(NamedTuple):
    """A message from one process to another, with a trace token and a reason."""

    op: int
    from_pid: Pid
    to_pid: Pid
    trace_token: object
    reason: object


class FromToMonitor(NamedTuple):
    """A message about a monitor: from its owner to what it monitors."""

    op: int
    from_pid: Pid
    to_proc: Proc
    ref: Reference


class FromToUnlink(NamedTuple):
    """A message about the end of a link, which the id identifies."""

    op: int
    id: int
    from_pid: Pid
    to_pid: Pid


class Link(FromTo):
    """from_pid wants a link with to_pid; no payload. Source: LINK."""

    __slots__ = ()


class Send(NamedTuple):
    """A message to a process; the second field is not used; the payload is the message.

    Source: SEND.
    """

    op: int
    unused: object
    to_pid: Pid


class Exit(FromToReason):
    """from_pid ended and to_pid was linked to it; no payload. Source: EXIT."""

    __slots__ = ()


class Unlink(FromTo):
    """The end of a link, as OTP 25 and older said it: obsolete; no payload. Source: UNLINK."""

    __slots__ = ()


class NodeLink(NamedTuple):
    """Obsolete; no node sends it; no payload. Source: NODE_LINK."""

    op: int


class RegSend(NamedTuple):
    """A message to a registered name; the third field is not used; the payload is the message.

    Source: REG_SEND.
    """

    op: int
    from_pid: Pid
    unused: object
    to_name: Atom


class GroupLeader(FromTo):
    """from_pid becomes the group leader of to_pid; no payload. Source: GROUP_LEADER."""

    __slots__ = ()


class Exit2(FromToReason):
    """from_pid called exit/2 on to_pid; no payload. Source: EXIT2."""

    __slots__ = ()


class SendTt(NamedTuple):
    """SEND with a trace token; the payload is the message; the trace token comes last.

    Source: SEND_TT.
    """

    op: int
    unused: object
    to_pid: Pid
    trace_token: object


class ExitTt(FromToReasonTt):
    """EXIT with a trace token; no payload; the token precedes the reason. Source: EXIT_TT."""

    __slots__ = ()


class RegSendTt(NamedTuple):
    """REG_SEND with a trace token; the payload is the message; the trace token comes last.

    Source: REG_SEND_TT.
    """

    op: int
    from_pid: Pid
    unused: object
    to_name: Atom
    trace_token: object


class Exit2Tt(FromToReasonTt):
    """EXIT2 with a trace token; no payload; the trace token precedes the reason.

    Source: EXIT2_TT.
    """

    __slots__ = ()


class MonitorP(FromToMonitor):
    """from_pid monitors a process or a registered name; no payload. Source: MONITOR_P."""

    __slots__ = ()


class DemonitorP(FromToMonitor):
    """from_pid removes its monitor; no payload. Source: DEMONITOR_P."""

    __slots__ = ()


class MonitorPExit(NamedTuple):
    """What to_pid monitored is down; no payload. Source: MONITOR_P_EXIT."""

    op: int
    from_proc: Proc
    to_pid: Pid
    ref: Reference
    reason: object


class SendSender(FromTo):
    """A message to a process, with its sender; for nodes with SEND_SENDER.

    The payload is the message. Source: OTP 21, SEND_SENDER.
    """

    __slots__ = ()


class SendSenderTt(FromToTt):
    """SEND_SENDER with a trace token; the payload is the message; the trace token comes last.

    Source: OTP 21, SEND_SENDER_TT.
    """

    __slots__ = ()


class PayloadExit(FromTo):
    """EXIT with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_EXIT.
    """

    __slots__ = ()


class PayloadExitTt(FromToTt):
    """PAYLOAD_EXIT with a trace token; the payload is the reason; the trace token comes last.

    Source: OTP 22, PAYLOAD_EXIT_TT.
    """

    __slots__ = ()


class PayloadExit2(FromTo):
    """EXIT2 with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_EXIT2.
    """

    __slots__ = ()


class PayloadExit2Tt(FromToTt):
    """PAYLOAD_EXIT2 with a trace token; the payload is the reason; the trace token comes last.

    Source: OTP 22, PAYLOAD_EXIT2_TT.
    """

    __slots__ = ()


class PayloadMonitorPExit(NamedTuple):
    """MONITOR_P_EXIT with its reason as payload; for nodes with EXIT_PAYLOAD.

    The payload is the reason. Source: OTP 22, PAYLOAD_MONITOR_P_EXIT.
    """

    op: int
    from_proc: Proc
    to_pid: Pid
    ref: Reference


class SpawnRequest(NamedTuple):
    """from_pid asks for a new process; req_id is also its monitor's reference.

    The payload is the list of arguments. Source: OTP 23, SPAWN_REQUEST.
    """

    op: int
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

    op: int
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

    op: int
    req_id: Reference
    to_pid: Pid
    flags: int
    result: Proc


class SpawnReplyTt(NamedTuple):
    """SPAWN_REPLY with a trace token; no payload; the trace token comes last.

    Source: OTP 23, SPAWN_REPLY_TT.
    """

    op: int
    req_id: Reference
    to_pid: Pid
    flags: int
    result: Proc
    trace_token: object


class AliasSend(NamedTuple):
    """A message to a process alias; for nodes with ALIAS; the payload is the message.

    Source: OTP 24, ALIAS_SEND.
    """

    op: int
    from_pid: Pid
    alias: Reference


class AliasSendTt(NamedTuple):
    """ALIAS_SEND with a trace token; the payload is the message; the trace token comes last.

    Source: OTP 24, ALIAS_SEND_TT.
    """

    op: int
    from_pid: Pid
    alias: Reference
    trace_token: object


class UnlinkId(FromToUnlink):
    """from_pid ends its link with to_pid; acknowledged by the id, 1 to 2**64 - 1; no payload.

    Source: OTP 23, UNLINK_ID.
    """

    __slots__ = ()


class UnlinkIdAck(FromToUnlink):
    """from_pid has received the UNLINK_ID of to_pid; no payload. Source: OTP 23, UNLINK_ID_ACK."""

    __slots__ = ()


class AltactSigSend(NamedTuple):
    """A message or an exit signal by `AltactFlag`; for nodes with ALTACT_SIG.

    The payload is the message, or the reason with the flag EXIT. Source: OTP 28, ALTACT_SIG_SEND.
    """

    op: int
    flags: int
    from_pid: Pid
    to: Dest


class AltactSigSendTt(NamedTuple):
    """ALTACT_SIG_SEND with the flag TOKEN and a trace token.

    The payload is the message, or the reason with the flag EXIT; the trace token comes last.

    Source: OTP 28, ALTACT_SIG_SEND.
    """

    op: int
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

# The Python types that a field's terms decode to, by its name; None for any term. The atoms true,
# false and nil decode to True, False and None; here they are ordinary names.
Kinds = Union[frozenset[type], None]
_ATOM: Final[Kinds] = frozenset((Atom, bool, type(None)))
_PROC: Final[Kinds] = frozenset((Pid, Atom, bool, type(None)))
_PID: Final[Kinds] = frozenset((Pid,))
_REFERENCE: Final[Kinds] = frozenset((Reference,))
_INT: Final[Kinds] = frozenset((int,))
_KINDS: dict[str, Kinds] = {
    "alias": _REFERENCE,
    "flags": _INT,
    "from_pid": _PID,
    "from_proc": _PROC,
    "group_leader": _PID,
    "id": _INT,
    "mfa": frozenset((tuple,)),
    "opts": frozenset((list,)),
    "reason": None,
    "ref": _REFERENCE,
    "req_id": _REFERENCE,
    "result": _PROC,
    "to": frozenset((Pid, Reference, Atom, bool, type(None))),
    "to_name": _ATOM,
    "to_pid": _PID,
    "to_proc": _PROC,
    "trace_token": None,
    "unused": None,
}


class Operation:
    """A row of the table: one operation.

    ``fields`` are the kinds of the class's fields; ``payload`` says whether a payload follows,
    ``connects`` whether the message opens a connection if there is none. A message that opens no
    connection ends something that would end with the connection anyway.
    """

    __slots__ = ("number", "kind", "fields", "payload", "connects")

    def __init__(
        self, number: int, kind: type[ControlMessage], payload: bool, connects: bool
    ) -> None:
        self.number = number
        self.kind = kind
        self.fields = tuple([_KINDS[name] for name in kind._fields[1:]])
        self.payload = payload
        self.connects = connects


# One row for each operation: its number, its class, whether a payload follows, whether it opens a
# connection.
TABLE: Final = (
    Operation(LINK, Link, False, True),
    Operation(SEND, Send, True, True),
    Operation(EXIT, Exit, False, False),
    Operation(UNLINK, Unlink, False, False),
    Operation(NODE_LINK, NodeLink, False, False),
    Operation(REG_SEND, RegSend, True, True),
    Operation(GROUP_LEADER, GroupLeader, False, True),
    Operation(EXIT2, Exit2, False, True),
    Operation(SEND_TT, SendTt, True, True),
    Operation(EXIT_TT, ExitTt, False, False),
    Operation(REG_SEND_TT, RegSendTt, True, True),
    Operation(EXIT2_TT, Exit2Tt, False, True),
    Operation(MONITOR_P, MonitorP, False, True),
    Operation(DEMONITOR_P, DemonitorP, False, False),
    Operation(MONITOR_P_EXIT, MonitorPExit, False, False),
    Operation(SEND_SENDER, SendSender, True, True),
    Operation(SEND_SENDER_TT, SendSenderTt, True, True),
    Operation(PAYLOAD_EXIT, PayloadExit, True, False),
    Operation(PAYLOAD_EXIT_TT, PayloadExitTt, True, False),
    Operation(PAYLOAD_EXIT2, PayloadExit2, True, True),
    Operation(PAYLOAD_EXIT2_TT, PayloadExit2Tt, True, True),
    Operation(PAYLOAD_MONITOR_P_EXIT, PayloadMonitorPExit, True, False),
    Operation(SPAWN_REQUEST, SpawnRequest, True, True),
    Operation(SPAWN_REQUEST_TT, SpawnRequestTt, True, True),
    Operation(SPAWN_REPLY, SpawnReply, False, False),
    Operation(SPAWN_REPLY_TT, SpawnReplyTt, False, False),
    Operation(ALIAS_SEND, AliasSend, True, True),
    Operation(ALIAS_SEND_TT, AliasSendTt, True, True),
    Operation(UNLINK_ID, UnlinkId, False, False),
    Operation(UNLINK_ID_ACK, UnlinkIdAck, False, False),
    Operation(ALTACT_SIG_SEND, AltactSigSendTt, True, True),
    Operation(ALTACT_SIG_SEND, AltactSigSend, True, True),
)

# By number; the two shapes of ALTACT_SIG_SEND differ only in their last field.
OPERATIONS: Final = {row.number: row for row in TABLE}
OPENS_CONNECTION: Final = frozenset([row.number for row in TABLE if row.connects])
