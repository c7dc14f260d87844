"""net_kernel, rex, logger_proxy, and the group leader, as peers use them."""

from __future__ import annotations

import io
import logging
import time
from functools import partial
from typing import Any, TextIO

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from uds_dist import (
    Atom,
    ErlangError,
    EventLoop,
    Future,
    ImproperList,
    Node,
    Pid,
    Reference,
    Throw,
)
from uds_dist.protocol import control as ctl
from uds_dist.services.group_leader import chardata_text

A = "a@localhost"
SOON = 5.0
REMOTE = "uds_dist.remote"
TAIL = ImproperList((99,), b"d")


# --- net_kernel and rex ---------------------------------------------------------------------------


def ask(peer: ScriptedPeer, name: str, request: object) -> Any:
    """A gen_server call of the peer."""
    tag = ImproperList((Atom("alias"),), peer.reference())
    message = (Atom("$gen_call"), (peer.pid(), tag), request)
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom(name)), message)
    _control, payload = peer.receive()
    assert isinstance(payload, tuple) and payload[0] == tag
    return payload[1]


def tell(peer: ScriptedPeer, name: str, message: object) -> None:
    peer.send((ctl.REG_SEND, peer.pid(), Atom(""), Atom(name)), message)


def test_a_ping_is_answered(peer: ScriptedPeer) -> None:
    assert ask(peer, "net_kernel", (Atom("is_auth"), Atom(peer.name))) == "yes"


@pytest.fixture
def functions(a: Node) -> dict[str, Future[object]]:
    """Functions of the module ``svc``; the future is what ``later`` returned."""
    held: dict[str, Future[object]] = {}

    def echo(term: object) -> object:
        return term

    def badarg() -> object:
        raise ErlangError("badarg")

    def throw(term: object) -> object:
        raise Throw(term)

    def unsendable() -> object:
        return object()

    def later() -> object:
        held["later"] = Future(a.loop)
        return held["later"]

    for function in (echo, badarg, throw, unsendable, later):
        a.expose("svc", {function.__name__: function})
    return held


@pytest.mark.parametrize("call", ["call", "block_call"])
def test_rex_calls_functions(
    peer: ScriptedPeer, functions: dict[str, Future[object]], call: str
) -> None:
    def rex(function: str, *arguments: object) -> Any:
        request = (Atom(call), Atom("svc"), Atom(function), list(arguments), peer.pid(9))
        return ask(peer, "rex", request)

    assert rex("echo", b"x") == b"x"
    assert rex("throw", 5) == 5
    badrpc, (exit_, (reason, stack)) = rex("badarg")
    assert (badrpc, exit_, reason) == ("badrpc", "EXIT", "badarg") and stack[-1][1] == "badarg"
    assert rex("nothing")[1][1][0] == "undef"
    assert rex("unsendable")[1][1][0][1] == "uds_dist.errors.EncodeError"
    assert ask(peer, "rex", Atom("what?"))[0] == "error"


def test_rex_waits_for_futures_and_drops_them_with_their_caller(
    a: Node, peer: ScriptedPeer, functions: dict[str, Future[object]], loop: EventLoop
) -> None:
    ref = peer.reference()
    tag = ImproperList((Atom("alias"),), ref)
    none: list[object] = []
    request = (Atom("block_call"), Atom("svc"), Atom("later"), none, peer.pid(9))
    for outcome in (7, ErlangError("late"), None):
        peer.send((ctl.MONITOR_P, peer.pid(), Atom("rex"), ref))
        tell(peer, "rex", (Atom("$gen_call"), (peer.pid(), tag), request))
        assert peer.settle() == []
        future = functions.pop("later")
        if outcome is None:
            assert future._callbacks
            peer.send((ctl.DEMONITOR_P, peer.pid(), Atom("rex"), ref))
            peer.settle()
            peer.until(partial(_nobody_waits, future))
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        _control, payload = peer.receive()
        assert isinstance(payload, tuple)
        if outcome == 7:
            assert payload == (tag, 7)
        else:
            assert payload[1][0] == "badrpc" and payload[1][1][1][0] == "late"
        peer.send((ctl.DEMONITOR_P, peer.pid(), Atom("rex"), ref))


