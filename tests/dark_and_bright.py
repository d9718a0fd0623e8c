"""Dark and bright noise in class folders, and a model that tells the two apart without training."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
from command_line import called
from keras import layers
from PIL import Image

from keras_kd.models import keras_file

# The folders' order is alphabetical: bright, dark.
CLASSES = ("dark", "bright")


def draw_images(root: Path) -> Path:
    """Write 60 images of 64x64 of each class."""
    random = np.random.default_rng(0)
    for name, level in (("bright", 160), ("dark", 90)):
        (root / name).mkdir()
        for number in range(60):
            pixels = level + random.integers(-60, 61, (64, 64))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02}.png")
    return root


def write_student(path: Path) -> Path:
    """Write a model that knows CLASSES by its weights: the mean brightness of what passes two
    convolutions.
    """
    image = keras.Input((64, 64, 1))
    x = layers.Rescaling(1 / 128, -1)(image)
    x = layers.Conv2D(24, 3, strides=4, name="first")(x)
    x = layers.Conv2D(24, 3, strides=2, name="second")(x)
    model = keras.Model(image, layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x)))
    random = np.random.default_rng(1)
    for name in ("first", "second"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights(
            [random.uniform(0, 2 / kernel[..., 0].size, kernel.shape), bias]
        )
    model.get_layer("last").set_weights([np.tile([-0.4, 0.4], (24, 1)), np.zeros(2)])
    keras_file.save(model, path, keras_file.ModelSpec(CLASSES, input_shape=(64, 64, 1)))
    return path


def exported(capsys, *arguments):
    """Run `kerakd export`; what its --json shows."""
    assert called("export", *map(str, arguments), "--json") == 0
    return json.loads(capsys.readouterr().out)
