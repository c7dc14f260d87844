"""Values of Elixir and Python on real nodes, and the services of a node in text mode."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from tests.etf.test_roundtrip import terms
from tests.interop.beam import Beam, Otp, Start
from tests.interop.together import PATIENCE, Together, together
from tests.test_elixir import MAKERS
from uds_dist import Atom, From, GenServer, Map, Node, RemoteError, decode, encode, record
from uds_dist.elixir import (
    ElixirError,
    Uri,
    atoms,
    from_elixir,
    keyword,
    struct,
    to_elixir,
)

User = record("user", "name", "age")
BERLIN = ZoneInfo("Europe/Berlin")

# The struct of the package decimal, whose functions are not part of Elixir, and structs of a program.
MODULES = """
defmodule Decimal do
  defstruct sign: 1, coef: 0, exp: 0
  def equal?(%Decimal{coef: c}, %Decimal{coef: d}) when is_atom(c) or is_atom(d), do: c == d
  def equal?(%Decimal{} = a, %Decimal{} = b) do
    low = min(a.exp, b.exp)
    value = fn d -> d.sign * d.coef * Integer.pow(10, d.exp - low) end
    value.(a) == value.(b)
  end
end
defmodule MyApp.Line do
  @enforce_keys [:number]
  defstruct [:number, note: nil, tags: []]
