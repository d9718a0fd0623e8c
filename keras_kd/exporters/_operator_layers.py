"""Which Keras layer an operator of a `.tflite` file comes from, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import keras

from keras_kd.models.surgery.keras_internals import Functional, all_layers, layer_of


def layers_of(tensor: str, model: keras.Model) -> set[str]:
    """Return the names of the layers in a tensor's name; several if they were fused.

    TensorFlow's scopes are the layers' names, each with a number where it was used before.
    """
    names = {layer.name for layer in all_layers(model) if layer is not model}
    found = set()
    for part in tensor.split(";"):
        scopes = part.split("/")
        counted = bool(scopes) and scopes[0] != model.name
        known = [name for scope in scopes if (name := _layer(scope, names, counted))]
        found |= set(known[-1:])
    if not found and tensor.startswith("StatefulPartitionedCall"):
        # The file's output is named after the call of the whole graph.
        return {layer_of(output).name for output in model.outputs}
    return found


def operations_with(kinds: Collection[str], model: keras.Model) -> list[str]:
    """Return the operations of `keras.ops` in a model's graph that compute by some of TensorFlow's
    operators. They are in no layer, so that no scope of a tensor tells of them.

    Args:
        kinds: the operators, e.g. FFT2D.
        model: with a graph.

    Returns:
        A phrase for each, with the layer before it.
    """
    import tensorflow as tf

    found = []
    graphs = [layer for layer in all_layers(model) if isinstance(layer, Functional)]
    for operation in (one for graph in graphs for one in graph.operations):
        if not isinstance(operation, keras.Layer):
            given = {id(one): one for one in keras.tree.flatten(operation.input)}  # x * x has one
            alone = keras.Function([*given.values()], operation.output)
            specifications = [tf.TensorSpec(one.shape, one.dtype) for one in alone.inputs]
            traced = tf.function(alone).get_concrete_function(specifications)
            if any(node.type in kinds for node in traced.graph.get_operations()):
                found.append(f"the operation {operation.name} behind {_layer_before(operation)}")
    return found


def _layer_before(operation: keras.Operation) -> str:
    while not isinstance(operation, keras.Layer):
        operation = layer_of(keras.tree.flatten(operation.input)[0])
    return operation.name


def _layer(scope: str, names: set[str], counted: bool) -> str | None:
    shorter = re.sub(r"_\d+$", "", scope)
    order = (shorter, scope) if counted else (scope, shorter)
    return next((name for name in order if name in names), None)


def tensors_of(layers: Iterable[str], tensors: Iterable[str], model: keras.Model) -> list[str]:
    """Return those tensors that come from the layers."""
    chosen = set(layers)
    return [tensor for tensor in tensors if layers_of(tensor, model) & chosen]
