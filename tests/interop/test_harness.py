"""The nodes, carriers and harness of the other interop tests, BEAM to BEAM."""

from __future__ import annotations

import os
import socket

import pytest

from tests.interop.beam import Beam, BeamError, Otp, Start
from tests.interop.conftest import OTPS

PING = "net_adm:ping(a@localhost)"
MEGABYTE = "erpc:call(a@localhost, erlang, byte_size, [binary:copy(<<1>>, 1000000)])"


@pytest.mark.parametrize("carrier", ["uds", "erl_uds"])
@pytest.mark.parametrize("first, second", [("27", "29"), ("29", "27")])
def test_two_releases_talk(beams: Start, carrier: str, first: str, second: str) -> None:
    if not {first, second} <= OTPS.keys():
        pytest.skip("needs OTP 27 and 29")
    beams(OTPS[first], "a@localhost", carrier=carrier)
    b = beams(OTPS[second], "b@localhost", carrier=carrier)
    assert (b.eval(PING), b.eval(MEGABYTE)) == ("pong", "1000000")


def test_abstract_sockets(beam: Start) -> None:
    name = f"uds_dist-test-{os.getpid()}"
    beam("a@localhost", socket_dir=f"@{name}")
    b = beam("b@localhost", socket_dir=f"@{name}")
    assert b.eval(PING) == "pong"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{name}/a")


def test_a_live_name_is_refused(beam: Start) -> None:
    a = beam("a@localhost")
    with pytest.raises(BeamError, match="duplicate_name|seems to be in use"):
        beam("a@localhost")
    assert a.eval("node()") == "a@localhost"


def test_the_socket_file_of_a_killed_node_is_taken_over(beam: Start, socket_dir: str) -> None:
    beam("a@localhost").kill()
    assert os.listdir(socket_dir) == ["a.sock"]
    beam("a@localhost")
    assert beam("b@localhost").eval(PING) == "pong"


def test_a_file_that_is_not_a_socket_is_left_unchanged(beam: Start, socket_dir: str) -> None:
    with open(f"{socket_dir}/a.sock", "w", encoding="utf-8") as file:
        file.write("precious")
    with pytest.raises(BeamError):
        beam("a@localhost")
    assert os.path.getsize(f"{socket_dir}/a.sock") == len("precious")


def test_a_node_that_only_dials(beam: Start, socket_dir: str) -> None:
    beam("a@localhost")
    b = beam("b@localhost", listen=False)
    assert b.eval(PING) == "pong"
    assert os.listdir(socket_dir) == ["a.sock"]


def test_a_hidden_node(beam: Start) -> None:
    a = beam("a@localhost")
    assert beam("b@localhost", hidden=True).eval(PING) == "pong"
    assert a.eval("{nodes(), nodes(hidden)}") == "{[],[b@localhost]}"


def test_a_node_without_distribution(beam: Start) -> None:
    assert beam("").eval("is_alive()") == "false"


def test_the_wrong_cookie_is_refused(beam: Start) -> None:
    beam("a@localhost")
    assert beam("b@localhost", cookie="other").eval(PING) == "pang"


def test_stop_removes_the_socket_file(beam: Start, socket_dir: str) -> None:
    a, b = beam("a@localhost"), beam("b@localhost")
    b.eval(PING)
    a.stop()
    assert not a.alive
    assert os.listdir(socket_dir) == ["b.sock"]
    b.wait_until("nodes()", "[]")


# ---- The control channel


def test_values_bindings_and_mailbox_live_on(beam: Start) -> None:
    a = beam("a@localhost")
    assert a.eval("Self = self(), self() ! X = {ok, <<\"\u00e9\"/utf8>>}.") == '{ok,<<"\u00e9"/utf8>>}'
    assert a.eval("receive X -> {X, Self =:= self()} end") == '{{ok,<<"\u00e9"/utf8>>},true}'
    assert a.eval_binary("{a, X}") == b'\x83h\x02w\x01ah\x02w\x02okm\x00\x00\x00\x02\xc3\xa9'
    assert a.eval("Y = 1, byte_size(B)", {"B": bytes(3_000_000)}, keep=False) == "3000000"
    assert a.eval("self() =/= pid_to_list(self())", process="other") == "true"
    with pytest.raises(BeamError, match="unbound"):
        a.eval("Y")


def test_errors_have_class_and_reason(beam: Start) -> None:
    a = beam("")
    for code, class_, reason in (
        ("error({no, luck})", "error", "{no,luck}"),
        ("exit(x)", "exit", "x"),
        ("throw(x)", "throw", "x"),
        ("exit(self(), kill), receive after infinity -> 1 end", "exit", "killed"),
    ):
        with pytest.raises(BeamError) as caught:
            a.eval(code)
        assert (caught.value.class_, caught.value.reason) == (class_, reason)
    with pytest.raises(BeamError, match="syntax"):
        a.eval("1 +")
    with pytest.raises(BeamError, match="timeout"):
        a.eval("receive after infinity -> 1 end", timeout=0.1)
    with pytest.raises(BeamError, match="still,1,not_yet,2"):
        a.wait_until("1", "2", timeout=0.05)
    assert a.eval("1 + 1") == "2"


def test_a_question_waits_while_the_pump_runs(beam: Start) -> None:
    a = beam("")
    rounds = [a.submit("ok", process="pump")]

    def pump() -> None:
        if rounds[-1].done():
            rounds.append(a.submit("catch main ! go", process="pump"))

    a.pump = pump
    assert a.eval("register(main, self()), receive go -> went end") == "went"
    a.pump = None
    slow = a.submit("receive stop -> stopped end")
    assert not slow.done()
    a.eval("main ! stop", process="other")
    assert slow.result() == "stopped"
    many = [a.submit("lists:seq(1, 1000)", process="other") for _ in range(300)]  # more than the pipes hold
    assert {one.result() for one in many} == {a.eval("lists:seq(1, 1000)")}


def test_output_goes_to_the_log(beam: Start) -> None:
    a = beam("")
    a.eval('io:format("printed ~ts~n", [[9731]]), logger:error("logged")')
    a.eval("logger_std_h:filesync(default)")
    a.stop()
    assert "printed \u2603\n" in a.log and "logged" in a.log


def test_the_pid_is_the_emulators(beam: Start) -> None:
    a, b = beam("a@localhost"), beam("b@localhost")
    assert a.eval("list_to_integer(os:getpid())") == str(a.pid)
    b.eval(PING)
    a.suspend()
    ping = b.submit(PING, process="stopped")
    assert b.eval("receive after 100 -> ok end") == "ok"
    assert not ping.done()
    a.resume()
    assert ping.result() == "pong"
    a.kill()
    b.wait_until("nodes()", "[]")
    with pytest.raises(BeamError, match="down"):
        a.eval("ok")


def test_modules_and_elixir(beam: Start, otp: Otp) -> None:
    a = beam("a@localhost", elixir=otp.has_elixir)
    a.load_module("-module(twice).\n-export([as/1]).\nas(X) -> {?MODULE, 2 * X}.\n")
    assert a.eval("twice:as(21)") == "{twice,42}"
    if otp.has_elixir:
        assert a.eval_elixir('x = %{a: [1, "\u00e9"]}', {"b": b"!"}) == '%{a: [1, "\u00e9"]}'
        assert a.eval_elixir("{x.a, b}", {"b": b"?"}) == '{[1, "\u00e9"], "?"}'
        with pytest.raises(BeamError, match=r"\(RuntimeError\) boo"):
            a.eval_elixir('raise "boo"')
