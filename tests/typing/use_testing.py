"""Tests in fake time as a program's tests do; mypy is the test."""

from __future__ import annotations

from typing_extensions import assert_type

from uds_dist import EventLoop, Node
from uds_dist.testing import FakeClock, Wire, connect, fake_loop


def in_fake_time(ours: Node, theirs: Node) -> None:
    clock = FakeClock(start=100)
    clock.advance(2.5)
    assert_type(clock(), float)
    assert_type(fake_loop(clock, patience=60), EventLoop)
    wire = connect(ours, theirs, chunk=1)
    assert_type(wire, Wire)
    wire.mute()
    wire.unmute()
    wire.cut()


def mistakes(ours: Node) -> None:
    fake_loop(1.0)  # type: ignore[arg-type]
    connect(ours)  # type: ignore[call-arg]
