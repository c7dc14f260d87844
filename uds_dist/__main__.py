"""`python -m uds_dist` is `uds-dist`."""

import sys

from uds_dist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
