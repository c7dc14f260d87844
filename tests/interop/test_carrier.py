"""The carriers of the interop tests work BEAM to BEAM, and behave like deployed ones."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.beam import Beam, Otp, Start

PING = "net_adm:ping(a@localhost)"
MEGABYTE = "erpc:call(a@localhost, erlang, byte_size, [binary:copy(<<1>>, 1000000)])"
STRANGER = 4321
SHORT_TICKS = ("-kernel", "net_ticktime", "2")  # a tick every 0.5 s


def by(controller: str) -> dict[str, object]:
    """The carrier on gen_tcp, with a choice of the process that moves the data."""
    return {"carrier": "uds_tcp", "extra_args": ("-uds_dist", "controller", controller)}


CARRIERS: dict[str, dict[str, object]] = {
    "uds 1.0": {"version": 1},
    "uds 2.0": {"version": 2},
    "uds_tcp by the port": by("port"),
    "uds_tcp by processes": by("process"),
    "uds_tcp by streams": by("stream"),
    "mute uds_tcp": {"carrier": "uds_tcp", "mute": True},
    "erl_uds": {"carrier": "erl_uds"},
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_two_nodes_talk(beam: Start, otp: Otp, carrier: str) -> None:
    if carrier == "erl_uds" and not otp.erl_uds_source:
        pytest.skip("no release here has the erl_uds_dist example")
    options = CARRIERS[carrier]
    a, b = beam("a@localhost", **options), beam("b@localhost", **options)
    assert b.eval(PING) == "pong"
    assert b.eval(MEGABYTE) == "1000000"
    assert a.eval("nodes()") == "[b@localhost]"


# ---- Ticks and closing, seen by a peer of a few lines


class RawPeer:
    """A hidden node p@localhost that does the handshake and then only reads."""

    FLAGS = 0xD075F5FBC

    def __init__(self, beam: Beam, cookie: bytes = b"secret") -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(f"{beam.socket_dir}/{beam.name.partition('@')[0]}.sock")
        name = b"p@localhost"
        self.send(b"N" + struct.pack(">QIH", self.FLAGS, 1, len(name)) + name)
        assert self.receive() == b"sok"
        (challenge,) = struct.unpack_from(">I", self.receive(), 9)
        self.send(b"r" + struct.pack(">I", 7) + hashlib.md5(cookie + str(challenge).encode()).digest())

    def send(self, packet: bytes) -> None:
        self.socket.sendall(struct.pack(">H", len(packet)) + packet)

    def receive(self) -> bytes:
        (size,) = struct.unpack(">H", self.socket.recv(2, socket.MSG_WAITALL))
        return self.socket.recv(size, socket.MSG_WAITALL)

    def bytes_within(self, seconds: float) -> bytes | None:
        """The bytes before the end of the stream, or None if it does not end."""
        self.socket.settimeout(seconds)
        data = b""
        try:
            while more := self.socket.recv(65536):
                data += more
        except TimeoutError:
            return data or None
        return data

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


TICKING: dict[str, dict[str, object]] = {
    "uds": {"mute": False},
    **{name: options for name, options in CARRIERS.items() if name.startswith("uds_tcp by")},
}


@pytest.mark.parametrize("carrier", TICKING)
def test_ticks_and_closes(beam: Start, carrier: str) -> None:
    options = dict(TICKING[carrier])
    extra = options.pop("extra_args", ())
    assert isinstance(extra, tuple)
    a = beam("a@localhost", extra_args=(*SHORT_TICKS, *extra), **options)
    with RawPeer(a) as peer:
        assert peer.receive()[:1] == b"a"
        ticks = peer.bytes_within(5)  # a peer that never ticks is dropped
        assert ticks and not ticks.strip(b"\0") and len(ticks) % 4 == 0
    a.wait_until("nodes(hidden)", "[]")
    with RawPeer(a) as peer:
        peer.receive()
        a.wait_until("nodes(hidden)", "['p@localhost']")
        a.eval("erlang:disconnect_node('p@localhost')")
        assert peer.bytes_within(5) is not None
    with RawPeer(a, cookie=b"wrong") as peer:
        assert peer.bytes_within(5) == b""


@pytest.mark.parametrize("carrier", ["uds", "uds_tcp"])
def test_mute_neither_ticks_nor_closes(beam: Start, carrier: str) -> None:
    a = beam("a@localhost", carrier=carrier, mute=True, extra_args=SHORT_TICKS)
    with RawPeer(a) as peer:
        assert peer.receive()[:1] == b"a"
        assert peer.bytes_within(2) is None
        assert a.eval("nodes(hidden)") == "[p@localhost]"
        a.eval("erlang:disconnect_node(p@localhost)")
        a.wait_until("nodes(hidden)", "[]")
        assert peer.bytes_within(0.3) is None
    with RawPeer(a, cookie=b"wrong") as peer:
        assert peer.bytes_within(0.3) is None


def sockets_of(beam: Beam) -> int:
    """How many sockets the node has open."""
    folder = f"/proc/{beam.pid}/fd"
    return sum(os.readlink(f"{folder}/{fd}").startswith("socket:") for fd in os.listdir(folder))


def test_each_connection_to_a_node_costs_it_a_socket(beam: Start) -> None:
    a = beam("a@localhost")
    before = sockets_of(a)
    for _ in range(3):
        with RawPeer(a) as peer:
            peer.receive()
            a.wait_until("nodes(hidden)", "['p@localhost']")
        a.wait_until("nodes(hidden)", "[]")
    assert sockets_of(a) == before + 3


# ---- Where version 2 listens, and what the folder must be


@pytest.mark.parametrize("place", ["flag", "environment", "nothing"])
def test_where_version_2_listens(beam: Start, socket_dir: str, place: str) -> None:
    name = f"t{os.getpid()}"
    folder = Path(socket_dir, "made")
    path = Path(f"/tmp/uds-dist-{name}.sock") if place == "nothing" else folder / f"{name}.sock"
    a = beam(f"{name}@localhost", socket_dir=str(folder), place=place)
    assert (path.stat().st_mode & 0o7777, path.is_socket()) == (0o666, True)
    if place != "nothing":
        assert folder.stat().st_mode & 0o7777 == 0o755
    b = beam("b@localhost", socket_dir=str(folder), place=place, listen=False)
    assert b.eval(f"net_adm:ping({name}@localhost)") == "pong"
    assert f"uds_dist listening on {path} with allowed_uids=own" in a.log
    a.stop()
    assert not path.exists()
    assert b.eval(f"net_adm:ping({name}@localhost)") == "pang"
    b.eval("logger_std_h:filesync(default)")
    assert f"uds_dist could not connect to {path}: enoent" in b.log


LISTEN = """begin
    application:set_env(uds_dist, version, 2),
    application:set_env(uds_dist, socket_dir, Folder),
    uds_dist:listen(a)
