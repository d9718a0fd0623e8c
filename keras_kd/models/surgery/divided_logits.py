"""A copy of a model whose class logits are divided by a temperature."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_kd.errors import ModelError
from keras_kd.models import heads
from keras_kd.models.surgery.copies import copied
from keras_kd.models.surgery.keras_internals import layer_of, readers
from keras_kd.models.surgery.weights import is_plain


def with_divided_logits(model: keras.Model, divisor: float) -> keras.Model:
    """Return a copy whose class logits are divided by a number.

    The weights of its last layer are divided, so that inference costs no further operation.

    Args:
        model: Functional or Sequential; its class logits are the output of a dense layer, or the
            average of several.
        divisor: above 0, e.g. a temperature.

    Returns:
        The copy.

    Raises:
        ModelError: there are no classes, their logits are the output of anything else, or other
            layers than the output use them.
    """
    layers = _dense_layers_of_classes(model)

    def divided(layer: keras.Layer) -> list[np.ndarray]:
        values = layer.get_weights()
        return [weight / divisor for weight in values] if layer in layers else values

    return copied(model, adapted=divided)


def _dense_layers_of_classes(model: keras.Model) -> list[keras.layers.Dense]:
    last = layer_of(heads.class_output(model))
    averaged = isinstance(last, keras.layers.Average)
    # A layer that is averaged with itself, as over mirrored images, is divided once.
    layers = list(dict.fromkeys(layer_of(tensor) for tensor in last.input)) if averaged else [last]
    for layer in layers:
        is_dense = is_plain(layer, keras.layers.Dense)
        if not is_dense or layer.activation is not keras.activations.linear or layer.units == 1:
            raise ModelError(
                f"{model.name} ends in {layer.name} ({type(layer).__name__}), not in a dense layer "
                "of classes' logits without LoRA or quantization, "
                "whose weights could be divided: it can't be calibrated."
            )
        others = set(readers(layer)) & _operations(model) - {last}
        if others:
            raise ModelError(
                f"{model.name} has another layer that reads the logits of {layer.name} "
                f"({others.pop().name}), which "
                "divided weights would change: it can't be calibrated."
            )
    return layers


def _operations(model: keras.Model) -> set[Any]:
    return set(model.layers if isinstance(model, keras.Sequential) else model.operations)
