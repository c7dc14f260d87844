"""Helpers for the tests of both directions: combinations of flags, frames cut from sent bytes."""

from __future__ import annotations

import struct

import pytest

from uds_dist.config import Config
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.protocol.decoder import FrameDecoder
from uds_dist.protocol.encoder import Buffer
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.framing import FrameReader

NONE = 0
FRAGMENTS = Flag.FRAGMENTS
CACHE = Flag.DIST_HDR_ATOM_CACHE
BOTH = FRAGMENTS | CACHE
COMBINATIONS = [NONE, FRAGMENTS, CACHE, BOTH]
every_combination = pytest.mark.parametrize(
    "flags", COMBINATIONS, ids=["none", "fragments", "cache", "both"]
)

P = Pid("py@localhost", 1, 0, 7)
Q = Pid("myapp@localhost", 85, 0, 8)
R = Reference("myapp@localhost", 8, (1, 2, 3))
CONTROL = (22, P, Q)
CONFIG = Config()
SMALL = Config(fragment_size=100)


def frames_of(buffers: list[Buffer]) -> list[bytes]:
    """The frames that a peer would cut out of what was sent."""
    reader = FrameReader(CONFIG, 4)
    for buffer in buffers:
        reader.feed(bytes(buffer))
    frames = reader.frames(1_000_000)
    assert reader.unread == 0
    return [bytes(frame) for frame in frames]


def receive(decoder: FrameDecoder, buffers: list[Buffer]) -> list[object]:
    found: list[object] = []
    for frame in frames_of(buffers):
        message = decoder.decode(frame)
        if message is not None:
            found.append(message)
    return found


def table(*entries: tuple[int, bytes | None], wide: bool = False) -> bytes:
    """A header's table of atoms by hand: (entry, text of a new atom or None)."""
    halves = [entry >> 8 | (8 if text is not None else 0) for entry, text in entries]
    halves += [1 if wide else 0, 0]
    flags = bytes(
        halves[2 * n] | halves[2 * n + 1] << 4 for n in range(len(entries) // 2 + 1)
    )
    refs = b"".join(
        bytes((entry & 255,))
        + (b"" if text is None else struct.pack(">H" if wide else ">B", len(text)) + text)
        for entry, text in entries
    )
    return bytes((len(entries),)) + flags + refs


# A control tuple by hand, its atoms the first two of the header: {6, Pid, '', ''}, {2, '', Pid}.
PID_BY_REF = b"XR\x00" + struct.pack(">III", 85, 0, 8)
SEND_BY_REF = b"h\x03a\x02R\x01" + PID_BY_REF
SEND_INLINE = b"h\x03a\x02w\x00Xw\x0fmyapp@localhost" + struct.pack(">III", 85, 0, 8)
SEND = (2, Atom(""), Q)
