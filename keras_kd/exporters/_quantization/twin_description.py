"""A model as a list of layers and settings that Keras 2 can build too, for quantization-aware
training.

Which layers and settings there are says `twin_layers`. Nested models are unfolded; a layer that is
called several times becomes as many, which start with its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_kd.errors import ExportError
from keras_kd.exporters._quantization import INSTEAD, twin_layers
from keras_kd.models.surgery import at_rest
from keras_kd.models.surgery.copies import as_functional
from keras_kd.models.surgery.keras_internals import calls_in_order, is_graph

_OF_DEPTHWISE = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")


@dataclass
class Description:
    """What a twin is built from, in an order that can be built.

    Attributes:
        layers: each one's name, kind, arguments and the names of its inputs.
        weights: those of each layer.
        end: the activation at the end, "softmax" or "log_softmax", which the layers leave out; or
            "".
        left_out: layers that do nothing but in training, which the twin lacks.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)
    weights: list[list[np.ndarray]] = field(default_factory=list)
    end: str = ""
    left_out: list[str] = field(default_factory=list)


def describe(model: keras.Model) -> Description:
    """Describe a Functional or Sequential model of one input and one output.

    Raises:
        ExportError: a layer or a setting can't be carried over; it is named.
    """
    graph, description = as_functional(model), Description()
    (output,) = _described(graph, description, {})
    last = description.layers[-1]
    if last["name"] != output:
        raise ExportError(
            f"Other layers of {model.name} come after the one that gives its output: leave them"
            f" out, or {INSTEAD}"
        )
    description.end = _end(last)
    if description.end and "activation" in last["arguments"]:
        last["arguments"]["activation"] = "linear"
    elif description.end:
        description.layers.pop()
        description.weights.pop()
    for layer in description.layers:
        if layer["arguments"].get("activation") == "log_softmax":
            # Without the twin_N_ of `_appended`: the user knows the model's name.
            name = layer["name"].split("_", 2)[2]
            raise twin_layers.refused_activation(name, model.name, "log_softmax")
    return description


def _end(layer: dict[str, Any]) -> str:
    arguments = layer["arguments"]
    # Of outputs (N, classes) axis 1 is the last one.
    if layer["kind"] == "Softmax" and arguments["axis"] in (-1, 1):
        return "softmax"
    activation = arguments.get("activation")
    return activation if activation in ("softmax", "log_softmax") else ""


def _described(model: keras.Model, into: Description, outer: dict[int, str]) -> list[str]:
    """Add the layers of a model; `outer` has the names that give its inputs. Return those that give
    its outputs.
    """
    names = dict(outer)
    for call in calls_in_order(model):
        layer = call.operation
        if isinstance(layer, keras.layers.InputLayer) and outer:
            continue
        sources = [names[id(tensor)] for tensor in call.input_tensors]
        if is_graph(layer):
            inner = as_functional(layer)
            given = {id(tensor): name for tensor, name in zip(inner.inputs, sources, strict=True)}
            made = _described(inner, into, given)
        else:
            made = [_added(call, sources, into, model)]
        names |= {id(t): name for t, name in zip(call.output_tensors, made, strict=True)}
    return [names[id(tensor)] for tensor in model.outputs]


def _added(call: Any, sources: list[str], into: Description, model: keras.Model) -> str:
    layer, weights = call.operation, []
    scaled = twin_layers.rescaling(call)
    if scaled is not None:
        return _appended("Rescaling", scaled, sources, [], layer.name, into)
    if at_rest.rests(layer):
        into.left_out.append(layer.name)
        return sources[0]
    kind = twin_layers.kind_of(layer, len(sources), model)
    arguments: dict[str, Any] = {}
    if kind == "InputLayer":
        arguments = {"shape": list(layer.batch_shape[1:])}
    elif isinstance(layer, keras.Layer):
        arguments, weights = twin_layers.arguments_of(layer, kind, model), layer.get_weights()
    elif kind == "Softmax":
        arguments = {"axis": layer.axis}
    after = twin_layers.ACTIVATION_LAYERS.get(arguments.get("activation"), ())
    if after:
        arguments["activation"] = "linear"
    if kind == "SeparableConv2D":
        # As the two layers that it is made of, of which the first may be the one to stay float32.
        first: dict[str, Any] = {name: arguments.pop(name) for name in _OF_DEPTHWISE}
        first |= {"use_bias": False, "activation": "linear"}
        sources = [_appended("DepthwiseConv2D", first, sources, weights[:1], layer.name, into)]
        kind, arguments, weights = "Conv2D", arguments | {"kernel_size": 1}, weights[1:]
    if kind.endswith("1D"):
        made = _on_rows(call, kind, arguments, sources, weights, into)
    else:
        made = _appended(kind, arguments, sources, weights, layer.name, into)
    given = made
    for kind, settings in after:
        both = [made, given] if kind == "Multiply" else [made]
        made = _appended(kind, settings, both, [], layer.name, into)
    return made


def _on_rows(
    call: Any,
    kind: str,
    arguments: dict[str, Any],
    sources: list[str],
    weights: list[np.ndarray],
    into: Description,
) -> str:
    """Add a layer on rows as one on images that are one pixel high, which the library quantizes."""
    name, kind = call.operation.name, kind.replace("1D", "2D")
    rows, made = (tensors[0].shape[1:] for tensors in (call.input_tensors, call.output_tensors))
    image = {"target_shape": [1, -1, rows[-1]]}
    sources = [_appended("Reshape", image, sources, [], name, into)]
    wide = [weights[0][None], *weights[1:]] if weights else []
    last = _appended(kind, twin_layers.widened(arguments), sources, wide, name, into)
    return _appended("Reshape", {"target_shape": [-1, *made[1:]]}, [last], [], name, into)


def _appended(
    kind: str,
    arguments: dict[str, Any],
    sources: list[str],
    weights: list[np.ndarray],
    name: str,
    into: Description,
) -> str:
    # Unlike any name that Keras 2 makes up for layers that the quantization adds.
    name = f"twin_{len(into.layers)}_{name}"
    into.layers.append({"name": name, "kind": kind, "arguments": arguments, "inputs": sources})
    into.weights.append(weights)
    return name
