"""The kind of an `.onnx` file's output, read from its graph."""

from __future__ import annotations

from pathlib import Path

from keras_kd.models.heads import OutputKind
from keras_kd.runtimes import _graph_tail
from keras_kd.runtimes._graph_tail import Step


def output_kind(path: str | Path, output: str) -> OutputKind:
    """Find out from the graph of what kind an output is.

    Args:
        path: a file that ONNX Runtime loads.
        output: the output's name.

    Returns:
        As `models.heads.output_kind`.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    makers = {
        name: Step(node.op_type, tuple(one for one in node.input if one not in constants))
        for node in graph.node
        for name in node.output
        if name not in constants
    }
    return _graph_tail.output_kind(output, makers.get)
