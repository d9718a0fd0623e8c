"""Softmax of what are probabilities already, which teaches next to nothing, is told everywhere."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax
from small_students import compiled, linear

from keras_kd.distiller import Distiller
from keras_kd.exporters import export
from keras_kd.models import output_kinds
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import predictors
from keras_kd.runtimes._keras_predictor import KerasPredictor

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 5, (64, 12)).astype(np.float32)
TWICE = "softmax is taken twice"


@pytest.mark.parametrize("classes", [3, 12])
def test_only_a_softmax_of_probabilities_is_one(classes):
    once = softmax(LOGITS[:, :classes], axis=1)
    twice = softmax(once, axis=1)
    assert output_kinds.are_softmax_twice(twice)
    assert output_kinds.are_softmax_twice(twice.astype(np.float16))
    smoothed = 0.9 * np.eye(classes)[np.arange(64) % classes] + 0.1 / classes
    others = (
        once,
        softmax(LOGITS[:, :classes] / 4, axis=1),
        smoothed,
        softmax(LOGITS / 99, axis=1),
    )
    assert not any(map(output_kinds.are_softmax_twice, others))
    # As a file of 8 bits gives them.
    assert output_kinds.are_softmax_twice(np.round(twice * 256) / 256)
    assert not any(output_kinds.are_softmax_twice(np.round(other * 256) / 256) for other in others)
    assert not output_kinds.are_softmax_twice(twice[:15])


def test_of_maps_no_more_images_are_looked_at_than_memory_holds():
    """One image of 128 that is left out is no softmax of probabilities."""
    image = keras.Input((8, 8, 1))
    student = compiled(keras.Model(image, layers.Conv2D(3, 1)(image)))
    stored = softmax(softmax(RANDOM.normal(0, 5, (128, 8, 8, 3)), axis=-1), axis=-1)
    images, labels = np.zeros((128, 8, 8, 1)), RANDOM.integers(0, 3, (128, 8, 8))
    for last, times in ((126, 1), (127, 0)):
        stored[last] = np.eye(3)[labels[last]]
        y = {"label": labels, "teacher": stored.astype(np.float32)}
        assert _said(lambda y=y: student.fit(images, y, verbose=0)) == times


def _model(softmaxes):
    model = linear(seed=2)
    output = model.output * 9
    for _ in range(softmaxes):
        output = layers.Softmax()(output)
    return keras.Model(model.input, output)


def _said(work):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        work()
    return sum(TWICE in str(one.message) for one in warned)


@pytest.mark.parametrize("softmaxes", [1, 2])
def test_it_is_told_once_of_teachers_stored_outputs_and_files(softmaxes, tmp_path):
    model, images = _model(softmaxes), RANDOM.integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    told = int(softmaxes == 2)
    y = {"label": np.arange(40) % 3, "teacher": model.predict(images, verbose=0)}
    assert _said(lambda: Distiller(linear(), model)) == told
    assert _said(lambda: compiled(linear()).fit(images, y, verbose=0)) == told
    path = tmp_path / "model.tflite"
    assert _said(lambda: export(model, path, "float32", images)) == told
    read = predictors.load(path)
    assert _said(lambda: [read.logits(images) for _ in range(2)]) == told
    spec = ModelSpec(input_shape=(4, 4, 1))
    assert _said(lambda: KerasPredictor(model, spec).logits(images)) == told
