"""`uds-dist remote` into a Python program that serves a console: no BEAM is needed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.readme_blocks import environment
from tests.shell.pseudo_terminal import PseudoTerminal, remote

PROGRAM = """
import os, sys
from uds_dist import Config, Future, Node
with Node("py@localhost", config=Config.from_env()) as node:
    node.serve_console({"answer": 42, "slow": lambda: Future(node.loop, "what never comes")})
    node.expose("test", {"processes": lambda: node.statistics().processes})
    node.listen()
    print("up", flush=True)
    while True:
        node.loop.run_once(1.0)
"""

# For a shell's line: the path of Python may have blanks.
REMOTE = shlex.join([sys.executable, "-m", "uds_dist", "remote", "py"])


@contextmanager
def program(folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens in a folder."""
    settings = environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE="secret")
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, env=settings, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        yield running
        running.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder in which a Python program listens."""
    folder = str(tmp_path_factory.mktemp("s"))
    with program(folder):
        yield folder


def piped(folder: str, text: str, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "uds_dist", "remote", "py", *words],
        input=text, capture_output=True, text=True, timeout=60, check=False,
        env=environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE="secret"),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def terminal(served: str, tmp_path: Path) -> Iterator[PseudoTerminal]:
    with remote("py", socket_dir=served, home=str(tmp_path)) as made:
        made.see_line(">>> ?")
        yield made


def test_the_prompt_of_a_python_program(terminal: PseudoTerminal, tmp_path: Path) -> None:
    terminal.send("answer + 1\r")
    terminal.see(r"^43$")
    terminal.send("for n in range(3):\r")
    terminal.see_line(r"\.\.\. ?")
    terminal.send("\tprint(n * 11)\r\r")
    terminal.see(r"^0\n11\n22$")
    terminal.send("1 / 0\r")
    terminal.see(r"^ZeroDivisionError: division by zero$")
    assert "\x1b[1;35mZeroDivisionError\x1b[0m" in terminal.vt.written
    terminal.send("answ\t\r")
    terminal.see(r"answer\n42$")
    terminal.send("half\x03")
    terminal.see(r"^KeyboardInterrupt$")
    terminal.send("\x04")
    assert terminal.wait() == 0
    (history,) = tmp_path.rglob("python_history")
    assert history.read_text().splitlines()[0] == "answer + 1"


def test_no_colour_for_who_wants_none(served: str, tmp_path: Path) -> None:
    with remote("py", socket_dir=served, home=str(tmp_path), NO_COLOR="1") as terminal:
        terminal.see_line(">>> ?")
        terminal.send("1 / 0\r")
        terminal.see(r"^ZeroDivisionError: division by zero$")
        assert "m" not in re.findall(r"\x1b\[[\d;]*(\w)", terminal.vt.written)


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_terminal_that_cannot_move_its_cursor(served: str, tmp_path: Path, name: str) -> None:
    with remote("py", socket_dir=served, home=str(tmp_path), TERM=name) as terminal:
        terminal.see_line(">>> ?")
        terminal.send("answer + 1\r")
        terminal.see(r"^43$")
        terminal.send("slow()\r")
        terminal.read_for(0.2)
        terminal.send("\x03")
        terminal.see("KeyboardInterrupt$")
        terminal.see_line(">>> ?")
        terminal.send("\x04")
        assert terminal.wait() == 0
        assert terminal.vt.cursor[1] == 0 and "\x1b" not in terminal.vt.written


def test_a_terminal_without_a_size(served: str, tmp_path: Path) -> None:
    with remote("py", socket_dir=served, home=str(tmp_path), columns=0, rows=0) as terminal:
        terminal.see_line(">>> ?")
        terminal.send("answer + 1\r")
        terminal.see(r"^43$")
        terminal.send("\x04")
        assert terminal.wait() == 0


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("how", ["key", "signal"])
def test_it_is_suspended_and_continued(served: str, tmp_path: Path, how: str) -> None:
    settings = environment(
        UDS_DIST_SOCKET_DIR=served, UDS_DIST_COOKIE="secret", XDG_STATE_HOME=str(tmp_path),
        TERM="xterm", LC_ALL="C.UTF-8", PS1="bash: ",
    )  # fmt: skip
    bash = shutil.which("bash") or ""
    with PseudoTerminal([bash, "--norc", "--noprofile", "-i"], settings) as terminal:
        terminal.see_line("bash: ?")
        terminal.send(f"{REMOTE}; echo ended with $?\r")
        terminal.see_line(">>> ?")
        terminal.send("answer + ")
        terminal.see(r"answer \+$")
        if how == "key":
            terminal.send("\x1a")
        else:
            children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children")
            os.kill(int(children.read_text()), signal.SIGTSTP)
        terminal.see(r"Stopped")
        terminal.see_line("bash: ?")
        # The terminal is as it was: what is pasted has no brackets.
        assert terminal.vt.written.rfind("\x1b[?2004l") > terminal.vt.written.rfind("answer")
        terminal.send("fg\r")
        terminal.see_line(r">>> answer \+ ?")
        terminal.send("1\r")
        terminal.see(r"^43$")
        terminal.send("\x04")
        terminal.see(r"^bash: ?$|ended with 0$")
        terminal.read_for(0.1)
        terminal.send("exit\r")
        terminal.wait()


def test_a_suspend_key_where_nobody_could_continue_it(terminal: PseudoTerminal) -> None:
    # The program is the first of its session: the system ignores the signal.
    terminal.send("answer\x1a + 1\r")
    terminal.see(r"^43$")
    terminal.send("\x04")
    assert terminal.wait() == 0


def test_exit_ends_it(terminal: PseudoTerminal) -> None:
    terminal.send("exit()\r")
    assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("text", "code", "out"),
    [
        ("answer\nprint('grün')\n", 0, "42\ngrün\n"),
        ("for n in range(2):\n    print(n)", 0, "0\n1\n"),
        ("1 / 0\nanswer\n", 1, None),
        ("def (\n", 1, None),
        ("(1,\n", 1, None),
    ],
)
def test_between_pipes(served: str, text: str, code: int, out: str | None) -> None:
    found, printed, complaint = piped(served, text)
    assert found == code
    assert ("ends within an expression" in complaint) == text.startswith("(1,")
    assert out is None or printed == out


def test_nothing_is_left_at_the_program(served: str) -> None:
    assert piped(served, "node.loop.call_later(0, print)\n")[0] == 0
    code, printed, _ = piped(served, "len([m for m in node.processes.by_pid.values()])\n")
    assert piped(served, "len([m for m in node.processes.by_pid.values()])\n")[1] == printed


def test_a_shell_that_the_node_does_not_have(served: str) -> None:
    code, _, complaint = piped(served, "", "--iex")
    assert code == 2 and "has no IEx" in complaint


def test_output_that_nobody_reads(served: str) -> None:
    environ = environment(UDS_DIST_SOCKET_DIR=served, UDS_DIST_COOKIE="secret")
    argv = [sys.executable, "-m", "uds_dist", "remote", "py"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            argv, input=b"print('x' * 1000)\n", stdout=out, stderr=subprocess.PIPE, env=environ,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 141 and done.stderr == b""


@pytest.mark.parametrize(
    ("streams", "code", "out", "told"),
    [
        ("<&-", 0, "", ""),
        (">&-", 141, "", "uds-dist: standard output is closed\n"),
        ("<&- >&- 2>&-", 141, "", ""),
        (">/dev/full", 141, "", "uds-dist: standard output cannot be written: No space left on device\n"),
        ("| head -n 1", 0, "0\n", ""),
    ],
)
def test_streams_that_are_closed_or_full(
    served: str, streams: str, code: int, out: str, told: str
) -> None:
    line = f"{REMOTE} {streams}"
    done = subprocess.run(
        ["sh", "-c", line], input="for n in range(50000): print(n)\n\n", capture_output=True, text=True,
        env=environment(UDS_DIST_SOCKET_DIR=served, UDS_DIST_COOKIE="secret"), timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, out, told)


def evaluate(folder: str, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "uds_dist", "eval", "--python", "py", *words],
        capture_output=True, text=True, timeout=60, check=False,
        env=environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE="secret"),
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_one_expression_for_a_script(served: str, tmp_path: Path) -> None:
    assert evaluate(served, "answer + 1") == (0, "43\n", "")
    assert evaluate(served, "--quiet", "print('grün'); 5") == (0, "grün\n", "")
    assert evaluate(served, "x = 5") == (0, "", "")
    code, printed, complaint = evaluate(served, "print('first')\nanswer / 0\nprint('never')")
    assert (code, printed) == (1, "first\n")
    assert complaint.startswith("Traceback (most recent call last):\n")
    assert complaint.endswith("ZeroDivisionError: division by zero\n")
    code, printed, complaint = evaluate(served, "1 +")
    assert (code, printed) == (1, "") and "SyntaxError" in complaint
    script = tmp_path / "script.py"
    script.write_text("def f(n):\n    return [n] * 50\n\n'not shown'\nf(answer)\n")
    assert evaluate(served, "--file", str(script)) == (0, f"{[42] * 50}\n", "")
    # A future is waited for, without stopping the program.
    assert evaluate(served, "node.rpc(node.name, 'test', 'processes')")[0] == 0
    # What it defines is not there the next time.
    assert "NameError" in evaluate(served, "f")[2]


def opened(folder: str, home: Path) -> PseudoTerminal:
    made = remote("py", socket_dir=folder, home=str(home))
    made.see_line(">>> ?")
    return made


def processes(folder: str) -> int:
    """How many processes the program has, without that of this check."""
    code, printed, complaint = evaluate(folder, "node.statistics().processes")
    assert code == 0, complaint
    return int(printed)


def test_waiting_and_printing(served: str, tmp_path: Path) -> None:
    with opened(served, tmp_path) as terminal:
        terminal.send("slow()\r")
        terminal.see(r"slow\(\)")
        assert evaluate(served, "answer")[:2] == (0, "42\n")  # the program runs on
        terminal.send("\x03")
        terminal.see("^KeyboardInterrupt$")
        terminal.see_line(">>> ?")
        terminal.send("def f(n):\r    x = 'grün'\r    return [x] * n\r\r")
        terminal.send("f(2)\r")
        terminal.see(r"^\['grün', 'grün'\]$")
        terminal.send("print('x' * 1_000_000, 'end' + '.')\r")
        assert terminal.drain_until(b"end.") > 1_000_000
        terminal.send("1 +\r")
        terminal.see("^SyntaxError: ")


def test_two_shells_and_one_is_killed(served: str, tmp_path: Path) -> None:
    before = processes(served)
    with opened(served, tmp_path) as one:
        with opened(served, tmp_path) as two:
            one.send("mine = 'of one'; mine\r")
            one.see("^'of one'$")
            two.send("_\r")
            two.see("^NameError: ")
            two.send("print('of ' + 'two')\r")
            two.see("^of two$")
        one.send("_ + '!'\r")  # the other one was killed
        one.see("^'of one!'$")
        assert "of two" not in one.vt.text
        one.send("\x04")
        assert one.wait() == 0
    while processes(served) != before:
        pass


def test_the_program_is_killed(tmp_path: Path) -> None:
    with program(str(tmp_path)) as running, opened(str(tmp_path), tmp_path) as terminal:
        running.kill()
        assert terminal.wait() == 3
        assert "py@localhost" in terminal.vt.text


def test_a_probe_tells_that_a_console_is_served(served: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uds_dist", "probe", "py"],
        capture_output=True, text=True, timeout=60, check=False,
        env=environment(UDS_DIST_SOCKET_DIR=served, UDS_DIST_COOKIE="secret"),
    )  # fmt: skip
    assert done.returncode == 0
    assert re.search("Python console.* at py@localhost, served by uds_dist", done.stdout), done.stdout
    assert "OTP release" not in done.stdout
