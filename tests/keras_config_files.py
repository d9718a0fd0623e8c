"""Small Keras models and their files with a changed configuration."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)


def model_around(body: Callable[[Any], Any]) -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(body(image))))


def conv_model(**options: Any) -> keras.Model:
    return model_around(lambda image: layers.Conv2D(2, 3, name="conv", **options)(image))


def rewritten(model: keras.Model, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The model's file with a change to its configuration."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    return path


def conv_config(config: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in config["config"]["layers"] if one["name"] == "conv")


BASE = json.dumps(keras.saving.serialize_keras_object(conv_model(activation="relu")))
