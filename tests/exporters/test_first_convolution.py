"""Gray images: normalisation and first convolution without three equal channels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd.exporters._tflite_passes import first_convolution
from keras_kd.runtimes import tflite_graph, tflite_operators
from keras_kd.runtimes.litert import LiteRTModel

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 9, 12, 1), np.uint8)
MEAN, DEVIATION = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)  # ImageNet's


def _network(padding="same", strides=1, mean=MEAN, channels=1):
    keras.utils.set_random_seed(0)
    image = keras.Input((9, 12, channels))
    x = layers.Concatenate()([image] * 3) if channels == 1 else image
    x = layers.Normalization(mean=mean, variance=np.square(DEVIATION))(x)
    x = layers.Conv2D(8, (3, 5), strides, padding, activation="relu",
                      bias_initializer="random_normal")(x)  # fmt: skip
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def _convolutions(path):
    return [one for one in tflite_graph.read(path) if one.name == "CONV_2D"]


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ({}, [(1, 2), (2, 8)]),  # (in, out) of each convolution: pixels and ones
        ({"strides": 2}, [(1, 2), (2, 8)]),
        ({"padding": "valid"}, [(1, 8)]),
        ({"mean": (0, 0, 0)}, [(1, 8)]),
    ],
)
def test_channels_that_are_copies_are_not_computed_and_answers_stay(settings, channels, tmp_path):
    model = _network(**settings)
    path = exporters.export(model, tmp_path / "m.tflite", "float32", value_range=(0, 255)).path
    found = [(one.inputs[1].shape[3], one.outputs[0].shape[3]) for one in _convolutions(path)]
    assert found == channels
    assert "CONCATENATION" not in tflite_operators.counts(path)
    images = IMAGES.astype(np.float32)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(LiteRTModel(path).predict(images), expected, atol=1e-4)


@pytest.mark.parametrize("format", ["int8", "dynamic"])
def test_formats_that_round_have_it_too(format, tmp_path):
    report = exporters.export(
        _network(), tmp_path / "m.tflite", format, IMAGES, "app", app_input=(9, 12, 1),
        class_names=("a", "b", "c"), value_range=(0, 255), min_agreement=0.9,
    )  # fmt: skip
    first, second = _convolutions(report.path)
    assert (first.outputs[0].shape[3], second.inputs[1].shape[3]) == (2, 2)
    assert report.worst_layer is not None


def test_colours_and_integers_are_left_alone(tmp_path):
    colour = _network(channels=3)
    path = exporters.export(colour, tmp_path / "rgb.tflite", "float32", value_range=(0, 255)).path
    assert [one.inputs[1].shape[3] for one in _convolutions(path)] == [3, 3]
    content = path.read_bytes()
    assert first_convolution.of_fewer_channels(content) is content
