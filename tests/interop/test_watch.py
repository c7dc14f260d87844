"""`uds-dist top` and `probe` against both releases; `top` by its screen."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.beam import Beam, Otp, socket_folder
from tests.readme_blocks import environment
from tests.shell.pseudo_terminal import PseudoTerminal, uds_dist
from uds_dist.cli import main as cli


@pytest.fixture(scope="module")
def node(otp: Otp) -> Iterator[Beam]:
    with socket_folder() as folder, Beam.start(otp, "node@localhost", folder) as beam:
        beam.eval("register(busy, spawn(fun F() -> lists:seq(1, 10000), timer:sleep(5), F() end))")
        beam.eval(
            "register(full, spawn(fun() -> receive never -> ok end end)), [full ! N || N <- lists:seq(1, 77)]"
        )
        yield beam


@pytest.fixture(autouse=True)
def _settings(node: Beam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDS_DIST_SOCKET_DIR", node.socket_dir)
    monkeypatch.setenv("UDS_DIST_COOKIE", "secret")


def test_top_at_a_terminal(node: Beam, tmp_path: Path) -> None:
    with uds_dist("top", "node", "--every", "0.2", socket_dir=node.socket_dir, home=str(tmp_path), columns=120) as terminal:

        def first() -> str:
            return terminal.vt.lines[5]

        terminal.until(lambda: " busy " in first())
        assert terminal.vt.lines[0].startswith("node@localhost  up 0d 00:0")
        assert re.search(r"processes \d+  run queue \d+  schedulers \d+", terminal.vt.lines[0])
        terminal.send("l")
        terminal.until(lambda: re.search(r" 77  full ", first()))
        terminal.send("m")
        terminal.until(lambda: " code_server " in "".join(terminal.vt.lines[5:7]))
        terminal.resize(60, 12)
        terminal.until(lambda: terminal.vt.lines[4].endswith("NAME"))
        terminal.send("q")
        assert terminal.wait() == 0
        assert terminal.vt.written.endswith("\x1b[?25h\x1b[?1049l\x1b[?2004l")


def test_top_is_ended_by_a_signal(node: Beam, tmp_path: Path) -> None:
    with uds_dist("top", "node", "--every", "0.2", socket_dir=node.socket_dir, home=str(tmp_path)) as terminal:
        terminal.see("REDUCTIONS")
        terminal.send("\x1a")  # where nobody could continue it, it goes on
        # It has drawn again. A key that came while the program leaves would drop its last output.
        terminal.until(lambda: terminal.vt.written.count("\x1b[?1049h") == 2)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.vt.written.endswith("\x1b[?25h\x1b[?1049l\x1b[?2004l")


def test_top_where_it_cannot_draw(node: Beam, tmp_path: Path) -> None:
    words = ["top", "node", "--every", "0.2", "--rows", "3"]
    with uds_dist(*words, socket_dir=node.socket_dir, home=str(tmp_path), TERM="dumb") as terminal:
        assert terminal.wait() == 0
        assert "REDUCTIONS" in terminal.vt.text and "\x1b" not in terminal.vt.written
    line = " ".join(["exec", sys.executable, "-m", "uds_dist", *words, "</dev/null"])
    settings = environment(UDS_DIST_SOCKET_DIR=node.socket_dir, UDS_DIST_COOKIE="secret", TERM="xterm")
    with PseudoTerminal(["/bin/sh", "-c", line], settings) as terminal:
        assert terminal.wait() == 0
        assert "REDUCTIONS" in terminal.vt.text


def test_the_node_ends_under_top(otp: Otp, tmp_path: Path) -> None:
    with socket_folder() as folder, Beam.start(otp, "victim@localhost", folder) as victim:
        with uds_dist("top", "victim", "--every", "0.2", socket_dir=folder, home=str(tmp_path)) as terminal:
            terminal.see("REDUCTIONS")
            victim.kill()
            assert terminal.wait() == 3
            assert "victim@localhost was lost" in terminal.vt.text


def test_top_once_and_as_json(node: Beam, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "node", "--once", "--every", "0.2", "--rows", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[4].startswith("PID ") and any("busy" in line for line in lines)
    assert cli.main(["top", "node", "--json", "--every", "0.2", "--sort", "queue"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["node"] == "node@localhost" and found["memory"]["total"] > 0
    assert (found["processes"][0]["name"], found["processes"][0]["queue"]) == ("full", 77)
    assert found["connection"]["messages_in"] > 0


def test_probe(node: Beam, otp: Otp, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["probe", "node"]) == 0
    out = capsys.readouterr().out
    assert f"address             {node.socket_dir}/node.sock  alive\n" in out
    for text in ("sent name", "received status named", "received challenge ack", "HANDSHAKE_23"):
        assert text in out
    assert re.search(rf"^OTP release +{otp.label}$", out, re.MULTILINE)
    assert re.search(rf"^process +user .*, process {node.pid}$", out, re.MULTILINE)
    assert re.search(r"^descriptors +\d+ open, \d+ of them sockets$", out, re.MULTILINE)
    assert cli.main(["probe", "node", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["OTP release"] == otp.label


def test_probe_says_what_fails(
    node: Beam, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["probe", "none"]) == 3
    out, err = capsys.readouterr()
    assert "none.sock  no socket" in out and "cannot connect to" in err
    monkeypatch.setenv("UDS_DIST_COOKIE", "another")
    code = cli.main(["probe", "node", "--timeout", "1"])
    out, err = capsys.readouterr()
    assert code == 4 and "sent challenge reply" in out and "the cookies differ" in err


def test_names_as_they_change(otp: Otp) -> None:
    with socket_folder() as folder:
        settings = environment(UDS_DIST_SOCKET_DIR=folder, PYTHONUNBUFFERED="1")
        argv = [sys.executable, "-m", "uds_dist", "names", "--watch"]
        with subprocess.Popen(
            argv, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as watch:
            assert watch.stdout is not None and watch.stderr is not None
            try:
                assert "no node listens in" in watch.stderr.readline()
                with Beam.start(otp, "comer@localhost", folder) as comer:
                    line = watch.stdout.readline()
                    if "  comer  stale  " in line:  # bound, and about to listen
                        line = watch.stdout.readline()
                    assert re.fullmatch(r"\S+  comer  alive  \S+/comer.sock\n", line)
                    comer.kill()
                    assert "  comer  stale  " in watch.stdout.readline()
                Path(folder, "comer.sock").unlink()
                assert "  comer  gone  " in watch.stdout.readline()
                watch.send_signal(signal.SIGINT)
                assert watch.wait(10) == 130
            finally:
                watch.kill()


def test_trace(node: Beam, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rpc", "node", "erlang", "max", "1", '{secret, "b"}', "--trace"]) == 0
    out, err = capsys.readouterr()
    assert out == '{secret,"b"}\n' and "secret" not in err
    sent, replied, *_ = lines = err.splitlines()
    assert re.match(r"-> node@localhost  SpawnRequest #Ref<.*> <.*> <.*> \{erpc,execute_call,4\} ", sent)
    assert "[#Ref<" in sent and 'erlang,max,[1,{***,"b"}]]' in sent
    assert replied.startswith("<- node@localhost  SpawnReply #Ref<")
    assert any(line.startswith("<- node@localhost  PayloadMonitorPExit ") for line in lines)
    assert cli.main(["rpc", "node", "binary", "copy", '<<"x">>', "100000", "--trace"]) == 0
    err = capsys.readouterr().err
    assert max(map(len, err.splitlines())) < 1000 and "xxxxx" in err
    # Of a large term the beginning is shown, as Erlang writes it.
    term = '{a,"b",#{c => <<"d">>},[]}'
    assert cli.main(["rpc", "node", "lists", "duplicate", "300", term, "--trace"]) == 0
    err = capsys.readouterr().err
    assert 'return,[{a,"b",#{c => <<"d">>},[]},{a,"b",' in err and "Atom(" not in err
