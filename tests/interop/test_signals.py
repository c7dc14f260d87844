"""Every control message, once from a BEAM and once from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.inside import inside
from tests.interop.beam import Otp
from tests.interop.together import Together, together
from uds_dist import EMPTY, Atom, Config, Mailbox, Node, Pid, Reference
from uds_dist.processes.router import Inbox
from uds_dist.processes.signals import Incoming
from uds_dist.protocol import control as ctl
from uds_dist.protocol.control import NO_PAYLOAD, SpawnRequest, SpawnRequestTt
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.services.rpc import Start

pytestmark = pytest.mark.interop

OOPS = Atom("oops")
HELLO = (Atom("hello"), b"there")
PY = Atom("py@localhost")
EVALUATORS = count(1)


@pytest.fixture(scope="module")
def beam_of_module(otp: Otp) -> Iterator[Together]:
    """One BEAM of each release for all tests."""
    with together(otp) as both:
        both.beam.load_module(MODULE)
        yield both


MODULE = """
-module(sig).
-export([with_token/1, messages/0, sleep/0]).

%% Runs a function in a process that has a seq_trace token.
with_token(Fun) ->
    seq_trace:set_token(label, 17),
    try Fun() after seq_trace:set_token([]) end.

messages() -> receive M -> [M | messages()] after 0 -> [] end.
sleep() -> receive after infinity -> ok end.
"""


class Listening:
    """An inbox that keeps the control messages."""

    def __init__(self, inbox: Inbox, heard: list[tuple[object, ...]]) -> None:
        self.inbox = inbox
        self.heard = heard
        self.is_answer = inbox.is_answer
        self.node_down = inbox.node_down
        self.node_silent = inbox.node_silent

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        self.heard.append(control)
        self.inbox.received(node, control, payload)


class Pair:
    """A mailbox `box` on the Python node, a process `self()` on the BEAM, and their messages."""

    def __init__(self, both: Together) -> None:
        self.both = both
        self.process = f"e{next(EVALUATORS)}"
        self.node = both.node()
        self.box = self.node.mailbox("box", trap_exit=True)
        self.heard: list[tuple[object, ...]] = []
        self.node._peers.inbox = Listening(self.node._peers.inbox, self.heard)
        pid = self.eval("process_flag(trap_exit, true), self()")
        assert isinstance(pid, Pid)
        self.pid = pid

    @property
    def release(self) -> int:
        return int(self.both.beam.otp.label)

    def eval(self, code: str, **terms: object) -> object:
        """Run Erlang in the BEAM's process; Box is the mailbox."""
        box = getattr(self, "box", None)
        bound = {"Box": box.pid, **terms} if box else terms
        return self.both.eval_term(code, process=self.process, **bound)

    def wait_for(self, condition: str, **terms: object) -> None:
        """Let the BEAM's process wait until a condition is true."""
        code = f"fun F(0) -> no; F(N) -> case {condition} of true -> ok;"
        code += " _ -> timer:sleep(1), F(N - 1) end end(5000)"
        assert self.eval(code, **terms) == "ok", condition

    def messages(self, count: int = 1) -> list[object]:
        """The next messages of the BEAM's process."""
        code = "[receive M -> M after 5000 -> timeout end || _ <- lists:seq(1, N)]"
        found = self.eval(code, N=count)
        assert isinstance(found, list)
        return found

    def ops(self) -> set[object]:
        """The operations that came so far."""
        return {control[0] for control in self.heard}

    def settle(self) -> None:
        """Wait until everything that the BEAM's process has sent has arrived."""
        ref = self.node.processes.numbers.new_reference()
        self.eval("Box ! Ref, ok", Ref=ref)
        assert self.box.receive(match=lambda message: message == ref, timeout=5) == ref

    def close(self) -> None:
        # A process that receives a message with a trace token keeps the token, even the driver.
        self.both.beam.eval("seq_trace:reset_trace()")
        self.both.beam.submit("exit(self(), kill)", process=self.process)
        self.both.close()


