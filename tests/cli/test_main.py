"""The command line against Python nodes in other processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from uds_dist.cli import main as cli
from uds_dist.cli.exit_codes import exit_code
from uds_dist.config import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
COOKIE = "secret"

# A node with a few functions to call. It prints "ready", and the text given to py:never.
NODE = """
import os, sys
from uds_dist import Config, EventLoop, Exit, Future, Node, Throw

def never(*said):
    for words in said:
        print(words.decode(), flush=True)
    return Future(loop)

def throw(term):
    raise Throw(term)

def leave(reason):
    raise Exit(reason)

def inspect(term, options):
    if term == "boom":
        raise Throw(term)
    return "#User<grün>"

config = Config.from_env(cookie=sys.argv[2])
with EventLoop() as loop, Node(sys.argv[1], loop=loop, config=config) as node:
    node.expose("py", {
        "echo": lambda term: term,
        "all": lambda *terms: list(terms),
        "never": never,
        "throw": throw,
        "leave": leave,
        "divide": lambda a, b: a // b,
        "die": lambda: os._exit(0),
    })
    node.expose("Elixir.Demo.Math", {"add": lambda a, b: a + b})
    if sys.argv[3:]:
        node.expose("Elixir.Kernel", {"inspect": inspect})
    node.listen()
    print("ready", flush=True)
    loop.run_forever()
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


def environment(folder: str, **more: str) -> dict[str, str]:
    """This process's environment, with a socket folder and a cookie and no other setting."""
    settings = {*ENVIRONMENT, "RELEASE_COOKIE"}
    kept = {name: value for name, value in os.environ.items() if name not in settings}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "UDS_DIST_SOCKET_DIR": folder,
        "UDS_DIST_COOKIE": COOKIE,
        **more,
    }


@contextmanager
def running_node(
    folder: str, name: str, cookie: str = COOKIE, has_elixir: bool = False
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, name, cookie, *["elixir"] * has_elixir],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="uds_dist-")  # tmp_path may be too long for a socket
    os.chmod(folder, 0o755)  # every carrier accepts this mode
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="uds_dist-")
    os.chmod(folder, 0o755)  # every carrier accepts this mode
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def node(shared_folder: str) -> Iterator[subprocess.Popen[str]]:
    """The node py@localhost, for all tests that leave it intact."""
    with running_node(shared_folder, "py@localhost") as process:
        yield process


