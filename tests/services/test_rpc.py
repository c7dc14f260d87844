"""Functions that other nodes call: rpc, erpc, spawn and Task.Supervisor, answered in Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.conftest import MakeNode
from tests.inside import inside
from tests.scripted import ScriptedPeer
from tests.services.test_gen import Ledger
from uds_dist import (
    Atom,
    ConfigError,
    ErlangError,
    EventLoop,
    Exit,
    Export,
    Future,
    ImproperList,
    NoConnectionError,
    Node,
    Pid,
    Reference,
    RemoteError,
    RemoteTimeoutError,
    Throw,
)
from uds_dist.protocol import control as ctl
from uds_dist.services.exposed import Exposed

A = "a@localhost"
SOON = 5.0
MONITOR = [Atom("monitor")]


class Service:
    """Exposed at a@localhost as the module ``svc``."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.calls: list[object] = []
        self.futures: list[Future[object]] = []
        functions = "echo boom badarg exit throw unsendable later never note"
        node.expose("svc", {name: getattr(self, name) for name in functions.split()})
        node.expose("math", {"sqrt": math.sqrt, "hypot": math.hypot})

    def echo(self, term: object, *more: object) -> object:
        return [term, *more] if more else term

    def boom(self) -> object:
        return 1 // 0

    def badarg(self) -> object:
        raise ErlangError("badarg")

    def exit(self, reason: object) -> object:
        raise Exit(reason)

    def throw(self, term: object) -> object:
        raise Throw(term)

    def unsendable(self) -> object:
        return object()

    def later(self) -> object:
        future: Future[object] = Future(self.node.loop)
        self.futures.append(future)
        return future

    def never(self) -> object:
        return Future(self.node.loop)

    def note(self, term: object) -> None:
        self.calls.append(term)


@pytest.fixture
def service(a: Node) -> Service:
    """Functions at a@localhost."""
    return Service(a)


def fail(node: Node, function: str, *arguments: object, module: str = "svc") -> RemoteError:
    error = node.rpc(A, module, function, arguments).exception(SOON)
    assert isinstance(error, RemoteError)
    return error


# --- the table ------------------------------------------------------------------------------------


def test_a_function_is_called(b: Node, service: Service) -> None:
    assert b.rpc(A, "svc", "echo", [[1, {b"k": None}]]).result(SOON) == [1, {b"k": None}]
    assert b.rpc(A, "math", "sqrt", [2.0]).result(SOON) == math.sqrt(2)
    assert b.rpc(A, "svc", "echo", [1, 2, 3]).result(SOON) == [1, 2, 3]


def test_a_node_calls_its_own_functions_too(a: Node, service: Service) -> None:
    assert a.rpc(A, "svc", "echo", [5]).result(SOON) == 5
    assert fail(a, "nothing").reason == "undef"
    future = a.rpc(A, "svc", "later")
    a.loop.run_until(lambda: bool(service.futures), SOON)
    service.futures[0].set_result(7)
    assert future.result(SOON) == 7


def test_what_a_function_raises_arrives_in_its_class(b: Node, service: Service) -> None:
    error = fail(b, "badarg")
    assert (error.class_, error.reason) == ("error", "badarg")
    assert isinstance(error.stack, list)
    module, function, arity, where = error.stack[0]
    assert (module, arity) == (__name__, 1) and function.endswith("badarg")
    assert bytes(dict(where)["file"]).decode() == __file__
    assert error.stack[-1] == (Atom("svc"), Atom("badarg"), 0, [])
    error = fail(b, "boom")
    name = Atom("ZeroDivisionError")
    assert isinstance(error.reason, tuple)
    assert error.reason[:2] == (Atom("python_error"), name)
    error = fail(b, "exit", (Atom("shutdown"), 1))
    assert (error.class_, error.reason) == ("exit", (Atom("shutdown"), 1))
    error = fail(b, "throw", b"ball")
    assert (error.class_, error.reason) == ("throw", b"ball")