end
"""


@struct("Elixir.MyApp.Line")
@dataclass
class Order:
    number: int
    note: str | None = None
    tags: list[str] | None = None


@atoms
class Colour(Enum):
    RED = "red"
    BLUE = Atom("blue")


@pytest.fixture
def elixir(otp: Otp, beam: Start) -> Beam:
    if not otp.has_elixir:
        pytest.skip("no Elixir")
    node = beam("", elixir=True)
    node.eval_elixir(MODULES)
    return node


def holds(node: Beam, code: str, value: object) -> bool:
    """Whether an expression about the term `x` is true on the node."""
    bindings = {"data": encode(value, default=to_elixir)}
    return node.eval_elixir(f"x = :erlang.binary_to_term(data); {code}", bindings, keep=False) == "true"


def back(node: Beam, code: str) -> Any:
    """The value of an Elixir expression."""
    text = node.eval_elixir(f"Base.encode16(:erlang.term_to_binary({code}))", keep=False)
    return decode(bytes.fromhex(text.strip('"')), text=True, object_hook=from_elixir, records=[User])


# Values in Elixir: the Python value, an expression for it, and how the two are compared there.
SAME: list[tuple[object, str, str]] = [
    (datetime(2024, 5, 6, 7, 8, 9, 123456, timezone.utc), "~U[2024-05-06 07:08:09.123456Z]", "DateTime.compare(x, y) == :eq and x === y"),
    (datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc), "~U[2024-05-06 07:08:09Z]", "DateTime.compare(x, y) == :eq"),
    (
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        '%DateTime{year: 2024, month: 10, day: 27, hour: 2, minute: 30, second: 0, microsecond: {0, 6}, time_zone: "Europe/Berlin",'
        ' zone_abbr: "CET", utc_offset: 3600, std_offset: 0}',
        "x === y and DateTime.to_unix(x) == 1729992600",
    ),
    (
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        '%DateTime{year: 2024, month: 10, day: 27, hour: 2, minute: 30, second: 0, microsecond: {0, 6}, time_zone: "Europe/Berlin",'
        ' zone_abbr: "CEST", utc_offset: 3600, std_offset: 3600}',
        "x === y and DateTime.to_unix(x) == 1729989000",
    ),
    (datetime(2024, 5, 6, 7, 8, 9, 120000), "~N[2024-05-06 07:08:09.120000]", "NaiveDateTime.compare(x, y) == :eq and x === y"),
    (date(2024, 5, 6), "~D[2024-05-06]", "Date.compare(x, y) == :eq and x === y"),
    (time(7, 8, 9, 500000), "~T[07:08:09.500000]", "Time.compare(x, y) == :eq and x === y"),
    (
        timedelta(days=-2, seconds=5, microseconds=7),
        "Duration.new!(day: -2, second: 5, microsecond: {7, 6})",
        "x === y and DateTime.shift(~U[2024-05-06 00:00:00Z], x) == ~U[2024-05-04 00:00:05.000007Z]",
    ),
    (Decimal("-12.50"), "%Decimal{sign: -1, coef: 1250, exp: -2}", "Decimal.equal?(x, y) and x === y"),
    (Decimal("-Infinity"), "%Decimal{sign: -1, coef: :inf}", "Decimal.equal?(x, y) and x === y"),
    (
        {1, "a", Decimal("1.5"), date(2024, 5, 6)},
        'MapSet.new([1, "a", %Decimal{coef: 15, exp: -1}, ~D[2024-05-06]])',
        "MapSet.equal?(x, y) and x === y and MapSet.member?(x, ~D[2024-05-06])",
    ),
    (set(), "MapSet.new()", "MapSet.equal?(x, y) and x === y"),
    (range(1, 6, 2), "1..5//2", "x === y and Enum.to_list(x) == [1, 3, 5]"),
    (range(5, 0, -1), "5..1//-1", "x === y and Enum.count(x) == 5"),
    (range(1, 1), "1..0//1", "x === y and Enum.empty?(x)"),
    (
        Uri("http", "u:p", "h", 80, "/p", "q", "f", "u:p@h:80"),
        'URI.parse("http://u:p@h:80/p?q#f")',
        'x === y and URI.to_string(x) == "http://u:p@h/p?q#f"',
    ),
    (Uri("mailto", path="a@b"), 'URI.parse("mailto:a@b")', 'x === y and URI.to_string(x) == "mailto:a@b"'),
    (
        ElixirError("Elixir.KeyError", {"key": Atom("a"), "term": {}, "message": None}),
        "%KeyError{key: :a, term: %{}}",
        'x === y and Exception.message(x) == Exception.message(y)',
    ),
    (Order(1, "n", ["a"]), '%MyApp.Line{number: 1, note: "n", tags: ["a"]}', "x === y"),
    (User("ann", 7), '{:user, "ann", 7}', "x === y"),
    (keyword([("a", 1), ("b", 2), ("a", 3)]), "[a: 1, b: 2, a: 3]", "x === y and Keyword.keyword?(x)"),
    ([True, None, Atom("ok"), "text", b"\xff"], '[true, nil, :ok, "text", <<255>>]', "x === y"),
]  # fmt: skip


def test_values_are_right_there_and_come_back(elixir: Beam) -> None:
    for value, code, same in SAME:
        assert holds(elixir, f"y = {code}; {same}", value), f"{value!r} is not {code}"
        found = back(elixir, code)
        assert type(found) is type(value) and found == value, f"{code} is {found!r}"


def test_values_that_are_only_sent(elixir: Beam) -> None:
    assert holds(elixir, 'x === "00000000-0000-0000-0000-000000000007"', UUID(int=7))
    assert holds(elixir, "x === [:RED, :blue]", list(Colour))
    assert holds(elixir, "MapSet.equal?(x, MapSet.new([1]))", frozenset({1}))
    error = ZeroDivisionError("by 0")
    assert holds(elixir, 'x === %RuntimeError{message: "ZeroDivisionError: by 0"}', error)
    east = datetime(2024, 5, 6, 2, tzinfo=timezone(timedelta(hours=2)))
    assert holds(elixir, "x == ~U[2024-05-06 00:00:00.000000Z]", east)
    assert back(elixir, 'Version.parse!("1.2.3-rc.1+b.2")') == "1.2.3-rc.1+b.2"
    assert back(elixir, 'Version.parse!("1.2.3")') == "1.2.3"


def test_patterns(elixir: Beam) -> None:
    for code, pattern in (
        ("~r/a.b/", re.compile("a.b", re.ASCII)),
        ("~r/a.b/imsxu", re.compile("a.b", re.I | re.M | re.S | re.X)),
    ):
        found = back(elixir, code)
        assert type(found) is re.Pattern and found == pattern
        same = f'y = {code}; r = Regex.compile!(x.source, x.opts); r.source == y.source and Enum.sort(r.opts) == Enum.sort(y.opts) and Regex.match?(r, "xaZb")'
        assert holds(elixir, same, pattern)
    for code in ("~r/a/f", "~r/a/U", r"~r/a\Z/", "~r/[[:alpha:]]/"):
        assert isinstance(back(elixir, code), dict)


def test_structs_outside_pythons_range_stay_structs(elixir: Beam) -> None:
    for code in (
        "~T[23:59:59] |> Map.put(:second, 60)",
        "Date.new!(10_000, 1, 1)",
        "Date.new!(-1, 1, 1)",
        "Duration.new!(month: 1)",
        "MapSet.new([1, 1.0])",
        "%Version.Requirement{source: nil, lexed: []}",
    ):
        found = back(elixir, code)
        assert isinstance(found, dict)
        assert holds(elixir, f"x === {code}", found)


@pytest.mark.parametrize("text", [False, True])
def test_random_terms_come_back_identical(beam: Start, text: bool) -> None:
    node = beam("", elixir=False)
    pid = node.eval_binary("[self(), make_ref(), hd(erlang:ports()), fun lists:map/2]")
    for seed in range(6):
        some = [*terms(seed, readable=True), decode(pid)]  # without made-up funs and old records
        data = encode(some)
        found = decode(data, text=text)
        bindings = {"A": data, "B": encode(found)}
        code = "binary_to_term(A) =:= binary_to_term(B)"
        assert node.eval(code, bindings, keep=False) == "true"
        again = decode(node.eval_binary("binary_to_term(A)", {"A": data}, keep=False), text=text)
        assert encode(decode(encode(again))) == encode(again)
        answer = {"A": encode(again), "B": data}
        assert node.eval(code, answer, keep=False) == "true"


def test_random_values_of_elixir_come_back_identical(elixir: Beam) -> None:
    rng = random.Random(1)
    values = [maker(rng) for maker in MAKERS for _ in range(20)]
    data = encode(values, default=to_elixir)
    found = decode(data, text=True, object_hook=from_elixir)
    assert found == values
    bindings = {"a": data, "b": encode(found, default=to_elixir)}
    code = ":erlang.binary_to_term(a) === :erlang.binary_to_term(b)"
    assert elixir.eval_elixir(code, bindings, keep=False) == "true"


# --- the services of a node in text mode ------------------------------------------------------------


@pytest.fixture
def own(otp: Otp) -> Iterator[Together]:
    """A BEAM with Elixir, and a Python node in text mode with Elixir's types."""
    if not otp.has_elixir:
        pytest.skip("no Elixir")
    with together(otp, elixir=True) as both:
        both.beam.eval_elixir(MODULES)
        yield both


