"""Fuzzers of the protocol storey. They accept only the documented exceptions:

- `FrameReader`: RemoteProtocolError;
- `FrameDecoder.decode` and `control.parse`: RemoteProtocolError (a bad term is its cause);
- `Handshake.receive`: HandshakeError and its subclasses, RemoteProtocolError.

Any other exception fails the test, and so does an answer that takes too much memory. Each case is
made from a seed, which repeats it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from uds_dist.config import Config
from uds_dist.errors import HandshakeError, RemoteProtocolError
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.decoder import FrameDecoder
from uds_dist.protocol.encoder import FrameEncoder
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.framing import FrameReader, handshake_frame
from uds_dist.protocol.handshake import Handshake
from uds_dist.protocol.handshake_messages import Status
from uds_dist.protocol.handshake_table import Role, State
from uds_dist.protocol.parse import parse
from uds_dist.protocol.session import Answer, Session

CASES = 60
SEEDS = range(10)
CONFIG = Config(
    fragment_size=200,
    max_frame_size=100_000,
    max_message_size=200_000,
    max_fragment_sequences=20,
    max_decompressed_size=100_000,
)
CACHE = Flag.DIST_HDR_ATOM_CACHE
COMBINATIONS = [0, Flag.FRAGMENTS, CACHE, CACHE | Flag.FRAGMENTS]

P = Pid("py@localhost", 1, 0, 7)
Q = Pid("myapp@localhost", 85, 0, 8)
R = Reference("myapp@localhost", 8, (1, 2, 3, 4, 5))
FLAGS = default_flags(Config())

INTERESTING = (0, 1, 2, 3, 4, 8, 15, 16, 68, 69, 70, 82, 97, 104, 108, 112, 127, 128, 131, 255)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Damage some bytes in one of several ways."""
    broken = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(broken) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            del broken[at : at + rng.randrange(1, 9)]
        elif kind == 1:
            broken[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del broken[at:]
        elif kind == 3:
            broken[at:at] = broken[rng.randrange(len(broken) + 1) :][: rng.randrange(40)]
        elif at < len(broken):
            if kind == 4:
                broken[at] ^= 1 << rng.randrange(8)
            elif kind == 5:
                broken[at] = rng.choice(INTERESTING)
            else:
                width = rng.choice([1, 2, 4, 8])
                broken[at : at + width] = rng.choice([0, 255]).to_bytes(1, "big") * width
    return bytes(broken)


def messages(rng: random.Random) -> list[tuple[tuple[object, ...], object]]:
    name = Atom(f"name_{rng.randrange(30)}")
    every: list[tuple[tuple[object, ...], object]] = [
        ((22, P, Q), [name, {Atom("key"): rng.randbytes(20)}, 1.5, 1 << 70]),
        ((6, P, Atom(""), name), (Atom("$gen_call"), (P, [Atom("alias"), R]), name)),
        ((33, P, R), rng.randbytes(rng.randrange(1000))),
        ((19, P, name, R), NO_PAYLOAD),
        ((35, rng.randrange(1, 1 << 64), P, Q), NO_PAYLOAD),
        ((37, 4, P, R), [Atom("é" * 200), name]),
        (
            (29, R, P, Q, (Atom("erpc"), name, 4), [Atom("monitor")]),
            [Atom(f"a{n}") for n in range(rng.randrange(300))],
        ),
    ]
    return rng.sample(every, 4)


def frames_of(encoder: FrameEncoder, rng: random.Random) -> list[bytes]:
    reader = FrameReader(Config(), 4)
    for control, payload in messages(rng):
        for buffer in encoder.encode(control, payload):
            reader.feed(bytes(buffer))
    return [bytes(frame) for frame in reader.frames(10_000)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("flags", COMBINATIONS, ids=["none", "fragments", "cache", "both"])
def test_mutated_frames(flags: int, seed: int) -> None:
    rng = random.Random(seed)
    refused = 0
    for _ in range(CASES):
        encoder, decoder = FrameEncoder(flags, CONFIG), FrameDecoder(flags, CONFIG)
        for frame in frames_of(encoder, rng):
            if rng.random() < 0.3:
                frame = mutate(rng, frame)
            try:
                message = decoder.decode(frame)
                if message is not None:
                    control, payload = message
                    parse(control, payload is not NO_PAYLOAD)
            except RemoteProtocolError:
                # A connection would end here. Continuing finds more, and must not be worse.
                refused += 1
        assert decoder.unfinished_bytes <= CONFIG.max_message_size
        assert decoder.unfinished_sequences <= CONFIG.max_fragment_sequences
    assert refused > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("flags", COMBINATIONS, ids=["none", "fragments", "cache", "both"])
def test_random_frames(flags: int, seed: int) -> None:
    rng = random.Random(seed)
    decoder = FrameDecoder(flags, CONFIG)
    starts = [b"", b"p\x83", b"\x83D", b"\x83D\x00", b"\x83E", b"\x83F", b"\x83D\x00h\x03a\x02"]
    starts += [
        b"\x83E" + struct.pack(">QQ", n % 3, n) + b"\x00h\x03a\x02w\x00X" for n in range(5)
    ]
    starts += [b"\x83F" + struct.pack(">QQ", n % 3, n) for n in range(5)]
    for _ in range(CASES * 10):
        frame = rng.choice(starts) + rng.randbytes(rng.choice([0, 1, 5, 30, 300]))
        try:
            decoder.decode(frame)
        except RemoteProtocolError:
            pass
    assert decoder.unfinished_sequences <= CONFIG.max_fragment_sequences


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_streams(seed: int) -> None:
    """The whole path in: a damaged stream, cut at random, through reader, decoder and parser."""
    rng = random.Random(seed)
    for _ in range(CASES):
        sender, hearer = sessions(rng)
        stream = b"".join(
            bytes(buffer)
            for control, payload in messages(rng)
            for buffer in sender.send(control, payload)
        )
        stream = mutate(rng, stream)
        at = 0
        try:
            while at < len(stream):
                count = rng.choice([1, rng.randrange(1, 50), rng.randrange(1, 5000)])
                hearer.receive_data(stream[at : at + count])
                at += count
                while (event := hearer.next_event()) is not None:
                    assert isinstance(event, tuple)
                    parse(event[0], event[1] is not NO_PAYLOAD)
        except RemoteProtocolError:
            continue
        assert hearer.reader.unread <= CONFIG.max_frame_size


def sessions(rng: random.Random) -> tuple[Session, Session]:
    """Two sides of a finished handshake that was cut into random pieces."""
    initiator, acceptor = (
        Handshake(role, f"{role.value}@localhost", 1, FLAGS, cookie_for=lambda _name: "cookie")
        for role in (Role.INITIATOR, Role.ACCEPTOR)
    )
    a, b = Session(initiator, CONFIG), Session(acceptor, CONFIG)
    wires = {a: b"", b: a.begin()}
    while not (a.is_up and b.is_up):
        hearer = rng.choice([a, b])
        count = rng.randrange(1, 100)
        hearer.receive_data(wires[hearer][:count])
        wires[hearer] = wires[hearer][count:]
        while (event := hearer.next_event()) is not None:
            if isinstance(event, Answer):
                wires[b if hearer is a else a] += event.data
    return a, b


# --- the handshake --------------------------------------------------------------------------------


def pair(rng: random.Random) -> tuple[Handshake, Handshake]:
    """An initiator and an acceptor, with random settings."""
    dynamic = rng.random() < 0.2
    status = rng.choice([Status.OK, Status.OK, Status.OK_SIMULTANEOUS, Status.NOK, Status.ALIVE])
    connected = rng.random() < 0.3

    def cookie_for(name: str) -> str:
        return "cookie"

    def assign_name(host: str) -> tuple[str, int]:
        return f"dynamic@{host}", 5

    challenge: Callable[[], int] = lambda: rng.getrandbits(32)  # noqa: E731
    a = Handshake(
        Role.INITIATOR,
        "localhost" if dynamic else "py@localhost",
        1,
        FLAGS | Flag.NAME_ME if dynamic else FLAGS,
        cookie_for=cookie_for,
        expected=rng.choice([None, "b@localhost"]),
        still_connected=lambda name: connected,
        challenge=challenge,
    )
    b = Handshake(
        Role.ACCEPTOR,
        "b@localhost",
        2,
        FLAGS,
        cookie_for=cookie_for,
        choose_status=lambda peer: Status.OK if peer.flags & Flag.NAME_ME else status,
        assign_name=assign_name,
        challenge=challenge,
    )
    return a, b


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_handshakes(seed: int) -> None:
    rng = random.Random(seed)
    ends = {State.UP: 0, State.REFUSED: 0, State.FAILED: 0}
    for _ in range(CASES * 4):
        a, b = pair(rng)
        queue = [(b, message) for message in a.begin()]
        mutations = 0
        try:
            while queue:
                hearer, message = queue.pop(0)
                if rng.random() < 0.2:
                    message = mutate(rng, message)
                    mutations += 1
                other = a if hearer is b else b
                queue += [(other, answer) for answer in hearer.receive(message)]
        except (HandshakeError, RemoteProtocolError):
            assert State.FAILED in (a.state, b.state)
        for handshake in (a, b):
            if handshake.state in ends:
                ends[handshake.state] += 1
            if handshake.is_up:
                assert handshake.peer is not None
                assert handshake.effective_flags & Flag.V4_NC
    assert all(ends.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_random_handshake_messages(seed: int) -> None:
    rng = random.Random(seed)
    texts = [b"s" + status.value.encode() for status in Status]
    texts += [b"N", b"n", b"r", b"a", b"c", b"s", b"", b"x"]
    for _ in range(CASES * 10):
        handshake = rng.choice(pair(rng))
        handshake.begin()
        for _ in range(3):
            message = rng.choice(texts) + rng.randbytes(rng.choice([0, 0, 1, 20, 40]))
            try:
                handshake.receive(message)
            except (HandshakeError, RemoteProtocolError):
                break
            assert not handshake.is_up


@pytest.mark.parametrize("seed", SEEDS)
def test_random_handshake_streams_never_connect(seed: int) -> None:
    """Without the cookie no stream of bytes ends in a connection."""
    rng = random.Random(seed)
    a, _ = pair(rng)
    name = b"".join(handshake_frame(message) for message in a.begin())
    for _ in range(CASES):
        _, b = pair(rng)
        reader = FrameReader(CONFIG)
        reader.feed(name if rng.random() < 0.5 else mutate(rng, name))
        reader.feed(handshake_frame(b"r" + rng.randbytes(20)))
        try:
            while (frame := reader.next_frame()) is not None:
                b.receive(frame)
        except (HandshakeError, RemoteProtocolError):
            pass
        assert not b.is_up
