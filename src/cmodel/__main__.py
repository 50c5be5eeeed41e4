"""`python -m cmodel`."""

import sys

from cmodel.cli import main

if __name__ == "__main__":
    sys.exit(main())