def _nobody_waits(future: Future[object]) -> bool:
    return not future._callbacks


def test_rex_casts(
    peer: ScriptedPeer, functions: dict[str, Future[object]], caplog: pytest.LogCaptureFixture
) -> None:
    none: list[object] = []
    for function in ("later", "badarg"):
        cast = (Atom("cast"), Atom("svc"), Atom(function), none, peer.pid(9))
        tell(peer, "rex", (Atom("$gen_cast"), cast))
    peer.settle()
    assert "later" in functions and "badarg" in caplog.text


def test_rex_tells_its_features(peer: ScriptedPeer) -> None:
    tell(peer, "rex", (peer.pid(), Atom("features_request")))
    ((control, payload),) = peer.settle()
    assert control[2] == peer.pid()
    assert payload == (Atom("features_reply"), Atom(A), [Atom("erpc")])


def test_rex_passes_on_what_sbcast_sends(a: Node, peer: ScriptedPeer) -> None:
    box = a.mailbox("box")
    tell(peer, "rex", (peer.pid(), (Atom("sbcast"), Atom("box"), b"news")))
    tell(peer, "rex", (peer.pid(), (Atom("sbcast"), Atom("nobody"), b"news")))
    answers = [payload for _control, payload in peer.settle()]
    missing = (Atom("nonexisting_name"), Atom("nobody"))
    assert answers == [(Atom("rex"), Atom(A), Atom(A)), (Atom("rex"), Atom(A), missing)]
    assert box.poll() == b"news"


@pytest.mark.parametrize("name", ["net_kernel", "rex", "logger_proxy"])
def test_nothing_ends_a_kernel_process(a: Node, peer: ScriptedPeer, name: str) -> None:
    for message in (5, (), (Atom("$gen_cast"), 1), (Atom("log"),), (Atom("EXIT"), 1, 2), b""):
        tell(peer, name, message)
    process = a.processes.by_name[name]
    for reason in (Atom("kill"), Atom("enough")):
        peer.send((ctl.PAYLOAD_EXIT2, peer.pid(), process.pid), reason)
    peer.settle()
    assert a.processes.by_name[name] is process and process.alive


# --- logger_proxy ---------------------------------------------------------------------------------


class Formatter:
    """The logger_formatter of b@localhost."""

    def __init__(self, node: Node) -> None:
        self.events: list[Any] = []
        self.fails = False
        self.text = b""
        node.expose("logger_formatter", {"format": self.format})

    def format(self, event: object, config: object) -> object:
        if self.fails:
            raise ErlangError("badarg")
        self.events.append(event)
        if self.text:
            return self.text
        return [b"the ", [Atom("t").encode(), b"e"], b"xt \xc3\xa9"]


@pytest.fixture
def formatter(b: Node) -> Formatter:
    """What makes the text of log events at b@localhost."""
    return Formatter(b)


def log(node: Node, *event: object) -> None:
    node.send(("logger_proxy", A), (Atom("log"), *event))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ((b"~p", [1]), (b"~p", [1])),
        (([{Atom("a"): 1}],), None),
        (({Atom("label"): 1},), (Atom("report"), {Atom("label"): 1})),
        (([(Atom("a"), 1)],), (Atom("report"), [(Atom("a"), 1)])),
        ((b"plain",), (Atom("string"), b"plain")),
        (([104, 105],), (Atom("string"), [104, 105])),
    ],
)
def test_a_log_event_is_handed_to_pythons_logging(
    a: Node,
    b: Node,
    formatter: Formatter,
    caplog: pytest.LogCaptureFixture,
    event: tuple[object, ...],
    message: object,
) -> None:
    meta = {Atom("pid"): b.pid, Atom("time"): 5}
    log(b, Atom("error"), *event, meta)
    a.loop.run_until(lambda: bool(caplog.records), SOON)
    (record,) = caplog.records
    assert (record.name, record.levelno) == (REMOTE, logging.ERROR)
    assert record.getMessage() == "b@localhost: the te" "xt é"
    assert formatter.events[0]["meta"] == meta
    if message is not None:
        assert formatter.events[0]["msg"] == message


