"""Generic servers in Python, and calls to them, between two nodes and from a peer by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.scripted import ScriptedPeer
from uds_dist import (
    Atom,
    BusyError,
    ClosedError,
    ConfigError,
    EncodeError,
    ErlangError,
    EventHandler,
    EventLoop,
    EventManager,
    Exit,
    From,
    Future,
    GenServer,
    ImproperList,
    LocalProtocolError,
    MultiReply,
    Node,
    NoProcessError,
    NoReply,
    Pid,
    RemoteError,
    RemoteTimeoutError,
    Stop,
    Throw,
)
from uds_dist.protocol import control as ctl
from uds_dist.services.outcome import returned

A = "a@localhost"
SOON = 5.0


def test_a_mailbox_calls_in_its_own_name(a: Node, b: Node) -> None:
    seen: list[Pid] = []

    class Named(GenServer):
        def handle_call(self, request: object, from_: From) -> object:
            seen.append(from_.pid)
            return request

    a.serve("named", Named())
    box = b.mailbox()
    assert box.call(("named", A), 5).result(SOON) == 5
    assert seen == [box.pid] and len(box) == 0
    with pytest.raises(NoProcessError):
        box.call(("nobody", A), 1).result(SOON)
    with pytest.raises(EncodeError):
        box.call(("named", A), object())
    with pytest.raises(EncodeError):
        box.call(5, 1)  # type: ignore[arg-type]
    assert b.statistics().futures == 0 and b.statistics().monitors == 0
    pending = box.call(("named", A), 6)
    box.close()
    with pytest.raises(ClosedError, match="exited"):
        box.call(("named", A), 1)
    assert pending.result(SOON) == 6  # the answer goes to the call's own alias


class Calc(GenServer):
    """Does what its requests say."""

    def __init__(self) -> None:
        self.ended: list[object] = []
        self.infos: list[object] = []
        self.lives = 0

    def init(self) -> None:
        self.lives += 1
        self.count = 0
        self.waiting: list[From] = []
        self.futures: list[Future[object]] = []

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case (Atom("add"), int(number)):
                self.count += number
                return self.count
            case (Atom("raise"), error):
                raise ERRORS[str(error)]
            case Atom("object"):
                return object()
            case Atom("later"):
                self.waiting.append(from_)
                return NoReply()
            case Atom("future"):
                future: Future[object] = Future(inside(self.process).loop)
                self.futures.append(future)
                return future
            case Atom("never"):
                return Future(inside(self.process).loop)
            case (Atom("ask"), (Atom() as name, Atom() as node), inner):
                return self.call((name, node), inner)
            case (Atom("stop"), reason, answer):
                return Stop(reason, answer)
            case (Atom("stop"), reason):
                return Stop(reason)
        return super().handle_call(request, from_)

    def handle_cast(self, request: object) -> object:
        match request:
            case (Atom("set"), int(number)):
                self.count = number
                return None
            case Atom("raise"):
                raise ERRORS["value"]
            case Atom("flush"):
                for from_ in self.waiting:
                    self.reply(from_, Atom("flushed"))
                return None
        return super().handle_cast(request)

    def handle_info(self, message: object) -> object:
        self.infos.append(message)
        return Stop() if isinstance(message, Atom) and message == "stop" else None

    def terminate(self, reason: object) -> None:
        self.ended.append(reason)

    def get_state(self) -> object:
        return {Atom("count"): self.count}

    def set_state(self, state: object) -> None:
        assert isinstance(state, dict)
        self.count = state[Atom("count")]


ERRORS: dict[str, BaseException] = {
    "value": ValueError("no such thing"),
    "badarg": ErlangError("badarg"),
    "tuple": ErlangError((Atom("my"), [1])),
    "exit": Exit((Atom("bye"), 1)),
    "shutdown": Exit("shutdown"),
    "throw": Throw(Atom("ball")),
    "object": ErlangError(object()),
    "interrupt": KeyboardInterrupt(),
}


@pytest.fixture
def calc(a: Node) -> Calc:
    """A server at a@localhost."""
    server = Calc()
    a.serve("calc", server)
    return server


def ask(node: Node, request: object) -> object:
    return node.call(("calc", A), request).result(SOON)


def fail(node: Node, request: object) -> RemoteError:
    error = node.call(("calc", A), request).exception(SOON)
    assert isinstance(error, RemoteError)
    return error


def rounds(loop: EventLoop, condition: Callable[[], object]) -> None:
    assert loop.run_until(lambda: bool(condition()), SOON)


# --- replies --------------------------------------------------------------------------------------


def test_a_call_is_answered(b: Node, calc: Calc) -> None:
    assert ask(b, (Atom("add"), 2)) == 2
    assert ask(b, (Atom("add"), 3)) == 5


def test_a_server_is_called_by_its_pid_and_from_its_own_node(a: Node, b: Node, calc: Calc) -> None:
    assert b.call(calc.process.pid, (Atom("add"), 1)).result(SOON) == 1
    assert a.call("calc", (Atom("add"), 1)).result(SOON) == 2


def test_a_cast_is_acted_on_in_its_place(b: Node, calc: Calc) -> None:
    b.cast(("calc", A), (Atom("set"), 40))
    assert ask(b, (Atom("add"), 2)) == 42


def test_any_other_message_is_an_info(b: Node, calc: Calc, loop: EventLoop) -> None:
    for message in ((Atom("$gen_call"), 1, 2), (Atom("$gen_cast"),), b"$gen_cast", (), 7):
        b.send(("calc", A), message)
    ask(b, (Atom("add"), 0))
    assert len(calc.infos) == 5


def test_a_reply_comes_later(b: Node, calc: Calc) -> None:
    futures = [b.call(("calc", A), Atom("later")) for _ in range(3)]
    assert ask(b, (Atom("add"), 1)) == 1
    assert not any(future.done() for future in futures)
    b.cast(("calc", A), Atom("flush"))
    assert [future.result(SOON) for future in futures] == ["flushed"] * 3


def test_a_future_is_the_reply_and_others_are_served_meanwhile(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("future"))
    assert ask(b, (Atom("add"), 1)) == 1
    assert not future.done()
    calc.futures[0].set_result([1, 2])
    assert future.result(SOON) == [1, 2]


def test_a_future_may_be_done_already_and_may_be_a_stop(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("future"))
    ask(b, (Atom("add"), 1))
    calc.futures[0].set_result(Stop(Atom("normal"), 9))
    assert future.result(SOON) == 9
    assert isinstance(fail(b, 1), NoProcessError)


def test_a_handler_calls_another_server(a: Node, b: Node, calc: Calc) -> None:
    other = Calc()
    b.serve("other", other)
    assert ask(b, (Atom("ask"), (Atom("other"), Atom("b@localhost")), (Atom("add"), 4))) == 4
    assert other.count == 4


def test_the_reply_goes_to_the_alias(peer: ScriptedPeer, calc: Calc) -> None:
    ref, alias = peer.reference(), peer.reference()
    plain = ImproperList((Atom("alias"),), ref)
    multi = ImproperList((ImproperList((Atom("alias"),), alias),), ref)
    dest = (ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc"))
    for tag, to in ((plain, ref), (multi, alias), (ref, None), (Atom("tag"), None)):
        peer.send(dest, (Atom("$gen_call"), (peer.pid(), tag), (Atom("add"), 0)))
        control, payload = peer.receive()
        assert payload == (tag, 0)
        if to is None:
            assert control == (ctl.SEND_SENDER, calc.process.pid, peer.pid())
        else:  # with all flags on both sides an alias send is an ALTACT_SIG_SEND
            assert to in control and calc.process.pid in control


def test_a_reply_goes_out_however_much_waits_to_be_written(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node(A, write_high_water=1000, write_low_water=500)
    node.serve("calc", Calc())
    peer = make_peer()
    peer.connect(folder, node)
    with pytest.raises(BusyError):
        while True:
            node.send(("somebody", peer.name), bytes(100_000))
    tag = ImproperList((Atom("alias"),), peer.reference())
    call = (Atom("$gen_call"), (peer.pid(), tag), (Atom("add"), 1))
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc")), call)
    for _ in range(3):
        node.loop.run_once(0.01)  # nothing is raised here
    assert (tag, 1) in [payload for _control, payload in peer.settle()]


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "reason", "with_stack"),
    [
        ("value", (Atom("python_error"), Atom("ValueError"), b"no such thing"), True),
        ("badarg", Atom("badarg"), True),
        ("tuple", (Atom("my"), [1]), True),
        ("exit", (Atom("bye"), 1), False),
        ("shutdown", Atom("shutdown"), False),
        ("throw", (Atom("bad_return_value"), Atom("ball")), False),
    ],
)
def test_an_exception_ends_the_server_at_its_caller(
    b: Node, calc: Calc, what: str, reason: object, with_stack: bool
) -> None:
    error = fail(b, (Atom("raise"), Atom(what)))
    assert error.class_ == "exit"
    if not with_stack:
        assert error.reason == reason
    else:
        assert isinstance(error.reason, tuple)
        assert error.reason[0] == reason
        module, function, arity, where = error.reason[1][0]
        assert (module, arity) == (__name__, 3) and "handle_call" in function
        assert bytes(dict(where)["file"]).decode() == __file__ and dict(where)["line"] > 0
    assert isinstance(fail(b, (Atom("add"), 1)), NoProcessError)
    assert calc.ended == [error.reason]


def test_an_exception_is_logged_once_with_its_traceback(
    b: Node, calc: Calc, caplog: pytest.LogCaptureFixture
) -> None:
    fail(b, (Atom("raise"), Atom("value")))
    b.loop.run_once(0.01)
    records = [record for record in caplog.records if record.name.startswith("uds_dist")]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert records[0].exc_info is not None and records[0].exc_info[1] is ERRORS["value"]


@pytest.mark.parametrize("what", ["shutdown"])
def test_an_orderly_end_is_not_logged(
    b: Node, calc: Calc, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    fail(b, (Atom("raise"), Atom(what)))
    assert not caplog.records


def test_an_exception_fires_monitors_and_links(b: Node, calc: Calc) -> None:
    watcher, linked = b.mailbox(), b.mailbox(trap_exit=True)
    ref = watcher.monitor(("calc", A))
    linked.link(calc.process.pid)
    pid = calc.process.pid
    b.cast(("calc", A), Atom("raise"))
    down = watcher.receive(timeout=SOON)
    left = linked.receive(timeout=SOON)
    assert isinstance(down, tuple) and isinstance(left, tuple)
    assert down[:4] == (Atom("DOWN"), ref, Atom("process"), ("calc", A))
    assert down[4][0] == (Atom("python_error"), Atom("ValueError"), b"no such thing")
    assert left == (Atom("EXIT"), pid, down[4])


def test_an_exception_that_cannot_be_encoded_is_told(b: Node, calc: Calc) -> None:
    error = fail(b, (Atom("raise"), Atom("object")))
    assert isinstance(error.reason, tuple)
    assert error.reason[0][:2] == (Atom("python_error"), Atom("uds_dist.errors.EncodeError"))
    assert b.nodes() == [A] and b.ping(A)


def test_an_exception_of_a_future_ends_the_server(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("future"))
    ask(b, (Atom("add"), 1))
    calc.futures[0].set_exception(ERRORS["badarg"])
    error = future.exception(SOON)
    assert isinstance(error, RemoteError) and isinstance(error.reason, tuple)
    assert error.reason[0] == "badarg"


def test_a_cancelled_future_does_not_leave_the_caller_waiting(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("future"))
    ask(b, (Atom("add"), 1))
    calc.futures[0].cancel()
    assert isinstance(future.exception(SOON), RemoteError)


def test_an_interrupt_goes_to_the_program_and_the_caller_is_told(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), (Atom("raise"), Atom("interrupt")))
    with pytest.raises(KeyboardInterrupt):
        b.loop.run_until(future, SOON)
    assert isinstance(future.exception(SOON), RemoteError)


# --- a call that fails, and a server that goes on --------------------------------------------------


def is_encode_error(error: RemoteError) -> bool:
    """Whether a call ended as one whose reply cannot be encoded."""
    reason = error.reason
    kind = (Atom("python_error"), Atom("uds_dist.errors.EncodeError"))
    return error.class_ == "exit" and isinstance(reason, tuple) and reason[0][:2] == kind


def test_a_reply_that_cannot_be_encoded_fails_that_call(
    b: Node, calc: Calc, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = b.call(("calc", A), Atom("future"))
    assert ask(b, (Atom("add"), 1)) == 1
    for _ in range(40):
        error = fail(b, Atom("object"))
        assert is_encode_error(error) and "object" in str(error)
    assert ask(b, (Atom("add"), 1)) == 2 and calc.lives == 1 and not calc.ended
    assert len(caplog.records) <= 10
    calc.futures[0].set_result([1, {2: object()}])
    error_ = waiting.exception(SOON)
    assert isinstance(error_, RemoteError) and is_encode_error(error_)
    assert "(at term[1][2])" in str(error_)
    assert ask(b, (Atom("add"), 1)) == 3


def test_a_reply_of_a_stop_that_cannot_be_encoded_fails_its_call(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("future"))
    ask(b, (Atom("add"), 1))
    calc.futures[0].set_result(Stop(Atom("shutdown"), object()))
    error = future.exception(SOON)
    assert isinstance(error, RemoteError) and is_encode_error(error)
    assert calc.ended == ["shutdown"]


def test_an_unknown_request_fails_that_call(
    b: Node, calc: Calc, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = b.call(("calc", A), Atom("later"))
    for _ in range(40):
        error = fail(b, Atom("what?"))
        assert error.class_ == "exit" and error.reason == (Atom("bad_call"), Atom("what?"))
        b.cast(("calc", A), Atom("what?"))
    b.cast(("calc", A), Atom("flush"))
    assert waiting.result(SOON) == "flushed"
    assert calc.lives == 1 and not calc.ended
    assert "a call that it does not know: Atom('what?')" in caplog.text
    assert "a cast that it does not know: Atom('what?')" in caplog.text
    assert len(caplog.records) <= 20


def test_an_unknown_message_is_logged_and_dropped(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    a.serve("plain", GenServer())
    for _ in range(40):
        b.send(("plain", A), b"x" * 10_000)
    error = b.call(("plain", A), 2).exception(SOON)
    assert isinstance(error, RemoteError) and error.reason == (Atom("bad_call"), 2)
    assert "unexpected message" in caplog.text and len(caplog.records) <= 11
    assert max(len(record.getMessage()) for record in caplog.records) < 400


def test_a_call_fails_on_the_wire_by_its_own_monitor(peer: ScriptedPeer, calc: Calc) -> None:
    refs = [peer.monitor("calc"), peer.monitor("calc")]
    tag = ImproperList((Atom("alias"),), refs[0])
    call = (Atom("$gen_call"), (peer.pid(), tag), Atom("what?"))
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc")), call)
    ((control, reason),) = peer.settle()
    assert control == (ctl.PAYLOAD_MONITOR_P_EXIT, Atom("calc"), peer.pid(), refs[0])
    assert reason == (Atom("bad_call"), Atom("what?"))
    assert list(inside(calc.process).watchers) == [refs[1]]
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc")), call)
    assert peer.settle() == []  # nobody watches any more: there is no way to tell


def test_a_handler_that_returns_nothing_is_logged_once(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(GenServer):
        def handle_call(self, request: object, from_: From) -> object:
            return Atom("nil") if request == 0 else None

    a.serve("forgetful", Forgetful())
    assert b.call(("forgetful", A), 0).result(SOON) is None
    assert not caplog.records
    for _ in range(3):
        assert b.call(("forgetful", A), 1).result(SOON) is None
    assert caplog.text.count("handle_call returned None") == len(caplog.records) == 1


def test_the_futures_of_a_server_are_bounded(make_node: MakeNode, b: Node) -> None:
    node = make_node(A, max_pending_requests=5)
    calc = Calc()
    node.serve("calc", calc)
    waiting = [b.call(("calc", A), Atom("never")) for _ in range(5)]
    assert fail(b, Atom("future")).reason == "system_limit"
    assert calc.futures[0].cancelled() and not any(future.done() for future in waiting)
    waiting.pop().cancel()
    assert ask(b, (Atom("add"), 1)) == 1
    future = b.call(("calc", A), Atom("future"))
    assert ask(b, (Atom("add"), 1)) == 2 and not future.done()


def test_the_end_of_a_server_for_good_is_told(
    make_node: MakeNode, b: Node, loop: EventLoop
) -> None:
    downs: list[tuple[str, object]] = []
    node = make_node(A)
    node.on_service_down = lambda name, reason: downs.append((name, reason))
    restarts: tuple[Literal["temporary", "permanent"], ...] = ("temporary", "permanent")
    for restart in restarts:
        node.serve("calc", Calc(), restart=restart)
        while node.whereis("calc") is not None:
            fail(b, (Atom("stop"), Atom("crash")))
            loop.run_once(0.01)
        rounds(loop, lambda: downs)
        assert downs == [("calc", "crash")]
        downs.clear()
    server = Calc()
    pid = node.serve(None, server)
    b.exit(pid, Atom("kill"))
    rounds(loop, lambda: downs)
    assert downs == [(str(pid), "killed")]
    quiet = Calc()
    node.serve("quiet", quiet)
    quiet.stop()
    node.serve("living", Calc())
    node.close()
    for _ in range(3):
        loop.run_once(0)
    assert len(downs) == 1


def test_a_restart_that_fails_for_good_is_told(make_node: MakeNode, loop: EventLoop) -> None:
    downs: list[tuple[str, object]] = []
    node = make_node(A)
    node.on_service_down = lambda name, reason: downs.append((name, reason))

    class Broken(Calc):
        def init(self) -> None:
            super().init()
            if self.lives > 1:
                raise OSError("no disk")

    server = Broken()
    node.serve("calc", server, restart="permanent")
    server.stop(Atom("shutdown"))
    rounds(loop, lambda: downs)
    assert downs[0][0] == "calc" and downs[0][1][0][-1] == b"no disk"  # type: ignore[index]


def test_async_handlers_are_refused(a: Node) -> None:
    class Async(GenServer):
        async def handle_call(self, request: object, from_: From) -> object:
            return 1

    class Watcher(EventHandler):
        async def handle_event(self, event: object) -> object:
            return None

    with pytest.raises(ConfigError, match="Async.handle_call is an async def.*Future"):
        a.serve("async", Async)
    with pytest.raises(ConfigError, match="Watcher.handle_event is an async def"):
        EventManager().add_handler("w", Watcher())
    assert a.whereis("async") is None


def test_a_coroutine_that_a_handler_returns_is_told(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    async def later() -> int:
        return 1

    class Sly(GenServer):
        def handle_call(self, request: object, from_: From) -> object:
            return later()

        def handle_cast(self, request: object) -> object:
            return later()

    a.serve("sly", Sly())
    b.cast(("sly", A), 1)
    error = b.call(("sly", A), 1).exception(SOON)
    assert isinstance(error, RemoteError) and "coroutine" in str(error)
    assert caplog.text.count("returned a coroutine") == 2


@pytest.mark.parametrize("request_", [(Atom("stop"), Atom("enough"), 1), (Atom("stop"), b"x")])
def test_a_stop_ends_with_its_reason(
    b: Node, calc: Calc, request_: tuple[object, ...]
) -> None:
    future = b.call(("calc", A), request_)
    if len(request_) == 3:
        assert future.result(SOON) == 1
    else:
        error = future.exception(SOON)
        assert isinstance(error, RemoteError) and error.reason == b"x"
    assert calc.ended == [request_[1]]
    assert isinstance(fail(b, 1), NoProcessError)


def test_the_others_who_wait_hear_of_the_end(b: Node, calc: Calc) -> None:
    waiting = [b.call(("calc", A), Atom(how)) for how in ("later", "never", "future")]
    assert fail(b, (Atom("stop"), Atom("over"))).reason == "over"
    for future in waiting:
        error = future.exception(SOON)
        assert isinstance(error, RemoteError) and error.reason == "over"


def test_a_server_stops_itself(a: Node, b: Node, calc: Calc) -> None:
    calc.stop(Atom("shutdown"))
    assert a.whereis("calc") is None and calc.ended == ["shutdown"]
    b.send(("calc", A), 1)  # nobody: dropped
    assert b.ping(A)


def test_terminate_is_called_when_the_server_is_killed(
    b: Node, calc: Calc, loop: EventLoop
) -> None:
    ask(b, (Atom("add"), 1))
    b.exit(calc.process.pid, Atom("kill"))
    rounds(loop, lambda: calc.ended)
    assert calc.ended == ["killed"]


def test_what_terminate_raises_is_the_reason(a: Node, b: Node) -> None:
    class Bad(Calc):
        def terminate(self, reason: object) -> None:
            raise ErlangError("late")

    a.serve("calc", Bad())
    reason = fail(b, (Atom("stop"), Atom("normal"))).reason
    assert isinstance(reason, tuple) and reason[0] == "late"


def test_exit_signals_end_a_server_or_are_its_messages(
    a: Node, b: Node, calc: Calc, loop: EventLoop
) -> None:
    class Trapping(Calc):
        trap_exit = True

    trapping = Trapping()
    pid = a.serve("trapping", trapping)
    sender = b.mailbox()
    sender.exit(pid, Atom("enough"))
    sender.exit(calc.process.pid, Atom("enough"))
    rounds(loop, lambda: calc.ended and trapping.infos)
    assert trapping.infos == [(Atom("EXIT"), sender.pid, Atom("enough"))]
    assert calc.ended == ["enough"] and not trapping.ended


# --- nothing is left behind -----------------------------------------------------------------------


class Ledger:
    """What the two nodes hold, to be compared."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes
        for _ in range(5):  # what is still on its way arrives: all nodes share one loop
            nodes[0].loop.run_once(0)
        self.before = self.held()

    def held(self) -> list[object]:
        found: list[object] = []
        for node in self.nodes:
            s = node.statistics()
            found.append((s.processes, s.monitors, s.aliases, s.futures, s.links, s.watchers))
        return found

    def settle(self, loop: EventLoop) -> None:
        """Wait until everything is as it was."""
        loop.run_until(lambda: self.held() == self.before, SOON)
        assert self.held() == self.before


