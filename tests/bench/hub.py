"""A separate process that measures the memory of many idle connections.

    python -m tests.bench.hub connections FOLDER COUNT BACKLOG
    python -m tests.bench.hub sockets FOLDER COUNT

The first is a node to which `peers` in another process open connections. The second is only a list
of sockets in a selector: the minimum cost of COUNT connections. Each prints one JSON object.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from time import perf_counter, process_time

from tests.bench.rss import rss
from uds_dist import Config, Node

HUB = "hub@localhost"
TIMEOUT = 120.0


@dataclass(frozen=True)
class Growth:
    """The cost of connections: bytes of resident memory for each, and the time for all."""

    bytes_each: float
    seconds: float
    cpu_seconds: float


def settled() -> int:
    """Resident bytes after a garbage collection."""
    gc.collect()
    return rss()


def connections(folder: str, count: int, backlog: int) -> Growth:
    """Let `count` nodes of another process connect to a node here."""
    with Node(HUB, cookie="secret", config=Config(socket_dir=folder, backlog=backlog)) as node:
        up: list[str] = []
        node.monitor_nodes(lambda event, name, _: up.append(name) if event == "nodeup" else None)
        node.listen()
        command = [sys.executable, "-m", "tests.bench.peers", folder, HUB, str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as peers:
            assert peers.stdin is not None
            # The first connection loads the code that is needed only once.
            if not node.loop.run_until(lambda: len(up) == 1, TIMEOUT):
                raise SystemExit("the first peer did not connect")
            before, start, cpu = settled(), perf_counter(), process_time()
            peers.stdin.write(b"\n")
            peers.stdin.flush()
            if not node.loop.run_until(lambda: len(up) > count, TIMEOUT):
                raise SystemExit(f"only {len(up) - 1} of {count} connections came up")
            seconds, cpu_seconds = perf_counter() - start, process_time() - cpu
            growth = settled() - before
            node.close()  # before its peers: each of their closes would wait for it
            peers.stdin.close()
        return Growth(growth / count, seconds, cpu_seconds)


def sockets(folder: str, count: int) -> Growth:
    """Only accept `count` sockets and register them."""
    with selectors.DefaultSelector() as selector, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "sockets"))
        listener.listen(1)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
        before, start, cpu = settled(), perf_counter(), process_time()
        for client in clients:
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            selector.register(accepted, selectors.EVENT_READ)
        seconds, cpu_seconds = perf_counter() - start, process_time() - cpu
        growth = settled() - before
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        for client in clients:
            client.close()
    return Growth(growth / count, seconds, cpu_seconds)


def main(arguments: list[str]) -> None:
    """Run one of the two and print its result."""
    what, folder, *numbers = arguments
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if what == "connections":
        count, backlog = map(int, numbers)
        growth = connections(folder, count, backlog)
    else:
        growth = sockets(folder, int(numbers[0]))
    print(json.dumps(asdict(growth)))


if __name__ == "__main__":
    main(sys.argv[1:])
