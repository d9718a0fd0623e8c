"""The Keras 2 twin of a model: built from its description, checked, and converted at the end.

Belongs to the process of `worker`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from keras_kd._common.collector import known_objects_set_aside
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import from_facts
from keras_kd.exporters import _front_end
from keras_kd.exporters._tflite_passes.gray_pixels import with_float_gray
from keras_kd.exporters._tflite_passes.integer_weights import right_on_all_runtimes

_TOLERANCE = 1e-4


def built(layers: list[dict], weights: Path) -> tf_keras.Model:
    """Build the twin from its description, see `twin_description.describe`, and set its weights.

    Args:
        layers: name, kind, arguments and inputs of each.
        weights: `.npz` of arrays named by the layer's and the weight's number.
    """
    tensors = {}
    for layer in layers:
        arguments = layer["arguments"]
        if layer["kind"] == "InputLayer":
            tensors[layer["name"]] = inputs = tf_keras.Input(arguments["shape"], name=layer["name"])
            continue
        sources = [tensors[name] for name in layer["inputs"]]
        twin = getattr(tf_keras.layers, layer["kind"])(**arguments, name=layer["name"])
        tensors[layer["name"]] = twin(sources if len(sources) > 1 else sources[0])
    model = tf_keras.Model(inputs, tensors[layers[-1]["name"]])
    with np.load(weights) as stored:
        for number, layer in enumerate(layers):
            own = model.get_layer(layer["name"])
            own.set_weights([stored[f"{number}.{place}"] for place in range(len(own.weights))])
    return model


def in_range(pixels: np.ndarray, options: dict) -> np.ndarray:
    """Turn pixels 0..255 into what the model takes, float32; tensors too."""
    return from_facts(options["pixels"]).of(pixels)


def ending(options: dict) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the activation at the model's end, which the twin lacks."""
    return {"softmax": tf.nn.softmax, "log_softmax": tf.nn.log_softmax}.get(
        options["end"], tf.identity
    )


def require_equal(
    twin: tf_keras.Model, images: np.ndarray, expected: np.ndarray, options: dict
) -> None:
    """End the process unless the twin computes what the model does."""
    shown = in_range(fitted(images[: len(expected)], twin.input_shape[1:]), options)
    found = twin(shown.astype(np.float32), training=False)
    found = ending(options)(found).numpy()
    difference = np.abs(found - expected).max() / max(np.ptp(expected), 1e-3)
    # Written so that NaN is refused, too.
    if not difference <= _TOLERANCE:
        sys.exit(f"the Keras 2 twin differs by {difference:.2g} of the outputs' spread")


def first_layers(twin: tf_keras.Model) -> set[str]:
    """Return the layers that stay float32: those up to the first convolution wider than one pixel,
    and its norm; of a model without one the input alone.
    """
    names = set()
    for layer in twin.layers:
        names.add(layer.name)
        convolution = isinstance(layer, (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D))
        if convolution and max(layer.kernel_size) > 1:
            return names | _norm_after(layer, twin)
    return {layer.name for layer in twin.layers if isinstance(layer, tf_keras.layers.InputLayer)}


def _norm_after(convolution: tf_keras.layers.Layer, twin: tf_keras.Model) -> set[str]:
    names = set()
    for layer in twin.layers[twin.layers.index(convolution) + 1 :]:
        if not isinstance(layer, (tf_keras.layers.BatchNormalization, tf_keras.layers.ReLU)):
            break
        names.add(layer.name)
    return names


def converted(model: tf_keras.Model, options: dict) -> bytes:
    """Convert with the ranges learned in training, which need no calibration."""
    shape, app_input = model.input_shape[1:], options["app_input"]
    given = tf.TensorSpec((1, *shape), tf.float32, name="image")
    if app_input is not None:
        given = tf.TensorSpec((1, *app_input), tf.uint8, name="image")

    @tf.function(input_signature=[given])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        if app_input is None:
            outputs = model(image, training=False)
            return {options["output"]: ending(options)(outputs)}
        pixels = in_range(_front_end.pixels(image, shape), options)
        return {"probabilities": tf.nn.softmax(model(pixels, training=False))}

    module = tf.Module()
    # A SavedModel holds the weights only of what hangs on the saved object.
    module.model = model
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        with known_objects_set_aside():
            content = converter.convert()
    return right_on_all_runtimes(with_float_gray(content))
