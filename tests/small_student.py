"""A network with the layers of the students, and images to export it with."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def network(shape=(16, 16, 3), outputs=4, policy="float32"):
    """Convolution, batch norm, squeeze and excitation, strided residual and dense layers; random
    weights.
    """
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    image = keras.Input(shape, name="image")
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.MaxPooling2D()(layers.ReLU()(x))
    squeezed = layers.Dense(2, activation="relu", use_bias=False)(
        layers.GlobalAveragePooling2D()(x)
    )
    gate = layers.Dense(8, activation="sigmoid", use_bias=False)(squeezed)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    shortcut = layers.Conv2D(12, 1, strides=2)(x)
    x = layers.Conv2D(12, 3, strides=2)(layers.ZeroPadding2D()(x))
    x = layers.Dropout(0.5)(layers.ReLU()(layers.Add()([x, shortcut])))
    logits = layers.Dense(outputs, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    keras.config.set_dtype_policy(before)
    model = keras.Model(image, logits, name="small")
    # Moving statistics away from 0 and 1, or a forgotten batch norm would not show.
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    norm.set_weights([np.full(8, 1.3), np.full(8, 0.2), np.full(8, 0.1), np.full(8, 0.5)])
    return model


def blobs(count, shape=(16, 16, 3), seed=5):
    """Smooth random uint8 images, unlike one another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, shape[2]), np.uint8)
    return coarse.repeat(shape[0] // 4, axis=1).repeat(shape[1] // 4, axis=2)
