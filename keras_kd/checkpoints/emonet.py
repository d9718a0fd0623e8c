"""EmoNet's published weights, for a user's own use: their licence (CC BY-NC-ND 4.0) does not allow
passing them on in another form.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from keras_kd import models
from keras_kd.checkpoints import _layouts
from keras_kd.errors import ModelError
from keras_kd.models.architectures.emonet import freeze_alignment

NAMES = ("emonet",)
MARK = "conv1x1_input_emo_2.weight"
CLASS_NAMES = {
    5: ("neutral", "happy", "sad", "surprise", "fear"),
    8: ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
}
# The rows of the last layer, in order.
HEADS = ("expression", "valence", "arousal")
LAST = "emo_fc_2.3"


def build(tensors: dict[str, np.ndarray], input_shape: tuple[int, int, int] | None) -> keras.Model:
    """Build EmoNet with as many classes as the arrays have; its face alignment is frozen.
    Arguments: see `checkpoints`.
    """
    classes = _layouts.classes(tensors, f"{LAST}.weight", 8, others=2)
    model = models.build(
        "emonet",
        input_shape=input_shape,
        heads={"expression": classes, "valence": None, "arousal": None},
    )
    freeze_alignment(model)
    return model


def slots(model: keras.Model) -> Iterator[_layouts.Slot | _layouts.Constant]:
    """Return the place of each weight in the published state dict. Arguments: see `checkpoints`."""
    if not isinstance(model.output, dict) or set(model.output) != set(HEADS):
        raise ModelError(
            f"EmoNet's PyTorch form has the heads {', '.join(HEADS)}, and this model has others."
        )
    for layer in model.layers:
        if layer.name not in HEADS:
            yield from _layouts.of_layer(layer, layer.name)
    for head in HEADS:
        yield from _layouts.of_layer(model.get_layer(head), LAST)
