"""The capability flags that two nodes exchange in the handshake.

Source: Distribution Protocol, section "Distribution Flags".
"""

from __future__ import annotations

from typing import Final

from uds_dist.config import Config


class Flag:
    """The distribution flags, under the guide's names without their ``DFLAG_``.

    They are plain ints: an IntFlag would keep an object for each combination of bits forever, and
    peers choose the bits.

    Source: Distribution Protocol, section "Distribution Flags".
    """

    PUBLISHED: Final = 0x1
    ATOM_CACHE: Final = 0x2  # obsolete
    EXTENDED_REFERENCES: Final = 0x4
    DIST_MONITOR: Final = 0x8
    FUN_TAGS: Final = 0x10
    DIST_MONITOR_NAME: Final = 0x20
    HIDDEN_ATOM_CACHE: Final = 0x40  # obsolete
    NEW_FUN_TAGS: Final = 0x80
    EXTENDED_PIDS_PORTS: Final = 0x100
    EXPORT_PTR_TAG: Final = 0x200
    BIT_BINARIES: Final = 0x400
    NEW_FLOATS: Final = 0x800
    UNICODE_IO: Final = 0x1000
    DIST_HDR_ATOM_CACHE: Final = 0x2000
    SMALL_ATOM_TAGS: Final = 0x4000
    UTF8_ATOMS: Final = 0x1_0000
    MAP_TAG: Final = 0x2_0000
    BIG_CREATION: Final = 0x4_0000
    SEND_SENDER: Final = 0x8_0000
    BIG_SEQTRACE_LABELS: Final = 0x10_0000
    EXIT_PAYLOAD: Final = 0x40_0000
    FRAGMENTS: Final = 0x80_0000
    HANDSHAKE_23: Final = 0x100_0000
    UNLINK_ID: Final = 0x200_0000
    # The guide says bit 36; nodes of OTP 25 to 29 really send and test bit 26.
    MANDATORY_25_DIGEST: Final = 0x400_0000
    SPAWN: Final = 1 << 32
    NAME_ME: Final = 1 << 33
    V4_NC: Final = 1 << 34
    ALIAS: Final = 1 << 35
    ALTACT_SIG: Final = 1 << 37
    NATIVE_RECORDS: Final = 1 << 38


FLAGS: Final = {name: bit for name, bit in vars(Flag).items() if name.isupper()}

# The flags that OTP 25 made mandatory; MANDATORY_25_DIGEST stands for all of them.
MANDATORY_25 = (
    Flag.EXTENDED_REFERENCES
    | Flag.FUN_TAGS
    | Flag.NEW_FUN_TAGS
    | Flag.EXTENDED_PIDS_PORTS
    | Flag.EXPORT_PTR_TAG
    | Flag.BIT_BINARIES
    | Flag.NEW_FLOATS
    | Flag.UTF8_ATOMS
    | Flag.MAP_TAG
    | Flag.BIG_CREATION
    | Flag.HANDSHAKE_23
)

# The flags that OTP 26 added. A peer that lacks any of these is refused, as a BEAM does.
MANDATORY = MANDATORY_25 | Flag.UNLINK_ID | Flag.V4_NC

# Optional in the guide, but without one of them a BEAM drops a whole service: no remote spawn and
# so no rpc, no monitors, no replies to aliases, old I/O requests.
SERVICES = (
    Flag.DIST_MONITOR
    | Flag.DIST_MONITOR_NAME
    | Flag.UNICODE_IO
    | Flag.SMALL_ATOM_TAGS
    | Flag.SEND_SENDER
    | Flag.BIG_SEQTRACE_LABELS
    | Flag.EXIT_PAYLOAD
    | Flag.SPAWN
    | Flag.ALIAS
    | Flag.ALTACT_SIG
)


def default_flags(config: Config) -> int:
    """The flags that a node with these settings sends its peers.

    NATIVE_RECORDS is left out: OTP 29 sends its records without checking the flag, and the flag
    would claim that this node's own records have a definition somewhere.

    Args:
        config: ``hidden``, ``atom_cache`` and ``fragments`` are read.
    Returns:
        The flags, without NAME_ME, which is a request, not a capability.
    """
    flags = MANDATORY | Flag.MANDATORY_25_DIGEST | SERVICES
    if not config.hidden:
        flags |= Flag.PUBLISHED
    if config.atom_cache:
        flags |= Flag.DIST_HDR_ATOM_CACHE
    if config.fragments:
        flags |= Flag.FRAGMENTS
    return flags


def expand_digest(flags: int) -> int:
    """The flags, plus all that MANDATORY_25_DIGEST stands for if that bit is set.

    Args:
        flags: as a peer sent them.
    Returns:
        The flags to test and intersect.
    """
    if flags & Flag.MANDATORY_25_DIGEST:
        return flags | MANDATORY_25
    return flags


def missing_mandatory(flags: int) -> int:
    """The mandatory flags that a peer lacks.

    Args:
        flags: as the peer sent them.
    Returns:
        The missing flags; 0 if the peer has all of them.
    """
    return MANDATORY & ~expand_digest(flags)


def effective_flags(this: int, other: int) -> int:
    """The capabilities that both ends of a connection have and may use.

    Args:
        this: this node's flags, as sent.
        other: the peer's flags, as received.
    Returns:
        The intersection, without NAME_ME.
    """
    return expand_digest(this) & expand_digest(other) & ~Flag.NAME_ME


def flag_names(flags: int) -> str:
    """The names of some flags, for an error's text.

    Args:
        flags: any flags.
    Returns:
        Names joined by ", "; bits without a name are left out.
    """
    return ", ".join([name for name, bit in FLAGS.items() if bit & flags])
