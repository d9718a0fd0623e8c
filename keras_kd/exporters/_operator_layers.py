"""Which Keras layer an operator of a `.tflite` file comes from, by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

import keras

from keras_kd.models.surgery.keras_internals import all_layers, layer_of


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


def _layer(scope: str, names: set[str], counted: bool) -> str | None:
    shorter = re.sub(r"_\d+$", "", scope)
    order = (shorter, scope) if counted else (scope, shorter)
    return next((name for name in order if name in names), None)


def tensors_of(layers: Iterable[str], tensors: Iterable[str], model: keras.Model) -> list[str]:
    """Return those tensors that come from the layers."""
    chosen = set(layers)
    return [tensor for tensor in tensors if layers_of(tensor, model) & chosen]
