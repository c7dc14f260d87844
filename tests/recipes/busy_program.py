"""A program that computes for longer than the tick time and still keeps its peers.

    python tests/recipes/busy_program.py myapp@localhost
    python tests/recipes/busy_program.py myapp@localhost without     and loses them
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

from uds_dist import EventLoop, Node


def compute(seconds: float) -> int:
    """A long computation that knows nothing about nodes."""
    until = time.monotonic() + seconds
    total = 0
    while time.monotonic() < until:
        total += sum(range(1000))
    return total


def main(peer: str, ticks: bool) -> None:
    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop)
    down: list[str] = []
    node.monitor_nodes(lambda event, name, error: down.append(event))
    node.connect(peer).result(timeout=5)

    tick_time = node.config.tick_time
    with loop.signal_ticks(interval=tick_time / 8) if ticks else nullcontext():
        compute(3 * tick_time)

    loop.run_until(lambda: False, timeout=tick_time / 8)  # the messages that came meanwhile
    print("lost" if "nodedown" in down else "kept", flush=True)
    node.close()
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1], "without" not in sys.argv[2:])
