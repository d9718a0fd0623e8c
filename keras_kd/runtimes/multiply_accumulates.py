"""Multiply-accumulates of a model's convolutions and matrix products, for one image.

Every tap counts, including those that only meet padding, as in papers; `live_taps` is the share of
the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.datasets.images import MAX_PIXELS
from keras_kd.runtimes import tflite_file, tflite_graph
from keras_kd.runtimes.tflite_graph import Operator, Tensor

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_SAME = 0  # of schema.fbs, enum Padding
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_WEIGHTED = (*_CONVOLUTIONS, "FULLY_CONNECTED", "BATCH_MATMUL", "TRANSPOSE_CONV")


def of_model(model: keras.Model) -> int:
    """Count the multiply-accumulates of a Keras model, from the shapes in its TensorFlow graph.

    The bodies of its loops, as of an LSTM, count once.

    Args:
        model: has one input of fixed shape.

    Returns:
        The number for one image.
    """
    import tensorflow as tf

    specification = tf.TensorSpec((1, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    # Keras traces its layers without AutoGraph too, which would read and rewrite their code.
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    with _one_graph():
        graph = function.get_concrete_function(specification).graph
    return sum(_of_operation(operation) for operation in graph.get_operations())


@contextmanager
def _one_graph() -> Iterator[None]:
    """Trace what Keras compiles on its own, as convolutions of several groups, in its place."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _of_operation(operation: tf.Operation) -> int:
    if operation.type == "Conv2D":
        height, width, channels, _ = operation.inputs[1].shape
        return operation.outputs[0].shape.num_elements() * height * width * channels
    if operation.type == "DepthwiseConv2dNative":
        height, width, _, _ = operation.inputs[1].shape
        return operation.outputs[0].shape.num_elements() * height * width
    if operation.type == "Conv2DBackpropInput":
        # Each input pixel is spread over the whole kernel: the input counts, not the output.
        height, width, channels, _ = operation.inputs[1].shape
        return operation.inputs[2].shape.num_elements() * height * width * channels
    if operation.type in ("MatMul", "BatchMatMulV2", "BatchMatMulV3"):  # the last of integers
        transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
        return (
            operation.outputs[0].shape.num_elements()
            * operation.inputs[0].shape[-2 if transposed else -1]
        )
    if operation.type == "Einsum":
        return _of_einsum(operation)
    return 0


def _of_einsum(operation: tf.Operation) -> int:
    """Each combination of the letters is one product."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes = {
        letter: size
        for term, tensor in zip(terms, operation.inputs, strict=True)
        for letter, size in zip(term, tensor.shape, strict=True)
    }
    return math.prod(sizes.values())


def of_tflite(path: str | Path) -> int:
    """Count the multiply-accumulates of the graph that a `.tflite` file serves.

    The bodies of its loops and branches count once.

    Args:
        path: the file.

    Returns:
        The number for one image.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    operators = tflite_graph.read(path, "run")
    with tflite_file.damage_reported(path):
        return sum(_of_operator(operator) for operator in operators)


def _of_operator(operator: Operator) -> int:
    if operator.name not in _WEIGHTED:
        return 0
    output = operator.outputs[0].size
    weights = operator.inputs[1].shape
    if operator.name == "CONV_2D":
        # Kernels lie as (outputs, height, width, inputs) there, depthwise ones as (1, height,
        # width, outputs).
        return output * math.prod(weights[1:])
    if operator.name == "DEPTHWISE_CONV_2D":
        return output * weights[1] * weights[2]
    if operator.name == "TRANSPOSE_CONV":
        # Each input pixel is spread over the whole kernel: the input counts, not the output.
        return operator.inputs[2].size * weights[0] * weights[1] * weights[2]
    return output * operator.inputs[0].shape[-1]


def parameters(path: str | Path) -> int:
    """Count the weights and biases of the convolutions and matrix products in the graph that a
    `.tflite` file serves.

    Args:
        path: the file.

    Returns:
        The number.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    operators = tflite_graph.read(path, "run")
    with tflite_file.damage_reported(path):
        return _parameters(operators)


def _parameters(operators: list[Operator]) -> int:
    # float16 weights go through a DEQUANTIZE, which the runtime folds.
    constant = {
        _place(operator.outputs[0])
        for operator in operators
        if operator.name == "DEQUANTIZE" and _is_constant(operator)
    }
    tensors = {
        _place(tensor): tensor.size
        for operator in operators
        if operator.name in _WEIGHTED
        for tensor in operator.inputs
        if tensor.values is not None or _place(tensor) in constant
    }
    return sum(tensors.values())


def _place(tensor: Tensor) -> tuple[int, int]:
    return tensor.graph, tensor.index


def _is_constant(operator: Operator) -> bool:
    return operator.inputs[0].values is not None


def live_taps(path: str | Path) -> float:
    """Return the share of a `.tflite` file's convolution weights that ever meet anything but zero
    padding.

    Args:
        path: the file.

    Returns:
        The share, 0..1.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    operators = tflite_graph.read(path, "run")
    with tflite_file.damage_reported(path):
        return _live_taps(operators)


def _live_taps(operators: list[Operator]) -> float:
    padded = {
        _place(operator.outputs[0]): operator for operator in operators if operator.name == "PAD"
    }
    shares = [
        (_live_share(operator, padded.get(_place(operator.inputs[0]))), operator.inputs[1].size)
        for operator in operators
        if operator.name in _CONVOLUTIONS
    ]
    weights = sum(size for _, size in shares)
    return sum(share * size for share, size in shares) / weights if weights else 1.0


def _live_share(operator: Operator, pad: Operator | None) -> float:
    share = 1.0
    for axis, stride in ((1, operator.options.StrideH()), (2, operator.options.StrideW())):
        kernel, size = operator.inputs[1].shape[axis], operator.inputs[0].shape[axis]
        before, real = _padding(operator, pad, axis, kernel, stride, size)
        outputs = operator.outputs[0].shape[axis]
        # A damaged file may declare any size, and the next line would fill memory.
        if outputs * kernel > MAX_PIXELS:
            raise ValueError(f"{outputs} places of {kernel} taps are more than any image has")
        positions = np.arange(outputs)[:, None] * stride + np.arange(kernel) - before
        share *= ((positions >= 0) & (positions < real)).any(axis=0).mean()
    return share


def _padding(
    operator: Operator, pad: Operator | None, axis: int, kernel: int, stride: int, size: int
) -> tuple[int, int]:
    """Return how many zeros stand before the real positions, and how many real positions there
    are.
    """
    if operator.options.Padding() == _SAME:
        return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) // 2, size
    if pad is not None and pad.inputs[1].values is not None:
        before, after = _amounts(pad.inputs[1])[axis]
        return int(before), size - int(before) - int(after)
    return 0, size


def _amounts(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.values.tobytes(), np.int32).reshape(tensor.shape)
