"""Compaction of models inside of others, and of layers that several parts of a model share."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from random_models import assert_equal, logits, random_images, randomised

from keras_kd.models.surgery.compaction import (
    CompactConv2D,
    CompactPadding2D,
    compact,
    expand,
)
from keras_kd.models.surgery.copies import copied


def _block(kind):
    """A model of 1x1 images with two convolutions of dead taps, one behind a ZeroPadding2D."""
    parts = [
        layers.Conv2D(3, 3, padding="same", name="same"),
        layers.ZeroPadding2D(1, name="pad"),
        layers.Conv2D(3, 3, name="valid"),
    ]
    if kind == "Sequential":
        return keras.Sequential([keras.Input((1, 1, 3)), *parts], name="block")
    x = image = keras.Input((1, 1, 3))
    for part in parts:
        x = part(x)
    return keras.Model(image, x, name="block")


@pytest.mark.parametrize("kind", ["Sequential", "Functional"])
def test_nested_models_are_compacted_too(kind):
    image, block = keras.Input((2, 2, 3)), _block(kind)
    # A layer outside of the block has the name of one inside.
    x = layers.Conv2D(3, 2, name="same")(image)
    model = randomised(keras.Model(image, layers.Add()([block(x), block(block(x))])))
    small, images = compact(model), random_images((2, 2, 3))
    assert model.count_params() - small.count_params() == 2 * 8 * 9
    assert_equal(logits(small, images), logits(model, images))
    again = expand(small)
    assert [one.shape for one in again.weights] == [one.shape for one in model.weights]
    assert_equal(logits(again, images), logits(model, images))


def test_a_nested_convolution_that_needs_zeros_before_it_is_left_alone():
    inner = keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(3, 5, padding="same")])
    image = keras.Input((2, 2, 3))
    model = keras.Model(image, inner(image))
    assert compact(model) is model


@pytest.mark.parametrize("cut", ["by a layer before", "by itself"])
def test_what_another_model_has_in_common_is_left_alone(cut):
    """A network and its features, of which one is nested or both are."""
    image = keras.Input((2, 2, 3))
    if cut == "by itself":
        conv = layers.Conv2D(3, 5, padding="same")(image)
        outputs = [layers.Flatten()(conv), keras.Model(image, conv)(image)]
    else:
        padded = layers.ZeroPadding2D(2)(image)
        conv = layers.Conv2D(3, 5)(padded)
        outputs = [keras.Model(image, one)(image) for one in (padded, conv)]
    model = randomised(keras.Model(image, outputs))
    images = random_images((2, 2, 3))
    for found, expected in zip(compact(model)(images), model(images), strict=True):
        assert found.shape == expected.shape
        assert_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("kind", ["Sequential", "Functional"])
def test_a_compact_model_is_expanded_inside_another(kind):
    image = keras.Input((2, 2, 3))
    conv = layers.Conv2D(4, 5, padding="same", activation="relu", name="conv")
    body = randomised(keras.Model(image, conv(image)))
    small = compact(body)
    assert [type(layer) for layer in small.layers[1:]] == [CompactPadding2D, CompactConv2D]
    if kind == "Sequential":
        small = keras.Sequential(small.layers)
    # The mean is of any size: zeros that stay before the published kernel would change it.
    pooled = layers.GlobalAveragePooling2D()
    whole = keras.Model(image, pooled(small(image)))
    # A training and a file make all layers anew from their configurations.
    again, images = copied(expand(whole)), random_images((2, 2, 3))
    assert_equal(logits(again, images), logits(body, images).mean((1, 2)))
    assert [one.shape for one in again.weights] == [one.shape for one in body.weights]


def test_a_convolution_used_twice_is_left_alone():
    image = keras.Input((4, 4, 2))
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    one, many = shared(layers.AveragePooling2D(4)(image)), shared(image)
    own = layers.Conv2D(2, 3, padding="same", name="own")(one)
    model = randomised(
        keras.Model(image, layers.Concatenate()([layers.Flatten()(own), layers.Flatten()(many)]))
    )
    small = compact(model)
    assert small.get_layer("shared").kernel.shape == (3, 3, 2, 2)
    assert small.get_layer("own").kernel.shape == (1, 1, 2, 2)
    assert_equal(logits(small, random_images((4, 4, 2))), logits(model, random_images((4, 4, 2))))


@pytest.mark.parametrize("seen", ["as an output", "by another layer"])
def test_padding_that_others_see_too_stays(seen):
    image = keras.Input((1, 1, 2))
    padded = layers.ZeroPadding2D(1)(image)
    outputs = [padded, layers.Conv2D(2, 3)(padded)]
    if seen == "by another layer":
        outputs = layers.Concatenate()([layers.Flatten()(output) for output in outputs])
    model = randomised(keras.Model(image, outputs))
    found, expected = (
        keras.tree.flatten(each(random_images((1, 1, 2)), training=False))
        for each in (compact(model), model)
    )
    for left, right in zip(found, expected, strict=True):
        assert_equal(np.asarray(left), np.asarray(right))
