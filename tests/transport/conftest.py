"""A loop on each selector, and what the tests count to see that nothing is left over.

The rules of the event loop, by which the tests are named:

 1. One verb: `run_once` is one select and one round of dispatch.
 2. The timeout bounds the waiting, not the work; nothing blocks to flush.
 3. User code runs only inside `run_once`; nothing calls back inline.
 4. Re-entry is an error, and its flag is reset in any case.
 5. Helpers that block drive the loop at top level and raise in a handler.
 6. Level-triggered and bounded: one recv and a limit of messages per connection and round.
 7. Fair: only what was ready at entry runs, one `now` a round.
 8. WRITE interest only while there is something unwritten.
 9. Close is mark, unregister, close; notices at the end of the round.
10. An error on a descriptor unregisters it; without free descriptors accepting pauses.
11. `fileno` and `next_timeout` let another loop drive this one.
12. A handler's exception is raised once the state is consistent; the rest runs next time.
13. No signal handler is installed, and `wakeup` may be called from one.
14. After fork the child's loop refuses to run and only closes descriptors.
15. The selector is injectable; descriptors above 1023 work.
16. The clock is injectable; waits are clamped.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from uds_dist import Config, EventLoop, Node

SELECTORS = [
    getattr(selectors, name)
    for name in ("EpollSelector", "KqueueSelector", "PollSelector")
    if hasattr(selectors, name)
]


@pytest.fixture(params=SELECTORS, ids=lambda selector: selector.__name__[: -len("Selector")])
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    """Each kind of selector that this system has: the rules hold on all of them."""
    made: selectors.BaseSelector = request.param()
    yield made
    made.close()


@pytest.fixture
def loop(selector: selectors.BaseSelector) -> Iterator[EventLoop]:
    """A loop on each selector."""
    with EventLoop(selector=selector) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected, non-blocking sockets."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(loop: EventLoop, tmp_path: Path) -> Iterator[MakeNode]:
    """Makes nodes that share a loop and a folder, and closes them."""
    nodes: list[Node] = []

    def make(name: str, *, listen: bool = True, cookie: str = "secret", **settings: object) -> Node:
        config = Config(socket_dir=str(tmp_path)).replace(**settings)
        node = Node(f"{name}@test", loop=loop, cookie=cookie, config=config)
        nodes.append(node)
        if listen:
            node.listen()
        return node

    yield make
    for node in nodes:
        node.close()
    loop.run_once(0)
