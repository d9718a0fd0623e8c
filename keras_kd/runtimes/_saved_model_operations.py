"""The operations of a SavedModel, read from its file; only those that compute are allowed."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from keras_kd.errors import ModelError
from keras_kd.models import mistaken_files

# TensorFlow's modules of operations that make tensors of tensors.
_FAMILIES = (
    "array", "bitwise", "image", "linalg", "list", "manip", "math", "nn", "random", "special_math",
    "spectral", "stateless_random", "stateless_random_ops_v2",
)  # fmt: skip
# What an operation's arguments are called where it reaches outside of the graph.
_OUTSIDE = re.compile(
    "file|path|region|prefix|pattern|address|token|container|shared_name|table|func"
)
# Calls, branches and loops, whose functions are looked into; variables; what keeps them apart.
_OTHERS = {
    "Assert", "AssignVariableOp", "Assign", "Case", "CudnnRNN", "CudnnRNNBackpropV3",
    "CudnnRNNV3", "DestroyResourceOp", "DisableCopyOnRead", "Enter", "Exit", "If", "LoopCond",
    "Merge", "NextIteration", "NoOp", "PartitionedCall", "ReadVariableOp", "RefSwitch",
    "ResourceGather", "ResourceGatherNd", "RngReadAndSkip", "StatefulPartitionedCall",
    "StatelessCase", "StatelessIf", "StatelessWhile", "Switch", "VarHandleOp",
    "VarIsInitializedOp", "Variable", "VariableShape", "VariableV2", "While",
}  # fmt: skip
RESTORE = "RestoreV2"
_LOOPS = {"NextIteration", "StatelessWhile", "While"}


@functools.cache
def computing() -> frozenset[str]:
    """Return the names of the operations that a SavedModel may run."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    found = set(_OTHERS)
    for family in _FAMILIES:
        room = family if family.endswith("v2") else f"{family}_ops"
        module = importlib.import_module(f"tensorflow.python.ops.gen_{room}")
        names = [name for name in vars(module) if name[:1].isupper() and hasattr(tf.raw_ops, name)]
        found |= {name for name in names if _stays_inside(op_def_registry.get(name))}
    return frozenset(found)


def _stays_inside(definition: Any) -> bool:
    if definition is None:
        return False
    arguments = [*definition.input_arg, *definition.attr]
    return not any(_OUTSIDE.search(argument.name) for argument in arguments)


def require_computing(folder: str | Path) -> bool:
    """Check everything that loading and running a SavedModel would run; nothing of it is run.

    Args:
        folder: of `saved_model.pb`.

    Returns:
        Whether it has loops, which may never end.

    Raises:
        ModelError: there is no such file, it is damaged, or it holds any other operation.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    mistaken_files.require_saved_model(Path(folder))
    path = Path(folder) / "saved_model.pb"
    for part in (Path(folder) / "variables").glob("*"):
        if not part.is_file():
            raise ModelError(f"{part} is no regular file: export the model again.")
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError(
            f"{path} is cut short or damaged ({error}): export the model again."
        ) from error
    loops = False
    for graph in model.meta_graphs:
        for node in _run(graph):
            loops = loops or node.op in _LOOPS
            if node.op not in computing():
                raise ModelError(
                    f"{folder} holds the operation {node.op} ({node.name}), which isn't known to "
                    "compute alone: export the model without it, e.g. as .tflite or .onnx."
                )
    return loops


def _run(graph: Any) -> Iterator[Any]:
    """All nodes that a part of a SavedModel can run, in its graph and its functions."""
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    nodes = _of_graph(graph) if graph.object_graph_def.ByteSize() else _of_old_graph(graph)
    # TensorFlow may run any function in the place of another that has the same `api_implements`.
    seen = {name for name, one in functions.items() if "api_implements" in one.attr}
    seen |= set(graph.object_graph_def.concrete_functions) & set(functions)
    left = [*nodes, *(node for name in seen for node in functions[name].node_def)]
    while left:
        node = left.pop()
        called = set(_called(node)) & set(functions) - seen
        seen |= called
        left += [inner for name in called for inner in functions[name].node_def]
        if node.op not in functions:
            yield node


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _of_graph(graph: Any) -> list[Any]:
    """The nodes beside the functions of TensorFlow 2, less the two that save and restore a
    training.

    TensorFlow 2 runs none of them when it loads the folder: it restores variables by itself.
    """
    saver = graph.saver_def
    of_saver = {saver.restore_op_name, _name(saver.save_tensor_name)}
    return [node for node in graph.graph_def.node if node.name not in of_saver]


def _of_old_graph(graph: Any) -> list[Any]:
    """The nodes that TensorFlow 1's signatures, initialisers and restoring need.

    Its restoring may read the folder's own variables, whose path TensorFlow feeds in.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    saver = graph.saver_def
    fed = _name(saver.filename_tensor_name)
    restored = {node.name for node in _needed(nodes, [saver.restore_op_name])}
    roots = [saver.restore_op_name, *_named_in(graph)]
    return [
        node
        for node in _needed(nodes, roots)
        if not (node.op == RESTORE and node.name in restored and _name(node.input[0]) == fed)
    ]


def _named_in(graph: Any) -> Iterator[str]:
    for signature in graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            yield _name(tensor.name)
    for collection in graph.collection_def.values():
        yield from (_name(name) for name in collection.node_list.value)


def _needed(nodes: dict[str, Any], roots: Iterable[str]) -> list[Any]:
    reached = {root for root in roots if root in nodes}
    left = list(reached)
    while left:
        sources = {_name(source) for source in nodes[left.pop()].input} & set(nodes) - reached
        reached |= sources
        left += sources
    return [nodes[name] for name in reached]


def _name(tensor: str) -> str:
    """A node's name in that of its output, e.g. save/Const of save/Const:0 or ^save/Const."""
    return tensor.removeprefix("^").partition(":")[0]
