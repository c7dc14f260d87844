"""What a peer's messages may cost a node: exceeding a limit ends only that connection."""

from __future__ import annotations

import time
import zlib

import pytest

from tests.conftest import MakeNode, MakePeer
from tests.scripted import ScriptedPeer
from uds_dist import Config, Map
from uds_dist.etf.encode import encode
from uds_dist.protocol.control import SEND_SENDER

MERSENNE = (1 << 61) - 1


def packed(plain: bytes) -> bytes:
    return b"P" + len(plain).to_bytes(4, "big") + zlib.compress(plain)


def send_raw(peer: ScriptedPeer, control: tuple[object, ...], payload: bytes) -> None:
    body = b"\x83D\0" + encode(control)[1:] + payload
    peer.write(len(body).to_bytes(4, "big") + body)


@pytest.mark.parametrize(
    "payload",
    [
        packed(b"l\1\0\0\0" + b"j" * 16_777_216 + b"j"),
        b"h\2t\0\0\0\2w\1aw\1aw\1aw\1aw",
        b"h\1" * 600 + b"j",
    ],
    ids=["elements", "cut short", "depth"],
)
def test_a_message_beyond_a_limit_ends_the_connection_alone(
    payload: bytes, make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("node@localhost")
    box = node.mailbox()
    peer, other = make_peer(), make_peer("other@localhost")
    peer.connect(folder, node)
    other.connect(folder, node)
    send_raw(peer, (SEND_SENDER, peer.pid(), box.pid), payload)
    peer.until(peer.is_gone)
    other.tell(box.pid, 1)
    assert box.receive(timeout=5) == 1


def test_a_map_of_keys_with_one_hash_is_received_at_once(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("node@localhost")
    box = node.mailbox()
    peer = make_peer()
    peer.connect(folder, node)
    keys = [MERSENNE * n + 5 for n in range(16_000)]
    body = b"".join([encode(key)[1:] + b"j" for key in keys])
    started = time.process_time()
    send_raw(peer, (SEND_SENDER, peer.pid(), box.pid), b"t" + len(keys).to_bytes(4, "big") + body)
    message = box.receive(timeout=20)
    assert time.process_time() - started < 1.5
    assert type(message) is Map
    assert message[keys[-1]] == []


def test_a_term_as_deep_as_the_limit_passes_a_node_both_ways(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("node@localhost", max_term_depth=2000)
    box = node.mailbox()
    peer = make_peer(config=Config(max_term_depth=2000))
    peer.connect(folder, node)
    deep: object = b"x"
    for _ in range(2000):
        deep = (deep,)
    send_raw(peer, (SEND_SENDER, peer.pid(), box.pid), encode(deep, max_depth=2000)[1:])
    message = box.receive(timeout=5)
    box.send(box.pid, message)
    assert encode(box.receive(timeout=5), max_depth=2000) == encode(deep, max_depth=2000)
    box.send(peer.pid(), message)
    _control, payload = peer.receive()
    assert encode(payload, max_depth=2000) == encode(deep, max_depth=2000)


def test_a_frame_above_the_limit_is_noticed_right_after_a_message(
    make_node: MakeNode, make_peer: MakePeer, folder: str
) -> None:
    node = make_node("node@localhost")
    box = node.mailbox()
    peer = make_peer()
    peer.connect(folder, node)
    peer.write(peer.message((SEND_SENDER, peer.pid(), box.pid), 1) + b"\xff\xff\xff\xff")
    peer.until(peer.is_gone)
    assert box.poll() == 1
