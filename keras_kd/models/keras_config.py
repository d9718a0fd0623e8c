"""A check of a Keras model's configuration before Keras sees it.

Keras creates an object of every class and looks up every function that a configuration names, so a
file could have any public part of Keras called while it is loaded. Here a configuration is JSON of
bounded size. It may only name classes that compute, see `_keras_classes`, those of keras_kd, and
those of modules that the user trusts.
"""

from __future__ import annotations

import json
import re
from typing import Any

import keras

from keras_kd.models import _keras_2, _keras_classes, _keras_graph, trusted_modules
from keras_kd.models._keras_graph import Refused

# NASNetLarge, the largest of keras.applications by layers, has 1,041 in 1 MB.
LARGEST, DEEPEST, MOST_VALUES, MOST_LAYERS = 16 * 2**20, 200, 500_000, 10_000
# No size in an image model comes near, and Keras makes lists of some.
LARGEST_INTEGER, MOST_REPEATS = 2**24, 100
_TOLD = ("class_name", "module", "registered_name")
_VALUES = {"__tensor__", "__numpy__", "__keras_tensor__"}
_TEXTS = {"__bytes__", "__ellipsis__", "__slice__", "__tuple__", "TensorShape"}
_ANY_INTEGER = {"seed", "shared_object_id", "salt", "start", "stop", "value"}
# Settings that are paths of files where they are texts.
_FROM_FILES = ("idf_weights", "vocabulary")
_REPEATS = {"chain_depth", "num_chains", "num_ops", "power_iterations"}
_SIZED = {f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}
_DTYPES = {"bool", "bfloat16", "complex64", "string"} | _SIZED
_KNOWN = (
    "layer, activation, initializer, regularizer, constraint or operation that is known to compute"
    " alone"
)
# Reading a configuration without modules, Keras takes these words for functions of its own wherever
# they stand.
_WORDS = {"Input", "deserialize", "serialize"}
# What Keras 2 calls TensorFlow's operations among the layers.
_OF_TENSORFLOW = {"ClassMethod", "SlicingOpLambda", "TFOpLambda", "TensorFlowOpLayer"}
# Layers of Keras 2 that Keras 3 has not.
_GONE = {"CuDNNGRU", "CuDNNLSTM", "LocallyConnected1D", "LocallyConnected2D", "RandomHeight"}
_GONE |= {"RandomWidth", "ThresholdedReLU"}
_RESIZED_OTHERWISE = ("gaussian", "mitchellcubic")
_SAVED_MODEL = "save the model as a SavedModel where it was made"
_KERAS = "save the model as .keras where it was made"
NAME_ADVICE = "which takes letters, digits, dots, hyphens and underscores: rename it"
# TensorFlow's names of scopes, but without slashes, and not of dots alone.
SCOPE = re.compile(r"\.*[A-Za-z0-9_>-][A-Za-z0-9_.>-]*")


class OtherFormNeeded(Exception):
    """This form of the model can't be read; the message says why, and which form can."""


def read(content: str | bytes, by_keras_2: bool = False) -> dict[str, Any]:
    """Parse and check the configuration of a model.

    Args:
        content: JSON, from `config.json` or the attribute `model_config`.
        by_keras_2: whether Keras 2 or an older one wrote it.

    Returns:
        The configuration for Keras, without settings for training and without defaults of Keras 2
            that Keras 3 does not know.

    Raises:
        Refused: the configuration names something that no file may, has a layer on which no output
            depends, or is too large.
        ValueError: it is not the JSON of a model.
        OtherFormNeeded: it belongs to a `.keras` file of Keras 2, has operations that Keras 3 does
            not read from an `.h5` file, or a layer that is stateful.
    """
    if len(content) > LARGEST:
        raise Refused(f"its configuration is {len(content):,} bytes long, more than {LARGEST:,}")
    try:
        config = json.loads(content)
    except RecursionError as error:
        raise Refused("its configuration is nested too deeply") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError("its configuration is no object of a Keras model")
    if str(config.get("module")).startswith(_keras_2.MODULES):
        raise OtherFormNeeded("it was written by Keras 2: save it as .h5 there")
    return _Walk(by_keras_2).value(config, "", "it", 0)


