"""`run_once` never raises because of a peer; what a peer breaks is its own connection.

The failure of the library is made up here: the handler of a process is a function of the library
that cannot take the message.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.inside import inside
from tests.scripted import ScriptedPeer
from uds_dist import Atom, BusyError, Config, EventLoop, Node, UdsDistError, encode
from uds_dist.errors import RemoteProtocolError
from uds_dist.etf.decode import decode
from uds_dist.protocol.control import (
    EXIT,
    LINK,
    MONITOR_P,
    MONITOR_P_EXIT,
    PAYLOAD_EXIT2,
    REG_SEND,
)
from uds_dist.protocol.flags import Flag, default_flags

TO_NET_KERNEL = Atom("net_kernel")
NOT_A_TERM = b"\x83\xff"
TAKES_TERMS: Any = decode  # of the library, and raises for what is not an encoded term


@pytest.fixture
def errors() -> list[UdsDistError]:
    """The calls of `on_down`."""
    return []


@pytest.fixture
def node(make_node: MakeNode, errors: list[UdsDistError]) -> Iterator[Node]:
    """A node with a service that fails at messages which are not encoded terms."""
    node = make_node("node@localhost", on_down=lambda _name, error: errors.append(error))
    service = node.processes.by_name["net_kernel"]
    before, service.on_message = service.on_message, TAKES_TERMS
    yield node
    service.on_message = before


@pytest.fixture
def bad_peer(node: Node, make_peer: MakePeer, folder: str) -> ScriptedPeer:
    """A peer of it."""
    peer = make_peer()
    peer.connect(folder, node)
    return peer


def test_a_message_that_breaks_the_library_ends_its_connection_and_no_other(
    node: Node,
    bad_peer: ScriptedPeer,
    make_peer: MakePeer,
    folder: str,
    errors: list[UdsDistError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = make_peer("other@localhost")
    other.connect(folder, node)
    box = node.mailbox()
    bad_peer.tell(box.pid, "before")
    bad_peer.send((REG_SEND, bad_peer.pid(), Atom(""), TO_NET_KERNEL), NOT_A_TERM)
    bad_peer.until(lambda: errors)
    assert "the connection to peer@localhost was ended: this library failed" in str(errors[0])
    assert node.nodes() == ["other@localhost"]
    assert box.poll() == b"before"
    other.tell(box.pid, "after")
    assert box.receive(timeout=5) == b"after"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None and record.exc_info[0] is not None


def test_a_fault_at_a_message_that_waited_is_logged(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.send("net_kernel", NOT_A_TERM)
    for _ in range(5):
        node.loop.run_once(0)
    assert any("net_kernel failed at a message" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    "error", [ValueError("v"), BusyError("b"), RemoteProtocolError("r"), UdsDistError("u")]
)
def test_what_a_program_s_handler_raises_is_for_the_program(
    node: Node, bad_peer: ScriptedPeer, error: Exception, loop: EventLoop
) -> None:
    handler = Mock(side_effect=[error, None])  # no code of this test is in the traceback
    box = node.mailbox(on_message=handler)
    bad_peer.tell(box.pid, 1)
    bad_peer.tell(box.pid, 2)
    with pytest.raises(type(error)) as caught:
        bad_peer.until(lambda: False)
    assert caught.value is error
    bad_peer.until(lambda: handler.call_count == 2)
    assert node.nodes() == [bad_peer.name]


def test_a_handler_that_is_a_function_of_the_library_is_the_program_s(
    node: Node, bad_peer: ScriptedPeer
) -> None:
    box = node.mailbox(on_message=TAKES_TERMS)
    bad_peer.tell(box.pid, NOT_A_TERM)
    with pytest.raises(UdsDistError):
        bad_peer.until(lambda: False)
    assert node.nodes() == [bad_peer.name]


def test_output_that_fails_is_for_the_program(node: Node, bad_peer: ScriptedPeer) -> None:
    node.output = Mock(side_effect=OSError("the terminal is gone"))
    request = (Atom("put_chars"), Atom("unicode"), b"text")
    leader = node.mailbox().group_leader or node._leader.pid
    bad_peer.tell(leader, (Atom("io_request"), bad_peer.pid(), Atom("tag"), request))
    with pytest.raises(OSError, match="the terminal is gone"):
        bad_peer.until(lambda: False)
    assert node.nodes() == [bad_peer.name]
    payload = bad_peer.receive()[1]
    assert payload == (Atom("io_reply"), Atom("tag"), (Atom("error"), Atom("terminated")))


def test_one_tie_that_cannot_be_told_does_not_keep_the_others(
    node: Node, bad_peer: ScriptedPeer, caplog: pytest.LogCaptureFixture
) -> None:
    box = node.mailbox(trap_exit=True)
    broken = node.mailbox()
    for process in (box, broken):
        bad_peer.send((LINK, bad_peer.pid(), process.pid))
    bad_peer.send((MONITOR_P, bad_peer.pid(), broken.pid, bad_peer.reference()))
    bad_peer.until(lambda: inside(broken).watchers)
    broken.on_unwatched = TAKES_TERMS
    bad_peer.close()
    message = box.receive(timeout=5)
    assert isinstance(message, tuple) and message[0] == "EXIT"
    assert any("could not report" in record.message for record in caplog.records)


def test_an_accept_that_fails_does_not_leave_run_once(
    make_node: MakeNode, make_peer: MakePeer, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node("node@localhost")
    listener = node._peers.listener
    assert listener is not None

    class Broken:
        def __init__(self, sock: object) -> None:
            self.sock = sock
            self.failures = 1

        def accept(self) -> object:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EPROTO, "protocol error")
            return self.sock.accept()  # type: ignore[attr-defined]

        def __getattr__(self, name: str) -> object:
            return getattr(self.sock, name)

    sock = listener._socket
    monkeypatch.setattr(listener, "_socket", Broken(sock))
    peer = make_peer()
    peer.connect(folder, node)
    assert node.nodes() == [peer.name]
    monkeypatch.setattr(listener, "_socket", sock)


@pytest.mark.parametrize("kind", ["opaque", "deep"])
def test_an_end_for_a_reason_that_cannot_be_passed_on_is_told_to_all(
    make_node: MakeNode, make_peer: MakePeer, folder: str, kind: str
) -> None:
    node = make_node("n@localhost")
    flags = default_flags(Config()) & ~Flag.EXIT_PAYLOAD
    watcher, killer = make_peer("watcher@localhost", flags=flags), make_peer("killer@localhost")
    for peer in (watcher, killer):
        peer.connect(folder, node)
    box = node.mailbox()
    ref = watcher.monitor(box.pid)
    watcher.send((LINK, watcher.pid(), box.pid))
    assert watcher.settle() == []

    control = encode((PAYLOAD_EXIT2, killer.pid(), box.pid))[1:]
    # A term in the format of another node, and one as deep as a term may be.
    reason = b"yopaque" if kind == "opaque" else b"h\x01" * 512 + b"j"
    frame = b"\x83D\x00" + control + reason
    killer.write(len(frame).to_bytes(4, "big") + frame)
    assert killer.settle() == []
    assert not box.alive
    told = [message for message, _ in watcher.settle()]
    bad = Atom("badarg")
    down = (MONITOR_P_EXIT, box.pid, watcher.pid(), ref, bad)
    assert told == [down, (EXIT, box.pid, watcher.pid(), bad)]