class Cli:
    """Runs commands in this process, with the environment of `environment`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Result:
        self._capsys.readouterr()
        try:
            code = cli.main(words)
        except SystemExit as exit_:  # argparse exits this way
            assert isinstance(exit_.code, int)
            code = exit_.code
        out, err = self._capsys.readouterr()
        error, _, hint = err.partition("\nhint: ")
        assert error.count("\n") <= 1 and hint.count("\n") <= 1 and "Traceback" not in err, err
        assert code == 0 or err.startswith("uds-dist: "), err
        return Result(code, out, err)


def make_cli(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RELEASE_COOKIE", raising=False)
    return Cli(capsys)


@pytest.fixture
def run(
    node: object,
    shared_folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """A command line in the folder where py@localhost listens."""
    return make_cli(shared_folder, monkeypatch, capsys)


@pytest.fixture
def run_alone(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """A command line in a folder of its own."""
    return make_cli(folder, monkeypatch, capsys)


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


# --- ping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["py", "py@localhost"])
def test_ping(run: Cli, name: str) -> None:
    assert run("ping", name) == Result(0, "pong\n", "")


def test_ping_under_a_name_of_its_own(run: Cli) -> None:
    assert run("ping", "py", "--name", "operator@localhost") == Result(0, "pong\n", "")


def test_ping_of_nobody(run: Cli, shared_folder: str) -> None:
    result = run("ping", "nobody")
    assert (result.code, result.out) == (3, "pang\n")
    assert f"{shared_folder}/nobody.sock" in result.err


def test_ping_with_another_cookie(run: Cli) -> None:
    result = run("ping", "py", "--cookie", "other")
    assert (result.code, result.out) == (4, "pang\n")
    assert "cookie" in result.err


def test_no_cookie_at_all(
    run: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UDS_DIST_COOKIE")
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("ping", "py")
    assert result.code == 4 and "UDS_DIST_COOKIE" in result.err
    monkeypatch.setenv("RELEASE_COOKIE", COOKIE)
    assert run("ping", "py").code == 0


def test_a_cookie_file_that_others_can_read(
    run: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("UDS_DIST_COOKIE")
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".erlang.cookie"
    file.write_text(COOKIE)
    file.chmod(0o644)
    result = run("ping", "py")
    assert result.code == 4 and "chmod 400" in result.err
    file.chmod(0o400)
    assert run("ping", "py").code == 0


def test_the_host_part_is_another(run_alone: Cli, folder: str) -> None:
    with running_node(folder, "app@box"):
        assert run_alone("ping", "app@box").code == 0
        bare = run_alone("ping", "app")
        assert (bare.code, bare.out) == (3, "pang\n")
        assert "app@box answered" in bare.err and "app means app@localhost" in bare.err
        whole = run_alone("ping", "app@elsewhere")
        assert whole.code == 3
        assert "app@box answered" in whole.err and "means" not in whole.err


def test_a_peer_that_hangs_in_the_handshake(run_alone: Cli, folder: str) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{folder}/mute.sock")
        mute.listen()
        result = run_alone("ping", "mute", "--timeout", "0.1")
    assert (result.code, result.out) == (5, "pang\n")
    assert "0.1 s" in result.err


def test_the_handshake_time_is_a_setting(
    run_alone: Cli, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDS_DIST_HANDSHAKE_TIMEOUT", "0.1")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{folder}/mute.sock")
        mute.listen()
        result = run_alone("ping", "mute")
    assert result.code == 5 and "handshake" in result.err


def test_another_layout(run: Cli, shared_folder: str) -> None:
    result = run("ping", "py", "--layout", "erl_uds_dist")
    assert result.code == 3 and f"{shared_folder}/py:" in result.err
    # There is a socket, but it belongs to another node.
    os.symlink("py.sock", f"{shared_folder}/bare")
    assert "py@localhost answered" in run("ping", "bare", "--layout", "erl_uds_dist").err


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets exist on Linux only")
def test_abstract_sockets(run_alone: Cli) -> None:
    where = f"@uds_dist-cli-{os.getpid()}"
    with running_node(where, "app@localhost"):
        assert run_alone("ping", "app", "--socket-dir", where).code == 0
        listed = run_alone("names", "--socket-dir", where)
        assert listed == Result(0, f"app  alive   {where}/app\n", "")
    assert run_alone("names", "--socket-dir", where).out == ""


# --- names ----------------------------------------------------------------------------------------


def test_names(run_alone: Cli, folder: str) -> None:
    with running_node(folder, "long_name@localhost"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{folder}/dead.sock")
        Path(folder, "file.sock").touch()
        Path(folder, "other").touch()
        assert run_alone("names") == Result(
            0,
            f"dead       stale   {folder}/dead.sock\nlong_name  alive   {folder}/long_name.sock\n",
            "",
        )
        assert json.loads(run_alone("names", "--json").out) == [
            {"name": "dead", "state": "stale", "socket": f"{folder}/dead.sock"},
            {"name": "long_name", "state": "alive", "socket": f"{folder}/long_name.sock"},
        ]


def test_no_names(run_alone: Cli, folder: str) -> None:
    assert run_alone("names") == Result(0, "", f"uds-dist: no node listens in {folder}\n")
    assert run_alone("names", "--json").out == "[]\n"


def test_names_in_no_folder(run_alone: Cli) -> None:
    result = run_alone("names", "--socket-dir", "/nonexistent")
    assert result.code == 2 and "--socket-dir" in result.err


# --- rpc ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["py", "echo", "{ok,[1,2.5],<<\"b\">>,'A b',#{k => 1}}"], None),
        (["py", "echo", '"text"'], None),
        (["py", "echo", "nil"], None),
        (["py", "all"], "[]"),
        (["py", "all", "-5", "-16#ff", "-1.5e3"], "[-5,-255,-1.5e3]"),
        ([":py", ":echo", "ok"], "ok"),
        (["'py'", "'echo'", "ok"], "ok"),
        (["Demo.Math", "add", "40", "2"], "42"),
        (["Elixir.Demo.Math", "add", "40", "2"], "42"),
        (["'Elixir.Demo.Math'", "add", "40", "2"], "42"),
        (["--json", "py", "echo", '{"a": [1, null, true], ":k": {"$atom": "v"}}'], None),
        (["--json", "py", "all", "1", '"zażółć"', '{"$tuple": []}'], '[1, "zażółć", {"$tuple": []}]'),
        (["py", "all", "--json", "1", "-2"], "[1, -2]"),
        (["py", "all", "1", "--json", "2", "3"], "[1, 2, 3]"),
        (["py", "all", "1", "2", "--json"], "[1, 2]"),
        (["--elixir", "py", "all", "'Elixir.Enum'", "ok", "#{a => nil}"], "[Enum, :ok, %{a: nil}]"),
    ],
)
def test_rpc(run: Cli, words: list[str], answer: str | None) -> None:
    expected = words[-1] if answer is None else answer
    assert run("rpc", "py", *words) == Result(0, f"{expected}\n", "")


def test_a_large_integer(run: Cli) -> None:
    number = "7" * 5000
    assert run("rpc", "py", "py", "echo", number).out == f"{number}\n"
    assert run("rpc", "py", "py", "echo", "--json", number).out == f"{number}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["py", "divide", "1", "0"], "py:divide/2 at py@localhost raised error:"),
        (["py", "throw", "{a,1}"], "raised throw:{a,1}"),
        (["py", "leave", "gone"], "raised exit:gone"),
        (["py", "nosuch"], "there is no function py:nosuch/0 in that node"),
        (["Nosuch", "f", "1"], "there is no function Elixir.Nosuch:f/1 in that node"),
        (["os", "cmd", '"ls"'], "there is no function os:cmd/1 in that node"),
    ],
)
def test_a_call_that_raises(run: Cli, words: list[str], told: str) -> None:
    result = run("rpc", "py", *words)
    assert (result.code, result.out) == (1, "")
    assert told in result.err


def test_an_elixir_exception_is_told_as_elixir_does(run: Cli) -> None:
    reason = (
        "#{'__exception__' => true, '__struct__' => 'Elixir.RuntimeError', message => <<\"boom\">>}"
    )
    assert "raised RuntimeError: boom" in run("rpc", "py", "py", "leave", reason).err


def test_a_call_that_takes_too_long(run: Cli) -> None:
    result = run("rpc", "py", "py", "never", "--timeout", "0.2")
    assert (result.code, result.out) == (5, "")
    assert "py:never/0 at py@localhost did not answer within 0.2 s" in result.err


def test_a_node_that_dies_during_the_call(run_alone: Cli, folder: str) -> None:
    with running_node(folder, "app@localhost"):
        result = run_alone("rpc", "app", "py", "die")
    assert result.code == 3 and "was lost" in result.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["py", "f", "{a"], "argument 1, '{a'"),
        (["py", "f", "1", "A"], "argument 2, 'A'"),
        (["py", "f", "--json", "ok"], "put a string in double quotes"),
        (["py", "f", "--json", "NaN"], "NaN is not a number"),
        (["py", "f", "--json", '{"$x": 1}'], "'$x'"),
        (["py", "f", "--json", "[" * 600 + "]" * 600], "nested deeper than 512"),
        (["py", "f", "--json", "1e999"], "too large for a float"),
        (["py", "f", "--json", ""], "expected a value"),
        (["py", "f", "--json", '"\\ud800"'], "half a surrogate pair"),
        (["py", "f", "--json", '{"\\ud800": 1}'], "half a surrogate pair"),
        (["py", "f", "--json", '{"a": 1, "a": 2}'], "occurs twice"),
        (["py", "f", "--json", '{"$atom": 1}'], "$atom needs a string"),
        (["py", "f", "--json", '{"$tuple": ' * 600 + "1" + "}" * 600], "$tuple needs an array"),
        (["py", "f", ""], "expected a term"),
        (["py", "f", "<0.1.0>"], "cannot read pids"),
        (["py", "f", "\udcff"], r"argument 1, '\udcff': b'\xff' is not UTF-8 text"),
        (["py", "f", "--json", '1', '"\udcff"'], "argument 2"),
        (["py", "f", "{" * 600 + "}" * 600], "nested deeper than 512"),
        (["py", "f", "{" * 512 + "}" * 512], "nested"),
        (["py", "f" * 256], "255"),
    ],
)
def test_words_that_are_no_call(run: Cli, words: list[str], told: str) -> None:
    result = run("rpc", "py", *words)
    assert (result.code, result.out) == (2, "")
    assert told in result.err


# --- usage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "COMMAND"),
        (["pong"], "pong"),
        (["ping"], "NODE"),
        (["ping", "a", "b"], "unknown: b"),
        (["ping", "a", "--tiemout", "1"], "unknown: --tiemout"),
        (["ping", "a", "--time", "1"], "unknown: --time"),
        (["ping", "a", "--timeout", "0"], "not a number of seconds above 0"),
        (["ping", "a", "--timeout", "-1"], "not a number of seconds above 0"),
        (["ping", "a", "--timeout", "soon"], "not a number of seconds above 0"),
        (["ping", "a", "--layout", "flat"], "erl_uds_dist"),
        (["ping", "a/b"], "'a/b@localhost' is not a valid node name"),
        (["ping", "a@b", "--name", "me"], "'me' is not a valid node name"),
        (["ping", "a", "--cookie", "c" * 256], "256 characters"),
        (["ping", "a" * 200], "socket path"),
        (["ping", "a", "--timeout", "inf"], "not a number of seconds above 0"),
        (["ping", "a", "--timeout", "nan"], "not a number of seconds above 0"),
        (["ping", "a", "--cookie", ""], "0 characters"),
        (["ping", "a", "--cookie", "-abc"], "write --cookie=-abc"),
        (["ping", "a", "--name", "--timeout", "1"], "write --name=--timeout"),
        (["ping", "a", "--cookie"], "--cookie"),
        (["ping", "\udcff"], r"NODE: b'\xff' is not UTF-8 text"),
        (["ping", "a", "--cookie", "\udcff"], r"--cookie: b'\xff' is not UTF-8 text"),
        (["rpc", "a", "m", "\udcff"], "FUNCTION"),
        (["rpc", "a", "m"], "required: FUNCTION (see"),
        (["rpc", "a"], "required: MODULE, FUNCTION (see"),
        (["rpc", "a", "m", "f", "--jsn"], "unknown: --jsn"),
        (["rpc", "a", "m", "f", "--json", "--elixir"], "not allowed with"),
        (["demo", "x"], "unknown: x"),
    ],
)
def test_usage(run_alone: Cli, words: list[str], told: str) -> None:
    result = run_alone(*words)
    assert result.code == 2
    assert told in result.err


def test_a_setting_in_the_environment_that_is_none(
    run_alone: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDS_DIST_HANDSHAKE_TIMEOUT", "long")
    result = run_alone("ping", "a")
    assert result.code == 2 and "UDS_DIST_HANDSHAKE_TIMEOUT" in result.err


def test_words_that_begin_with_a_hyphen(run: Cli) -> None:
    assert "argument 1, '-x'" in run("rpc", "py", "py", "f", "--", "-x").err
    assert "argument 2, '-x'" in run("rpc", "py", "py", "f", "--json", "1", "--", "-x").err


@pytest.mark.parametrize("command", ["", "names", "ping", "rpc", "demo"])
def test_help_tells_every_exit_code(run_alone: Cli, command: str) -> None:
    result = run_alone(*filter(None, [command]), "--help")
    assert result.code == 0
    for code in (0, 1, 2, 3, 4, 5, 130, 141):
        assert f"\n  {code} " in result.out


def test_every_error_has_an_exit_code() -> None:
    from uds_dist import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, errors.UdsDistError)]
    codes = {kind.__name__: exit_code(kind("text")) for kind in kinds}
    assert len(codes) > 30 and set(codes.values()) == {1, 2, 3, 4, 5}
    assert codes["NoProcessError"] == 1
    assert codes["NodeNameError"] == codes["ParseError"] == 2
    assert codes["ConnectFailedError"] == codes["NotAllowedError"] == 3
    assert codes["HandshakeTimeoutError"] == codes["RemoteTimeoutError"] == 5


# --- as a process ---------------------------------------------------------------------------------


def test_an_interrupt(node: subprocess.Popen[str], shared_folder: str) -> None:
    with in_process(shared_folder, "rpc", "py", "py", "never", "<<\"called\">>") as process:
        assert node.stdout is not None
        assert node.stdout.readline() == "called\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
        assert process.returncode == 130


def test_the_reader_of_the_output_goes_away(node: object, shared_folder: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with in_process(shared_folder, "rpc", "py", "py", "echo", "1", stdout=write_end) as process:
        os.close(write_end)
        assert process.communicate()[1] == ""
        assert process.returncode == 141


def test_words_in_utf8_are_understood_in_a_locale_without_it(
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


def test_a_cookie_that_looks_like_a_number_stays_as_it_is(run_alone: Cli, folder: str) -> None:
    with running_node(folder, "app@localhost", cookie="-5abc"):
        assert run_alone("ping", "app", "--cookie", "-5abc").code == 0
        assert run_alone("ping", "app", "--cookie=-5abc").code == 0


@pytest.mark.parametrize("opening", ["{", "[", "#{k=>"])
def test_an_answer_that_is_nested_deep(run: Cli, opening: str) -> None:
    term = opening * 500 + "1" + "".join("]" if opening == "[" else "}" for _ in range(500))
    answer = run("rpc", "py", "py", "echo", term).out
    assert answer.replace(" ", "") == f"{term}\n"
    written = run("rpc", "py", "py", "echo", term, "--json").out
    assert run("rpc", "py", "py", "echo", "--json", written).out == written
    assert run("rpc", "py", "py", "echo", "--elixir", term).out.count("1") == 1


def test_elixir_notation_is_asked_of_a_node_that_has_elixir(run_alone: Cli, folder: str) -> None:
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
