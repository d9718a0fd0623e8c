"""Running `.tflite` files by TensorFlow Lite for Microcontrollers, where its package is installed
(`pip install --pre tflite-micro`).
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from keras_kd.errors import ModelError

PACKAGE = "tflite_micro"
_MOST, _STEP = 64 * 2**20, 1024


def is_installed() -> bool:
    """Return whether the package is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def arena(path: str | Path) -> int:
    """Compute once on zeros, in a process of its own, with ever less memory for tensors.

    Args:
        path: a `.tflite` file.

    Returns:
        The bytes of the smallest arena that suffices, in whole KiB.

    Raises:
        ModelError: it needs more than 64 MiB, or an operator that the package lacks.
    """
    command = [sys.executable, "-P", "-m", "keras_kd.runtimes.micro", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip().isdecimal():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if "Error" not in line), "no reason given")
        raise ModelError(
            f"{path} does not run on TensorFlow Lite for Microcontrollers ({said[:160]}): replace"
            " the layers that make such operators, or use another target."
        )
    return int(done.stdout)


def _smallest_arena(path: str) -> int:
    low, high = 0, _MOST // _STEP
    _compute(path, _MOST)  # raises what no memory mends
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _compute(path, middle * _STEP)
            high = middle
        except RuntimeError:
            low = middle
    return high * _STEP


def _compute(path: str, memory: int) -> None:
    import numpy as np
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(path, arena_size=memory)
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()


if __name__ == "__main__":
    print(_smallest_arena(sys.argv[1]))  # noqa: T201
