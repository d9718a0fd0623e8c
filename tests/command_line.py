"""Running `kerakd` inside the test's process."""

import sys


def called(*arguments: str) -> int:
    """Run a command; its exit code."""
    from keras_kd.cli import main

    before, sys.argv = sys.argv, ["kerakd", *arguments]
    try:
        main.main()
    except SystemExit as exit:
        return int(exit.code or 0)
    finally:
        sys.argv = before
    return 0
