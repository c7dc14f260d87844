"""Spawn requests on the wire: how the node answers them, and what ends the process."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scripted import ScriptedPeer
from tests.services.functions import Service, spawn
from uds_dist import (
    Atom,
    Export,
    Node,
)
from uds_dist.protocol import control as ctl

MONITOR = [Atom("monitor")]


def test_the_reply_goes_before_the_notice_of_the_end(peer: ScriptedPeer, service: Service) -> None:
    arguments = [Atom("res"), Atom("svc"), Atom("echo"), [1]]
    ref = spawn(peer, ("erpc", "execute_call"), arguments, MONITOR)
    (reply, _), (down, reason) = peer.settle()
    assert reply[:4] == (ctl.SPAWN_REPLY, ref, peer.pid(), 2)
    assert down == (ctl.PAYLOAD_MONITOR_P_EXIT, reply[4], peer.pid(), ref)
    assert reason == (Atom("res"), Atom("return"), 1)


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("echo", [1], Atom("normal")),
        ("exit", [(Atom("bye"),)], (Atom("bye"),)),
        ("badarg", [], Atom("badarg")),
        ("throw", [1], (Atom("nocatch"), 1)),
        ("nothing", [1], Atom("undef")),
        ("later", [], Atom("normal")),
    ],
)
def test_a_plain_spawn_ends_as_a_process_does(
    peer: ScriptedPeer, service: Service, function: str, arguments: list[object], reason: object
) -> None:
    both = [Atom("link"), Atom("monitor"), (Atom("priority"), Atom("high"))]
    ref = spawn(peer, ("svc", function), arguments, both)
    found = peer.settle()
    if function == "later":
        assert len(found) == 1
        service.futures[0].set_result(5)
        service.node.loop.run_once(0)
        found += peer.settle()
    (reply, _), (down, seen), (left, seen_too) = found
    pid = reply[4]
    assert reply[:4] == (ctl.SPAWN_REPLY, ref, peer.pid(), 3)
    assert down == (ctl.PAYLOAD_MONITOR_P_EXIT, pid, peer.pid(), ref)
    assert left == (ctl.PAYLOAD_EXIT, pid, peer.pid())
    assert seen == seen_too
    if reason in ("badarg", "undef") or (isinstance(reason, tuple) and reason[0] == "nocatch"):
        assert isinstance(seen, tuple) and isinstance(seen[1], list)
        seen = seen[0]
    assert seen == reason


def test_a_cast_runs_and_its_failure_is_logged(
    peer: ScriptedPeer, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    note = [Atom("svc"), Atom("note"), [7]]
    spawn(peer, ("erpc", "execute_cast"), note, [])
    spawn(peer, ("erpc", "execute_cast"), [Atom("svc"), Atom("boom"), []], [])
    replies = peer.settle()
    assert [control[0] for control, _ in replies] == [ctl.SPAWN_REPLY] * 2
    assert [control[3] for control, _ in replies] == [0, 0]
    assert service.calls == [7]
    assert "svc:boom/0" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_request_with_a_trace_token_is_one_like_any_other(
    peer: ScriptedPeer, service: Service
) -> None:
    ref = peer.reference()
    control = (ctl.SPAWN_REQUEST_TT, ref, peer.pid(), peer.pid(9))
    mfa = (Atom("svc"), Atom("note"), 1)
    peer.send((*control, mfa, [], (0, 1, 2, peer.pid(), 3)), [8])
    assert [seen[0] for seen, _ in peer.settle()] == [ctl.SPAWN_REPLY]
    assert service.calls == [8]


@pytest.mark.parametrize("arguments", [[1, 2], []])
def test_a_request_whose_arguments_do_not_fit_is_refused(
    peer: ScriptedPeer, service: Service, arguments: list[object]
) -> None:
    ref = peer.reference()
    mfa = (Atom("svc"), Atom("note"), 1)
    peer.send((ctl.SPAWN_REQUEST, ref, peer.pid(), peer.pid(9), mfa, []), arguments)
    refusal = (ctl.SPAWN_REPLY, ref, peer.pid(), 0, Atom("badopt"))
    assert peer.settle() == [(refusal, ctl.NO_PAYLOAD)]


def test_an_unknown_option_is_refused(peer: ScriptedPeer, service: Service) -> None:
    for option in (Atom("no_such_option"), (Atom("odd"), 1), 5):
        ref = spawn(peer, ("svc", "note"), [1], [Atom("link"), option])
        refusal = (ctl.SPAWN_REPLY, ref, peer.pid(), 0, Atom("badopt"))
        assert peer.settle() == [(refusal, ctl.NO_PAYLOAD)]
    assert service.calls == []


def test_apply_reaches_what_is_exposed_and_no_fun(peer: ScriptedPeer, service: Service) -> None:
    apply = ("erlang", "apply")
    spawn(peer, apply, [Atom("svc"), Atom("note"), [1]], [])
    spawn(peer, apply, [Export(Atom("svc"), Atom("note"), 1), [2]], [])
    nested = [Atom("erlang"), Atom("apply"), [Atom("svc"), Atom("note"), [3]]]
    spawn(peer, apply, nested, [])
    ref = spawn(peer, apply, [b"a fun", []], MONITOR)
    found = peer.settle()
    assert service.calls == [1, 2, 3]
    reason: Any = next(payload for control, payload in found if control[-1] == ref)
    assert reason[0] == "undef" and reason[1][0][:2] == (Atom("erlang"), Atom("apply"))


def test_the_end_of_a_linked_parent_ends_the_process(
    a: Node, peer: ScriptedPeer, service: Service
) -> None:
    spawn(peer, ("svc", "never"), [], [Atom("link")])
    (reply, _payload) = peer.settle()[0]
    peer.send((ctl.PAYLOAD_EXIT, peer.pid(), reply[4]), Atom("gone"))
    peer.settle()
    peer.until(lambda: len(a._named().jobs) == 0)
