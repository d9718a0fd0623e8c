"""LiteRT with int8 weights and activations, calibrated by the extremes seen on training images.

The first convolution stays float32, save with io="int8": it has few weights, sees the raw pixels,
and int8 kernels of server CPUs waste most of their width on three channels (half of Student C's
time).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd.errors import ExportError
from keras_kd.exporters._serving import Serving
from keras_kd.exporters.formats import _tflite
from keras_kd.runtimes import tflite_graph

SUFFIX = ".tflite"
TOLERANCE = 0.3
NEEDS_SAMPLES = True
IO = ("float", "app", "int8")
# Input's over output's scale, lowest and below what: the limits of XNNPACK's int8 kernels. Files
# beyond them can't be loaded, and the plain kernel of ADD ends the whole process.
_PRODUCT, _SUM = (2.0**-32, 2.0**8), (2.0**-10, 2.0**8)
RESCALINGS = {
    "CONV_2D": _PRODUCT,
    "DEPTHWISE_CONV_2D": _PRODUCT,
    "FULLY_CONNECTED": _PRODUCT,
    "MUL": _PRODUCT,
}
RESCALINGS |= {"ADD": _SUM, "SUB": _SUM}
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
    _check(path, serving.model.name)


def _with_some_layers_in_float(converter: tf.lite.TFLiteConverter) -> bytes:
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=_in_float(converter.convert())
        ),
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
        if (
            operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
            and max(operator.inputs[1].shape[1:3]) > 1
        ):
            return operators[:number]
    return []


def _out_of_range(operator: tflite_graph.Operator) -> bool:
    """Whether its outputs are so much smaller or larger than its inputs that the runtime can't
    rescale them.

    So it is where no calibration image gets through a layer, e.g. a squeeze of few channels that
    are all 0, and where the activations of an untrained network explode.
    """
    lowest, highest = RESCALINGS.get(operator.name, (0.0, np.inf))
    scales, output = [tensor.scale for tensor in operator.inputs[:2]], operator.outputs[0].scale
    if not output or not all(scales):
        return False
    factors = scales if operator.name in ("ADD", "SUB") else [np.prod(scales)]
    return not all(lowest <= factor / output < highest for factor in factors)


def _check(path: Path, name: str) -> None:
    """Refuse a file that would end the process that loads it."""
    bad = [operator for operator in tflite_graph.read(path) if _out_of_range(operator)]
    if bad:
        raise ExportError(
            f"{name} has activations of too different sizes for int8 ({bad[0].name} {bad[0].outputs[0].name}): "
            "train it further, or use the format dynamic."
        )
