"""Tensors of Keras' backend as arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def on_host(values: Any) -> np.ndarray | None:
    """Return values as an array if they are known now; None for tensors on a device or computed
    later.
    """
    if values is None or isinstance(values, keras.KerasTensor):
        return None
    if not ops.is_tensor(values):
        return np.asarray(values)
    # TensorFlow's tensors have this method where they are computed at once.
    eager = keras.backend.backend() == "tensorflow" and hasattr(values, "numpy")
    return values.numpy() if eager else None
