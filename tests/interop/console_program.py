"""A Python program that serves a console, for the remote shells of the interop tests.

    python -m tests.interop.console_program NODE SOCKET_DIR [UID]
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from uds_dist import Config, Future, Node


def main(name: str, socket_dir: str, uid: int | None = None) -> None:
    if uid is not None:
        # Perhaps the other user cannot read Python's folders: load now what loads later.
        import_module("uds_dist.services.console")
        os.setgid(uid)
        os.setuid(uid)
    with Node(name, cookie="secret", config=Config(socket_dir=socket_dir)) as node:

        def slow() -> Future[object]:
            return Future(node.loop, "what never comes")

        def left() -> list[int]:
            """The processes, links and monitors that shells could leave behind."""
            statistics = node.statistics()
            return [statistics.processes, statistics.links, statistics.monitors, statistics.watchers]

        node.expose("test", {"left": left})
        node.serve_console({"slow": slow, "answer": 42}, banner="a banner")
        node.listen()
        print(*left(), flush=True)
        while True:
            node.loop.run_once(1.0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