def never(node: Node) -> Future[object]:
    future = node.call(("calc", A), Atom("never"))
    assert ask(node, (Atom("add"), 0)) == 0
    return future


def test_a_caller_that_times_out_leaves_nothing(b: Node, a: Node, calc: Calc) -> None:
    assert b.ping(A)
    ledger = Ledger(a, b)
    withdrawn: list[int] = []

    class Downstream(Calc):
        def handle_call(self, request: object, from_: From) -> object:
            return Future(inside(self.process).loop, withdraw=lambda: withdrawn.append(1))

    a.serve("down", Downstream())
    ledger.before = ledger.held()
    future = b.call(("down", A), Atom("never"))
    with pytest.raises(RemoteTimeoutError):
        future.result(0.05)
    assert ledger.held() != ledger.before
    del future
    ledger.settle(a.loop)
    a.loop.run_until(lambda: bool(withdrawn), SOON)
    assert withdrawn == [1]  # what the handler had under way is dropped with its caller


def test_a_late_answer_lands_in_no_mailbox(b: Node, calc: Calc) -> None:
    future = b.call(("calc", A), Atom("later"))
    with pytest.raises(RemoteTimeoutError):
        future.result(0.01)
    future.cancel()
    b.cast(("calc", A), Atom("flush"))
    assert b.ping(A)
    assert ask(b, (Atom("add"), 1)) == 1


