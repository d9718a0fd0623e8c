"""Gratings of five directions, and a network that learns them in a second."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from keras_kd.datasets import Samples


def stripes(count, first):
    """Gratings of five directions and scales, uint8 (count, 32, 32, 3), and their classes."""
    rng, places = np.random.default_rng(first), np.mgrid[0:32, 0:32] / 32
    labels, images = np.arange(count) % 5, []
    for k in labels:
        angle = k * np.pi / 5 + rng.normal() * 0.1
        wave = (1 + k) * (places[1] * np.cos(angle) + places[0] * np.sin(angle))
        image = 0.5 + 0.4 * np.sin(4 * np.pi * wave + 6 * rng.random())
        image = image[..., None] * [1, 0.3 + 0.14 * k, 1 - 0.15 * k]
        images.append(np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1) * 255)
    return np.array(images).astype(np.uint8), labels


def trained(activation, scale=1 / 127.5, epochs=15, of=1.0):
    """A network that tells gratings apart, for pixels 0..255 times `of`."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((32, 32, 3)), *([layers.Rescaling(scale, -1)] if scale else [])]
    for number in range(3):
        stack += [layers.Conv2D(16, 3, strides=2, padding="same"),
                  layers.Activation(activation, name=f"act_{number}")]  # fmt: skip
    model = keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(5)])
    model.compile(
        keras.optimizers.Adam(0.005), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    images, labels = stripes(100, 0)
    model.fit(images * np.float32(of), labels, epochs=epochs, batch_size=20, verbose=0)
    return model


def samples(count=100, first=0):
    """Gratings as a data set."""
    images, labels = stripes(count, first)
    return Samples(images, labels, tuple("abcde"))