end"""


def of_a_stranger(path: Path) -> None:
    path.mkdir(0o755)
    os.chown(path, STRANGER, 0)


FLAWS: dict[str, Callable[[Path], None]] = {
    "symlink": lambda path: path.symlink_to("/"),
    "not_directory": lambda path: path.touch(),
    "{unsafe_mode,448}": lambda path: path.mkdir(0o700),
    f"{{not_owned,{STRANGER},0}}": of_a_stranger,
}


def test_folders_that_version_2_refuses(beam: Start, socket_dir: str) -> None:
    lone = beam("")
    for number, (flaw, make) in enumerate(FLAWS.items()):
        path = Path(socket_dir, str(number))
        make(path)
        answer = lone.eval(LISTEN, {"Folder": bytes(path)})
        assert answer == f'{{error,{{unsafe_socket_dir,"{path}",{flaw}}}}}'
    deep = f"{socket_dir}/{'x' * 90}"
    assert lone.eval(LISTEN, {"Folder": deep.encode()}).startswith("{error,{socket_path_too_long,")
    assert not os.path.exists(deep)


# ---- The users that version 2 admits


@contextmanager
def as_a_stranger() -> Iterator[None]:
    """Connect and listen as another user: the kernel records the current effective user id."""
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_version_2_admits_only_its_own_user(beam: Start, socket_dir: str) -> None:
    a = beam("a@localhost")
    with socket.socket(socket.AF_UNIX) as client:
        with as_a_stranger():
            client.connect(f"{socket_dir}/a.sock")
        client.settimeout(5)
        assert client.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(5)
        server.bind(f"{socket_dir}/b.sock")
        with as_a_stranger():
            server.listen()
        assert a.eval("net_adm:ping(b@localhost)") == "pang"
        with server.accept()[0] as accepted:
            assert accepted.recv(1) == b""
    a.eval("logger_std_h:filesync(default)")
    assert f"uds_dist rejected local peer: {{error,{{peer_uid_not_allowed,{STRANGER}}}}}" in a.log
    assert f"uds_dist rejected server at {socket_dir}/b.sock" in a.log
