"""The first convolution of gray images in int8, two neighbouring outputs at a time.

int8 kernels multiply eight channels of a tap at once, so an image of one or two channels leaves
most of their width idle. Here a 1x1 convolution over a whole row, whose kernel consists of ones and
zeros, gives each pair of outputs the pixels x that it sees, less p, and as many marks v, which are
0 where a pixel would lie outside of the image. A convolution of one column computes both outputs:

    w (s x + b) = w s (x - p) + (w (s p + b) / v) v  inside of the image, and 0 outside.

Pixels are whole numbers, so x - p is exact in int8; only the kernel is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._tflite_passes.first_convolution import (
    Pattern,
    pattern_in,
    readers,
    values_of,
)
from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number
from keras_kd.runtimes.tflite_file import packed, unpacked

_PAIR = 2
_LOWEST, _LARGEST = -128, 127


def with_integer_pixels(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with its first convolution in int8.

    Args:
        content: an int8 file of whole pixels 0..255, whose first convolution is float32.

    Returns:
        The file; `content` itself where the image has three channels, the convolution's output is
        not rounded to int8 next, or the outputs of a row make no pairs.
    """
    model = unpacked(content)
    graph = model.subgraphs[0]
    pattern = pattern_in(model, graph) or _without_scaling(model, graph)
    if pattern is None or not _of_whole_numbers(model, graph, pattern.image):
        return content
    rounding = _only_reader(graph, pattern.first.outputs[0])
    if rounding is None or operator_number(model, rounding) != schema.BuiltinOperator.QUANTIZE:
        return content
    place = _place(graph, pattern)
    if place.width % _PAIR:
        return content
    _replace(GraphWriter(model, graph), pattern, rounding, place)
    return packed(model)


def _without_scaling(model: schema.ModelT, graph: schema.SubGraphT) -> Pattern | None:
    """The convolution of the gray image itself, which has its normalisation in its kernel. A 1x1
    convolution before it is passed over: it makes the gray image from RGB.
    """
    for one in graph.operators:
        if operator_number(model, one) == schema.BuiltinOperator.CONV_2D:
            image, weights = (graph.tensors[index] for index in one.inputs[:2])
            if max(weights.shape[1:3]) == 1:
                continue
            gray = image.shape[3] == 1 and weights.type == schema.TensorType.FLOAT32
            options = one.builtinOptions
            plain = options.dilationHFactor == options.dilationWFactor == 1
            pattern = Pattern(int(one.inputs[0]), None, None, one, np.ones(1), np.zeros(1))
            return pattern if gray and plain else None
    return None


def _of_whole_numbers(model: schema.ModelT, graph: schema.SubGraphT, tensor: int) -> bool:
    """Whether it is a cast of whole numbers, which the app's pixels are until then."""
    maker = next((one for one in graph.operators if tensor in one.outputs), None)
    if maker is None or operator_number(model, maker) != schema.BuiltinOperator.CAST:
        return False
    whole = (schema.TensorType.INT32, schema.TensorType.UINT8)
    return graph.tensors[maker.inputs[0]].type in whole


def _only_reader(graph: schema.SubGraphT, tensor: int) -> schema.OperatorT | None:
    if readers(graph, tensor) != 1:
        return None
    return next((one for one in graph.operators if tensor in one.inputs), None)


@dataclass(frozen=True)
class _Place:
    """Where a row's outputs lie.

    Attributes:
        columns: pixels of a row of the image.
        width: outputs of a row.
        stride: from one output to the next, in pixels.
        before: columns of padding on the left.
        span: pixels that a pair of outputs sees.
    """

    columns: int
    width: int
    stride: int
    before: int
    span: int


def _place(graph: schema.SubGraphT, pattern: Pattern) -> _Place:
    first = pattern.first
    columns = int(graph.tensors[pattern.image].shape[2])
    width = int(graph.tensors[first.outputs[0]].shape[2])
    taps, stride = int(graph.tensors[first.inputs[1]].shape[2]), first.builtinOptions.strideW
    same = first.builtinOptions.padding == schema.Padding.SAME
    before = max((width - 1) * stride + taps - columns, 0) // 2 if same else 0
    return _Place(columns, width, stride, before, (_PAIR - 1) * stride + taps)


def _replace(
    writer: GraphWriter, pattern: Pattern, rounding: schema.OperatorT, place: _Place
) -> None:
    graph = writer.graph
    gone = [one for one in (pattern.repeat, pattern.scaling, pattern.first, rounding) if one]
    at = min(graph.operators.index(one) for one in gone)
    kept = [one for one in graph.operators if one not in gone]
    steps = _steps(writer, pattern, rounding, place)
    graph.operators = [*kept[:at], *steps, *kept[at:]]


