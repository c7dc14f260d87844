"""Frames of a connection that is up: distribution header, atom cache and fragments, both ways.

The format of a frame depends on whether both nodes have two flags:

    ATOM_CACHE  FRAGMENTS   a frame
    no          no          112, 131 Control [131 Message]            "pass through"
    no          yes         131 68 0 Control [Message]; 69 and 70 with no atoms
    yes         no          131 68 Atoms Control [Message]
    yes         yes         131 68 Atoms Control [Message]; 69 and 70

with 68 a whole message, 69 the first fragment of one and 70 a later one. A BEAM that sends before
the handshake is over ("hopefully") writes 68 with no atoms, unfragmented at any size, and turns it
into pass-through if necessary; so a receiver takes 68 of any size, and with no atoms in any of the
last three lines. Frames that the flags do not allow are refused: reading on would misread bytes.

The atom cache is 2048 entries, 8 segments of 256, one such cache for each direction. The header of
a message names the entries of its atoms and carries the text of new ones; the terms after it refer
to atoms by their place in that header. Only headers change entries, in the order of the frames: a
first fragment's header takes effect when it arrives, whatever happens to the rest.

The protocol leaves the choice of entries free. This side takes the next unused one, and when all
are used, the oldest. So two atoms of one message never compete for one entry, and with up to 2048
atoms none is ever sent twice. A BEAM hashes, and writes an atom out when two compete.

Source: External Term Format, section "Distribution Header" and its subsections; Distribution
Protocol, section "Protocol between Connected Nodes".
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 131
PASS_THROUGH: Final = 112
HEADER: Final = 68
FIRST_FRAGMENT: Final = 69
LATER_FRAGMENT: Final = 70

CACHE_SIZE: Final = 2048

# Bits of an atom's half byte in a header.
NEW_ENTRY: Final = 8
SEGMENT: Final = 7
LONG_ATOMS: Final = 1

# Headers of messages whose atoms were all cached before, kept to avoid writing or reading them
# again (with four atoms: 0.15 instead of 2.8 us to write, 0.3 instead of 1.2 us to read): most
# traffic has few sets of atoms. Above the bound they are all dropped at once.
MAX_REMEMBERED: Final = 1024