@pytest.mark.parametrize(
    ("level", "number"),
    [("emergency", 50), ("warning", 30), ("notice", 20), ("debug", 10), ("odd", 40)],
)
def test_levels_are_pythons(
    a: Node,
    b: Node,
    formatter: Formatter,
    caplog: pytest.LogCaptureFixture,
    level: str,
    number: int,
) -> None:
    with caplog.at_level(logging.DEBUG, REMOTE):
        log(b, Atom(level), b"x", {Atom("pid"): b.pid})
        a.loop.run_until(lambda: REMOTE in [r.name for r in caplog.records], SOON)
    assert [r.levelno for r in caplog.records if r.name == REMOTE] == [number]


def test_a_level_that_is_off_costs_no_call(
    a: Node, b: Node, formatter: Formatter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, REMOTE):
        log(b, Atom("info"), b"x", {Atom("pid"): b.pid})
        assert b.ping(A)
    assert not formatter.events


def test_an_event_that_its_node_cannot_format_is_not_lost(
    a: Node, b: Node, formatter: Formatter, caplog: pytest.LogCaptureFixture
) -> None:
    formatter.fails = True
    log(b, Atom("error"), b"~p here", [1], {Atom("pid"): b.pid})
    log(b, Atom("error"), b"no pid", {})
    a.loop.run_until(lambda: len(caplog.records) == 2, SOON)
    assert sorted("here" in record.getMessage() for record in caplog.records) == [False, True]


# --- the group leader -----------------------------------------------------------------------------


@pytest.fixture
def printed(a: Node) -> list[str]:
    """What a@localhost prints."""
    texts: list[str] = []
    a.output = texts.append
    return texts


def ask_io(a: Node, peer: ScriptedPeer, request: object) -> object:
    """The reply to an I/O request of the peer, to the group leader of a's calls."""
    reply_as = peer.reference()
    leader = a._leader.pid
    peer.tell(leader, (Atom("io_request"), peer.pid(), reply_as, request))
    control, payload = peer.receive()
    assert isinstance(payload, tuple)
    assert payload[:2] == (Atom("io_reply"), reply_as) and control[2] == peer.pid()
    return payload[2]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ((Atom("put_chars"), Atom("unicode"), "né→".encode()), "né→"),
        ((Atom("put_chars"), Atom("unicode"), [97, [b"b", [0x2192]], TAIL]), "ab→cd"),
        ((Atom("put_chars"), Atom("latin1"), b"\xe9"), "é"),
        ((Atom("put_chars"), b"old"), "old"),
    ],
)  # fmt: skip
def test_text_is_printed(
    a: Node, peer: ScriptedPeer, printed: list[str], request_: object, text: str
) -> None:
    assert ask_io(a, peer, request_) == "ok"
    assert printed == [text]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ((Atom("get_line"), Atom("unicode"), b"> "), Atom("eof")),
        ((Atom("get_chars"), Atom("unicode"), b"> ", 3), Atom("eof")),
        ((Atom("get_until"), Atom("unicode"), [], Atom("m"), Atom("f"), []), Atom("eof")),
        ((Atom("get_line"), b"> "), Atom("eof")),
        ((Atom("get_password"), Atom("unicode")), (Atom("error"), Atom("enotsup"))),
        ((Atom("get_geometry"), Atom("columns")), (Atom("error"), Atom("enotsup"))),
        ((Atom("setopts"), [(Atom("binary"), True)]), (Atom("error"), Atom("enotsup"))),
        (Atom("getopts"), [(Atom("binary"), True), (Atom("encoding"), Atom("unicode"))]),
        ((Atom("put_ansi"), [], []), (Atom("error"), Atom("request"))),
        (5, (Atom("error"), Atom("request"))),
        ((Atom("requests"), []), Atom("ok")),
        ((Atom("put_chars"), Atom("unicode"), 1, 2, []), (Atom("error"), Atom("request"))),
    ],
)
def test_every_request_has_its_answer(
    a: Node, peer: ScriptedPeer, printed: list[str], request_: object, answer: object
) -> None:
    assert ask_io(a, peer, request_) == answer
    assert printed == []


