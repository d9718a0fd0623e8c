"""Fine-tuning: what is kept of a trained network, what is frozen, and whose statistics it has."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd import models
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.models.surgery import batch_statistics, fine_tuning
from keras_kd.models.surgery.compaction import compact

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


def _trained(name="C", classes=3, seed=1):
    """A model whose batch normalisation has statistics and factors of its own."""
    model = models.build(name, classes, (32, 32, 3), dropout=(0, 0), seed=seed)
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            width = layer.gamma.shape
            layer.set_weights([random.uniform(0.5, 2, width) for _ in range(4)])
    return model


def test_the_body_is_taken_over_and_the_head_is_new():
    source, target = _trained(), models.build("C", 5, (32, 32, 3), dropout=(0, 0), seed=2)
    head = target.get_layer("fc4").get_weights()
    fine_tuning.take_over(source, target)
    for layer in target.layers:
        expected = head if layer.name == "fc4" else source.get_layer(layer.name).get_weights()
        for found, wanted in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_with_the_same_classes_the_head_can_be_kept_at_another_size():
    source, target = _trained(), models.build("C", 3, (40, 40, 3), dropout=(0, 0), seed=2)
    fine_tuning.take_over(source, target, order=range(3))
    again = models.build("C", 3, (32, 32, 3), dropout=(0, 0))
    again.set_weights(target.get_weights())
    np.testing.assert_array_equal(again(IMAGES), source(IMAGES))


def test_another_architecture_is_no_start():
    with pytest.raises(ModelError, match=r"new model can't start .* other shapes: conv1, bn1"):
        fine_tuning.take_over(_trained(), models.build("B", 3, (32, 32, 3)))
    with pytest.raises(ModelError, match="can't start from these weights, .* missing .*conv1_1"):
        fine_tuning.take_over(_trained(), models.build("vgg8", 3, (32, 32, 3)))


def test_statistics_become_those_of_the_images_and_the_function_stays():
    model = _trained()
    before = np.asarray(model(IMAGES))
    batch_statistics.set_statistics(model, IMAGES)
    np.testing.assert_allclose(model(IMAGES), before, rtol=0, atol=1e-4 * np.ptp(before))
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    arriving = keras.Model(model.input, [norm.input for norm in norms])(IMAGES)
    for norm, maps in zip(norms, arriving, strict=True):
        maps = np.asarray(maps).reshape(-1, maps.shape[-1])
        np.testing.assert_allclose(norm.moving_mean, maps.mean(axis=0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, maps.var(axis=0), rtol=1e-3, atol=1e-4)
    # The batch is all that there is: its own statistics give the same in training.
    found = np.asarray(model(IMAGES, training=True))
    np.testing.assert_allclose(found, before, rtol=0, atol=1e-3 * np.ptp(before))


def test_of_frozen_layers_those_inside_are_named():
    image, body = keras.Input((8, 8, 3)), keras.Sequential(name="body")
    for layer in (keras.layers.Conv2D(4, 3, name="inner"), keras.layers.Flatten()):
        body.add(layer)
    model = keras.Model(image, keras.layers.Dense(3, name="head")(body(image)))
    body.trainable = False
    assert fine_tuning.frozen_layers(model) == ["inner"]
    model.trainable = False
    assert sorted(fine_tuning.frozen_layers(model)) == ["head", "inner"]


@pytest.mark.parametrize("scale", [True, False])
def test_normalisation_of_ones_own_with_more_weights_stays_as_it_is(scale):
    class Weighed(keras.layers.BatchNormalization):
        def build(self, shape):
            super().build(shape)
            self.weight = self.add_weight(shape=shape[-1:], initializer="ones")

        def call(self, inputs, training=None, mask=None):
            return super().call(inputs, training=training) * self.weight

    image = keras.Input((8, 8, 3))
    model = keras.Model(image, Weighed(scale=scale)(image))
    before = model.get_weights()
    after = batch_statistics.with_factors(model)
    batch_statistics.set_statistics(after, IMAGES[:, :8, :8])
    for one, other in zip(before, after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_layers_keep_weights_and_statistics():
    model = _trained()
    fine_tuning.freeze_until(model, "pool2")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    batch_statistics.set_statistics(model, IMAGES)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, np.arange(6) % 3, verbose=0)
    frozen = [layer.name for layer in model.layers if not layer.trainable]
    assert {"conv1", "bn1", "conv2", "bn2"} <= set(frozen) and "conv3" not in frozen
    for layer in model.layers:
        pairs = zip(layer.get_weights(), before[layer.name], strict=True)
        same = all(np.array_equal(found, wanted) for found, wanted in pairs)
        assert same == (layer.name in frozen or not layer.weights), layer.name


def test_a_layer_to_freeze_until_must_be_there_and_leave_something():
    with pytest.raises(ModelError, match="The model has no layer 'pol2': did you mean pool2"):
        fine_tuning.freeze_until(_trained(), "pol2")
    with pytest.raises(
        ModelError, match="If the model is frozen until fc4, nothing is left to train"
    ):
        fine_tuning.freeze_until(_trained(), "fc4")


def _foreign(size=32):
    """A network of Keras' own layers for pixels in -1..1, with probabilities of two classes."""
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Conv2D(4, 3, activation="relu", name="first"),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
            keras.layers.Dense(2),
            keras.layers.Softmax(),
        ]
    )


