"""Running `kerakd` inside the test's process, and code in a process of its own."""

import sys

# Before `-c` code that needs Keras, as `kerakd` imports it: a third of its time is saved.
QUICK = "from keras_kd._common import quick_start; quick_start.prepare()\n"


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
