"""Connections to a BEAM: every carrier, socket and framing; traffic; and BEAMs that disappear."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.inside import reply
from tests.interop.beam import Beam, Otp
from tests.interop.echo import MODULE
from tests.interop.together import BEAM_NAME, Together, together
from uds_dist import (
    EMPTY,
    Atom,
    Mailbox,
    NoConnectionError,
    Node,
    NoProcessError,
    Pid,
    RemoteError,
    SimultaneousConnectError,
    UdsDistError,
    decode,
)

pytestmark = pytest.mark.interop
CORPUS = sorted((Path(__file__).parent.parent / "corpus" / "valid").rglob("*.etf"))
SHORT_TICKS = ("-kernel", "net_ticktime", "2")  # a tick every 0.5 s
SIZES = (64, 4096, 70_000, 200_000)
NOCONNECTION = Atom("noconnection")


def echo_server(node: Node, name: str = "py_echo") -> Mailbox:
    """A process that answers gen calls with the request, and echoes messages."""

    def on_message(message: object) -> None:
        match message:
            case ("$gen_call", (Pid() as caller, tag), request):
                reply(box, caller, tag, request)
            case (Pid() as sender, term):
                box.send(sender, (box.pid, term))

    box = node.mailbox(name, on_message)
    return box


# --- carriers, sockets, framings ------------------------------------------------------------------


CARRIERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "uds": ({}, {}),
    "uds 1.0": ({"version": 1}, {}),
    "uds_tcp": ({"carrier": "uds_tcp"}, {}),
    "mute uds_tcp": ({"carrier": "uds_tcp", "mute": True}, {}),
    "erl_uds": ({"carrier": "erl_uds"}, {"layout": "erl_uds_dist"}),
    "abstract": ({"socket_dir": f"@uds_dist-conn-{os.getpid()}"}, {}),
    "hidden": ({"hidden": True}, {}),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_connected_nodes(otp: Otp, carrier: str) -> None:
    options, settings = CARRIERS[carrier]
    if carrier == "erl_uds" and not otp.erl_uds_source:
        pytest.skip("no release here has the erl_uds_dist example")
    with together(otp, **options) as both:
        both.beam.load_module(MODULE)
        both.beam.eval("conn:echo(echo)")
        notices: list[tuple[str, str]] = []
        for first in ("python", "beam"):
            node = both.node(**settings)
            node.monitor_nodes(lambda event, name, _error: notices.append((event, name)))
            if first == "python":
                assert node.ping(both.name)
            assert both.eval("net_adm:ping('py@localhost')") == "pong"
            assert node.ping(both.name)
            assert both.eval("nodes(hidden)") == "[py@localhost]"
            assert both.eval("nodes()") == "[]"
            assert node.rpc(both.name, "erlang", "node").result(timeout=5) == both.name
            quarter = bytes(range(256)) * 1024
            assert node.call(("echo", both.name), quarter).result(timeout=5) == quarter
            box = node.mailbox()
            box.send(("echo", both.name), (box.pid, quarter))
            answer = box.receive(timeout=5)
            assert isinstance(answer, tuple) and answer[1] == quarter
            echo_server(node)
            same = "(gen_server:call({py_echo, 'py@localhost'}, Q)) =:= Q"
            assert both.eval(same, Q=quarter) == "true"
            named = "{py_echo, 'py@localhost'} ! {self(), hi}, receive {_, M} -> M end"
            assert both.eval(named) == "hi"
            both.eval("net_kernel:monitor_nodes(true, [{node_type, all}])", process="watcher")
            if first == "python":
                assert node.disconnect(both.name)
            else:
                assert both.eval("erlang:disconnect_node('py@localhost')") == "true"
                if carrier == "mute uds_tcp":
                    node.disconnect(both.name)  # that BEAM leaves the socket open and sends nothing
            both.until(lambda: len(notices) == 2)
            assert notices == [("nodeup", both.name), ("nodedown", both.name)]
            notices.clear()
            down = "receive {nodedown, 'py@localhost', _} -> yes after 5000 -> no end"
            assert both.eval(down, process="watcher") == "yes"
            both.close()


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("fragments", [True, False])
def test_every_framing(both: Together, cache: bool, fragments: bool) -> None:
    node = both.node(atom_cache=cache, fragments=fragments)
    echo_server(node)
    terms = [(Atom(f"atom{n}"), bytes(size), [size, {}]) for n, size in enumerate(SIZES)]
    for term in terms * 2:
        assert node.call(("echo", both.name), term).result(timeout=5) == term
        same = "gen_server:call({py_echo, 'py@localhost'}, T) =:= T"
        assert both.eval(same, T=term) == "true"


def test_more_atoms_than_the_cache_has_room_for(both: Together) -> None:
    node = both.node()
    echo_server(node)
    rng = random.Random(3)
    for _ in range(30):
        term = [Atom(f"a{rng.randrange(5000)}") for _ in range(300)]
        assert node.call(("echo", both.name), term).result(timeout=5) == term
    code = """[begin
        T = [binary_to_atom(<<"b", (integer_to_binary(X rem 5000))/binary>>)
             || X <- lists:seq(N, N + 30000, 101)],
        T = gen_server:call({py_echo, 'py@localhost'}, T)
    end || N <- lists:seq(1, 30)], ok"""
    assert both.eval(code) == "ok"


def test_every_term_both_ways(both: Together) -> None:
    node = both.node()
    code = """try {term, binary_to_term(Bytes)} of
        {term, T} -> {gen_server:call({py_echo, 'py@localhost'}, T) =:= T, T}
        catch error:badarg -> unknown end"""
    echo_server(node)
    unknown = []
    for path in CORPUS:
        data = path.read_bytes()
        wrapped = f"X = begin {code} end, case X of unknown -> unknown; {{Same, _}} -> Same end"
        found = both.beam.eval(wrapped, {"Bytes": data}, keep=False)
        if found == "unknown":
            unknown.append(path.name)
        else:
            assert found == "true", path.name
    assert len(unknown) < len(CORPUS) // 4, unknown


def test_every_term_from_python(both: Together) -> None:
    node = both.node()
    known = [path for path in CORPUS if both.eval(KNOWS, Bytes=path.read_bytes()) == "true"]
    assert len(known) > len(CORPUS) // 2
    for path in known:
        data = path.read_bytes()
        same = (Atom("same"), data, decode(data))
        assert node.call(("echo", both.name), same).result(timeout=5) is True, path.name


KNOWS = "try binary_to_term(Bytes) of _ -> true catch error:badarg -> false end"


# --- traffic --------------------------------------------------------------------------------------


def test_500_calls_at_once(both: Together) -> None:
    node = both.node()
    echo_server(node)
    futures = [node.call(("echo", both.name), (n, bytes(n))) for n in range(500)]
    assert [f.result(timeout=20) for f in reversed(futures)] == [
        (n, bytes(n)) for n in reversed(range(500))
    ]
    code = "conn:relay({py_echo, 'py@localhost'}, [{N, <<0:N/unit:8>>} || N <- lists:seq(1, 500)])"
    assert both.eval(code) == "true"
    assert len(node.statistics().connections) == 1


@pytest.mark.parametrize("size", SIZES)
def test_traffic_both_ways_at_once(both: Together, size: int) -> None:
    node = both.node()
    echo_server(node)
    data = random.Random(size).randbytes(size)
    pending = both.submit(
        "conn:relay({py_echo, 'py@localhost'}, [{N, D} || N <- lists:seq(1, 50)])", D=data
    )
    futures = [node.call(("echo", both.name), (n, data)) for n in range(50)]
    assert [f.result(timeout=20) for f in futures] == [(n, data) for n in range(50)]
    assert pending.result(20) == "true"


def test_binaries_in_fragments_from_several_processes(both: Together) -> None:
    """Sizes near the edges of fragments, several sequences at once, alone and in a tuple."""
    node = both.node()
    box = node.mailbox("box")
    assert node.ping(both.name)
    sizes = [count * 65_536 + more for count in (1, 2, 5) for more in (-80, -5, -1, 0, 1, 300)]
    code = """
        Send = fun(Size) ->
            Binary = binary:copy(<<(Size rem 251)>>, Size),
            spawn(fun() -> Box ! Binary, Box ! {Size, Binary} end)
        end,
        lists:foreach(Send, Sizes)."""
    both.eval(code, Box=box.pid, Sizes=sizes)
    found = [box.receive(timeout=20) for _ in range(2 * len(sizes))]
    sent = {size: bytes((size % 251,)) * size for size in sizes}
    alone = [message for message in found if isinstance(message, bytes)]
    assert sorted(alone, key=len) == [sent[size] for size in sorted(sizes)]
    assert dict(message for message in found if isinstance(message, tuple)) == sent


def test_a_term_of_100_megabytes(both: Together) -> None:
    node = both.node(write_high_water=256 * 2**20)
    box = node.mailbox("box")
    assert node.ping(both.name)
    data = bytes(1000) * 100_000
    started = time.monotonic()
    box.send(("echo", both.name), (box.pid, data))
    answer = box.receive(timeout=60)
    assert isinstance(answer, tuple) and answer[1] == data
    assert time.monotonic() - started < 30


def test_2000_calls_leave_nothing_behind(both: Together) -> None:
    node = both.node()
    assert node.ping(both.name)
    before = both.eval("{erlang:system_info(process_count), conn:count(whereis(echo))}")
    for number in range(200):
        futures = [
            node.call(("echo", both.name), number),
            node.rpc(both.name, "erlang", "abs", [-number]),
            node.call(("nobody", both.name), number),
            node.rpc(both.name, "erlang", "error", [number]),
            node.rpc(both.name, "no_module", "f", []),
        ]
        late = [
            node.call(("echo", both.name), number),
            node.rpc(both.name, "timer", "sleep", [1]),
            node.rpc(both.name, "erlang", "abs", [1]),
        ]
        late.pop().cancel()
        assert futures[0].result(timeout=5) == number
        assert futures[1].result(timeout=5) == number
        with pytest.raises(NoProcessError):
            futures[2].result(timeout=5)
        for future in futures[3:]:
            with pytest.raises(RemoteError):
                future.result(timeout=5)
        for future in late:
            future.cancel()
        del late, future
        if number % 100 == 0:
            assert node.ping(both.name)
        for _ in range(2):
            node.call(("echo", both.name), number)  # dropped at once
    both.beam.wait_until("{erlang:system_info(process_count), conn:count(whereis(echo))}", before)

    def left_over() -> tuple[int, int, int, int]:
        statistics = node.statistics()
        return statistics.monitors, statistics.aliases, statistics.futures, statistics.watchers

    deadline = time.monotonic() + 5
    while left_over() != (0, 0, 0, 0) and time.monotonic() < deadline:
        both.loop.run_once(0.01)
    assert left_over() == (0, 0, 0, 0)
    assert not node.processes.ties


# --- both dial at once, and dynamic names ---------------------------------------------------------


@pytest.mark.parametrize("name", ["a@localhost", "z@localhost"])
def test_both_dial_at_once(both: Together, name: str) -> None:
    for turn in range(15):
        node = both.node(name)
        box = node.mailbox("box")
        notices: list[str] = []

        def notice(event: str, _name: str, _error: object, found: list[str] = notices) -> None:
            found.append(event)

        node.monitor_nodes(notice)
        pending = both.submit(f"{{box, '{name}'}} ! hello, net_kernel:connect_node('{name}')")
        for _ in range(turn % 5):
            both.loop.run_once(0.0005)
        node.send(("echo", both.name), (box.pid, turn))
        answer = [box.receive(timeout=5), box.receive(timeout=5)]
        assert Atom("hello") in answer
        assert any(isinstance(message, tuple) and message[1] == turn for message in answer)
        assert pending.result() == "true"
        assert notices == ["nodeup"]
        both.close()


def test_a_name_from_a_beam(both: Together) -> None:
    for _ in range(2):
        node = both.node("@localhost", listen=False)
        assert node.ping(both.name)
        assert node.name.endswith("@localhost")
        assert both.eval_term("nodes(hidden)") == [node.name]
        box = node.mailbox("box")
        box.send(("echo", both.name), (box.pid, 1))
        answer = box.receive(timeout=5)
        assert isinstance(answer, tuple) and answer[1] == 1
        assert both.eval_term("Pid ! hello, node(Pid)", Pid=box.pid) == node.name
        assert box.receive(timeout=5) == "hello"
        both.close()


def test_a_name_for_a_beam(otp: Otp, both: Together) -> None:
    node = both.node()
    arguments = ("-sname", "undefined@localhost", "-setcookie", "secret")
    carrier = ("-proto_dist", "uds", "-no_epmd", "-uds_dist", "socket_dir")
    extra = (*arguments, *carrier, f'"{both.beam.socket_dir}"')
    with Beam.start(otp, "", both.beam.socket_dir, extra_args=extra) as nameless:
        nameless.pump = both.beam.pump
        assert nameless.eval("node()") == "nonode@nohost"
        assert nameless.eval("net_kernel:connect_node('py@localhost')") == "true"
        found = nameless.eval("atom_to_list(node())")
        name = found.strip(chr(34))
        assert name.endswith("@localhost") and node.nodes() == [name]
        assert node.rpc(name, "erlang", "node").result(timeout=5) == name
        assert nameless.eval("net_adm:ping('py@localhost')") == "pong"
        nameless.pump = None


# --- BEAMs that disappear -------------------------------------------------------------------------


class Watch:
    """A mailbox with a link and monitors to a BEAM, and the messages that they caused."""

    def __init__(self, both: Together, **settings: Any) -> None:
        self.losses: list[UdsDistError] = []
        self.notices: list[str] = []
        on_down: Callable[[str, UdsDistError], object] = lambda _n, error: self.losses.append(error)
        self.node = both.node(on_down=on_down, **settings)
        self.node.monitor_nodes(lambda event, _name, _error: self.notices.append(event))
        self.box = self.node.mailbox("box", trap_exit=True)
        self.tie(both)

    def tie(self, both: Together) -> None:
        pid = both.eval_term("spawn(fun() -> receive after infinity -> ok end end)")
        assert isinstance(pid, Pid)
        self.pid = pid
        self.box.link(pid)
        self.refs = [self.box.monitor(pid), self.box.monitor(("net_kernel", both.name))]
        self.calls = [
            self.node.rpc(both.name, "timer", "sleep", [60_000]),
            self.node.call(("init", both.name), 1),  # has no answer
        ]
        assert self.node.rpc(both.name, "erlang", "node").result(timeout=5) == both.name

    def check_fired_once(self, both: Together) -> None:
        """Check that everything has fired once, with noconnection."""
        found = [self.box.receive(timeout=10) for _ in range(3)]
        assert (Atom("EXIT"), self.pid, NOCONNECTION) in found
        for ref in self.refs:
            assert sum(message[1] == ref for message in found if isinstance(message, tuple)) == 1
        for call in self.calls:
            with pytest.raises(NoConnectionError):
                call.result(timeout=5)
        for _ in range(5):
            both.loop.run_once(0)
        assert self.box.poll() is EMPTY
        assert not self.node.processes.ties and not self.node.processes.monitors


@pytest.mark.parametrize("mute", [False, True])
def test_a_beam_that_is_killed_and_started_at_once(otp: Otp, mute: bool) -> None:
    with together(otp, mute=mute) as both:
        watch = Watch(both)
        for _ in range(2):
            both.beam.kill()
            again = Beam.start(otp, BEAM_NAME, both.beam.socket_dir, mute=mute)
            again.pump, both.beam = both.beam.pump, again
            watch.check_fired_once(both)
            # The next signal reconnects automatically.
            watch.tie(both)
        assert watch.notices == ["nodeup", "nodedown"] * 2 + ["nodeup"]
        again.kill()
        watch.check_fired_once(both)
        with pytest.raises(NoConnectionError):
            watch.node.rpc(BEAM_NAME, "erlang", "node").result(timeout=5)
        assert not watch.node.ping(BEAM_NAME)


@pytest.mark.parametrize("mute", [False, True])
def test_a_beam_that_is_stopped_for_longer_than_the_tick_time(otp: Otp, mute: bool) -> None:
    with together(otp, mute=mute, extra_args=SHORT_TICKS) as both:
        watch = Watch(both, tick_time=0.4)
        both.beam.eval("net_kernel:monitor_nodes(true, [{node_type, all}])", process="watcher")
        both.beam.suspend()
        try:
            watch.check_fired_once(both)
        finally:
            both.beam.resume()
        assert "sent nothing" in str(watch.losses[0])
        down = "receive {nodedown, 'py@localhost', _} -> yes after 5000 -> no end"
        assert both.eval(down, process="watcher") == "yes"
        watch.tie(both)
        assert watch.notices == ["nodeup", "nodedown", "nodeup"]
        assert len(watch.losses) == 1


def test_a_call_into_a_beam_that_is_stopped(otp: Otp) -> None:
    with together(otp) as both:
        node = both.node(tick_time=0.4)
        assert node.ping(both.name)
        both.beam.suspend()
        try:
            with pytest.raises(NoConnectionError):
                node.rpc(both.name, "erlang", "node").result(timeout=10)
            assert not node.ping(both.name, timeout=0.2)
        finally:
            both.beam.resume()
        assert node.rpc(both.name, "erlang", "node").result(timeout=10) == both.name


@pytest.mark.parametrize("mute", [False, True])
def test_idle_nodes_with_other_tick_times_stay_connected(otp: Otp, mute: bool) -> None:
    # The BEAM gives up a silent peer after 2 to 2.5 s; this node's own quarter is 15 s. And a node
    # that would give up after 0.8 s keeps a BEAM that is mute, or ticks every 15 s.
    with together(otp, mute=mute, extra_args=SHORT_TICKS) as both:
        notices: list[str] = []
        slow, quick = both.node("slow@localhost"), both.node("quick@localhost", tick_time=0.8)
        for node in (slow, quick):
            node.monitor_nodes(lambda event, _name, _error: notices.append(event))
            assert node.ping(both.name)
        both.beam.eval("net_kernel:monitor_nodes(true, [{node_type, all}])", process="watcher")
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            both.loop.run_once(0.1)
        assert notices == ["nodeup", "nodeup"]
        nothing = "receive M -> M after 0 -> nothing end"
        assert both.eval(nothing, process="watcher") == "nothing"


def test_a_node_that_computes_for_long_ticks_from_a_signal(otp: Otp) -> None:
    with together(otp, extra_args=SHORT_TICKS) as both:
        node = both.node(tick_time=2.0)
        assert node.ping(both.name)
        both.beam.eval("net_kernel:monitor_nodes(true, [{node_type, all}])", process="watcher")
        both.beam.pump = None
        with both.loop.signal_ticks(interval=0.1):
            end = time.monotonic() + 3.5
            while time.monotonic() < end:
                sum(range(1000))
        both.beam.pump = lambda: both.loop.run_once(0.002)
        nothing = "receive M -> M after 0 -> nothing end"
        assert both.eval(nothing, process="watcher") == "nothing"
        assert node.nodes() == [both.name]


def test_the_wrong_cookie(both: Together) -> None:
    node = both.node()
    node.set_cookie("wrong")
    with pytest.raises(UdsDistError, match="cookie"):
        node.connect(both.name).result(timeout=10)
    assert both.eval("net_adm:ping('py@localhost')") == "pang"
    node.set_cookie("secret")
    while True:
        try:  # for a moment, that BEAM may still hold the failed attempt
            node.connect(both.name).result(timeout=10)
            break
        except SimultaneousConnectError:
            continue
    assert both.eval("net_adm:ping('py@localhost')") == "pong"
