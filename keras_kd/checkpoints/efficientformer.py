"""EfficientFormer's published ImageNet weights."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from keras_kd import models
from keras_kd.checkpoints import _layouts
from keras_kd.models.architectures.efficientformer import Attention, LayerScale

NAMES = ("efficientformer-l1", "efficientformer-l3")
MARK = "patch_embed.0.weight"
CLASS_NAMES: dict[int, tuple[str, ...]] = {}
_NAME_OF_WIDTH = {48: "efficientformer-l1", 64: "efficientformer-l3"}


def build(tensors: dict[str, np.ndarray], input_shape: tuple[int, int, int] | None) -> keras.Model:
    """Build the size that the arrays' shapes show. Arguments: see `checkpoints`.

    Without a distillation head among the arrays (`distillation=False`), the model has the other
    head alone. Tables of biases that were trained at 224x224 pixels fit no other images.
    """
    name = _layouts.name_by_width(tensors, "patch_embed.3.weight", _NAME_OF_WIDTH, 48)
    classes = _layouts.classes(tensors, "head.weight", 1000)
    model = models.build(name, classes, input_shape)
    if any(key.startswith("dist_head.") for key in tensors):
        return model
    return keras.Model(model.inputs, model.get_layer("head").output, name=name)


def slots(model: keras.Model) -> Iterator[_layouts.Slot | _layouts.Constant]:
    """Return the place of each weight in the published state dict. Arguments: see `checkpoints`."""
    _layouts.require_one_head(model)
    for layer in model.layers:
        if isinstance(layer, LayerScale):
            yield _layouts.Slot(layer.name, layer.scale)
        elif isinstance(layer, Attention):
            yield _layouts.Slot(f"{layer.name}.attention_biases", layer.biases)
            yield _layouts.Constant(f"{layer.name}.attention_bias_idxs", layer.distances)
            yield from _layouts.of_layer(layer.qkv, f"{layer.name}.qkv")
            yield from _layouts.of_layer(layer.proj, f"{layer.name}.proj")
        else:
            yield from _layouts.of_layer(layer, layer.name)