def test_a_function_in_c_raises_too(b: Node, service: Service) -> None:
    with pytest.raises(ValueError) as here:  # the text differs between versions of Python
        math.sqrt(-1)
    error = fail(b, "sqrt", -1, module="math")
    text = str(here.value).encode()
    assert error.reason == (Atom("python_error"), Atom("ValueError"), text)
    assert error.stack == [(Atom("math"), Atom("sqrt"), 1, [])]


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [
        ("svc", "nothing", []),
        ("svc", "boom", [1]),
        ("svc", "echo", []),
        ("os", "system", [b"true"]),
        ("erlang", "node", []),
        ("svc", "__init__", [1]),
        ("builtins", "eval", [b"1"]),
    ],
)
def test_nothing_else_is_there(
    b: Node, service: Service, module: str, function: str, arguments: list[object]
) -> None:
    error = fail(b, function, *arguments, module=module)
    assert (error.class_, error.reason) == ("error", "undef")
    assert error.stack == [(Atom(module), Atom(function), arguments, [])]


def test_a_result_that_is_no_term_is_an_error_and_the_connection_lives(
    b: Node, service: Service
) -> None:
    for function in ("unsendable", "later"):
        future = b.rpc(A, "svc", function)
        if function == "later":
            b.loop.run_until(lambda: bool(service.futures), SOON)
            service.futures[0].set_result(object())
        error = future.exception(SOON)
        assert isinstance(error, RemoteError) and isinstance(error.reason, tuple)
        assert error.reason[1] == "uds_dist.errors.EncodeError" and b"object" in error.reason[2]
    assert b.nodes() == [A] and b.rpc(A, "svc", "echo", [1]).result(SOON) == 1


def test_an_interrupt_goes_to_the_program_and_the_caller_is_told(a: Node, b: Node) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    a.expose("svc", {"interrupt": interrupt})
    future = b.rpc(A, "svc", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        b.loop.run_until(future, SOON)
    assert isinstance(future.exception(SOON), RemoteError)


def test_a_large_result_comes_whole(b: Node, service: Service) -> None:
    data = bytes(range(256)) * 8192
    assert b.rpc(A, "svc", "echo", [data]).result(SOON) == data


def test_the_decorator_keeps_the_function(a: Node, b: Node) -> None:
    @a.expose("Elixir.MyApp.Math")
    def twice(number: int) -> int:
        """Twice the number."""
        return 2 * number

    assert twice(4) == 8
    assert b.rpc(A, "Elixir.MyApp.Math", "twice", [21]).result(SOON) == 42


def test_what_erlang_cannot_call_is_not_exposed(a: Node) -> None:
    def keyword(*, strict: bool) -> None: ...

    with pytest.raises(ConfigError, match="strict="):
        a.expose("svc", {"keyword": keyword})
    with pytest.raises(ConfigError, match="not a function"):
        a.expose("svc", {"pi": math.pi})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("function", "taken"),
    [
        (lambda: 0, {0}),
        (lambda a, b=1: 0, {1, 2}),
        (lambda a, *b: 0, {1, 2, 3, 4}),
        (lambda a, *, k=1: 0, {1}),
        (max, {0, 1, 2, 3, 4}),
    ],
)
def test_the_arities_that_a_function_takes(
    function: Callable[..., object], taken: set[int]
) -> None:
    exposed = Exposed()
    exposed.add("m", {"f": function})
    found = set()
    for arity in range(5):
        outcome = exposed.run(Atom("m"), Atom("f"), [1] * arity)
        if not (isinstance(outcome, tuple) and outcome[1] == "undef"):
            found.add(arity)
    assert found == taken


@pytest.mark.parametrize(
    "call", [(1, Atom("f"), []), (Atom("m"), b"f", []), (Atom("m"), Atom("f"), 5)]
)
def test_a_malformed_call_is_an_error(call: tuple[object, object, object]) -> None:
    outcome = Exposed().run(*call)
    assert isinstance(outcome, tuple) and outcome[0] == "error"


# --- futures, and what they leave -----------------------------------------------------------------


