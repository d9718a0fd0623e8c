"""Multiply-accumulates and live taps against published and hand-counted numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters, models
from keras_kd.runtimes import multiply_accumulates


@pytest.mark.parametrize(("name", "millions"), [("B", 22.4), ("C", 6.04)])
def test_students_need_what_their_paper_says(name, millions):
    assert multiply_accumulates.of_model(models.build(name)) / 1e6 == pytest.approx(
        millions, rel=2e-3
    )


def test_mobilenet_v2_needs_300_million():
    """Table 4 of Sandler et al. 2018, with depthwise convolutions."""
    model = keras.applications.MobileNetV2(weights=None)
    assert multiply_accumulates.of_model(model) / 1e6 == pytest.approx(300, rel=5e-3)


def _counted_by_hand() -> tuple[keras.Model, int, int]:
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)  # 4*4*4 outputs of 3*3*3
    x = layers.DepthwiseConv2D(2, padding="valid")(x)  # 3*3*4 outputs of 2*2
    x = layers.Dense(5)(layers.Flatten()(x))  # 36*5
    count = 4 * 4 * 4 * 27 + 3 * 3 * 4 * 4 + 36 * 5
    weights = (27 * 4 + 4) + (4 * 4 + 4) + (36 * 5 + 5)
    model = keras.Model(image, x)
    # Biases of zero would be shared or left out by the converter.
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=weight.shape) for weight in model.get_weights()])
    return model, count, weights


@pytest.mark.parametrize("format", ["float32", "float16"])
def test_model_and_file_count_alike(format, tmp_path):
    model, count, weights = _counted_by_hand()
    path = exporters.export(model, tmp_path / "model.tflite", format).path
    assert multiply_accumulates.of_model(model) == count
    assert multiply_accumulates.of_tflite(path) == count
    assert multiply_accumulates.parameters(path) == weights


def test_groups_transposes_and_integers_are_counted():
    """Each counted as 0: Keras compiles groups on their own."""
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, groups=2)(image)  # 6*6*6 outputs of 3*3*2
    x = layers.Conv2DTranspose(5, 3, strides=2)(x)  # 6*6*6 inputs to 3*3*5
    dense = layers.Dense(7)
    model = keras.Model(image, dense(layers.GlobalAveragePooling2D()(x)))
    dense.quantize("int8")
    found = multiply_accumulates.of_model(model)
    assert found == 6 * 6 * 6 * 3 * 3 * 2 + 6 * 6 * 6 * 3 * 3 * 5 + 5 * 7


def test_einsum_counts_each_combination_once():
    image = keras.Input((4, 6, 3))
    model = keras.Model(image, layers.EinsumDense("bhwc,cd->bhwd", output_shape=(4, 6, 7))(image))
    assert multiply_accumulates.of_model(model) == 4 * 6 * 3 * 7


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "share"),
    [
        (1, 3, 1, "same", 1 / 9),  # one pixel meets the middle alone
        (2, 3, 2, "zeros", 4 / 9),  # one output over two pixels after one row of zeros
        (2, 3, 1, "same", 1.0),
        (8, 5, 1, "valid", 1.0),
    ],
)
def test_live_taps(size, kernel, stride, padding, share, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_kd.exporters._runtime_form.compact", lambda model: model)
    image = keras.Input((size, size, 2))
    x = layers.ZeroPadding2D(1)(image) if padding == "zeros" else image
    x = layers.Conv2D(
        3, kernel, strides=stride, padding="valid" if padding == "zeros" else padding
    )(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    path = exporters.export(model, tmp_path / "model.tflite", "float32").path
    assert multiply_accumulates.live_taps(path) == pytest.approx(share)
