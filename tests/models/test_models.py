"""ResEmoteNet and its students: the published numbers of parameters, shapes, seeds and
conventions.
"""

from __future__ import annotations

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from keras_kd import models
from keras_kd.errors import ModelError
from keras_kd.runtimes import multiply_accumulates

# Table II of arXiv 2501.18538.
TRAINABLE = {"resemotenet": 80_238_599, "A": 20_069_383, "B": 5_022_215, "C": 1_259_911}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def _trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _small(name="C", **options):
    return models.build(name, input_shape=(16, 16, 3), **options)


@pytest.mark.parametrize("name", TRAINABLE)
def test_trainable_parameters_are_the_published_ones(name):
    model = models.build(name)
    assert _trainable(model) == TRAINABLE[name]
    assert model.input_shape == (None, 64, 64, 3) and model.output_shape == (None, 7)
    # Each batch norm adds a mean and a variance for each of its channels, which no optimizer
    # touches.
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert model.count_params() - _trainable(model) == 2 * sum(
        layer.gamma.shape[0] for layer in norms
    )


@pytest.mark.parametrize(("name", "divisor"), [("vgg8", 1), ("vgg8-half", 2)])
def test_a_vgg_has_the_counts_of_its_plan(name, divisor):
    # Kernels of 3x3 between three colours and seven convolutions, at 48, 24, 12 and 6 pixels.
    first, second, third, fourth = (width // divisor for width in (32, 64, 128, 256))
    kernels = {
        48: 3 * first,
        24: (first + second) * second,
        12: (second + third) * third,
        6: (third + fourth) * fourth,
    }
    norms, dense = 2 * (first + 2 * (second + third + fourth)), fourth * 7
    model = models.build(name)
    assert _trainable(model) == 9 * sum(kernels.values()) + norms + dense + 7
    macs = sum(9 * side**2 * weights for side, weights in kernels.items()) + dense
    assert multiply_accumulates.of_model(model) == macs
    assert model.get_layer("pool4").output.shape == (None, 3, 3, fourth)
    with pytest.raises(
        ModelError, match=rf"{name} takes images of at least 16x16 .*input_shape=\(15, 48, 3\)"
    ):
        models.build(name, input_shape=(15, 48, 3))


def test_the_slim_vggs_have_the_counts_of_their_plans():
    # Kernels of 3x3, batch norms of two and a dense layer, counted by hand.
    slim = models.build("vgg9-slim")
    kernels = {24: 3 * 16 + 16 * 16, 12: 16 * 32 + 32 * 32, 6: 32 * 64 + 64 * 64}
    kernels[3] = 64 * 96 + 96 * 96
    norms, dense = 2 * 2 * (16 + 32 + 64 + 96), 96 * 7
    assert _trainable(slim) == 9 * sum(kernels.values()) + norms + dense + 7
    macs = sum(9 * side**2 * weights for side, weights in kernels.items()) + dense
    assert multiply_accumulates.of_model(slim) == macs
    smaller = models.build("vgg8-slim")
    kernels = {48: 3 * 16, 24: 2 * 16 * 16, 12: 16 * 32 + 32 * 32, 6: 32 * 64 + 64 * 64}
    norms, dense = 2 * (16 + 2 * (16 + 32 + 64)), 64 * 7
    assert _trainable(smaller) == 9 * sum(kernels.values()) + norms + dense + 7


def test_names_are_sorted_and_can_all_be_asked_for():
    assert set(TRAINABLE) <= set(models.names()) and models.names() == sorted(models.names())


@pytest.mark.parametrize("shape", [(48, 48, 3), (40, 56, 3), (8, 8, 1)])
def test_logits_have_no_softmax_and_are_float32(shape):
    model = models.build("C", num_classes=4, input_shape=shape, seed=0)
    logits = np.asarray(
        model(np.random.default_rng(1).integers(0, 256, (2, *shape)), training=False)
    )
    assert logits.shape == (2, 4) and logits.dtype == np.float32
    assert model.layers[-1].activation is keras.activations.linear
    assert not np.allclose(logits.sum(-1), 1) and np.isfinite(logits).all()


def test_gray_is_repeated_to_three_channels():
    colour, gray = _small(seed=1), models.build("C", input_shape=(16, 16, 1), seed=1)
    pixels = IMAGES[..., :1]
    np.testing.assert_array_equal(
        gray(pixels, training=False), colour(pixels.repeat(3, -1), training=False)
    )


def test_pixels_are_normalised_as_torchvision_does():
    model = _small()
    found = keras.Model(model.input, model.get_layer("normalise").output)(IMAGES)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(found, (IMAGES / 255 - mean) / deviation, atol=2e-6)


def test_seeds_decide_weights_and_dropout():
    one, same, other = _small(seed=5), _small(seed=5), _small(seed=6)
    for left, right in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(one.get_layer("conv1").kernel, other.get_layer("conv1").kernel)
    np.testing.assert_array_equal(one(IMAGES, training=True), same(IMAGES, training=True))
    kernels = [np.asarray(one.get_layer(f"res_block1_conv{n}").kernel).ravel()[:50] for n in (1, 2)]
    assert not np.allclose(kernels[0] / kernels[0].std(), kernels[1] / kernels[1].std())
    assert not np.array_equal(
        _small().get_layer("conv1").kernel, _small().get_layer("conv1").kernel
    )


def test_dropout_is_the_papers_unless_given():
    def rates(model):
        return [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)]

    assert rates(_small()) == [0.2, 0.2, 0.5, 0.5, 0.5]
    assert rates(_small(dropout=(0.05, 0.1))) == [0.05, 0.05, 0.1, 0.1, 0.1]
    still = _small(dropout=(0, 0), seed=1)
    np.testing.assert_array_equal(still(IMAGES, training=True), still(IMAGES, training=True))


