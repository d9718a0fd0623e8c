"""Layers that do something in training alone, and models without those that draw at random all the
same.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.models.surgery.copies import copied, layers_of_graph
from keras_kd.models.surgery.keras_internals import (
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
        A copy that computes the same with training=False; the model itself if its graph shows none,
            or a layer of other authors can't be copied.
    """
    shown = layers_of_graph(model) if is_graph(model) else ()
    resting = {layer for layer in shown if _augments(layer) and _keeps_types(layer)}
    if not resting:
        return model

    def replaced(layer: keras.Layer) -> keras.Layer | None:
        if layer not in resting:
            return None
        # By the policy's name: a layer that was given an object can't be made anew.
        return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)

    try:
        return copied(model, replaced)
    except Exception:  # Layers of other authors raise anything where they are made anew.
        return model


def _keeps_types(layer: keras.Layer) -> bool:
    """Whether a layer gives numbers of the type that it takes, in all of its calls."""
    return all(
        [tensor.dtype for tensor in call.input_tensors]
        == [tensor.dtype for tensor in call.output_tensors]
        for call in calls(layer)
    )
