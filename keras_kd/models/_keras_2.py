"""Conversion of configurations that Keras 2 wrote to those that Keras 3 reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# Where Keras 2 says that a model's class lies, in its .keras files.
MODULES = ("keras.engine.", "keras.src.engine.", "tf_keras.")
# The only values that mean what Keras 3 does anyway.
_NEUTRAL = {
    "groups": 1,
    "noise_shape": None,
    "rng_type": "stateful",
    "softmax_robust_masking": False,
    "time_major": False,
    "trainable": True,
}
# Separable convolutions never used what they inherited under these names.
_UNUSED = {"kernel_constraint", "kernel_initializer", "kernel_regularizer"}
# The layers for TensorFlow's operations on two tensors, and scale and offset for those on a number.
_MERGES = {"__operators__.add": "Add", "math.add": "Add", "math.multiply": "Multiply"}
_MERGES |= {"math.subtract": "Subtract"}
_SCALINGS: dict[str, Callable[[np.ndarray], tuple[Any, Any]]] = {
    **dict.fromkeys(("__operators__.add", "math.add", "nn.bias_add"), lambda number: (1.0, number)),
    "math.subtract": lambda number: (1.0, -number),
    "math.multiply": lambda number: (number, 0.0),
    **dict.fromkeys(("math.truediv", "math.divide"), lambda number: (1 / number, 0.0)),
}
_BATCH_NORMS = ("BatchNormalization", "SyncBatchNormalization")
_INITIALIZERS = "tensorflow.python.ops.init_ops"
# Shapes that attention was built with, and is built with again.
_SHAPES = {"key_shape", "query_shape", "value_shape"}


def is_of_keras(found: dict[str, Any]) -> bool:
    """Whether an object of a configuration is of a module of Keras, or of none, as in `.h5`."""
    return str(found.get("module", "keras.")).startswith(("keras.", "tf_keras."))


def named(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a configuration as Keras 3 names it and writes what it holds.

    TensorFlow's operations that models of Keras 2 have among their layers, as of `image / 127.5`
    and of sums, become layers; slashes in layers' names, as of MobileNetV3, become underscores;
    TensorFlow's initializers become those of Keras, policies of mixed precision those of dtype, and
    the axis of a batch norm a number.

    Args:
        found: the object; the layers in it are changed, and nothing below them.
    """
    if str(found.get("module")).startswith(_INITIALIZERS):
        return {**found, "module": "keras.initializers"}
    config = found["config"]
    if found["class_name"] == "Policy":
        return {"module": "keras", "class_name": "DTypePolicy", "config": config}
    if is_of_keras(found) and found["class_name"] in _BATCH_NORMS:
        axis = config.get("axis", -1)
        config = {**config, "axis": axis[0] if isinstance(axis, list) else axis}
        module = {"module": "keras.layers"} if "module" in found else {}
        return {**found, **module, "class_name": "BatchNormalization", "config": config}
    if not isinstance(config.get("layers"), list):
        return found
    if str(found.get("module")).startswith(MODULES):
        found = {**found, "module": "keras.src.models.functional", "registered_name": None}
    layers = [_operation(_renamed(layer)) for layer in config["layers"]]
    ends = {end: _renamed_places(config[end])
            for end in ("input_layers", "output_layers") if end in config}  # fmt: skip
    return {**found, "config": {**config, "layers": layers, **ends}}


def _renamed(layer: dict[str, Any]) -> dict[str, Any]:
    config = layer["config"]
    names = {"name": _plain_name(layer["name"])} if "name" in layer else {}
    inner = {"name": _plain_name(config["name"])} if "name" in config else {}
    nodes = _renamed_places(layer.get("inbound_nodes", []))
    return {**layer, **names, "config": {**config, **inner}, "inbound_nodes": nodes}


def _plain_name(name: str) -> str:
    return name.replace("/", "_")


def _renamed_places(value: Any) -> Any:
    if _is_place(value):
        return [_plain_name(value[0]), *value[1:3], *map(_renamed_places, value[3:])]
    if isinstance(value, list):
        return [_renamed_places(part) for part in value]
    if isinstance(value, dict):
        return {key: _renamed_places(part) for key, part in value.items()}
    return value


