"""A file for apps gives the model's own probabilities, whatever code the model ends in."""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.errors import ExportError
from keras_kd.exporters import bundle, tuning
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.stored_spec import of_model

SHAPE = (8, 8, 3)
NAMES = ("a", "b", "c", "d")


class Own(keras.Model):
    """Code in place of a graph."""

    def __init__(self, activation):
        super().__init__(name="own")
        self.classes = layers.Dense(4, activation, kernel_initializer=_wide())

    def call(self, image):
        return self.classes(keras.ops.mean(image, axis=(1, 2)) / 64.0)


class OwnSoftmax(layers.Layer):
    def build(self, shape):
        self.temperature = self.add_weight(shape=(), initializer="ones")

    def call(self, logits):
        return keras.ops.softmax(logits / self.temperature)


def _wide():
    return keras.initializers.RandomNormal(stddev=3.0, seed=1)


def _pixels(count=20):
    drawn = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 3), np.uint8)
    return drawn.repeat(8, axis=1).repeat(8, axis=2)


def _model(end):
    if end == "own layer":
        image = keras.Input(SHAPE)
        logits = layers.Dense(4, kernel_initializer=_wide())(
            layers.GlobalAveragePooling2D()(image / 64.0)
        )
        return keras.Model(image, OwnSoftmax()(logits))
    if end == "nested":
        image = keras.Input(SHAPE)
        return keras.Model(image, Own("softmax")(image))
    model = Own(end)
    model(_pixels(1).astype(np.float32))
    return model


def _softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("given", [True, False], ids=["samples", "random pixels"])
@pytest.mark.parametrize("end", ["softmax", "own layer", "nested", "linear"])
def test_a_softmax_is_in_the_file_once(end, given, tmp_path):
    model = _model(end)
    report = exporters.export(
        model, tmp_path / "m.tflite", "float32", _pixels() if given else None, "app", NAMES
    )
    outputs = model.predict(_pixels().astype(np.float32), verbose=0)
    expected = _softmax(outputs) if end == "linear" else outputs
    found = LiteRTModel(tmp_path / "m.tflite").predict(_pixels())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert report.operators["SOFTMAX"] == 1


def test_what_may_be_sigmoids_or_logits_must_be_stated(tmp_path):
    model, path = _model("sigmoid"), tmp_path / "m.tflite"
    with pytest.raises(ExportError, match="may be logits or independent sigmoids. State output"):
        exporters.export(model, path, "float32", _pixels(), "app", NAMES)
    outputs = model.predict(_pixels().astype(np.float32), verbose=0)
    for stated, expected in (("sigmoids", outputs), ("logits", _softmax(outputs))):
        exporters.export(model, path, "float32", _pixels(), "app", NAMES, output=stated)
        np.testing.assert_allclose(LiteRTModel(path).predict(_pixels()), expected, atol=1e-5)


def test_tuning_takes_the_statement(tmp_path):
    model, pixels = _model("sigmoid"), _pixels()
    outputs = model.predict(pixels.astype(np.float32), verbose=0)
    labelled = Samples(pixels, outputs.argmax(axis=1), NAMES)
    path = tmp_path / "m.tflite"
    with pytest.raises(ExportError, match="may be logits or independent sigmoids. State output"):
        tuning.tune(model, path, labelled, labelled, io="app")
    report, _ = tuning.tune(model, path, labelled, labelled, io="app", output="sigmoids")
    assert "SOFTMAX" not in report.operators
    np.testing.assert_allclose(LiteRTModel(path).predict(pixels), outputs, atol=0.02)


def test_a_wrong_statement_is_refused(tmp_path):
    image = keras.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, layers.Dense(4, "softmax", name="end")(pooled))
    with pytest.raises(ExportError, match="stated to give logits, and its graph gives probab"):
        exporters.export(model, tmp_path / "m.tflite", "float32", io="app", output="logits")
    with pytest.raises(ExportError, match="output must be one of logits, probabilities, sigmoids"):
        exporters.export(model, tmp_path / "m.tflite", "float32", output="percent")


def test_a_file_of_found_probabilities_says_so_and_is_not_tried_again(tmp_path, monkeypatch):
    path = tmp_path / "m.tflite"
    exporters.export(_model("softmax"), path, "float32", _pixels(), value_range=(0, 255))
    assert of_model(path).output == "probabilities"
    # The export has computed it; what it says makes it another file.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    assert LiteRTModel(path).input_shape == SHAPE


def test_a_bundle_says_which_outputs_were_stated(tmp_path):
    model = _model("sigmoid")
    bundle.export_bundle(
        model, tmp_path, NAMES, _pixels(), _pixels(1)[0], "float32", output="sigmoids"
    )
    said = json.loads((tmp_path / "preprocess.json").read_text())["inside_the_file"]
    assert said == ["normalisation", "sigmoids"]
    expected = model.predict(_pixels().astype(np.float32), verbose=0)
    found = LiteRTModel(tmp_path / "model.tflite").predict(_pixels())
    np.testing.assert_allclose(found, expected, atol=1e-5)