def test_a_future_is_the_result_and_others_are_served_meanwhile(
    b: Node, service: Service, a: Node, loop: EventLoop
) -> None:
    assert b.ping(A)
    ledger = Ledger(a, b)
    slow = b.rpc(A, "svc", "later")
    assert b.rpc(A, "svc", "echo", [1]).result(SOON) == 1
    assert not slow.done()
    service.futures[0].set_result(2)
    assert slow.result(SOON) == 2
    ledger.settle(loop)


def test_a_futures_exception_is_the_error(b: Node, service: Service) -> None:
    future = b.rpc(A, "svc", "later")
    b.loop.run_until(lambda: bool(service.futures), SOON)
    service.futures[0].set_exception(ErlangError("late"))
    error = future.exception(SOON)
    assert isinstance(error, RemoteError) and (error.class_, error.reason) == ("error", "late")


def test_a_caller_that_times_out_leaves_nothing(
    a: Node, b: Node, service: Service, loop: EventLoop
) -> None:
    assert b.ping(A)
    ledger = Ledger(a, b)
    future = b.rpc(A, "svc", "never")
    with pytest.raises(RemoteTimeoutError):
        future.result(0.05)
    assert ledger.held() != ledger.before and len(a._named().jobs) == 1
    future.cancel()
    ledger.settle(loop)
    assert len(a._named().jobs) == 0


def test_a_caller_that_dies_leaves_nothing(
    a: Node, b: Node, service: Service, make_node: MakeNode, loop: EventLoop
) -> None:
    c = make_node("c@localhost", listen=False)
    assert c.ping(A)
    for _ in range(3):
        loop.run_once(0)
    ledger = Ledger(a)
    future = c.rpc(A, "svc", "never")
    loop.run_until(lambda: len(a._named().jobs) == 1, SOON)
    c.close()
    ledger.settle(loop)
    assert len(a._named().jobs) == 0 and future.done()


def test_a_call_whose_process_is_killed_is_told_so(
    a: Node, b: Node, service: Service, loop: EventLoop
) -> None:
    future = b.rpc(A, "svc", "later")
    loop.run_until(lambda: len(a._named().jobs) == 1, SOON)
    b.exit(next(iter(a._named().jobs._futures)), Atom("kill"))
    error = future.exception(SOON)
    assert isinstance(error, RemoteError) and (error.class_, error.reason) == ("signal", "killed")
    loop.run_once(0)
    assert len(a._named().jobs) == 0
    service.futures[0].set_result(1)  # for nobody
    loop.run_once(0)


def test_a_lost_connection_is_no_connection(
    a: Node, b: Node, service: Service, loop: EventLoop
) -> None:
    future = b.rpc(A, "svc", "never")
    loop.run_until(lambda: len(a._named().jobs) == 1, SOON)
    a.disconnect("b@localhost")
    assert isinstance(future.exception(SOON), NoConnectionError)


# --- on the wire ----------------------------------------------------------------------------------


def spawn(
    peer: ScriptedPeer,
    mfa: tuple[str, str],
    arguments: Sequence[object],
    options: Sequence[object],
) -> Reference:
    """Send a spawn request."""
    ref = peer.reference()
    whole = (Atom(mfa[0]), Atom(mfa[1]), len(arguments))
    control = (ctl.SPAWN_REQUEST, ref, peer.pid(), peer.pid(9), whole, list(options))
    peer.send(control, list(arguments))
    return ref


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


# --- tasks ----------------------------------------------------------------------------------------


class Tasks:
    """A task supervisor at a@localhost, and an owner of tasks at b@localhost."""

    def __init__(self, a: Node, b: Node) -> None:
        self.pid = a.serve_tasks("Elixir.Tasks")
        self.node = b
        self.box = b.mailbox()
        self.owner = (Atom(b.name), self.box.pid, self.box.pid)

    def ask(self, request: object) -> Any:
        """A call of the supervisor."""
        return self.node.call(("Elixir.Tasks", A), request).result(SOON)

    def start(self) -> Pid:
        """As Task.Supervisor.async and start_child begin."""
        ok, pid = self.ask(
            (Atom("start_task"), [self.owner, Atom("monitor")], Atom("temporary"), None)
        )
        assert ok == "ok" and isinstance(pid, Pid)
        return pid

    def tell(self, pid: Pid, mfa: tuple[str, str, list[object]], to: Reference) -> None:
        """Tell a task what to run."""
        module, function, arguments = mfa
        message = (self.box.pid, to, to, [self.box.pid], (Atom(module), Atom(function), arguments))
        self.box.send(pid, message)

    def children(self) -> list[object]:
        """The pids of the tasks."""
        return [child[1] for child in self.ask(Atom("which_children"))]