@pytest.fixture
def start(
    beam_of_module: Together, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Pair]]:
    """Start the pair of a test, with flags that the Python node must lack."""
    made: list[Pair] = []

    def make(missing: int = 0) -> Pair:
        flags = default_flags(Config()) & ~missing
        monkeypatch.setattr("uds_dist.processes.this_node.default_flags", lambda _config: flags)
        made.append(Pair(beam_of_module))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


# --- messages -------------------------------------------------------------------------------------

NO_SENDER = Flag.SEND_SENDER
NO_ALTACT = Flag.ALTACT_SIG
TO_PID, TO_NAME, TO_ALIAS = "Box ! M", "{box, 'py@localhost'} ! M", "Alias ! M"


@pytest.mark.parametrize(
    ("op", "missing", "code", "token"),
    [
        (ctl.SEND, NO_SENDER, TO_PID, False),
        (ctl.SEND_TT, NO_SENDER, TO_PID, True),
        (ctl.SEND_SENDER, 0, TO_PID, False),
        (ctl.SEND_SENDER_TT, 0, TO_PID, True),
        (ctl.REG_SEND, 0, TO_NAME, False),
        (ctl.REG_SEND_TT, 0, TO_NAME, True),
        (ctl.ALIAS_SEND, NO_ALTACT, TO_ALIAS, False),
        (ctl.ALIAS_SEND_TT, NO_ALTACT, TO_ALIAS, True),
        (ctl.ALTACT_SIG_SEND, 0, TO_ALIAS, False),
        (ctl.ALTACT_SIG_SEND, 0, TO_ALIAS, True),
    ],
)
def test_a_message_of_a_beam(
    start: Callable[..., Pair], op: int, missing: int, code: str, token: bool
) -> None:
    pair = start(missing)
    if op == ctl.ALTACT_SIG_SEND and pair.release < 28:
        op = ctl.ALIAS_SEND_TT if token else ctl.ALIAS_SEND
    # A message that opens the connection may come in an older form, since the flags are unknown.
    pair.eval("net_kernel:connect_node('py@localhost')")
    run = f"sig:with_token(fun() -> {code} end)" if token else code
    pair.eval(run, M=HELLO, Alias=pair.box.alias())
    assert pair.box.receive(timeout=5) == HELLO
    assert op in pair.ops()


def test_a_message_that_opens_the_connection(start: Callable[..., Pair]) -> None:
    pair = start()
    pair.eval("Box ! M", M=(HELLO, bytes(200_000)))
    assert pair.box.receive(timeout=5) == (HELLO, bytes(200_000))


@pytest.mark.parametrize("missing", [0, NO_SENDER, NO_ALTACT])
def test_a_message_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    alias = pair.eval(f"register({pair.process}, self()), alias()")
    assert isinstance(alias, Reference)
    for dest in (pair.pid, (pair.process, pair.both.name), alias):
        pair.box.send(dest, HELLO)
    assert pair.messages(3) == [HELLO] * 3


@pytest.mark.parametrize(
    "op", [ctl.SEND_TT, ctl.SEND_SENDER_TT, ctl.REG_SEND_TT, ctl.ALIAS_SEND_TT]
)
def test_a_message_with_a_trace_token(start: Callable[..., Pair], op: int) -> None:
    # No ordinary process here has a token; a BEAM accepts it, so the shape is right.
    pair = start(NO_ALTACT | (NO_SENDER if op == ctl.SEND_TT else 0))
    alias = pair.eval(f"register({pair.process}, self()), alias()")
    token = (2, 17, 1, pair.box.pid, 0)
    fields: dict[int, tuple[object, ...]] = {
        ctl.SEND_TT: (Atom(""), pair.pid),
        ctl.SEND_SENDER_TT: (pair.box.pid, pair.pid),
        ctl.REG_SEND_TT: (pair.box.pid, Atom(""), Atom(pair.process)),
        ctl.ALIAS_SEND_TT: (pair.box.pid, alias),
    }
    pair.node.processes.signal(pair.both.name, (op, *fields[op], token), HELLO)
    code = "receive M -> {M, element(2, seq_trace:get_token(label))} after 5000 -> timeout end"
    assert pair.eval(code + ".") == (HELLO, 17)


