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


class _Graph:
    """The operators of a signature and of the functions that it calls."""

    def __init__(self, signature: Any) -> None:
        definition = signature.graph.as_graph_def()
        self._functions = {one.signature.name: one for one in definition.library.function}
        self._nodes = {
            name: {node.name: node for node in one.node_def}
            for name, one in self._functions.items()
        }
        self._nodes[""] = {node.name: node for node in definition.node}

    def maker(self, tensor: _Tensor) -> Step | None:
        """The operator that computes a tensor, of whose inputs constants are left out; None of a
        constant.
        """
        # Constants among the inputs of one operator alone are looked for: those of all before it
        # would take twice as long with every branch of a residual network.
        step = self._step(tensor)
        if step is None:
            return None
        return Step(step.operation, tuple(one for one in step.inputs if not self._is_constant(one)))

    def _is_constant(self, tensor: _Tensor) -> bool:
        """Whether a tensor is a constant or a variable, behind operators that copy it."""
        step = self._step(tensor)
        while step is not None and step.operation == "Identity" and step.inputs:
            step = self._step(step.inputs[0])
        return step is None

    def _step(self, tensor: _Tensor) -> Step | None:
        """The operator that computes a tensor; calls of functions count as copies."""
        own = self._functions.get(tensor.function)
        name, *place = tensor.name.lstrip("^").split(":")
        arguments = [one.name for one in own.signature.input_arg] if own else []
        if name in arguments and tensor.caller is not None:
            call = self._nodes[tensor.caller.function][tensor.caller.name]
            given = call.input[arguments.index(name)]
            return Step("Identity", (_Tensor(tensor.caller.function, given, tensor.caller.caller),))
        node = self._nodes[tensor.function].get(name)
        if node is None or node.op in _CONSTANTS:
            return None
        if node.op in _CALLS:
            called = self._functions[node.attr["f"].func.name]
            result = called.signature.output_arg[int(place[-1]) if place else 0].name
            caller = _Tensor(tensor.function, name, tensor.caller)
            return Step("Identity", (_Tensor(called.signature.name, called.ret[result], caller),))
        return Step(
            node.op, tuple(_Tensor(tensor.function, one, tensor.caller) for one in node.input)
        )


def output_kind(signature: Any, head: str) -> OutputKind:
    """Tell what the numbers of an output are, see `models.heads.output_kind`.

    Args:
        signature: TensorFlow's concrete function.
        head: name of the output.
    """
    # A loaded signature has its outputs' names separate from its tensors, in sorted order.
    tensors = dict(zip(sorted(signature.structured_outputs), signature.outputs, strict=True))
    return _graph_tail.output_kind(_Tensor("", tensors[head].name), _Graph(signature).maker)