def test_a_caller_that_dies_leaves_nothing(
    b: Node, a: Node, calc: Calc, loop: EventLoop, make_node: MakeNode
) -> None:
    c = make_node("c@localhost", listen=False)
    assert c.ping(A) and b.ping(A)
    loop.run_once(0)
    ledger = Ledger(a, b)
    future = never(c)
    assert ledger.held() != ledger.before
    c.close()
    ledger.settle(loop)
    assert not future.done() or future.exception() is not None
    assert ask(b, (Atom("add"), 0)) == 0


def test_a_caller_without_a_monitor_is_watched(
    a: Node, peer: ScriptedPeer, calc: Calc, loop: EventLoop
) -> None:
    ledger = Ledger(a)
    tag = Atom("tag")
    dest = (ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc"))
    peer.send(dest, (Atom("$gen_call"), (peer.pid(), tag), Atom("future")))
    control, _payload = peer.receive()
    assert control[:3] == (ctl.MONITOR_P, calc.process.pid, peer.pid())
    peer.send(dest, (Atom("$gen_call"), (peer.pid(), tag), Atom("future")))
    second, _payload = peer.receive()
    calc.futures[1].set_result(5)
    loop.run_once(0)
    found = peer.settle()
    assert ((ctl.SEND_SENDER, calc.process.pid, peer.pid()), (tag, 5)) in found
    assert any(ctl.DEMONITOR_P == control_[0] and second[3] in control_ for control_, _ in found)
    down = (ctl.PAYLOAD_MONITOR_P_EXIT, peer.pid(), calc.process.pid, control[3])
    peer.send(down, Atom("noproc"))
    ledger.settle(loop)


def test_a_server_that_ends_drops_its_futures(a: Node, b: Node, calc: Calc) -> None:
    assert b.ping(A)
    futures = [b.call(("calc", A), Atom(how)) for how in ("future", "future", "never")]
    ask(b, (Atom("add"), 0))
    fail(b, (Atom("stop"), Atom("over")))
    for future in calc.futures:
        future.set_result(1)  # for nobody
    a.loop.run_once(0)
    assert all(isinstance(future.exception(SOON), RemoteError) for future in futures)


def test_many_calls_leave_nothing(a: Node, b: Node, calc: Calc, loop: EventLoop) -> None:
    assert b.ping(A)
    ledger = Ledger(a, b)
    futures = [b.call(("calc", A), (Atom("add"), 1)) for _ in range(500)]
    assert [future.result(SOON) for future in futures] == list(range(1, 501))
    ledger.settle(loop)


# --- restarts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "reason", "again"),
    [
        ("temporary", "crash", False),
        ("transient", "crash", True),
        ("transient", "normal", False),
        ("transient", "shutdown", False),
        ("permanent", "crash", True),
        ("permanent", "normal", True),
    ],
)
def test_the_restart_policy(a: Node, b: Node, restart: str, reason: str, again: bool) -> None:
    calc = Calc()
    first = a.serve("calc", calc, restart=restart)  # type: ignore[arg-type]
    assert ask(b, (Atom("add"), 7)) == 7
    assert fail(b, (Atom("stop"), Atom(reason))).reason == reason
    b.loop.run_once(0.01)
    pid = a.whereis("calc")
    assert (pid is not None) is again
    if again:
        assert pid != first and calc.lives == 2
        assert ask(b, (Atom("add"), 1)) == 1  # `init` has built the state anew
    else:
        assert isinstance(fail(b, 1), NoProcessError)