@pytest.fixture
def tasks(a: Node, b: Node, service: Service) -> Tasks:
    """A task supervisor and an owner of tasks."""
    return Tasks(a, b)


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


# --- names, arguments, coroutines, limits ---------------------------------------------------------


@pytest.mark.parametrize("name", ["true", "false", "nil"])
def test_the_names_that_python_has_constants_for(a: Node, b: Node, name: str) -> None:
    a.expose(name, {name: lambda: 7})
    assert b.rpc(A, name, name).result(SOON) == 7
    apply = [Atom(name), Atom(name), []]
    assert b.rpc(A, "erlang", "apply", apply).result(SOON) == 7
    error = b.rpc(A, name, "other").exception(SOON)
    assert isinstance(error, RemoteError) and error.reason == "undef"
    box = a.mailbox(name)
    b.send((name, A), 1)
    assert box.receive(timeout=SOON) == 1
    assert a.whereis(name) == box.pid
    ref = b.mailbox("watcher").monitor((name, A))
    assert b.ping(A) and len(inside(box).watchers) == 1 and ref in inside(box).watchers


@pytest.mark.parametrize("name", [True, False, None])
def test_these_names_may_be_pythons_constants(a: Node, b: Node, name: Any) -> None:
    a.expose(name, {name: lambda: 7})
    assert b.rpc(A, name, name).result(SOON) == 7
    atom = {True: "true", False: "false", None: "nil"}[name]
    box = a.mailbox(atom)
    b.send((name, A), 1)
    assert box.receive(timeout=SOON) == 1
    assert a.whereis(name) == box.pid
    ref = b.mailbox().monitor((name, A))
    assert b.ping(A) and ref in inside(box).watchers


@pytest.mark.parametrize("name", [5, b"erlang", 1.0, ("erlang",)])
def test_what_is_not_a_name(a: Node, name: Any) -> None:
    for attempt in (
        lambda: a.rpc("b@localhost", name, "f"),
        lambda: a.rpc("b@localhost", "m", name),
        lambda: a.spawn("b@localhost", name, "f"),
        lambda: a.expose(name, {"f": len}),
        lambda: a.expose("m", {name: len}),
        lambda: a.whereis(name),
    ):
        with pytest.raises(TypeError, match="a name is a"):
            attempt()


@pytest.mark.parametrize("name", ["true", "false", "nil"])
def test_rex_knows_these_names_too(a: Node, peer: ScriptedPeer, name: str) -> None:
    a.expose(name, {name: lambda: 7})
    box = a.mailbox(name)
    tag = ImproperList((Atom("alias"),), peer.reference())
    none: list[object] = []
    request = (Atom("call"), Atom(name), Atom(name), none, peer.pid())
    to_rex = (ctl.REG_SEND, peer.pid(), Atom(""), Atom("rex"))
    peer.send(to_rex, (Atom("$gen_call"), (peer.pid(), tag), request))
    peer.send(to_rex, (peer.pid(), (Atom("sbcast"), Atom(name), b"news")))
    answers = [payload for _, payload in peer.settle()]
    assert answers == [(tag, 7), (Atom("rex"), Atom(A), Atom(A))]
    assert box.poll() == b"news"


@pytest.mark.parametrize("text", ["abc", b"abc", bytearray(b"abc"), 5, None, {1: 2}])
def test_a_text_is_not_a_list_of_arguments(a: Node, b: Node, text: Any) -> None:
    for call in (a.rpc, a.spawn):
        with pytest.raises(TypeError, match="give a list of terms"):
            call("b@localhost", "Elixir.String", "upcase", text)
    assert a.statistics().futures == 0 and not a.processes.spawns


