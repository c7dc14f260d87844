"""The command line as a process of its own, in a shell and between pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import Cli, environment, running_node


def in_process(
    folder: str, *words: str, stdout: int = subprocess.PIPE, **more: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "uds_dist", *words],
        env=environment(folder, **more),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- as a process ---------------------------------------------------------------------------------


def test_an_interrupt(node: subprocess.Popen[str], shared_folder: str) -> None:
    with in_process(shared_folder, "rpc", "py", "py", "never", "<<\"called\">>") as process:
        assert node.stdout is not None
        assert node.stdout.readline() == "called\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
        assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_listen_that_is_ended_removes_its_socket(folder: str, number: signal.Signals) -> None:
    with in_process(folder, "listen", "sink") as process:
        assert process.stderr is not None and "listens" in process.stderr.readline()
        assert os.listdir(folder) == ["sink.sock"]
        process.send_signal(number)
        assert process.communicate() == ("", "")
        assert process.returncode == 128 + number
    assert os.listdir(folder) == []


def test_listen_for_some_time(folder: str) -> None:
    with in_process(folder, "listen", "sink", "--timeout", "0.05") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (5, "")
    assert err.splitlines()[1:] == ["uds-dist: 0.05 s are over; messages printed: 0"]
    assert os.listdir(folder) == []


def test_listen_traces_each_control_message(folder: str) -> None:
    with in_process(folder, "listen", "sink", "--trace", "--count", "1") as process:
        assert process.stderr is not None and "listens" in process.stderr.readline()
        with in_process(folder, "send", "sink", "sink", "hello") as sender:
            assert sender.communicate() == ("", "")
        out, err = process.communicate()
    assert out == "hello\n" and re.search(r"^<- .*Send.* sink +hello$", err, re.MULTILINE)


def test_the_reader_of_the_output_disappears(node: object, shared_folder: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with in_process(shared_folder, "rpc", "py", "py", "echo", "1", stdout=write_end) as process:
        os.close(write_end)
        assert process.communicate()[1] == ""
        assert process.returncode == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_reader_of_the_output_leaves_midway(
    node: object, shared_folder: str, unbuffered: str
) -> None:
    read_end, write_end = os.pipe()
    words = ["rpc", "py", "py", "bytes", "1048576"]  # more than a pipe holds
    with in_process(shared_folder, *words, stdout=write_end, PYTHONUNBUFFERED=unbuffered) as process:
        os.close(write_end)
        assert len(os.read(read_end, 20)) == 20
        os.close(read_end)
        assert process.communicate()[1] == ""
        assert process.returncode == 141


def test_words_in_utf8_work_in_any_locale(
    node: object, shared_folder: str
) -> None:
    words = ["rpc", "py", "py", "echo", "--json", '"ż"']
    with in_process(
        shared_folder, *words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    ) as process:
        assert process.communicate() == ('"\\u017c"\n', "")


COMMANDS = [
    ["rpc", "py", "py", "echo", "1"],
    ["rpc", "py", "py", "echo", "1", "--json"],
    ["ping", "py"],
    ["ping", "nobody"],
    ["names"],
    ["names", "--json"],
    ["demo"],
    ["--help"],
    ["rpc", "--help"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_output_that_cannot_be_written(
    node: object, shared_folder: str, words: list[str], where: str
) -> None:
    if where == ">/dev/full" and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = in_shell(shared_folder, words, where)
    assert (done.returncode, done.stdout) == (141, "")
    assert re.fullmatch("uds-dist: standard output [^\n]*\n", done.stderr)


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", ">&- 2>&-"])
@pytest.mark.parametrize("words", [["pong"], ["ping", "nobody"], ["rpc", "py", "py", "nosuch"]])
def test_errors_that_cannot_be_written(
    node: object, shared_folder: str, words: list[str], where: str
) -> None:
    expected = {"pong": 2, "ping": 3, "rpc": 1}[words[0]]
    if where == ">&- 2>&-" and words[0] == "ping":
        expected = 141  # it could not write "pang"
    done = in_shell(shared_folder, words, where)
    assert (done.returncode, done.stderr) == (expected, "")


def in_shell(folder: str, words: list[str], where: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {where}', "sh", sys.executable, "-m", "uds_dist", *words],
        env=environment(folder), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_cookie_that_looks_like_a_number_is_unchanged(run_alone: Cli, folder: str) -> None:
    with running_node(folder, "app@localhost", cookie="-5abc"):
        assert run_alone("ping", "app", "--cookie", "-5abc").code == 0
        assert run_alone("ping", "app", "--cookie=-5abc").code == 0


@pytest.mark.parametrize("opening", ["{", "[", "#{k=>"])
def test_a_deeply_nested_answer(run: Cli, opening: str) -> None:
    term = opening * 500 + "1" + "".join("]" if opening == "[" else "}" for _ in range(500))
    answer = run("rpc", "py", "py", "echo", term).out
    assert answer.replace(" ", "") == f"{term}\n"
    written = run("rpc", "py", "py", "echo", term, "--json").out
    assert run("rpc", "py", "py", "echo", "--json", written).out == written
    assert run("rpc", "py", "py", "echo", "--elixir", term).out.count("1") == 1


def test_a_node_with_elixir_writes_elixir_notation(run_alone: Cli, folder: str) -> None:
    user = "#{'__struct__' => 'Elixir.User', password => secret}"
    with running_node(folder, "app@localhost", has_elixir=True):
        assert run_alone("rpc", "app", "--elixir", "py", "echo", user).out == "#User<grün>\n"
        raised = run_alone("rpc", "app", "--elixir", "py", "throw", user)
        assert raised.code == 1 and "raised throw:#User<grün>" in raised.err
        plain = run_alone("rpc", "app", "py", "throw", user)
        assert "secret" in plain.err
        failed = run_alone("rpc", "app", "--elixir", "py", "echo", "boom")
        assert (failed.code, failed.out) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_output_on_a_narrow_terminal(
    node: object, shared_folder: str, encoding: str
) -> None:
    words = ["rpc", "py", "py", "echo", '"ż"', "--json"]
    with in_process(shared_folder, *words, PYTHONIOENCODING=encoding) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out) == "ż" and out.isascii() == (encoding == "ascii")


# --- demo -----------------------------------------------------------------------------------------


def test_demo(tmp_path: Path) -> None:
    with in_process("/nonexistent", "demo", TMPDIR=str(tmp_path)) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    words = [line.split()[0] for line in out.splitlines()]
    assert words == ["socket", "handshake", "ping", "call", "call", "calls", "monitor", "bulk"]
    assert "64 MiB" in out and "SHA-256 equal" in out
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import os, sys
from uds_dist import UdsDistError
from uds_dist.cli import demo, main as cli

def fail(node, show):
    node.connect(demo.THERE).result(5)
    raise UdsDistError("on purpose")

demo._steps = fail
code = cli.main(["demo"])
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    sys.exit(code)
"""
    environ = environment("/nonexistent", TMPDIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "uds-dist: on purpose\n")
    assert list(tmp_path.iterdir()) == []
