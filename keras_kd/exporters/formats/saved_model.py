"""TensorFlow's SavedModel folder, for servers and other converters: float32, any batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.exporters._serving import Serving

SUFFIX = ""
MARK = "saved_model.pb"
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the folder.

    Args:
        serving: the model with its inputs and outputs.
        path: where to write.
        images: (N, H, W, C) as the file expects them; they are not used.
    """
    serving.write_saved_model(path, batch=None)


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the folder's outputs with TensorFlow.

    Args:
        path: the folder.
        images: (N, H, W, C), as the model expects them.

    Returns:
        float32 (N, ...) by output name.
    """
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    specification = serve.structured_input_signature[1]["image"]
    outputs = serve(image=tf.constant(images.astype(specification.dtype.as_numpy_dtype)))
    return {name: values.numpy() for name, values in outputs.items()}
