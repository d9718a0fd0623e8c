"""Every model by every format: converts, runs on its own runtime, agrees with Keras, uses built-in operators only."""

from __future__ import annotations

import functools
import importlib.util

import numpy as np
import pytest

from keras_kd import exporters, litert, models

# The rest take minutes together: `pytest -m slow tests/test_export_contract.py`.
QUICK = {"C"}
# State dicts hold the published keys of some architectures, see their own tests.
FORMATS = [name for name in exporters.names() if name not in ("pytorch", "safetensors")]
LIMITS = {"float32": 1e-4, "float16": 0.05, "dynamic": 0.3, "int8": 0.3, "onnx": 1e-4, "saved_model": 1e-4}


@functools.lru_cache(maxsize=1)
def _model(name):
    return models.build(name, seed=1)


def _cases():
    for name in models.names():
        for format in FORMATS:
            yield pytest.param(name, format, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize(("name", "format"), list(_cases()))
def test_every_model_by_every_format(name, format, tmp_path):
    if format == "onnx" and not importlib.util.find_spec("tf2onnx"):
        pytest.skip("the extra `onnx` is not installed")
    model = _model(name)
    coarse = np.random.default_rng(3).integers(0, 256, (16, 8, 8, 3), np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    report = exporters.export(model, tmp_path / f"model{exporters.find(format).SUFFIX}", format, samples=images)
    assert report.max_difference <= LIMITS[format]
    assert report.bytes > 0
    if report.path.suffix == ".tflite":
        assert report.operators and not litert.custom_or_flex(report.path)


@pytest.mark.parametrize(("format", "most"), [("float32", 2.3e6), ("dynamic", 0.65e6), ("int8", 0.65e6)])
def test_student_c_is_as_small_as_promised(format, most, tmp_path):
    images = np.zeros((4, 64, 64, 3), np.uint8)
    images[1] = 255
    assert exporters.export(_model("C"), tmp_path / "model.tflite", format, samples=images).bytes <= most


@pytest.mark.slow
@pytest.mark.parametrize(("format", "most"), [("float32", 9.1e6), ("dynamic", 2.4e6), ("int8", 2.4e6)])
def test_student_b_is_as_small_as_promised(format, most, tmp_path):
    images = np.zeros((4, 64, 64, 3), np.uint8)
    images[1] = 255
    assert exporters.export(_model("B"), tmp_path / "model.tflite", format, samples=images).bytes <= most


def test_compacting_changes_no_bit_of_the_float32_file(tmp_path, monkeypatch):
    """Exported with and without its dead taps, C gives the same bits, and every tap of the small file is alive."""
    images = np.random.default_rng(5).integers(0, 256, (8, 64, 64, 3), np.uint8)
    small = exporters.export(_model("C"), tmp_path / "small.tflite", "float32", samples=images)
    monkeypatch.setattr("keras_kd.exporters._model.compact", lambda model: model)
    full = exporters.export(_model("C"), tmp_path / "full.tflite", "float32", samples=images)
    assert full.bytes > 2 * small.bytes
    np.testing.assert_array_equal(
        litert.LiteRTModel(small.path).predict(images), litert.LiteRTModel(full.path).predict(images)
    )
