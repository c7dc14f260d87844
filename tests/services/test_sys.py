"""The requests of the sys module to generic servers in Python."""

from __future__ import annotations

from tests.scripted import ScriptedPeer
from tests.services.calc import SOON, A, Calc, ask
from uds_dist import (
    Atom,
    ErlangError,
    EventLoop,
    GenServer,
    ImproperList,
    Node,
    Pid,
    RemoteError,
)
from uds_dist.protocol import control as ctl
from uds_dist.services.outcome import returned


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
    b.cast(("calc", A), (Atom("set"), 90))  # after what has waited
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
