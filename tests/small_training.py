"""A training of seconds: batches with a teacher's logits, and a student with all that a resumed
training could forget.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from keras_kd.distiller import Distiller
from keras_kd.teachers.views import Views
from keras_kd.training import optimizers
from keras_kd.training.batches import TrainingBatches

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (44, 8, 8, 1), dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, 44)
LOGITS = RANDOM.normal(0, 2, (44, 2, 3)).astype(np.float16)
VALIDATION = (IMAGES[::-1, :, ::-1], LABELS[::-1])
STEPS = 5


def training_batches(**changes):
    options = {
        "images": IMAGES,
        "labels": LABELS,
        "views": Views("mirror", 44),
        "batch_size": 8,
        "seed": 3,
    }
    return TrainingBatches(**{**options, "teacher_logits": LOGITS, **changes})


def new_distiller(schedule="cosine", epochs=4, policy="float32", units=3, alpha=0.15, ema=0.0):
    """With all that a resumed training could forget: momentum, schedule, batch norm, dropout, loss
    scale.
    """
    image = keras.Input((8, 8, 1))
    x = layers.Rescaling(1 / 255, dtype=policy)(image)
    x = layers.Conv2D(units, 3, kernel_initializer=keras.initializers.HeUniform(1), dtype=policy)(x)
    x = layers.ReLU(dtype=policy)(layers.BatchNormalization(momentum=0.9, dtype=policy)(x))
    x = layers.Dropout(0.4, seed=2, dtype=policy)(layers.Flatten(dtype=policy)(x))
    logits = layers.Dense(
        3, kernel_initializer=keras.initializers.GlorotUniform(3), dtype="float32"
    )(x)
    distiller = Distiller(keras.Model(image, logits), alpha=alpha)
    distiller.compile(
        optimizers.sgd(schedule, 0.1, 1e-3, STEPS * epochs, ema=ema), metrics=["accuracy"]
    )
    return distiller