def test_priority_of_a_beam(start: Callable[..., Pair]) -> None:
    pair = start()
    if pair.release < 28:
        pytest.skip("OTP 28 has it first")
    prior = pair.box.alias(priority=True)
    pair.eval(
        """Box ! 1,
        erlang:send(Prior, 2, [priority]),
        exit(Prior, oops, [priority]),
        exit(Box, oops, [priority]), ok""",
        Prior=prior,
    )
    ref = pair.node.processes.numbers.new_reference()
    pair.eval("Box ! Ref, ok", Ref=ref)
    pair.both.until(lambda: len(pair.box) == 5)
    signal = (Atom("EXIT"), pair.pid, OOPS)
    assert [pair.box.poll() for _ in range(5)] == [2, signal, 1, signal, ref]
    flags = {control[1] for control in pair.heard if control[0] == ctl.ALTACT_SIG_SEND}
    assert flags == {5, 17, 21}


@pytest.mark.parametrize("missing", [0, NO_ALTACT])
def test_priority_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    negotiated = pair.release >= 28 and not missing
    if pair.release >= 28:
        prior = pair.eval("alias([priority])")
    else:
        prior = pair.eval("alias()")
    assert isinstance(prior, Reference)
    pair.box.send(pair.pid, 1)
    pair.box.send(prior, 2, priority=True)
    pair.box.exit(prior, OOPS, priority=True)
    pair.box.exit(pair.pid, OOPS, priority=True)
    pair.box.send(pair.pid, 3)
    signal = (Atom("EXIT"), pair.box.pid, OOPS)
    expected = [2, signal, 1, signal, 3] if negotiated else [1, 2, signal, 3]
    pair.wait_for("lists:member(3, element(2, process_info(self(), messages)))")
    assert pair.eval("sig:messages()") == expected


# --- links ----------------------------------------------------------------------------------------

NO_PAYLOADS = Flag.EXIT_PAYLOAD


def test_a_link_and_an_unlink_of_a_beam(start: Callable[..., Pair]) -> None:
    pair = start()
    assert pair.eval("link(Box)") is True
    pair.settle()
    assert pair.pid in inside(pair.box).links and ctl.LINK in pair.ops()
    assert pair.eval("unlink(Box)") is True
    pair.settle()
    assert pair.pid not in inside(pair.box).links and ctl.UNLINK_ID in pair.ops()
    for _ in range(20):  # relinked before the acknowledgement has come
        pair.eval("link(Box), unlink(Box), link(Box)")
    pair.settle()
    assert pair.pid in inside(pair.box).links
    pair.box.close(OOPS)
    assert pair.messages() == [(Atom("EXIT"), pair.box.pid, OOPS)]
    assert pair.eval("element(2, process_info(self(), links))") == []


def test_a_link_and_an_unlink_of_python(start: Callable[..., Pair]) -> None:
    pair = start()
    links = "lists:member(Box, element(2, process_info(self(), links)))"
    pair.box.link(pair.pid)
    pair.wait_for(links)
    pair.box.unlink(pair.pid)
    pair.wait_for(f"not {links}")
    pair.settle()
    assert ctl.UNLINK_ID_ACK in pair.ops() and len(inside(pair.box).links) == 0
    for _ in range(20):
        pair.box.link(pair.pid)
        pair.box.unlink(pair.pid)
        pair.box.link(pair.pid)
    pair.wait_for(links)
    victim = pair.eval("spawn(fun sig:sleep/0)")
    assert isinstance(victim, Pid)
    pair.box.link(victim)
    # The driver's messages do not go over the connection: they could overtake the link.
    pair.wait_for("lists:member(Box, element(2, process_info(Victim, links)))", Victim=victim)
    pair.eval("exit(Victim, kill)", Victim=victim)
    signal = (Atom("EXIT"), victim, Atom("killed"))
    assert pair.box.receive(timeout=5) == signal


