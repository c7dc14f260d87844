"""Functions that other nodes call: rpc, erpc, spawn and Task.Supervisor, answered in Python."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.conftest import MakeNode
from tests.inside import inside
from tests.scripted import ScriptedPeer
from tests.services.calc import SOON, A, Ledger
from tests.services.functions import Service, Tasks, spawn
from uds_dist import (
    Atom,
    ConfigError,
    ErlangError,
    EventLoop,
    Future,
    ImproperList,
    NoConnectionError,
    Node,
    Pid,
    RemoteError,
    RemoteTimeoutError,
)
from uds_dist.protocol import control as ctl
from uds_dist.services.exposed import Exposed
from uds_dist.services.outcome import Outcome


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
    assert (module, arity) == (Service.__module__, 1) and function.endswith("badarg")
    assert bytes(dict(where)["file"]).decode() == inspect.getfile(Service)
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
        if not (isinstance(outcome, Outcome) and outcome.value == "undef"):
            found.add(arity)
    assert found == taken


@pytest.mark.parametrize(
    "call", [(1, Atom("f"), []), (Atom("m"), b"f", []), (Atom("m"), Atom("f"), 5)]
)
def test_a_malformed_call_is_an_error(call: tuple[object, object, object]) -> None:
    outcome = Exposed().run(*call)
    assert isinstance(outcome, Outcome) and outcome.class_ == "error"


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


def test_tasks_for_owners_on_many_nodes_are_bounded(make_node: MakeNode, b: Node) -> None:
    node = make_node(A, max_pending_requests=3)
    node.expose("svc", {"never": lambda: Future(node.loop)})
    tasks = Tasks(node, b)
    answers: list[str] = []
    for number in range(5):
        owner = (Atom(f"n{number}@x"), Atom("name"), Pid(f"n{number}@x", 1, 0, 1))
        job: tuple[object, ...] = (Atom("svc"), Atom("never"), [])
        request = (Atom("start_task"), [owner, Atom("monitor"), job], Atom("temporary"), None)
        answers.append(tasks.ask(request)[0])
    assert answers == ["ok", "ok", "ok", "error", "error"]
    assert len(tasks.children()) == 3


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
