"""A program with its own loop: the node runs between two pieces of the old work.

    python tests/recipes/while_loop.py myapp@localhost
"""

from __future__ import annotations

import sys

from uds_dist import EMPTY, EventLoop, Node


def do_the_old_work(step: int) -> int:
    """The work that the program did before it had a node."""
    return sum(range(step % 1000))


def main(peer: str) -> None:
    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop)
    inbox = node.mailbox("recipe")
    for number in range(3):
        inbox.send(("echo", peer), (inbox.pid, number))

    step = answers = 0
    while answers < 3:
        step += 1
        do_the_old_work(step)
        loop.run_once()  # never blocks
        while (message := inbox.poll()) is not EMPTY:
            answers += 1
            print(f"answer {message}", flush=True)
    node.close()
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
