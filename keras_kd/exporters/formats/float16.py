"""`.tflite` with float16 weights: half the size; the arithmetic stays float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.exporters._layer_errors import Added
from keras_kd.exporters.formats import _tflite
from keras_kd.exporters.formats._tflite import IO, SUFFIX, run

if TYPE_CHECKING:
    from keras_kd.exporters._serving import Serving

TOLERANCE = 0.05
NEEDS_SAMPLES = False
KIND = _tflite.Kind("float16", weights="float16")
__all__ = ["IO", "NEEDS_SAMPLES", "SUFFIX", "TOLERANCE", "run", "write"]


def write(serving: Serving, path: Path, images: np.ndarray | None) -> list[Added]:
    """Write the file; the images are not used. Arguments: see `exporters`."""
    return _tflite.write(serving, path, KIND, images)
