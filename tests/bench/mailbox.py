"""A receive, while many other messages wait in the mailbox.

Each operation delivers one message and takes one, so the number of waiting messages stays the same.
Without a match it takes the oldest; with a match the oldest or the newest. Finding the newest
requires a look at all of them, in Erlang too.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.figures import Figure, Reading, Sample, timed
from tests.bench.lab import TIMEOUT, Lab
from uds_dist import Atom, Mailbox, Node

PANEL = "mailbox: one message delivered and one received, by how many wait"

Receive = Callable[[Mailbox], object]


def run(lab: Lab) -> list[Figure]:
    """Every way to receive at every length."""
    sizes = lab.sizes
    ways: list[tuple[str, Receive, int]] = [
        ("oldest, no match", lambda box: box.receive(timeout=TIMEOUT), sizes.receives),
        ("oldest, by match", lambda box: box.receive(TIMEOUT, match=_any), sizes.receives),
        ("newest, by match", lambda box: box.receive(TIMEOUT, match=_wanted), sizes.receives_scanning),
    ]
    with Node("py@localhost", cookie="secret") as node:
        return [
            _figure(lab, node, f"{name}, {waiting:,} waiting", receive, count, waiting)
            for name, receive, count in ways
            for waiting in sizes.waiting
        ]


OTHER, WANTED = (Atom("other"), 1), (Atom("wanted"), 1)


def _any(_message: object) -> bool:
    return True


def _wanted(message: object) -> bool:
    return message == WANTED


def _figure(
    lab: Lab, node: Node, name: str, receive: Receive, count: int, waiting: int
) -> Figure:
    wanted = WANTED if "newest" in name else OTHER
    with node.mailbox() as box:
        for _ in range(waiting):
            box.send(box.pid, OTHER)

        def turn() -> None:
            box.send(box.pid, wanted)
            receive(box)

        timed(turn, count // 10 + 1)
        samples = tuple(Sample(timed(turn, count) / count * 1e6) for _ in range(lab.runs))
        if len(box) != waiting:
            raise AssertionError(f"{len(box)} messages wait, not {waiting}")
    return Figure(PANEL, name, "us", samples, Reading.ALONE, detail=True)
