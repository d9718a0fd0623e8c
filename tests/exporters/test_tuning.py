"""The choice of the smallest file that is accurate enough."""

from __future__ import annotations

import gratings
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
    reasons = {attempt.format: attempt.reason for attempt in attempts}
    assert "chosen" in reasons[report.format] and "10 points" in reasons[report.format]
    assert sum("chosen:" in reason for reason in reasons.values()) == 1
    share = float(reasons["float32"].split(" times")[0])
    assert share == pytest.approx(sizes["float32"] / report.bytes, rel=0.1)
    assert all(attempt.milliseconds > 0 for attempt in attempts)


def test_a_file_that_loses_too_much_is_passed_over(model, tmp_path, monkeypatch):
    accuracies = {"float32": 0.9, "float16": 0.9, "dynamic": 0.8, "int8": 0.895, "int16x8": 0.5}
    monkeypatch.setattr(
        tuning, "accuracy", lambda path, samples, value_range: accuracies[path.stem]
    )
    report, attempts = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=0.001
    )
    assert report.format == "float16"
    reasons = {attempt.format: attempt.reason for attempt in attempts}
    assert reasons["int8"] == "loses 0.50 points" and reasons["dynamic"] == "loses 10.00 points"
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
    failed = next(attempt for attempt in attempts if attempt.format == "int8")
    assert "differs from Keras" in failed.failure == failed.reason and failed.bytes is None


def test_a_file_that_no_kernel_is_made_for_is_passed_over(model, tmp_path, monkeypatch):
    times = {"float32": 1.0, "float16": 1.0, "dynamic": 6.0, "int8": 5.5, "int16x8": 20.0}
    monkeypatch.setattr(tuning, "milliseconds", lambda path: times[path.stem])
    report, attempts = tuning.tune(
        model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=1.0
    )
    assert report.format == "float16"
    reasons = {attempt.format: attempt.reason for attempt in attempts}
    assert "20 times as long" in reasons["int16x8"] and "5.5 times" in reasons["int8"]


def test_int8_is_tried_again_with_the_layers_at_fault_in_float32(tmp_path):
    model = gratings.trained("softplus", epochs=25)
    labelled = [Samples(*gratings.stripes(100, seed), ("a", "b", "c", "d", "e")) for seed in (0, 9)]
    _, attempts = tuning.tune(model, tmp_path / "m.tflite", *labelled, max_drop=0.05)
    refused, kept = (attempt for attempt in attempts if attempt.format == "int8")
    assert "less than the 97 % required" in refused.reason and not refused.keep_float
    assert kept.keep_float and all(name in refused.failure for name in kept.keep_float)
    assert kept.accuracy == pytest.approx(attempts[0].accuracy, abs=0.05)


def test_a_negative_drop_is_refused(model, tmp_path):
    with pytest.raises(ExportError, match="max_drop must be 0 or more"):
        tuning.tune(model, tmp_path / "model.tflite", _samples(1), _samples(2), max_drop=-0.1)