def test_a_killed_server_is_started_again_from_its_class(a: Node, b: Node, loop: EventLoop) -> None:
    pid = a.serve("calc", Calc, restart="permanent")
    b.exit(pid, Atom("kill"))
    rounds(loop, lambda: a.whereis("calc") not in (None, pid))
    assert ask(b, (Atom("add"), 1)) == 1


def test_a_server_that_ends_too_often_stays_down(
    a: Node, b: Node, caplog: pytest.LogCaptureFixture
) -> None:
    calc = Calc()
    a.serve("calc", calc, restart="permanent")
    for _ in range(4):
        fail(b, (Atom("stop"), Atom("crash")))
        b.loop.run_once(0.01)
    assert a.whereis("calc") is None and calc.lives == 4
    assert "not started again" in caplog.text


def test_a_restart_whose_init_raises_is_tried_again(
    a: Node, b: Node, loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    class Fragile(Calc):
        def init(self) -> None:
            super().init()
            if self.lives == 2:
                raise OSError("not yet")

    calc = Fragile()
    a.serve("calc", calc, restart="permanent")
    fail(b, (Atom("stop"), Atom("crash")))
    rounds(loop, lambda: a.whereis("calc"))
    assert calc.lives == 3 and "could not be started again" in caplog.text


def test_an_init_that_raises_raises_from_serve(a: Node) -> None:
    class Broken(GenServer):
        def init(self) -> None:
            raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        a.serve("broken", Broken)
    assert a.whereis("broken") is None


def test_messages_wait_for_init(a: Node, b: Node) -> None:
    class Slow(Calc):
        def init(self) -> None:
            super().init()
            b.cast(("calc", A), (Atom("set"), 5))
            assert b.ping(A)  # the loop runs here, at top level
            self.count = 1

    a.serve("calc", Slow())
    assert ask(b, (Atom("add"), 1)) == 6


def test_misuse_is_told(a: Node, calc: Calc) -> None:
    with pytest.raises(ConfigError, match="taken"):
        a.serve("calc", Calc())
    with pytest.raises(ConfigError, match="served already"):
        a.serve("other", calc)
    with pytest.raises(ConfigError, match="restart"):
        a.serve("other", Calc, restart="often")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not a GenServer"):
        a.serve("other", object)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="not served"):
        Calc().stop()


