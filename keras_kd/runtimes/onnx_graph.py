"""What an `.onnx` file's outputs are, by its graph: their kind, and the scale of integers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_kd.errors import ModelError
from keras_kd.models.output_kinds import OutputKind
from keras_kd.runtimes import _graph_tail
from keras_kd.runtimes._graph_tail import Step

# Operators that leave each number as it is.
_SHAPE_ALONE = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}


def output_kind(path: str | Path, output: str) -> OutputKind:
    """Find out from the graph of what kind an output is.

    Args:
        path: a file that ONNX Runtime loads.
        output: the output's name.

    Returns:
        As `models.heads.output_kind`.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    makers = {
        name: Step(node.op_type, tuple(one for one in node.input if one not in constants))
        for node in graph.node
        for name in node.output
        if name not in constants
    }
    return _graph_tail.output_kind(output, makers.get)


def output_scales(
    path: str | Path, names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return how the integers of quantized outputs are turned into numbers.

    Args:
        path: a file that ONNX Runtime loads.
        names: of its outputs of integers.

    Returns:
        (scale, zero point) by the name of each; the number is (integer - zero point) * scale.

    Raises:
        ModelError: such an output has no constant scale for all of its columns.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    external = onnx.TensorProto.EXTERNAL
    inline = (one for one in graph.initializer if one.data_location != external)
    constants = {tensor.name: tensor for tensor in inline}
    makers = {name: node for node in graph.node for name in node.output}
    for name, node in makers.items():
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[name] = node.attribute[0].t
    scales = {}
    for name in names:
        node = makers.get(name)
        while node is not None and node.op_type in _SHAPE_ALONE:
            node = makers.get(node.input[0])
        given = list(node.input[1:]) if node is not None else []
        known = [onnx.numpy_helper.to_array(constants[one]) for one in given if one in constants]
        if (
            node is None
            or node.op_type != "QuantizeLinear"
            or len(known) != len(given)
            or any(value.size != 1 for value in known)
        ):
            raise ModelError(
                f"{path} gives {name} in integers without a scale, so that their numbers are not"
                " known: end the model in DequantizeLinear, or export it with outputs of floats."
            )
        zero = known[1] if len(known) > 1 else np.zeros(1)
        scales[name] = known[0].reshape(()), zero.reshape(()).astype(np.float32)
    return scales
