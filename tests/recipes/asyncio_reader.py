"""A program that uses asyncio: its loop watches the node's descriptor and runs its timers.

    python tests/recipes/asyncio_reader.py myapp@localhost
"""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

from uds_dist import EventLoop, Future, Node

T = TypeVar("T")


class Attached:
    """Runs an EventLoop inside the running asyncio loop."""

    def __init__(self, loop: EventLoop) -> None:
        self.loop = loop
        self._outer = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._outer.add_reader(loop.fileno(), self._turn)
        self._turn()

    def _turn(self) -> None:
        self.loop.run_once()
        if self._timer is not None:
            self._timer.cancel()
        due = self.loop.next_timeout()
        self._timer = None if due is None else self._outer.call_later(due, self._turn)

    async def wait_for(self, future: Future[T]) -> T:
        """What a future of the node comes to."""
        done = asyncio.Event()
        future.add_done_callback(lambda _: done.set())
        self.loop.wakeup()  # something was started outside `run_once`: run it now, for new timers
        await done.wait()
        return future.result()

    def detach(self) -> None:
        """Stop running the loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._outer.remove_reader(self.loop.fileno())


async def heartbeat(beats: list[int]) -> None:
    """Something else that the program does."""
    while True:
        beats.append(len(beats))
        await asyncio.sleep(0)


async def main(peer: str) -> None:
    loop = EventLoop()
    node = Node("recipe@localhost", loop=loop)
    attached = Attached(loop)
    beats: list[int] = []
    other = asyncio.create_task(heartbeat(beats))
    answers = await asyncio.gather(
        *(attached.wait_for(node.call(("server", peer), number)) for number in range(3))
    )
    print(f"answers {answers}", flush=True)
    print(f"beats {len(beats) > 3}", flush=True)
    other.cancel()
    attached.detach()
    node.close()
    loop.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