# --- sys ------------------------------------------------------------------------------------------


def sys(node: Node, request: object, loop: EventLoop) -> object:
    """What sys:... of a process of this node would get."""
    box = node.mailbox()
    ref = box.alias()
    tag = ImproperList((Atom("alias"),), ref)
    box.send(("calc", A), (Atom("system"), (box.pid, tag), request))
    message = box.receive(timeout=SOON)
    assert isinstance(message, tuple) and message[0] == tag
    return message[1]


def test_the_state_is_shown(b: Node, calc: Calc, loop: EventLoop) -> None:
    assert sys(b, Atom("get_state"), loop) == (Atom("ok"), {Atom("count"): 0})


def test_the_default_state_is_the_public_attributes(a: Node, b: Node, loop: EventLoop) -> None:
    class Plain(GenServer):
        def init(self) -> None:
            self.number = 5
            self.thing = object()
            self._hidden = 1

    a.serve("calc", Plain())
    state = sys(b, Atom("get_state"), loop)
    assert isinstance(state, tuple) and isinstance(state[1], dict)
    assert state[1]["number"] == 5 and b"object" in state[1]["thing"]
    assert set(state[1]) == {"number", "thing"}


def test_a_state_that_cannot_be_had_is_an_error(a: Node, b: Node, loop: EventLoop) -> None:
    class Shy(Calc):
        def get_state(self) -> object:
            raise ErlangError("secret")

    a.serve("calc", Shy())
    answer = sys(b, Atom("get_state"), loop)
    assert isinstance(answer, tuple) and answer[0] == "error"
    assert answer[1][0] == "callback_failed" and answer[1][2] == ("error", "secret")
    assert ask(b, (Atom("add"), 1)) == 1