@pytest.mark.parametrize("turn", range(3))
def test_links_that_cross(start: Callable[..., Pair], turn: int) -> None:
    # Both ends link and unlink at once; in the end both must agree.
    pair = start()
    assert pair.node.ping(pair.both.name)
    pending = pair.both.submit(
        "[begin link(Box), erlang:yield(), unlink(Box) end || _ <- lists:seq(1, 300)], link(Box)",
        process=pair.process,
        Box=pair.box.pid,
    )
    while not pending.done():
        pair.box.link(pair.pid)
        pair.both.loop.run_once(0)
        pair.box.unlink(pair.pid)
        for _ in range(turn):
            pair.both.loop.run_once(0)
    for _ in range(3):
        pair.settle()
        assert pair.node.ping(pair.both.name)
    linked = pair.eval("lists:member(Box, element(2, process_info(self(), links)))")
    assert linked is (pair.pid in inside(pair.box).links)
    links = inside(pair.box).links
    assert all(pid in links for pid in links.all())  # none is outstanding


@pytest.mark.parametrize(
    ("op", "missing", "token"),
    [
        (ctl.EXIT, NO_PAYLOADS, False),
        (ctl.EXIT_TT, NO_PAYLOADS, True),
        (ctl.PAYLOAD_EXIT, 0, False),
        (ctl.PAYLOAD_EXIT_TT, 0, True),
    ],
)
def test_the_exit_of_a_linked_process_of_a_beam(
    start: Callable[..., Pair], op: int, missing: int, token: bool
) -> None:
    pair = start(missing)
    pair.eval("net_kernel:connect_node('py@localhost')")
    set_token = "seq_trace:set_token(label, 1)," if token else ""
    pid = pair.eval(f"spawn(fun() -> link(Box), {set_token} exit(Reason) end)", Reason=HELLO)
    assert pair.box.receive(timeout=5) == (Atom("EXIT"), pid, HELLO)
    assert op in pair.ops() and len(inside(pair.box).links) == 0


@pytest.mark.parametrize("missing", [0, NO_PAYLOADS])
def test_the_exit_of_a_linked_process_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    pair.eval("link(Box)")
    pair.settle()
    pair.box.close(HELLO)
    assert pair.messages() == [(Atom("EXIT"), pair.box.pid, HELLO)]
    pair.eval("link(Box)")
    assert pair.messages() == [(Atom("EXIT"), pair.box.pid, Atom("noproc"))]


def test_the_exit_signals_with_a_trace_token_of_python(start: Callable[..., Pair]) -> None:
    pair = start()
    pair.eval("link(Box)")
    pair.settle()
    token = (2, 17, 1, pair.box.pid, 0)
    table, name = pair.node.processes, pair.both.name
    table.signal(name, (ctl.PAYLOAD_EXIT2_TT, pair.box.pid, pair.pid, token), HELLO)
    table.signal(name, (ctl.PAYLOAD_EXIT_TT, pair.box.pid, pair.pid, token), OOPS)
    assert pair.messages(2) == [
        (Atom("EXIT"), pair.box.pid, HELLO),
        (Atom("EXIT"), pair.box.pid, OOPS),
    ]


# --- exit/2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "missing"), [(ctl.EXIT2, NO_PAYLOADS), (ctl.PAYLOAD_EXIT2, 0)]
)
@pytest.mark.parametrize("token", [False, True])
def test_exit_2_of_a_beam(
    start: Callable[..., Pair], op: int, missing: int, token: bool
) -> None:
    # A process with a trace token sends it without one: EXIT2_TT and PAYLOAD_EXIT2_TT never come.
    pair = start(missing)
    pair.eval("net_kernel:connect_node('py@localhost')")
    victim, normal = pair.node.mailbox(), pair.node.mailbox()
    code = "exit(Box, Reason), exit(Normal, normal), exit(Victim, kill)"
    run = f"sig:with_token(fun() -> {code} end)" if token else code
    pair.eval(run, Reason=HELLO, Normal=normal.pid, Victim=victim.pid)
    pair.both.until(lambda: not victim.alive)
    assert pair.box.receive(timeout=5) == (Atom("EXIT"), pair.pid, HELLO)
    assert victim.exit_reason == "killed" and normal.alive
    assert op in pair.ops()


