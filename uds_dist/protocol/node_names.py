"""Node names: the names that a BEAM accepts, and so the only ones accepted here.

The part before the ``@`` holds letters and digits of ASCII, ``_`` and ``-``. A BEAM that receives
another character there writes an error report and answers ``nok``, at every attempt. The part after
it holds printable characters of Latin-1, without white space. ``@`` and ``/`` are excluded too: the
first separates the two parts, the second the folders of a socket path.

Source: Distribution Protocol, section "The Handshake in Detail"; OTP's net_kernel.
"""

from __future__ import annotations

import string

from uds_dist.errors import NodeNameError
from uds_dist.etf.shown import shown

NAME_LIMIT = 255  # characters, as of any atom

_NODE = string.ascii_letters + string.digits + "_-"
_HOST = "".join([chr(n) for n in (*range(0x21, 0x7F), *range(0xA1, 0x100)) if chr(n) not in "/@"])


def split_node_name(name: str) -> tuple[str, str]:
    """Check a full node name and split it at the ``@``.

    Args:
        name: ``name@host``, at most 255 characters.
    Returns:
        The part before the ``@`` and the part after it.
    Raises:
        NodeNameError: it is not a valid node name.
    """
    if not isinstance(name, str):
        raise NodeNameError(f"a node name must be text, not {type(name).__name__}")
    node, at, host = name.partition("@")
    if not at or not host:
        example = node if is_node_part(node) else "app"
        raise NodeNameError(
            f"{shown(name)} is not a valid node name: write name@host, for example"
            f" {example}@localhost"
        )
    if len(name) > NAME_LIMIT:
        raise NodeNameError(f"the node name has {len(name)} characters: at most {NAME_LIMIT} fit")
    if not is_node_part(node):
        raise NodeNameError(
            f"{shown(name)} is not a valid node name: the part before the '@' may hold the letters"
            " A to Z and a to z, digits, '_' and '-' only"
        )
    if not is_host_part(host):
        raise NodeNameError(
            f"{shown(name)} is not a valid node name: the part after the '@' may hold printable"
            " characters of Latin-1, without '@', '/' and white space"
        )
    return node, host


def is_node_part(text: str) -> bool:
    """Whether a text is valid before the ``@`` of a node name."""
    return text != "" and not text.strip(_NODE)


def is_host_part(text: str) -> bool:
    """Whether a text is valid after the ``@`` of a node name."""
    return text != "" and not text.strip(_HOST)