def test_the_status_has_the_shape_of_gen_server(b: Node, calc: Calc, loop: EventLoop) -> None:
    status = sys(b, Atom("get_status"), loop)
    assert isinstance(status, tuple)
    assert status[:3] == (Atom("status"), calc.process.pid, (Atom("module"), Atom("gen_server")))
    dictionary, state, parent, debug, misc = status[3]
    assert state == "running" and isinstance(parent, Pid) and debug == []
    assert [key for key, _value in misc] == ["header", "data", "data"]
    assert ([ord(c) for c in "State"], {Atom("count"): 0}) in misc[2][1]


def test_a_suspended_server_answers_sys_alone_and_loses_nothing(
    b: Node, calc: Calc, loop: EventLoop
) -> None:
    assert sys(b, Atom("suspend"), loop) == "ok"
    b.cast(("calc", A), (Atom("set"), 10))
    future = b.call(("calc", A), (Atom("add"), 1))
    status = sys(b, Atom("get_status"), loop)
    assert isinstance(status, tuple) and status[3][1] == "suspended"
    assert not future.done() and calc.count == 0
    assert sys(b, Atom("resume"), loop) == "ok"
    b.cast(("calc", A), (Atom("set"), 90))  # behind what has waited
    assert future.result(SOON) == 11
    assert ask(b, (Atom("add"), 0)) == 90


