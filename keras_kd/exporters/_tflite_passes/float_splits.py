"""Splits of floats as slices.

LiteRT.js 2.5.3 on WebGPU computes an operator that combines two outputs of one SPLIT or SPLIT_V of
floats wrongly, a gate a * sigmoid(b) among them, without an error. Of int8 it is right.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number, rewritten

# The place of the tensor that is split, and that of the axis.
_PLACES = {schema.BuiltinOperator.SPLIT: (1, 0), schema.BuiltinOperator.SPLIT_V: (0, 2)}


def without_splits(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with slices in place of splits of floats.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where it splits no floats.
    """
    return rewritten(content, _with_slices)


def _with_slices(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    splits = [one for one in graph.operators if _is_float_split(model, graph, one)]
    writer = GraphWriter(model, graph)
    for one in splits:
        value, axis = (int(one.inputs[place]) for place in _PLACES[operator_number(model, one)])
        number = _whole_number(model, graph, axis) % len(graph.tensors[value].shape)
        begin, slices = np.zeros(len(graph.tensors[value].shape), np.int32), []
        for output in map(int, one.outputs):
            slices.append(writer.slice(value, begin.copy(), output))
            begin[number] += graph.tensors[output].shape[number]
        place = graph.operators.index(one)
        graph.operators[place : place + 1] = slices
    return bool(splits)


def _is_float_split(model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT) -> bool:
    places = _PLACES.get(operator_number(model, one))
    if places is None:
        return False
    value, axis = (graph.tensors[one.inputs[place]] for place in places)
    known = model.buffers[axis.buffer].data is not None
    return known and value.type == schema.TensorType.FLOAT32


def _whole_number(model: schema.ModelT, graph: schema.SubGraphT, index: int) -> int:
    data = model.buffers[graph.tensors[index].buffer].data
    return int(np.asarray(data, np.uint8).view(np.int32)[0])
