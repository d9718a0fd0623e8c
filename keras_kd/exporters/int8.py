"""LiteRT with int8 weights and activations, calibrated by the extremes seen on training images.

The first convolution stays float32, save with io="int8": it has few weights, sees the raw pixels, and
int8 kernels of server CPUs waste most of their width on three channels (half of Student C's time).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd import tflite_graph
from keras_kd.exporters import _tflite
from keras_kd.exporters._serving import Serving

SUFFIX = ".tflite"
TOLERANCE = 0.3
NEEDS_SAMPLES = True
IO = ("float", "app", "int8")
run = _tflite.run


def write(serving: Serving, path: Path, images: np.ndarray) -> None:
    """Write the file; `images` set the ranges of the activations."""
    as_input = images.astype(serving.input_dtype.as_numpy_dtype)

    def calibration() -> Iterator[list[np.ndarray]]:
        yield from ([image[None]] for image in as_input)

    def convert(converter: tf.lite.TFLiteConverter) -> bytes:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        if serving.io != "int8":
            return _with_first_layer_in_float(converter)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        return converter.convert()

    _tflite.write(serving, path, convert)


def _with_first_layer_in_float(converter: tf.lite.TFLiteConverter) -> bytes:
    names = _up_to_first_convolution(converter.convert())
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=names),
    )
    return debugger.get_nondebug_quantized_model()


def _up_to_first_convolution(content: bytes) -> list[str]:
    """Return the names of the outputs from the input to the first convolution wider than one pixel."""
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(content)
        file.flush()
        operators = tflite_graph.read(file.name)
    names = []
    for operator in operators:
        names.append(operator.outputs[0].name)
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and max(operator.inputs[1].shape[1:3]) > 1:
            return names
    return []
