"""Where `kerakd` starts, so that Ctrl-C is heeded from the first imports to the last destructor."""

from __future__ import annotations

import sys

from . import stopping


def main() -> None:
    """Import the commands and run the one that is asked for."""
    stopping.heed()
    sys.unraisablehook = stopping.unraisable
    try:
        try:
            from .main import main as run

            run()
        except KeyboardInterrupt as stop:
            stopping.end(stop)
        finally:
            stopping.ignore()
    except SystemExit as exit:
        if exit.code in stopping.EXIT_CODES:
            stopping.leave(exit.code)
        raise
