"""One image through a file: what is timed, and the memory that it takes.

This module imports no Keras: a process that measures a file's memory starts in a fraction of a
second instead of in five.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_kd.errors import ModelError
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.onnx_runtime import OnnxModel

WARM_UP = 5
_STATUS = Path("/proc/self/status")


def peak_memory(path: str | Path, input_shape: tuple[int, int, int] | None = None) -> int | None:
    """Measure how many bytes loading and running a file adds to an idle process.

    Args:
        path: a `.tflite` or `.onnx` file.
        input_shape: (H, W, C), if the file leaves it open.

    Returns:
        The bytes on Linux; None on other systems.

    Raises:
        ModelError: the file can't be run.
    """
    if not _STATUS.exists():
        return None
    code = (
        "import json, sys; from keras_kd.evaluation._single_image import print_peak_memory; "
        "print_peak_memory(*json.loads(sys.argv[1]))"
    )
    command = [sys.executable, "-P", "-c", code, json.dumps([str(path), input_shape])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ModelError(f"{path} can't be run: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout)


def print_peak_memory(path: str, input_shape: tuple[int, int, int] | None) -> None:
    """Print the result of `peak_memory`; this is run in its child process.

    Args:
        path: the file.
        input_shape: (H, W, C) or None.
    """
    runtime = {".keras": "keras_kd.models.keras_file", ".onnx": "onnxruntime"}.get(
        Path(path).suffix
    )
    if runtime:
        importlib.import_module(runtime)  # a runtime is not its models' memory
    # Imports may have needed more for a moment: 5 sets the mark back to what is in use (man 5
    # proc).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    run = single_run(Path(path), 1, input_shape)
    for _ in range(WARM_UP):
        run()
    print(_peak() - before)  # noqa: T201


def _peak() -> int:
    """The most bytes that this process has held."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def single_run(
    path: Path, threads: int, input_shape: tuple[int, int, int] | None
) -> Callable[[], object]:
    """Return a function that runs a file once on one image.

    Args:
        path: a `.tflite`, `.onnx` or `.keras` file.
        threads: number of CPU threads; Keras takes all.
        input_shape: (H, W, C), if the file leaves it open.

    Returns:
        The function, which has run once where the first run prepares the others.

    Raises:
        ModelError: the file can't be run.
    """
    if path.suffix == ".tflite":
        model = LiteRTModel(path, threads, size=input_shape)
        if model.batch != 1:
            raise ModelError(
                f"{path} takes {model.batch} images at a time, and times are those of one image: "
                "export it again for one image."
            )
        model.predict_heads(np.zeros((1, *model.input_shape), np.uint8))
        return model.compute
    if path.suffix == ".onnx":
        return OnnxModel(path, threads).prepared(input_shape)
    if path.suffix == ".keras":
        return _keras_compute(path)
    raise ModelError(f"{path} can't be timed: give .tflite, .onnx or .keras files.")


def _keras_compute(path: Path) -> Callable[[], object]:
    import tensorflow as tf

    from keras_kd.models import keras_file

    model = keras_file.load(path)[0]
    image = tf.zeros((1, *model.input_shape[1:]))
    function = tf.function(lambda: model(image, training=False), autograph=False)
    return lambda: function().numpy()
