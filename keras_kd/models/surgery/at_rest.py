"""Layers that do something in training alone, and models without those that draw at random all the
same.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.models.surgery.copies import copied
from keras_kd.models.surgery.keras_internals import (
    all_layers,
    calls,
    is_graph,
    is_of_keras_or_keras_kd,
)

_AUGMENTATIONS = ("AugMix", "CutMix", "MixUp")
_OTHERS = (
    ("Identity", "GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout1D")
    + ("ActivityRegularization",)
)  # fmt: skip


def rests(layer: Any) -> bool:
    """Return whether a layer of Keras does nothing but in training: augmentation and noise.

    Args:
        layer: the layer or operation.

    Returns:
        True if it does.
    """
    return _augments(layer) or (is_of_keras_or_keras_kd(layer) and type(layer).__name__ in _OTHERS)


def _augments(layer: Any) -> bool:
    kind = type(layer).__name__
    named = (kind.startswith("Rand") and kind != "RandomCrop") or kind in _AUGMENTATIONS
    return named and is_of_keras_or_keras_kd(layer)


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a model without its layers of augmentation.

    Some of Keras', as RandomHue, draw random numbers in use too, which change nothing. Files would
    hold the state of these draws, which plain LiteRT can't.

    Args:
        model: Functional or Sequential, with a known input.

    Returns:
        A copy that computes the same with training=False; the model itself if it has none, or a
            `call` of its own.
    """
    resting = {layer for layer in all_layers(model) if _augments(layer) and _keeps_types(layer)}
    if not resting or not is_graph(model):
        return model

    def replaced(layer: keras.Layer) -> keras.Layer | None:
        if layer not in resting:
            return None
        # By the policy's name: a layer that was given an object can't be made anew.
        return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)

    return copied(model, replaced)


def _keeps_types(layer: keras.Layer) -> bool:
    """Whether a layer gives numbers of the type that it takes, in all of its calls."""
    return all(
        [tensor.dtype for tensor in call.input_tensors]
        == [tensor.dtype for tensor in call.output_tensors]
        for call in calls(layer)
    )
