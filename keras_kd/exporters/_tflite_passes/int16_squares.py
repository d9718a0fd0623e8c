"""Squared differences of int16 as a difference and its square: LiteRT has no kernel for them.

TensorFlow's converter writes them for layer normalisations in the format int16x8.
"""

from __future__ import annotations

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number, rewritten

_LARGEST = 2**15 - 1


def without_squared_differences(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with other operators in place of these.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where it has none.
    """
    return rewritten(content, _squares)


def _squares(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    kind = schema.BuiltinOperator.SQUARED_DIFFERENCE
    found = [one for one in graph.operators if operator_number(model, one) == kind
             and graph.tensors[one.outputs[0]].type == schema.TensorType.INT16]  # fmt: skip
    writer = GraphWriter(model, graph)
    for one in found:
        output, place = int(one.outputs[0]), graph.operators.index(one)
        difference = _root(writer, output)
        graph.operators[place : place + 1] = [
            writer.int16_difference([int(index) for index in one.inputs], difference),
            writer.int16_product([difference, difference], output),
        ]
    return bool(found)


def _root(writer: GraphWriter, square: int) -> int:
    """A tensor of the numbers whose squares another holds."""
    tensor = writer.graph.tensors[square]
    number = writer.like(tensor, tuple(tensor.shape))
    quantization = copy.deepcopy(tensor.quantization)
    # The largest number's square is the largest square.
    quantization.scale = [float(np.sqrt(tensor.quantization.scale[0] / _LARGEST))]
    writer.graph.tensors[number].quantization = quantization
    return number
