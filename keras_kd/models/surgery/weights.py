"""Setting weights, with what Keras derives from them, and what they mean in a layer."""

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


def put_frozen(source: keras.Layer, target: keras.Layer) -> None:
    """Set the weights of a layer that no training changes, as the kernel that LoRA adds to.

    Args:
        source: the layer.
        target: one of the same structure, built, which is changed.
    """
    pairs = zip(source.non_trainable_variables, target.non_trainable_variables, strict=True)
    for old, new in pairs:
        new.assign(old)


def keep_lora_scale(source: keras.Layer, target: keras.Layer) -> None:
    """Give LoRA's weights the factor that they have in another layer.

    Keras' Dense and Embedding build LoRA's weights with a factor of 1, whatever their configuration
    says.

    Args:
        source: the layer.
        target: one of the same structure, built, which is changed.
    """
    for old, new in zip(all_layers(source), all_layers(target), strict=False):
        if getattr(old, "lora_enabled", False) and getattr(new, "lora_enabled", False):
            new.lora_alpha = old.lora_alpha


def is_plain(layer: keras.Layer, kind: type[keras.Layer]) -> bool:
    """Whether a layer computes with its weights what Keras' layer of this class does.

    Args:
        layer: any layer or operation.
        kind: a class of keras.layers.

    Returns:
        False for other classes, for subclasses, which may compute otherwise, and for a kernel that
            LoRA adds to or that was quantized.
    """
    if type(layer) is not kind or getattr(layer, "lora_enabled", False):
        return False
    return not isinstance(layer.dtype_policy, keras.dtype_policies.QuantizedDTypePolicy)