class Greeter(GenServer):
    """Joins texts, and adds a day."""

    def init(self) -> None:
        self.seen: list[object] = []

    def handle_call(self, request: object, from_: From) -> object:
        match request:
            case ("greet", str() as name):
                return "hello " + name
            case date() as day:
                return day + timedelta(1)
            case User() as user:
                return (user.name, user.age)
            case "boom":
                raise RuntimeError("boom: " + str(request))
        return super().handle_call(request, from_)

    def handle_info(self, message: object) -> object:
        self.seen.append(message)
        return None


SETTINGS: dict[str, Any] = {
    "text": True,
    "default": to_elixir,
    "object_hook": from_elixir,
    "records": [User],
}


def test_a_program_in_text_mode(own: Together, caplog: pytest.LogCaptureFixture) -> None:
    node, peer = own.node(**SETTINGS), own.name
    greeter = Greeter()
    node.serve("greeter", greeter, restart="permanent")
    node.expose("Elixir.Py", {"join": lambda *texts: "-".join(texts), "day": lambda day: day.isoformat()})
    node.serve_tasks("tasks")
    out: list[str] = []
    node.output = out.append
    box = node.mailbox("box")

    def ask(code: str) -> str:
        return own.beam.eval_elixir(code, keep=False)

    server = "{:greeter, :\"py@localhost\"}"
    assert ask(f'GenServer.call({server}, {{:greet, "ann"}})') == '"hello ann"'
    assert ask(f"GenServer.call({server}, ~D[2024-02-28])") == "~D[2024-02-29]"
    assert ask(f'GenServer.call({server}, {{:user, "ann", 7}})') == '{"ann", 7}'
    assert "boom: boom" in ask(f'try do GenServer.call({server}, "boom") catch :exit, e -> e end')
    assert "boom" in caplog.text
    assert ask(':erpc.call(:"py@localhost", Py, :join, ["a", "b"])') == '"a-b"'
    assert ask(':rpc.call(:"py@localhost", Py, :day, [~D[2024-05-06]])') == '"2024-05-06"'
    task = 'Task.Supervisor.async({:tasks, :"py@localhost"}, Py, :join, ["a", "b"]) |> Task.await()'
    assert ask(task) == '"a-b"'
    assert ask(":sys.get_state({:greeter, :\"py@localhost\"})") == "%{seen: []}"

    ask('send({:box, :"py@localhost"}, {"text", ~U[2024-05-06 00:00:00Z], <<255>>}); :ok')
    assert box.receive(timeout=PATIENCE) == (
        "text", datetime(2024, 5, 6, tzinfo=timezone.utc), b"\xff",
    )  # fmt: skip

    def call(module: str, function: str, *arguments: object) -> Any:
        return node.rpc(peer, module, function, arguments).result(PATIENCE)

    now = call("Elixir.DateTime", "utc_now")
    assert isinstance(now, datetime) and now.tzinfo is timezone.utc
    assert call("Elixir.Date", "add", date(2024, 2, 28), 1) == date(2024, 2, 29)
    assert call("Elixir.String", "upcase", "gr\xfcn") == "GR\xdcN"
    assert call("Elixir.Enum", "sort", {3, 1, 2}) == [1, 2, 3]
    assert call("Elixir.Map", "put", {"a": 1}, Atom("a"), 2) == Map([(Atom("a"), 2), ("a", 1)])
    with pytest.raises(RemoteError) as caught:
        call("Elixir.Date", "from_iso8601!", "no date")
    assert isinstance(caught.value.reason, ElixirError)
    assert str(caught.value.reason).startswith('cannot parse "no date" as date')

    call("Elixir.IO", "puts", "gr\xfcn")
    call("Elixir.IO", "binwrite", "\xfc")  # latin1 characters: two bytes are two of them
    call("io", "format", list(b"~ts~n"), ["gr\xfcn"])
    own.until(lambda: len(out) == 3)
    assert out == ["gr\xfcn\n", "\xc3\xbc", "gr\xfcn\n"]

    with caplog.at_level(logging.INFO, "uds_dist.remote"):
        caplog.clear()
        call("logger", "error", list(b"~ts at ~p"), ["gr\xfcn", date(2024, 5, 6)])
        own.until(lambda: any("gr\xfcn at" in found.getMessage() for found in caplog.records))

    assert node.ping(peer)
    code = 'spawn(fn -> receive do :go -> exit({"why", ~D[2024-05-06]}) end end)'
    process = call("Elixir.Code", "eval_string", code)[0]
    box.monitor(process)
    box.send(process, Atom("go"))
    message: Any = box.receive(timeout=PATIENCE)
    assert message[0] == "DOWN" and message[4] == ("why", date(2024, 5, 6))


def test_groups_in_text_mode(otp: Otp) -> None:
    with together(otp, elixir=otp.has_elixir, extra_args=["-kernel", "start_pg", "true"]) as both:
        node = both.node(hidden=False, **SETTINGS)
        scope, mine = node.pg(), node.mailbox()
        node.connect(both.name).result(PATIENCE)
        scope.join(User("ann", 7), mine.pid)
        scope.join("text", mine.pid)
        both.eval('pg:join(<<"text">>, self())')
        both.until(lambda: len(scope.members("text")) == 2)
        both.beam.wait_until('length(pg:get_members({user, <<"ann">>, 7}))', "1")
        assert sorted(scope.groups(), key=str) == [("user", "ann", 7), "text"]
        assert {type(group) for group in scope.groups()} == {User, str}
        both.eval("global:sync()")
