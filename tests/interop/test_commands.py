"""eval, call, cast, send and listen of the command line against both releases."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.beam import Beam, Otp, Start, socket_folder
from tests.interop.rates import fast_enough
from tests.readme_blocks import environment
from uds_dist.cli import main as cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def node(otp: Otp) -> Iterator[Beam]:
    with socket_folder() as folder, Beam.start(otp, "node@localhost", folder, elixir=otp.has_elixir) as beam:
        beam.eval(
            "register(taker, spawn(fun F() -> receive"
            " {'$gen_call', {P, [alias|R] = T}, Q} -> R ! {T, {you_said, Q}}, F();"
            " {'$gen_cast', C} -> put(last, {cast, C}), F(); M -> put(last, M), F() end end))"
        )
        yield beam


@pytest.fixture
def run(node: Beam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns its exit code, its output and its errors."""
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", node.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")

    def run_command(*words: str) -> tuple[int, str, str]:
        code = cli.main(list(words))
        return code, *capsys.readouterr()

    return run_command


@pytest.mark.parametrize(
    ("words", "code", "out", "told"),
    [
        (['IO.puts("hi"); 1 + 1'], 0, "hi\n2\n", ""),
        (['%{a: [1, 2.5, "x"]}', "--json"], 0, '{":a": [1, 2.5, "x"]}\n', ""),
        (["IO.puts(:only)", "--quiet"], 0, "only\n", ""),
        (["x = 20\nx + 1"], 0, "21\n", ""),
        (['raise "oh"'], 1, "", "** (RuntimeError) oh\n    nofile:1"),
        (["throw(:oh)"], 1, "", "** (throw) :oh"),
        (["exit(:oh)"], 1, "", "** (exit) :oh"),
        (["1 + * 2"], 1, "", "syntax error before: '*'"),
        (["Process.sleep(9999)", "--timeout", "0.3"], 5, "", "was not evaluated within 0.3 s"),
        (["--erl", 'io:format("hi~n"), X = 3, {X, "ü"}'], 0, 'hi\n{3,"ü"}\n', ""),
        (["--erl", "lists:map(fun(X) -> X * 2 end, [1, 2])."], 0, "[2,4]\n", ""),
        (["--erl", "#{a => 1}", "--json"], 0, '{":a": 1}\n', ""),
        (["--erl", "erlang:error(oh)"], 1, "", "exception error: oh\n  in function"),
        (["--erl", "throw(oh)"], 1, "", "exception throw: oh"),
        (["--erl", "exit(self(), kill), timer:sleep(5000)"], 1, "", "signal:killed: the process was killed"),
        (["--erl", "foo("], 1, "", "1:5: syntax error before: '.'"),
        (["--erl", "'x"], 1, "", "unterminated"),
        ([], 2, "", "give one expression"),
    ],
)
def test_eval(run: Run, otp: Otp, words: list[str], code: int, out: str, told: str) -> None:
    if "--erl" not in words and not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    found, printed, complaint = run("eval", "node", *words)
    assert (found, printed) == (code, out)
    assert told in complaint and bool(told) == bool(complaint)


def test_eval_of_a_file_and_of_standard_input(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script"
    script.write_text("A = 1,\nB = 2,\nA + B.\n")
    assert run("eval", "node", "--erl", "--file", str(script))[:2] == (0, "3\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("<<\"grün\"/utf8>>.".encode())))
    assert run("eval", "node", "--erl", "-")[:2] == (0, '<<"grün"/utf8>>\n')
    code, _, complaint = run("eval", "node", "--erl", "--file", str(tmp_path / "none"))
    assert code == 2 and f"{tmp_path}/none cannot be read: No such file" in complaint


