"""An image's outputs that depend on the other images of its batch are told, wherever it matters."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_kd
from keras_kd.errors import ExportError, ModelError
from keras_kd.models import inference, sources
from keras_kd.models.output_kinds import images_of_noise
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes.predictors import KerasPredictor

SHAPE = (6, 6, 3)
IMAGES = images_of_noise(SHAPE).astype(np.float32)
TOLD = "gives an image other outputs beside other images, as statistics of a batch do"


class InTraining(layers.Layer):
    """Normalises by the statistics of the batch, whatever its caller says."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.norm(x, training=True)


class Noisy(layers.Layer):
    def call(self, x):
        return ops.relu(x) + keras.random.normal((1, 1, 1, 1), 0, 1e4)


class Rounding(layers.Layer):
    """Rounds with the number of images, which is all that it gives for the last one."""

    def call(self, x):
        means = ops.mean(x, (1, 2, 3))[:, None]
        return means - float(IMAGES[-1].mean()) + 0.1 * ops.sum(ops.ones_like(means))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.norm = layers.Flatten(), InTraining()

    def call(self, x):
        return self.norm(self.flatten(x))


def _of(middle, dtype=None):
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    x = middle(layers.Conv2D(4, 3, dtype=dtype)(image))
    return keras.Model(image, layers.Dense(3, dtype=dtype)(layers.Flatten()(x)))


def _without_mean(axis):
    return lambda x: x - ops.mean(x, axis=axis, keepdims=True)


def _called(model):
    model(IMAGES)
    return model


MIXING = {
    "an operation": lambda: _of(_without_mean(0)),
    "a layer of one's own": lambda: _of(InTraining()),
    "inside a model": lambda: _of(keras.Sequential([InTraining()])),
    "a layer's axis": lambda: _of(layers.UnitNormalization(axis=0)),
    "a layer's function": lambda: _of(layers.Activation(_without_mean(0))),
    "a fixed batch": lambda: keras.Sequential(
        [keras.Input(batch_shape=(3, *SHAPE)), layers.UnitNormalization(axis=0)]
    ),
    "an axis from the end": lambda: _of(layers.UnitNormalization(axis=-4)),
    "without an Input": lambda: _called(keras.Sequential([layers.Flatten(), InTraining()])),
    "a subclass": lambda: _called(Subclassed()),
}
APART = {
    "operations within an image": lambda: _of(_without_mean((1, 2, 3))),
    "a value near zero": lambda: keras.Sequential([keras.Input(SHAPE), Rounding()]),
    "half precision": lambda: _of(_without_mean((1, 2, 3)), "mixed_bfloat16"),
    "Keras overrides training": lambda: _of(lambda x: layers.BatchNormalization()(x, training=1)),
    "random numbers": lambda: _of(Noisy()),
    "one image at a time": lambda: keras.Sequential(
        [keras.Input(batch_shape=(1, *SHAPE)), layers.UnitNormalization(axis=0)]
    ),
}


@pytest.mark.parametrize("name", [*MIXING, *APART])
def test_outputs_that_depend_on_the_batch_are_found(name):
    model = (MIXING | APART)[name]()
    before = model.get_weights()
    assert inference.depends_on_batch(model, IMAGES) == (name in MIXING)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_of_keras_alone_are_not_run(monkeypatch):
    monkeypatch.setattr(inference, "unchanged", None)
    assert not inference.depends_on_batch(keras_kd.models.build("C"), IMAGES)


def _distiller(teacher):
    student = keras.Sequential(
        [keras.Input(SHAPE), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    distiller = keras_kd.Distiller(student, teacher)
    distiller.compile("sgd")
    return distiller


def test_a_teacher_and_a_loaded_model_are_told_of_once(recwarn):
    model = MIXING["an operation"]()
    distiller = _distiller(model)
    for _ in range(2):
        distiller.fit(IMAGES, np.arange(8) % 3, verbose=0)
    assert len([one for one in recwarn if f"The teacher {model.name} {TOLD}" in str(one)]) == 1
    with pytest.warns(UserWarning, match=f"The model {TOLD}, so its answers and scores change"):
        KerasPredictor(model, ModelSpec(input_shape=SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        other = APART["operations within an image"]()
        _distiller(other).fit(IMAGES, np.arange(8) % 3, verbose=0)
        KerasPredictor(other, ModelSpec(input_shape=SHAPE))


def _generated():
    for _ in range(3):
        yield IMAGES, np.arange(8) % 3


class _Dataset(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return IMAGES, np.arange(8) % 3


def _tensors():
    return tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(8) % 3)).batch(4)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("data", [_generated, _Dataset, _tensors])
def test_a_teacher_is_told_of_where_no_array_shows_its_images(data, stored, recwarn):
    """Of arrays alone it was told, and then also of a teacher whose outputs the batches bring."""
    model, answers = MIXING["an operation"](), 3 * np.eye(3, dtype=np.float32)
    batches = data()
    if stored and data is _tensors:
        batches = batches.map(lambda x, y: (x, {"label": y, "teacher": tf.gather(answers, y)}))
    elif stored:
        batches = ((x, {"label": y, "teacher": answers[y]}) for x, y in iter(batches))
    _distiller(model).fit(batches, steps_per_epoch=1, verbose=0)
    told = [one for one in recwarn if f"The teacher {model.name} {TOLD}" in str(one)]
    assert len(told) == (not stored)
    assert {one.filename for one in told} <= {__file__}


OWN = """
import keras
def mixed(input_shape, num_classes):
    image = keras.Input(input_shape)
    logits = keras.layers.Dense(num_classes)(keras.layers.Flatten()(image))
    return keras.Model(image, logits - keras.ops.mean(logits, axis=0, keepdims=True))
"""


def test_no_file_is_made_of_such_a_model(tmp_path):
    """The format dynamic wrote it, and the advice of float32 was the format saved_model."""
    path, own = tmp_path / "mixed.tflite", tmp_path / "own_mixed.py"
    with pytest.raises(ExportError, match=f"{TOLD}, and a file takes one image at a time: let it"):
        keras_kd.export(MIXING["an operation"](), path, format="dynamic")
    own.write_text(OWN)
    with pytest.raises(ModelError, match=f"own_mixed.py:mixed {TOLD}, and its file will take"):
        sources.build(f"{own}:mixed", 3, SHAPE)
    assert not path.exists()
