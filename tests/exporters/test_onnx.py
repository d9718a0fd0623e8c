"""What ONNX can't hold is refused with the layer's name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import export
from keras_kd.errors import ExportError
from keras_kd.runtimes import predictors


def test_a_convolution_in_groups_is_refused_by_name(tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    stack = [layers.Conv2D(8, 3, groups=4, name="grouped"), layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *stack])
    images = np.zeros((2, 8, 8, 4), np.uint8)
    with pytest.raises(ExportError, match="convert grouped, .*groups of a convolution") as caught:
        export(model, tmp_path / "model.onnx", "onnx", images)
    assert len(str(caught.value)) < 250 and not list(tmp_path.iterdir())


def test_zeros_around_negative_maps_are_the_largest_of_their_windows(tmp_path):
    for package in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the extra `onnx` is not installed")
    stack = [layers.Rescaling(-1 / 255), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]
    model = keras.Sequential([keras.Input((6, 6, 3)), *stack, layers.Flatten(), layers.Dense(3)])
    images = np.random.default_rng(0).integers(50, 256, (4, 6, 6, 3), np.uint8)
    export(model, tmp_path / "model.onnx", "onnx", images)
    found = predictors.load(tmp_path / "model.onnx").logits(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-5)


def test_a_mean_of_each_pixel_is_in_the_file(tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
    mean, variance = images.mean(0), images.var(0) + 1
    usual = layers.Normalization(axis=(1, 2, 3), mean=mean, variance=variance)
    model = keras.Sequential([keras.Input((6, 6, 3)), usual, layers.Flatten(), layers.Dense(3)])
    export(model, tmp_path / "model.onnx", "onnx", images)
    weights, bias = model.layers[-1].get_weights()
    expected = ((images - mean) / np.sqrt(variance)).reshape(4, -1) @ weights + bias
    found = predictors.load(tmp_path / "model.onnx").logits(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["int32", "float16", "float64"])
def test_a_file_takes_numbers_of_the_models_own_type_and_is_read_back(dtype, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), dtype=dtype)
    scores = layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, scores)
    export(model, tmp_path / "model.onnx", "onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), np.uint8)
    found = predictors.load(tmp_path / "model.onnx").logits(images)
    np.testing.assert_allclose(found, model.predict(images.astype(dtype)), atol=1e-3)