def test_a_suspended_server_can_be_ended(b: Node, calc: Calc, loop: EventLoop) -> None:
    sys(b, Atom("suspend"), loop)
    future = b.call(("calc", A), (Atom("add"), 1))
    assert sys(b, (Atom("terminate"), Atom("done")), loop) == "ok"
    error = future.exception(SOON)
    assert isinstance(error, RemoteError) and error.reason == "done"


def test_a_stop_answers_ok_and_fires_both_monitors(peer: ScriptedPeer, calc: Calc) -> None:
    pid = calc.process.pid
    first, second = peer.monitor("calc"), peer.monitor("calc")
    tag = ImproperList((Atom("alias"),), second)
    message = (Atom("system"), (peer.pid(), tag), (Atom("terminate"), (Atom("my"), b"reason")))
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom("calc")), message)
    found = peer.settle()
    assert [payload for _, payload in found] == [(tag, Atom("ok"))] + [(Atom("my"), b"reason")] * 2
    downs = [control for control, _ in found[1:]]
    assert downs == [
        (ctl.PAYLOAD_MONITOR_P_EXIT, Atom("calc"), peer.pid(), ref) for ref in (first, second)
    ]
    assert pid in found[0][0] and calc.ended == [(Atom("my"), b"reason")]


def test_the_state_is_replaced_by_what_the_callers_node_makes_of_it(
    b: Node, calc: Calc, loop: EventLoop
) -> None:
    def apply(function: object, arguments: list[object]) -> object:
        assert function == Atom("a fun") and arguments == [{Atom("count"): 0}]
        return {Atom("count"): 77}

    # A BEAM has erlang:apply/2; to this node it is a function like any other, of no fun.
    b._exposed.run = (  # type: ignore[method-assign]
        lambda _module, _function, arguments, _caller: returned(apply(*arguments))  # type: ignore[assignment, misc]
    )
    replaced = sys(b, (Atom("replace_state"), Atom("a fun")), loop)
    assert replaced == (Atom("ok"), {Atom("count"): 77})
    assert ask(b, (Atom("add"), 1)) == 78


def test_replacing_the_state_of_a_server_that_cannot_is_an_error(
    a: Node, b: Node, loop: EventLoop
) -> None:
    a.serve("calc", GenServer())
    answer = sys(b, (Atom("replace_state"), Atom("a fun")), loop)
    assert isinstance(answer, tuple) and answer[1][0] == "callback_failed"


def test_what_sys_does_not_know(b: Node, calc: Calc, loop: EventLoop) -> None:
    assert sys(b, (Atom("debug"), Atom("no_debug")), loop) == "ok"
    assert sys(b, (Atom("debug"), (Atom("trace"), False)), loop) == "ok"
    statistics = (Atom("debug"), (Atom("statistics"), Atom("get")))
    assert sys(b, statistics, loop) == (Atom("ok"), Atom("no_statistics"))
    request = (Atom("debug"), (Atom("trace"), True))
    assert sys(b, request, loop) == (Atom("error"), (Atom("unknown_system_msg"), request))
    assert sys(b, 5, loop) == (Atom("error"), (Atom("unknown_system_msg"), 5))


