"""LiteRT with int8 weights, one scale a channel; activations are quantised as they come. Needs no
data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.exporters._serving import Serving
from keras_kd.exporters.formats import _tflite

SUFFIX = ".tflite"
TOLERANCE = 0.3
NEEDS_SAMPLES = False
IO = ("float", "app")
run = _tflite.run


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    _tflite.write(serving, path, _convert)


def _convert(converter: tf.lite.TFLiteConverter) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()
