"""ResEmoteNet's published weights, and those of its students A, B, C."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from keras_kd import models
from keras_kd.checkpoints import _layouts

NAMES = ("resemotenet", "A", "B", "C")
MARK = "res_block1.shortcut.0.weight"
CLASS_NAMES = {7: ("happy", "surprise", "sad", "anger", "disgust", "fear", "neutral")}
_NAME_OF_WIDTH = {64: "resemotenet", 32: "A", 16: "B", 8: "C"}
_RENAMED = {"se_fc1": "se.fc.0", "se_fc2": "se.fc.2"}


def build(tensors: dict[str, np.ndarray], input_shape: tuple[int, int, int] | None) -> keras.Model:
    """Build the model with the widths and classes of the arrays. Arguments: see `checkpoints`."""
    name = _layouts.name_by_width(tensors, "conv1.weight", _NAME_OF_WIDTH, 64)
    classes = _layouts.classes(tensors, "fc4.weight", 7)
    return models.build(name, classes, input_shape)


def slots(model: keras.Model) -> Iterator[_layouts.Slot | _layouts.Constant]:
    """Return the place of each weight in the published state dict. Arguments: see `checkpoints`."""
    _layouts.require_one_head(model)
    for layer in model.layers:
        yield from _layouts.of_layer(layer, _published(layer.name))


def _published(name: str) -> str:
    if not name.startswith("res_block"):
        return _RENAMED.get(name, name)
    block, _, part = name.partition("_")[2].partition("_")
    part = {"shortcut": "shortcut.0", "shortcut_bn": "shortcut.1"}.get(part, part)
    return f"res_{block}.{part}"
