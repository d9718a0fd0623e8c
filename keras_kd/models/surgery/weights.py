"""Setting weights, together with what Keras derives from them."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_kd.models.surgery.keras_internals import all_layers


def put(weights: Sequence[np.ndarray], target: keras.Layer) -> None:
    """Set the weights of a layer or model; an adapted `Normalization` in it uses them, which
    `set_weights` fails to do.

    Args:
        weights: as `get_weights` returns them.
        target: a layer or model that is built.
    """
    target.set_weights(weights)
    for layer in all_layers(target):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
