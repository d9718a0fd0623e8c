"""Quantisation-aware fine-tuning for real, in its own process, on a small network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import litert, tflite_graph
from keras_kd.errors import DataError, ExportError
from keras_kd.quantisation_aware import describe, export_quantisation_aware


def _network():
    keras.utils.set_random_seed(4)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same")(layers.Rescaling(1 / 127.5, -1)(image))
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(16, 3, strides=2)(layers.ZeroPadding2D()(layers.Multiply()([x, gate])))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="small")


def _images(count):
    coarse = np.random.default_rng(6).integers(0, 256, (count, 3, 3, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def _weights_of_second_convolution(path):
    convolutions = [operator for operator in tflite_graph.read(path) if operator.name == "CONV_2D"]
    weights = next(operator.inputs[1] for operator in convolutions if operator.inputs[1].shape == (16, 3, 3, 8))
    return np.frombuffer(weights.values.tobytes(), np.int8).reshape(weights.shape)


def test_pruned_clustered_and_quantised_file_keeps_its_zeros(tmp_path):
    model, images = _network(), _images(96)
    teacher = model.predict(images, verbose=0)
    report = export_quantisation_aware(
        model, tmp_path / "model.tflite", images, teacher.argmax(1), teacher,
        epochs=2, batch_size=16, prune=0.5, cluster=6, checkpoint=tmp_path / "kept",
    )  # fmt: skip
    weights = _weights_of_second_convolution(report.path)
    assert (weights == 0).mean() >= 0.5
    # One scale a channel: up to six values in each.
    assert max(len(np.unique(channel)) for channel in weights) <= 7
    assert not litert.custom_or_flex(report.path)
    assert litert.LiteRTModel(report.path).predict(images).shape == (96, 3)
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.tflite",
        *(f"kept.{stage}.{end}" for stage in ("pruned", "clustered", "quantised") for end in ("h5", "json")),
    }


@pytest.mark.slow
def test_fine_tuning_on_a_teacher_comes_closer_to_it(tmp_path):
    teacher, images = _network(), _images(256)
    wanted = teacher.predict(images, verbose=0)
    student = _network()
    random = np.random.default_rng(1)
    student.set_weights([weight + random.normal(0, 0.05, weight.shape) for weight in student.get_weights()])
    before = np.abs(student.predict(images, verbose=0) - wanted).mean()
    report = export_quantisation_aware(
        student, tmp_path / "model.tflite", images, wanted.argmax(1), wanted, temperature=1.0, alpha=0.0,
        epochs=30, batch_size=32, learning_rate=3e-3, io="app", app_input=(12, 12, 3),
    )  # fmt: skip
    found = litert.LiteRTModel(report.path).predict(images)
    shares = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    logits = student.predict(images, verbose=0)
    start = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert before > 0
    assert np.abs(found - shares).mean() < 0.5 * np.abs(start - shares).mean()


def test_layers_without_twin_are_refused():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.GaussianNoise(0.1)(image)), name="odd")
    with pytest.raises(ExportError, match="of odd is a GaussianNoise, which can't be quantised in training"):
        describe(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prune": 1.5}, "prune must be between 0 and 1. Received: prune=1.5"),
        ({"cluster": 1}, "cluster must be 2 or more"),
        ({"io": "int8"}, "offers io='float' or 'app'"),
    ],
)
def test_bad_options_are_refused(arguments, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        export_quantisation_aware(_network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int), **arguments)


def test_data_of_different_numbers_is_refused(tmp_path):
    with pytest.raises(DataError, match="Received: 4 images, 4 labels, 3 logits"):
        export_quantisation_aware(
            _network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int), np.zeros((3, 3), np.float32)
        )
