"""Control messages: every operation of the guide, parsed, built, and refused when malformed."""

from __future__ import annotations

import random
import re
from typing import get_args, get_type_hints

import pytest

from uds_dist.errors import RemoteProtocolError
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, ImproperList, Pid, Port, Reference
from uds_dist.protocol import control
from uds_dist.protocol.control import OPENS_CONNECTION, OPERATIONS, TABLE, AltactFlag, SpawnFlag
from uds_dist.protocol.parse import parse

P = Pid("py@localhost", 1, 0, 7)
Q = Pid("myapp@localhost", 85, 0, 8)
R = Reference("myapp@localhost", 8, (1, 2, 3))
ALIAS = Reference("py@localhost", 7, (1, 2, 3, 4, 5))
NAME = Atom("name")
EMPTY = Atom("")
TOKEN = (1, 2, 3, Q, 4)
REASON = (Atom("shutdown"), b"why")
MFA = (Atom("erlang"), Atom("apply"), 2)
OPTS = [Atom("link"), Atom("monitor"), (Atom("priority"), Atom("high"))]

# Each as it is on the wire, its class, whether a payload follows, and some fields by name.
MESSAGES: list[tuple[tuple[object, ...], type, bool, dict[str, object]]] = [
    ((1, Q, P), control.Link, False, {"from_pid": Q, "to_pid": P}),
    ((2, EMPTY, P), control.Send, True, {"to_pid": P}),
    ((3, Q, P, REASON), control.Exit, False, {"from_pid": Q, "to_pid": P, "reason": REASON}),
    ((4, Q, P), control.Unlink, False, {"from_pid": Q, "to_pid": P}),
    ((5,), control.NodeLink, False, {"op": 5}),
    ((6, Q, EMPTY, NAME), control.RegSend, True, {"from_pid": Q, "to_name": NAME}),
    ((7, Q, P), control.GroupLeader, False, {"from_pid": Q, "to_pid": P}),
    ((8, Q, P, REASON), control.Exit2, False, {"from_pid": Q, "to_pid": P, "reason": REASON}),
    ((12, EMPTY, P, TOKEN), control.SendTt, True, {"to_pid": P, "trace_token": TOKEN}),
    ((13, Q, P, TOKEN, REASON), control.ExitTt, False, {"trace_token": TOKEN, "reason": REASON}),
    ((16, Q, EMPTY, NAME, TOKEN), control.RegSendTt, True, {"to_name": NAME, "trace_token": TOKEN}),
    ((18, Q, P, TOKEN, REASON), control.Exit2Tt, False, {"trace_token": TOKEN, "reason": REASON}),
    ((19, Q, P, R), control.MonitorP, False, {"from_pid": Q, "to_proc": P, "ref": R}),
    ((19, Q, NAME, R), control.MonitorP, False, {"from_pid": Q, "to_proc": NAME, "ref": R}),
    ((20, Q, P, R), control.DemonitorP, False, {"from_pid": Q, "to_proc": P, "ref": R}),
    ((20, Q, NAME, R), control.DemonitorP, False, {"to_proc": NAME}),
    ((21, Q, P, R, REASON), control.MonitorPExit, False, {"from_proc": Q, "reason": REASON}),
    ((21, NAME, P, R, REASON), control.MonitorPExit, False, {"from_proc": NAME, "to_pid": P}),
    ((22, Q, P), control.SendSender, True, {"from_pid": Q, "to_pid": P}),
    ((23, Q, P, TOKEN), control.SendSenderTt, True, {"trace_token": TOKEN}),
    ((24, Q, P), control.PayloadExit, True, {"from_pid": Q, "to_pid": P}),
    ((25, Q, P, TOKEN), control.PayloadExitTt, True, {"trace_token": TOKEN}),
    ((26, Q, P), control.PayloadExit2, True, {"from_pid": Q, "to_pid": P}),
    ((27, Q, P, TOKEN), control.PayloadExit2Tt, True, {"trace_token": TOKEN}),
    ((28, Q, P, R), control.PayloadMonitorPExit, True, {"from_proc": Q, "to_pid": P, "ref": R}),
    ((28, NAME, P, R), control.PayloadMonitorPExit, True, {"from_proc": NAME}),
    (
        (29, R, Q, Q, MFA, OPTS),
        control.SpawnRequest,
        True,
        {"req_id": R, "from_pid": Q, "group_leader": Q, "mfa": MFA, "opts": OPTS},
    ),
    (
        (30, R, Q, Q, MFA, [], TOKEN),
        control.SpawnRequestTt,
        True,
        {"opts": [], "trace_token": TOKEN},
    ),
    ((31, R, P, 3, Q), control.SpawnReply, False, {"req_id": R, "to_pid": P, "result": Q}),
    ((31, R, P, 0, NAME), control.SpawnReply, False, {"flags": 0, "result": NAME}),
    ((32, R, P, 2, Q, TOKEN), control.SpawnReplyTt, False, {"flags": 2, "trace_token": TOKEN}),
    ((33, Q, ALIAS), control.AliasSend, True, {"from_pid": Q, "alias": ALIAS}),
    ((34, Q, ALIAS, TOKEN), control.AliasSendTt, True, {"trace_token": TOKEN}),
    ((35, 1, Q, P), control.UnlinkId, False, {"id": 1, "from_pid": Q, "to_pid": P}),
    ((36, (1 << 64) - 1, Q, P), control.UnlinkIdAck, False, {"id": (1 << 64) - 1}),
    ((37, 0, Q, P), control.AltactSigSend, True, {"flags": 0, "from_pid": Q, "to": P}),
    ((37, 4, Q, ALIAS), control.AltactSigSend, True, {"to": ALIAS}),
    ((37, 5, Q, ALIAS), control.AltactSigSend, True, {"flags": 5}),
    ((37, 8, Q, NAME), control.AltactSigSend, True, {"to": NAME}),
    ((37, 17, Q, P), control.AltactSigSend, True, {"flags": AltactFlag.PRIO | AltactFlag.EXIT}),
    ((37, 2, Q, P, TOKEN), control.AltactSigSendTt, True, {"to": P, "trace_token": TOKEN}),
    ((37, 6, Q, ALIAS, TOKEN), control.AltactSigSendTt, True, {"to": ALIAS}),
    ((37, 1 << 70 | 4, Q, ALIAS), control.AltactSigSend, True, {"flags": 1 << 70 | 4}),
]
IDS = [f"{kind.__name__}-{index}" for index, (_, kind, _, _) in enumerate(MESSAGES)]
every_message = pytest.mark.parametrize(("wire", "kind", "payload", "fields"), MESSAGES, ids=IDS)


