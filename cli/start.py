"""Where `kerakd` starts, so that Ctrl-C is heeded from the first imports on."""

from __future__ import annotations

import sys


def main() -> None:
    """Import the commands and run the one that is asked for."""
    try:
        from .main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        sys.exit(130)
    run()
