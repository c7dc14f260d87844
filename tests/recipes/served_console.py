"""A program that works 60 times a second and serves a Python prompt meanwhile.

    python tests/recipes/served_console.py operator@localhost
    uds-dist remote recipe --name operator@localhost

At the prompt, `work.period()` shows whether the work slows down; `work.running = False` ends it.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from statistics import median

from uds_dist import Config, EventLoop, Node


class Work:
    """The program's own work."""

    def __init__(self) -> None:
        self.running = True
        self.rate = 60.0  # steps a second
        self.begun: deque[float] = deque(maxlen=120)

    def step(self) -> None:
        """Do one step."""
        self.begun.append(time.monotonic())

    def period(self) -> float:
        """The median of the seconds between two steps."""
        begun = list(self.begun)
        return median(later - sooner for sooner, later in zip(begun, begun[1:]))


def main(operator: str) -> None:
    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop, config=Config.from_env())
    work = Work()
    node.serve_console({"work": work}, allow=[operator])
    node.listen()
    print("serving", flush=True)

    due = loop.time()
    while work.running:
        work.step()
        due += 1 / work.rate
        loop.sleep(max(due - loop.time(), 0.0))  # this serves the shells

    node.close()
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
