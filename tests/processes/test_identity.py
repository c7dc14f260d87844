"""Where a node's cookie comes from, and what counts as one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from uds_dist import Config, ConfigError, Node
from uds_dist.processes.identity import checked_cookie, find_cookie


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home folder."""
    return {"HOME": str(tmp_path)}


def write(home: dict[str, str], data: bytes, where: str = ".erlang.cookie") -> Path:
    path = Path(home["HOME"]) / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o400)
    return path


# --- files, as OTP's auth.erl reads them ----------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "cookie"),
    [
        (b"SECRET", "SECRET"),
        (b"SECRET\n", "SECRET"),
        (b"SECRET\r\n\n\r", "SECRET"),
        (b" two words ", " two words "),
        (b"  SECRET  \n", "  SECRET  "),
        (b" ", " "),
        (b"!#~\n", "!#~"),
        (b"x" * 255 + b"\n", "x" * 255),
    ],
)
def test_what_a_cookie_file_holds(home: dict[str, str], data: bytes, cookie: str) -> None:
    write(home, data)
    assert find_cookie(home) == cookie


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\nSECRET", r"'\\n'"),
        (b"SECRET\nsecond line\n", r"'\\n'"),
        (b"SEC\tRET", r"'\\t'"),
        (b"SECRET\t\n", r"'\\t'"),
        (b"SECRET\0", r"'\\x00'"),
        (b"SECRET\x7f", r"'\\x7f'"),
        (b"K\xc3\xb6ln", r"'\\xc3'"),
        (b"SECRET\n \n", r"'\\n'"),
        (b"x" * 256, "256 characters"),
        (b"x" * 1_000_000, "characters"),
    ],
)
def test_what_no_cookie_file_holds(home: dict[str, str], data: bytes, reason: str) -> None:
    write(home, data)
    with pytest.raises(ConfigError, match=reason):
        find_cookie(home)


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o640, 0o644, 0o410])
def test_a_file_that_others_can_get_at(home: dict[str, str], mode: int) -> None:
    write(home, b"SECRET").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 400"):
        find_cookie(home)


def test_where_cookie_files_are(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"write {tmp_path}/.erlang.cookie"):
        find_cookie(home)
    write(home, b"config", ".config/erlang/.erlang.cookie")
    assert find_cookie(home) == "config"
    write(home, b"xdg", "settings/erlang/.erlang.cookie")
    assert find_cookie({**home, "XDG_CONFIG_HOME": str(tmp_path / "settings")}) == "xdg"
    assert find_cookie({**home, "XDG_CONFIG_HOME": ""}) == "config"
    write(home, b"home")
    assert find_cookie(home) == "home"
    assert find_cookie({**home, "RELEASE_COOKIE": "release"}) == "release"
    both = {"RELEASE_COOKIE": "release", "UDS_DIST_COOKIE": "own"}
    assert find_cookie({**home, **both}) == "own"


@pytest.mark.parametrize("what", ["pipe", "folder", "socket", "device", "link to a pipe"])
def test_what_is_not_a_regular_file(home: dict[str, str], tmp_path: Path, what: str) -> None:
    path = tmp_path / ".erlang.cookie"
    if what == "pipe":
        os.mkfifo(path, 0o600)
    elif what == "folder":
        path.mkdir(0o700)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe", 0o600)
        path.symlink_to(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cookie file"):
        find_cookie(home)


def test_a_home_that_cannot_be_a_path() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        find_cookie({"HOME": "/a\0b"})


# --- cookies that are given -----------------------------------------------------------------------


def test_bytes_are_taken() -> None:
    assert checked_cookie(b"K\xf6ln") == "Köln"
    with Node("a@localhost", cookie=b"secret") as node:
        node.set_cookie(b"other")
        node.set_cookie(b"third", node="b@localhost")
    Node("a@localhost", config=Config(cookie=b"secret")).close()


@pytest.mark.parametrize("cookie", [5, 1.5, True, ["a"], Path("a"), memoryview(b"a"), object])
def test_a_cookie_of_a_wrong_type(cookie: str) -> None:
    with pytest.raises(ConfigError, match="str or bytes"):
        checked_cookie(cookie)
    with pytest.raises(ConfigError, match="str or bytes"):
        Node("a@localhost", cookie=cookie)
    with pytest.raises(ConfigError, match="str or bytes"):
        Node("a@localhost", config=Config(cookie=cookie))


@pytest.mark.parametrize("cookie", ["", b"", "x" * 256, "\N{COOKIE}", "a\udcff"])
def test_a_cookie_that_no_node_can_have(cookie: str | bytes) -> None:
    with pytest.raises(ConfigError, match="the cookie has"):
        checked_cookie(cookie)
