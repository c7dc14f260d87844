"""Fixtures for the tests in this folder."""

from __future__ import annotations

import pytest

from tests.services.calc import Calc
from tests.services.functions import Service, Tasks
from uds_dist import (
    Node,
)


@pytest.fixture
def calc(a: Node) -> Calc:
    """A server at a@localhost."""
    server = Calc()
    a.serve("calc", server)
    return server


@pytest.fixture
def service(a: Node) -> Service:
    """Functions at a@localhost."""
    return Service(a)


@pytest.fixture
def tasks(a: Node, b: Node, service: Service) -> Tasks:
    """A task supervisor and an owner of tasks."""
    return Tasks(a, b)
