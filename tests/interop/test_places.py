"""Where Python and BEAM nodes meet: every carrier and layout, with and without a folder."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.interop.beam import Otp, Start
from tests.interop.together import together
from tests.readme_blocks import environment
from uds_dist import Config
from uds_dist.cli.main import main

NAME = f"meet{os.getpid()}"
FULL = f"{NAME}@localhost"
OWN = f"py{os.getpid()}@localhost"
STRANGER = 54_321
ABSTRACT = f"@uds_dist-places-{os.getpid()}"


class Case(NamedTuple):
    """How a BEAM and Python are configured to meet; DIR is a new folder.

    ``environ`` is the environment of the commands and of `Config.from_env`; without it, the
    settings go to `Config`, and to the commands as options.
    """

    beam: dict[str, Any]
    environ: dict[str, str] = {}
    settings: dict[str, Any] = {}


CASES = {
    "1.0, folder by setting": Case({"version": 1}, settings={"socket_dir": "DIR"}),
    "1.0, folder by variable": Case({"version": 1}, {"UDS_DIST_SOCKET_DIR": "DIR"}),
    "1.0, no folder": Case({"version": 1, "place": "nothing"}),
    "1.0, abstract": Case({"version": 1, "socket_dir": ABSTRACT}, {"UDS_DIST_DIR": ABSTRACT}),
    "2.0, folder by setting": Case(
        {"version": 2}, settings={"socket_dir": "DIR", "layout": "uds_dist2"}
    ),
    "2.0, folder by variable": Case(
        {"version": 2, "place": "environment"}, {"UDS_DIST_DIR": "DIR", "UDS_DIST_LAYOUT": "uds_dist2"}
    ),
    "2.0, no folder": Case({"version": 2, "place": "nothing"}, {"UDS_DIST_LAYOUT": "uds_dist2"}),
    "2.0, no folder by setting": Case(
        {"version": 2, "place": "nothing"}, settings={"layout": "uds_dist2"}
    ),
    "2.0, abstract": Case(
        {"version": 2, "socket_dir": ABSTRACT, "place": "environment"}, settings={"socket_dir": ABSTRACT}
    ),
    "erl_uds, folder": Case(
        {"carrier": "erl_uds"}, settings={"socket_dir": "DIR", "layout": "erl_uds_dist"}
    ),
    "erl_uds, no folder": Case({"carrier": "erl_uds"}, {"UDS_DIST_LAYOUT": "erl_uds_dist"}),
}


@pytest.fixture(autouse=True)
def _clean_common_place() -> Iterator[None]:
    yield  # a BEAM that is killed leaves its file there
    for name in (NAME, f"py{os.getpid()}"):
        Path(f"/tmp/uds-dist-{name}.sock").unlink(missing_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_they_meet(
    otp: Otp,
    case: str,
    socket_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    beam, environ, settings = CASES[case]
    if beam.get("carrier") == "erl_uds" and not otp.erl_uds_source:
        pytest.skip("no release here has the erl_uds_dist example")
    environ = {name: value.replace("DIR", socket_dir) for name, value in environ.items()}
    settings = {name: value.replace("DIR", socket_dir) for name, value in settings.items()}
    monkeypatch.setattr(os, "environ", environment(UDS_DIST_COOKIE="secret", **environ))
    monkeypatch.chdir(socket_dir)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]

    with together(otp, FULL, **{"socket_dir": socket_dir, **beam}) as both:
        # The commands; the BEAM is a process of its own.
        def run(*words: str) -> str:
            assert main([words[0], *options, *words[1:]]) == 0
            return capsys.readouterr().out

        listed = {entry["name"]: entry for entry in json.loads(run("names", "--json"))}
        assert listed[NAME]["state"] == "alive"
        assert run("ping", NAME) == "pong\n"
        assert run("rpc", NAME, "erlang", "node") == f"{FULL}\n"
        # A node that dials and is dialled.
        config = Config.from_env(**settings)
        node = both.node(OWN, **{name: getattr(config, name) for name in ("socket_dir", "layout")})
        assert node.ping(both.name)
        both.close()
        both.node(OWN, **{name: getattr(config, name) for name in ("socket_dir", "layout")})
        assert both.eval(f"net_adm:ping('{OWN}')") == "pong"


def test_a_release_dials_a_socket_that_another_user_made(otp: Otp) -> None:
    """A service manager's, for instance: version 2.0 checks who listens."""
    if os.geteuid():
        pytest.skip("root alone can become another user")
    with together(otp, FULL, version=2) as both, socket.socket(socket.AF_UNIX) as sock:
        node = both.node(OWN, listen=False)
        sock.bind(f"{both.beam.socket_dir}/{OWN.partition('@')[0]}.sock")
        os.seteuid(STRANGER)
        sock.listen()
        os.seteuid(0)
        node.listen(sock=sock)
        assert both.eval(f"net_adm:ping('{OWN}')") == "pong"


def test_a_command_does_not_wait_for_a_close_that_never_comes(
    beam: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = beam("a@localhost")
    settings = environment(UDS_DIST_SOCKET_DIR=node.socket_dir, UDS_DIST_COOKIE="secret")
    monkeypatch.setattr(os, "environ", settings)
    least = 10.0
    for _ in range(10):  # the machine may be busy
        start = time.perf_counter()
        assert main(["rpc", "a", "erlang", "node"]) == 0
        least = min(least, time.perf_counter() - start)
    assert capsys.readouterr().out == "a@localhost\n" * 10
    assert least < 0.05  # waiting for the close took 0.1 more
