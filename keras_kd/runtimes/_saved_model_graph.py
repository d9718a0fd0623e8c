"""The kind of a SavedModel's output, from the graph of its signature and the functions called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_kd.models.output_kinds import OutputKind
from keras_kd.runtimes import _graph_tail
from keras_kd.runtimes._graph_tail import Step

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_CONSTANTS = {"Const", "ReadVariableOp", "VarHandleOp", "Placeholder"}


@dataclass(frozen=True)
class _Tensor:
    """A tensor by its name in a function, whose caller is a node in a function above."""

    function: str
    name: str
    caller: _Tensor | None = None


def output_kind(signature: Any, head: str) -> OutputKind:
    """Tell what the numbers of an output are, see `models.heads.output_kind`.

    Args:
        signature: TensorFlow's concrete function.
        head: name of the output.
    """
    definition = signature.graph.as_graph_def()
    functions = {one.signature.name: one for one in definition.library.function}
    nodes = {name: {node.name: node for node in one.node_def} for name, one in functions.items()}
    nodes[""] = {node.name: node for node in definition.node}

    def made(tensor: _Tensor) -> Step | None:
        own = functions.get(tensor.function)
        name, *place = tensor.name.lstrip("^").split(":")
        arguments = [one.name for one in own.signature.input_arg] if own else []
        if name in arguments and tensor.caller is not None:
            call = nodes[tensor.caller.function][tensor.caller.name]
            given = call.input[arguments.index(name)]
            return Step("Identity", (_Tensor(tensor.caller.function, given, tensor.caller.caller),))
        node = nodes[tensor.function].get(name)
        if node is None or node.op in _CONSTANTS:
            return None
        if node.op in _CALLS:
            called = node.attr["f"].func.name
            result = functions[called].signature.output_arg[int(place[-1]) if place else 0].name
            inside = _Tensor(called, functions[called].ret[result],
                             _Tensor(tensor.function, name, tensor.caller))  # fmt: skip
            return Step("Identity", (inside,))
        inputs = (_Tensor(tensor.function, one, tensor.caller) for one in node.input)
        return Step(node.op, tuple(inputs))

    def constant(tensor: _Tensor) -> bool:
        """Whether a tensor is a constant or a variable, behind operators that copy it."""
        step = made(tensor)
        while step is not None and step.operation == "Identity" and step.inputs:
            step = made(step.inputs[0])
        return step is None

    # Constants among the inputs of one operator alone are looked for: those of all before it would
    # take twice as long with every branch of a residual network.
    def maker(tensor: _Tensor) -> Step | None:
        step = made(tensor)
        if step is None:
            return None
        return Step(step.operation, tuple(one for one in step.inputs if not constant(one)))

    # A loaded signature has its outputs' names separate from its tensors, in sorted order.
    tensors = dict(zip(sorted(signature.structured_outputs), signature.outputs, strict=True))
    output = _Tensor("", tensors[head].name)
    return _graph_tail.output_kind(output, maker)
