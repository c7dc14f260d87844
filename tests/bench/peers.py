"""Many nodes in one separate process that connect to the node of `hub`, which starts it.

    python -m tests.bench.peers FOLDER HUB COUNT

One node connects at once. After a line on standard input COUNT more connect, a few at a time. At
the end of the input all are closed.
"""

from __future__ import annotations

import gc
import os
import resource
import selectors
import sys

from uds_dist import Config, EventLoop, Future, Node

AT_A_TIME = 64  # attempts at a time, fewer than a node's limit of pending handshakes


def main(arguments: list[str]) -> None:
    """Connect, and stay connected until the end of standard input."""
    folder, hub, count = arguments
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    config = Config(socket_dir=folder)
    with EventLoop() as loop:
        nodes = [
            Node(f"n{number}@localhost", loop=loop, cookie="secret", config=config)
            for number in range(int(count) + 1)
        ]
        waiting = iter(nodes)

        def connect_next(done: Future[None] | None = None) -> None:
            if done is not None:
                done.result(0)  # an error ends this process
            for node in waiting:
                node.connect(hub).add_done_callback(connect_next)
                break

        def commanded(_events: int) -> None:
            if os.read(0, 1):
                for _ in range(AT_A_TIME):
                    connect_next()
            else:
                loop.stop()

        gc.collect()  # now, not while they connect: it takes milliseconds
        next(waiting).connect(hub)

        loop.register(0, selectors.EVENT_READ, commanded)
        loop.run_forever()
        loop.unregister(0)
        for node in nodes:
            node.close()


if __name__ == "__main__":
    main(sys.argv[1:])