def _operation(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer in the place of an operation of TensorFlow; any other as it is."""
    config, nodes = layer["config"], layer["inbound_nodes"]
    if layer["class_name"] != "TFOpLambda" or len(nodes) != 1 or not _is_place(nodes[0]):
        return layer
    function, place = config.get("function"), nodes[0][:3]
    options = (nodes[0][3:] or [{}])[0]
    other = options.get("y", options.get("bias"))
    if "module" in layer:  # in a nested model
        layer = {part: layer[part] for part in layer if part != "build_config"}
        layer |= {"module": "keras.layers", "registered_name": None}
    if _is_place(other) and function in _MERGES:
        return {
            **layer,
            "class_name": _MERGES[function],
            "config": {"name": config["name"]},
            "inbound_nodes": [[[*place, {}], [*other, {}]]],
        }
    if function not in _SCALINGS or np.asarray(other).dtype.kind not in "if":
        return layer
    scale, offset = (np.asarray(part).tolist() for part in _SCALINGS[function](np.asarray(other)))
    return {
        **layer,
        "class_name": "Rescaling",
        "config": {"name": config["name"], "scale": scale, "offset": offset},
        "inbound_nodes": [[[*place, {}]]],
    }


def without_defaults(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's configuration without entries that Keras 3 refuses but that change nothing.

    Args:
        class_name: the layer's class in keras.layers; any other class is returned as it is.
        config: a configuration of Keras 2 or 3.
    """
    layer = getattr(keras.layers, class_name, None)
    if not inspect.isclass(layer):
        return config
    known = inspect.signature(layer.__init__).parameters
    unused = _SHAPES | (_UNUSED if class_name.startswith("Separable") else set())
    # `trainable` is everybody's, but of the few that take no keywords but their own.
    needless = {
        name
        for name in config
        if name not in known and (name != "trainable" or "kwargs" not in known)
    }
    return {
        name: value
        for name, value in config.items()
        if not (name in needless and (name in unused or _is_neutral(name, value)))
    }


def _is_neutral(name: str, value: Any) -> bool:
    return name in _NEUTRAL and value == _NEUTRAL[name]


def graph(config: dict[str, Any]) -> dict[str, Any]:
    """Return a Functional model's configuration with its layers' calls as Keras 3 writes them.

    Keras 2 wrote a call as a list of [layer, node, tensor, keywords]. It counted the graph inside a
    nested model as that layer's first node, which Keras 3 doesn't.

    Args:
        config: of either; that of Keras 3 is returned as it is.
    """
    calls = [layer.get("inbound_nodes") for layer in config["layers"]]
    if not any(
        isinstance(node, list) for nodes in calls if isinstance(nodes, list) for node in nodes
    ):
        return config
    nested = {
        layer["name"]: layer["class_name"]
        for layer in config["layers"]
        if "layers" in layer["config"]
    }
    layers = [
        {**layer, "inbound_nodes": [_call(node, nested) for node in layer["inbound_nodes"]]}
        for layer in config["layers"]
    ]
    # Keras 3 itself subtracts it for a nested model that is an output, unless it is Sequential.
    sequential = {name: kind for name, kind in nested.items() if kind == "Sequential"}
    outputs = _moved(config["output_layers"], sequential)
    ends = {"input_layers": config["input_layers"], "output_layers": outputs}
    return {**config, "layers": layers} | {end: _one(places) for end, places in ends.items()}


def _one(places: Any) -> Any:
    # A list of one stays a list in Keras 3, which the next layer of a Sequential model won't take.
    return places[0] if isinstance(places, list) and len(places) == 1 else places


def _call(node: list[Any], nested: dict[str, str]) -> dict[str, Any]:
    tensors = [_tensor(part, nested) for part in node]
    keywords = {key: _tensors(value, nested) for key, value in (node[0][3:] or [{}])[0].items()}
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": keywords}


def _tensors(value: Any, nested: dict[str, str]) -> Any:
    return _tensor(value, nested) if _is_place(value) else value


def _tensor(place: list[Any], nested: dict[str, str]) -> dict[str, Any]:
    # Keras takes the shape from the layer that it names.
    history = _moved(place[:3], nested)
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [], "dtype": "float32", "keras_history": history},
    }


def _moved(places: Any, nested: dict[str, str]) -> Any:
    if _is_place(places):
        return [places[0], places[1] - (places[0] in nested), *places[2:]]
    if isinstance(places, dict):
        return {name: _moved(place, nested) for name, place in places.items()}
    return [_moved(place, nested) for place in places]


def _is_place(value: Any) -> bool:
    """Whether something is [layer, node, tensor]."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and [type(part) for part in value[:3]] == [str, int, int]
    )
