"""Strided 1x1 convolutions of int8 weights, without strides: a depthwise convolution of one tap
chooses the pixels before.

LiteRT's GPU code (ML Drift: WebGPU, OpenCL, Metal) computes 1x1 convolutions of int8 weights as
dense layers, and forgets their strides, without an error. The kernel that chooses is as large as
the stride: XNNPACK of LiteRT 2.0 and of tfjs-tflite pads wrongly where a kernel is smaller.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number

_INT8, _FLOAT = schema.TensorType.INT8, schema.TensorType.FLOAT32


def without_strides(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    """Take the strides of 1x1 convolutions of int8 weights away; return whether there were any."""
    strided = [one for one in graph.operators if _is_strided(model, graph, one)]
    for one in strided:
        _choose_pixels(GraphWriter(model, graph), one)
    return bool(strided)


def _is_strided(model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT) -> bool:
    if operator_number(model, one) != schema.BuiltinOperator.CONV_2D:
        return False
    given, weights = (graph.tensors[index] for index in one.inputs[:2])
    constant = weights.type == _INT8 and model.buffers[weights.buffer].data is not None
    pointwise = constant and tuple(weights.shape[1:3]) == (1, 1) and given.type in (_INT8, _FLOAT)
    return pointwise and max(one.builtinOptions.strideH, one.builtinOptions.strideW) > 1


def _choose_pixels(writer: GraphWriter, one: schema.OperatorT) -> None:
    given = writer.graph.tensors[one.inputs[0]]
    strides = one.builtinOptions.strideH, one.builtinOptions.strideW
    sizes = [int(size) for size in given.shape[1:3]]
    # As many whole steps fit as pixels are needed.
    whole = all(size % stride == 0 for size, stride in zip(sizes, strides, strict=True))
    before = [(-size % stride) // 2 for size, stride in zip(sizes, strides, strict=True)]
    kernel = np.zeros((1, *strides, given.shape[3]))
    kernel[0, before[0], before[1]] = 1
    output = writer.graph.tensors[one.outputs[0]].shape
    chosen = writer.like(given, (*output[:3], given.shape[3]))
    choice = writer.depthwise(one.inputs[0], kernel, chosen, strides, not whole)
    writer.graph.operators.insert(writer.graph.operators.index(one), choice)
    one.inputs = [chosen, *one.inputs[1:]]
    one.builtinOptions.strideH = one.builtinOptions.strideW = 1
    one.builtinOptions.padding = schema.Padding.VALID
