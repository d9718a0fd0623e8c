"""A model's outputs by name: its heads, each with logits of classes or one continuous value."""

from __future__ import annotations

from typing import Any

import keras

from keras_kd import weights
from keras_kd.errors import ModelError

# What `keras.ops.softmax` leaves in a graph; Keras has no public name for it.
_SOFTMAX = keras.src.ops.nn.Softmax


def names(model: keras.Model) -> list[str]:
    """Return `logits` (or `probabilities`, after a softmax) for one output, else the names of the heads."""
    outputs = structure(model)
    if isinstance(outputs, dict):
        return list(outputs)
    if len(model.outputs) > 1:
        return list(model.output_names)
    return ["probabilities" if ends_in_softmax(model) else "logits"]


def by_name(model: keras.Model, outputs: Any) -> dict[str, Any]:
    """Return what the model gave, arrays or tensors, by the names of its heads."""
    if isinstance(outputs, dict):
        return outputs
    return dict(zip(names(model), keras.tree.flatten(outputs), strict=True))


def widths(model: keras.Model) -> dict[str, int]:
    """Return each head's number of columns: that of its classes, or 1 for a continuous value."""
    return {name: int(output.shape[-1]) for name, output in by_name(model, structure(model)).items()}


def structure(model: keras.Model) -> Any:
    """Return the symbolic output of a Functional or built Sequential model: one tensor, or several as it gives them."""
    # A Sequential model that was only built has outputs, but no `output`.
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether the model's classes are a softmax already."""
    last = _operation_of_classes(model)
    activation = getattr(last, "activation", None)
    is_softmax = isinstance(last, keras.layers.Softmax) or type(last) is _SOFTMAX
    return is_softmax or activation is keras.activations.softmax


def with_divided_logits(model: keras.Model, divisor: float) -> keras.Model:
    """Return a copy whose logits of classes are divided, in the weights of its last layer: no step more to compute.

    Args:
        model: Functional or Sequential; its classes' logits come from a dense layer, or the average of several.
        divisor: above 0, e.g. a temperature.

    Raises:
        ModelError: there are no classes, they are the output of anything else, or more than the output reads them.
    """
    layers = _dense_layers_of_classes(model)
    copy = keras.models.clone_model(model)
    weights.put(model.get_weights(), copy)
    for layer in layers:
        last = copy.get_layer(layer.name)
        last.set_weights([weight / divisor for weight in last.get_weights()])
    return copy


def _dense_layers_of_classes(model: keras.Model) -> list[keras.layers.Dense]:
    last = _layer_of_classes(model)
    averaged = isinstance(last, keras.layers.Average)
    # A layer that is averaged with itself, as over mirrored images, is divided once.
    layers = list(dict.fromkeys(tensor._keras_history.operation for tensor in last.input)) if averaged else [last]
    for layer in layers:
        is_dense = isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.linear
        if not is_dense or layer.units == 1:
            raise ModelError(
                f"{model.name} ends in {layer.name} ({type(layer).__name__}), not in a dense layer of classes' logits, "
                "whose weights could be divided: it can't be calibrated."
            )
        readers = {node.operation for node in layer._outbound_nodes} & _operations(model) - {last}
        if readers:
            raise ModelError(
                f"{model.name} has another layer that reads the logits of {layer.name} ({readers.pop().name}), which "
                "divided weights would change: it can't be calibrated."
            )
    return layers


def _operations(model: keras.Model) -> set[Any]:
    return set(model.layers if isinstance(model, keras.Sequential) else model.operations)


def _layer_of_classes(model: keras.Model) -> Any:
    return _classes(model)._keras_history.operation


def _operation_of_classes(model: keras.Model) -> Any:
    """As `_layer_of_classes`, looked for inside where that layer is a model."""
    history = _classes(model)._keras_history
    while isinstance(history.operation, (keras.Sequential, keras.src.models.Functional)):
        history = history.operation.outputs[history.tensor_index]._keras_history
    return history.operation


def _classes(model: keras.Model) -> keras.KerasTensor:
    return next((output for output in model.outputs if output.shape[-1] != 1), model.outputs[0])
