"""What the whole suite needs: to know which build of the package it tests."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

COMPILED_MODULES = (
    "uds_dist.etf.decode",
    "uds_dist.etf.encode",
    "uds_dist.etf.identifiers",
    "uds_dist.etf.reader",
    "uds_dist.etf.writer",
    "uds_dist.protocol.framing",
    "uds_dist.protocol.header",
    "uds_dist.protocol.parse",
    "uds_dist.transport.connection",
    "uds_dist.transport.loop",
    "uds_dist.transport.receiver",
    "uds_dist.transport.timers",
    "uds_dist.transport.write_queue",
    "uds_dist.node.links",
    "uds_dist.node.peers",
    "uds_dist.node.processes",
    "uds_dist.node.rpc",
    "uds_dist.node.signals",
)


def codec_files() -> list[str]:
    """The files that the codec's modules are loaded from, found without loading them."""
    return [str(spec.origin) for name in COMPILED_MODULES if (spec := find_spec(name))]


def pytest_configure(config: pytest.Config) -> None:
    """Fail at once where the compiled build was to be tested and the sources were found."""
    if os.environ.get("UDS_DIST_EXPECT_COMPILED") == "1":
        interpreted = [path for path in codec_files() if path.endswith(".py")]
        if interpreted:
            raise pytest.UsageError(
                f"the compiled codec is to be tested, but found are {', '.join(interpreted)}"
            )


def pytest_report_header(config: pytest.Config) -> str:
    """Whether the codec under test is compiled, and where the package lies."""
    files = codec_files()
    kind = "interpreted" if all(path.endswith(".py") for path in files) else "compiled"
    return f"uds_dist: codec {kind}, {os.path.dirname(files[0])}"
