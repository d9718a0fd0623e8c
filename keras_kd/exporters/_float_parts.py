"""The operators of an int8 file that stay float32.

The first convolution does, save with io="int8": it has few weights, sees the raw pixels, and int8
kernels of server CPUs waste most of their width on three channels (half of Student C's time). So do
operators whose scales no runtime can combine, and those that the user names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.runtimes import tflite_graph

if TYPE_CHECKING:
    import tensorflow as tf

# Input's over output's scale, lowest and below what: the limits of XNNPACK's int8 kernels. Files
# beyond them can't be loaded, and the plain kernel of ADD ends the whole process.
_PRODUCT, _SUM = (2.0**-32, 2.0**8), (2.0**-10, 2.0**8)
_RESCALINGS = {
    "CONV_2D": _PRODUCT,
    "DEPTHWISE_CONV_2D": _PRODUCT,
    "FULLY_CONNECTED": _PRODUCT,
    "MUL": _PRODUCT,
    "ADD": _SUM,
    "SUB": _SUM,
}


def converted(converter: tf.lite.TFLiteConverter, tensors: Sequence[str]) -> bytes:
    """Convert to int8 with some operators in float32.

    Args:
        converter: set up for int8, with its samples.
        tensors: outputs of further operators to keep, by name.
    """
    # Not where the limits below are only looked up.
    import tensorflow as tf

    # The converter alone has no way to leave operators in float32; their names show in a first
    # file. Both come of one calibration.
    options = tf.lite.experimental.QuantizationDebugOptions
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options()
    )
    kept = [*_chosen(debugger.get_nondebug_quantized_model()), *tensors]
    debugger.options = options(denylisted_nodes=kept)
    return debugger.get_nondebug_quantized_model()


def _chosen(content: bytes) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(content)
        operators = tflite_graph.read(file)
    kept = [*_up_to_first_convolution(operators), *filter(out_of_range, operators)]
    return [operator.outputs[0].name for operator in kept]


def _up_to_first_convolution(operators: list[tflite_graph.Operator]) -> list[tflite_graph.Operator]:
    """Return the operators from the input to the first convolution wider than one pixel."""
    for number, operator in enumerate(operators, start=1):
        if (
            operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
            and max(operator.inputs[1].shape[1:3]) > 1
        ):
            return operators[:number]
    return []


def out_of_range(operator: tflite_graph.Operator) -> bool:
    """Whether its outputs are so much smaller or larger than its inputs that the runtime can't
    rescale them.

    So it is where no calibration image gets through a layer, e.g. a squeeze of few channels that
    are all 0, and where the activations of an untrained network explode.
    """
    lowest, highest = _RESCALINGS.get(operator.name, (0.0, np.inf))
    scales, output = [tensor.scale for tensor in operator.inputs[:2]], operator.outputs[0].scale
    if not output or not all(scales):
        return False
    factors = scales if operator.name in ("ADD", "SUB") else [np.prod(scales)]
    return not all(lowest <= factor / output < highest for factor in factors)