@pytest.mark.parametrize("characters", [5, Atom("x"), [b"\xff"], [-1], [1 << 40], (1,), [0xD800]])
def test_what_is_no_text_is_refused(
    a: Node, peer: ScriptedPeer, printed: list[str], characters: object
) -> None:
    answer = ask_io(a, peer, (Atom("put_chars"), Atom("unicode"), characters))
    assert answer == (Atom("error"), (Atom("put_chars"), Atom("unicode"), characters))


def test_requests_are_served_in_turn_until_one_fails(
    a: Node, peer: ScriptedPeer, printed: list[str]
) -> None:
    def put(text: bytes) -> object:
        return (Atom("put_chars"), Atom("unicode"), text)

    assert ask_io(a, peer, (Atom("requests"), [put(b"a"), put(b"b")])) == "ok"
    assert ask_io(a, peer, (Atom("requests"), [put(b"c"), 5, put(b"d")])) == (
        Atom("error"),
        Atom("request"),
    )
    assert printed == ["a", "b", "c"]


def test_a_text_that_a_function_makes_is_made_where_it_comes_from(
    a: Node, peer: ScriptedPeer, printed: list[str]
) -> None:
    leader = a._leader.pid
    make = (Atom("io_lib"), Atom("format"), [b"~p", [1]])
    request = (Atom("put_chars"), Atom("unicode"), *make)
    for reason, answer in (
        ((Atom("return"), [b"o", 110, b"e"]), Atom("ok")),
        ((Atom("error"), Atom("badarg"), []), (Atom("error"), Atom("format"))),
    ):
        reply_as = peer.reference()
        peer.tell(leader, (Atom("io_request"), peer.pid(), reply_as, request))
        control, arguments = peer.receive()
        assert control[0] == ctl.SPAWN_REQUEST and control[3] == leader
        ref = control[1]
        assert isinstance(ref, Reference) and arguments == [ref, *make]
        peer.send((ctl.SPAWN_REPLY, ref, control[2], 2, peer.pid(5)))
        down = (ctl.PAYLOAD_MONITOR_P_EXIT, peer.pid(5), control[2], ref)
        peer.send(down, (ref, *reason))
        _control, payload = peer.receive()
        assert payload == (Atom("io_reply"), reply_as, answer)
    assert printed == ["one"]


def test_an_output_that_fails_raises_in_the_program_and_is_answered(
    a: Node, peer: ScriptedPeer
) -> None:
    def fail(_text: str) -> None:
        raise BrokenPipeError

    a.output = fail
    reply_as = peer.reference()
    request = (Atom("put_chars"), Atom("unicode"), b"x")
    peer.tell(a._leader.pid, (Atom("io_request"), peer.pid(), reply_as, request))
    with pytest.raises(BrokenPipeError):
        for _ in range(5):
            a.loop.run_once(0.1)
    _control, payload = peer.receive()
    assert payload == (Atom("io_reply"), reply_as, (Atom("error"), Atom("terminated")))


