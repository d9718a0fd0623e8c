"""The heads of a model: its outputs by name, each with the logits of classes or one continuous
value.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_kd.errors import ModelError
from keras_kd.models.output_kinds import VALUES, OutputKind, are_softmax_twice, kind_of_values
from keras_kd.models.surgery.keras_internals import (
    GRAPHS,
    all_layers,
    calls,
    is_graph,
    is_native_layer,
    producer,
)

_ROWS = 16
_OPEN_SIZE = 4  # stands for a size that the model leaves open


def names(model: keras.Model) -> list[str]:
    """Return the names of a model's heads.

    Args:
        model: any Keras model with known outputs.

    Returns:
        `logits` for one output, or `probabilities` if it ends in a softmax; else the names of the
            outputs.
    """
    outputs = structure(model)
    if isinstance(outputs, dict):
        return list(outputs)
    if len(model.outputs) > 1:
        return _distinct(model.output_names)
    return ["probabilities" if output_kind(model) == "probabilities" else "logits"]


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with a number after those that were there before: two outputs of one layer
    have its name.
    """
    distinct: list[str] = []
    for name in names:
        others = (f"{name}_{number}" for number in itertools.count(1))
        distinct.append(
            name
            if name not in distinct
            else next(other for other in others if other not in distinct and other not in names)
        )
    return distinct


