"""The log that peers cannot fill."""

from __future__ import annotations

import logging

import pytest

from uds_dist.transport.log_rate import BURST, PERIOD, BoundedLogs

logger = logging.getLogger("uds_dist.test")


@pytest.fixture
def now() -> list[float]:
    """The time, to be set."""
    return [1000.0]


@pytest.fixture
def logs(now: list[float]) -> BoundedLogs:
    """A log of several kinds."""
    return BoundedLogs(logger, lambda: now[0])


def test_each_kind_is_bounded_by_itself(
    logs: BoundedLogs, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(BURST + 5):
        logs.log(logging.ERROR, "a", "a %d", number)
    logs.log(logging.WARNING, "b", "b")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [*(f"a {number}" for number in range(BURST)), "b"]
    caplog.clear()
    now[0] += PERIOD
    logs.log(logging.ERROR, "a", "again")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["5 more records like the next were left out", "again"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_once_is_once(logs: BoundedLogs, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        logs.once(logging.INFO, "a", "here")
        logs.once(logging.WARNING, "b", "there")
    assert [record.getMessage() for record in caplog.records] == ["there"]


def test_an_exception_goes_with_its_record(
    logs: BoundedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("x")
    logs.log(logging.ERROR, "a", "raised", exc_info=error)
    (record,) = caplog.records
    assert record.exc_info is not None and record.exc_info[1] is error
