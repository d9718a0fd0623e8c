"""The fused batch normalisation is the plain one, only faster."""

import keras
import numpy as np
import pytest

from keras_kd.models.surgery.batch_norm import FusedBatchNormalization, fused, unfused


def _model() -> keras.Model:
    image = keras.Input((6, 5, 3))
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm")(image)
    return keras.Model(image, keras.layers.Conv2D(2, 3, name="conv")(x))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(3, 2, (8, 6, 5, 3)).astype(np.float32)


def test_outputs_are_normalised_and_the_statistics_move_by_the_formula(images: np.ndarray) -> None:
    model = fused(_model())
    norm = model.get_layer("norm")
    assert type(norm) is FusedBatchNormalization
    norm.gamma.assign([1.0, 2.0, 3.0])
    outputs = np.asarray(norm(images, training=True))
    mean, variance = (
        images.mean((0, 1, 2), dtype=np.float64),
        images.var((0, 1, 2), dtype=np.float64),
    )
    np.testing.assert_allclose(
        outputs, (images - mean) / np.sqrt(variance + 1e-5) * [1, 2, 3], atol=1e-5
    )
    np.testing.assert_allclose(norm.moving_mean, 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * variance, rtol=1e-5)


def test_training_is_the_same_as_with_plain_layers(images: np.ndarray) -> None:
    targets = np.random.default_rng(1).normal(size=(8, 4, 3, 2)).astype(np.float32)
    plain = _model()
    fast = fused(plain)
    for model in (plain, fast):
        model.compile(keras.optimizers.SGD(0.05, 0.9), "mse")
        model.fit(images, targets, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for left, right in zip(plain.get_weights(), unfused(fast).get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_unfused_gives_plain_layers_back() -> None:
    assert type(unfused(fused(_model())).get_layer("norm")) is keras.layers.BatchNormalization


def test_a_frozen_layer_keeps_its_statistics(images: np.ndarray) -> None:
    norm = fused(_model()).get_layer("norm")
    norm.trainable = False
    norm(images, training=True)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))
