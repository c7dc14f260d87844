"""What the subcommands share: node names and a connected node."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from uds_dist import Config, ConfigError, Node, NodeNameMismatchError
from uds_dist.cli.exit_codes import CookieMissingError, NobodyListensError
from uds_dist.cli.output import write_out
from uds_dist.cli.words import config_of, unlisted
from uds_dist.processes.identity import find_cookie
from uds_dist.transport.address import listening_nodes, places


def full_name(node: str) -> str:
    """A node's name with its host part."""
    return node if "@" in node else f"{node}@localhost"


class Connected:
    """A node of this process, connected to the node that a command names."""

    def __init__(self, node: Node, name: str, deadline: float) -> None:
        self.node = node
        self.name = name
        self._deadline = deadline

    def allow(self, seconds: float) -> None:
        """Start a new time limit, in seconds."""
        self._deadline = self.node.loop.time() + seconds

    def left(self) -> float:
        """Seconds left of the command's time limit."""
        return max(self._deadline - self.node.loop.time(), 0.0)

    def call(self, module: str, function: str, arguments: list[object]) -> object:
        """Call a function on the other node and wait for its value."""
        return self.node.rpc(self.name, module, function, arguments).result(self.left())


@contextmanager
def connected(
    options: argparse.Namespace, output: Callable[[str], object] = write_out
) -> Iterator[Connected]:
    """Connect to the node that `options` name; its output to this node goes to `output`."""
    config = config_of(options)
    name = full_name(options.node)
    cookie = cookie_of(options, config)
    # "@host" lets the other node choose the name, and BEAM nodes choose the same names again. A
    # name made up here would stay in that node's atom table forever.
    given = "@localhost" if options.name is None else options.name
    with Node(given, cookie=cookie, config=config, output=output) as node:
        if options.trace:
            node.trace(options.tracer(cookie))
        deadline = node.loop.time() + options.timeout
        try:
            node.connect(name).result(options.timeout)
        except NodeNameMismatchError as error:
            if "@" in options.node:
                raise
            raise NodeNameMismatchError(
                f"{error} (without a host part, {options.node} means {name})"
            ) from None
        yield Connected(node, name, deadline)


def cookie_of(options: argparse.Namespace, config: Config) -> str | bytes:
    """The cookie from the option, the settings, or the user's files."""
    if options.cookie is not None:
        return str(options.cookie)
    if config.cookie:
        return config.cookie
    try:
        return find_cookie()
    except ConfigError as error:
        raise CookieMissingError(str(error)) from None


def living_nodes(options: argparse.Namespace) -> list[str]:
    """The names of the nodes that listen and can be dialled, each once.

    Raises:
        ConfigError: the folder cannot be read.
        NobodyListensError: no node listens.
    """
    where = places(config_of(options))
    try:
        found = {one.name: None for one in listening_nodes(where) if one.state == "alive"}
    except OSError as error:
        raise unlisted(where.own.given, error) from None
    if not found:
        raise NobodyListensError(f"no node listens in {' or '.join(map(str, where.others))}")
    return list(found)
