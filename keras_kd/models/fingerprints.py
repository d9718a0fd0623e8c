"""Fingerprints of what Keras models compute, which know a model again in another process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common.arrays import fingerprint
from keras_kd.models.surgery.keras_internals import all_layers, is_of_keras_or_keras_kd

# Where a configuration refers to layers of the same model.
_REFERENCES = ("input_layers", "keras_history", "output_layers")


def of_weights(model: keras.Model) -> str:
    """Return a fingerprint of all weights of a model, in order.

    Args:
        model: the model.

    Returns:
        16 hexadecimal digits.
    """
    return fingerprint(np.asarray(weight) for weight in model.weights)


def of_model(model: keras.Model) -> str:
    """Return a fingerprint of what a model computes, as far as it can be told: its weights, the
    settings and connections of its layers, and the modules that write classes of other authors.

    State of a layer that is in neither its weights nor its `get_config`, as an attribute that is
    set later, is not seen; no file has it either.

    Args:
        model: the model; of one whose `get_config` fails, and of modules that no file has, as those
            of a notebook, the settings or the code are not seen.

    Returns:
        16 hexadecimal digits.
    """
    classes = {type(layer) for layer in all_layers(model) if not is_of_keras_or_keras_kd(layer)}
    modules = {sys.modules.get(kind.__module__) for kind in classes}
    files = sorted(filter(None, (getattr(one, "__file__", None) for one in modules)))
    # A program from standard input or in an archive names a file that is none.
    code = [Path(file).read_bytes() for file in files if Path(file).is_file()]
    return fingerprint([of_weights(model), settings(model), *code])


def settings(model: keras.Model) -> str:
    """Return the settings and connections of a model's layers.

    Args:
        model: the model.

    Returns:
        JSON without the names of layers and operations: Keras numbers those that have none by how
            many there were before. "" for a model whose `get_config` fails.
    """
    try:
        config = json.loads(json.dumps(model.get_config(), default=str))
    except Exception:  # Code of other authors, which may raise anything.
        return ""
    text = json.dumps(_without_names(config, {}))
    # What Python says of an object without a text of its own has its address.
    text = re.sub(" at 0x[0-9a-f]+", "", text)
    # Classes of this library are known by their registered names, wherever their code lies.
    return re.sub(r'"module": "keras_kd\.[^"]*"', '"module": ""', text)


def _without_names(value: Any, places: Mapping[str, int]) -> Any:
    """A part of a configuration, with the place of a layer in its model for each reference to it.

    Args:
        value: the part.
        places: of the layers of the model around it, by name.
    """
    if isinstance(value, list):
        return [_without_names(part, places) for part in value]
    if not isinstance(value, dict):
        return value
    if _is_graph(value):
        places = {str(layer.get("name")): place for place, layer in enumerate(value["layers"])}
        value = value | {"layers": [*map(_without_own_name, value["layers"])]}
    if {"name", "trainable"} <= value.keys():  # of a layer, at any depth
        value = _without_name(value)
    return {
        key: (_numbered if key in _REFERENCES else _without_names)(part, places)
        for key, part in value.items()
    }


def _is_graph(config: dict[str, Any]) -> bool:
    layers = config.get("layers")
    return isinstance(layers, list) and all(
        isinstance(layer, dict) and isinstance(layer.get("config"), dict) for layer in layers
    )


def _without_own_name(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer or operation of a graph, which has its name in two places."""
    return _without_name(layer) | {"config": _without_name(layer["config"])}


def _without_name(config: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in config.items() if key != "name"}


def _numbered(reference: Any, places: Mapping[str, int]) -> Any:
    if isinstance(reference, dict):
        return {key: _numbered(part, places) for key, part in reference.items()}
    if isinstance(reference, list):
        return [_numbered(part, places) for part in reference]
    return places.get(reference, reference)
