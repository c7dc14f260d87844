"""Calls of generic servers that fail alone, and what no call leaves behind."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.conftest import MakeNode
from tests.inside import inside
from tests.scripted import ScriptedPeer
from tests.services.calc import SOON, A, Calc, Ledger, ask, fail, never, rounds
from uds_dist import (
    Atom,
    ConfigError,
    ErlangError,
    EventHandler,
    EventLoop,
    EventManager,
    From,
    Future,
    GenServer,
    ImproperList,
    Node,
    NoProcessError,
    RemoteError,
    RemoteTimeoutError,
    Stop,
)
from uds_dist.protocol import control as ctl

# --- a call that fails, and a server that goes on -------------------------------------------------


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
