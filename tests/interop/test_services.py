"""Requests of real nodes to a Python node, compared with a BEAM that has the same services.

The operations are erl/svc_operations.erl and elixir/svc_operations.ex; each runs twice from one
BEAM node: on a Python node with services.py and on a BEAM node with erl/svc.erl. The two results
must be the same. The test prints a table of all results; `pytest -rA` shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.inside import inside
from tests.interop.beam import Beam, Otp
from tests.interop.services import Services
from uds_dist import (
    Atom,
    Config,
    EventLoop,
    From,
    Future,
    GenServer,
    Node,
    NodeStatistics,
    decode,
    format_term,
)
from uds_dist.elixir import from_elixir, to_elixir

Start = Callable[..., Beam]

HERE = Path(__file__).parent
PYTHON = "py@localhost"
MODULES = ("svc", "svc_server", "svc_statem", "svc_log")
TIMEOUT = 120.0
WIDTH = 76


# A term goes back unchanged, whatever the program gets for it.
MODES = {
    "plain": Config(),
    "text": Config(text=True, default=to_elixir, object_hook=from_elixir),
}


@pytest.fixture(params=MODES)
def node(request: pytest.FixtureRequest, socket_dir: str) -> Iterator[Node]:
    """The Python node with the services."""
    config = MODES[request.param].replace(socket_dir=socket_dir)
    with EventLoop() as loop:
        with Node(PYTHON, loop=loop, cookie="secret", config=config) as made:
            Services(made)
            made.listen()
            yield made


class Nodes:
    """A BEAM that asks, one that has the services, and the Python node."""

    def __init__(self, start: Start, node: Node, elixir: bool) -> None:
        self.node = node
        self.caller = start("caller@localhost", elixir=elixir)
        self.reference = start("reference@localhost", elixir=elixir)
        self.caller.load_module((HERE / "erl" / "svc_operations.erl").read_text("utf-8"))
        for module in MODULES:
            self.reference.load_module((HERE / "erl" / f"{module}.erl").read_text("utf-8"))
        self.reference.eval("svc:start(notes, svc_notes)")
        for beam in (self.caller, self.reference):
            beam.eval("logger:set_primary_config(level, none)")  # the crashes are on purpose
            beam.pump = lambda: node.loop.run_once(0.005)

    def results(self, module: str, at: str) -> list[tuple[str, object]]:
        """Run a module's operations on a node."""
        data = self.caller.eval_binary(f"{module}:run('{at}')", timeout=TIMEOUT)
        found = decode(data)
        assert isinstance(found, list)
        return found


def compare(nodes: Nodes, module: str, label: str) -> int:
    """Run the operations on both nodes, print the table, and fail if a result differs."""
    python = nodes.results(module, PYTHON)
    beam = nodes.results(module, "reference@localhost")
    assert [name for name, _ in python] == [name for name, _ in beam]
    differences = []
    print(f"\n{module} on {label}: {len(python)} operations")
    for (name, ours), (_name, theirs) in zip(python, beam, strict=True):
        same = ours == theirs and "hung" not in (ours, theirs)
        text = format_term(ours)
        shown = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
        print(f"{'same' if same else 'DIFFERS':8}{name:44}{shown}")
        if not same:
            print(f"{'':8}{'  where a BEAM has':44}{format_term(theirs)}")
            differences.append(f"{name}: {text} where a BEAM has {format_term(theirs)}")
    assert not differences, "\n".join(differences)
    return len(python)


def settled(node: Node) -> NodeStatistics:
    """The node's statistics, once all messages in transit have arrived."""
    for _ in range(20):
        node.loop.run_once(0.01)
    return node.statistics()


@pytest.mark.interop
def test_erlang_sees_no_difference(beam: Start, otp: Otp, node: Node) -> None:
    nodes = Nodes(beam, node, elixir=False)
    before = settled(node)
    assert compare(nodes, "svc_operations", f"OTP {otp.label}") >= 70
    after = settled(node)
    # The operations leave servers behind on purpose, and nothing else.
    for kind in ("monitors", "futures", "links", "watchers", "unwritten"):
        assert getattr(after, kind) == getattr(before, kind), kind
    assert len(node._named().jobs) == 0
    assert node.nodes() == ["caller@localhost"]


@pytest.mark.interop
def test_elixir_sees_no_difference(beam: Start, otp: Otp, node: Node) -> None:
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    nodes = Nodes(beam, node, elixir=True)
    source = (HERE / "elixir" / "svc_operations.ex").read_bytes()
    nodes.caller.eval_elixir("Code.compile_string(source); :ok", {"source": source}, timeout=60)
    assert compare(nodes, "'Elixir.SvcOperations'", f"OTP {otp.label}") >= 40


