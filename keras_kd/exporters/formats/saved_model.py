"""TensorFlow's SavedModel folder, for servers and other converters: float32, any batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.exporters._serving import Serving

SUFFIX = ""
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the folder; `images` are not needed."""
    serving.write_saved_model(path, batch=None)


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the folder's outputs by name with TensorFlow, float32 (N, ...)."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    specification = serve.structured_input_signature[1]["image"]
    outputs = serve(image=tf.constant(images.astype(specification.dtype.as_numpy_dtype)))
    return {name: values.numpy() for name, values in outputs.items()}
