"""A model's configuration that acts, or that no model of Keras writes, is refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest
from fuzz_models import places
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from keras.src.api_export import REGISTERED_NAMES_TO_OBJS
from keras_config_files import BASE, conv_config, conv_model, rewritten

from keras_kd.errors import ModelError
from keras_kd.models import keras_config, keras_file

# A harmless stand-in for what acts: it changes a setting of the process alone.
CANARY = {
    "module": "keras.config",
    "class_name": "function",
    "config": "set_max_epochs",
    "registered_name": "set_max_epochs",
}


def _append(config: dict[str, Any], own: dict[str, Any], **layer: Any) -> None:
    extra = {"module": "keras.layers", "registered_name": None, "name": "extra", "config": own}
    config["config"]["layers"].append(extra | layer)


PLACES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a Lambda beside the graph": lambda config: _append(
        config,
        class_name="Lambda",
        own={"name": "extra", "function": CANARY, "arguments": {}},
        inbound_nodes=[{"args": [], "kwargs": {"inputs": 1}}],
    ),
    "a Lambda in the graph": lambda config: conv_config(config).update(
        class_name="Lambda", config={"name": "conv", "function": CANARY}
    ),
    "an activation": lambda config: conv_config(config)["config"].update(activation=CANARY),
    "an initializer": lambda config: conv_config(config)["config"].update(
        kernel_initializer=CANARY
    ),
    "a layer": lambda config: conv_config(config).update(CANARY),
    "an argument of a call": lambda config: conv_config(config)["inbound_nodes"][0][
        "kwargs"
    ].update(a=CANARY),
    "how a layer is built": lambda config: conv_config(config).update(
        build_config={"input_shape": CANARY}
    ),
    "a class by its registered name": lambda config: conv_config(config).update(
        registered_name="set_max_epochs"
    ),
    "a type": lambda config: conv_config(config)["config"].update(
        dtype={
            "class_name": "__typespec__",
            "module": "keras.config",
            "spec_name": "set_max_epochs",
            "registered_name": None,
            "config": [1],
        }
    ),
    "a lambda": lambda config: conv_config(config)["config"].update(
        activation={"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    ),
    "a SavedModel": lambda config: conv_config(config).update(
        class_name="TFSMLayer",
        config={"name": "conv", "filepath": "elsewhere", "call_endpoint": "serve"},
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_acts_is_refused_with_its_layers_name(place: str, tmp_path: Path) -> None:
    before = keras.config.max_epochs()
    path = rewritten(conv_model(), tmp_path / "model.keras", PLACES[place])
    with pytest.raises(
        ModelError, match=r"model.keras can't be loaded .*its layer '(conv|extra)'"
    ) as refused:
        keras_file.load(path)
    assert "\n" not in str(refused.value)
    assert keras.config.max_epochs() == before


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_stateful_layer_is_named_with_what_to_do(suffix: str, tmp_path: Path) -> None:
    """The reason was that a variable was created in a stateless scope."""
    image = keras.Input((4, 4), batch_size=1)
    for stateful in (True, False):
        recurrent = layers.Bidirectional(layers.LSTM(2, stateful=stateful, name="memory"))
        model = keras.Model(image, layers.Dense(3)(recurrent(image)))
        path = tmp_path / f"{stateful}{suffix}"
        model.save(path)
        if stateful:
            with pytest.raises(
                ModelError, match=r"its layer '.*memory' \(LSTM\) is stateful, .*: b"
            ):
                keras_file.load(path)
        else:
            keras_file.load(path)


def test_vocabularies_are_values_never_paths() -> None:
    text = keras.Input((1,), dtype="string")
    model = keras.Model(text, layers.StringLookup(vocabulary=["a", "b"], name="words")(text))
    config = json.dumps(keras.saving.serialize_keras_object(model))
    keras_config.read(config)
    with pytest.raises(keras_config.Refused, match="its layer 'words' .* a vocabulary in a file"):
        keras_config.read(config.replace('["a", "b"]', '"/etc/passwd"'))


def test_settings_for_training_are_not_read(tmp_path: Path) -> None:
    before = keras.config.max_epochs()

    def change(config: dict[str, Any]) -> None:
        config["compile_config"] = conv_config(config)["compile_config"] = {
            "optimizer": CANARY,
            "loss": CANARY,
        }

    loaded, _ = keras_file.load(rewritten(conv_model(), tmp_path / "model.keras", change))
    assert not loaded.compiled and keras.config.max_epochs() == before


def test_h5_files_are_held_to_the_same_list(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    before = keras.config.max_epochs()
    for place in ("a Lambda beside the graph", "an activation", "an initializer", "a layer"):
        conv_model().save(path)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            PLACES[place](config)
            file.attrs["model_config"] = json.dumps(config)
        with pytest.raises(ModelError, match="its layer '(conv|extra)'"):
            keras_file.load(path)
    conv_model().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"linear"', '"deserialize"')
    with pytest.raises(ModelError, match="its layer .* has 'deserialize' as its activation"):
        keras_file.load(path)
    assert keras.config.max_epochs() == before


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, sum(1 for _ in places(json.loads(BASE))) - 1),
    st.sampled_from(sorted(REGISTERED_NAMES_TO_OBJS)),
    st.booleans(),
)
def test_whatever_keras_exports_is_on_the_list_or_refused_in_any_place(
    place: int, name: str, function: bool
) -> None:
    config = json.loads(BASE)
    container, key = list(places(config))[place]
    module, _, short = name.rpartition(".")
    named = (
        {"class_name": "function", "config": short}
        if function
        else {"class_name": short, "config": {}}
    )
    container[key] = {"module": module, "registered_name": None, **named}
    found = REGISTERED_NAMES_TO_OBJS[name]
    computes = isinstance(found, type) and not issubclass(found, (layers.Lambda, layers.TFSMLayer))
    try:
        read = keras_config.read(json.dumps(config))
    except ValueError:
        return
    # What passed is dropped, an activation by its name, or a class; none is a function of another
    # kind.
    assert (
        key == "compile_config"
        or computes
        or json.dumps(read).count('"function"') <= ("ops" in module)
    )
    assert computes or key in ("activation", "compile_config") or not function


def test_layers_that_no_output_needs_are_refused() -> None:
    config = json.loads(BASE)
    spare = copy.deepcopy(conv_config(config))
    config["config"]["layers"].append(spare | {"name": "spare"})
    with pytest.raises(keras_config.Refused, match="no output needs its layer 'spare'"):
        keras_config.read(json.dumps(config))
    config["config"]["layers"][-1]["name"] = "conv"
    with pytest.raises(keras_config.Refused, match="two layers called 'conv'"):
        keras_config.read(json.dumps(config))


@pytest.mark.parametrize("name", ["my layer", "é", "a:b", "a\\b", "a\nb", ".", "..", ""])
def test_layers_of_names_that_tensorflow_cannot_call_are_refused(name: str, tmp_path: Path) -> None:
    """Keras writes them, and no function of TensorFlow can call them."""
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Flatten(name=name)(image))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="a name that TensorFlow can't use.*rename it"):
        keras_file.load(tmp_path / "model.keras")
    model.layers[1].name = "flat_1.a-b>c"
    model.save(tmp_path / "model.keras")
    assert keras_file.load(tmp_path / "model.keras")[0].layers[1].name == "flat_1.a-b>c"