class Odd(GenServer):
    """Answers one call with a value that is not a term, and leaves the rest to GenServer."""

    def handle_call(self, request: object, from_: From) -> object:
        if request == "object":
            return [1, object()]
        if request == "later":
            future: Future[object] = Future(inside(self.process).loop)
            inside(self.process).loop.call_later(0.01, lambda: future.set_result({1: object()}))
            return future
        return super().handle_call(request, from_)


@pytest.mark.interop
def test_a_call_that_a_python_server_cannot_answer_fails_without_others(beam: Start, node: Node) -> None:
    """A gen_server would end, a Python server continues; either way the caller sees an exit."""
    node.serve("odd", Odd())
    caller = beam("a@localhost")
    caller.pump = lambda: node.loop.run_once(0.005)
    exits = (
        "fun(R) -> try gen_server:call({odd, 'py@localhost'}, R, 5000)"
        " catch exit:{Reason, {gen_server, call, _}} -> {exit, Reason} end end"
    )
    assert caller.eval(f"F = {exits}, F(what)") == "{exit,{bad_call,what}}"
    for request in ("object", "later"):
        seen = caller.eval(f"{{exit, {{{{python_error, K, T}}, _}}}} = F({request}), {{K, T}}")
        assert "uds_dist.errors.EncodeError" in seen and "(at term[1])" in seen
    assert caller.eval("gen_server:cast({odd, 'py@localhost'}, what), F(again)") == (
        "{exit,{bad_call,again}}"
    )
    multi = "gen_server:multi_call(['py@localhost'], odd, what, 5000)"
    assert caller.eval(multi) == "{[],[py@localhost]}"
    assert node.whereis("odd") is not None
    assert settled(node).watchers == 0


@pytest.mark.interop
def test_a_beam_cannot_end_the_nodes_own_processes(beam: Start, node: Node) -> None:
    caller = beam("a@localhost")
    caller.pump = lambda: node.loop.run_once(0.005)
    for name in ("rex", "net_kernel", "logger_proxy"):
        pid = node.whereis(name)
        assert node.rpc("a@localhost", "erlang", "exit", [pid, Atom("kill")]).result(10) is True
    assert caller.eval("sys:suspend({rex, 'py@localhost'})") == "{error,system_process}"
    assert caller.eval("catch element(1, sys:terminate({rex, 'py@localhost'}, x))") == "error"
    assert caller.eval("rpc:block_call('py@localhost', svc, zero, [])") == "0"
    assert caller.eval("net_adm:ping('py@localhost')") == "pong"


@pytest.mark.interop
def test_output_of_a_beams_function_is_printed_here(beam: Start, node: Node) -> None:
    texts: list[str] = []
    node.output = texts.append
    beam("a@localhost")
    calls: list[tuple[str, list[object]]] = [
        ("format", [b"~ts ~p~n", ["żółć".encode(), {Atom("k"): [1]}]]),
        ("put_chars", ["ok →\n".encode()]),
        ("nl", []),
    ]
    for function, arguments in calls:
        assert node.rpc("a@localhost", "io", function, arguments).result(10) == "ok"
    assert "".join(texts) == "żółć #{k => [1]}\nok →\n\n"
    calls = [("get_line", [b"> "]), ("read", [b"> "]), ("get_chars", [b"", 3])]
    for function, arguments in calls:
        assert node.rpc("a@localhost", "io", function, arguments).result(10) == "eof"
    assert node.rpc("a@localhost", "io", "columns").result(10) == (Atom("error"), Atom("enotsup"))
    assert isinstance(node.rpc("a@localhost", "io", "getopts").result(10), list)


@pytest.mark.interop
def test_log_events_come_to_pythons_logging(
    beam: Start, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    beam("a@localhost")
    with caplog.at_level(logging.WARNING, "uds_dist.remote"):
        node.spawn("a@localhost", "erlang", "error", [Atom("on_purpose")]).result(10)
        node.rpc("a@localhost", "logger", "warning", [b"~ts: ~p", ["né".encode(), 7]]).result(10)
        node.rpc("a@localhost", "logger", "error", [{Atom("report"): 1}]).result(10)
        wanted = 3
        node.loop.run_until(lambda: len(caplog.records) >= wanted, 10)
    texts = sorted(record.getMessage() for record in caplog.records)
    assert len(texts) == wanted
    assert any("on_purpose" in text and "a@localhost" in text for text in texts)
    assert "a@localhost: né: 7" in texts
    assert any("report" in text for text in texts)
