"""A model as a list of layers and settings that Keras 2 can build too, for quantization-aware
training.

The table is checked both ways: a setting of a Keras 3 layer that it neither carries nor knows to be
without effect is refused by name, and a test builds every carried setting in Keras 2. Nested models
are unfolded; a layer that is called several times becomes as many, which start with its weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_kd.errors import ExportError
from keras_kd.models.surgery.copies import as_functional
from keras_kd.models.surgery.keras_internals import GRAPHS, calls_in_order

_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias", "activation")
# The names are those of Keras 3 and Keras 2 alike. Conv2DTranspose is missing: quantized in training
# by tensorflow-model-optimization 0.8.1 it can't be saved.
CARRIED: dict[str, tuple[str, ...]] = {
    "InputLayer": (),
    "Conv2D": ("filters", "groups", *_CONVOLUTION),
    "DepthwiseConv2D": ("depth_multiplier", *_CONVOLUTION),
    "SeparableConv2D": ("filters", "depth_multiplier", *_CONVOLUTION),
    "Dense": ("units", "use_bias", "activation"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "PReLU": ("shared_axes",),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling2D": ("keepdims",),
    "UpSampling2D": ("size", "interpolation"),
    "ZeroPadding2D": ("padding",),
    "Cropping2D": ("cropping",),
    "Dropout": ("rate",),
    "SpatialDropout2D": ("rate",),
    "Reshape": ("target_shape",),
    "Permute": ("dims",),
    "Flatten": (),
    "Add": (),
    "Subtract": (),
    "Multiply": (),
    "Average": (),
    "Maximum": (),
    "Concatenate": ("axis",),
    "Rescaling": ("scale", "offset"),
}
# Operations of keras.ops that equal a layer, on two tensors or, for softmax, on one.
_OPERATIONS = {"Add": 2, "Subtract": 2, "Multiply": 2, "Maximum": 2, "Softmax": 1}
_OF_DEPTHWISE = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
# Settings that change nothing in a trained model on one device, and those of this value alone.
_WITHOUT_EFFECT = frozenset(
    ("name", "trainable", "dtype", "seed", "noise_shape", "original", "first_tap")
    + ("synchronized", "renorm_clipping", "renorm_momentum", "batch_shape")
)
_WITHOUT_EFFECT_ENDS = ("_initializer", "_regularizer", "_constraint")
_ONLY: dict[str, Any] = {
    "data_format": "channels_last",
    "renorm": False,
    "quantization_config": None,
}
ACTIVATIONS = ("linear", "relu", "softmax", "sigmoid", "tanh", "gelu", "silu")


@dataclass
class Description:
    """What a twin is built from, in an order that can be built.

    Attributes:
        layers: each one's name, kind, arguments and the names of its inputs.
        weights: those of each layer.
        softmax: whether the model ends in a softmax, which the layers leave out.
    """

    layers: list[dict[str, Any]] = field(default_factory=list)
    weights: list[list[np.ndarray]] = field(default_factory=list)
    softmax: bool = False


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
            f"Other layers of {model.name} come after the one that gives its output: leave "
            "them out, or use the format int8 or dynamic."
        )
    if _is_softmax(last):
        description.softmax = True
        if last["kind"] == "Dense":
            last["arguments"]["activation"] = "linear"
        else:
            description.layers.pop()
            description.weights.pop()
    return description


def _is_softmax(layer: dict[str, Any]) -> bool:
    arguments = layer["arguments"]
    return arguments.get("activation") == "softmax" or (
        layer["kind"] == "Softmax" and arguments["axis"] in (-1, 1)
    )


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
        if isinstance(layer, GRAPHS):
            inner = as_functional(layer)
            given = {id(tensor): name for tensor, name in zip(inner.inputs, sources, strict=True)}
            made = _described(inner, into, given)
        else:
            made = [_added(layer, sources, into, model)]
        names |= {id(t): name for t, name in zip(call.output_tensors, made, strict=True)}
    return [names[id(tensor)] for tensor in model.outputs]


def _added(layer: Any, sources: list[str], into: Description, model: keras.Model) -> str:
    kind = _kind(layer, len(sources), model)
    arguments: dict[str, Any] = {}
    if kind == "InputLayer":
        arguments = {"shape": list(layer.batch_shape[1:])}
    elif isinstance(layer, keras.Layer):
        arguments = _arguments(layer, kind, model)
    elif kind == "Softmax":
        arguments = {"axis": layer.axis}
    weights = layer.get_weights() if isinstance(layer, keras.Layer) else []
    if kind == "SeparableConv2D":
        # As the two layers that it is made of, of which the first may be the one to stay float32.
        first: dict[str, Any] = {name: arguments.pop(name) for name in _OF_DEPTHWISE}
        first |= {"use_bias": False, "activation": "linear"}
        sources = [_appended("DepthwiseConv2D", first, sources, weights[:1], layer.name, into)]
        kind, arguments, weights = "Conv2D", arguments | {"kernel_size": 1}, weights[1:]
    return _appended(kind, arguments, sources, weights, layer.name, into)


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


def _kind(layer: Any, inputs: int, model: keras.Model) -> str:
    kinds = [base.__name__ for base in type(layer).__mro__ if base.__name__ in CARRIED]
    known = bool(kinds) and type(layer).__module__.startswith(("keras.", "keras_kd."))
    if not isinstance(layer, keras.Layer):
        # Other operations mean something else than the layers of their names, or hold constants.
        known = known and _OPERATIONS.get(kinds[0]) == inputs
    if not known:
        raise ExportError(
            f"{layer.name} of {model.name} is {_spelled(layer)}, which can't be quantized in"
            " training: use the format int8 or dynamic."
        )
    return kinds[0]


def _spelled(layer: Any) -> str:
    kind = type(layer).__name__
    return f"a {kind}" if isinstance(layer, keras.Layer) else f"the operation {kind} of keras.ops"


def _arguments(layer: keras.Layer, kind: str, model: keras.Model) -> dict[str, Any]:
    config = layer.get_config()
    for name, value in config.items():
        known = name in CARRIED[kind] or name in _WITHOUT_EFFECT
        if known or name.endswith(_WITHOUT_EFFECT_ENDS):
            continue
        if name not in _ONLY or value != _ONLY[name]:
            raise ExportError(
                f"{layer.name} of {model.name} has {name}={value!r}, which its twin for"
                " quantization-aware training can't have: use the format int8 or dynamic."
            )
    activation = config.get("activation", "linear")
    if activation not in ACTIVATIONS:
        raise ExportError(
            f"{layer.name} of {model.name} has the activation {_named(activation)}, which can't be"
            f" quantized in training (only {', '.join(ACTIVATIONS)}): use the format int8 or"
            " dynamic."
        )
    return {name: config[name] for name in CARRIED[kind] if name in config}


def _named(activation: Any) -> str:
    return activation if isinstance(activation, str) else str(activation.get("class_name"))
