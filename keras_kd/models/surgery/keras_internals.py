"""All uses of Keras' names that are not public, each with its reason.

tests/models/test_keras_internals.py fails when a Keras release changes one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.backend.common import global_state

from keras_kd.errors import KerasKDError

# Around what is raised in a `call`, Keras writes its arguments, unless it has done so before.
KerasKDError._keras_call_info_injected = True  # type: ignore[attr-defined]
# Functional has no public name, and keras.Model says nothing of whether a graph is known.
Functional: type[keras.Model] = keras.src.models.Functional
# Models whose layers and their connections can be read.
GRAPHS = (keras.Sequential, Functional)


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model that computes the graph of its layers, and nothing else.

    Args:
        layer: any layer, model or operation.

    Returns:
        True for Functional and Sequential models; False for those of a class with a `call` of its
            own, which may compute more.
    """
    return isinstance(layer, GRAPHS) and type(layer).call in [graph.call for graph in GRAPHS]


def is_of_keras(thing: Any) -> bool:
    """Whether Keras defines the class of something.

    Args:
        thing: any layer, operation or metric.

    Returns:
        False for classes of anybody else, also for those derived from one of Keras.
    """
    return type(thing).__module__.startswith("keras.")


def is_of_keras_or_keras_kd(layer: Any) -> bool:
    """Whether Keras or this library defines the class of a layer, so that its name alone tells what
    it computes.

    Args:
        layer: any layer or operation.

    Returns:
        False for classes of anybody else.
    """
    return type(layer).__module__.startswith(("keras.", "keras_kd."))


def is_native_layer(kind: Any) -> bool:
    """Whether a class is a layer of Keras that computes with Keras' own operations.

    Args:
        kind: any class.

    Returns:
        False for classes of anybody else, and for those of Keras that call a SavedModel or a module
            of JAX or torch: TFSMLayer, JaxLayer, FlaxLayer and TorchModuleWrapper.
    """
    return getattr(kind, "__module__", "").startswith("keras.src.layers.")


def producer(tensor: keras.KerasTensor) -> tuple[Any, int, int]:
    """Return the source of a symbolic tensor.

    Args:
        tensor: a symbolic tensor.

    Returns:
        The layer or operation, the number of its call, and the tensor's place among the call's
            outputs.
    """
    history = tensor._keras_history
    return history.operation, history.node_index, history.tensor_index


def layer_of(tensor: keras.KerasTensor) -> Any:
    """Return the layer or operation that computes a symbolic tensor.

    Args:
        tensor: a symbolic tensor.

    Returns:
        The layer or operation.
    """
    return producer(tensor)[0]


def calls(layer: Any) -> list[Any]:
    """Return the calls (Keras' nodes) of a layer or operation, in any model.

    Args:
        layer: the layer or operation.

    Returns:
        Calls, which have `input_tensors`, `output_tensors` and `arguments`.
    """
    return list(layer._inbound_nodes)


def readers(layer: Any) -> list[Any]:
    """Return the layers and operations that use the outputs of a layer.

    Args:
        layer: the layer or operation.

    Returns:
        One entry for each call.
    """
    return [call.operation for call in layer._outbound_nodes]


def calls_in_order(model: keras.Model) -> list[Any]:
    """Return the calls of a Functional model, each after those that it depends on.

    Args:
        model: Functional.

    Returns:
        Calls as those of `calls`.
    """
    return [call for depth in sorted(model._nodes_by_depth, reverse=True)
            for call in model._nodes_by_depth[depth]]  # fmt: skip


def is_masked(tensor: keras.KerasTensor) -> bool:
    """Whether Keras leaves out places of a symbolic tensor in its losses and metrics.

    Args:
        tensor: a symbolic tensor.

    Returns:
        True for what a Masking layer, or an Embedding with `mask_zero`, leads to.
    """
    return getattr(tensor, "_keras_mask", None) is not None


def all_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Iterate over a layer and all layers inside it, at any depth.

    Args:
        layer: a layer or model, of any author.

    Yields:
        Each layer.
    """
    return iter(layer._flatten_layers())


def metrics_of_outputs(model: keras.Model, labels: Any, outputs: Any) -> list[list[Any]]:
    """Return the metrics that a model was compiled with, made now if they have only names yet.

    Args:
        model: a compiled model.
        labels: of one batch, in the structure of the outputs.
        outputs: the model's, an array or a dict.

    Returns:
        A list for each output, in the order of their sorted names, with those of weighted_metrics
            last.
    """
    compiled = model._compile_metrics
    if compiled is None:
        return []
    if not compiled.built:
        compiled.build(labels, outputs)
    pairs = zip(compiled._flat_metrics, compiled._flat_weighted_metrics, strict=True)
    return [[one for part in pair if part for one in part.metrics] for pair in pairs]


def metric_function(metric: keras.metrics.Metric) -> Any:
    """Return what a metric is the mean of.

    Args:
        metric: any.

    Returns:
        A function or a loss of Keras; None for metrics that are no such mean.
    """
    return metric._fn if isinstance(metric, keras.metrics.MeanMetricWrapper) else None


class WithoutDecay(keras.optimizers.Optimizer):
    """A Keras optimizer that leaves its `weight_decay` to a subclass."""

    def _apply_weight_decay(self, variables: Any) -> None:
        """Decay nothing, before each step, in Keras' own way."""


def is_decayed(optimizer: keras.optimizers.Optimizer, variable: Any) -> bool:
    """Whether an optimizer's weight decay is of a variable.

    Args:
        optimizer: any.
        variable: of Keras or of its backend.

    Returns:
        False for those that `exclude_from_weight_decay` names.
    """
    return optimizer._use_weight_decay(variable)


@contextmanager
def no_memory_for_weights() -> Iterator[None]:
    """Make models created in this block keep only the shapes of weights; assigned weights are
    checked and discarded.
    """
    waiting = list(global_state.get_global_attribute("uninitialized_variables", []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Or Keras would give them memory at the end of its next such scope.
        global_state.set_global_attribute("uninitialized_variables", waiting)
