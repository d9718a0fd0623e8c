"""LiteRT with int8 weights and activations, calibrated by the extremes seen on training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_kd.exporters import _tflite
from keras_kd.exporters._serving import Serving

SUFFIX = ".tflite"
TOLERANCE = 0.3
NEEDS_SAMPLES = True
IO = ("float", "app", "int8")
run = _tflite.run


def write(serving: Serving, path: Path, images: np.ndarray) -> None:
    """Write the file; `images` set the ranges of the activations."""
    _tflite.write(serving, path, lambda converter: _tflite.calibrate(converter, serving, images))
