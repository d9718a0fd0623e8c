"""Weights put into a model: an adapted Normalization goes with them, whoever copies the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery import fine_tuning, precision
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.models.surgery.divided_logits import with_divided_logits
from keras_kd.runtimes import predictors, stored_spec

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 4, 4, 1)).astype(np.float32)


def _adapted(policy="float32"):
    """A model that normalises by its data; the kernel of its last convolution has dead taps."""
    keras.utils.set_random_seed(3)
    norm = layers.Normalization()
    norm.adapt(IMAGES)
    image = keras.Input((4, 4, 1))
    x = layers.Conv2D(3, 4, dtype=policy)(norm(image))
    x = layers.Conv2D(5, 3, padding="same")(x)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def _nested():
    inner = _adapted()
    image = keras.Input((4, 4, 1))
    return keras.Model(image, layers.Dense(2)(inner(image)))


@pytest.mark.parametrize(
    "copied",
    [
        compact,
        lambda model: expand(compact(model)),
        lambda model: precision.with_policy(model, "float32"),
        lambda model: with_divided_logits(model, 1.0),
    ],
)
@pytest.mark.parametrize("built", [_adapted, _nested])
def test_an_adapted_normalization_is_copied_too(built, copied):
    model = built()
    # Copies without it were off by 70.
    np.testing.assert_allclose(
        np.asarray(copied(model)(IMAGES)), np.asarray(model(IMAGES)), atol=1e-4
    )


def test_a_mixed_model_is_exported_with_its_normalization():
    model = _adapted("mixed_bfloat16")
    found = np.asarray(precision.in_float32(model)(IMAGES))
    np.testing.assert_allclose(found, np.asarray(model(IMAGES)), atol=0.05)


def test_a_foreign_file_answers_as_keras_does(tmp_path):
    model = _adapted()
    model.save(tmp_path / "foreign.keras")
    pixels = IMAGES.astype(np.uint8)
    found = predictors.load(tmp_path / "foreign.keras").logits(pixels)
    np.testing.assert_allclose(found, np.asarray(model(pixels.astype(np.float32))), atol=1e-4)
    assert not stored_spec.has_spec(tmp_path / "foreign.keras")
    keras_file.save(model, tmp_path / "ours.keras", ModelSpec(("a", "b", "c")))
    assert stored_spec.has_spec(tmp_path / "ours.keras")


class Cosine(layers.Dense):
    """Classes by the angle between features and kernel, whose length means nothing."""

    def call(self, inputs):
        return 10 * ops.matmul(ops.normalize(inputs, -1), ops.normalize(self.kernel, axis=0))


@pytest.mark.parametrize("kind", ["a subclass", "LoRA", "quantized"])
def test_a_head_whose_weights_mean_something_else_is_not_taken_for_a_dense_one(kind):
    image = keras.Input((4, 4, 1))
    last = Cosine(3, name="last") if kind == "a subclass" else layers.Dense(3, name="last")
    model = keras.Model(image, last(layers.Flatten()(image)), name="own")
    if kind == "LoRA":
        last.enable_lora(2)
        last.lora_kernel_b.assign(np.ones((2, 3)))
    elif kind == "quantized":
        model.quantize("int8")
    with pytest.raises(ModelError, match="own ends in last .*: it can't be calibrated"):
        with_divided_logits(model, 2.0)
    started = fine_tuning.with_new_head(model, 3, (4, 4, 1))
    with pytest.raises(ModelError, match="The head of own can't be kept: last "):
        fine_tuning.keep_head(model, started)


class Blurred(layers.Layer):
    """Convolves with a constant in float32, whatever the precision."""

    def call(self, inputs):
        return tf.nn.conv2d(inputs, tf.constant(np.ones((3, 3, 1, 1), "float32")), 1, "SAME")


def test_a_layer_that_fails_in_another_precision_is_named():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(Blurred()(image))), name="own")
    with pytest.raises(ModelError, match="own can't compute in mixed_bfloat16 .TypeError in Blur"):
        precision.with_policy(model, "mixed_bfloat16")
    precision.with_policy(model, "float32")