class _Walk:
    """One pass over a configuration; counts what it meets, and returns what Keras may read."""

    def __init__(self, by_keras_2: bool) -> None:
        self._by_keras_2 = by_keras_2
        self._other_form = _SAVED_MODEL if by_keras_2 else _KERAS
        self._own = trusted_modules.own_objects()
        self._custom = set(keras.saving.get_custom_objects()) - set(self._own)
        self._values = self._layers = 0

    def value(self, value: Any, key: str, layer: str, depth: int) -> Any:
        """Check a part of the configuration.

        Args:
            value: the part.
            key: under which it stands.
            layer: around it, in words.
            depth: of nesting.
        """
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise Refused(
                f"its configuration has more than {DEEPEST} levels or {MOST_VALUES:,} values"
            )
        if isinstance(value, list):
            return [self.value(part, key, layer, depth + 1) for part in value]
        if not isinstance(value, dict):
            self._require_same_function(value, key, layer)
            return _plain(value, key, layer)
        if "class_name" in value:
            return self._object(value, key, layer, depth)
        if any(isinstance(value.get(name), str) for name in _FROM_FILES):
            raise Refused(f"{layer} has a vocabulary in a file")
        return {name: self.value(part, name, layer, depth + 1) for name, part in value.items()}

    def _object(self, found: dict[str, Any], key: str, layer: str, depth: int) -> Any:
        name, config = found["class_name"], found.get("config")
        if not isinstance(name, str) or not all(
            isinstance(found.get(key), (str, type(None))) for key in _TOLD[1:]
        ):
            raise Refused(f"{layer} has a class without a name")
        if name in _TEXTS:
            return self._text(found, key, layer, depth)
        layer = _named(found) or layer
        if name == "function":
            return self._function(found, key, layer)
        if not isinstance(config, dict):
            raise Refused(f"{layer} names {_shown(found)} without a configuration")
        if self._by_keras_2:
            if name not in self._own:
                _require_same_layer(name, config, layer)
            found = _keras_2.named(found)
            config = found["config"]
        self._layers += len(config.get("layers") or ())
        if self._layers > MOST_LAYERS:
            raise Refused(f"it has more than {MOST_LAYERS:,} layers")
        checked = {part: self.value(inner, part, layer, depth + 1) for part, inner in found.items()
                   if part not in (*_TOLD, "compile_config")}  # fmt: skip
        # Afterwards, so that the message has the innermost reason.
        if name in _VALUES:
            _require_numbers(config, layer)
        else:
            self._require_known(found, layer)
            _require_name(found, layer)
        checked["config"] = _keras_2.without_defaults(name, checked["config"])
        if "layers" in config and name in _keras_classes.MODELS:
            checked["config"] = self._graph(checked["config"], layer)
        return {part: found[part] for part in _TOLD if part in found} | checked

    def _graph(self, config: dict[str, Any], layer: str) -> dict[str, Any]:
        layers = config["layers"]
        if not isinstance(layers, list) or not all(
            isinstance(one, dict) and "class_name" in one for one in layers
        ):
            raise Refused(f"{layer} has no list of layers")
        if "output_layers" in config:
            config = _keras_2.graph(config)
            _keras_graph.require_needed(config, layer)
        return config

    def _require_known(self, found: dict[str, Any], layer: str) -> None:
        """Raise Refused unless Keras would make an object of a known class, whichever of the names
        it goes by.
        """
        name, module, registered = (
            found["class_name"],
            found.get("module"),
            found.get("registered_name"),
        )
        if isinstance(registered, str) and registered in self._own:
            return
        # An `.h5` file has a registered name in this place.
        if module is None and isinstance(name, str) and name in self._own:
            return
        if module is None:
            self._require_kept(found["config"], layer)
            known = name in _keras_classes.names_without_module()
        else:
            known = (module, name) in _keras_classes.classes()
        by_name = module is None or (self._by_keras_2 and _keras_2.is_of_keras(found))
        if not known and by_name and (name in _OF_TENSORFLOW or name in _keras_classes.names()):
            raise OtherFormNeeded(
                f"{layer} is one that Keras 3 does not read from .h5 files: {self._other_form}"
            )
        if not known or registered not in (None, name) or name in self._custom:
            raise Refused(f"{layer} names the class {_shown(found)}, which is no {_KNOWN}")
        if found["config"].get("stateful") is True:
            raise OtherFormNeeded(
                f"{layer} is stateful, so that what it gives for an image depends on those before:"
                " build the model with stateful=False, give it the weights by set_weights, and"
                " save that"
            )

    def _require_kept(self, config: dict[str, Any], layer: str) -> None:
        """Raise OtherFormNeeded for several axes, which Keras 3 loses from `.h5` files."""
        axes = config.get("axis")
        if isinstance(axes, list) and len(axes) > 1:
            raise OtherFormNeeded(
                f"{layer} works along several axes, which Keras 3 does not read from .h5 files:"
                f" {self._other_form}"
            )

    def _require_same_function(self, name: Any, key: str, layer: str) -> None:
        """Raise OtherFormNeeded for an activation that is another function in Keras 3."""
        if self._by_keras_2 and name == "hard_sigmoid" and key.endswith("activation"):
            raise OtherFormNeeded(
                f"{layer} has the {key} hard_sigmoid of Keras 2, which is another function in"
                f" Keras 3: {_SAVED_MODEL}"
            )

    def _function(self, found: dict[str, Any], key: str, layer: str) -> Any:
        """Return what Keras finds a function by; its own module for those of TensorFlow that it
        wrote is Python's.
        """
        name, module, registered = (
            found.get("config"),
            found.get("module"),
            found.get("registered_name"),
        )
        if not isinstance(name, str) or not key.endswith("activation"):
            raise Refused(
                f"{layer} names the function {_shown(found)} as its {key}, which is no {_KNOWN}"
            )
        if name in self._own:
            return found
        self._require_same_function(name, key, layer)
        known = name not in self._custom and registered in (None, name, "function")
        if (
            known
            and module in ("builtins", "keras.activations")
            and name in _keras_classes.activations()
        ):
            return name
        if known and module in ("builtins", "keras.ops") and name in _keras_classes.elementwise():
            return {
                "module": "keras.ops",
                "class_name": "function",
                "config": name,
                "registered_name": name,
            }
        if known and self._by_keras_2 and module == "builtins":
            raise OtherFormNeeded(
                f"{layer} has the {key} {name[:100]}, which is none of Keras 3: {_SAVED_MODEL},"
                " or name the module of your own with --trust-module"
            )
        raise Refused(f"{layer} names the function {_shown(found)}, which is no {_KNOWN}")

    def _text(self, found: dict[str, Any], key: str, layer: str, depth: int) -> Any:
        """Bytes, slices, tuples and shapes, which Keras writes as objects."""
        parts = {name: self.value(part, key, layer, depth + 1) for name, part in found.items()}
        if found["class_name"] == "TensorShape":
            return parts.get("items")
        return tuple(parts.get("items") or ()) if found["class_name"] == "__tuple__" else parts


