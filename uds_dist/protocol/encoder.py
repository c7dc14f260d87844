"""The frames of a connection that is up, on the way out: from control tuples and payloads.

`header` describes their format.

Source: External Term Format, section "Distribution Header" and its subsections; Distribution
Protocol, section "Protocol between Connected Nodes".
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Union

from uds_dist.config import Config
from uds_dist.errors import EncodeError, LocalProtocolError
from uds_dist.etf.decode import COMPILED
from uds_dist.etf.encode import encode_parts, explained, parts_of
from uds_dist.etf.reader import DEEPEST
from uds_dist.etf.writer import write_term
from uds_dist.protocol.control import NO_PAYLOAD
from uds_dist.protocol.flags import Flag
from uds_dist.protocol.header import (
    CACHE_SIZE,
    FIRST_FRAGMENT,
    HEADER,
    LATER_FRAGMENT,
    LONG_ATOMS,
    MAX_REMEMBERED,
    NEW_ENTRY,
    VERSION,
)

# Buffers smaller than this are copied after their header: cheaper than one more buffer to send.
_SMALL_BUFFER: Final = 1024

# Room for the largest table of atoms: the length of a frame has 32 bits.
_MAX_UNFRAGMENTED: Final = 0xFFFF_FFFF - 512 * 1024

_U32: Final = Struct(">I")
_FRAGMENT: Final = Struct(">IBBQQ")
# The length of a frame, and its first two bytes.
_HEAD: Final = Struct(">IH")
_HEADER: Final = VERSION << 8 | HEADER

Buffer = Union[bytes, memoryview]


class FrameEncoder:
    """Turns control tuples and payloads into the frames of one connection.

    Everything that `encode` returns must be sent, in order: the peer's copy of the atom cache
    follows what it receives.

    Args:
        effective_flags: the capabilities of both nodes, `Handshake.effective_flags`.
        config: ``fragment_size`` (bytes), ``max_term_depth`` and ``default`` are read.
    """

    __slots__ = (
        "fragment_size",
        "_default",
        "_depth",
        "_caching",
        "_fragmenting",
        "_passing_through",
        "_entries",
        "_atoms",
        "_next_entry",
        "_known_tables",
        "_sequence_id",
    )

    def __init__(self, effective_flags: int, config: Config) -> None:
        self.fragment_size = config.fragment_size
        self._default = config.default
        self._depth = min(config.max_term_depth, DEEPEST)
        self._caching = bool(effective_flags & Flag.DIST_HDR_ATOM_CACHE)
        self._fragmenting = bool(effective_flags & Flag.FRAGMENTS)
        self._passing_through = not self._caching and not self._fragmenting
        self._entries: dict[str, int] = {}  # atom -> its entry
        self._atoms: dict[int, str] = {}  # entry -> its atom
        self._next_entry = 0
        self._known_tables: dict[tuple[str, ...], bytes] = {}
        self._sequence_id = 0

    def encode(self, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> list[Buffer]:
        """Make the frames of one message.

        Args:
            control: the control tuple, or one of the classes of `uds_dist.protocol.control`.
            payload: the message term.
        Returns:
            The buffers to send in order, with length prefixes: one for a small message. Large
            binaries are views of the caller's own, not copies.
        Raises:
            EncodeError: a value cannot be encoded; nothing has changed.
            LocalProtocolError: the message is too large to go unfragmented; nothing has changed.

        Source: Distribution Protocol, section "Protocol between Connected Nodes".
        """
        atoms: dict[str, int] | None = {} if self._caching else None
        depth = self._depth
        default = self._default
        if COMPILED:
            head = encode_parts(control, atoms, depth, default)
            tail = [] if payload is NO_PAYLOAD else encode_parts(payload, atoms, depth, default)
            large = len(head) != 1 or len(tail) > 1
        else:
            head, tail = [], []
            # A NamedTuple would take the slow path.
            term: object = control if type(control) is tuple else tuple(control)
            try:
                large = write_term(term, atoms, head, depth, default)
                if payload is not NO_PAYLOAD:
                    term = payload
                    if type(payload) is not tuple and isinstance(payload, tuple):
                        term = tuple(payload)
                    large = write_term(term, atoms, tail, depth, default) or large
            except EncodeError as error:
                raise explained(error, term, depth, default)
        if large:
            return self._large(atoms, parts_of(head), parts_of(tail))
        first = head[0] if len(head) == 1 else b"".join(head)
        message = tail[0] if len(tail) == 1 else b"".join(tail)
        size = len(first) + len(message)
        if size > self.fragment_size or self._passing_through:
            return self._large(atoms, [first], [message] if tail else [])
        if not atoms:
            return [_HEAD.pack(size + 3, _HEADER) + b"\x00" + first + message]
        key = tuple(atoms)
        table = self._known_tables.get(key) or self._write_atom_table(key, atoms)
        return [_HEAD.pack(size + 2 + len(table), _HEADER) + table + first + message]

    def _large(
        self, atoms: dict[str, int] | None, head: list[bytes], tail: list[bytes]
    ) -> list[Buffer]:
        """Encode any message: several buffers, pass-through, fragments."""
        control_size = sum(map(len, head))
        size = sum(map(len, tail))
        fragmented = self._fragmenting and size > self.fragment_size
        if control_size + (0 if fragmented else size) > _MAX_UNFRAGMENTED:
            raise LocalProtocolError(
                f"a message of {control_size + size} bytes does not fit in a frame: two nodes need"
                " the flag FRAGMENTS for such a payload, and no node takes such a control message"
            )
        if self._passing_through:
            size += control_size + 2 + (1 if tail else 0)
            buffers: list[Buffer] = [_U32.pack(size) + b"p\x83"]
            _append(buffers, head)
            if tail:
                _append(buffers, [b"\x83"])
                _append(buffers, tail)
            return buffers
        table = b"\x00"
        if atoms:
            key = tuple(atoms)
            table = self._known_tables.get(key) or self._write_atom_table(key, atoms)
        if fragmented:
            return self._fragments(table, head, control_size, tail, size)
        size += 2 + len(table) + control_size
        buffers = [_U32.pack(size) + b"\x83D" + table]
        _append(buffers, head)
        _append(buffers, tail)
        return buffers

    def _fragments(
        self, table: bytes, head: list[bytes], control_size: int, tail: list[bytes], size: int
    ) -> list[Buffer]:
        """Cut the payload into fragments; the first one includes the whole control message."""
        limit = self.fragment_size
        sequence_id = self._sequence_id = (self._sequence_id + 1) & 0xFFFF_FFFF_FFFF_FFFF
        fragment_id = (size + limit - 1) // limit
        first = min(limit, size)
        length = 18 + len(table) + control_size + first
        buffers: list[Buffer] = [
            _FRAGMENT.pack(length, VERSION, FIRST_FRAGMENT, sequence_id, fragment_id) + table
        ]
        _append(buffers, head)
        room = first  # of the fragment being filled
        left = size - first  # after it
        for part in tail:
            view = memoryview(part)
            begin = 0
            total = len(view)
            while begin < total:
                if room == 0:
                    fragment_id -= 1
                    room = min(limit, left)
                    left -= room
                    buffers.append(
                        _FRAGMENT.pack(18 + room, VERSION, LATER_FRAGMENT, sequence_id, fragment_id)
                    )
                count = min(room, total - begin)
                _append(buffers, [view[begin : begin + count]])
                begin += count
                room -= count
        return buffers

    # --- the atom cache ---

    def _write_atom_table(self, key: tuple[str, ...], atoms: dict[str, int]) -> bytes:
        """The atoms' part of a header; enters the new ones into the cache."""
        count = len(key)
        entries = self._entries
        try:
            texts = {atom: atom.encode() for atom in key if atom not in entries}
        except UnicodeEncodeError as error:
            raise EncodeError(f"an atom cannot be written as UTF-8: {error}") from None
        wide = any(len(text) > 255 for text in texts.values())
        flags = bytearray(count // 2 + 1)
        refs = bytearray()
        for index, atom in enumerate(key):
            text = texts.get(atom)
            if text is None:
                entry = entries[atom]
                half = entry >> 8
                refs.append(entry & 255)
            else:
                entry = self._enter(atom, atoms)
                half = entry >> 8 | NEW_ENTRY
                refs.append(entry & 255)
                if wide:
                    refs.append(len(text) >> 8)
                refs.append(len(text) & 255)
                refs += text
            flags[index // 2] |= half << (index % 2 * 4)
        if wide:
            flags[count // 2] |= LONG_ATOMS << (count % 2 * 4)
        table = bytes((count,)) + bytes(flags) + bytes(refs)
        if not texts:
            if len(self._known_tables) >= MAX_REMEMBERED:
                self._known_tables.clear()
            self._known_tables[key] = table
        return table

    def _enter(self, atom: str, atoms: dict[str, int]) -> int:
        """Give a new atom the next entry that no other atom of the message uses."""
        entry = self._next_entry
        old = self._atoms.get(entry)
        while old is not None and old in atoms:
            entry = (entry + 1) % CACHE_SIZE
            old = self._atoms.get(entry)
        if old is not None:
            del self._entries[old]
            self._known_tables.clear()
        self._atoms[entry] = atom
        self._entries[atom] = entry
        self._next_entry = (entry + 1) % CACHE_SIZE
        return entry


def _append(buffers: list[Buffer], parts: list[bytes] | list[memoryview]) -> None:
    """Append parts to the buffers: small ones into the last buffer, large ones as they are."""
    for part in parts:
        if len(part) < _SMALL_BUFFER and type(buffers[-1]) is bytes:
            if len(buffers[-1]) < _SMALL_BUFFER:
                buffers[-1] = buffers[-1] + bytes(part)
                continue
        buffers.append(part)
