"""Quick imports for a process of its own.

    python -P -m keras_kd._common.quick_start MODULE ARGUMENTS

runs the module as `python -P -m MODULE ARGUMENTS` does, where the module needs Keras: the import
takes two thirds of the time.
"""

from __future__ import annotations

import runpy
import sys

from keras_kd._common.collector import collect_rarely
from keras_kd._common.imports import hidden


def prepare() -> None:
    """Import Keras, and with it TensorFlow, without what the two import for others."""
    collect_rarely()
    with hidden("sklearn", "matplotlib"):
        import keras  # noqa: F401


def main() -> None:
    """Run the module that the arguments name."""
    prepare()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
