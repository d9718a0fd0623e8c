"""`.tflite` with int8 weights and int16 activations, calibrated as int8: answers nearly as float32,
for chips whose own kernels compute it. CPUs are slower at it than at float32. Needs data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_kd.exporters._layer_errors import Added
from keras_kd.exporters._serving import Serving
from keras_kd.exporters.formats import _tflite
from keras_kd.exporters.formats._tflite import SUFFIX, run

TOLERANCE = 0.3
NEEDS_SAMPLES = True
IO = ("float", "app", "int8")
ROUNDS = True
KIND = _tflite.Kind("int16x8", weights="int8", activations="int16")
__all__ = ["IO", "NEEDS_SAMPLES", "ROUNDS", "SUFFIX", "TOLERANCE", "run", "write"]


def write(serving: Serving, path: Path, images: np.ndarray) -> list[Added]:
    """Write the file; the images set the ranges of the activations. Arguments: see `exporters`."""
    return _tflite.write(serving, path, KIND, images)
