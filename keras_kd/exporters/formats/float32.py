"""LiteRT with float32 weights: the largest and slowest file, equal to Keras but for rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_kd.exporters._serving import Serving
from keras_kd.exporters.formats import _tflite

SUFFIX = ".tflite"
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")
run = _tflite.run


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    _tflite.write(serving, path, lambda converter: converter.convert())
