"""The Python prompt in the remote shells of real BEAMs: `erl -remsh` and `iex --remsh`.

These tests prove that it works with the clients' own start and line editing. tests/shell tests it
with `uds-dist remote`, and test_release.py with a release.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.beam import Otp
from tests.shell.pseudo_terminal import PseudoTerminal
from uds_dist import Config, EventLoop, Node

ROOT = Path(__file__).parents[2]
PY = "py@localhost"
PROMPT = r">>> ?"
ENDED = "Shell process terminated"
PATIENCE = 20.0


class Program:
    """The program of `console_program`, in another process."""

    def __init__(self, name: str, socket_dir: str, uid: int | None = None) -> None:
        self.socket_dir = socket_dir
        self.name = name
        words = [name, socket_dir, *([] if uid is None else [str(uid)])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.interop.console_program", *words],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.before = [int(word) for word in self.process.stdout.readline().split()]

    def until_nothing_is_left(self) -> None:
        """Wait until there is no shell, and no link or monitor of one."""
        config = Config(socket_dir=self.socket_dir, cookie="secret")
        with EventLoop() as loop, Node("test@localhost", loop=loop, config=config) as node:
            deadline = loop.time() + PATIENCE
            while (left := node.rpc(self.name, "test", "left").result(PATIENCE)) != self.before:
                assert loop.time() < deadline, (left, self.before)
                loop.run_once(0.02)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def program(name: str, socket_dir: str, uid: int | None = None) -> Iterator[Program]:
    """A program that runs for some time."""
    made = Program(name, socket_dir, uid)
    try:
        yield made
    finally:
        made.kill()


def at_terminal(argv: list[str]) -> PseudoTerminal:
    """A program of a release at a terminal."""
    path = shutil.which(argv[0])
    assert path is not None
    return PseudoTerminal([path, *argv[1:]], {**os.environ, "TERM": "xterm"})


def remote_shell(otp: Otp, kind: str, socket_dir: str, name: str = "c") -> PseudoTerminal:
    """A client of a release, at its first prompt."""
    flags = ["-pa", otp.compile(), "-proto_dist", "uds", "-no_epmd", "-dist_listen", "false"]
    flags += ["-uds_dist", "socket_dir", f'"{socket_dir}"']
    if kind == "erl":
        argv = [otp.erl, "-sname", f"{name}@localhost", "-setcookie", "secret", "-remsh", PY, *flags]
    else:
        argv = ["iex", "--sname", f"{name}@localhost", "--cookie", "secret", "--remsh", PY]
        argv += ["--erl", " ".join(flags)]
    terminal = at_terminal(otp.command(argv, socket_dir))
    terminal.see_line(PROMPT)
    return terminal


@pytest.fixture(params=["erl", "iex"])
def kind(request: pytest.FixtureRequest, otp: Otp) -> str:
    """Each client."""
    found: str = request.param
    if found == "iex" and not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    return found


def answers(terminal: PseudoTerminal, line: str, pattern: str) -> None:
    """Type a line, and check that its answer follows, and then a prompt."""
    terminal.send(f"{line}\r")
    shown = line.lstrip("\x04")
    terminal.see(rf"{re.escape(shown)} *\n{pattern}")
    terminal.see_line(PROMPT)


def talk(terminal: PseudoTerminal) -> None:
    """What every client can do."""
    answers(terminal, "1 + 1", "2$")
    for line in ("def f(n):", "    x = n * answer"):
        terminal.send(f"{line}\r")
        terminal.see_line(r"\.\.\. ?")
    terminal.send("    return x\r")
    terminal.see_line(r"\.\.\. ?")
    answers(terminal, "", "")
    answers(terminal, "f(2)", "84$")
    answers(terminal, "1 +", r'  File "<console .*", line 1\n(.*\n)*SyntaxError: ')
    answers(terminal, "f(None)", r"Traceback \(most recent call last\):\n(.*\n)*TypeError: ")
    answers(terminal, "'grün €' + chr(0x1F600)", "'grün €\U0001f600'$")
    terminal.send("for n in range(3): print(n, _)\r")
    terminal.see_line(r"\.\.\. ?")
    answers(terminal, "", r"0 grün .*\n1 grün .*\n2 grün .*$")


def use_the_keys(terminal: PseudoTerminal) -> None:
    """Ctrl-G with i, and Ctrl-D."""
    # The shell stops waiting for a future that is never done.
    terminal.send("slow()\r")
    terminal.see(r"slow\(\)")
    terminal.send("\x07")
    terminal.see("User switch command")
    terminal.send("i\r")
    terminal.see("--> i")
    terminal.send("c\r")
    terminal.see("^KeyboardInterrupt$")
    answers(terminal, "'still here'", "'still here'$")
    # Ctrl-D deletes a character in these line editors, and does not leave their shells.
    answers(terminal, "\x04'and here'", "'and here'$")


def test_a_session(otp: Otp, kind: str, socket_dir: str) -> None:
    with program(PY, socket_dir) as served, remote_shell(otp, kind, socket_dir) as terminal:
        terminal.see("^a banner$")
        talk(terminal)
        # The Tab key: a unique completion, the choices, and the start of a line.
        terminal.send("answ\t + 1\r")
        terminal.see("^43$")
        terminal.send("answer.bit_\t")
        terminal.see("answer.bit_count +answer.bit_length")
        terminal.send("\x15if True:\r")
        terminal.see_line(r"\.\.\. ?")
        terminal.send("\tprint('indented')\r\r")
        terminal.see("^indented$")
        terminal.send("no_such_name\t\x15")
        answers(terminal, "2 + 2", "4$")
        use_the_keys(terminal)
        terminal.send("\x07")
        terminal.see("and here'\n>>> *\n*User switch command")
        terminal.send("q\r")
        assert terminal.wait() == 0
        served.until_nothing_is_left()
        assert served.process.poll() is None


def test_much_output(otp: Otp, kind: str, socket_dir: str) -> None:
    with program(PY, socket_dir), remote_shell(otp, kind, socket_dir) as terminal:
        terminal.send("print('x' * 1_000_000, 'end' + '.')\r")
        assert terminal.drain_until(b"end.\r\n") >= 1_000_000
        answers(terminal, "1 + 1", "2$")


def test_two_clients_and_one_is_killed(otp: Otp, kind: str, socket_dir: str) -> None:
    with program(PY, socket_dir) as served, remote_shell(otp, kind, socket_dir) as one:
        with remote_shell(otp, kind, socket_dir, "d") as two:
            answers(one, "mine = 'of one'; mine", "'of one'$")
            answers(two, "mine", r"Traceback(.*\n)*NameError: ")
            answers(two, "print('of ' + 'two')", "of two$")
            answers(one, "len(who())", "2$")
            assert "of two" not in one.vt.text
            os.kill(two.pid, signal.SIGKILL)
        answers(one, "_ + 1", "3$")
        one.send("exit()\r")
        one.see(ENDED)
        served.until_nothing_is_left()


def test_the_program_is_killed(otp: Otp, kind: str, socket_dir: str) -> None:
    with program(PY, socket_dir) as served, remote_shell(otp, kind, socket_dir) as terminal:
        answers(terminal, "1 + 1", "2$")
        served.kill()
        terminal.see("noconnection|" + ENDED)
