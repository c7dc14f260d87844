"""Where a connection is in its life:

    CONNECTING --connected--> HANDSHAKE --challenge answered--> UP
        \\                        |                              |
         `------------------------+--------- failed, closed -----+--> CLOSING --> CLOSED

A CLOSING connection still has bytes to send, a refusal in the handshake or what was written before
`close`, and a limited time to send them.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Phase(Enum):
    """Where a connection is in its life."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    UP = "up"
    CLOSING = "closing"
    CLOSED = "closed"


PhaseName = Literal["connecting", "handshake", "up", "closing", "closed"]

# Plain names: finding a member in its Enum takes ten times as long, and a message does it eight
# times.
CONNECTING: Final = Phase.CONNECTING
HANDSHAKE: Final = Phase.HANDSHAKE
UP: Final = Phase.UP
CLOSING: Final = Phase.CLOSING
CLOSED: Final = Phase.CLOSED