def _steps(
    writer: GraphWriter, pattern: Pattern, rounding: schema.OperatorT, place: _Place
) -> list[schema.OperatorT]:
    graph, first = writer.graph, pattern.first
    weights = values_of(writer.model, graph, first.inputs[1])
    pixels, level = weights @ pattern.scale, weights @ pattern.offset  # (filters, rows, columns)
    gray = _middle(pixels, level)
    rest = gray * pixels + level
    mark = _mark(pixels, rest, gray)
    bias = np.tile(values_of(writer.model, graph, first.inputs[2]), _PAIR)
    kernels, scales = _kernels(pixels, rest / mark, bias, place)

    height, columns, pairs = _height(graph, pattern.image), place.columns, place.width // _PAIR
    shift = gray + _LOWEST
    rounded = writer.integers((1, height, columns, 1), 1.0, _LOWEST)
    row = writer.integers((1, height, 1, columns), 1.0, _LOWEST)
    seen = writer.integers((1, height, 1, pairs * 2 * place.span), 1.0, shift)
    apart = writer.integers((1, height, pairs, 2 * place.span), 1.0, shift)
    output = graph.tensors[rounding.outputs[0]]
    result = writer.integers(
        (1, output.shape[1], pairs, len(kernels)),
        output.quantization.scale[0], output.quantization.zeroPoint[0],
    )  # fmt: skip
    return [
        writer.operator(rounding.opcodeIndex, [pattern.image], rounded, rounding),
        writer.reshaped(rounded, row),
        writer.convolution(row, *_choosing(place, gray, mark), np.ones(1), seen),
        writer.reshaped(seen, apart),
        writer.convolution(apart, kernels, bias, scales, result, first.builtinOptions),
        writer.reshaped(result, rounding.outputs[0]),
    ]


def _height(graph: schema.SubGraphT, image: int) -> int:
    return int(graph.tensors[image].shape[1])


def _middle(pixels: np.ndarray, level: np.ndarray) -> int:
    """The gray p for which w (s p + b) is nearest to 0 over all taps, 0..254: a mark is above 0."""
    energy = (pixels**2).sum()
    return int(np.clip(np.round(-(pixels * level).sum() / energy), 0, 254)) if energy else 0


def _mark(pixels: np.ndarray, rest: np.ndarray, gray: int) -> int:
    """The mark v that makes its weights about as large as those of the pixels."""
    largest = np.abs(pixels).max(axis=(1, 2))
    shares = np.abs(rest).max(axis=(1, 2))[largest > 0] / largest[largest > 0]
    return int(np.clip(np.ceil(max(shares, default=1)), 1, 255 - gray))


def _kernels(
    pixels: np.ndarray, marks: np.ndarray, bias: np.ndarray, place: _Place
) -> tuple[np.ndarray, np.ndarray]:
    """Kernels (2 filters, rows, 1, 2 span) of a pair, whole numbers, and the filters' scales."""
    filters, rows, taps = pixels.shape
    kernels = np.zeros((_PAIR, filters, rows, 1, 2, place.span))
    for output in range(_PAIR):
        at = slice(output * place.stride, output * place.stride + taps)
        kernels[output, :, :, 0, 0, at] = pixels
        kernels[output, :, :, 0, 1, at] = marks
    pair = kernels.reshape(_PAIR * filters, rows, 1, -1)
    largest = np.abs(pair).max(axis=(1, 2, 3))
    # A filter of zeros needs a scale, too, and its bias has to fit into 32 bits.
    least = np.maximum(largest.max() * 1e-6 or 1.0, np.abs(bias) * 1e-5)
    scales = np.maximum(largest, least) / _LARGEST
    return np.round(pair / scales[:, None, None, None]), scales


def _choosing(place: _Place, gray: int, mark: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel (pairs 2 span, 1, 1, columns) and bias that give each pair its pixels and marks."""
    pairs = place.width // _PAIR
    start = np.arange(pairs)[:, None] * _PAIR * place.stride - place.before
    column = start + np.arange(place.span)  # (pairs, span), negative or too large outside
    inside = (column >= 0) & (column < place.columns)
    kernel = np.zeros((pairs, 2, place.span, place.columns))
    kernel[:, 0] = (column[..., None] == np.arange(place.columns)).astype(float)
    bias = np.stack([inside * -gray, inside * mark], axis=1)
    return kernel.reshape(-1, 1, 1, place.columns), bias.reshape(-1)
