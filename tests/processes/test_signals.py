"""What a node does about control messages: it acts on each of them."""

from __future__ import annotations

import pytest

from uds_dist import Node
from uds_dist.processes.signals import Incoming
from uds_dist.protocol.control import TABLE, Operation


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.kind.__name__)
def test_each_operation_has_a_handler(row: Operation, a: Node) -> None:
    inbox = a._peers.inbox
    assert isinstance(inbox, Incoming) and callable(inbox._handlers[row.kind])