def test_every_operation_of_the_guide_is_here() -> None:
    operations = {wire[0] for wire, *_ in MESSAGES}
    assert operations == {*range(1, 9), 12, 13, 16, *range(18, 38)}


def test_a_row_for_each_class_and_a_number_for_each_row() -> None:
    numbers = {
        name: value
        for name, value in vars(control).items()
        if name.isupper() and type(value) is int
    }
    assert {row.number for row in TABLE} == set(numbers.values())
    assert {row.kind for row in TABLE} == set(get_args(control.ControlMessage))
    for row in TABLE:
        name = "_".join(re.findall("[A-Z][a-z]*[0-9]?", row.kind.__name__)).upper()
        assert numbers[name.replace("SIG_SEND_TT", "SIG_SEND")] == row.number
        assert len(row.fields) == len(row.kind._fields) - 1


def test_the_kinds_of_each_field_are_those_of_its_annotation() -> None:
    atom = (Atom, bool, type(None))  # true, false and nil are names
    kinds: dict[object, frozenset[type] | None] = {
        object: None,
        int: frozenset((int,)),
        list[object]: frozenset((list,)),
        control.Mfa: frozenset((tuple,)),
        Pid: frozenset((Pid,)),
        Reference: frozenset((Reference,)),
        Atom: frozenset(atom),
        control.Proc: frozenset((Pid, *atom)),
        control.Dest: frozenset((Pid, Reference, *atom)),
    }
    for row in TABLE:
        hints = get_type_hints(row.kind)
        assert row.fields == tuple([kinds[hints[name]] for name in row.kind._fields[1:]])


def test_what_ends_something_opens_no_connection() -> None:
    ending = {3, 4, 5, 13, 20, 21, 24, 25, 28, 31, 32, 35, 36}
    assert OPENS_CONNECTION == OPERATIONS.keys() - ending


@every_message
def test_parse(
    wire: tuple[object, ...], kind: type, payload: bool, fields: dict[str, object]
) -> None:
    for has_payload in (None, payload):
        message = parse(wire, has_payload)
        assert type(message) is kind
        assert message == wire
        assert message.op == wire[0]
        for name, value in fields.items():
            assert getattr(message, name) == value
    assert OPERATIONS[message.op].payload == payload


@every_message
def test_wire_round_trip(
    wire: tuple[object, ...], kind: type, payload: bool, fields: dict[str, object]
) -> None:
    message = parse(wire)
    assert encode(message) == encode(wire)
    decoded = decode(encode(message))
    assert isinstance(decoded, tuple)
    assert parse(decoded) == message


@every_message
def test_a_payload_too_many_or_too_few_is_refused(
    wire: tuple[object, ...], kind: type, payload: bool, fields: dict[str, object]
) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{kind.__name__}.*payload"):
        parse(wire, not payload)


