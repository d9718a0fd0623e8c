"""int8 weights in the forms that all runtimes compute right.

Dense weights get one scale a tensor. TensorFlow Lite up to 2.9 takes the first channel's scale of
fully connected weights for all, and the reference kernels of 2.10 to 2.14 are wrong where the
layer's output has more than two axes.

Convolutions of 1x1 with strides get larger kernels, of zeros besides. LiteRT's GPU code (ML Drift:
WebGPU, OpenCL, Metal) computes 1x1 convolutions of int8 weights as dense layers, and forgets their
strides. The larger kernels need no padding where they can, or are as large as the stride: XNNPACK
of LiteRT 2.0 and of tfjs-tflite pads wrongly where a kernel is smaller than its stride.

None of these runtimes reports an error.
"""

from __future__ import annotations

from collections.abc import Iterator

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_LARGEST = 127
# Version 12 of the operator says that int8 weights of float32 inputs have a scale a channel; files
# that ask for it are refused up to 2.14.
_LATEST_OF_ONE_SCALE = 9
_DENSE, _CONVOLUTION = schema.BuiltinOperator.FULLY_CONNECTED, schema.BuiltinOperator.CONV_2D


def right_on_all_runtimes(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with int8 weights in the forms above.

    Dense weights are rounded anew, and with them the bias of each integer operator that reads them,
    whose scale is that of the input times that of the weights.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where nothing is to change.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    dense = [_with_one_scale(model, graph) for graph in model.subgraphs]
    strided = [_with_larger_kernels(model, graph) for graph in model.subgraphs]
    if not any([*dense, *strided]):
        return content
    for code in model.operatorCodes if any(dense) else ():
        if _number(code) == _DENSE:
            code.version = min(code.version, _LATEST_OF_ONE_SCALE)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _number(code: schema.OperatorCodeT) -> int:
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _weighted(
    model: schema.ModelT, graph: schema.SubGraphT, kind: int
) -> Iterator[tuple[schema.OperatorT, int]]:
    """Yield the operators of a kind whose weights are constants of int8, and the weights' place."""
    for operator in graph.operators:
        place = operator.inputs[1] if len(operator.inputs) > 1 else -1
        if _number(model.operatorCodes[operator.opcodeIndex]) != kind or place < 0:
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
            if graph.tensors[bias].type == schema.TensorType.INT32:
                _rescale_bias(model, graph.tensors[bias], scale[0] * _scales(weights)[0])
    return bool(readers)


def _round_with_one_scale(model: schema.ModelT, weights: schema.TensorT) -> None:
    scales = _scales(weights)
    rows = _values(model, weights, np.int8).reshape(len(scales), -1)
    exact = rows * scales[:, None]
    # No zero: a layer whose weights are all 0 keeps a scale.
    scale = max(np.abs(exact).max() / _LARGEST, scales.min())
    _set_values(model, weights, np.round(exact / scale).astype(np.int8))
    _set_scale(weights, scale)


def _rescale_bias(model: schema.ModelT, bias: schema.TensorT, scale: float) -> None:
    values = _values(model, bias, np.int32) * _scales(bias)
    _set_values(model, bias, np.round(values / scale).astype(np.int32))
    _set_scale(bias, scale)


def _with_larger_kernels(model: schema.ModelT, graph: schema.SubGraphT) -> bool:
    """Give strided 1x1 convolutions larger kernels; return whether there were any."""
    readers: dict[int, list[schema.OperatorT]] = {}
    for operator, place in _weighted(model, graph, _CONVOLUTION):
        readers.setdefault(place, []).append(operator)
    changed = False
    for place, operators in readers.items():
        weights = graph.tensors[place]
        # Layers of equal weights may share them, and be of other sizes.
        forms = {_larger_kernel(graph, one) for one in operators}
        if tuple(weights.shape[1:3]) == (1, 1) and len(forms) == 1 and None not in forms:
            size, tap, padding = forms.pop()
            _enlarge(model, weights, size, tap)
            for one in operators:
                one.builtinOptions.padding = padding
            changed = True
    return changed


def _larger_kernel(
    graph: schema.SubGraphT, one: schema.OperatorT
) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """Size, place of the only tap, and padding; None without strides."""
    strides = one.builtinOptions.strideH, one.builtinOptions.strideW
    sizes = [int(size) for size in graph.tensors[one.inputs[0]].shape[1:3]]
    if max(strides) == 1:
        return None
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        # As many steps of two pixels fit as of one.
        if size > 1 and -(-size // stride) == (size - 2) // stride + 1:
            return ((2, 1), (1, 2))[axis], (0, 0), schema.Padding.VALID
    before = [(-size % stride) // 2 for size, stride in zip(sizes, strides, strict=True)]
    return strides, (before[0], before[1]), schema.Padding.SAME


def _enlarge(
    model: schema.ModelT, weights: schema.TensorT, size: tuple[int, int], tap: tuple[int, int]
) -> None:
    filters, _, _, channels = weights.shape
    kernels = np.zeros((filters, *size, channels), np.int8)
    kernels[:, tap[0], tap[1]] = _values(model, weights, np.int8).reshape(filters, channels)
    _set_values(model, weights, kernels)
    weights.shape = list(kernels.shape)


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
