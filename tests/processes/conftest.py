"""Fixtures for the tests in this folder."""

from __future__ import annotations

import pytest

from tests.conftest import MakePeer
from tests.processes.support import without
from tests.scripted import ScriptedPeer
from uds_dist import (
    Node,
)
from uds_dist.protocol.flags import Flag


@pytest.fixture
def old_peer(make_peer: MakePeer, a: Node, folder: str) -> ScriptedPeer:
    """A peer with the mandatory flags and nothing else."""
    services = Flag.SEND_SENDER | Flag.EXIT_PAYLOAD | Flag.ALIAS | Flag.ALTACT_SIG | Flag.SPAWN
    monitors = Flag.DIST_MONITOR | Flag.DIST_MONITOR_NAME
    peer = make_peer("old@localhost", flags=without(services, monitors))
    peer.connect(folder, a)
    return peer
