"""The fused batch normalisation is the plain one, only faster; its statistics suit short
trainings.
"""

import keras
import numpy as np
import pytest

from keras_kd.models.surgery.batch_norm import (
    FusedBatchNormalization,
    begin_averages,
    fused,
    set_momenta,
    shorten_averages,
    unfused,
)


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


def _deep_model() -> keras.Model:
    """Two normalisations, one within a model of its own, dropout and a frozen layer."""
    image = keras.Input((6, 5, 3))
    x = keras.layers.BatchNormalization(name="first")(image)
    x = keras.layers.Dropout(0.5, seed=3)(keras.layers.Conv2D(4, 3, name="conv")(x))
    inner = keras.Input(x.shape[1:])
    # Of the same name as the layer outside of it.
    part = keras.Model(inner, keras.layers.BatchNormalization(momentum=0.999, name="first")(inner))
    frozen = keras.layers.BatchNormalization(name="frozen", trainable=False)
    return keras.Model(image, frozen(part(x)))


def _statistics(model: keras.Model) -> list[np.ndarray]:
    return [np.array(one) for one in model.non_trainable_variables]


def test_averages_begin_with_the_statistics_of_images(images: np.ndarray) -> None:
    model = _deep_model()
    before, weights = _statistics(model), [np.asarray(one) for one in model.trainable_variables]
    begin_averages(model, images, 0)
    first = model.get_layer("first")
    np.testing.assert_allclose(first.moving_mean, images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(first.moving_variance, images.var((0, 1, 2)), rtol=1e-5)
    changed = [
        one.path
        for one, old in zip(model.non_trainable_variables, before, strict=True)
        if not np.array_equal(one, old)
    ]
    # Neither the frozen layer's nor dropout's seed.
    assert sorted(changed) == ["first/moving_mean"] * 2 + ["first/moving_variance"] * 2
    for left, right in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(left, right)
    momenta = {layer.name: layer.momentum for layer in model.layers if hasattr(layer, "momentum")}
    assert momenta == {"first": 0.99, "frozen": 0.99}


def test_averages_of_a_short_training_span_a_quarter_of_it() -> None:
    model = _deep_model()
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    before = shorten_averages(model, 40)
    assert before == [0.99, 0.999, 0.99]
    assert model.get_layer("first").momentum == inner.get_layer("first").momentum == 0.9
    set_momenta(model, before)
    assert inner.get_layer("first").momentum == 0.999
    shorten_averages(model, 4000)
    assert model.get_layer("first").momentum == 0.99
    shorten_averages(model, 2)
    assert model.get_layer("first").momentum == 0.0