def _require_same_layer(name: str, config: dict[str, Any], layer: str) -> None:
    """Raise OtherFormNeeded for a layer of Keras 2 that Keras 3 lacks, or computes otherwise."""
    if config.get("interpolation") in _RESIZED_OTHERWISE:
        raise OtherFormNeeded(
            f"{layer} has the interpolation {config['interpolation']} of Keras 2, which Keras 3 has"
            f" not: {_SAVED_MODEL}"
        )
    if name == "RandomCrop":
        raise OtherFormNeeded(
            f"{layer} cuts images outside of training too in Keras 2, and not in Keras 3:"
            f" {_SAVED_MODEL}"
        )
    if name in _GONE:
        raise OtherFormNeeded(f"{layer} is one that Keras 3 has not: {_SAVED_MODEL}")


def _plain(value: Any, key: str, layer: str) -> Any:
    if isinstance(value, str):
        if value in _WORDS and key != "name":
            raise Refused(f"{layer} has {value!r} as its {key}")
    elif type(value) is int and key not in _ANY_INTEGER:
        most = MOST_REPEATS if key in _REPEATS else LARGEST_INTEGER
        if abs(value) > most:
            raise Refused(f"{layer} has {str(value)[:40]} as its {key}, more than {most:,}")
    return value


def _named(found: dict[str, Any]) -> str:
    """A layer in words, "" for what has no name."""
    config = found.get("config")
    name = found.get("name") or (config.get("name") if isinstance(config, dict) else None)
    if str(found["class_name"]).endswith("Policy"):
        return ""
    return f"its layer {str(name)[:100]!r} ({str(found['class_name'])[:100]})" if name else ""


def _require_name(found: dict[str, Any], layer: str) -> None:
    """Raise Refused for a layer of a name by which TensorFlow can't call it."""
    name = found["config"].get("name")
    if found["class_name"] != "InputLayer" and isinstance(name, str) and not SCOPE.fullmatch(name):
        raise Refused(f"{layer} has a name that TensorFlow can't use, {NAME_ADVICE}")


def _shown(found: dict[str, Any]) -> str:
    """The class or function that an object names."""
    name = found["config"] if found["class_name"] == "function" else found["class_name"]
    parts = [found.get("module"), name, *({found.get("registered_name")} - {None, name})]
    return ".".join(str(part)[:100] for part in parts if part)


def _require_numbers(config: Any, layer: str) -> None:
    if not isinstance(config, dict) or str(config.get("dtype")) not in _DTYPES:
        raise Refused(f"{layer} holds values that are no numbers")
