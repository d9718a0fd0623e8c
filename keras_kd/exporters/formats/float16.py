"""LiteRT with float16 weights: half the size; the arithmetic stays float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.exporters._serving import Serving
from keras_kd.exporters.formats import _tflite

SUFFIX = ".tflite"
TOLERANCE = 0.05
NEEDS_SAMPLES = False
IO = ("float", "app")
run = _tflite.run


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    _tflite.write(serving, path, _convert)


def _convert(converter: tf.lite.TFLiteConverter) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()
