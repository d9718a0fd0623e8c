"""int8 operators between tensors of one rank, which LiteRT.js 2.5.3 computes right on WebGPU.

Of two computed operands of different ranks it takes one for zeros. Keras writes such a sum itself:
of (1, C) and (1, C) it makes a BiasAdd of (C,). Of a dense layer whose output has two axes, and its
input more, it computes the first row alone. It reports neither.
"""

from __future__ import annotations

import math

from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.first_convolution import readers
from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number
from keras_kd.runtimes import operator_support

_NUMBERS = {getattr(schema.BuiltinOperator, name) for name in operator_support.of_equal_ranks()}
_RESHAPES = (schema.BuiltinOperator.RESHAPE, schema.BuiltinOperator.SQUEEZE)


def with_equal_ranks(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    """Give the operand of lower rank axes of one place, and the input of such a dense layer two
    axes; return whether there were any.
    """
    dense = [one for one in graph.operators if _is_folded(model, graph, one)]
    for one in dense:
        _flatten_input(GraphWriter(model, graph), one)
    found = [one for one in graph.operators if len(_ranks(model, graph, one)) > 1]
    for one in found:
        rank = max(_ranks(model, graph, one))
        one.inputs = [_of_rank(model, graph, one, int(index), rank) for index in one.inputs]
    return bool(dense or found)


def _is_folded(model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT) -> bool:
    if operator_number(model, one) != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    given, output = graph.tensors[one.inputs[0]], graph.tensors[one.outputs[0]]
    rows = len(output.shape) == 2 and output.shape[0] > 1
    return rows and len(given.shape) > 2 and given.type == schema.TensorType.INT8


def _flatten_input(writer: GraphWriter, one: schema.OperatorT) -> None:
    tensor = writer.graph.tensors[one.inputs[0]]
    width = writer.graph.tensors[one.inputs[1]].shape[1]
    flat = writer.like(tensor, (math.prod(map(int, tensor.shape)) // int(width), int(width)))
    place = writer.graph.operators.index(one)
    writer.graph.operators.insert(place, writer.reshaped(int(one.inputs[0]), flat))
    one.inputs = [flat, *one.inputs[1:]]


def _ranks(model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT) -> set[int]:
    """The ranks of an operator's operands of int8, where both are computed; else nothing."""
    if operator_number(model, one) not in _NUMBERS:
        return set()
    tensors = [graph.tensors[index] for index in one.inputs]
    constant = any(model.buffers[tensor.buffer].data is not None for tensor in tensors)
    integers = all(tensor.type == schema.TensorType.INT8 for tensor in tensors)
    return {len(tensor.shape) for tensor in tensors} if integers and not constant else set()


def _of_rank(
    model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT, index: int, rank: int
) -> int:
    """The tensor of the same numbers and this rank: itself, what was reshaped, or a new one."""
    tensor = graph.tensors[index]
    if len(tensor.shape) == rank:
        return index
    shape = [1] * (rank - len(tensor.shape)) + [int(size) for size in tensor.shape]
    maker = next((other for other in graph.operators if index in other.outputs), None)
    if maker is not None and operator_number(model, maker) in _RESHAPES:
        before = int(maker.inputs[0])
        if [int(size) for size in graph.tensors[before].shape] == shape:
            if readers(graph, index) == 1:
                graph.operators.remove(maker)
            return before
    writer = GraphWriter(model, graph)
    wide = writer.like(tensor, tuple(shape))
    graph.operators.insert(graph.operators.index(one), writer.reshaped(index, wide))
    return wide
