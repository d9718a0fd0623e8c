"""The choice of the smallest file that is accurate enough."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.errors import ExportError
from keras_kd.exporters import tuning
from keras_kd.exporters.formats import float16, int8


@pytest.fixture(scope="module")
def model():
    """Brighter than 127.5 or not, through a dense layer large enough to be quantized."""
    image = keras.Input((8, 8, 1))
    x = layers.Dense(64, use_bias=False)(layers.Flatten()(layers.Rescaling(1 / 255, -0.5)(image)))
    model = keras.Model(image, layers.Dense(2, use_bias=False)(x))
    _, dense, last = (layer for layer in model.layers[1:] if not isinstance(layer, layers.Flatten))
    dense.set_weights([np.full((64, 64), 1 / 64)])
    last.set_weights([np.stack([np.full(64, -1 / 64), np.full(64, 1 / 64)], axis=1)])
    return model


def _samples(seed):
    random = np.random.default_rng(seed)
    level = random.integers(0, 256, (40, 1, 1, 1))
    images = np.clip(level + random.integers(-9, 10, (40, 8, 8, 1)), 0, 255).astype(np.uint8)
    return Samples(
        images, (images.mean(axis=(1, 2, 3)) > 127.5).astype(np.int64), ("dark", "bright")
    )


def test_the_smallest_good_file_is_written(model, tmp_path):
    report, attempts = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=0.1
    )
    assert [attempt.format for attempt in attempts] == exporters.litert_names()
    assert attempts[0].accuracy == 1.0
    sizes = {attempt.format: attempt.bytes for attempt in attempts if attempt.accuracy >= 0.9}
    assert sizes[report.format] == min(sizes.values()) < sizes["float32"] / 2
    assert report.path.stat().st_size == report.bytes == sizes[report.format]
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_a_file_that_loses_too_much_is_passed_over(model, tmp_path, monkeypatch):
    accuracies = {"float32": 0.9, "float16": 0.9, "dynamic": 0.8, "int8": 0.895}
    monkeypatch.setattr(
        tuning, "accuracy", lambda path, samples, value_range: accuracies[path.stem]
    )
    report, _ = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=0.001
    )
    assert report.format == "float16"
    report, _ = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=0.01
    )
    assert report.format == "int8"


def test_a_failed_export_is_told_and_passed_over(model, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "TOLERANCE", 0.0)
    monkeypatch.setattr(float16, "TOLERANCE", 0.0)
    report, attempts = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=1.0
    )
    assert report.format == "dynamic"
    assert "differs from Keras" in attempts[-1].failure and attempts[-1].bytes is None


def test_a_negative_drop_is_refused(model, tmp_path):
    with pytest.raises(ExportError, match="max_drop must be 0 or more"):
        tuning.tune(model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=-0.1)
