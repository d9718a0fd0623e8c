"""Dense weights with one scale a tensor, as all runtimes compute them.

TensorFlow Lite up to 2.9 takes the first channel's scale of fully connected weights for all, and
the reference kernels of 2.10 to 2.14 are wrong where the layer's output has more than two axes.
Both give wrong answers without an error.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_LARGEST = 127
# Version 12 of the operator says that int8 weights of float32 inputs have a scale a channel; files
# that ask for it are refused up to 2.14.
_LATEST_OF_ONE_SCALE = 9


def with_one_scale(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes in which no fully connected weights have a scale a channel.

    Weights are rounded anew, and with them the bias of an integer operator, whose scale is that of
    the input times that of the weights.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where nothing is to change.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    changed = [_one_scale(model, graph, operator) for graph in model.subgraphs
               for operator in graph.operators if _is_dense(model, operator)]  # fmt: skip
    if not any(changed):
        return content
    for code in filter(_dense_code, model.operatorCodes):
        code.version = min(code.version, _LATEST_OF_ONE_SCALE)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _is_dense(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    return _dense_code(model.operatorCodes[operator.opcodeIndex])


def _dense_code(code: schema.OperatorCodeT) -> bool:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return number == schema.BuiltinOperator.FULLY_CONNECTED


def _one_scale(model: schema.ModelT, graph: schema.SubGraphT, operator: schema.OperatorT) -> bool:
    image, weights = (graph.tensors[index] for index in operator.inputs[:2])
    scales = _scales(weights)
    if len(scales) < 2 or weights.type != schema.TensorType.INT8:
        return False
    buffer = model.buffers[weights.buffer]
    rows = np.asarray(buffer.data, np.uint8).view(np.int8).reshape(len(scales), -1)
    exact = rows * scales[:, None]
    # No zero: a layer whose weights are all 0 keeps a scale.
    scale = max(np.abs(exact).max() / _LARGEST, scales.min())
    buffer.data = np.round(exact / scale).astype(np.int8).view(np.uint8).ravel()
    _set_scale(weights, scale)
    bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
    if bias >= 0 and graph.tensors[bias].type == schema.TensorType.INT32:
        _rescale_bias(model, graph.tensors[bias], _scales(image)[0] * scale)
    return True


def _rescale_bias(model: schema.ModelT, bias: schema.TensorT, scale: float) -> None:
    buffer = model.buffers[bias.buffer]
    values = np.asarray(buffer.data, np.uint8).view(np.int32) * _scales(bias)
    buffer.data = np.round(values / scale).astype(np.int32).view(np.uint8)
    _set_scale(bias, scale)


def _scales(tensor: schema.TensorT) -> np.ndarray:
    scale = tensor.quantization.scale if tensor.quantization else None
    return np.zeros(0) if scale is None else np.asarray(scale, np.float64)


def _set_scale(tensor: schema.TensorT, scale: float) -> None:
    tensor.quantization.scale = [scale]
    tensor.quantization.zeroPoint = [0]
    tensor.quantization.quantizedDimension = 0
