"""A student of one's own for small pictures: `--student benchmarks/own_network.py:build`."""

from __future__ import annotations

import keras
from keras import layers


def build(num_classes: int, input_shape: tuple[int, int, int]) -> keras.Model:
    """Two stages of one residual block each, for pixels 0..255; logits out.

    Args:
        num_classes: number of logits.
        input_shape: height, width, channels.

    Returns:
        The model, untrained.
    """
    image = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = _convolution(x, 8, strides=2)
    for filters in (8, 16):
        x = _residual(_convolution(x, filters, strides=2))
    return keras.Model(image, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(x)))


def _convolution(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def _residual(x: keras.KerasTensor) -> keras.KerasTensor:
    inner = _convolution(x, x.shape[-1])
    inner = layers.Conv2D(x.shape[-1], 3, padding="same", use_bias=False)(inner)
    inner = layers.BatchNormalization(momentum=0.9)(inner)
    return layers.ReLU()(layers.Add()([x, inner]))
