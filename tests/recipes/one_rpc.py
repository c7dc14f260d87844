"""A script that calls one function in a release.

    python tests/recipes/one_rpc.py myapp@localhost
"""

from __future__ import annotations

import os
import sys

from uds_dist import Node, NoConnectionError, RemoteError, RemoteTimeoutError


def main(peer: str) -> int:
    with Node(f"script-{os.getpid()}@localhost") as node:
        try:
            print(node.rpc(peer, "erlang", "node").result(timeout=5))
        except (NoConnectionError, RemoteError, RemoteTimeoutError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
