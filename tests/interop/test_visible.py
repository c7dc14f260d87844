"""Visible nodes among BEAMs: global, pg and a cluster."""

from __future__ import annotations

import pytest

from tests.interop.beam import Beam, Otp
from tests.interop.together import BEAM_NAME, Together
from uds_dist import (
    Atom,
)

pytestmark = pytest.mark.interop


def test_a_visible_node_and_global(both: Together) -> None:
    node = both.node(hidden=False)
    assert both.eval("net_adm:ping('py@localhost')") == "pong"
    assert both.eval("nodes()") == "[py@localhost]"
    assert both.eval("global:sync()") == "ok"
    assert both.eval("global:register_name(some, self())") == "yes"
    assert both.eval("global:trans({lock, self()}, fun() -> done end)") == "done"
    assert both.eval("global:set_lock({other, self()}, [node(), 'py@localhost'], 0)") == "true"
    assert both.eval("global:del_lock({other, self()})") == "true"
    box = node.mailbox("box")
    assert both.eval("global:register_name(python, Pid)", Pid=box.pid) == "yes"
    assert both.eval("global:send(python, hello), ok") == "ok"
    assert box.receive(timeout=5) == "hello"
    box.close()
    both.beam.wait_until("global:whereis_name(python)", "undefined")
    assert both.eval("global:unregister_name(some)") == "ok"
    node.disconnect(both.name)
    both.beam.wait_until("nodes()", "[]")
    assert both.eval("global:sync()") == "ok"
    assert node.ping(both.name)
    both.beam.wait_until("nodes()", "[py@localhost]")
    assert both.eval("global:sync()") == "ok"


def test_a_cluster_of_two_beams_and_python(otp: Otp, both: Together) -> None:
    node = both.node(hidden=False)
    with Beam.start(otp, "second@localhost", both.beam.socket_dir) as second:
        second.pump = both.beam.pump
        assert node.ping(both.name)
        assert both.eval("net_adm:ping('second@localhost')") == "pong"
        for beam in (both.beam, second):
            beam.wait_until("length(nodes())", "2")
            assert beam.eval("global:sync()") == "ok"
        assert sorted(node.nodes()) == [both.name, "second@localhost"]
        for name in ("x", "y"):
            sleeper = "spawn(timer, sleep, [9000])"
            assert second.eval(f"global:register_name({name}, {sleeper})") == "yes"
            assert both.eval(f"node(global:whereis_name({name}))") == "second@localhost"
        second.pump = None
    both.until(lambda: node.nodes() == [both.name])


def test_process_groups(both: Together) -> None:
    both.eval("spawn(fun() -> {ok, _} = pg:start(pg), receive after infinity -> ok end end)")
    both.beam.wait_until("is_pid(whereis(pg))")
    node = both.node(hidden=False)
    assert both.eval("net_adm:ping('py@localhost')") == "pong"
    scope = node.pg()
    box = node.mailbox()
    scope.join(Atom("group"), box.pid)
    both.beam.wait_until("[node(P) || P <- pg:get_members(group)]", "[py@localhost]")
    assert both.eval("[P ! hello || P <- pg:get_members(group)], ok") == "ok"
    assert box.receive(timeout=5) == "hello"
    pid = both.eval_term("P = spawn(conn, echo_loop, []), ok = pg:join(group, P), P")
    both.until(lambda: scope.members(Atom("group")) == [box.pid, pid])
    assert both.eval("pg:leave(group, P)", P=pid) == "ok"
    both.until(lambda: scope.members(Atom("group")) == [box.pid])
    box.close()
    both.beam.wait_until("pg:get_members(group)", "[]")
    both.close()
    both.beam.wait_until("is_pid(whereis(pg))")


# Groups of pg in Erlang's notation, and in Python.
PG_GROUPS: list[tuple[str, object]] = [
    ('"workers"', [ord(character) for character in "workers"]),
    ("#{kind => \"workers\", 1 => [x]}", {Atom("kind"): list(b"workers"), 1: [Atom("x")]}),
    ("#{\"a\" => #{[1] => 2}}", None),
    ("{shard, [1, 2]}", (Atom("shard"), [1, 2])),
    ("[]", []),
    ("#{}", {}),
    ('<<"workers">>', b"workers"),
    ("1", 1),
    ("1.0", 1.0),
    ("true", True),
]


def test_process_groups_of_any_term(both: Together) -> None:
    both.eval("spawn(fun() -> {ok, _} = pg:start(pg), receive after infinity -> ok end end)")
    both.beam.wait_until("is_pid(whereis(pg))")
    pids = {}
    for text, _group in PG_GROUPS[::2]:  # before the two meet, and after it
        join = f"begin P = spawn(conn, echo_loop, []), ok = pg:join({text}, P), P end"
        pids[text] = both.eval_term(f"(fun() -> {join} end)()")
    node = both.node(hidden=False)
    assert both.eval("net_adm:ping('py@localhost')") == "pong"
    scope = node.pg()
    for text, _group in PG_GROUPS[1::2]:
        join = f"begin P = spawn(conn, echo_loop, []), ok = pg:join({text}, P), P end"
        pids[text] = both.eval_term(f"(fun() -> {join} end)()")
    both.until(lambda: len(scope.groups()) == len(PG_GROUPS))
    for text, group in PG_GROUPS:
        if group is None:
            group = both.eval_term(text)
        both.until(lambda: scope.members(group) == [pids[text]])
        box = node.mailbox()
        scope.join(group, box.pid)
        members = f"lists:sort([node(P) || P <- pg:get_members({text})])"
        both.beam.wait_until(members, f"lists:sort(['{BEAM_NAME}', 'py@localhost'])")
        assert both.eval(f"[P ! hello || P <- pg:get_members({text}), node(P) =/= node()], ok") == (
            "ok"
        )
        assert box.receive(timeout=5) == "hello"
        assert scope.leave(group, box.pid)
        both.beam.wait_until(f"[node(P) || P <- pg:get_members({text})]", f"['{BEAM_NAME}']")
        assert both.eval(f"pg:leave({text}, P)", P=pids[text]) == "ok"
        both.until(lambda: scope.members(group) == [])
    assert scope.groups() == []
    both.close()
    both.beam.wait_until("is_pid(whereis(pg))")