@every_message
def test_a_wrong_number_of_elements_is_refused(
    wire: tuple[object, ...], kind: type, payload: bool, fields: dict[str, object]
) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(wire[:-1])
    longer = (*wire, Q)
    if wire[0] == control.ALTACT_SIG_SEND:
        # The one tuple that future nodes may lengthen.
        assert parse(longer) == wire
    else:
        with pytest.raises(RemoteProtocolError, match=f"{kind.__name__} has"):
            parse(longer)


# Fields that take any term.
ANYTHING = {"unused", "reason", "trace_token"}
# What no other field may be.
NO_FIELD: list[object] = [Port("a@b", 1, 2), 1.5, {}, b"pid", "text", ImproperList((1,), 2), -1]


@every_message
def test_a_field_of_another_kind_is_refused(
    wire: tuple[object, ...], kind: type, payload: bool, fields: dict[str, object]
) -> None:
    names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    for index, name in enumerate(names[1:], 1):
        for wrong in NO_FIELD:
            broken = (*wire[:index], wrong, *wire[index + 1 :])
            if name in ANYTHING:
                assert type(parse(broken)) is kind
            else:
                with pytest.raises(RemoteProtocolError):
                    parse(broken)


@pytest.mark.parametrize("term", [True, False, None])
def test_the_atoms_that_python_has_values_for_are_names(term: object) -> None:
    name = {True: "true", False: "false", None: "nil"}[term]  # type: ignore[index]
    for message in (parse((6, Q, EMPTY, term)), parse((16, Q, EMPTY, term, TOKEN))):
        assert isinstance(message, (control.RegSend, control.RegSendTt))
        assert message.to_name == name and type(message.to_name) is Atom
    assert parse((19, Q, term, R)) == (19, Q, Atom(name), R)
    assert parse((31, R, P, 0, term)) == (31, R, P, 0, Atom(name))
    assert parse((37, 8, Q, term)) == (37, 8, Q, Atom(name))
    spawn = parse((29, R, Q, Q, (term, term, 0), []))
    assert isinstance(spawn, control.SpawnRequest)
    assert spawn.mfa == (Atom(name), Atom(name), 0)
    assert all(type(part) is Atom for part in spawn.mfa[:2])


@pytest.mark.parametrize(
    "wire",
    [
        (),
        (Atom("link"), P, Q),
        (True, Q, P),  # the atom true is not LINK, although True == 1
        (1.0, Q, P),
        (0, Q, P),
        (-1, Q, P),
        (9, Q, P),
        (38, Q, P),
        (1 << 80, Q, P),
        (([],), Q, P),
        ([], Q, P),
        (None,),
        (35, 0, Q, P),
        (35, 1 << 64, Q, P),
        (36, -1, Q, P),
        (31, R, P, -1, Q),
        (29, R, Q, Q, (Atom("m"), Atom("f")), []),
        (29, R, Q, Q, (Atom("m"), Atom("f"), -1), []),
        (29, R, Q, Q, (Atom("m"), Atom("f"), True), []),
        (29, R, Q, Q, ("m", Atom("f"), 1), []),
        (29, R, Q, Q, (Atom("m"), Atom("f"), 1), ImproperList((1,), 2)),
        (37, -1, Q, P),
        (37, 4, Q, P),
        (37, 4, Q, NAME),
        (37, 8, Q, P),
        (37, 12, Q, ALIAS),
        (37, 0, Q, ALIAS),
        (37, 2, Q, P),  # the flag says token, the tuple has none
        (37, True, Q, ALIAS),
        (37, 4.0, Q, ALIAS),
        (37,),
        (1 << 20_000, Q, P),
        (37, 1 << 20_000, Q, NAME),
        (31, R, P, -1 << 20_000, Q),
    ],
    ids=shown,
)
def test_refused(wire: tuple[object, ...]) -> None:
    for has_payload in (None, True, False):
        with pytest.raises(RemoteProtocolError):
            parse(wire, has_payload)


def test_an_error_shows_the_message_but_not_all_of_it() -> None:
    with pytest.raises(RemoteProtocolError, match=r"unknown operation 99: \{99, Pid.*, bytes") as e:
        parse((99, Q, b"secret" * 10_000, *range(1000)))
    assert len(str(e.value)) < 600
    assert "secret" not in str(e.value)


def test_spawn_flags() -> None:
    assert (SpawnFlag.LINK, SpawnFlag.MONITOR) == (1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_random_tuples_are_parsed_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    fields: list[object] = [P, R, NAME, 1, -1, True, None, b"", [], (), MFA, 1.5, 1 << 70, {}]
    parsed = 0
    for _ in range(5000):
        wire = (rng.randrange(40), *rng.choices(fields, k=rng.randrange(7)))
        try:
            message = parse(wire, rng.choice([None, True, False]))
        except RemoteProtocolError:
            continue
        parsed += 1
        assert message[0] == wire[0]
    assert parsed > 0
