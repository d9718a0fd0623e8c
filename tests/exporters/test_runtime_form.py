"""Graphs in the form that runtimes compute right and fast: equal values, other operators."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax

from keras_kd import exporters
from keras_kd.datasets.images import fitted
from keras_kd.exporters._runtime_form import runtime_form
from keras_kd.runtimes import litert, tflite_graph

GRAY = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), np.uint8)


def _first(kind, image):
    """What comes before the first convolution."""
    if kind == "one scale":
        return layers.Rescaling(1 / 127.5, -1.0)(image)
    if kind == "a scale a channel":
        return layers.Rescaling([0.01, 0.02, 0.03], [-1.0, -2.0, -0.5])(image)
    if kind == "padded":
        return layers.ZeroPadding2D(2)(layers.Rescaling(1 / 255, 0.5)(image))
    return image


def _network(kind, channels):
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, channels))
    rgb = layers.Concatenate()([image] * 3) if channels == 1 else image
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(_first(kind, rgb))
    x = layers.Conv2D(8, 3, strides=4)(x)
    return keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["one scale", "a scale a channel", "padded", "raw"])
def test_three_equal_channels_become_one_without_a_difference(kind, channels):
    model = _network(kind, channels)
    single = runtime_form(model, gray=True)
    assert single.inputs[0].shape[3] == 1
    kernels = [weight for weight in single.weights if weight.path.endswith("kernel")]
    assert kernels[0].shape[2] == 1
    images = GRAY.astype(np.float32)
    given = images.repeat(3, axis=3) if channels == 3 else images
    expected = np.asarray(model(given))
    np.testing.assert_allclose(single(images), expected, atol=1e-5 * np.ptp(expected) + 1e-5)


def test_a_kernel_that_a_subclass_changes_is_not_summed():
    class Standardised(layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            mean, variance = keras.ops.moments(kernel, axes=[0, 1, 2], keepdims=True)
            return super().convolution_op(inputs, (kernel - mean) / keras.ops.sqrt(variance))

    image = keras.Input((16, 16, 3))
    model = keras.Model(image, Standardised(4, 3)(layers.Rescaling(1 / 255)(image)))
    gray = GRAY.astype(np.float32).repeat(3, axis=3)
    np.testing.assert_allclose(runtime_form(model, gray=True)(gray), model(gray), atol=1e-4)


def test_colour_stays_colour():
    model = _network("one scale", 3)
    assert runtime_form(model).inputs[0].shape[3] == 3
    branched = keras.Model(model.inputs[0], [model.outputs[0], model.layers[1].output])
    assert runtime_form(branched, gray=True).inputs[0].shape[3] == 3


def test_a_file_for_gray_pixels_convolves_one_channel(tmp_path):
    model = _network("one scale", 3)
    report = exporters.export(model, tmp_path / "m.tflite", "float32", GRAY, io="app",
                              app_input=(16, 16, 1))  # fmt: skip
    operators = tflite_graph.read(report.path)
    convolutions = [operator for operator in operators if operator.name == "CONV_2D"]
    wide = next(operator for operator in convolutions if operator.inputs[1].shape[1] > 1)
    assert wide.inputs[1].shape[3] == 1 and "CONCATENATION" not in report.operators
    expected = softmax(model.predict(fitted(GRAY, (16, 16, 3)), verbose=0), axis=1)
    found = litert.LiteRTModel(report.path).predict(GRAY)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("format", ["float32", "int8"])
def test_sums_of_one_pixel_keep_their_rank(format, tmp_path):
    """Keras' own becomes BiasAdd of a tensor of rank 1, which is wrong on WebGPU in int8."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 16)(layers.Rescaling(1 / 255)(image))
    x = layers.Add()([layers.Conv2D(8, 1, activation="relu")(x), layers.Conv2D(8, 1)(x)])
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.ReLU()(x))))
    images = np.random.default_rng(2).integers(0, 256, (20, 16, 16, 3), np.uint8)
    path = exporters.export(model, tmp_path / "m.tflite", format, images, min_agreement=0.8).path
    sums = [operator for operator in tflite_graph.read(path) if operator.name == "ADD"]
    assert sums and all(len(tensor.shape) == 4 for one in sums for tensor in one.inputs)


