"""Lossless compaction against the originals, and against a search for dead taps by brute force."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from random_models import assert_equal, logits, random_images, randomised

from keras_kd import models
from keras_kd.errors import ModelError
from keras_kd.models.surgery.compaction import (
    CompactConv2D,
    compact,
    dead_weights,
    expand,
)

# Issue of the project: 80.2 -> 36.2, 20.1 -> 9.1, 5.0 -> 2.3, 1.26 -> 0.57 million parameters at
# 64x64.
COMPACT = {"resemotenet": 36.2, "A": 9.07, "B": 2.275, "C": 0.5746}


@pytest.mark.parametrize("name", COMPACT)
def test_resemotenets_shrink_and_stay_equal(name):
    model = models.build(name, seed=1)
    small = compact(model)
    assert small.count_params() / 1e6 == pytest.approx(COMPACT[name], rel=2e-3)
    images = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert_equal(logits(small, images), logits(model, images))


@pytest.mark.parametrize("shape", [(48, 48, 3), (40, 56, 3), (64, 64, 1)])
def test_expanded_again_a_model_has_its_published_shape_and_predicts_equal(shape):
    model = models.build("C", input_shape=shape, seed=1)
    small = compact(model)
    assert 0 < dead_weights(model) == model.count_params() - small.count_params()
    again = expand(small)
    assert [weight.shape for weight in again.get_weights()] == [
        weight.shape for weight in model.get_weights()
    ]
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    images = np.random.default_rng(2).integers(0, 256, (3, *shape), np.uint8)
    assert_equal(logits(small, images), logits(model, images))
    assert_equal(logits(again, images), logits(model, images))
    # The taps that were kept are the very same numbers; all others are zero.
    for found, original in zip(again.get_weights(), model.get_weights(), strict=True):
        assert np.all((found == original) | (found == 0))


@pytest.mark.parametrize("size", [96, 128])
def test_nothing_is_cut_from_large_images(size):
    model = models.build("C", input_shape=(size, size, 3))
    assert compact(model) is model and expand(model) is model


def test_a_compact_model_is_left_as_it_is():
    small = compact(models.build("C", input_shape=(16, 16, 3)))
    assert compact(small) is small


def _stack(random):
    """A random stack of convolutions that ends on few pixels: kernels, strides and paddings of all
    kinds.
    """
    height, width = random.integers(1, 9, 2)
    image = x = keras.Input((int(height), int(width), int(random.choice([1, 3]))))
    for _ in range(random.integers(1, 4)):
        kernel = tuple(int(size) for size in random.choice([1, 2, 3, 5, 7], 2))
        stride = tuple(int(size) for size in random.integers(1, 4, 2))
        padding = "same" if random.random() < 0.4 else "valid"
        if padding == "valid":
            zeros = [[int(side) for side in random.integers(0, 4, 2)] for _ in range(2)]
            for axis in (0, 1):
                zeros[axis][1] += max(0, kernel[axis] - x.shape[1 + axis] - sum(zeros[axis]))
            x = layers.ZeroPadding2D(tuple(map(tuple, zeros)))(x)
        x = layers.Conv2D(3, kernel, stride, padding)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x)) if random.random() < 0.5 else x
    return randomised(keras.Model(image, x), int(random.integers(1000)))


@pytest.mark.parametrize("seed", range(12))
def test_random_stacks_stay_equal(seed):
    model = _stack(np.random.default_rng(seed))
    images = random_images(model.input_shape[1:])
    small = compact(model)
    assert small.output_shape == model.output_shape
    assert_equal(logits(small, images), logits(model, images))
    again = expand(small)
    assert [weight.shape for weight in again.get_weights()] == [
        weight.shape for weight in model.get_weights()
    ]
    assert_equal(logits(again, images), logits(model, images))


def _dead_by_trial(size, kernel, stride, zeros):
    """Rows of taps, and columns, that change nothing when they are changed: the answer without any
    analysis.
    """
    image = keras.Input((*size, 1))
    padded = layers.ZeroPadding2D(zeros)(image)
    model = randomised(keras.Model(image, layers.Conv2D(1, kernel, stride)(padded)))
    images = random_images((*size, 1), count=8)
    before, (weight, bias) = logits(model, images), model.get_weights()
    dead = []
    for axis in (0, 1):
        dead.append([])
        for tap in range(kernel[axis]):
            changed = weight.copy()
            changed[(slice(None),) * axis + (tap,)] += 10
            model.set_weights([changed, bias])
            if np.array_equal(logits(model, images), before):
                dead[axis].append(tap)
    model.set_weights([weight, bias])
    return model, dead


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [
        ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),
        ((2, 2), (3, 3), (2, 2), ((1, 1), (1, 1))),
        ((4, 1), (5, 5), (2, 2), ((2, 2), (2, 2))),
        ((2, 3), (7, 7), (1, 1), ((3, 3), (3, 3))),
        ((1, 1), (3, 3), (2, 2), ((2, 2), (2, 2))),
        ((1, 2), (3, 5), (3, 4), ((0, 2), (4, 1))),
        ((3, 2), (4, 2), (3, 3), ((1, 0), (2, 3))),
    ],
)
def test_the_taps_found_dead_are_those_that_change_nothing(size, kernel, stride, zeros):
    model, dead = _dead_by_trial(size, kernel, stride, zeros)
    small = compact(model)
    layer = small.layers[-1]
    for axis in (0, 1):
        first = layer.first_tap[axis] if isinstance(layer, CompactConv2D) else 0
        kept = range(first, first + layer.kernel_size[axis])
        cut = set(range(kernel[axis])) - set(kept)
        assert cut <= set(dead[axis])
        # What is dead at either end is cut; a dead tap between live ones must stay.
        live = [tap for tap in range(kernel[axis]) if tap not in dead[axis]]
        assert list(kept) == list(range(live[0], live[-1] + 1))
    assert_equal(logits(small, random_images((*size, 1))), logits(model, random_images((*size, 1))))


def test_dead_taps_have_no_gradient_and_live_ones_have():
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow")
    model = models.build("C", input_shape=(16, 16, 3), dropout=(0, 0), seed=3)
    small, images = (
        compact(model),
        np.random.default_rng(1).integers(0, 256, (8, 16, 16, 3), np.uint8),
    )
    cut = [layer for layer in small.layers if isinstance(layer, CompactConv2D)]
    assert len(cut) >= 4
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(images, training=False) ** 2)
    gradients = tape.gradient(loss, [model.get_layer(layer.name).kernel for layer in cut])
    for layer, gradient in zip(cut, gradients, strict=True):
        row, column = layer.first_tap
        height, width = layer.kernel_size
        outside = np.abs(gradient.numpy())
        assert outside[row : row + height, column : column + width].max() > 0
        outside[row : row + height, column : column + width] = 0
        assert outside.max() == 0


def test_sequential_models_are_compacted_too():
    model = keras.Sequential(name="line")
    model.add(keras.Input((1, 1, 2)))
    for _ in range(2):
        model.add(layers.Conv2D(4, 3, padding="same", activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(3))
    randomised(model)
    small = compact(model)
    assert small.name == "line" and small.count_params() == (2 * 4 + 4) + (4 * 4 + 4) + (4 * 3 + 3)
    assert_equal(logits(small, random_images((1, 1, 2))), logits(model, random_images((1, 1, 2))))


@pytest.mark.parametrize("padded", ["by itself", "by a layer"])
@pytest.mark.parametrize("shown", ["output", "layer"])
def test_zeros_that_compact_models_show_stay_when_they_are_expanded(padded, shown):
    image = keras.Input((2, 2, 3))
    x = image if padded == "by itself" else layers.ZeroPadding2D(2, name="conv_zeros")(image)
    padding = "same" if padded == "by itself" else "valid"
    x = layers.Conv2D(4, 5, padding=padding, name="conv")(x)
    x = layers.Conv2D(4, 5, padding="same", name="other")(x)
    small = compact(keras.Model(image, layers.Flatten()(x)))
    zeros = small.get_layer("conv_zeros").output
    both = [zeros if shown == "output" else layers.Flatten()(zeros), small.output]
    whole = keras.Model(small.input, both)
    again, images = expand(whole), random_images((2, 2, 3))
    # The other convolution has its taps again.
    assert again.get_layer("other").kernel_size == (5, 5)
    for found, expected in zip(again(images), whole(images), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_zeros_before_a_convolution_that_pads_itself_are_pixels_to_it():
    image = keras.Input((1, 1, 3))
    x = layers.ZeroPadding2D(((1, 0), (0, 0)))(image)
    model = randomised(keras.Model(image, layers.Conv2D(4, 3, padding="same")(x)))
    small, images = compact(model), random_images((1, 1, 3))
    # The padded image is 2 high and 1 wide: each row of three taps has a live one in the middle.
    assert small.layers[-1].kernel.shape[:2] == (3, 1)
    assert_equal(logits(small, images), logits(model, images))
    assert_equal(logits(expand(small), images), logits(model, images))


def test_strides_that_step_over_all_data_give_the_bias():
    image = keras.Input((1, 1, 2))
    model = randomised(
        keras.Model(image, layers.Conv2D(3, 1, strides=2)(layers.ZeroPadding2D(1)(image)))
    )
    assert compact(model) is model
    np.testing.assert_array_equal(
        logits(model, random_images((1, 1, 2)))[0, 1, 1], model.layers[-1].bias
    )


def test_other_kinds_of_convolution_are_left_alone():
    image = keras.Input((2, 2, 4))
    x = layers.AveragePooling2D(2)(layers.DepthwiseConv2D(3, padding="same")(image))
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=2)(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="groups")(x)
    model = randomised(keras.Model(image, x))
    small = compact(model)
    assert [layer.name for layer in small.layers if isinstance(layer, CompactConv2D)] == ["groups"]
    assert_equal(logits(small, random_images((2, 2, 4))), logits(model, random_images((2, 2, 4))))


def test_open_sizes_are_left_alone():
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Conv2D(2, 3, padding="same")(image))
    assert compact(model) is model


def test_the_original_and_what_is_frozen_stay_as_they_are():
    model = models.build("C", input_shape=(16, 16, 3), seed=1)
    model.get_layer("res_block3_conv1").trainable = False
    before = model.get_weights()
    small = compact(model)
    assert (
        not small.get_layer("res_block3_conv1").trainable
        and small.get_layer("res_block3_conv2").trainable
    )
    small.set_weights([weight + 1 for weight in small.get_weights()])
    assert all(
        np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)
    )


def test_compact_models_are_saved_and_loaded(tmp_path):
    small = compact(models.build("C", input_shape=(16, 16, 3), seed=1))
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    images = np.random.default_rng(2).integers(0, 256, (3, 16, 16, 3), np.uint8)
    np.testing.assert_array_equal(logits(loaded, images), logits(small, images))
    assert (
        expand(loaded).count_params() == models.build("C", input_shape=(16, 16, 3)).count_params()
    )


def test_mixed_precision_stays_mixed():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build("C", input_shape=(16, 16, 3), seed=1)
    finally:
        keras.config.set_dtype_policy(before)
    policies = {layer.name: layer.dtype_policy.name for layer in compact(model).layers}
    assert policies["res_block3_conv1"] == "mixed_bfloat16" and policies["fc4"] == "float32"


@pytest.mark.parametrize("done", [compact, expand])
def test_models_without_a_graph_are_refused(done):
    class Own(keras.Model):
        def call(self, x):
            return x

    for model in (Own(), keras.Sequential([layers.Dense(2)])):
        with pytest.raises(
            ModelError, match="Only Functional models and Sequential ones with an Input can be"
        ):
            done(model)


def test_padding_that_a_subclass_fills_otherwise_is_no_zeros():
    class Mirrored(layers.ZeroPadding2D):
        def call(self, inputs):
            rows, columns = self.padding
            return keras.ops.pad(inputs, [[0, 0], rows, columns, [0, 0]], mode="symmetric")

    image = keras.Input((2, 2, 3))
    x = layers.Conv2D(4, 3, strides=2)(Mirrored(1)(image))
    model = keras.Model(image, layers.Flatten()(x))
    images = random_images((2, 2, 3))
    assert_equal(logits(compact(model), images), logits(model, images))


def test_padding_of_other_axes_is_no_padding_of_the_image():
    image = keras.Input((3, 3, 3))
    padded = layers.ZeroPadding2D(1, data_format="channels_first")(image)  # of width and channels
    model = randomised(keras.Model(image, layers.Flatten()(layers.Conv2D(4, 3)(padded))))
    images = random_images((3, 3, 3))
    assert_equal(logits(compact(model), images), logits(model, images))


def test_a_layer_may_have_the_name_of_the_zeros():
    image = keras.Input((2, 2, 3))
    x = layers.Conv2D(4, 5, padding="same", name="conv")(image)
    model = randomised(keras.Model(image, layers.ReLU(name="conv_zeros")(x)))
    images = random_images((2, 2, 3))
    small = compact(model)
    assert small.count_params() < model.count_params()
    assert_equal(logits(small, images), logits(model, images))
    assert_equal(logits(expand(small), images), logits(model, images))
