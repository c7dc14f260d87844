"""Binaries in Erlang's text: the values of the segments between ``<<`` and ``>>``.

Source: Erlang Reference Manual, "Bit Syntax Expressions".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import copysign, inf
from struct import error as StructError
from struct import pack
from typing import Any, NamedTuple

from uds_dist.errors import ParseError
from uds_dist.etf.shown import printable
from uds_dist.etf.terms import BitString

MAX_BITS = 8 * 64 * 1024 * 1024  # of all segments in a text; a short text can ask for many bits

# The meaning of each word after the slash: the type, the unit, the byte order or the sign.
_WORDS: dict[str, tuple[tuple[str, object], ...]] = {
    "integer": (("type", "integer"),),
    "float": (("type", "float"),),
    "binary": (("type", "binary"),),
    "bytes": (("type", "binary"), ("unit", 8)),
    "bitstring": (("type", "binary"), ("unit", 1)),
    "bits": (("type", "binary"), ("unit", 1)),
    "utf8": (("type", "utf8"),),
    "utf16": (("type", "utf16"),),
    "utf32": (("type", "utf32"),),
    "big": (("order", "big"),),
    "little": (("order", "little"),),
    "native": (("order", "native"),),
    "signed": (("sign", "signed"),),
    "unsigned": (("sign", "unsigned"),),
}
_LITTLE = "native" if sys.byteorder == "little" else "little"
_CODECS = {"utf8": "utf-8", "utf16": "utf-16-", "utf32": "utf-32-"}
_FLOATS = {16: "e", 32: "f", 64: "d"}


class Kind(NamedTuple):
    """How a segment is written: its type, its size in bits (None: the whole value), its order."""

    type: str
    bits: int | None
    unit: int
    little: bool


def segment_kind(size: int | None, words: Sequence[tuple[str, int | None]], at: int) -> Kind:
    """How a segment is written.

    Args:
        size: the value after the colon; None if there is none.
        words: the words after the slash, each with the number after its own colon or None.
        at: the index of the segment.
    Raises:
        ParseError: a type is unknown, or the words contradict each other.
    """
    found: dict[str, object] = {}
    for word, number in words:
        if word == "unit" and number is not None and 1 <= number <= 256:
            said: tuple[tuple[str, object], ...] = (("unit", number),)
        elif word in _WORDS and number is None:
            said = _WORDS[word]
        else:
            raise ParseError(f"{printable(word, 40)} is not a segment type", at)
        for what, value in said:
            if found.setdefault(what, value) != value:
                raise ParseError("the types of a segment contradict each other", at)
    type_ = str(found.get("type", "integer"))
    unit = found.get("unit")
    assert unit is None or isinstance(unit, int)
    if type_ in _CODECS and (size is not None or unit is not None):
        raise ParseError(f"a segment of type {type_} cannot have a size or a unit", at)
    if size is None:
        if type_ != "binary" and unit is not None:
            raise ParseError("a unit needs a size", at)
        bits = {"integer": 8, "float": 64}.get(type_)
    else:
        bits = size * ((8 if type_ == "binary" else 1) if unit is None else unit)
    little = found.get("order") in ("little", _LITTLE)
    return Kind(type_, bits, 8 if unit is None else unit, little)


class Bits:
    """The bits of a binary that is being read."""

    __slots__ = ("_bytes", "_rest", "_length")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._rest = 0  # the bits after the last whole byte, as a number
        self._length = 0  # how many: 0 to 7

    def add(self, number: int, width: int) -> None:
        """Append a number that has at most `width` bits."""
        number |= self._rest << width
        whole, self._length = divmod(self._length + width, 8)
        self._bytes += (number >> self._length).to_bytes(whole, "big")
        self._rest = number & ((1 << self._length) - 1)

    def add_bytes(self, data: bytes) -> None:
        """Append whole bytes."""
        if self._length:
            self.add(int.from_bytes(data, "big"), len(data) * 8)
        else:
            self._bytes += data

    def value(self) -> bytes | BitString:
        """The binary."""
        if not self._length:
            return bytes(self._bytes)
        last = self._rest << (8 - self._length)
        return BitString(bytes(self._bytes) + bytes((last,)), self._length)


def add_segment(bits: Bits, value: object, is_string: bool, kind: Kind, at: int, room: int) -> int:
    """Append a segment.

    Args:
        bits: the bits to append to.
        value: a number or a binary; or the characters of a string, one segment for each.
        is_string: whether `value` was written as a string.
        kind: how the segment is written.
        at: the index of the segment.
        room: how many bits may be appended.
    Returns:
        How many bits were appended.
    Raises:
        ParseError: a segment of that kind cannot have this value, or is too large.
    """
    values: list[Any] = value if is_string and isinstance(value, list) else [value]
    if (kind.bits or 0) * len(values) > room:
        raise ParseError(f"the segments of a text have at most {MAX_BITS} bits", at)
    if is_string and kind.type == "integer" and kind.bits == 8:
        bits.add_bytes(bytes([item & 255 for item in values]))
        return 8 * len(values)
    try:
        if is_string and not values:
            _add(Bits(), 0, kind)  # an empty string, too, needs a type that fits numbers
        return sum([_add(bits, item, kind) for item in values])
    except (ValueError, KeyError, OverflowError, StructError):
        raise ParseError(
            f"a segment of type {kind.type} cannot have this value or size", at
        ) from None


def _add(bits: Bits, value: object, kind: Kind) -> int:
    """Append one segment; raises ValueError or a similar error if the value does not fit."""
    if kind.type == "integer" and type(value) is int and kind.bits is not None:
        return _add_integer(bits, value, kind.bits, kind.little)
    if kind.type == "binary" and isinstance(value, (bytes, BitString)):
        return _add_part(bits, value, kind)
    if kind.type == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        data = _float_bytes(float(value), kind)
    elif kind.type in _CODECS and type(value) is int:
        # The name includes the byte order: otherwise Python writes a byte order mark.
        order = "" if kind.type == "utf8" else "le" if kind.little else "be"
        data = chr(value).encode(_CODECS[kind.type] + order)
    else:
        raise ValueError(value)
    bits.add_bytes(data)
    return len(data) * 8


def _float_bytes(value: float, kind: Kind) -> bytes:
    layout = ("<" if kind.little else ">") + _FLOATS[kind.bits or 0]
    try:
        return pack(layout, value)
    except OverflowError:
        return pack(layout, copysign(inf, value))  # out of range: infinite, as on a BEAM


def _add_integer(bits: Bits, value: int, width: int, little: bool) -> int:
    number = value & ((1 << width) - 1)
    if little:
        # Whole bytes, the lowest first; the remaining, highest bits come last.
        whole, part = divmod(width, 8)
        data = number.to_bytes(whole + 1, "little")
        number = int.from_bytes(data[:whole], "big") << part | data[whole]
    bits.add(number, width)
    return width


def _add_part(bits: Bits, value: bytes | BitString, kind: Kind) -> int:
    """Append the first bits of a binary, or all its bits."""
    data, used = (value, 8) if isinstance(value, bytes) else (value.data, value.bits)
    has = len(data) * 8 - (8 - used)
    width = has if kind.bits is None else kind.bits
    if width > has or (kind.bits is None and has % kind.unit):
        raise ValueError(value)
    if width % 8 == 0:
        bits.add_bytes(data[: width // 8])
    else:
        data = data[: width // 8 + 1]
        bits.add(int.from_bytes(data, "big") >> (-width % 8), width)
    return width
