"""`.tflite` with int8 weights, one scale a channel of convolutions; activations are quantized as
they come. Needs no data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.exporters._layer_errors import Added
from keras_kd.exporters.formats import _tflite
from keras_kd.exporters.formats._tflite import IO, SUFFIX, run

if TYPE_CHECKING:
    from keras_kd.exporters._serving import Serving

TOLERANCE = 0.3
NEEDS_SAMPLES = False
ROUNDS = True
KIND = _tflite.Kind("dynamic", weights="int8")
__all__ = ["IO", "NEEDS_SAMPLES", "ROUNDS", "SUFFIX", "TOLERANCE", "run", "write"]


def write(serving: Serving, path: Path, images: np.ndarray | None) -> list[Added]:
    """Write the file; the images are only for comparing it. Arguments: see `exporters`."""
    return _tflite.write(serving, path, KIND, images)
