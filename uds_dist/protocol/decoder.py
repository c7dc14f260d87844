"""The frames of a connection that is up, on the way in: to control tuples and payloads.

`header` describes their format.

Source: External Term Format, section "Distribution Header" and its subsections; Distribution
Protocol, section "Protocol between Connected Nodes".
"""

from __future__ import annotations

from functools import cache
from struct import Struct
from typing import Final

from uds_dist.config import Config
from uds_dist.errors import DecodeError, RemoteProtocolError
from uds_dist.etf.decode import COMPILED, decode_term
from uds_dist.etf.leaves import atom_term
from uds_dist.etf.reader import DEAREST_BYTE, DEEPEST, read_term
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.fragments import FragmentSequence
from uds_dist.protocol.framing import Frame
from uds_dist.protocol.header import (
    FIRST_FRAGMENT,
    HEADER,
    LATER_FRAGMENT,
    LONG_ATOMS,
    MAX_REMEMBERED,
    NEW_ENTRY,
    PASS_THROUGH,
    SEGMENT,
    VERSION,
)

# (DIST_HDR_ATOM_CACHE, FRAGMENTS) -> the tags of the frames that may come.
_SANCTIONED: dict[tuple[bool, bool], frozenset[int]] = {
    (False, False): frozenset((PASS_THROUGH,)),
    (False, True): frozenset((HEADER, FIRST_FRAGMENT, LATER_FRAGMENT)),
    (True, False): frozenset((HEADER,)),
    (True, True): frozenset((HEADER, FIRST_FRAGMENT, LATER_FRAGMENT)),
}

_U32: Final = Struct(">I")
_IDS: Final = Struct(">QQ")
_NO_ATOMS: tuple[object, ...] = ()

# The largest term of a control message. A name, pids and a trace token take less than 2 KiB.
MAX_CONTROL_SIZE: Final = 64 * 1024
_MAX_CONTROL_TERMS: Final = 1_000_000
_COMPRESSED: Final = 80
# A term takes up to this many times its bytes in memory.
_MEMORY_OF_TERM: Final = 80


class Postponed:
    """A payload that is not decoded yet, with all that `FrameDecoder.payload` needs for it."""

    __slots__ = ("atoms", "data", "pos", "size")

    def __init__(self, data: bytes, pos: int, atoms: tuple[object, ...]) -> None:
        self.data = data
        self.pos = pos
        self.atoms = atoms
        self.size = len(data)


@cache
def _small_frame(max_terms: int) -> int:
    """The most bytes that cannot hold too many elements; one number for all connections."""
    return min(max_terms, _MAX_CONTROL_TERMS) // DEAREST_BYTE


