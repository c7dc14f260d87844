"""The commands against RabbitMQ, a large program from elsewhere.

UDS_DIST_RABBITMQ names a Debian root with OTP and the package `rabbitmq-server`: a copy of a root
made by install_otp.sh, with the package installed by apt-get, without starting services.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.interop.beam import Otp, socket_folder
from tests.interop.test_ssh import free_port
from tests.readme_blocks import environment
from tests.shell.pseudo_terminal import PseudoTerminal, remote, uds_dist

ROOT = os.environ.get("UDS_DIST_RABBITMQ", "")
COOKIE = "secret"
START_SECONDS = 120.0
UP = b"Starting broker... completed"
NODE_PORTS = (35672, 35673)  # below 45535, because RabbitMQ computes other ports from them
# Processes with a group leader, link or monitor on another node. The broker's own come and go.
LEFT = """
    Far = fun(X) -> is_pid(X) andalso node(X) =/= node() end,
    [P || P <- processes(), P =/= self(),
          Is <- [process_info(P, [group_leader, links, monitors, monitored_by])], is_list(Is),
          lists:any(Far, lists:flatten([case I of {process, X} -> X; _ -> I end
                                        || {_, V} <- Is, I <- lists:flatten([V])]))]
"""

pytestmark = pytest.mark.skipif(not ROOT, reason="UDS_DIST_RABBITMQ names no root with RabbitMQ")


@pytest.fixture(scope="module", params=[1, 2], ids=["carrier1", "carrier2"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    """The socket folder of a running broker, rabbit@localhost."""
    root = Path(ROOT)
    otp = Otp("RabbitMQ", root, "/usr/bin/erl", root / "opt/uds_dist", "/opt/uds_dist")
    with socket_folder() as folder:
        sockets = f"{folder}/sockets"
        os.mkdir(sockets, 0o755)
        Path(folder, "plugins").write_text("[].")
        port = free_port()
        carrier = f"-pa {otp.compile()} -proto_dist uds -no_epmd -setcookie {COOKIE}"
        settings = [
            "HOME=/var/lib/rabbitmq", f"ERL_EPMD_PORT={port}", "RABBITMQ_NODENAME=rabbit@localhost",
            "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", f"RABBITMQ_NODE_PORT={NODE_PORTS[0]}",
            f"RABBITMQ_DIST_PORT={NODE_PORTS[1]}", f"RABBITMQ_LOG_BASE={folder}/log",
            f"RABBITMQ_MNESIA_BASE={folder}/mnesia", f"RABBITMQ_PID_FILE={folder}/pid",
            f"RABBITMQ_ENABLED_PLUGINS_FILE={folder}/plugins", f"UDS_DIST_DIR={sockets}",
            f"ERL_AFLAGS=-uds_dist version {request.param} -uds_dist socket_dir '\"{sockets}\"'",
            f"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS={carrier}",
        ]  # fmt: skip
        log = Path(folder, "log.txt")
        # Otherwise the broker would start an epmd that outlives it.
        with (
            program(otp.command(["/usr/bin/epmd", "-port", str(port)]), log),
            program(
                otp.command(["/usr/lib/rabbitmq/bin/rabbitmq-server"], "/tmp", settings), log
            ) as running,
        ):
            wait_until(lambda: os.path.exists(f"{sockets}/rabbit.sock"), running, log)
            with closing(registered(port, b"rabbit")):
                wait_until(lambda: UP in log.read_bytes(), running, log)
                yield sockets
                assert running.poll() is None, log.read_text()


@contextmanager
def program(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and end it and the programs that it started."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    with running:
        try:
            yield running
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def wait_until(
    condition: Callable[[], bool], running: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert running.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def registered(port: int, name: bytes) -> socket.socket:
    """Register a name with epmd while the socket is open: the broker exits without it."""
    entry = struct.pack(">BHBBHHH", 120, NODE_PORTS[1], 77, 0, 6, 5, len(name)) + name + b"\0\0"
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(struct.pack(">H", len(entry)) + entry)
    assert sock.recv(2) == b"v\0"
    return sock


def command(folder: str, *words: str) -> str:
    """The output of a command."""
    settings = environment(UDS_DIST_SOCKET_DIR=folder, UDS_DIST_COOKIE=COOKIE)
    done = subprocess.run(
        [sys.executable, "-m", "uds_dist", *words],
        env=settings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.fixture(autouse=True)
def _nothing_is_left(broker: str) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 20
    while (left := command(broker, "eval", "--erl", "rabbit", LEFT)) != "[]\n":
        assert time.monotonic() < deadline, left


def open_shell(broker: str, home: Path) -> PseudoTerminal:
    terminal = remote(
        "rabbit", "--erl", socket_dir=broker, home=str(home), columns=140, rows=40
    )
    terminal.see_line(r"\(rabbit@localhost\)1> ?")
    return terminal


def test_the_whole_status(broker: str, tmp_path: Path) -> None:
    with open_shell(broker, tmp_path) as terminal:
        terminal.send("rp(rabbit:status()).\r")
        terminal.see_line(r"\(rabbit@localhost\)2> ?")
        # The shell itself truncates its output; rp does not.
        shown = terminal.vt.text.partition("rp(rabbit:status()).\n")[2].rpartition("\nok\n")[0]
        assert "..." not in shown and "rabbitmq_version" in shown
        pairs = [shown.count(character) for character in "{}[]"]
        assert pairs[0] == pairs[1] > 100 and pairs[2] == pairs[3]
        assert shown.startswith("[{pid,") and shown.endswith("]")
        code = "[K || {K, _} <- rabbit:status()]"
        names = json.loads(command(broker, "eval", "--erl", "rabbit", code, "--json"))
        assert len(names) > 20 and all(f"{{{name['$atom']}," in shown for name in names)
        terminal.send("rabbit:status().\r")
        terminal.see_line(r"\(rabbit@localhost\)3> ?")
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_a_full_screen_program(broker: str, tmp_path: Path) -> None:
    with open_shell(broker, tmp_path) as terminal:
        terminal.send("observer_cli:start().\r")
        terminal.until(lambda: terminal.vt.lines[0].startswith("|Home(H)|Network(N)|"))
        terminal.until(lambda: terminal.vt.lines[11].startswith("|No | Pid        |     Memory"))
        terminal.until(lambda: terminal.vt.lines[38].startswith("|q(quit)"))
        for key, title in [
            ("r", "recon:proc_count(reductions"), ("N", "recon:inet_count"), ("E", "|Table Name"),
            ("H", "recon:proc_count("),
        ]:  # fmt: skip
            terminal.send(f"{key}\r")
            terminal.until(lambda: title in "".join(terminal.vt.lines[:2]))
            assert terminal.vt.lines[0].startswith("|Home(H)|")
        terminal.send("q\r")
        terminal.see_line(r"\(rabbit@localhost\)2> ?")
        terminal.send("1 + 1.\r")
        terminal.see(r"^2$")
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_an_expression(broker: str) -> None:
    found = command(broker, "eval", "--erl", "rabbit", "rabbit_vhost:list_names().")
    assert found == '[<<"/">>]\n'
    assert command(broker, "rpc", "rabbit", "rabbit_vhost", "list_names") == found
    assert "rabbitmq_version" in command(broker, "rpc", "rabbit", "rabbit", "status")


def test_the_busiest_processes(broker: str, tmp_path: Path) -> None:
    found = json.loads(command(broker, "top", "rabbit", "--json", "--sort", "memory", "--every", "0.5"))
    assert found["node"] == "rabbit@localhost" and len(found["processes"]) > 5
    with uds_dist(
        "top", "rabbit", "--every", "0.5", socket_dir=broker, home=str(tmp_path), columns=120
    ) as terminal:
        terminal.until(lambda: re.search(r"processes [1-9]\d\d ", terminal.vt.lines[0]))
        terminal.send("m")
        terminal.until(lambda: " code_server " in "".join(terminal.vt.lines[5:8]))
        terminal.send("q")
        assert terminal.wait() == 0

