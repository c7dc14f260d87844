"""The README's release: mix builds it from the README's own files; then it runs and is called.

The carrier of these tests replaces the dependency. The release's own commands run too: they show
that the README is right about the node's side, without Python. As root, the tests run the release
as an unprivileged user: the README's files must not need any rights. It is built once, and started
with the rules of each version of the carrier.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.beam import HERE, Otp, socket_folder
from tests.interop.test_console import ENDED, answers, at_terminal, program, talk, use_the_keys
from tests.readme_blocks import blocks, environment, run_command_line
from uds_dist import Config, ConnectFailedError, EventLoop, Node

FILES = ("rel/vm.args.eex", "rel/remote.vm.args.eex", "rel/env.sh.eex", "config/runtime.exs")
COMMAND = "_build/prod/rel/myapp/bin/myapp"
BUILD_SECONDS = 120.0
START_SECONDS = 60.0
SERVICE_UID = 1500  # the release's user, if root runs the tests

MIX = """
defmodule MyApp.MixProject do
  use Mix.Project

  def project do
    [app: :myapp, version: "0.1.0", deps: [{:uds_dist, path: "uds_dist"}], releases: [myapp: []]]
  end

  def application, do: [extra_applications: []]
end
"""
CARRIER_MIX = """
defmodule UdsDist.MixProject do
  use Mix.Project
  def project, do: [app: :uds_dist, version: "1.0.0", language: :erlang]
  def application, do: []
end
"""


def readme_file(name: str) -> str:
    """The block of the README whose first line names this file."""
    (text,) = [
        block.text
        for block in blocks()
        if block.kind.endswith(" release") and block.text.splitlines()[0] == f"# {name}"
    ]
    return text


# The flags that choose the carrier's rules; version 2 admits other users only if configured.
VERSIONS = {
    "1.0": "-uds_dist version 1",
    "2.0": f"-uds_dist version 2 -uds_dist allowed_uids [{SERVICE_UID},0]",
}


def in_release(otp: Otp, folder: str, words: str, flags: str = "") -> list[str]:
    """The argument vector that runs a shell command line in the project's folder."""
    runtime = Path(folder).parent / "runtime"
    # mix keeps locks in the folder for temporary files, where files of other users may block it.
    settings = f"HOME={folder} TMPDIR={folder} XDG_RUNTIME_DIR={runtime} MIX_ENV=prod"
    settings += f" RELEASE_COOKIE=secret ERL_AFLAGS='{flags}'"
    argv = ["sh", "-c", f"unset UDS_DIST_SOCKET_DIR; export {settings}; {words}"]
    if otp.root is not None:
        argv = ["setpriv", f"--reuid={SERVICE_UID}", f"--regid={SERVICE_UID}", "--clear-groups", *argv]
    return otp.command(argv, folder)


def give_away(folder: Path) -> None:
    """Make the release's user the owner of a folder and everything in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SERVICE_UID, SERVICE_UID)


def run(otp: Otp, folder: str, words: str, flags: str = "", seconds: float = START_SECONDS) -> str:
    done = subprocess.run(
        in_release(otp, folder, words, flags),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def project(otp: Otp) -> Iterator[Path]:
    """The folder of the built project; its runtime folder is next to it."""
    if not otp.has_elixir:
        pytest.skip(f"OTP {otp.label} has no Elixir")
    with socket_folder() as folder:
        project = Path(folder, "project")
        Path(folder, "runtime").mkdir(0o700)
        for name in FILES:
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(readme_file(name))
        (project / "mix.exs").write_text(MIX)
        (project / "uds_dist" / "src").mkdir(parents=True)
        (project / "uds_dist" / "mix.exs").write_text(CARRIER_MIX)
        shutil.copy(HERE / "carrier" / "uds_dist.erl", project / "uds_dist" / "src")
        if otp.root is not None:
            give_away(Path(folder))
        run(otp, str(project), "mix release", seconds=BUILD_SECONDS)
        yield project


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest, otp: Otp, project: Path) -> Iterator[Release]:
    """The release, running."""
    flags = VERSIONS[request.param]
    sockets = str(project.parent / "runtime" / "myapp")
    log = project / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            in_release(otp, str(project), f"exec {COMMAND} start", flags),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with process:
        try:
            wait_for(sockets, process, log)
            yield Release(str(project), sockets, flags)
            run(otp, str(project), f"{COMMAND} stop", flags)
            process.wait(START_SECONDS)
        finally:
            process.kill()


class Release(NamedTuple):
    """A release: its project's folder, that of its sockets, and the flags it was started with."""

    project: str
    sockets: str
    flags: str


def wait_for(sockets: str, process: subprocess.Popen[bytes], log: Path) -> None:
    config = Config(socket_dir=sockets, cookie="secret")
    with EventLoop() as loop, Node("test@localhost", loop=loop, config=config) as node:
        deadline = loop.time() + START_SECONDS
        while not node.nodes():
            assert process.poll() is None and loop.time() < deadline, log.read_text()
            try:
                node.connect("myapp@localhost").result(START_SECONDS)
            except ConnectFailedError:
                loop.run_once(0.05)  # there is no socket yet, or it does not listen yet
        # The node listens before its applications run.
        done = node.rpc("myapp@localhost", "init", "get_status")
        while done.result(START_SECONDS)[0] != "started":  # type: ignore[index]
            done = node.rpc("myapp@localhost", "init", "get_status")


def test_the_release_of_the_readme(otp: Otp, release: Release, tmp_path: Path) -> None:
    # From Python, as in the README.
    run_command_line(release.sockets, tmp_path)
    # The release's own remote commands reach it through remote.vm.args and env.sh.
    printed = run(otp, release.project, f"{COMMAND} rpc 'IO.inspect(node())'", release.flags)
    assert ":myapp@localhost" in printed
    assert os.listdir(release.sockets) == ["myapp.sock"]
    settings = environment(UDS_DIST_SOCKET_DIR=release.sockets, UDS_DIST_COOKIE="secret")
    done = subprocess.run(
        [sys.executable, "-m", "uds_dist", "probe", "myapp"],
        env=settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.search(r"^carrier uds_dist +1\.0\.0$", done.stdout, re.MULTILINE), done
    assert re.search(r"^Elixir +1\.\d+\.", done.stdout, re.MULTILINE), done
    open_console(otp, release)


def open_console(otp: Otp, release: Release) -> None:
    """Open the prompt of a Python program that has the release's name, with its remote command."""
    folder = Path(release.project, "python")
    folder.mkdir(0o755, exist_ok=True)
    uid = None if otp.root is None else SERVICE_UID
    if uid is not None:
        give_away(folder)
    words = f"UDS_DIST_SOCKET_DIR={folder} exec {COMMAND} remote"
    command = in_release(otp, release.project, words, release.flags)
    with program("myapp@localhost", str(folder), uid) as served:
        with at_terminal(command) as terminal:
            terminal.see_line(">>> ?", START_SECONDS)
            terminal.see("^a banner$")
            talk(terminal)
            use_the_keys(terminal)
            terminal.send("exit()\r")
            terminal.see(ENDED)
            served.until_nothing_is_left()
        with at_terminal(command) as terminal:
            terminal.see_line(">>> ?", START_SECONDS)
            os.kill(terminal.pid, signal.SIGKILL)
        served.until_nothing_is_left()
        with at_terminal(command) as terminal:
            terminal.see_line(">>> ?", START_SECONDS)
            answers(terminal, "1 + 1", "2$")
            served.kill()
            terminal.see("noconnection|" + ENDED)
