"""The command line against Python nodes in other processes."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import COOKIE, Cli, Result, running_node
from uds_dist.cli.exit_codes import exit_code

# --- ping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["py", "py@localhost"])
def test_ping(run: Cli, name: str) -> None:
    assert run("ping", name) == Result(0, "pong\n", "")


def test_ping_with_a_chosen_name(run: Cli) -> None:
    assert run("ping", "py", "--name", "operator@localhost") == Result(0, "pong\n", "")


def test_ping_without_a_listener(run: Cli, shared_folder: str) -> None:
    result = run("ping", "nobody")
    assert (result.code, result.out) == (3, "pang\n")
    assert f"{shared_folder}/nobody.sock" in result.err


def test_ping_with_another_cookie(run: Cli) -> None:
    result = run("ping", "py", "--cookie", "other")
    assert (result.code, result.out) == (4, "pang\n")
    assert "cookie" in result.err


def test_no_cookie(
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


def test_the_host_part_differs(run_alone: Cli, folder: str) -> None:
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


def test_names_without_a_folder(run_alone: Cli) -> None:
    result = run_alone("names", "--socket-dir", "/nonexistent")
    assert result.code == 2 and "--socket-dir" in result.err


# --- nodes on the command line --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ping", "probe", "top", "remote"])
@pytest.mark.parametrize("nodes", ["--all", "py,other"])
def test_a_command_for_one_node(run: Cli, command: str, nodes: str) -> None:
    assert run(command, nodes) == Result(
        2, "", "uds-dist: argument NODE: give one node: only rpc, eval, call, cast and send work on"
        f" several (see uds-dist {command} --help)\n",
    )  # fmt: skip


def test_all_where_there_is_no_node(run: Cli) -> None:
    assert "unknown: --all" in run("names", "--all").err


@pytest.mark.parametrize("nodes", [",", "py,", ",py", "py,,py"])
def test_a_name_is_missing_next_to_a_comma(run: Cli, nodes: str) -> None:
    result = run("rpc", nodes, "py", "echo", "1")
    assert (result.code, result.out) == (2, "") and "a name is missing" in result.err


def test_eval_in_elixir_where_there_is_none(run: Cli) -> None:
    result = run("eval", "py", "--elixir", "1")
    assert result.code == 2 and "py@localhost has no Elixir" in result.err


def test_a_cookie_that_differs_has_one_exit_code(run: Cli) -> None:
    for command in ("ping", "probe"):
        result = run(command, "py", "--cookie", "other")
        assert result.code == 4 and "the cookies differ" in result.err


# --- listen ---------------------------------------------------------------------------------------


def test_listen_under_a_name_that_is_taken(run: Cli) -> None:
    result = run("listen", "py")
    assert result.code == 3 and result.err.startswith("uds-dist: a live node already listens at")


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


def test_an_elixir_exception_is_shown_as_in_elixir(run: Cli) -> None:
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
def test_words_that_are_not_a_call(run: Cli, words: list[str], told: str) -> None:
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


def test_an_invalid_setting_in_the_environment(
    run_alone: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDS_DIST_HANDSHAKE_TIMEOUT", "long")
    result = run_alone("ping", "a")
    assert result.code == 2 and "UDS_DIST_HANDSHAKE_TIMEOUT" in result.err


def test_words_that_begin_with_a_hyphen(run: Cli) -> None:
    assert "argument 1, '-x'" in run("rpc", "py", "py", "f", "--", "-x").err
    assert "argument 2, '-x'" in run("rpc", "py", "py", "f", "--json", "1", "--", "-x").err


@pytest.mark.parametrize("command", ["", "names", "ping", "rpc", "demo"])
def test_help_lists_every_exit_code(run_alone: Cli, command: str) -> None:
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
