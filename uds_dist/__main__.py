"""`python -m uds_dist` is `uds-dist`."""

import gc
import sys

from uds_dist.cli.main import main


def run() -> int:
    """Run the command of this process's words, as its program; returns the exit code."""
    try:
        return main()
    finally:
        # At its end the interpreter looks for garbage among all that was imported, several times
        # over. That takes as long as the command, and there is none.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())
