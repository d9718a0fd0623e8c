"""Every model by every format: converts, runs on its own runtime, agrees with Keras, uses built-in
operators only.
"""

from __future__ import annotations

import functools
import importlib.util

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import datasets, exporters, models
from keras_kd.datasets.images import fitted
from keras_kd.errors import ExportError
from keras_kd.evaluation import benchmark
from keras_kd.exporters import tuning
from keras_kd.runtimes import litert, multiply_accumulates, tflite_operators

# The rest take minutes together: `pytest -m slow tests/exporters/test_export_contract.py`.
QUICK = {"C"}
# State dicts hold the published keys of some architectures, see their own tests.
FORMATS = [name for name in exporters.names() if name not in ("pytorch", "safetensors")]
# Its attention multiplies int8's rounding, with random weights to 0.9 of the outputs' spread.
REFUSED = {("emonet", "int8")}
# Bytes at most.
PROMISED = {("C", "float32"): 2.3e6, ("C", "dynamic"): 0.65e6, ("C", "int8"): 0.65e6}


def _images(count=16):
    coarse = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@functools.lru_cache(maxsize=1)
def _model(name):
    """Random weights, but normalised as training would: EmoNet's activations explode otherwise,
    int8's ranges too.
    """
    model = models.build(name, seed=1)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(fitted(_images(), model.input_shape[1:]).astype(np.float32), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


@functools.lru_cache(maxsize=1)
def _exporter(name):
    """Prepares once what the files of all formats share."""
    return exporters.Exporter(_model(name), _images())


def _cases():
    for name in models.names():
        for format in FORMATS:
            yield pytest.param(name, format, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize(("name", "format"), list(_cases()))
def test_every_model_by_every_format(name, format, tmp_path):
    if format == "onnx" and not importlib.util.find_spec("tf2onnx"):
        pytest.skip("the extra `onnx` is not installed")
    exporter = _exporter(name)
    path = tmp_path / f"model{exporters.find(format).SUFFIX}"
    if (name, format) in REFUSED:
        with pytest.raises(ExportError, match="differs from Keras by"):
            exporter.export(path, format, min_agreement=0)
        assert not list(tmp_path.iterdir())
        return
    # Random weights answer by next to nothing, so the values decide.
    report = exporter.export(path, format, min_agreement=0)
    assert report.max_difference <= exporters.find(format).TOLERANCE
    assert 0 < report.bytes <= PROMISED.get((name, format), np.inf)
    if report.path.suffix == ".tflite":
        assert report.operators and not tflite_operators.custom_or_flex(report.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "most"), [("float32", 9.1e6), ("dynamic", 2.4e6), ("int8", 2.4e6)]
)
def test_student_b_is_as_small_as_promised(format, most, tmp_path):
    images = np.zeros((4, 64, 64, 3), np.uint8)
    images[1] = 255
    assert (
        exporters.export(
            _model("B"), tmp_path / "model.tflite", format, samples=images, min_agreement=0
        ).bytes
        <= most
    )


def test_compacting_changes_no_bit_of_the_float32_file(tmp_path, monkeypatch):
    """Exported with and without its dead taps, C gives the same bits, and every tap of the small
    file is alive.
    """
    images = np.random.default_rng(5).integers(0, 256, (8, 64, 64, 3), np.uint8)
    small = _exporter("C").export(tmp_path / "small.tflite", "float32", min_agreement=0)
    monkeypatch.setattr("keras_kd.exporters._runtime_form.compact", lambda model: model)
    full = exporters.export(_model("C"), tmp_path / "full.tflite", "float32", samples=images)
    assert full.bytes > 2 * small.bytes
    live = [multiply_accumulates.live_taps(report.path) for report in (small, full)]
    assert live[0] == 1.0 > live[1]
    np.testing.assert_array_equal(
        litert.LiteRTModel(small.path).predict(images),
        litert.LiteRTModel(full.path).predict(images),
    )


@pytest.fixture(scope="module")
def trained():
    """A small network that has learnt drawn faces, on pixels of half the size."""
    keras.utils.set_random_seed(6)
    image = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    model = keras.Model(
        image, layers.Dense(7)(layers.Dense(64, activation="relu")(layers.Flatten()(x)))
    )
    model.compile(
        keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    train = datasets.load("faces", "train")
    model.fit(fitted(train.images, (32, 32, 3)), train.labels, batch_size=32, epochs=6, verbose=0)
    return model, train


@pytest.mark.slow
def test_small_formats_score_within_a_point_of_float32_on_drawn_faces(trained, tmp_path):
    model, train = trained
    tests = [datasets.load("faces", split) for split in ("validation", "test")]

    def accuracy(format):
        path = exporters.export(model, tmp_path / f"{format}.tflite", format, train).path
        return np.mean([tuning.accuracy(path, samples) for samples in tests])

    full = accuracy("float32")
    assert full > 0.7
    for format in ("float16", "dynamic", "int8"):
        assert accuracy(format) == pytest.approx(full, abs=0.01)


@pytest.mark.slow
def test_student_b_is_as_fast_as_promised(tmp_path, monkeypatch):
    """Ratios of medians in turns: what else the machine does meets all files alike."""
    small = exporters.export(_model("B"), tmp_path / "small.tflite", "float32").path
    quantized = exporters.export(
        _model("B"), tmp_path / "int8.tflite", "int8", samples=_images(), min_agreement=0
    ).path
    monkeypatch.setattr("keras_kd.exporters._runtime_form.compact", lambda model: model)
    published = exporters.export(_model("B"), tmp_path / "published.tflite", "float32").path
    medians = [
        one.latency[1][0] for one in benchmark.measure([small, quantized, published], [1], 3.0)
    ]
    assert medians[1] <= 0.4 * medians[0]
    assert medians[0] <= 0.65 * medians[2]
