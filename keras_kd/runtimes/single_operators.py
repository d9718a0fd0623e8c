"""The operators of a `.tflite` file, each as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from keras_kd.runtimes import tflite_file


def files(path: str | Path) -> Iterator[bytes]:
    """Yield a file for each operator of the main graph, in the order they run.

    Inputs are the tensors that other operators or the app give; constants stay.

    Args:
        path: the `.tflite` file.

    Yields:
        The files' bytes.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    content = tflite_file.content(path)
    with tflite_file.damage_reported(path):
        count = schema.Model.GetRootAs(content, 0).Subgraphs(0).OperatorsLength()
        for number in range(count):
            yield _alone(content, number)


def _alone(content: bytes, number: int) -> bytes:
    model = tflite_file.unpacked(content)
    graph = model.subgraphs[0]
    operator = graph.operators[number]
    graph.operators = [operator]
    graph.inputs = list(dict.fromkeys(i for i in operator.inputs if _is_given(model, graph, i)))
    graph.outputs = list(operator.outputs)
    model.signatureDefs = model.metadata = None
    if len(model.subgraphs) == 1:  # else bodies of loops may read any buffer
        _forget_others(model, graph, {*operator.inputs, *operator.outputs})
    return tflite_file.packed(model)


def _is_given(model: schema.ModelT, graph: schema.SubGraphT, index: int) -> bool:
    return bool(index >= 0 and model.buffers[graph.tensors[index].buffer].data is None)


def _forget_others(model: schema.ModelT, graph: schema.SubGraphT, kept: set[int]) -> None:
    used = {graph.tensors[index].buffer for index in kept if index >= 0}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None


def smallest() -> bytes:
    """Return a file that adds a number to itself, whose time is that of calling a file."""
    model, graph, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version, model.version = 1, 3
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT()
    operator.inputs, operator.outputs = [0, 0], [1]
    graph.tensors = [schema.TensorT(shape=[1, 1, 1, 1], name=name) for name in (b"in", b"out")]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.buffers, model.operatorCodes, model.subgraphs = [schema.BufferT()], [code], [graph]
    return tflite_file.packed(model)
