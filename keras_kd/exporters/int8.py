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
# Of XNNPACK's int8 kernels; above it the file can't be loaded.
LARGEST_RESCALING = 256
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
            return _with_some_layers_in_float(converter)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        return converter.convert()

    _tflite.write(serving, path, convert)


def _with_some_layers_in_float(converter: tf.lite.TFLiteConverter) -> bytes:
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=_in_float(converter.convert())),
    )
    return debugger.get_nondebug_quantized_model()


def _in_float(content: bytes) -> list[str]:
    """Return the names of the outputs of the operators that are to stay float32."""
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(content)
        file.flush()
        operators = tflite_graph.read(file.name)
    names = [operator.outputs[0].name for operator in _up_to_first_convolution(operators)]
    return names + [operator.outputs[0].name for operator in operators if _out_of_range(operator)]


def _up_to_first_convolution(operators: list[tflite_graph.Operator]) -> list[tflite_graph.Operator]:
    """Return the operators from the input to the first convolution wider than one pixel."""
    for number, operator in enumerate(operators, start=1):
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and max(operator.inputs[1].shape[1:3]) > 1:
            return operators[:number]
    return []


def _out_of_range(operator: tflite_graph.Operator) -> bool:
    """Whether its outputs are so much smaller than its inputs that XNNPACK can't rescale them.

    So it is where no calibration image gets through a layer, e.g. a squeeze of few channels that are all 0.
    """
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or not operator.outputs[0].scale:
        return False
    product = operator.inputs[0].scale * operator.inputs[1].scale
    return product / operator.outputs[0].scale >= LARGEST_RESCALING
