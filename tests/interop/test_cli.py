"""The command line against real BEAM nodes: names from them, their errors, Elixir's text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.beam import Beam, Otp, Start
from uds_dist import Config, Node, decode
from uds_dist.cli import main as cli
from uds_dist.cli.json_terms import from_json, to_json
from uds_dist.cli.json_text import read_json, write_json
from uds_dist.cli.notation import format_elixir

EXPRESSIONS = [
    "[nil, true, :ok, :valid?, :Z, :a@b, Enum, My.App, Elixir, :two@, :_, :żółw]",
    '[:"two words", :"", :"Elixir.odd", :"1a"]',
    "[0, -7, 1.5, -0.0, 1.0e-5, 123_456.0]",
    '["", "grüße", "a\\"b\\\\c\\n\\t\\e\\#{x}", <<255, 1>>, <<1, 5::size(3)>>]',
    "[[], [1, 2], [1 | 2], {}, {:a, {}}, ~c\"it's\", [7, 13], [0]]",
    '[a: 1, "B c": nil]',
    '[{:a, 1}, {"a", 1}, {Enum, 2}]',
    "[true: 1, nil: 2]",
    "[:+, :->, :..//, :<<>>, :%{}, :@, :and, :\\\\, :a!, :é, :É, :\"::\", :\"^^^\", :\"//\", :\"a-b\"]",
    "[1.0e10, 1.0e15, 1.0e16, 9007199254740991.0, 0.0001, 0.00012345, 5.0e-324, 1.0e300]",
    '["\\u00A0", "\\u200B\\u202E\\uFEFF", "\\u3000", "a\\d\\v", <<0>>, "a" <> <<0>>, <<194, 133>>]',
    "[[7], [0], [233], [104, 127], ~c\"a\\n\", &Enum.map/2, &:lists.map/2]",
    "%{5 => 6, {} => 1, [] => 2, \"k\" => 3, %{} => 4}",
    '[%{}, %{a: 1}, %{"k" => %{b: "c"}}, %{Enum => 1}, %{1 => :a}, %{{1} => 2}]',
]


@pytest.fixture
def beam(otp: Otp, beams: Start) -> Beam:
    return beams(otp, "beam@localhost", elixir=otp.has_elixir)


@pytest.fixture
def node(beam: Beam) -> Iterator[Node]:
    config = Config(socket_dir=beam.socket_dir, cookie="secret")
    with Node("py@localhost", config=config) as node:
        yield node


def test_terms_are_written_like_in_elixir(otp: Otp, beam: Beam, node: Node) -> None:
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    for expression in EXPRESSIONS:
        answer = node.rpc(beam.name, "Elixir.Code", "eval_string", [expression]).result(10)
        assert isinstance(answer, tuple)
        assert format_elixir(answer[0]) == beam.eval_elixir(expression)


SECRET = """
defmodule Account do
  @derive {Inspect, except: [:password]}
  defstruct [:name, :password]
  def new, do: %Account{name: "n", password: "geheim"}
  def fail, do: throw(new())
end
"""


def test_a_struct_is_written_by_its_own_inspect(
    otp: Otp, beam: Beam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", beam.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    beam.eval_elixir(SECRET)
    for words, code, told in [
        (["Account", "new"], 0, '#Account<name: "n", ...>\n'),
        (["Date", "new!", "2026", "2", "3"], 0, "~D[2026-02-03]\n"),
        (["Enum", "to_list", "%{1 => 10000000000.0}"], 0, "[{1, 10000000000.0}]\n"),
        (["lists", "seq", "1", "100"], 0, f"[{', '.join(map(str, range(1, 101)))}]\n"),
        (["Account", "fail"], 1, "raised throw:#Account<"),
    ]:
        assert cli.main(["rpc", "beam", "--elixir", *words]) == code
        out, err = capsys.readouterr()
        assert told in (out if code == 0 else err) and "geheim" not in out + err


def test_a_node_without_elixir_gets_the_plain_notation(
    otp: Otp, beams: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beam = beams(otp, "plain@localhost")
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", beam.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    term = "{'+', 1.0e10, <<\"\\x{a0}\"/utf8>>, #{'__struct__' => 'Elixir.A', b => nil}}"
    assert cli.main(["rpc", "plain", "--elixir", "lists", "last", f"[{term}]"]) == 0
    assert capsys.readouterr().out == '{:+, 10000000000.0, "\\u00A0", %A{b: nil}}\n'


def test_a_functions_output_is_not_mixed_with_json(
    beam: Beam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", beam.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    assert cli.main(["rpc", "beam", "--json", "io", "format", '"hi~n"']) == 0
    assert capsys.readouterr() == ('{"$atom": "ok"}\n', "hi\n")
    assert cli.main(["rpc", "beam", "io", "format", '"hi~n"']) == 0
    assert capsys.readouterr() == ("hi\nok\n", "")


def test_json_comes_back_as_the_same_term(beam: Beam, node: Node) -> None:
    terms = decode(
        beam.eval_binary(
            "[self(), make_ref(), fun lists:map/2, fun(X) -> X end, hd(erlang:ports()), <<5:3>>,"
            " #{1 => a, 1.0 => b}, [a|b], {<<255>>, #{[x] => #{}}}]."
        )
    )
    again = from_json(read_json(write_json(to_json(terms))))
    assert node.rpc(beam.name, "erlang", "=:=", [terms, again]).result(10) is True
    assert node.rpc(beam.name, "erlang", "=:=", [terms, [again]]).result(10) is False


def test_the_node_gives_every_command_the_same_name(
    beam: Beam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", beam.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    names = set()
    for _ in range(3):
        assert cli.main(["rpc", "beam", "erlang", "nodes", "[hidden]"]) == 0
        names.add(capsys.readouterr().out)
        beam.wait_until("nodes(hidden)", "[]")
    assert len(names) == 1 and "@localhost" in names.pop()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["erlang", "error", "{oops,1}"], 1, "erlang:error/1 at beam@localhost raised error:{oops,1}"),
        (["erlang", "throw", "oops"], 1, "raised throw:oops"),
        (["erlang", "exit", "oops"], 1, "raised exit:oops"),
        (["lists", "nosuch", "1"], 1, "there is no function lists:nosuch/1 in that node"),
        (["Nosuch", "f"], 1, "there is no function Elixir.Nosuch:f/0 in that node"),
        (["timer", "sleep", "10000", "--timeout", "0.2"], 5, "did not answer within 0.2 s"),
        (["erlang", "halt", "0", "[{flush, false}]"], 3, "was lost"),
    ],
)
def test_calls_that_fail(
    beam: Beam,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", beam.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")
    assert cli.main(["rpc", "beam", *words]) == code
    out, err = capsys.readouterr()
    assert out == "" and told in err and err.count("\n") == 1