@pytest.mark.parametrize("adapted", [True, False])
def test_a_normalisation_by_channel_becomes_a_convolution(adapted):
    images = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype(np.float32)
    norm = layers.Normalization(mean=[120.0, 90.0, 80.0], variance=[3000.0, 2500.0, 2000.0])
    if adapted:
        norm = layers.Normalization()
        norm.adapt(images)
    model = keras.Sequential([keras.Input((8, 8, 3)), norm, layers.Conv2D(4, 3)])
    form = runtime_form(model)
    assert [type(layer).__name__ for layer in form.layers][-2:] == ["Conv2D", "Conv2D"]
    np.testing.assert_allclose(form(images), model(images), atol=1e-5)


def test_other_normalisations_stay():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Normalization(axis=1, mean=np.zeros(8), variance=np.ones(8)),
        ]
    )
    assert any(isinstance(layer, layers.Normalization) for layer in runtime_form(model).layers)


def _scaled_by_place():
    image = keras.Input((8, 8, 3))
    return image, layers.Rescaling(np.linspace(0.1, 1, 8).reshape(8, 1, 1))(image)


def _scaled_flat_and_as_map():
    image, scaled = keras.Input((8, 8, 3)), layers.Rescaling(1 / 255)
    return image, [layers.Flatten()(scaled(image)), scaled(layers.Flatten()(image))]


def _scaled_in_two_widths():
    image, scaled = keras.Input((8, 8, 3)), layers.Rescaling(1 / 255)
    return image, [layers.Flatten()(scaled(x)) for x in (layers.Conv2D(2, 3)(image), image)]


def _sum_of_a_map_and_a_row():
    image = keras.Input((8, 8, 3))
    features = layers.GlobalAveragePooling2D()(image)
    return image, layers.Add()([layers.Conv2D(3, 8)(image), features])


def _read_by_an_operation():
    image = keras.Input((8, 8, 3))
    return image, [layers.Conv2D(4, 3)(image), keras.ops.sum(image, axis=-1)]


@pytest.mark.parametrize(
    "made",
    [_scaled_by_place, _scaled_flat_and_as_map, _scaled_in_two_widths, _sum_of_a_map_and_a_row,
     _read_by_an_operation],
)  # fmt: skip
def test_what_the_form_can_not_hold_stays(made):
    model = keras.Model(*made())
    gray = np.random.default_rng(4).uniform(0, 255, (5, 8, 8, 1)).astype(np.float32)
    images = gray.repeat(3, axis=3)
    form = runtime_form(model, gray=True)
    expected, found = model(images), form(images)
    keras.tree.map_structure(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3), found, expected
    )


def test_augmentation_that_draws_in_use_too_is_in_no_file(tmp_path):
    body = keras.Sequential([layers.RandomHue(0.1), layers.RandomShear(0.2)], name="body")
    image = keras.Input((16, 16, 3))
    x = layers.MixUp()(layers.RandomGrayscale()(body(image)))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    pixels = np.repeat(GRAY, 3, axis=3).astype(np.float32)
    exporters.export(model, tmp_path / "model.tflite", "float32")
    given = litert.LiteRTModel(tmp_path / "model.tflite").predict(pixels)
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(given, pixels.reshape(6, -1) @ kernel + bias, rtol=1e-4, atol=1e-2)


class WithoutConfig(layers.Layer):
    """A layer of the user's own that can't be made anew."""

    def __init__(self, factor: np.ndarray) -> None:
        super().__init__()
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor


class WithLessConfig(WithoutConfig):
    """One that is made anew, but can't compute then."""

    def get_config(self):
        return {"factor": None}


class OwnModel(keras.Model):
    """A subclassed model, with augmentation inside of its `call`."""

    def __init__(self, factor: np.ndarray) -> None:
        super().__init__()
        self.flip, self.factor = layers.RandomFlip(), factor

    def call(self, inputs, training=False):
        return self.flip(inputs, training=training) * self.factor


@pytest.mark.parametrize(
    "before, own",
    [
        (layers.RandomFlip(), WithoutConfig),
        (layers.RandomFlip(), WithLessConfig),
        (lambda image: image, OwnModel),
    ],
)
def test_augmentation_beside_what_can_not_be_copied_stays(before, own):
    factor = np.array([1, 2, 3], np.float32)
    image = keras.Input((16, 16, 3))
    pixels = np.repeat(GRAY, 3, axis=3).astype(np.float32)
    found = runtime_form(keras.Model(image, own(factor)(before(image))))(pixels, training=False)
    np.testing.assert_array_equal(found, pixels * factor)