@pytest.mark.parametrize("missing", [0, NO_PAYLOADS])
def test_exit_2_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    victim = pair.eval("V = spawn(fun sig:sleep/0), monitor(process, V), V")
    assert isinstance(victim, Pid)
    pair.box.exit(victim, Atom("normal"))
    pair.box.exit(pair.pid, HELLO)
    assert pair.messages() == [(Atom("EXIT"), pair.box.pid, HELLO)]
    assert pair.eval("is_process_alive(V)", V=victim) is True
    pair.box.exit(victim, Atom("kill"))
    (down,) = pair.messages()
    assert isinstance(down, tuple) and down[0] == "DOWN" and down[3:] == (victim, Atom("killed"))


# --- monitors -------------------------------------------------------------------------------------


def test_monitors_of_a_beam(start: Callable[..., Pair]) -> None:
    pair = start()
    refs = pair.eval(
        "[monitor(process, Box), monitor(process, {box, 'py@localhost'}), monitor(process, Box),"
        " monitor(process, {nobody, 'py@localhost'})]"
    )
    assert isinstance(refs, list)
    by_pid, by_name, ended, nobody = refs
    down, process = Atom("DOWN"), Atom("process")
    name = (Atom("nobody"), PY)
    assert pair.messages() == [(down, nobody, process, name, Atom("noproc"))]
    assert pair.eval("demonitor(Ref)", Ref=ended) is True
    pair.settle()
    assert set(inside(pair.box).watchers) == {by_pid, by_name}
    assert {ctl.MONITOR_P, ctl.DEMONITOR_P} <= pair.ops()
    box = pair.box.pid
    pair.box.close(HELLO)
    found = pair.eval("[receive {'DOWN', R, _, _, _} = M -> M after 5000 -> no end || R <- Rs]",
                      Rs=[by_pid, by_name])  # fmt: skip
    assert found == [
        (down, by_pid, process, box, HELLO),
        (down, by_name, process, (Atom("box"), PY), HELLO),
    ]


@pytest.mark.parametrize("missing", [0, NO_PAYLOADS])
def test_monitors_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    assert pair.node.ping(pair.both.name)  # the first signals of a BEAM are in the newest form
    pid = pair.eval("P = spawn(fun sig:sleep/0), register(sleeper, P), P")
    assert isinstance(pid, Pid)
    dest = ("sleeper", pair.both.name)
    refs = [pair.box.monitor(pid), pair.box.monitor(dest), pair.box.monitor(pid)]
    nobody = pair.box.monitor(("nobody", pair.both.name))
    down, process = Atom("DOWN"), Atom("process")
    by_name = (Atom("nobody"), Atom(pair.both.name))
    assert pair.box.receive(timeout=5) == (down, nobody, process, by_name, Atom("noproc"))
    watchers = "length(element(2, process_info(P, monitored_by)))"
    assert pair.eval(watchers, P=pid) == 3
    assert pair.box.demonitor(refs.pop())
    pair.wait_for(f"{watchers} =:= 2", P=pid)
    pair.eval("exit(P, Reason)", P=pid, Reason=HELLO)
    found = [pair.box.receive(timeout=5) for _ in range(2)]
    name = (Atom("sleeper"), Atom(pair.both.name))
    expected = [(down, refs[0], process, pid, HELLO), (down, refs[1], process, name, HELLO)]
    assert all(message in found for message in expected)
    assert pair.box.poll() is EMPTY and not inside(pair.box).monitors
    assert (ctl.MONITOR_P_EXIT if missing else ctl.PAYLOAD_MONITOR_P_EXIT) in pair.ops()


@pytest.mark.parametrize("missing", [0, NO_PAYLOADS])
def test_the_notice_of_a_monitor_of_python(start: Callable[..., Pair], missing: int) -> None:
    pair = start(missing)
    ref = pair.eval("monitor(process, Box)")
    pair.settle()
    pair.box.close(HELLO)
    (message,) = pair.messages()
    assert message == (Atom("DOWN"), ref, Atom("process"), pair.box.pid, HELLO)


# --- group leaders and spawns ---------------------------------------------------------------------


def test_group_leader_of_a_beam(start: Callable[..., Pair]) -> None:
    pair = start()
    assert pair.eval("group_leader(self(), Box)") is True
    pair.settle()
    assert pair.box.group_leader == pair.pid and ctl.GROUP_LEADER in pair.ops()


