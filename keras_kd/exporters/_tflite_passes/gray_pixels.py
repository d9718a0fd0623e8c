"""Gray from RGB in float32, in place of the converted graph's whole numbers.

LiteRT's code for GPUs takes constants of whole numbers for zeros, so it gave black images. The sum
of weights and pixels takes 24 bits, as many as float32 has: a 1x1 convolution gives the same to the
last bit, in a fifth of the time. It is written into the finished file, because a converter would
round its weights.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.exporters._front_end import LUMA_BITS, LUMA_WEIGHTS
from keras_kd.exporters._tflite_passes.first_convolution import readers
from keras_kd.exporters._tflite_passes.graph_writer import GraphWriter, operator_number
from keras_kd.runtimes.tflite_file import packed, unpacked

_WHOLE = schema.TensorType.INT32
# The steps of `_front_end` from the pixels to the gray image, with the constant of each.
_STEPS = (
    (schema.BuiltinOperator.CAST, ()),
    (schema.BuiltinOperator.MUL, LUMA_WEIGHTS),
    (schema.BuiltinOperator.SUM, (3,)),
    (schema.BuiltinOperator.ADD, (1 << (LUMA_BITS - 1),)),
    (schema.BuiltinOperator.DIV, (1 << LUMA_BITS,)),
)


def with_float_gray(content: bytes) -> bytes:
    """Return a `.tflite` file's bytes with its gray image computed in float32.

    Args:
        content: the file, without archives at its end.

    Returns:
        The file; `content` itself where it makes no gray image of RGB.
    """
    model = unpacked(content)
    graph = model.subgraphs[0]
    steps = _steps(model, graph)
    if not steps:
        return content
    image, gray = steps[0].inputs[0], steps[-1].outputs[0]
    writer = GraphWriter(model, graph)
    pixels = writer.floats(tuple(graph.tensors[image].shape))
    sums = writer.floats(tuple(graph.tensors[gray].shape))
    kernel = np.array(LUMA_WEIGHTS).reshape(1, 1, 1, 3) / (1 << LUMA_BITS)
    place = graph.operators.index(steps[0])
    graph.operators = [one for one in graph.operators if one not in steps]
    graph.operators[place:place] = [
        writer.cast(image, pixels),
        writer.float_convolution(pixels, kernel, np.array([0.5]), sums),
        writer.cast(sums, gray),  # to whole numbers, which rounds down
    ]
    return packed(model)


def _steps(model: schema.ModelT, graph: schema.SubGraphT) -> list[schema.OperatorT]:
    """Return the operators of _STEPS, each read by the next alone; none if the graph lacks them."""
    found: list[schema.OperatorT] = []
    tensor = graph.inputs[0]
    for number, constant in _STEPS:
        one = next((one for one in graph.operators if tensor in one.inputs), None)
        if one is None or operator_number(model, one) != number or readers(graph, tensor) > 1:
            return []
        others = [index for index in one.inputs if index != tensor]
        if [_values(model, graph, other) for other in others] != [constant] * bool(constant):
            return []
        found.append(one)
        tensor = one.outputs[0]
    return found


def _values(model: schema.ModelT, graph: schema.SubGraphT, index: int) -> tuple[int, ...]:
    """A constant's whole numbers, one of a row of equal ones; none of what is computed."""
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type != _WHOLE:
        return ()
    values = tuple(np.asarray(data, np.uint8).view(np.int32).tolist())
    return values[:1] if len(set(values)) == 1 else values
