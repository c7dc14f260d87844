"""Reads exceptions as a program does; mypy is the test."""

from __future__ import annotations

from typing import Literal

from typing_extensions import assert_type

from uds_dist.errors import (
    BusyError,
    DecodeError,
    ErlangRaiseError,
    HandshakeTimeoutError,
    NoConnectionError,
    RemoteError,
    UdsDistError,
)


def places(error: DecodeError) -> None:
    assert_type(error.offset, int)
    assert_type(error.tag, int | None)
    error.place  # type: ignore[attr-defined]


def remote(error: RemoteError) -> str:
    assert_type(error.class_, Literal["error", "exit", "throw", "signal"])
    if error.class_ == "fault":  # type: ignore[comparison-overlap]
        return "never"
    assert_type(error.reason, object)
    error.reason.name  # type: ignore[attr-defined]  # a term is narrowed before it is used
    return error.class_


def raised_by_a_handler(error: ErlangRaiseError) -> None:
    assert_type(error.reason, object)
    ErlangRaiseError()  # type: ignore[call-arg]


def caught_as(
    busy: BusyError, lost: NoConnectionError, late: HandshakeTimeoutError
) -> tuple[BlockingIOError, ConnectionError, TimeoutError, list[UdsDistError]]:
    return busy, lost, late, [busy, lost, late]
