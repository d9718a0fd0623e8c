"""The first convolution of gray images, without work on three channels that are copies of one.

A student for RGB repeats a gray image x three times, normalises each channel c to s_c x + b_c, and
convolves with kernels w. Since w * (s x + b) = (Σ_c w_c s_c) * x + (Σ_c w_c b_c) * 1, two
channels suffice: x, and ones, which are zeros outside of the image like the normalised channels.
Where b is 0, or the convolution pads nothing, x alone does. The answers are equal but for float32's
rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.graph_writer import operator_number
from keras_kd.runtimes.tflite_file import packed, unpacked

_FLOAT = schema.TensorType.FLOAT32
_NONE = schema.ActivationFunctionType.NONE


@dataclass(frozen=True)
class Pattern:
    """What the pattern consists of.

    Attributes:
        image: the gray image's tensor.
        repeat: the operator that repeats it, or None.
        scaling: the 1x1 convolution that normalises, or None.
        first: the convolution.
        scale: s of each channel.
        offset: b of each channel.
    """

    image: int
    repeat: schema.OperatorT | None
    scaling: schema.OperatorT | None
    first: schema.OperatorT
    scale: np.ndarray
    offset: np.ndarray


def of_fewer_channels(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with such a convolution in float32 changed.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where nothing is to change.
    """
    model = unpacked(content)
    graph = model.subgraphs[0]
    found = pattern_in(model, graph)
    if found is None:
        return content
    weights = values_of(model, graph, found.first.inputs[1])
    pixels = (weights * found.scale).sum(axis=3, keepdims=True)
    ones = (weights * found.offset).sum(axis=3, keepdims=True)
    padded = found.first.builtinOptions.padding == schema.Padding.SAME
    if padded and np.any(found.offset):
        if len(found.scale) < 3:
            return content  # two channels are what it has, or more
        _scale_to_pixels_and_ones(model, graph, found)
        changed = np.concatenate([pixels, ones], axis=3)
        given, bias = found.first.inputs[0], found.first.inputs[2]
    else:
        _remove(graph, found.scaling)
        total = values_of(model, graph, found.first.inputs[2]) + ones.sum(axis=(1, 2, 3))
        changed, given, bias = pixels, found.image, _added(model, graph, total, b"bias_of_pixels")
    found.first.inputs = [given, _added(model, graph, changed, b"weights_of_pixels"), bias]
    if found.repeat is not None:
        _remove(graph, found.repeat)
    return packed(model)


def pattern_in(model: schema.ModelT, graph: schema.SubGraphT) -> Pattern | None:
    """Return what normalises a gray image and convolves it first, in float32; None without."""
    makers = {output: one for one in graph.operators for output in one.outputs}
    for first in graph.operators:
        if not _is_float_convolution(model, graph, first):
            continue
        scaling = makers.get(first.inputs[0])
        wide = max(graph.tensors[first.inputs[1]].shape[1:3]) > 1
        if scaling is None or not wide or not _scales(model, graph, scaling, first):
            continue
        given = scaling.inputs[0]
        kernel = values_of(model, graph, scaling.inputs[1])[:, 0, 0]
        repeat = makers.get(given)
        image = _repeated(model, repeat)
        if image is None:
            repeat, image = None, given
        read_twice = repeat is not None and readers(graph, given) > 1
        if graph.tensors[image].shape[-1] != 1 or read_twice:
            return None
        offset = values_of(model, graph, scaling.inputs[2])
        return Pattern(int(image), repeat, scaling, first, kernel.sum(axis=1), offset)
    return None


def _scales(
    model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT, first: schema.OperatorT
) -> bool:
    """Whether it is a 1x1 convolution in float32 that only the first convolution reads."""
    if not _is_float_convolution(model, graph, one) or readers(graph, one.outputs[0]) > 1:
        return False
    options, channels = one.builtinOptions, graph.tensors[first.inputs[1]].shape[3]
    shape = tuple(graph.tensors[one.inputs[1]].shape)
    plain = options.fusedActivationFunction == _NONE and options.strideH == options.strideW == 1
    return plain and shape[:3] == (channels, 1, 1)


def _is_float_convolution(
    model: schema.ModelT, graph: schema.SubGraphT, one: schema.OperatorT
) -> bool:
    if operator_number(model, one) != schema.BuiltinOperator.CONV_2D or len(one.inputs) != 3:
        return False
    tensors = [graph.tensors[index] for index in one.inputs]
    floats = all(tensor.type == _FLOAT for tensor in tensors)
    constant = all(model.buffers[tensor.buffer].data is not None for tensor in tensors[1:])
    options = one.builtinOptions
    return floats and constant and options.dilationHFactor == options.dilationWFactor == 1


def _repeated(model: schema.ModelT, one: schema.OperatorT | None) -> int | None:
    """The tensor of one channel that a concatenation repeats along the channels."""
    if one is None or operator_number(model, one) != schema.BuiltinOperator.CONCATENATION:
        return None
    along = one.builtinOptions.axis in (-1, 3)
    return int(one.inputs[0]) if along and len(set(map(int, one.inputs))) == 1 else None


def readers(graph: schema.SubGraphT, tensor: int) -> int:
    """Return how many operators and outputs of the graph need a tensor."""
    reading = sum(tensor in one.inputs for one in graph.operators)
    return reading + list(graph.outputs).count(tensor)


def values_of(model: schema.ModelT, graph: schema.SubGraphT, index: int) -> np.ndarray:
    """Return a constant tensor of float32, as float64 in its shape."""
    tensor = graph.tensors[index]
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return data.view(np.float32).reshape(tensor.shape).astype(np.float64)


def _scale_to_pixels_and_ones(
    model: schema.ModelT, graph: schema.SubGraphT, found: Pattern
) -> None:
    kernel = np.array([1.0, 0.0]).reshape(2, 1, 1, 1)
    weights = _added(model, graph, kernel, b"pixels_and_ones/weights")
    bias = _added(model, graph, np.array([0.0, 1.0]), b"pixels_and_ones/bias")
    found.scaling.inputs = [found.image, weights, bias]
    output = graph.tensors[found.scaling.outputs[0]]
    output.name += b"/pixels_and_ones"
    output.shape = [*output.shape[:3], 2]
    output.shapeSignature = None


def _added(model: schema.ModelT, graph: schema.SubGraphT, values: np.ndarray, name: bytes) -> int:
    data = np.ascontiguousarray(values, np.float32)
    model.buffers.append(schema.BufferT(data=data.view(np.uint8).ravel()))
    tensor = schema.TensorT(shape=list(data.shape), type=_FLOAT, name=name)
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _remove(graph: schema.SubGraphT, gone: schema.OperatorT) -> None:
    graph.operators = [one for one in graph.operators if one is not gone]
