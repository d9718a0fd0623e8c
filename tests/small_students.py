"""Small students, a batch for them, and a linear student's step in closed form."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from scipy.special import log_softmax, rel_entr, softmax

from keras_kd.distiller import Distiller

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (24, 4, 4, 1), dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, 24)
WEIGHTS = RANDOM.uniform(0, 2, 24).astype(np.float32)
LOGITS = RANDOM.normal(0, 3, (24, 3)).astype(np.float32)
RATE = 0.5


@keras.saving.register_keras_serializable("test")
class Count(layers.Layer):
    """Passes its input on and counts how often it is computed, not how often it is traced; by
    random numbers that are drawn, as a teacher's weights stay as they are.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.draws = keras.random.SeedGenerator(0)

    def call(self, x):
        self.draws.next()
        return x

    @property
    def calls(self):
        """How often it was computed."""
        return int(np.asarray(self.draws.state)[1])


def linear(seed=0, classes=3, regulariser=None, count=False):
    """softmax regression on pixels 0..1."""
    image = keras.Input((4, 4, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    x = Count(name="count")(x) if count else x
    kernel = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    return keras.Model(
        image, layers.Dense(classes, kernel_initializer=kernel, kernel_regularizer=regulariser)(x)
    )


def deep(seed=0, dropout=0.3, policy="float32"):
    """Convolution, batch norm and dropout; the logits are float32."""
    image = keras.Input((4, 4, 1))
    x = layers.Rescaling(1 / 255, dtype=policy)(image)
    kernels = [keras.initializers.HeUniform(3 * seed + index) for index in range(2)]
    x = layers.Conv2D(4, 3, padding="same", kernel_initializer=kernels[0], dtype=policy)(x)
    x = layers.ReLU(dtype=policy)(layers.BatchNormalization(momentum=0.9, dtype=policy)(x))
    x = layers.Dropout(dropout, seed=seed, dtype=policy)(layers.Flatten(dtype=policy)(x))
    return keras.Model(image, layers.Dense(3, kernel_initializer=kernels[1], dtype="float32")(x))


def compiled(student, teacher=None, optimizer=None, **options):
    compiling = {
        name: options.pop(name)
        for name in ("metrics", "weighted_metrics", "jit_compile")
        if name in options
    }
    distiller = Distiller(student, teacher, **options)
    distiller.compile(optimizer or keras.optimizers.SGD(RATE), **compiling)
    return distiller


def expected_step(kernel, logits, temperature, alpha, beta, class_weights=(1, 1, 1), weights=1):
    """(hard, soft, kernel after one step of SGD) of a linear student without bias, in float64."""
    pixels = IMAGES.reshape(24, 16) / 255
    student, teacher, shares = (
        pixels @ kernel.astype(float),
        logits.astype(float),
        np.eye(3)[LABELS] * np.array(class_weights),
    )
    weights = np.broadcast_to(weights, 24)
    hard = weights * -(shares * log_softmax(student, -1)).sum(-1)
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    soft = weights * temperature**2 * rel_entr(p, q).sum(-1)
    of_hard = shares.sum(-1, keepdims=True) * softmax(student, -1) - shares
    slope = weights[:, None] * (alpha * of_hard + beta * temperature * (q - p)) / 24
    return hard.mean(), soft.mean(), kernel - RATE * pixels.T @ slope