def test_any_networks_body_gets_another_head_and_other_pixels():
    source = _foreign()
    model = fine_tuning.with_new_head(source, 5, (24, 24, 1), PixelValues((-1.0, 1.0)), seed=0)
    assert model.output_shape == (None, 5)
    gray = IMAGES[:, :24, :24, :1]
    first, pooled = source.get_layer("first"), source.get_layer("pooled")
    features = pooled(first(gray.repeat(3, -1) / 127.5 - 1))
    head = model.get_layer("logits")
    np.testing.assert_allclose(model(gray), head(features), rtol=0, atol=1e-4)


def test_a_head_of_the_same_classes_can_be_kept():
    source = _foreign()
    model = fine_tuning.with_new_head(source, 2, (32, 32, 3), PixelValues((-1.0, 1.0)))
    fine_tuning.keep_head(source, model)
    expected = source(IMAGES / 127.5 - 1)
    np.testing.assert_allclose(keras.ops.softmax(model(IMAGES)), expected, rtol=0, atol=1e-5)
    with pytest.raises(ModelError, match="ends in no dense layer of 3 classes"):
        fine_tuning.keep_head(source, fine_tuning.with_new_head(source, 3, (32, 32, 3)))


def test_a_kept_heads_classes_are_reordered():
    source, order = _trained(), [2, 0, 1]
    target = models.build("C", 3, (32, 32, 3), dropout=(0, 0), seed=2)
    fine_tuning.take_over(source, target, order)
    np.testing.assert_allclose(
        target(IMAGES), np.asarray(source(IMAGES))[:, order], rtol=0, atol=1e-4
    )
    foreign = _foreign()
    model = fine_tuning.with_new_head(foreign, 2, (32, 32, 3), PixelValues((-1.0, 1.0)))
    fine_tuning.keep_head(foreign, model, [1, 0])
    expected = np.asarray(foreign(IMAGES / 127.5 - 1))[:, ::-1]
    np.testing.assert_allclose(keras.ops.softmax(model(IMAGES)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", [{"activation": "sigmoid"}, {"use_bias": False}])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_head_of_one_number_is_kept_as_that_of_two_classes(options, order):
    image = keras.Input((8, 8, 3))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    source = keras.Model(image, keras.layers.Dense(1, **options)(features))
    model = fine_tuning.with_new_head(source, 2, (8, 8, 3))
    fine_tuning.keep_head(source, model, order)
    images = IMAGES[:, :8, :8]
    second = np.asarray(source(images))[:, 0]
    if "activation" not in options:
        second = 1 / (1 + np.exp(-second))
    found = np.asarray(keras.ops.softmax(model(images)))[:, order.index(1)]
    np.testing.assert_allclose(found, second, rtol=0, atol=1e-5)


def test_a_network_without_a_head_is_a_body_as_a_whole():
    image = keras.Input((16, 16, 3))
    maps = keras.layers.Conv2D(4, 3, name="last")(image)
    model = fine_tuning.with_new_head(keras.Model(image, maps), 3, (16, 16, 3), seed=0)
    convolved = keras.Model(model.input, model.get_layer("last").output)(IMAGES[:, :16, :16])
    expected = model.get_layer("logits")(np.asarray(convolved).mean(axis=(1, 2)))
    np.testing.assert_allclose(model(IMAGES[:, :16, :16]), expected, rtol=1e-5, atol=1e-4)


def test_taps_that_were_dead_at_the_own_size_come_back_at_another():
    source = _trained()
    small = compact(source)
    # 1x1 at 32 pixels, where the last blocks see one pixel; 3x3 at 96, where nothing is dead.
    assert small.get_layer("res_block3_conv2").kernel_size == (1, 1)
    model = fine_tuning.with_new_head(small, 3, (96, 96, 3))
    found = model.get_layer("res_block3_conv2").kernel
    assert found.shape[:2] == (3, 3)
    kept = source.get_layer("res_block3_conv2").kernel
    np.testing.assert_array_equal(found[1, 1], kept[1, 1])
    target = models.build("C", 3, (96, 96, 3), dropout=(0, 0))
    fine_tuning.take_over(small, target)
    np.testing.assert_array_equal(target.get_layer("res_block3_conv2").kernel, found)


def test_a_body_of_one_size_is_told():
    image = keras.Input((16, 16, 3))
    flat = keras.layers.Dense(2)(keras.layers.Dense(4)(keras.layers.Flatten()(image)))
    with pytest.raises(
        ModelError, match="takes inputs of 16x16x3 and can't be rebuilt for 24x24x3: set"
    ):
        fine_tuning.with_new_head(keras.Model(image, flat), 3, (24, 24, 3))


def _normalised(**options):
    """A body whose batch normalisation has statistics of its own, for images of 8 x 8."""
    image, uniform = keras.Input((8, 8, 3)), keras.initializers.RandomUniform(0.5, 2.0, seed=1)
    options |= {"moving_mean_initializer": uniform, "moving_variance_initializer": uniform}
    x = keras.layers.Conv2D(4, 3)(image)
    return keras.Model(image, keras.layers.BatchNormalization(**options)(x))


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]
)
def test_nested_normalisation_and_such_without_factors_begin_as_inference(options):
    image, inner = keras.Input((8, 8, 3)), _normalised(**options)
    x = keras.layers.ReLU()(inner(image))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    images = IMAGES[:, :8, :8]
    before = np.asarray(model(images))
    model = batch_statistics.with_factors(model)
    batch_statistics.set_statistics(model, images)
    for training in (False, True):
        found = np.asarray(model(images, training=training))
        np.testing.assert_allclose(found, before, rtol=0, atol=1e-4 * np.ptp(before))


