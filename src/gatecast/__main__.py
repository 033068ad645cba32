"""`python -m gatecast` is `gatecast`."""

import sys

from gatecast.edge.cli import main

if __name__ == "__main__":
    sys.exit(main())
