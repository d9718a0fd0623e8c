"""Gray from RGB in a file: Pillow's to the last bit, without whole numbers that GPUs lose."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_kd
from keras_kd.exporters import _front_end
from keras_kd.exporters._tflite_passes.gray_pixels import with_float_gray
from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes.litert import LiteRTModel

# Every third value of each channel.
COLOURS = np.stack(np.meshgrid(*3 * [np.arange(0, 256, 3, np.uint8)]), axis=-1).reshape(86, -1, 3)


def _converted(shape):
    """The front end alone, for COLOURS."""

    @tf.function(input_signature=[tf.TensorSpec((1, *COLOURS.shape), tf.uint8, name="image")])
    def serve(image):
        return {"pixels": _front_end.pixels(image, shape)}

    module = tf.Module()
    module.serve = serve
    found = [serve.get_concrete_function()]
    return tf.lite.TFLiteConverter.from_concrete_functions(found, module).convert()


def test_a_files_gray_is_pillows(tmp_path):
    path = tmp_path / "front.tflite"
    path.write_bytes(with_float_gray(_converted((*COLOURS.shape[:2], 1))))
    found = LiteRTModel(path, trusted=True).predict(COLOURS[None])
    np.testing.assert_array_equal(found[0, ..., 0], Image.fromarray(COLOURS).convert("L"))
    assert [one.name for one in tflite_graph.read(path)] == ["CAST", "CONV_2D", "CAST", "CAST"]


def test_pixels_that_stay_in_colour_are_left_alone():
    content = _converted((*COLOURS.shape[:2], 3))
    assert with_float_gray(content) is content


@pytest.mark.parametrize("format", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_no_format_rounds_the_weights_of_gray(format, tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 3), np.uint8)
    target = None if format == "int16x8" else "web"
    keras_kd.export(
        model, tmp_path / "m.tflite", format, images, "app", ("a", "b", "c"), (12, 12, 3),
        target=target, min_agreement=0.5,
    )  # fmt: skip
    operators = tflite_graph.read(tmp_path / "m.tflite")
    # Weights of float16 are widened before anything is computed.
    first = [one for one in operators if one.name != "DEQUANTIZE"][:3]
    assert [one.name for one in first] == ["CAST", "CONV_2D", "CAST"]
    weights = np.frombuffer(bytes(first[1].inputs[1].values), np.float32)
    np.testing.assert_array_equal(weights * 2**16, _front_end.LUMA_WEIGHTS)