@pytest.mark.parametrize(
    ("name", "options"), [("MobileNet", {}), ("MobileNetV3Small", {"minimalistic": True})]
)
def test_a_convolution_as_the_head_is_replaced_or_kept(name, options):
    build = getattr(keras.applications, name)
    source = build(weights=None, input_shape=(32, 32, 3), alpha=0.25, classes=10, **options)
    model = fine_tuning.with_new_head(source, 3, (32, 32, 3))
    conv = next(one for one in reversed(source.layers) if isinstance(one, keras.layers.Conv2D))
    assert model.get_layer("logits").input.shape[-1] == conv.input.shape[-1] > 10
    assert not any("predictions" in layer.name for layer in model.layers)
    same = fine_tuning.with_new_head(source, 10, (32, 32, 3))
    fine_tuning.keep_head(source, same)
    np.testing.assert_allclose(keras.ops.softmax(same(IMAGES)), source(IMAGES), rtol=0, atol=1e-5)


def test_a_head_inside_of_a_nested_model_is_refused_rather_than_kept():
    for activation in (None, "softmax"):
        image, inner = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(inner)
        whole = keras.Model(inner, keras.layers.Dense(4, activation)(pooled), name="whole")
        with pytest.raises(ModelError, match=r"The head of .* is not found: it ends in whole"):
            fine_tuning.with_new_head(keras.Model(image, whole(image)), 3, (8, 8, 3))


def test_outputs_of_several_bodies_are_told_with_the_way_out():
    image = keras.Input((8, 8, 3))
    pooled = [
        layer()(image) for layer in (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)
    ]
    source = keras.Model(
        image, [keras.layers.Dense(2, name=n)(x) for n, x in zip("ab", pooled, strict=True)]
    )
    with pytest.raises(ModelError, match=r"\(a, b\) don't share .* give a file with one of them"):
        fine_tuning.with_new_head(source, 3, (8, 8, 3))


def test_layers_named_as_the_new_head_are_renamed():
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D(name="features")(image)
    x = keras.layers.Dense(4, "relu", name="logits")(x)
    source = keras.Model(image, keras.layers.Dense(2, name="old")(x))
    model = fine_tuning.with_new_head(source, 3, (8, 8, 3))
    hidden = keras.Model(image, x)(IMAGES[:, :8, :8])
    expected = model.get_layer("logits")(hidden)
    np.testing.assert_allclose(model(IMAGES[:, :8, :8]), expected, rtol=1e-5, atol=1e-4)
