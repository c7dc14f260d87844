"""A remote shell from another machine: the README's commands for ssh, against a real sshd."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.beam import Otp, Start
from tests.readme_blocks import SOCKET_DIR, blocks, environment
from tests.shell.pseudo_terminal import PseudoTerminal

SSH = shutil.which("ssh")
KEYGEN = shutil.which("ssh-keygen")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SERVER = "myapp@server"  # the README's
USER = pwd.getpwuid(os.getuid()).pw_name

SSHD_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
"""
SSH_CONFIG = """
Host server
    HostName 127.0.0.1
    Port {port}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    BatchMode yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""

pytestmark = pytest.mark.skipif(not (SSH and SSHD and KEYGEN), reason="there is no ssh, or no sshd")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Path]:
    """A folder with the commands uds-dist and ssh, which connects to the test's own server."""
    assert SSH and SSHD and KEYGEN
    folder = tmp_path / "ssh"
    folder.mkdir()
    port = free_port()
    for key in ("host_key", "user_key"):
        subprocess.run(
            [KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True
        )
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    (folder / "ssh_config").write_text(SSH_CONFIG.format(port=port, folder=folder))
    for name, words in (
        ("ssh", f'"{SSH}" -F "{folder}/ssh_config"'),
        ("uds-dist", f'"{sys.executable}" -m uds_dist'),
    ):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # like the start of the service
    server = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE, text=True
    )
    with server:
        try:
            assert server.stderr is not None
            told = server.stderr.readline()
            if "Server listening on" not in told:
                pytest.skip(f"sshd does not start here: {told.strip()}")
            yield folder
        finally:
            server.kill()


def test_a_shell_through_ssh(otp: Otp, beam: Start, tools: Path, tmp_path: Path) -> None:
    node = beam("myapp@localhost")
    (block,) = blocks("sh ssh")
    script = block.text.replace(SERVER, f"{USER}@server").replace(SOCKET_DIR, node.socket_dir)
    assert USER in script and node.socket_dir in script
    home = tmp_path / "home"
    home.mkdir()
    settings = environment(
        PATH=f"{tools}:{os.environ['PATH']}", HOME=str(home), UDS_DIST_COOKIE="secret",
        TERM="xterm", LC_ALL="C.UTF-8",
    )  # fmt: skip
    with PseudoTerminal(["/bin/sh", "-ec", script], settings) as terminal:
        terminal.see_line(r"\(myapp@localhost\)1> ?")
        terminal.send('lists:sum([1, 2]), io:format("~ts~n", ["grün"]), node().\r')
        terminal.see(r"^grün\nmyapp@localhost$")
        through = settings | {"UDS_DIST_SOCKET_DIR": str(home / "sockets")}
        done = subprocess.run(
            ["uds-dist", "names"], env=through, capture_output=True, text=True, check=False
        )
        assert re.fullmatch(r"myapp +alive +\S+/myapp.sock\n", done.stdout), done
        terminal.send("\x04")
        assert terminal.wait() == 0
    node.wait_until("nodes(hidden)", "[]")
