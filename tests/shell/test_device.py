"""Output that its reader takes slowly, input from a file, and completion that does not come."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from uds_dist import Atom, EventLoop, Future, Pid, RemoteError
from uds_dist.shell import completion
from uds_dist.shell.completion import Completer
from uds_dist.shell.device import Input, Output, on_signals

SHELL = Pid(Atom("a@localhost"), 1, 0, 1)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe's reading and writing end."""
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            pass  # the test has closed it


def test_output_waits_for_its_reader_and_the_loop_does_not(
    loop: EventLoop, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    output = Output(loop, writer)
    ready: list[str] = []
    text = "grün\n" * 200_000
    output.write(text)
    output.when_ready(lambda: ready.append("ready"))
    loop.run_once(0)
    assert ready == [] and os.get_blocking(writer)  # the flag of others' descriptors is theirs
    data = b""
    while len(data) < len(text.encode()):
        data += os.read(reader, 65536)
        loop.run_once(0)
    assert data.decode() == text and ready == ["ready"]
    output.when_ready(lambda: ready.append("at once"))
    assert ready[-1] == "at once"
    output.close()


def test_output_without_a_reader_is_an_error(loop: EventLoop, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    output = Output(loop, writer)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        output.write("x")
    output.close()


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_input_is_read_when_it_is_wanted(
    loop: EventLoop, pipe: tuple[int, int], tmp_path: Path, kind: str
) -> None:
    reader, writer = pipe
    if kind == "file":
        (tmp_path / "input").write_bytes(b"one\ntwo\n")
        reader = os.open(tmp_path / "input", os.O_RDONLY)
    else:
        os.write(writer, b"one\ntwo\n")
        os.close(writer)
    seen: list[bytes] = []
    source = Input(loop, reader, seen.append)
    loop.run_once(0)
    assert seen == []
    for _ in range(2):
        source.read(True)
        loop.run_until(lambda: len(seen) > 0, 5)
        loop.run_once(0)
        loop.run_once(0)
    assert seen[0] == b"one\ntwo\n" and set(seen[1:]) == {b""}
    source.close()
    if kind == "file":
        os.close(reader)


def test_signals_run_callbacks_in_the_loop(loop: EventLoop) -> None:
    seen: list[str] = []
    before = signal.getsignal(signal.SIGWINCH)
    with on_signals(loop, {signal.SIGWINCH: lambda: seen.append("resized")}):
        os.kill(os.getpid(), signal.SIGWINCH)
        assert loop.run_until(lambda: seen == ["resized"], 5)
    assert signal.getsignal(signal.SIGWINCH) is before


# --- completion -----------------------------------------------------------------------------------


class Node:
    """A node that answers by hand."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self.calls: list[tuple[str, str, list[object]]] = []
        self.futures: list[Future[object]] = []

    def ask(self, module: str, function: str, arguments: Sequence[object]) -> Future[object]:
        self.calls.append((module, function, list(arguments)))
        self.futures.append(Future(self.loop))
        return self.futures[-1]


def complete(loop: EventLoop, kind: str, before: str, *answers: object) -> tuple[Node, list[tuple[str, str]]]:
    node = Node(loop)
    seen: list[tuple[str, str]] = []
    completer = Completer(loop, node.ask, kind, SHELL, lambda: 40)
    completer.complete(before, lambda insertion, shown: seen.append((insertion, shown)))
    for answer in answers:
        if isinstance(answer, Exception):
            node.futures[-1].set_exception(answer)
        else:
            node.futures[-1].set_result(answer)
        loop.run_once(0)
    return node, seen


def test_completion_of_each_shell(loop: EventLoop) -> None:
    yes, no = Atom("yes"), Atom("no")
    node, seen = complete(loop, "iex", "Enum.c", (yes, [111], []))
    assert node.calls == [("Elixir.IEx.Autocomplete", "expand", [[99, 46, 109, 117, 110, 69], SHELL])]
    assert seen == [("o", "")]
    assert complete(loop, "iex", "x", (yes, [], [[97], [98]]))[1] == [("", "a  b\n")]
    node, seen = complete(loop, "erl", "x:", (no, [], [{Atom("title"): [1]}]), b"functions\n\n")
    assert [call[1] for call in node.calls] == ["expand", "format_matches"]
    assert seen == [("", "functions\n")]
    node, seen = complete(loop, "python", "f(answ", [b"answer"])
    assert node.calls == [("uds_dist_console", "complete", [SHELL, "answ"])] and seen == [("er", "")]


@pytest.mark.parametrize("answer", [RemoteError("oh"), Atom("nonsense"), (Atom("no"), [], []), 7])
def test_what_is_no_completion_completes_nothing(loop: EventLoop, answer: object) -> None:
    for kind in ("iex", "erl", "python"):
        assert complete(loop, kind, "x", answer)[1] == [("", "")]


def test_a_completion_that_does_not_come(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "TIMEOUT", 0.02)
    node, seen = complete(loop, "iex", "x")
    assert loop.run_until(lambda: seen == [("", "")], 5)
    node.futures[0].set_result((Atom("yes"), [111], []))
    loop.run_once(0)
    assert seen == [("", "")]
