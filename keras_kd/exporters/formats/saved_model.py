"""TensorFlow's SavedModel folder, for servers and other converters: float32, any batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.exporters._serving import Serving
from keras_kd.models.spec import ENTRY

SUFFIX = ""
# TensorFlow's, also of other versions, and the description that is written beside.
NAMES = (
    ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb", ENTRY)
    + ("variables", "assets", "assets.extra")
)  # fmt: skip
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the folder; the images are not used. Arguments: see `exporters`."""
    serving.write_saved_model(path)


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the folder's outputs with TensorFlow. Arguments: see `exporters`."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    specification = serve.structured_input_signature[1]["image"]
    outputs = serve(image=tf.constant(images.astype(specification.dtype.as_numpy_dtype)))
    return {name: values.numpy() for name, values in outputs.items()}
