"""Networks of keras.applications as models of this library, from pixels 0..255 to logits."""

from __future__ import annotations

import sys
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from keras_kd._common.text import first_line, sides
from keras_kd.errors import ModelError
from keras_kd.models.architectures._parts import CONNECT, Heads, Seeds, head_dropout, outputs, rgb


def names() -> list[str]:
    """Return the names of all networks."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def build(
    name: str,
    heads: Heads,
    input_shape: tuple[int, int, int],
    dropout: tuple[float, float] | None,
    seed: int | None,
    pretrained: str | None,
) -> keras.Model:
    """Build a network of `names()`; for the arguments see `keras_kd.models.build`.

    The second dropout is placed before the heads; None is 0. The network's `preprocess_input` is
    computed inside the model.

    Raises:
        ModelError: the network can't be built for such images, or its weights are not available.
    """
    if input_shape[2] not in (1, 3):
        raise ModelError(f"{name} takes images of 1 or 3 channels. Received: {input_shape}.")
    make = getattr(keras.applications, name)
    scale, offset, is_bgr = _pixels(sys.modules[make.__module__].preprocess_input)
    image = keras.Input(input_shape, name="image")
    x = rgb(image)
    if np.any(scale != 1) or np.any(offset != 0):
        x = layers.Rescaling(scale.tolist(), offset.tolist(), name="normalise")(x)
    try:
        trunk = make(include_top=False, weights=pretrained, input_tensor=x, pooling="avg")
    except Exception as error:
        # Keras raises a bare Exception where the network fails, layers what they raise.
        raise ModelError(_refusal(name, input_shape, pretrained, error)) from error
    if pretrained and is_bgr:
        _turn_channels(trunk)
    seeds = Seeds(seed)
    x = head_dropout(trunk.output, dropout, seeds)
    return keras.Model(image, outputs(x, heads, "logits", seeds), name=name)


def _pixels(preprocess: Callable) -> tuple[np.ndarray, np.ndarray, bool]:
    """Scale and offset of each channel, red first, of what a network does to pixels, and whether it
    reads blue first.
    """
    black, red, white = (
        preprocess(np.array(pixel, np.float32).reshape(1, 1, 1, 3)).ravel()
        for pixel in ([0, 0, 0], [255, 0, 0], [255, 255, 255])
    )
    # A red image changes the first channel in RGB and the last one in BGR.
    is_bgr = bool(red[0] == black[0])
    scale, offset = (white - black) / 255, black
    return (scale[::-1], offset[::-1], True) if is_bgr else (scale, offset, False)


def _turn_channels(trunk: keras.Model) -> None:
    """Let the first convolution read red first, so that nothing is turned in every image."""
    first = next(layer for layer in trunk.layers if isinstance(layer, layers.Conv2D))
    kernel, *rest = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *rest])


def _refusal(
    name: str, input_shape: tuple[int, int, int], pretrained: str | None, error: Exception
) -> str:
    reason = first_line(error).rstrip(".")
    if pretrained and "URL" in reason:
        return f"The weights {pretrained} of {name} can't be had ({reason}): {CONNECT}."
    size = sides(input_shape)
    return f"{name} can't be built for images of {size} ({reason}): try a larger --image-size."
