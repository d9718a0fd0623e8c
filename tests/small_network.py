"""Networks so small that whole runs of them end in seconds: `--student PATH:network`."""

from __future__ import annotations

import keras
from keras import layers


def network(
    num_classes: int,
    input_shape: tuple[int, int, int],
    heads: dict[str, int | None] | None = None,
) -> keras.Model:
    """Two convolutions with batch normalisation, for pixels 0..255; logits out, or a dict by
    head.
    """
    image = keras.Input(input_shape)
    x = layers.Rescaling(1 / 255)(image)
    for filters in (8, 16):
        x = layers.Conv2D(filters, 5, strides=2, use_bias=False, name=f"conv{filters}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{filters}")(x)
        x = layers.ReLU(name=f"relu{filters}")(x)
    x = layers.GlobalAveragePooling2D()(x)
    if heads is None:
        return keras.Model(image, layers.Dense(num_classes, name="logits")(x))
    return keras.Model(
        image, {name: layers.Dense(width or 1, name=name)(x) for name, width in heads.items()}
    )


def wide(num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
    """Few layers, so that it is traced in a moment, and 2.3 MB of weights, which fill a disk."""
    image = keras.Input(input_shape)
    x = layers.Conv2D(4, 4, strides=4, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Dense(1000, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(num_classes, name="logits")(x))


PARAMETERS = (
    5 * 5 * 8 + 2 * 8 + 5 * 5 * 8 * 16 + 2 * 16
)  # trainable, of one channel, without classes
NETWORK = f"{__file__}:network"
WIDE = f"{__file__}:wide"
