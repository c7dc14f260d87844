"""Task supervisors: the requests that Elixir sends them, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import MakeNode
from tests.scripted import ScriptedPeer
from tests.services.calc import SOON
from tests.services.functions import Service, Tasks
from uds_dist import (
    Atom,
    EventLoop,
    ImproperList,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.protocol import control as ctl


def test_a_task_answers_its_alias(tasks: Tasks) -> None:
    pid = tasks.start()
    assert tasks.children() == [pid]
    ref = tasks.box.monitor(pid)
    alias = tasks.box.alias()
    tasks.tell(pid, ("svc", "echo", [5]), alias)
    assert tasks.box.receive(timeout=SOON) == (alias, 5)
    down = tasks.box.receive(timeout=SOON)
    assert down == (Atom("DOWN"), ref, Atom("process"), pid, Atom("normal"))
    assert tasks.children() == []


@pytest.mark.parametrize(
    ("mfa", "reason"),
    [
        (("svc", "badarg", []), Atom("badarg")),
        (("svc", "throw", [1]), (Atom("nocatch"), 1)),
        (("svc", "exit", [Atom("bye")]), None),
        (("os", "system", [b"true"]), Atom("undef")),
        (("svc", "unsendable", []), None),
    ],
)
def test_a_task_that_fails_exits(
    tasks: Tasks, mfa: tuple[str, str, list[object]], reason: object
) -> None:
    pid = tasks.start()
    tasks.box.monitor(pid)
    tasks.tell(pid, mfa, tasks.box.alias())
    down: Any = tasks.box.receive(timeout=SOON)
    if reason is not None:
        assert down[4][0] == reason and isinstance(down[4][1], list)
    elif mfa[1] == "exit":
        assert down[4] == "bye"
    else:
        assert down[4][0][1] == "uds_dist.errors.EncodeError"


def test_a_task_waits_for_a_future_and_is_killed(
    tasks: Tasks, service: Service, loop: EventLoop
) -> None:
    first, second = tasks.start(), tasks.start()
    alias = tasks.box.alias()
    tasks.tell(first, ("svc", "later", []), alias)
    tasks.tell(second, ("svc", "later", []), alias)
    loop.run_until(lambda: len(service.futures) == 2, SOON)
    service.futures[0].set_result(1)
    assert tasks.box.receive(timeout=SOON) == (alias, 1)
    tasks.box.monitor(second)
    tasks.box.exit(second, Atom("shutdown"))
    down: Any = tasks.box.receive(timeout=SOON)
    assert down[4] == "shutdown"
    service.futures[1].set_result(2)  # for nobody
    loop.run_once(0)
    assert tasks.children() == [] and tasks.box.poll() != (alias, 2)


def test_a_task_whose_owner_is_gone_ends(
    tasks: Tasks, a: Node, make_node: MakeNode, loop: EventLoop
) -> None:
    pid = tasks.start()
    watcher = tasks.node.mailbox()
    ref = watcher.monitor(pid)
    tasks.box.close(Atom("gone"))
    down = watcher.receive(timeout=SOON)
    reason = (Atom("shutdown"), Atom("gone"))
    assert down == (Atom("DOWN"), ref, Atom("process"), pid, reason)


def test_a_child_that_is_started_with_its_work(tasks: Tasks, service: Service) -> None:
    callers = [tasks.box.pid]
    mfa = (Atom("svc"), Atom("note"), [3])
    ok, pid = tasks.ask((Atom("start_task"), [tasks.owner, callers, mfa], None, None))
    assert ok == "ok" and isinstance(pid, Pid)
    assert tasks.children() == [] and service.calls == [3]
    refused = tasks.ask(
        (Atom("start_task"), [tasks.owner, callers, mfa], Atom("permanent"), None)
    )
    assert refused[0] == "error"


def test_children_are_counted_and_ended(tasks: Tasks) -> None:
    pid = tasks.start()
    counts = dict(tasks.ask(Atom("count_children")))
    assert counts == {"specs": 1, "active": 1, "supervisors": 0, "workers": 1}
    assert tasks.ask((Atom("terminate_child"), pid)) == "ok"
    assert tasks.ask((Atom("terminate_child"), pid)) == (Atom("error"), Atom("not_found"))
    assert tasks.children() == []


def test_the_end_of_the_supervisor_is_the_end_of_its_tasks(tasks: Tasks) -> None:
    pid = tasks.start()
    watcher = tasks.node.mailbox()
    watcher.monitor(pid)
    tasks.node.exit(tasks.pid, Atom("kill"))
    down: Any = watcher.receive(timeout=SOON)
    assert down[4] == "shutdown"


def test_a_task_without_work_is_given_up(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uds_dist.services.tasks.START_TIMEOUT", 0.05)
    pid = tasks.start()
    ref = tasks.box.monitor(pid)
    down = tasks.box.receive(timeout=SOON)
    assert down == (Atom("DOWN"), ref, Atom("process"), pid, Atom("timeout"))


def test_a_reply_tag_of_a_stream_is_kept(tasks: Tasks) -> None:
    pid = tasks.start()
    ref = tasks.node.mailbox().alias()
    tag = (ref, 3)  # what Task.async_stream sends
    mfa = (Atom("svc"), Atom("echo"), [4])
    tasks.box.send(pid, (tasks.box.pid, tag, tasks.box.pid, [], mfa))
    assert tasks.box.receive(timeout=SOON) == (tag, 4)


def test_a_message_of_someone_else_is_no_work(tasks: Tasks, service: Service) -> None:
    pid = tasks.start()
    stranger = tasks.node.mailbox()
    alias = stranger.alias()
    work = (Atom("svc"), Atom("note"), [1])
    stranger.send(pid, (stranger.pid, alias, alias, [], work))
    stranger.send(pid, ImproperList((1,), 2))
    tasks.ask(Atom("which_children"))
    assert service.calls == [] and tasks.children() == [pid]


@pytest.mark.parametrize(
    ("reason", "bits"),
    [(1 << 200_000, 200_001), ([1 << 200_000], 200_001)],
    ids=["bare", "in a list"],
)
def test_a_reason_that_python_cannot_write_ends_the_call(
    a: Node, peer: ScriptedPeer, reason: object, bits: int
) -> None:
    future = a.rpc(peer.name, "m", "f", [])
    control, arguments = peer.receive()
    assert isinstance(arguments, list)
    ref, job = arguments[0], peer.pid(5)
    peer.send((ctl.SPAWN_REPLY, control[1], control[2], 2, job))
    outcome: object = (ref, Atom("error"), reason, [])
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, job, control[2], control[1]), outcome)
    with pytest.raises(RemoteError, match=f"<an integer of {bits} bits>") as caught:
        future.result(timeout=5)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("word", "class_"),
    [(Atom("exit"), "exit"), (Atom("fault"), "error"), (b"throw", "error"), ([], "error")],
)
def test_a_word_that_is_not_a_class_of_erlang_is_an_error(
    a: Node, peer: ScriptedPeer, word: object, class_: str
) -> None:
    future = a.rpc(peer.name, "m", "f", [])
    control, arguments = peer.receive()
    assert isinstance(arguments, list)
    job = peer.pid(5)
    peer.send((ctl.SPAWN_REPLY, control[1], control[2], 2, job))
    outcome: object = (arguments[0], word, Atom("why"), [])
    peer.send((ctl.PAYLOAD_MONITOR_P_EXIT, job, control[2], control[1]), outcome)
    error = future.exception(SOON)
    assert isinstance(error, RemoteError)
    assert (error.class_, error.reason) == (class_, "why")
