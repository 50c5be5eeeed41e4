"""`python -m cmodel`, and the script `cmodel`."""

import sys


def run() -> int:
    """Run the command line; also Ctrl-C while its modules are loaded is no traceback."""
    try:
        from cmodel.cli import main

        return main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(run())
