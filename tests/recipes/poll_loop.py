"""A program that waits in `select.poll`: the node adds one descriptor and one timeout to it.

    python tests/recipes/poll_loop.py myapp@localhost
"""

from __future__ import annotations

import math
import os
import select
import sys

from uds_dist import EventLoop, Node


def main(peer: str) -> None:
    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop)
    answers: list[object] = []
    inbox = node.mailbox("recipe", on_message=answers.append)
    inbox.send(("echo", peer), (inbox.pid, b"to the node"))

    # The descriptors that the program already waited for.
    own, other_end = os.pipe()
    os.write(other_end, b"to the program")

    poll = select.poll()
    poll.register(own, select.POLLIN)
    poll.register(loop.fileno(), select.POLLIN)
    done = 0
    while done < 2:
        # Ask each time, after all code that may have started something new.
        due = loop.next_timeout()
        ready = poll.poll(None if due is None else math.ceil(due * 1000))
        for descriptor, _events in ready:
            if descriptor == own:
                print(f"own {os.read(own, 100)!r}", flush=True)
                done += 1
        loop.run_once()
        while answers:
            print(f"answer {answers.pop()!r}", flush=True)
            done += 1
    os.close(own)
    os.close(other_end)
    node.close()
    loop.close()


if __name__ == "__main__":
    main(sys.argv[1])
