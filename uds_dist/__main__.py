"""`python -m uds_dist` is `uds-dist`."""

import sys

from uds_dist.cli import main

if __name__ == "__main__":
    sys.exit(main())