def test_much_output_of_eval(node: Beam, tmp_path: Path) -> None:
    size = 10_000_000
    code = f'io:put_chars("go\\n"), io:put_chars(binary:copy(<<"0123456789abcde\\n">>, {size // 16}))'
    settings = environment(UDS_DIST_SOCKET_DIR=node.socket_dir, UDS_DIST_COOKIE="secret")
    argv = [sys.executable, "-m", "uds_dist", "eval", "node", "--erl", "--quiet", code]
    file = tmp_path / "text"
    file.write_bytes(b"go\n" + b"0123456789abcde\n" * (size // 16))

    def rate(argv: list[str]) -> float:
        with subprocess.Popen(argv, env=settings, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"go\n"
            began = time.perf_counter()
            assert len(process.stdout.read()) == size
            return size / (time.perf_counter() - began)

    assert fast_enough(lambda: rate(argv), lambda: rate(["cat", str(file)]))


def test_output_of_eval_comes_at_once(node: Beam) -> None:
    node.eval("true = register(stepper, self())")
    code = 'stepper ! self(), io:put_chars("first\\n"), receive go -> io:put_chars("second\\n") end'
    settings = environment(UDS_DIST_SOCKET_DIR=node.socket_dir, UDS_DIST_COOKIE="secret")
    argv = [sys.executable, "-m", "uds_dist", "eval", "node", "--erl", code]
    with subprocess.Popen(argv, env=settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "first\n"
        node.eval("unregister(stepper), receive P when is_pid(P) -> P ! go end, ok", keep=False)
        assert process.stdout.read() == "second\nok\n"


def test_calls_casts_and_messages(run: Run, node: Beam) -> None:
    last = "element(2, lists:keyfind(last, 1, element(2, process_info(whereis(taker), dictionary))))"
    assert run("call", "node", "taker", "{add,1}")[:2] == (0, "{you_said,{add,1}}\n")
    assert run("call", "node", "taker", '":a"', "--json")[:2] == (0, '{"$tuple": [{"$atom": "you_said"}, ":a"]}\n')
    assert run("cast", "node", "taker", "reset") == (0, "", "")
    node.wait_until(last, "{cast,reset}")
    assert run("send", "node", "taker", "[1,2]") == (0, "", "")
    node.wait_until(last, "[1,2]")
    code, _, complaint = run("call", "node", "nobody", "x")
    assert code == 1 and "nobody" in complaint
    code, _, complaint = run("call", "node", "taker")
    assert code == 2 and "give one term" in complaint


@pytest.mark.parametrize(
    ("term", "as_erlang"),
    [
        ("[1, 2]", "[1,2]"),
        ('{:add, "grün", nil}', '{add,<<"grün"/utf8>>,nil}'),
        ('%{"b" => [c: -2.5], a: 1}', '#{a => 1, <<"b">> => [{c,-2.5}]}'),
        ('<<"a"::utf8, 5::size(16)-little, 7::4, 0::4>>', '<<"a",5,0,7:4,0:4>>'),
        ("~D[2026-01-31]", "#{'__struct__' => 'Elixir.Date', calendar => 'Elixir.Calendar.ISO',"
         " day => 31, month => 1, year => 2026}"),
        ("1..3", "#{'__struct__' => 'Elixir.Range', first => 1, last => 3, step => 1}"),
        ("&String.upcase/1", "fun 'Elixir.String':upcase/1"),
        ("{Enum, 'abc', ~w[x y]a, %{}}", "{'Elixir.Enum',\"abc\",[x,y],#{}}"),
    ],
)  # fmt: skip
def test_arguments_in_elixir(run: Run, otp: Otp, node: Beam, term: str, as_erlang: str) -> None:
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    last = "element(2, lists:keyfind(last, 1, element(2, process_info(whereis(taker), dictionary))))"
    assert run("send", "node", "taker", term, "--elixir") == (0, "", "")
    node.wait_until(f"{last} =:= {as_erlang}")
    assert run("cast", "node", "taker", term, "--elixir")[:2] == (0, "")
    node.wait_until(f"{last} =:= {{cast, {as_erlang}}}")
    code, printed, _ = run("call", "node", "taker", term, "--elixir")
    assert (code, printed[:11]) == (0, "{:you_said,")
    code, printed, _ = run("rpc", "node", "erlang", "=:=", term, term, "--elixir")
    assert (code, printed) == (0, "true\n")


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("[1, ", "missing terminator"),
        ("1 + * 2", "syntax error before: '*'"),
        ("ok", "it is not a literal term: write an atom as :ok"),
        ("[System.halt(0)]", "it is not a literal term"),
        ('"#{System.halt(0)}"', "it is not a literal term"),
        ("%{a: System.halt(0)}", "it is not a literal term"),
        ("<<1::size(System.halt(0))>>", "it is not a literal term"),
        ("~s(#{System.halt(0)})", "it is not a literal term"),
        ("&System.halt(&1)", "it is not a literal term"),
        ("[-System.halt(0)]", "it is not a literal term"),
        ("System.halt", "it is not a literal term"),
        ("fn -> 1 end", "it is not a literal term"),
        ("#{a => 1}", "there is no term in it"),
        ("%NoSuchStruct{}", "the node cannot build it"),
    ],
)
def test_an_elixir_expression_is_not_evaluated(
    run: Run, otp: Otp, node: Beam, term: str, told: str
) -> None:
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    code, out, err = run("rpc", "node", "Function", "identity", "1", term, "--elixir")
    assert (code, out) == (2, "") and err.startswith("uds-dist: argument 2, ") and told in err
    assert err.count("\n") == 1 and node.alive


def test_a_node_without_elixir_reads_erlang_terms(
    otp: Otp, beams: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = beams(otp, "plain@localhost")
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", plain.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    assert cli.main(["rpc", "plain", "lists", "sum", "[1, 2]", "--elixir"]) == 0
    assert capsys.readouterr().out == "3\n"
    assert cli.main(["rpc", "plain", "lists", "last", "[%{a: 1}]", "--elixir"]) == 2
    assert "plain@localhost has no Elixir to read it, and it is not an Erlang term" in capsys.readouterr().err


def test_a_hint_after_a_binary_in_latin1(run: Run, otp: Otp) -> None:
    hint = 'hint: <<"grün">> is a binary of Latin-1 text: for UTF-8 write <<"grün"/utf8>>\n'
    assert run("rpc", "node", "erlang", "byte_size", '<<"grün">>') == (0, "4\n", hint)
    assert run("rpc", "node", "erlang", "byte_size", '<<"grün"/utf8>>') == (0, "5\n", "")
    code, _, complaint = run("rpc", "node", "erlang", "binary_to_atom", '<<"grün">>', "utf8")
    error, told = complaint.splitlines(keepends=True)
    assert code == 1 and "badarg" in error and told == hint
    assert run("eval", "node", "--erl", 'byte_size(<<"grün">>)') == (0, "4\n", hint)
    assert run("call", "node", "taker", '{<<"grün">>}')[2] == hint


def test_several_nodes(run: Run) -> None:
    assert run("rpc", "node,node", "erlang", "node")[:2] == (0, "node  node@localhost\n" * 2)
    assert run("rpc", "--all", "erlang", "node")[:2] == (0, "node  node@localhost\n")
    assert run("eval", "--all", "--erl", "1 + 1")[:2] == (0, "node  2\n")
    code, printed, complaint = run("rpc", "node,none", "erlang", "node")
    assert (code, printed) == (1, "node  node@localhost\n") and "none: cannot connect" in complaint
    assert run("rpc", "none,nil", "erlang", "node")[0] == 3


def test_listen(node: Beam) -> None:
    argv = [sys.executable, "-m", "uds_dist", "listen", "sink", "--echo", "--json", "--count", "4"]
    settings = environment(UDS_DIST_SOCKET_DIR=node.socket_dir, UDS_DIST_COOKIE="secret")
    with subprocess.Popen(
        argv, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as sink:
        assert sink.stderr is not None and "sink@localhost listens" in sink.stderr.readline()
        there = "{sink, 'sink@localhost'}"
        assert node.eval(f"{there} ! {{self(), hello}}, receive hello -> got after 5000 -> nothing end") == "got"
        assert node.eval(f"gen_server:call({there}, {{add, 1}})") == "{add,1}"
        node.eval(f"gen_server:cast({there}, done), {there} ! <<\"grün\"/utf8>>, ok")
        printed, _ = sink.communicate(timeout=20)
    assert sink.returncode == 0
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["kind"] for line in lines] == ["send", "call", "cast", "send"]
    assert lines[1]["term"] == {"$tuple": [{"$atom": "add"}, 1]} and lines[3]["term"] == "grün"