def test_conventions_are_pytorchs():
    model = _small()
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 12 and {(norm.epsilon, norm.momentum) for norm in norms} == {(1e-5, 0.9)}
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert len(convolutions) == 12 and all(layer.use_bias for layer in convolutions)
    # Keras' "same" would pad a strided convolution below and right only.
    strided = [layer for layer in convolutions if layer.strides == (2, 2)]
    assert len(strided) == 6 and all(layer.padding == "valid" for layer in strided)
    paddings = [layer for layer in model.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert [padding.padding for padding in paddings] == [((1, 1), (1, 1))] * 3
    assert not model.get_layer("se_fc1").use_bias and not model.get_layer("se_fc2").use_bias


@pytest.mark.parametrize(("name", "width"), [("C", 32), ("B", 4)])
def test_squeeze_has_the_width_that_the_papers_count_needs(name, width):
    assert _small(name).get_layer("se_fc1").units == width


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "D"}, "Unknown model 'D': expected one of A, B, C"),
        ({"num_classes": 1}, "num_classes must be 2 or more. Received: num_classes=1."),
        (
            {"input_shape": (7, 64, 3)},
            "at least 8x8 pixels with 1 or 3 channels. Received: input_shape=(7, 64, 3).",
        ),
        ({"input_shape": (64, 64, 4)}, "1 or 3 channels. Received: input_shape=(64, 64, 4)."),
        (
            {"input_shape": (64, 64)},
            "must be height, width and channels, all known. Received: input_shape=(64, 64).",
        ),
        ({"input_shape": (None, 64, 3)}, "all known. Received: input_shape=(None, 64, 3)."),
        ({"input_shape": 64}, "height, width and channels, all known. Received: input_shape=64."),
        ({"input_shape": (0, 64, 3)}, "all known. Received: input_shape=(0, 64, 3)."),
        ({"input_shape": ((64, 64), 3, 3)}, "Received: input_shape=((64, 64), 3, 3)."),
        ({"dropout": (0.2, 1.0)}, "Received: dropout=(0.2, 1.0)."),
        ({"dropout": 0.3}, "Received: dropout=0.3."),
        ({"seed": 0.5}, "seed must be a whole number. Received: seed=0.5."),
        ({"heads": {"kind": 4.5}}, "heads={'kind': 4.5}."),
    ],
)
def test_wrong_values_are_refused(options, message):
    with pytest.raises(ModelError) as caught:
        models.build(**{"name": "C", **options})
    assert message in str(caught.value)


def test_weights_that_keras_offers_are_taken_from_its_folder(monkeypatch, tmp_path):
    """A file of random weights stands for the published one where Keras keeps what it
    downloaded.
    """
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    keras.utils.set_random_seed(1)
    published = keras.applications.MobileNetV2((224, 224, 3), include_top=False, weights=None)
    (tmp_path / "models").mkdir()
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    with h5py.File(tmp_path / "models" / name, "w") as file:
        save_weights_to_hdf5_group(file, published)
    built = models.build("mobilenetv2", 3, (64, 64, 1), seed=0, pretrained="imagenet")
    plain = models.build("mobilenetv2", 3, (64, 64, 1), seed=0)
    assert len(published.weights) == len(built.weights) - 2
    for left, right in zip(published.get_weights(), built.get_weights(), strict=False):
        np.testing.assert_array_equal(left, right)
    kernels = [np.asarray(model.get_layer("logits").kernel) for model in (built, plain)]
    np.testing.assert_array_equal(*kernels)
    first = [model.get_layer("Conv1").get_weights()[0] for model in (built, plain)]
    assert not np.array_equal(*first)


def test_weights_that_cannot_be_had_are_told_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    with pytest.raises(
        ModelError,
        match="ImageNet weights of mobilenetv2 can't be downloaded .*or leave out --pretrained",
    ):
        models.build("mobilenetv2", 3, (64, 64, 3), pretrained="imagenet")
    with pytest.raises(
        ModelError, match="offers no weights 'imagenet' of C: choose one of mobilenetv2, or leave"
    ):
        models.build("C", 3, pretrained="imagenet")


def test_numbers_of_numpy_are_numbers() -> None:
    labels, images = np.array([0, 3, 2]), np.zeros((3, 48, 48, 1))
    shape = np.array(images.shape[1:])
    model = models.build("C", labels.max() + 1, shape, (0.1, 0.2), seed=np.int64(3))
    plain = models.build("C", 4, (48, 48, 1), (0.1, 0.2), seed=3)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.to_json()
    assert (
        models.build("C", heads={"kind": np.int64(4), "value": None}).output["kind"].shape[1] == 4
    )