# --- calls ----------------------------------------------------------------------------------------


def test_calls_of_several_nodes(a: Node, b: Node, calc: Calc) -> None:
    b.serve("calc", Calc())
    nodes = [A, "b@localhost", "nobody@localhost", A]
    assert b.multi_call(nodes, "calc", (Atom("add"), 2)).result(SOON) == MultiReply(
        {A: 2, "b@localhost": 2}, ["nobody@localhost"]
    )
    assert b.multi_call([], "calc", 1).result(SOON) == MultiReply({}, [])
    assert b.multi_call([A], "other", 1).result(SOON) == MultiReply({}, [A])


def test_a_slow_node_is_a_bad_one_and_nothing_is_left(
    a: Node, b: Node, calc: Calc, loop: EventLoop
) -> None:
    assert b.ping(A)
    ledger = Ledger(a, b)
    future = b.multi_call([A, "b@localhost"], "calc", Atom("never"), timeout=0.05)
    assert future.result(SOON) == MultiReply({}, [A, "b@localhost"])
    ledger.settle(loop)
    dropped = b.multi_call([A], "calc", Atom("never"))
    loop.run_once(0)
    del dropped
    ledger.settle(loop)


def test_a_call_that_is_no_term_raises_at_once(a: Node, b: Node, calc: Calc) -> None:
    with pytest.raises(EncodeError):
        b.multi_call([A, "b@localhost"], "calc", object())
    with pytest.raises(EncodeError):
        b.call(("calc", A), object())


# --- events ---------------------------------------------------------------------------------------


class Log(EventHandler):
    def __init__(self) -> None:
        self.seen: list[object] = []
        self.ended: list[object] = []

    def handle_event(self, event: object) -> None:
        if event == "raise":
            raise ValueError("bad event")
        self.seen.append(event)

    def handle_call(self, query: object) -> object:
        if query == "object":
            return object()
        return self.seen if query == "seen" else super().handle_call(query)

    def terminate(self, reason: object) -> object:
        self.ended.append(reason)
        return Atom("bye")


class Events:
    """An event manager at a@localhost and a caller at b@localhost."""

    def __init__(self, a: Node, b: Node) -> None:
        self.log = Log()
        self.manager = EventManager()
        self.manager.add_handler("log", self.log)
        self.manager.add_handler("other", Log())
        a.serve("events", self.manager)
        self.box = b.mailbox()

    def ask(self, request: object) -> object:
        """What gen_event's functions get."""
        tag = ImproperList((Atom("alias"),), self.box.alias())
        self.box.send(("events", A), (self.box.pid, (self.box.pid, tag), request))
        message = self.box.receive(timeout=SOON)
        assert isinstance(message, tuple) and message[0] == tag
        return message[1]


@pytest.fixture
def events(a: Node, b: Node) -> Events:
    """An event manager with two handlers."""
    return Events(a, b)


def test_events_are_handled(events: Events) -> None:
    events.box.send(("events", A), (Atom("notify"), 1))
    assert events.ask((Atom("sync_notify"), 2)) == "ok"
    assert events.log.seen == [1, 2]
    assert events.ask(Atom("which_handlers")) == ["log", "other"]
    assert events.ask((Atom("call"), Atom("log"), Atom("seen"))) == [1, 2]
    assert events.ask((Atom("call"), Atom("log"), 5)) == (Atom("error"), Atom("bad_query"))
    assert events.ask((Atom("call"), Atom("no"), 5)) == (Atom("error"), Atom("bad_module"))


def test_a_handler_that_raises_is_removed(
    events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    events.manager.delete_handler("other")
    assert events.ask((Atom("sync_notify"), Atom("raise"))) == "ok"
    assert events.ask(Atom("which_handlers")) == []
    assert "log raised and is removed" in caplog.text


def test_handlers_are_removed_but_not_added_from_afar(events: Events) -> None:
    assert events.ask((Atom("delete_handler"), Atom("log"), [])) == "bye"
    assert events.log.ended == ["remove_handler"]
    missing = (Atom("error"), Atom("module_not_found"))
    assert events.ask((Atom("delete_handler"), Atom("log"), [])) == missing
    added = events.ask((Atom("add_handler"), Atom("os"), []))
    assert added == (Atom("EXIT"), (Atom("undef"), []))
    with pytest.raises(ConfigError):
        events.manager.add_handler("other", Log())


def test_an_answer_that_is_no_term_is_an_error(events: Events) -> None:
    answer = events.ask((Atom("call"), Atom("log"), Atom("object")))
    assert isinstance(answer, tuple) and answer[0] == "error"


def test_the_end_of_the_manager_is_the_end_of_its_handlers(events: Events) -> None:
    events.manager.stop(Atom("shutdown"))
    assert events.log.ended == [(Atom("stop"), Atom("shutdown"))]
