"""Generic servers in Python, and calls to them, between two nodes and from a peer by hand."""

from __future__ import annotations

import inspect
import logging

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from tests.services.calc import ERRORS, SOON, A, Calc, Ledger, ask, fail
from uds_dist import (
    Atom,
    BusyError,
    ClosedError,
    EncodeError,
    EventLoop,
    From,
    GenServer,
    ImproperList,
    MultiReply,
    Node,
    NoProcessError,
    Pid,
    RemoteError,
    Stop,
)
from uds_dist.protocol import control as ctl


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
        assert (module, arity) == (Calc.__module__, 3) and "handle_call" in function
        file, line = bytes(dict(where)["file"]).decode(), dict(where)["line"]
        assert file == inspect.getfile(Calc) and line > 0
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
