"""`python -m uds_dist` is `uds-dist`."""

import gc
import sys

from uds_dist.cli.main import main

# New objects until the collector looks for garbage: more than what a command loads, which is none.
GARBAGE_THRESHOLD = 50_000


def run() -> int:
    """Run the command of this process's words, as its program; returns the exit code."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        return main()
    finally:
        # At its end the interpreter looks for garbage among all that was loaded, several times
        # over. That takes as long as a call to a node does.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())