def test_one_name_is_not_a_list_of_names(a: Node) -> None:
    with pytest.raises(TypeError, match="list of names"):
        a.multi_call("b@localhost", "srv", 1)
    with pytest.raises(TypeError, match="list of names"):
        a.allow("b@localhost")


def test_coroutine_functions_are_refused(a: Node) -> None:
    async def later() -> int:
        return 1

    async def many() -> Any:
        yield 1

    class Callable_:
        async def __call__(self) -> int:
            return 1

    functions: list[Any] = [later, many, Callable_(), partial(later)]
    for function in functions:
        with pytest.raises(ConfigError, match="svc:f is an async def .*return a uds_dist Future"):
            a.expose("svc", {"f": function})
        with pytest.raises(ConfigError, match="on_message is an async def"):
            a.mailbox(on_message=function)
        with pytest.raises(ConfigError, match="monitor_nodes is an async def"):
            a.monitor_nodes(function)
    with pytest.raises(ConfigError, match="svc:later is an async def"):
        a.expose("svc")(later)


def test_a_coroutine_that_a_function_returns_is_told(a: Node, b: Node) -> None:
    async def later() -> int:
        return 1

    a.expose("svc", {"f": lambda: later()})
    error = b.rpc(A, "svc", "f").exception(SOON)
    assert isinstance(error, RemoteError) and "returned a coroutine" in str(error)


def test_the_unfinished_calls_of_a_peer_are_bounded(
    make_node: MakeNode, b: Node, loop: EventLoop
) -> None:
    node = make_node(A, max_pending_requests=5)
    held: list[Future[object]] = []

    def later() -> Future[object]:
        held.append(Future(loop))
        return held[-1]

    node.expose("svc", {"later": later})
    calls = [b.rpc(A, "svc", "later") for _ in range(5)]
    error = b.rpc(A, "svc", "later").exception(SOON)
    assert isinstance(error, RemoteError) and error.reason == "system_limit"
    assert len(held) == len(node._named().jobs) == 5
    held[0].set_result(1)
    assert calls[0].result(SOON) == 1
    again = b.rpc(A, "svc", "later")
    loop.run_until(lambda: len(held) == 6, SOON)
    held[5].set_result(2)
    assert again.result(SOON) == 2
    b.disconnect(A)
    loop.run_until(lambda: len(node._named().jobs) == 0, SOON)
    assert len(node._named().jobs) == 0 and not node._named().jobs._by_node


def test_a_task_that_is_never_told_its_work_is_given_up(
    tasks: Tasks, a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uds_dist.services.tasks.START_TIMEOUT", 0.05)
    request = (Atom("start_task"), [tasks.owner, Atom("nomonitor")], None, None)
    ok, pid = tasks.ask(request)
    ref = tasks.box.monitor(pid)
    down = tasks.box.receive(timeout=SOON)
    assert down == (Atom("DOWN"), ref, Atom("process"), pid, Atom("timeout"))


def test_the_tasks_of_a_peer_are_bounded(make_node: MakeNode, b: Node) -> None:
    node = make_node(A, max_pending_requests=3)
    tasks = Tasks(node, b)
    pids = [tasks.start() for _ in range(3)]
    request = (Atom("start_task"), [tasks.owner, Atom("monitor")], None, None)
    assert tasks.ask(request) == (Atom("error"), Atom("max_children"))
    assert tasks.ask((Atom("terminate_child"), pids[0])) == "ok"
    assert tasks.start()
    b.disconnect(A)
    b.loop.run_until(lambda: tasks.children() == [], SOON)


def test_what_a_failing_peer_makes_this_node_log_is_bounded(
    a: Node, peer: ScriptedPeer, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    none: list[object] = []
    for _ in range(50):
        spawn(peer, ("svc", "badarg"), [], [])
        cast = (Atom("cast"), Atom("svc"), Atom("badarg"), none, peer.pid())
        peer.send(
            (ctl.REG_SEND, peer.pid(), Atom(""), Atom("rex")), (Atom("$gen_cast"), cast)
        )
    peer.settle()
    assert 2 <= len(caplog.records) <= 20
