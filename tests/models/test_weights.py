"""Weights put into a model: an adapted Normalization goes with them, whoever copies the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.models import heads, keras_file
from keras_kd.models.form import ModelSpec
from keras_kd.models.surgery import precision
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.runtimes import predictors

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
        lambda model: heads.with_divided_logits(model, 1.0),
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
    assert not keras_file.has_spec(tmp_path / "foreign.keras")
    keras_file.save(model, tmp_path / "ours.keras", ModelSpec(("a", "b", "c")))
    assert keras_file.has_spec(tmp_path / "ours.keras")
