"""This node's identity for its peers, and which of them it admits."""

from __future__ import annotations

import fnmatch

from uds_dist.config import Config
from uds_dist.processes.identity import checked_cookie, find_cookie, new_creation
from uds_dist.protocol.flags import Flag, default_flags
from uds_dist.protocol.node_names import split_node_name


class ThisNode:
    """A node's own name, creation and cookies.

    Args:
        config: the settings that decide its capabilities.
        name: its full name; with `dynamic` only the part after the ``@`` counts.
        creation: its creation.
        cookie: its cookie.
        dynamic: it has no name yet and asks the first peer for one.
    """

    __slots__ = ("allowed", "cookie", "cookies", "creation", "dynamic", "name", "_config")

    def __init__(
        self, config: Config, name: str, creation: int, cookie: str, dynamic: bool = False
    ) -> None:
        self.name = name
        self.creation = creation
        self.cookie = cookie
        self.cookies: dict[str, str] = {}  # of single peers
        self.allowed: list[str] | None = None  # patterns of names; None for all
        self.dynamic = dynamic
        self._config = config

    def set_cookie(self, cookie: str | bytes, node: str | None = None) -> None:
        """Change the cookie for new connections; see `Node.set_cookie`."""
        if node is None:
            self.cookie = checked_cookie(cookie)
        else:
            split_node_name(node)
            self.cookies[node] = checked_cookie(cookie)

    def cookie_for(self, name: str) -> str:
        """The cookie for a peer."""
        return self.cookies.get(name, self.cookie)

    def admits(self, name: str) -> bool:
        """Whether a node of this name may connect."""
        if self.allowed is None:
            return True
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.allowed)

    @property
    def flags(self) -> int:
        """The capability flags that this node sends its peers."""
        flags = default_flags(self._config)
        return flags | Flag.NAME_ME if self.dynamic else flags

    @property
    def name_to_send(self) -> str:
        """The name that it sends in a handshake: a node without a name sends its host."""
        return split_node_name(self.name)[1] if self.dynamic else self.name

    def take_name(self, name: str, creation: int) -> None:
        """Set the name and the creation that a peer has given."""
        self.dynamic = False
        self.name = name
        self.creation = creation


def this_node(config: Config, name: str, cookie: str | bytes | None) -> ThisNode:
    """The identity of a new node.

    Args:
        config: the settings.
        name: its full name; or ``@host``, to be given a name by a peer.
        cookie: its cookie; None for that of the settings, or of the environment and the user.
    Raises:
        NodeNameError: the name is malformed.
        ConfigError: there is no cookie, or it cannot be used.
    """
    if cookie is None:
        cookie = config.cookie if config.cookie is not None else find_cookie()
    cookie = checked_cookie(cookie)
    dynamic = isinstance(name, str) and name.startswith("@")
    name = "nobody" + name if dynamic else name
    split_node_name(name)
    return ThisNode(config, name, new_creation(), cookie, dynamic)