def test_a_node_prints_to_stdout(
    a: Node, peer: ScriptedPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_io(a, peer, (Atom("put_chars"), Atom("unicode"), b"hello\n"))
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("out", [None, "closed", "ascii", "full"])
def test_a_standard_output_that_takes_no_text_does_not_matter(
    a: Node, peer: ScriptedPeer, monkeypatch: pytest.MonkeyPatch, out: str | None
) -> None:
    written = io.BytesIO()
    stream: TextIO = io.TextIOWrapper(written, encoding="ascii")
    if out == "closed":
        stream.close()
    elif out == "full":
        stream = open("/dev/full", "w")
    monkeypatch.setattr("sys.stdout", None if out is None else stream)
    assert ask_io(a, peer, (Atom("put_chars"), Atom("unicode"), "→\n".encode())) == "ok"
    monkeypatch.undo()
    if out == "ascii":
        assert written.getvalue() == b"\\u2192\n"
    elif out == "full":
        with pytest.raises(OSError):
            stream.close()


def test_requests_within_requests_and_many_of_them(
    a: Node, peer: ScriptedPeer, printed: list[str]
) -> None:
    def put(text: bytes) -> object:
        return (Atom("put_chars"), Atom("unicode"), text)

    nested: object = put(b"x")
    for _ in range(200):
        nested = (Atom("requests"), [nested, put(b"y")])
    assert ask_io(a, peer, nested) == "ok"
    assert "".join(printed) == "x" + "y" * 200
    printed.clear()
    start = time.process_time()
    assert ask_io(a, peer, (Atom("requests"), [Atom("getopts")] * 50_000)) != "ok"
    assert ask_io(a, peer, (Atom("requests"), [put(b"z")] * 10_000)) == "ok"
    assert time.process_time() - start < 5 and len(printed) == 10_000
    stops = (Atom("requests"), [(Atom("requests"), [put(b"1"), 5, put(b"2")]), put(b"3")])
    assert ask_io(a, peer, stops) == (Atom("error"), Atom("request"))
    assert printed[-1] == "1"


def test_texts_that_a_peer_is_to_make_are_bounded(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("v@localhost", max_pending_requests=3)
    peer = make_peer()
    peer.connect(folder, node)
    request = (Atom("put_chars"), Atom("unicode"), Atom("io_lib"), Atom("format"), [b"~p", [1]])
    for number in range(5):
        peer.tell(node._leader.pid, (Atom("io_request"), peer.pid(), number, request))
    answers = [payload for control, payload in peer.settle() if control[0] != ctl.SPAWN_REQUEST]
    limit = (Atom("error"), Atom("system_limit"))
    assert answers == [(Atom("io_reply"), number, limit) for number in (3, 4)]
    peer.close()
    peer.until(lambda: not node._leader._pending)


def test_a_request_in_anothers_name_is_not_served(
    a: Node, peer: ScriptedPeer, printed: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Pid("third@localhost", 5, 0, 7)
    request = (Atom("put_chars"), Atom("unicode"), b"x")
    peer.tell(a._leader.pid, (Atom("io_request"), stranger, 1, request))
    tag = ImproperList((Atom("alias"),), Reference("third@localhost", 7, (1, 2, 3)))
    for caller, label in ((stranger, 1), (peer.pid(), tag)):
        call = (Atom("$gen_call"), (caller, label), (Atom("is_auth"), Atom(peer.name)))
        tell(peer, "net_kernel", call)
    assert peer.settle() == [] and printed == []
    assert a.nodes() == [peer.name] and len(a.statistics().connections) == 1
    assert caplog.text.count("which is dropped") == 3


def test_the_text_of_an_event_forges_no_line(
    a: Node, b: Node, formatter: Formatter, caplog: pytest.LogCaptureFixture
) -> None:
    formatter.text = b"one\nERROR two\r\x1b[31m\nthree" + b"x" * 100_000
    log(b, Atom("error"), b"text", {Atom("pid"): b.pid})
    a.loop.run_until(lambda: bool(caplog.records), SOON)
    text = caplog.records[-1].getMessage()
    assert text.startswith("b@localhost: one\n    ERROR two\\r\\x1b[31m\n    three")
    assert len(text) < 70_000


def test_events_whose_text_does_not_come_are_bounded_and_not_lost(
    a: Node,
    peer: ScriptedPeer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("uds_dist.services.kernel.FORMAT_TIMEOUT", 0.1)
    monkeypatch.setattr("uds_dist.services.kernel.MAX_IN_WORK", 50_000)
    proxy = (ctl.REG_SEND, peer.pid(), Atom(""), Atom("logger_proxy"))
    for number in range(100):
        text = b"%d" % number + bytes(2000)
        peer.send(proxy, (Atom("log"), Atom("error"), text, {Atom("pid"): peer.pid()}))
    asked = [control for control, _ in peer.settle() if control[0] == ctl.SPAWN_REQUEST]
    assert 5 < len(asked) < 25 and len(caplog.records) == 100 - len(asked)
    peer.until(lambda: len(caplog.records) == 100)
    assert all(len(record.getMessage()) < 400 for record in caplog.records)


def test_an_event_is_formatted_by_the_node_that_sent_it(a: Node, peer: ScriptedPeer) -> None:
    stranger = Pid("third@localhost", 5, 0, 7)
    proxy = (ctl.REG_SEND, peer.pid(), Atom(""), Atom("logger_proxy"))
    peer.send(proxy, (Atom("log"), Atom("error"), b"x", {Atom("pid"): stranger}))
    (control, _payload), *_ = peer.settle()
    assert control[0] == ctl.SPAWN_REQUEST and len(a.statistics().connections) == 1


def test_an_exit_that_an_exposed_function_raises_leaves_rex_alive(
    a: Node, peer: ScriptedPeer
) -> None:
    def leave() -> None:
        raise SystemExit

    a.expose("svc", {"leave": leave})
    rex = a.whereis("rex")
    none: list[object] = []
    request = (Atom("call"), Atom("svc"), Atom("leave"), none, peer.pid())
    ref = peer.monitor("rex")
    tag = ImproperList((Atom("alias"),), ref)
    tell(peer, "rex", (Atom("$gen_call"), (peer.pid(), tag), request))
    with pytest.raises(SystemExit):
        for _ in range(5):
            a.loop.run_once(0.1)
    ((control, reason),) = peer.settle()
    assert control[0] == ctl.PAYLOAD_MONITOR_P_EXIT and control[3] == ref
    assert isinstance(reason, tuple) and reason[0][1] == "SystemExit"
    assert a.whereis("rex") == rex


def test_casts_to_rex_that_wait_for_futures_are_bounded(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node, peer = make_node("node@localhost", max_pending_requests=10), make_peer()
    peer.connect(folder, node)
    futures: list[Future[object]] = []

    def later() -> Future[object]:
        futures.append(Future(node.loop))
        return futures[-1]

    node.expose("svc", {"later": later})

    def cast(times: int) -> int:
        none: list[object] = []
        request = (Atom("cast"), Atom("svc"), Atom("later"), none, peer.pid())
        for _ in range(times):
            tell(peer, "rex", (Atom("$gen_cast"), request))
        peer.settle()
        return sum(not future.done() for future in futures)

    assert cast(30) == 10
    for future in futures[:5]:
        future.set_result(None)
    peer.settle()
    assert cast(30) == 10


def test_a_call_names_the_group_leader(a: Node, peer: ScriptedPeer) -> None:
    future = a.rpc(peer.name, "io", "format", [b"x"])
    spawned = a.spawn(peer.name, "io", "format", [b"x"])
    for _ in range(2):
        control, _arguments = peer.receive()
        assert control[3] == a._leader.pid
    future.cancel()
    spawned.cancel()


def test_chardata_may_be_deep_and_must_be_text() -> None:
    deep: list[object] = [b"x"]
    for _ in range(100_000):
        deep = [deep]
    assert chardata_text(deep) == "x"
    assert chardata_text([]) == ""
    assert chardata_text(b"\xe9", "latin1") == "é"
    assert chardata_text([None]) is None
