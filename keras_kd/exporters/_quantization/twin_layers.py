"""Which layers and operations of Keras 3 a twin for quantization-aware training has, and as what.

The table is checked both ways: a setting of a Keras 3 layer that it neither carries nor knows to be
without effect is refused by name, and a test builds every carried setting in Keras 2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_kd.errors import ExportError
from keras_kd.exporters._quantization import INSTEAD
from keras_kd.models.surgery.keras_internals import is_of_keras_or_keras_kd

_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias", "activation")
_POOLING = ("pool_size", "strides", "padding")
# The names are those of Keras 3 and Keras 2 alike. Conv2DTranspose is missing: quantized in
# training by tensorflow-model-optimization 0.8.1 it can't be saved.
CARRIED: dict[str, tuple[str, ...]] = {
    "InputLayer": (),
    "Conv1D": ("filters", "groups", *_CONVOLUTION),
    "Conv2D": ("filters", "groups", *_CONVOLUTION),
    "DepthwiseConv2D": ("depth_multiplier", *_CONVOLUTION),
    "SeparableConv2D": ("filters", "depth_multiplier", *_CONVOLUTION),
    "Dense": ("units", "use_bias", "activation"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "PReLU": ("shared_axes",),
    "ELU": ("alpha",),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "MaxPooling1D": _POOLING,
    "MaxPooling2D": _POOLING,
    "AveragePooling1D": _POOLING,
    "AveragePooling2D": _POOLING,
    "GlobalAveragePooling1D": ("keepdims",),
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling1D": ("keepdims",),
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
# What the library for quantization-aware training knows; `log_softmax` at the end of a model alone.
ACTIVATIONS = ("linear", "relu", "softmax", "sigmoid", "tanh", "gelu", "silu")
# Keras 3: hard_sigmoid(x) = relu6(x + 3) / 6; Keras 2 has another slope.
_GATE = (("Rescaling", {"scale": 1 / 6, "offset": 0.5}), ("ReLU", {"max_value": 1.0}))
# Other activations as layers; Multiply takes what the activation was given too.
ACTIVATION_LAYERS: dict[str, tuple[tuple[str, dict[str, float]], ...]] = {
    "relu6": (("ReLU", {"max_value": 6.0}),),
    "leaky_relu": (("ReLU", {"negative_slope": 0.2}),),
    "elu": (("ELU", {"alpha": 1.0}),),
    "hard_sigmoid": _GATE,
    "hard_silu": (*_GATE, ("Multiply", {})),
}
_PER_SIDE = ("kernel_size", "strides", "dilation_rate", "pool_size")


def kind_of(layer: Any, inputs: int, model: keras.Model) -> str:
    """Return the name in `CARRIED` of a layer or operation on so many tensors.

    Raises:
        ExportError: there is none.
    """
    kinds = [base.__name__ for base in type(layer).__mro__ if base.__name__ in CARRIED]
    known = bool(kinds) and is_of_keras_or_keras_kd(layer)
    if not isinstance(layer, keras.Layer):
        # Other operations mean something else than the layers of their names.
        known = known and _OPERATIONS.get(kinds[0]) == inputs
    if not known:
        raise ExportError(
            f"{layer.name} of {model.name} is {_spelled(layer)}, which can't be quantized in"
            f" training: {INSTEAD}"
        )
    return kinds[0]


def _spelled(layer: Any) -> str:
    kind = type(layer).__name__
    return f"a {kind}" if isinstance(layer, keras.Layer) else f"the operation {kind} of keras.ops"


def rescaling(call: Any) -> dict[str, Any] | None:
    """Return scale and offset of an operation on a tensor and a number, or a number a channel;
    None for other calls.
    """
    given = [*call.arguments.args, *call.arguments.kwargs.values()]
    if isinstance(call.operation, keras.Layer) or len(given) != 2 or len(call.input_tensors) != 1:
        return None
    first = isinstance(given[0], keras.KerasTensor)
    try:
        number = np.asarray(given[1] if first else given[0], np.float64)
    except (TypeError, ValueError):
        return None
    made = {
        "Add": (1.0, number),
        "Subtract": (1.0, -number) if first else (-1.0, number),
        "Multiply": (number, 0.0),
        "TrueDivide": (1 / number, 0.0) if first and number.all() else None,
    }.get(type(call.operation).__name__)
    if made is None or number.ndim > 1 or not np.isfinite(number).all():
        return None
    scale, offset = (np.asarray(part).tolist() for part in made)
    return {"scale": scale, "offset": offset}


def widened(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer on rows as those of one on images that are one pixel high."""
    return {
        name: (1, *np.ravel(value).tolist()) if name in _PER_SIDE else value
        for name, value in arguments.items()
    }


def arguments_of(layer: keras.Layer, kind: str, model: keras.Model) -> dict[str, Any]:
    """Return the settings of a layer that its twin has.

    Raises:
        ExportError: a setting or the activation can't be carried over; it is named.
    """
    config = layer.get_config()
    for name, value in config.items():
        if not _can_have(kind, name, value):
            raise ExportError(
                f"{layer.name} of {model.name} has {name}={value!r}, which its twin for"
                f" quantization-aware training can't have: {INSTEAD}"
            )
    activation = config.get("activation", "linear")
    if activation not in (*ACTIVATIONS, "log_softmax", *ACTIVATION_LAYERS):
        raise refused_activation(layer.name, model.name, activation)
    return {name: config[name] for name in CARRIED[kind] if name in config}


def _can_have(kind: str, name: str, value: Any) -> bool:
    """Whether a twin has a layer's setting, or is the same without it."""
    if name in CARRIED[kind]:
        return (name, value) != ("padding", "causal")
    if name in _WITHOUT_EFFECT or name.endswith(_WITHOUT_EFFECT_ENDS):
        return True
    return name in _ONLY and value == _ONLY[name]


def refused_activation(layer: str, model: str, activation: Any) -> ExportError:
    """Return the error of an activation that can't be carried over."""
    named = activation if isinstance(activation, str) else str(activation.get("class_name"))
    return ExportError(
        f"{layer} of {model} has the activation {named}, which can't be quantized in training (only"
        f" {', '.join((*ACTIVATIONS, *ACTIVATION_LAYERS))}): {INSTEAD}"
    )
