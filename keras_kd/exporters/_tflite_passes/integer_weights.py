"""int8 weights and operands in the forms that all runtimes compute right.

Dense weights get one scale a tensor. TensorFlow Lite up to 2.9 takes the first channel's scale of
fully connected weights for all, and the reference kernels of 2.10 to 2.14 are wrong where the
layer's output has more than two axes. Those of 2.8 are wrong there whatever the scales, so outputs
of one place, as of a squeeze and excitation, get two axes and are reshaped.

Strided convolutions of 1x1 lose their strides, see `strided_kernels`. Computed operands of one
operator get one rank, see `equal_ranks`.

None of these runtimes reports an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.equal_ranks import with_equal_ranks
from keras_kd.exporters._tflite_passes.graph_writer import (
    GraphWriter,
    code_number,
    operator_number,
)
from keras_kd.exporters._tflite_passes.strided_kernels import without_strides
from keras_kd.runtimes.tflite_file import packed, unpacked

_LARGEST = 127
# Version 12 of the operator says that int8 weights of float32 inputs have a scale a channel; files
# that ask for it are refused up to 2.14.
_LATEST_OF_ONE_SCALE = 9
# Types of biases beside int8 and int16 activations.
_BIASES = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
_DENSE = schema.BuiltinOperator.FULLY_CONNECTED


def right_on_all_runtimes(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with int8 weights and operands in the forms above.

    Dense weights are rounded anew, and with them the bias of each integer operator that reads them,
    whose scale is that of the input times that of the weights.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where nothing is to change.
    """
    model = unpacked(content)
    dense = [_with_one_scale(model, graph) for graph in model.subgraphs]
    strided = [without_strides(model, graph) for graph in model.subgraphs]
    flat = [_with_flat_outputs(model, graph) for graph in model.subgraphs]
    equal = [with_equal_ranks(model, graph) for graph in model.subgraphs]
    if not any([*dense, *strided, *flat, *equal]):
        return content
    for code in model.operatorCodes if any(dense) else ():
        if code_number(code) == _DENSE:
            code.version = min(code.version, _LATEST_OF_ONE_SCALE)
    return packed(model)


def _weighted(
    model: schema.ModelT, graph: schema.SubGraphT, kind: int
) -> Iterator[tuple[schema.OperatorT, int]]:
    """Yield the operators of a kind whose weights are constants of int8, and the weights' place."""
    for operator in graph.operators:
        place = operator.inputs[1] if len(operator.inputs) > 1 else -1
        if operator_number(model, operator) != kind or place < 0:
            continue
        weights = graph.tensors[place]
        constant = model.buffers[weights.buffer].data is not None
        if constant and weights.type == schema.TensorType.INT8:
            yield operator, place


def _with_one_scale(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    """Give dense weights one scale; return whether any had more."""
    readers: dict[int, list[schema.OperatorT]] = {}
    for operator, place in _weighted(model, graph, _DENSE):
        if len(_scales(graph.tensors[place])) > 1:
            readers.setdefault(place, []).append(operator)
    for place, operators in readers.items():
        weights = graph.tensors[place]
        _round_with_one_scale(model, weights)
        # A layer that is called twice has one bias for each scale of its inputs.
        scales = {
            operator.inputs[2]: _scales(graph.tensors[operator.inputs[0]])
            for operator in operators
            if len(operator.inputs) > 2 and operator.inputs[2] >= 0
        }
        for bias, scale in scales.items():
            if graph.tensors[bias].type in _BIASES:
                _rescale_bias(model, graph.tensors[bias], scale[0] * _scales(weights)[0])
    return bool(readers)


def _with_flat_outputs(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    """Give dense layers of one place an output of two axes; return whether any had more."""
    deep = [one for one, _ in _weighted(model, graph, _DENSE) if _is_deep(graph, one)]
    for one in deep:
        writer, output = GraphWriter(model, graph), one.outputs[0]
        tensor = graph.tensors[output]
        flat = writer.like(tensor, (1, tensor.shape[-1]))
        graph.tensors[flat].name = tensor.name + b"/flat"  # by which its layer is found
        one.outputs, one.builtinOptions.keepNumDims = [flat], False
        graph.operators.insert(graph.operators.index(one) + 1, writer.reshaped(flat, output))
    return bool(deep)


def _is_deep(graph: schema.SubGraphT, one: schema.OperatorT) -> bool:
    tensor = graph.tensors[one.outputs[0]]
    one_place = len(tensor.shape) > 2 and math.prod(tensor.shape[:-1]) == 1
    return one_place and tensor.type == schema.TensorType.INT8


def _round_with_one_scale(model: schema.ModelT, weights: schema.TensorT) -> None:
    scales = _scales(weights)
    rows = _values(model, weights, np.int8).reshape(len(scales), -1)
    exact = rows * scales[:, None]
    # No zero: a layer whose weights are all 0 keeps a scale.
    scale = max(np.abs(exact).max() / _LARGEST, scales.min())
    _set_values(model, weights, np.round(exact / scale).astype(np.int8))
    _set_scale(weights, scale)


def _rescale_bias(model: schema.ModelT, bias: schema.TensorT, scale: float) -> None:
    dtype = _BIASES[bias.type]
    values = _values(model, bias, dtype) * _scales(bias)
    _set_values(model, bias, np.round(values / scale).astype(dtype))
    _set_scale(bias, scale)


def _shared(model: schema.ModelT, tensor: schema.TensorT) -> bool:
    readers = (one for graph in model.subgraphs for one in graph.tensors)
    return sum(one.buffer == tensor.buffer for one in readers) > 1


def _values(model: schema.ModelT, tensor: schema.TensorT, dtype: type) -> np.ndarray:
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)


def _set_values(model: schema.ModelT, tensor: schema.TensorT, values: np.ndarray) -> None:
    data = values.view(np.uint8).ravel()
    if _shared(model, tensor):  # the converter stores equal constants once
        model.buffers.append(schema.BufferT(data=data))
        tensor.buffer = len(model.buffers) - 1
    else:
        model.buffers[tensor.buffer].data = data


def _scales(tensor: schema.TensorT) -> np.ndarray:
    scale = tensor.quantization.scale if tensor.quantization else None
    return np.zeros(0) if scale is None else np.asarray(scale, np.float64)


def _set_scale(tensor: schema.TensorT, scale: float) -> None:
    tensor.quantization.scale = [scale]
    tensor.quantization.zeroPoint = [0]
    tensor.quantization.quantizedDimension = 0
