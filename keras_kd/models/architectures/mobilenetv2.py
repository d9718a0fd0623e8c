"""MobileNetV2 of width 1.0 (Sandler et al. 2018, arXiv 1801.04381), as in keras.applications."""

from __future__ import annotations

import keras
from keras import layers

from keras_kd._common.text import first_line
from keras_kd.errors import ModelError
from keras_kd.models.architectures._parts import (
    CONNECT,
    Heads,
    Seeds,
    head_dropout,
    outputs,
    require_size,
    rgb,
)

NAMES = ("mobilenetv2",)
PRETRAINED = ("imagenet",)
INPUT_SHAPE = (224, 224, 3)


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
) -> keras.Model:
    """Build MobileNetV2. Arguments: see `models`.

    The second rate of dropout applies before the heads, the first is not used. None is 0.
    """
    require_size(name, input_shape, 32)
    seeds = Seeds(seed)
    image = keras.Input(input_shape, name="image")
    scaled = layers.Rescaling(1 / 127.5, -1.0, name="normalise")(rgb(image))
    trunk = keras.applications.MobileNetV2(
        input_tensor=scaled, include_top=False, weights=None, pooling="avg"
    )
    if seed is not None:
        _initialise(trunk, seeds)
    x = trunk.output
    x = head_dropout(x, dropout, seeds)
    return keras.Model(image, outputs(x, heads, "logits", seeds), name=name)


def load_pretrained(model: keras.Model) -> None:
    """Load the ImageNet weights into a model of `build`, except its heads; Keras caches the file.

    Args:
        model: the model, which is changed.

    Raises:
        ModelError: the file can't be downloaded.
    """
    try:
        published = keras.applications.MobileNetV2(
            INPUT_SHAPE, include_top=False, weights="imagenet"
        )
    except Exception as error:
        # Keras raises a bare Exception where the network fails.
        raise ModelError(
            f"The ImageNet weights of mobilenetv2 can't be downloaded ({first_line(error)}):"
            f" {CONNECT}."
        ) from error
    # Keras numbers some of the names, but not the order.
    weighted = (layer for layer in model.layers if layer.weights)
    for source, target in zip(
        (layer for layer in published.layers if layer.weights), weighted, strict=False
    ):
        target.set_weights(source.get_weights())


def _initialise(model: keras.Model, seeds: Seeds) -> None:
    """Draw the kernels again from the seeds, which keras.applications can't be given."""
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            layer.kernel.assign(keras.initializers.GlorotUniform(seeds())(layer.kernel.shape))