def test_group_leader_of_python(start: Callable[..., Pair]) -> None:
    pair = start()
    pid = pair.eval("spawn(fun sig:sleep/0)")
    assert isinstance(pid, Pid)
    pair.node.set_group_leader(pair.box.pid, pid)
    pair.wait_for("element(2, process_info(P, group_leader)) =:= Box", P=pid)


@pytest.mark.parametrize("token", [False, True])
def test_a_spawn_request_of_a_beam(start: Callable[..., Pair], token: bool) -> None:
    pair = start()
    table = pair.node.processes
    children: list[Mailbox] = []

    def on_spawn(node: str, request: SpawnRequest | SpawnRequestTt, arguments: object) -> None:
        assert request.mfa == ("m", "f", 2) and arguments == [1, b"2"]
        child = pair.node.mailbox(trap_exit=True)
        children.append(child)
        table.add_link(inside(child), request.from_pid)
        table.add_watcher(inside(child), request.from_pid, request.req_id)
        table.signal(node, (ctl.SPAWN_REPLY, request.req_id, request.from_pid, 3, child.pid))

    listening = pair.node._peers.inbox
    assert isinstance(listening, Listening) and isinstance(listening.inbox, Incoming)
    listening.inbox._on_spawn = on_spawn
    code = "spawn_opt('py@localhost', m, f, [1, <<\"2\">>], [link, monitor])"
    run = f"sig:with_token(fun() -> {code} end)" if token else code
    spawned = pair.eval(run)
    (child,) = children
    assert isinstance(spawned, tuple) and spawned[0] == child.pid
    assert (ctl.SPAWN_REQUEST_TT if token else ctl.SPAWN_REQUEST) in pair.ops()
    child.close(HELLO)
    found = pair.messages(2)
    assert (Atom("EXIT"), child.pid, HELLO) in found
    assert (Atom("DOWN"), spawned[1], Atom("process"), child.pid, HELLO) in found


def test_a_spawn_request_of_python(start: Callable[..., Pair]) -> None:
    pair = start()
    future = pair.node.spawn(
        pair.both.name,
        "erlang",
        "send",
        [pair.pid, HELLO],
        parent=pair.box,
        link=True,
        monitor=True,
    )
    pid, ref = future.result(timeout=5)
    assert pair.messages() == [HELLO]
    found = [pair.box.receive(timeout=5) for _ in range(2)]
    normal = Atom("normal")
    assert (Atom("EXIT"), pid, normal) in found
    assert (Atom("DOWN"), ref, Atom("process"), pid, normal) in found
    assert ctl.SPAWN_REPLY in pair.ops()
    assert not inside(pair.box).monitors and len(inside(pair.box).links) == 0


def test_a_spawn_request_with_a_trace_token_of_python(start: Callable[..., Pair]) -> None:
    pair = start()
    table = pair.node.processes
    start_there = Start(table, inside(pair.box), pair.both.name, "a process")
    replied = start_there.new_future(table.loop)
    ref = start_there.ref
    mfa = (Atom("erlang"), Atom("send"), 2)
    token = (2, 17, 1, pair.box.pid, 0)
    pid = pair.box.pid
    control: tuple[object, ...] = (ctl.SPAWN_REQUEST_TT, ref, pid, pid, mfa, [], token)
    table.request_spawn(start_there, control, [pair.pid, HELLO])
    assert pair.messages() == [HELLO]
    pair.both.until(replied.done)
    assert ctl.SPAWN_REPLY_TT in pair.ops()


def test_messages_that_no_node_sends_are_accepted(start: Callable[..., Pair]) -> None:
    # No OTP that can connect sends NODE_LINK and UNLINK: from Python to Python.
    pair = start()
    other: Node = pair.both.node("other@localhost")
    box = other.mailbox()
    pair.box.link(box.pid)
    assert pair.node.ping(other.name)
    for control in ((ctl.NODE_LINK,), (ctl.UNLINK, pair.box.pid, box.pid)):
        pair.node.processes.signal(other.name, control, NO_PAYLOAD)
    assert pair.node.ping(other.name)
    assert pair.box.pid not in inside(box).links