def by_name(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Return a model's outputs by the names of its heads.

    Args:
        model: the model.
        outputs: arrays or tensors as the model returned them.

    Returns:
        The outputs by name.
    """
    if isinstance(outputs, dict):
        return outputs
    return dict(zip(names(model), keras.tree.flatten(outputs), strict=True))


def widths(model: keras.Model) -> dict[str, int]:
    """Return the number of columns of each head.

    Args:
        model: a model with known outputs.

    Returns:
        By name, the number of classes, or 1 for a continuous value, also one without an axis of its
            own.
    """
    shapes = {name: output.shape for name, output in by_name(model, structure(model)).items()}
    return {name: int(shape[-1]) if len(shape) > 1 else 1 for name, shape in shapes.items()}


def structure(model: keras.Model) -> Any:
    """Return the symbolic output of a model.

    Args:
        model: Functional, or Sequential and built.

    Returns:
        One tensor, or several in the structure in which the model returns them.
    """
    # A Sequential model that was only built has outputs, but no `output`.
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def has_graph(model: keras.Model) -> bool:
    """Whether a model has known inputs and outputs before it is called.

    Args:
        model: any Keras model.

    Returns:
        True for Functional models and for Sequential ones that are built.
    """
    return isinstance(model, GRAPHS) and bool(model.built)


def computes_its_graph(model: keras.Model) -> bool:
    """Whether a model has a graph and its call computes that graph, nothing else.

    Args:
        model: any Keras model.

    Returns:
        False without a graph, and where a class of one's own has a `call` beside it.
    """
    return is_graph(model) and bool(model.built)


def output_kind(model: keras.Model, head: str | None = None) -> OutputKind:
    """Find out from a model's graph of what kind an output is.

    The layers after the last one with weights (activations, reshapes, averages, nested models) are
    computed on random numbers, and the results show the kind. The weights have no influence, and no
    image is needed.

    Args:
        model: any Keras model.
        head: name of the output; None for the classes, the first output with several columns.

    Returns:
        "logits": any numbers, as of a layer without activation; "probabilities": rows in 0..1 that
            sum to 1 (softmax); "log-probabilities": their logarithms, which serve as logits;
            "sigmoids": each number in 0..1 on its own; "unknown": other activations, subclassed
            models and layers of others; then use `output_kinds.kind_of_values`.
    """
    values = _values_of_tail(model, head)
    if values is None:
        return "unknown"
    kind = kind_of_values(values)
    if kind == "undecided":  # The random numbers are far from 0..1, so something bounds them.
        return "sigmoids"
    return "logits" if kind == "unknown" and values.min() < -1 and values.max() > 1 else kind


def takes_softmax_twice(model: keras.Model, head: str | None = None) -> bool:
    """Whether the end of a model's graph takes softmax of probabilities.

    Args:
        model: any Keras model.
        head: as for `output_kind`.

    Returns:
        False also where the graph does not show it.
    """
    values = _values_of_tail(model, head)
    return values is not None and are_softmax_twice(values)


def _values_of_tail(model: keras.Model, head: str | None) -> np.ndarray | None:
    """What the end of a graph makes of random numbers, see `output_kind`; None where unknown."""
    if not computes_its_graph(model):
        return None
    tensor = class_output(model) if head is None else by_name(model, structure(model))[head]
    try:
        with _outside_of_tracing():
            return keras.ops.convert_to_numpy(_Tail().value(tensor, None)).astype("float32")
    except Exception:  # Foreign operations may raise anything; then the kind is unknown.
        return None


def gives_one_number(model: keras.Model) -> bool:
    """Whether a model has one output of one column: a value, or one logit or sigmoid of two
    classes.

    Args:
        model: a model with known outputs.

    Returns:
        True for one column.
    """
    return list(widths(model).values()) == [1]


def separates_two_classes(model: keras.Model, class_names: Sequence[str] | None) -> bool:
    """Whether the one number that a model gives tells two classes apart.

    Args:
        model: a model with known outputs.
        class_names: as far as they are named.

    Returns:
        True where two classes are named, or where none are and the number is a sigmoid; False for
            continuous values and all other models.
    """
    if not gives_one_number(model) or len(model.outputs[0].shape) != 2:
        return False
    if class_names is not None:
        return len(class_names) == 2
    return output_kind(model) == "sigmoids" and names(model)[0] not in VALUES


def in_two_columns(model: keras.Model, kind: OutputKind) -> keras.Model:
    """Return a binary classifier of one logit or one sigmoid as one of two classes.

    Args:
        model: Functional or Sequential; its output is a logit z, or the probability p of the second
            class.
        kind: "logits" or "sigmoids", accordingly.

    Returns:
        A model around it that gives (0, z), whose softmax is (1 - σ(z), σ(z)), or (1 - p, p).
    """
    output = model.outputs[0]
    first = 1 - output if kind == "sigmoids" else 0 * output
    columns = keras.layers.Concatenate(name="two_classes")([first, output])
    return keras.Model(model.inputs[0], columns, name=model.name)


class _Tail:
    """Computes tensors of a graph from random numbers in place of what layers with weights give."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._values: dict[tuple[int, int], Any] = {}
        self._scopes: dict[tuple[int, int], dict[int, Any]] = {}

    def value(self, tensor: keras.KerasTensor, scope: dict[int, Any] | None) -> Any:
        """Return a value of a tensor; `scope` maps a nested model's inputs to tensors outside of
        it.
        """
        key = (id(tensor), id(scope))
        if key not in self._values:
            self._values[key] = self._computed(tensor, scope)
        return self._values[key]

    def _computed(self, tensor: keras.KerasTensor, scope: dict[int, Any] | None) -> Any:
        if scope and id(tensor) in scope:
            return self.value(*scope[id(tensor)])
        operation, node_index, tensor_index = producer(tensor)
        node = calls(operation)[node_index]
        if computes_its_graph(operation):
            return self.value(operation.outputs[tensor_index], self._inside(node, scope))
        if getattr(operation, "weights", []) or isinstance(operation, keras.layers.InputLayer):
            return self._drawn(operation, tensor)
        arguments, options = node.arguments.fill_in(
            {id(one): self.value(one, scope) for one in node.input_tensors}
        )
        return keras.tree.flatten(operation(*arguments, **options))[tensor_index]

    def _inside(self, node: Any, scope: dict[int, Any] | None) -> dict[int, Any]:
        key = (id(node), id(scope))
        if key not in self._scopes:
            pairs = zip(node.operation.inputs, node.input_tensors, strict=False)
            self._scopes[key] = {id(inner): (outer, scope) for inner, outer in pairs}
        return self._scopes[key]

    def _drawn(self, operation: Any, tensor: keras.KerasTensor) -> Any:
        layer = operation
        while is_native_layer(type(layer)) and isinstance(layer, keras.layers.Wrapper):
            layer = layer.layer
        activation = getattr(layer, "activation", None)
        if not is_native_layer(type(layer)) or set(all_layers(layer)) - {layer, activation}:
            raise ModelError(f"The outputs of {layer.name} are not known.")
        shape = [_ROWS, *(size or _OPEN_SIZE for size in tensor.shape[1:])]
        # Far beyond 0..1, so that only a softmax or a sigmoid brings numbers in there.
        drawn = keras.ops.cast(self._random.normal(0, 10, shape), tensor.dtype)
        return drawn if activation is None else activation(drawn)


def _outside_of_tracing() -> contextlib.AbstractContextManager:
    """Let numbers be computed at once, also where a function is being traced."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
    if keras.backend.backend() == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    return contextlib.nullcontext()


def class_output(model: keras.Model) -> keras.KerasTensor:
    """Return the first output of several columns, or else the first output.

    Args:
        model: a model with known outputs.

    Returns:
        The tensor.
    """
    return next((output for output in model.outputs if output.shape[-1] != 1), model.outputs[0])
