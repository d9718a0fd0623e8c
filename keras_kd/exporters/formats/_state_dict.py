"""A state dict with the published keys; checked by reading it back into a Keras model, which runs
no code in it.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from keras_kd import checkpoints
from keras_kd.exporters._serving import Serving, outputs_by_name

TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float",)


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    checkpoints.save(serving.original, path, serving.class_names)


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the outputs by name of the model that the file describes, float32 (N, ...)."""
    model, _ = checkpoints.load(path, input_shape=images.shape[1:])
    outputs = outputs_by_name(model, images.astype(np.float32))
    return {name: keras.ops.convert_to_numpy(values) for name, values in outputs.items()}