class FrameDecoder:
    """Turns the frames of one connection into control tuples and payloads.

    Args:
        effective_flags: the capabilities of both nodes, `Handshake.effective_flags`.
        config: ``max_message_size``, ``max_decompressed_size`` (bytes), ``max_message_terms``,
            ``max_term_depth`` and ``max_fragment_sequences`` are read. ``max_message_size`` bounds
            each message, the payloads of all unfinished ones together, and what the control
            messages and the headers of all unfinished ones take in memory together.

    ``message_size`` is the last message's size on the wire in bytes, or its uncompressed size.
    While ``postponing`` is true, `decode` gives a `Postponed` instead of a payload.
    """

    __slots__ = (
        "max_message_size",
        "max_fragment_sequences",
        "message_size",
        "postponing",
        "_depth",
        "_decompressed",
        "_terms",
        "_small",
        "_sanctioned",
        "_caching",
        "_cache",
        "_known_tables",
        "_sequences",
        "_pending",
        "_held",
    )

    def __init__(self, effective_flags: int, config: Config) -> None:
        self.max_message_size = config.max_message_size
        self.max_fragment_sequences = config.max_fragment_sequences
        self.message_size = 0
        self.postponing = False
        self._depth = min(config.max_term_depth, DEEPEST)
        self._decompressed = config.max_decompressed_size
        self._terms = config.max_message_terms
        # Interpreted code reads the terms of a small frame without a budget. Compiled,
        # `decode_term` has a faster way for all frames.
        self._small = -1 if COMPILED else _small_frame(config.max_message_terms)
        self._caching = bool(effective_flags & Flag.DIST_HDR_ATOM_CACHE)
        self._sanctioned = _SANCTIONED[self._caching, bool(effective_flags & Flag.FRAGMENTS)]
        # Both directions' caches are dicts, not tables of 2048: there may be many idle connections.
        self._cache: dict[int, object] = {}
        self._known_tables: dict[bytes, tuple[object, ...]] = {}
        self._sequences: dict[int, FragmentSequence] = {}
        self._pending = 0
        self._held = 0  # bytes of memory, of the control messages and the atoms of headers

    @property
    def unfinished_sequences(self) -> int:
        """How many fragmented messages are unfinished."""
        return len(self._sequences)

    @property
    def unfinished_bytes(self) -> int:
        """How many payload bytes of unfinished messages are held."""
        return self._pending

    def decode(self, frame: Frame) -> tuple[tuple[object, ...], object] | None:
        """Decode one frame.

        Args:
            frame: without its length prefix, as `FrameReader.frames` gives it.
        Returns:
            The control tuple and the payload (`NO_PAYLOAD` where there is none) of a complete
            message; None for a tick, and for a fragment that leaves its message unfinished.
        Raises:
            RemoteProtocolError: the frame is malformed or not allowed by the flags, does not hold
                valid terms (the cause is then the DecodeError), or exceeds a limit. The connection
                cannot be used any more.

        Source: Distribution Protocol, section "Protocol between Connected Nodes".
        """
        size = len(frame)
        if size == 0:
            return None
        if size > self.max_message_size:
            raise self._too_large(size)
        self.message_size = size
        try:
            if not isinstance(frame, bytes):
                if self._is_later_fragment(frame):
                    return self._later_fragment(frame)
                frame = bytes(frame)  # terms are decoded from bytes
            data: bytes = frame
            if size > 2 and data[0] == VERSION:
                kind = data[1]
                if kind not in self._sanctioned:
                    raise self._unsanctioned(kind)
                if kind == HEADER:
                    if data[2] == 0:
                        return self._message(data, 3, _NO_ATOMS)
                    atoms, pos = self._atom_table(data, 2)
                    return self._message(data, pos, atoms)
                if kind == FIRST_FRAGMENT:
                    return self._first_fragment(data)
                return self._later_fragment(data)
            if data[0] == PASS_THROUGH and PASS_THROUGH in self._sanctioned:
                return self._passed_through(data)
        except DecodeError as error:
            refusal = RemoteProtocolError(f"the peer sent a frame with a bad term: {error}")
            refusal.__cause__ = error  # mypyc drops the cause of `raise ... from`
            raise refusal
        if data[0] == VERSION:
            raise RemoteProtocolError("the peer sent a frame that ends within its header")
        raise self._unsanctioned(data[0])

    def payload(self, postponed: Postponed) -> object:
        """Decode a postponed payload.

        Raises:
            RemoteProtocolError: it is not one whole term.
        """
        data = postponed.data
        try:
            payload, pos = decode_term(
                data,
                postponed.pos,
                postponed.atoms,
                self._depth,
                self._decompressed,
                self._terms,
            )
        except DecodeError as error:
            refusal = RemoteProtocolError(f"the peer sent a frame with a bad term: {error}")
            refusal.__cause__ = error
            raise refusal
        if pos != len(data):
            raise _trailing(len(data) - pos)
        self.message_size = postponed.size
        if data[postponed.pos] == _COMPRESSED:
            self._count_inflated(data, postponed.pos)
        return payload

    def _count_inflated(self, data: bytes, pos: int) -> None:
        """Make the size of a message count a compressed payload's uncompressed size."""
        (size,) = _U32.unpack_from(data, pos + 1)
        self.message_size = max(self.message_size, size)

    # --- whole messages ---

    def _message(
        self, frame: bytes, pos: int, atoms: tuple[object, ...]
    ) -> tuple[tuple[object, ...], object]:
        depth = self._depth
        size = len(frame)
        if size > self._small:
            control, end = decode_term(
                frame, pos, atoms, depth, MAX_CONTROL_SIZE, _MAX_CONTROL_TERMS
            )
        else:
            control, end = read_term(
                frame, pos, atoms, depth, MAX_CONTROL_SIZE, _MAX_CONTROL_TERMS, None
            )
        if not isinstance(control, tuple):
            raise _no_tuple(control)
        if end > MAX_CONTROL_SIZE and end - pos > MAX_CONTROL_SIZE:
            raise _control_too_large(end - pos)
        if end == size:
            return control, NO_PAYLOAD
        if self.postponing:
            return control, Postponed(frame, end, atoms)
        decompressed = self._decompressed
        terms = self._terms
        if size > self._small:
            payload, pos = decode_term(frame, end, atoms, depth, decompressed, terms)
        else:
            payload, pos = read_term(frame, end, atoms, depth, decompressed, terms, None)
        if pos != size:
            raise _trailing(size - pos)
        if frame[end] == _COMPRESSED:
            self._count_inflated(frame, end)
        return control, payload

    def _passed_through(self, frame: bytes) -> tuple[tuple[object, ...], object]:
        if len(frame) < 2 or frame[1] != VERSION:
            raise _no_version("control message")
        control, pos = decode_term(
            frame, 2, _NO_ATOMS, self._depth, MAX_CONTROL_SIZE, _MAX_CONTROL_TERMS
        )
        if not isinstance(control, tuple):
            raise _no_tuple(control)
        if pos > MAX_CONTROL_SIZE:
            raise _control_too_large(pos)
        if pos == len(frame):
            return control, NO_PAYLOAD
        if frame[pos] != VERSION:
            raise _no_version("payload")
        if self.postponing:
            return control, Postponed(frame, pos + 1, _NO_ATOMS)
        begin = pos + 1
        payload, pos = decode_term(
            frame, begin, _NO_ATOMS, self._depth, self._decompressed, self._terms
        )
        if pos != len(frame):
            raise _trailing(len(frame) - pos)
        if frame[begin] == _COMPRESSED:
            self._count_inflated(frame, begin)
        return control, payload

    # --- the atom cache ---

    def _atom_table(self, frame: bytes, pos: int) -> tuple[tuple[object, ...], int]:
        """Read the atoms of a header, from their count to the first term."""
        if pos >= len(frame):
            raise _header_cut_off()
        count = frame[pos]
        if count == 0:
            return _NO_ATOMS, pos + 1
        if not self._caching:
            raise RemoteProtocolError(
                f"the peer sent a header with {count} atoms, though the atom cache was not agreed"
                " upon in the handshake"
            )
        refs = pos + 1 + count // 2 + 1
        end = refs + count
        if end > len(frame):
            raise _header_cut_off()
        # Without a new entry the header ends here, and its bytes mean the same atoms until one of
        # their entries is overwritten. Headers with new entries are never cached.
        key = frame[pos:end]
        known = self._known_tables.get(key)
        if known is not None:
            return known, end
        return self._read_atom_table(frame, pos, count, key)

    def _read_atom_table(
        self, frame: bytes, pos: int, count: int, key: bytes
    ) -> tuple[tuple[object, ...], int]:
        flags = pos + 1
        size = len(frame)
        wide = frame[flags + count // 2] >> (count % 2 * 4) & LONG_ATOMS
        at = flags + count // 2 + 1
        cache = self._cache
        atoms: list[object] = []
        any_new = False
        for index in range(count):
            half = frame[flags + index // 2] >> (index % 2 * 4)
            if at >= size:
                raise _header_cut_off()
            entry = (half & SEGMENT) << 8 | frame[at]
            at += 1
            if half & NEW_ENTRY:
                any_new = True
                if at + 1 + wide > size:
                    raise _header_cut_off()
                if wide:
                    length = frame[at] << 8 | frame[at + 1]
                    at += 2
                else:
                    length = frame[at]
                    at += 1
                if at + length > size:
                    raise _header_cut_off()
                atom = atom_term(frame[at : at + length])
                at += length
                if entry in cache:
                    self._known_tables.clear()
                cache[entry] = atom
            else:
                atom = cache.get(entry, _NO_ATOMS)
                if atom is _NO_ATOMS:
                    raise RemoteProtocolError(
                        f"the peer referred to entry {entry} of the atom cache, which it never set"
                    )
            atoms.append(atom)
        table = tuple(atoms)
        if not any_new:
            if len(self._known_tables) >= MAX_REMEMBERED:
                self._known_tables.clear()
            self._known_tables[key] = table
        return table, at

    # --- fragments ---

    def _first_fragment(self, frame: bytes) -> tuple[tuple[object, ...], object] | None:
        if len(frame) < 19:
            raise _header_cut_off()
        sequence_id, fragment_id = _IDS.unpack_from(frame, 2)
        atoms, pos = self._atom_table(frame, 18)
        if sequence_id in self._sequences:
            raise RemoteProtocolError(
                f"the peer began the fragment sequence {sequence_id:#x} again before its end"
            )
        if fragment_id == 0:
            raise RemoteProtocolError("the peer began a fragment sequence with fragment id 0")
        if fragment_id == 1:
            return self._message(frame, pos, atoms)
        if len(self._sequences) >= self.max_fragment_sequences:
            raise RemoteProtocolError(
                f"the peer has {len(self._sequences)} unfinished fragment sequences: raise"
                " Config.max_fragment_sequences to allow more"
            )
        control, end = decode_term(
            frame, pos, atoms, self._depth, MAX_CONTROL_SIZE, _MAX_CONTROL_TERMS
        )
        if not isinstance(control, tuple):
            raise _no_tuple(control)
        size = end - pos
        if size > MAX_CONTROL_SIZE:
            raise _control_too_large(size)
        if frame[pos] == _COMPRESSED:
            size = MAX_CONTROL_SIZE  # its largest possible uncompressed size
        memory = size * _MEMORY_OF_TERM + _memory_of_atoms(atoms)
        sequence = FragmentSequence(control, atoms, fragment_id - 1, memory)
        held = self._held + memory
        if held > self.max_message_size and self._sequences:
            raise self._too_large(held)
        self._held = held
        self._sequences[sequence_id] = sequence
        self._add(sequence, frame, end)
        return None

    def _is_later_fragment(self, frame: memoryview) -> bool:
        return (
            len(frame) > 2
            and frame[0] == VERSION
            and frame[1] == LATER_FRAGMENT
            and LATER_FRAGMENT in self._sanctioned
        )

    def _later_fragment(self, frame: Frame) -> tuple[tuple[object, ...], object] | None:
        if len(frame) < 18:
            raise _header_cut_off()
        sequence_id, fragment_id = _IDS.unpack_from(frame, 2)
        sequence = self._sequences.get(sequence_id)
        if sequence is None:
            raise RemoteProtocolError(
                f"the peer sent fragment {fragment_id} of the sequence {sequence_id:#x}, which it"
                " never began"
            )
        if fragment_id != sequence.due:
            raise RemoteProtocolError(
                f"the peer sent fragment {fragment_id} of the sequence {sequence_id:#x},"
                f" expected {sequence.due}"
            )
        self._add(sequence, frame, 18)
        if fragment_id > 1:
            sequence.due = fragment_id - 1
            return None
        del self._sequences[sequence_id]
        self._pending -= sequence.size
        self.message_size = sequence.size
        self._held -= sequence.memory
        if sequence.size == 0:
            return sequence.control, NO_PAYLOAD
        if self.postponing:
            return sequence.control, Postponed(sequence.joined(), 0, sequence.atoms)
        binary = sequence.binary()
        if binary is not None:
            return sequence.control, binary
        whole = sequence.joined()
        payload, pos = decode_term(
            whole, 0, sequence.atoms, self._depth, self._decompressed, self._terms
        )
        if pos != len(whole):
            raise _trailing(len(whole) - pos)
        if whole[0] == _COMPRESSED:
            self._count_inflated(whole, 0)
        return sequence.control, payload

    def _add(self, sequence: FragmentSequence, frame: Frame, pos: int) -> None:
        count = len(frame) - pos
        if self._pending + count > self.max_message_size:
            raise self._too_large(self._pending + count)
        self._pending += count
        sequence.add(memoryview(frame)[pos:])

    # --- errors ---

    def _too_large(self, size: int) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"the peer sent {size} bytes of one message or of unfinished ones; the limit is"
            f" {self.max_message_size}: raise Config.max_message_size to allow more"
        )

    def _unsanctioned(self, kind: int) -> RemoteProtocolError:
        wanted = ", ".join(str(tag) for tag in sorted(self._sanctioned))
        return RemoteProtocolError(
            f"the peer sent a frame of the kind {kind}; the flags of the handshake allow {wanted}"
        )


def _memory_of_atoms(atoms: tuple[object, ...]) -> int:
    """The most that a header's atoms take in memory: the cache may forget them before the end."""
    return sum([_MEMORY_OF_TERM + 4 * len(atom) for atom in atoms if isinstance(atom, str)])


def _no_tuple(control: object) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the peer sent a control message that is not a tuple but {type(control).__name__}"
    )


def _control_too_large(size: int) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the peer sent a control message of {size} bytes; at most {MAX_CONTROL_SIZE} are allowed"
    )


def _no_version(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the {what} of a frame does not start with the version {VERSION}")


def _trailing(count: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"the peer sent a frame with {count} bytes after its terms")


def _header_cut_off() -> RemoteProtocolError:
    return RemoteProtocolError("the peer sent a frame that ends within its header")
