"""What a Keras model's configuration may name: everything that computes, and nothing that acts."""

from __future__ import annotations

import copy
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops
from keras.src.api_export import REGISTERED_NAMES_TO_OBJS

from keras_kd._common import trust
from keras_kd.errors import ModelError
from keras_kd.models import keras_config, keras_file, trusted_modules

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
# A harmless stand-in for what acts: it changes a setting of the process alone.
CANARY = {
    "module": "keras.config",
    "class_name": "function",
    "config": "set_max_epochs",
    "registered_name": "set_max_epochs",
}


def _model(body: Callable[[Any], Any]) -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(body(image))))


def _conv(**options: Any) -> keras.Model:
    return _model(lambda image: layers.Conv2D(2, 3, name="conv", **options)(image))


def _rewritten(model: keras.Model, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The model's file with a change to its configuration."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    return path


BODIES: dict[str, Callable[[Any], Any]] = {
    "activations": lambda x: layers.Activation(keras.activations.gelu)(
        layers.Conv2D(2, 3, activation=layers.LeakyReLU(0.2))(
            layers.Dense(2, activation=ops.sin)(x)
        )
    ),
    "initializers": lambda x: layers.Conv2D(
        2,
        3,
        kernel_initializer=keras.initializers.HeNormal(keras.random.SeedGenerator(1)),
        kernel_regularizer="l2",
        kernel_constraint=keras.constraints.MaxNorm(2.0),
        bias_initializer=keras.initializers.Constant(0.1),
    )(x),
    "operations": lambda x: ops.concatenate(
        [x / 127.5 - 1, x[:, ::-1, :, :2] * np.array([0.5, 2], "float32")], -1
    ),
    "recurrent": lambda x: layers.Reshape((4, 2, 4))(
        layers.Bidirectional(
            layers.LSTM(2, return_sequences=True),
            backward_layer=layers.GRU(2, go_backwards=True, return_sequences=True),
        )(
            layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], return_sequences=True)(
                layers.TimeDistributed(layers.Dense(2))(layers.Reshape((8, 384))(x))
            )
        )
    ),
    "nested": lambda x: keras.Sequential(
        [layers.Rescaling(1 / 255), _conv(), layers.Reshape((1, 1, 3))]
    )(x),
    "preprocessing": lambda x: layers.RandomRotation(0.1)(
        layers.Pipeline([layers.RandomFlip(), layers.Resizing(24, 24)])(
            layers.Normalization(mean=[1.0, 2, 3], variance=[1.0, 2, 3])(x)
        )
    ),
    "policies": lambda x: layers.Conv2D(2, 3, dtype="mixed_bfloat16")(
        layers.Conv2D(2, 3, dtype=keras.dtype_policies.DTypePolicy("mixed_float16"))(x)
    ),
    "wrapped": lambda x: layers.SpectralNormalization(layers.Conv2D(2, 3))(
        layers.GroupNormalization(3)(x)
    ),
    "attention": lambda x: layers.Reshape((4, 2, 3))(
        layers.MultiHeadAttention(2, 2)(
            *2 * [layers.Resizing(4, 2)(x) if False else layers.Reshape((8, 384))(x)]
        )[:, :, :3]
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_keras_writes_is_read(name: str, tmp_path: Path) -> None:
    model = _model(BODIES[name])
    model.compile("adam", "mse", metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    loaded, _ = keras_file.load(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(IMAGES, training=False), model(IMAGES, training=False), rtol=1e-5
    )
    assert not loaded.compiled


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ConvNeXtTiny", "EfficientNetV2B0", "InceptionResNetV2", "MobileNetV3Small"]
)
def test_the_applications_of_keras_are_read(name: str, tmp_path: Path) -> None:
    model = getattr(keras.applications, name)(weights=None, classes=3, input_shape=(96, 96, 3))
    model.save(tmp_path / "model.keras")
    assert keras_file.load(tmp_path / "model.keras")[0].count_params() == model.count_params()


def _append(config: dict[str, Any], own: dict[str, Any], **layer: Any) -> None:
    extra = {"module": "keras.layers", "registered_name": None, "name": "extra", "config": own}
    config["config"]["layers"].append(extra | layer)


def _conv_config(config: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in config["config"]["layers"] if one["name"] == "conv")


PLACES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a Lambda beside the graph": lambda config: _append(
        config,
        class_name="Lambda",
        own={"name": "extra", "function": CANARY, "arguments": {}},
        inbound_nodes=[{"args": [], "kwargs": {"inputs": 1}}],
    ),
    "a Lambda in the graph": lambda config: _conv_config(config).update(
        class_name="Lambda", config={"name": "conv", "function": CANARY}
    ),
    "an activation": lambda config: _conv_config(config)["config"].update(activation=CANARY),
    "an initializer": lambda config: _conv_config(config)["config"].update(
        kernel_initializer=CANARY
    ),
    "a layer": lambda config: _conv_config(config).update(CANARY),
    "an argument of a call": lambda config: _conv_config(config)["inbound_nodes"][0][
        "kwargs"
    ].update(a=CANARY),
    "how a layer is built": lambda config: _conv_config(config).update(
        build_config={"input_shape": CANARY}
    ),
    "a class by its registered name": lambda config: _conv_config(config).update(
        registered_name="set_max_epochs"
    ),
    "a type": lambda config: _conv_config(config)["config"].update(
        dtype={
            "class_name": "__typespec__",
            "module": "keras.config",
            "spec_name": "set_max_epochs",
            "registered_name": None,
            "config": [1],
        }
    ),
    "a lambda": lambda config: _conv_config(config)["config"].update(
        activation={"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
    ),
    "a SavedModel": lambda config: _conv_config(config).update(
        class_name="TFSMLayer",
        config={"name": "conv", "filepath": "elsewhere", "call_endpoint": "serve"},
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_acts_is_refused_with_its_layers_name(place: str, tmp_path: Path) -> None:
    before = keras.config.max_epochs()
    path = _rewritten(_conv(), tmp_path / "model.keras", PLACES[place])
    with pytest.raises(
        ModelError, match=r"model.keras can't be loaded .*its layer '(conv|extra)'"
    ) as refused:
        keras_file.load(path)
    assert "\n" not in str(refused.value)
    assert keras.config.max_epochs() == before


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
        config["compile_config"] = _conv_config(config)["compile_config"] = {
            "optimizer": CANARY,
            "loss": CANARY,
        }

    loaded, _ = keras_file.load(_rewritten(_conv(), tmp_path / "model.keras", change))
    assert not loaded.compiled and keras.config.max_epochs() == before


def test_h5_files_are_held_to_the_same_list(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    before = keras.config.max_epochs()
    for place in ("a Lambda beside the graph", "an activation", "an initializer", "a layer"):
        _conv().save(path)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            PLACES[place](config)
            file.attrs["model_config"] = json.dumps(config)
        with pytest.raises(ModelError, match="its layer '(conv|extra)'"):
            keras_file.load(path)
    _conv().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"linear"', '"deserialize"')
    with pytest.raises(ModelError, match="its layer .* has 'deserialize' as its activation"):
        keras_file.load(path)
    assert keras.config.max_epochs() == before


BASE = json.dumps(keras.saving.serialize_keras_object(_conv(activation="relu")))


def _places(config: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a configuration with each of its keys."""
    parts = config.items() if isinstance(config, dict) else enumerate(config)
    for key, part in list(parts):
        yield config, key
        if isinstance(part, (dict, list)):
            yield from _places(part)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, sum(1 for _ in _places(json.loads(BASE))) - 1),
    st.sampled_from(sorted(REGISTERED_NAMES_TO_OBJS)),
    st.booleans(),
)
def test_whatever_keras_exports_is_on_the_list_or_refused_in_any_place(
    place: int, name: str, function: bool
) -> None:
    config = json.loads(BASE)
    container, key = list(_places(config))[place]
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
    spare = copy.deepcopy(_conv_config(config))
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


def test_operations_without_a_layers_tensor_are_refused() -> None:
    config = json.loads(BASE)
    arange = {
        "module": "keras.src.ops.numpy",
        "class_name": "Arange",
        "config": {"name": "many"},
        "name": "many",
    }
    config["config"]["layers"].append(arange | {"inbound_nodes": [{"args": [10**7], "kwargs": {}}]})
    config["config"]["output_layers"] = ["many", 0, 0]
    content, started = json.dumps(config), time.process_time()
    with pytest.raises(
        keras_config.Refused, match="its layer 'many' takes nothing from another layer"
    ):
        keras_config.read(content)
    assert time.process_time() - started < 1


def _backwards(config: dict[str, Any]) -> None:
    """Add layers so that Keras goes through all of them anew for each one that it can connect."""
    *first, last = config["config"]["layers"]
    source, chain = first[-1]["name"], []
    for number in range(4_000):
        name = f"relu{number}"
        node = copy.deepcopy(last["inbound_nodes"])
        node[0]["args"][0]["config"] |= {"keras_history": [source, 0, 0], "shape": [None, 2]}
        relu = {"module": "keras.layers", "class_name": "ReLU", "registered_name": None}
        chain.append(relu | {"config": {"name": name}, "name": name, "inbound_nodes": node})
        source = name
    last["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = [source, 0, 0]
    config["config"]["layers"] = [*first, last, *chain[::-1]]


def test_a_model_that_takes_too_long_to_load_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _rewritten(_conv(), tmp_path / "model.keras", _backwards)
    monkeypatch.setattr(keras_file, "LONGEST", 0.1)
    with pytest.raises(
        ModelError, match="model.keras takes more than 0.1 s to load: give a smaller"
    ):
        keras_file.load(path)
    # Keras is as it was.
    monkeypatch.setattr(keras_file, "LONGEST", 300)
    _conv().save(path)
    assert keras_file.load(path)[0].count_params()


def _layers(count: int) -> str:
    config = json.loads(BASE)
    config["config"]["layers"] += [
        _conv_config(config) | {"name": f"conv{number}"} for number in range(count)
    ]
    return json.dumps(config)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _layers(10_001), "more than 10,000 layers"),
        (lambda: _layers(20_000), "bytes long"),
        (lambda: '{"config": {"a": ' + "[" * 50_000 + "]" * 50_000 + "}}", "nested too deeply"),
        (
            lambda: '{"class_name": "Model", "config": {"a": ' + "[" * 300 + "]" * 300 + "}}",
            "more than 200 levels",
        ),
        (
            lambda: json.dumps({"class_name": "Model", "config": {"a": [0] * 500_001}}),
            "500,000 values",
        ),
        (lambda: " " * (keras_config.LARGEST + 1), "bytes long"),
        (
            lambda: BASE.replace('"filters": 2', '"filters": 1000000000000'),
            "'conv' .* as its filters",
        ),
        (
            lambda: BASE.replace('"float32"', '"U2000000000"').replace(
                "__keras_tensor__", "__numpy__"
            ),
            "no numbers",
        ),
    ],
)
def test_configurations_of_any_size_are_refused_within_a_second(
    make: Callable[[], str], words: str
) -> None:
    content = make()
    started = time.process_time()
    with pytest.raises(keras_config.Refused, match=words):
        keras_config.read(content)
    # Coverage's counting of lines more than doubles the time.
    assert time.process_time() - started < (3 if sys.gettrace() else 1)


def test_weights_and_arrays_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    def wide(config: dict[str, Any]) -> None:
        # A shape that nothing fills: 7 GB.
        _conv_config(config)["config"].update(filters=2**24, kernel_size=[6, 6])

    with pytest.raises(ModelError, match="model.keras can't be loaded"):
        keras_file.load(_rewritten(_conv(), tmp_path / "model.keras", wide))
    _model(lambda x: layers.UpSampling2D(2000)(x)).save(tmp_path / "large.keras")
    with pytest.raises(
        ModelError,
        match=r"its layer up_sampling2d.* makes \(64000, 64000, 3\) numbers of one image",
    ):
        keras_file.load(tmp_path / "large.keras")


def test_own_layers_are_read_where_their_module_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "")
    source = tmp_path / "numpy.py"  # a name that must not hide another module
    source.write_text(
        "import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x):\n        return 2"
        " * x\n"
    )
    space: dict[str, Any] = {"__name__": "mine"}
    exec(source.read_text(), space)
    model = _model(space["Twice"](name="twice"))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"its layer 'twice' \(Twice\) .*--trust-module"):
        keras_file.load(tmp_path / "model.keras")
    trusted_modules.trust(str(source))
    np.testing.assert_array_equal(
        keras_file.load(tmp_path / "model.keras")[0](IMAGES), model(IMAGES)
    )
    with pytest.raises(ModelError, match="none.py can't be imported"):
        trusted_modules.trust(str(tmp_path / "none.py"))


def test_the_layers_of_keras_2_are_read_from_h5_files(tmp_path: Path) -> None:
    old = tf_keras.layers
    image = tf_keras.Input((32, 32, 3))
    inner = tf_keras.Input((30, 30, 4))
    x = old.SeparableConv2D(4, 3)(old.Rescaling(1 / 255)(image))
    x = tf_keras.Model(inner, old.ReLU(6.0)(old.DepthwiseConv2D(3)(inner)))(x)
    x = tf_keras.Sequential(
        [old.Conv2DTranspose(3, 3), old.BatchNormalization(), old.SpatialDropout2D(0.1)]
    )(x)
    x = old.Reshape((-1, 3))(old.Resizing(4, 4)(old.RandomFlip()(x)))
    x = old.GRU(3)(
        old.Bidirectional(old.LSTM(2, return_sequences=True))(old.MultiHeadAttention(2, 2)(x, x))
    )
    model = tf_keras.Model(image, old.Dense(3)(x))
    model.save(tmp_path / "model.h5")
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        ModelError, match=r"model.keras .*written by Keras 2.*: save it as .h5 there"
    ):
        keras_file.load(tmp_path / "model.keras")


def _archive(path: Path, *added: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    _conv().save(path)
    with zipfile.ZipFile(path, "a") as archive:
        for member, content in added:
            archive.writestr(member, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_hold_their_members_once_and_no_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("assets")
    link.external_attr = 0o120777 << 16
    for members, words in (
        ([(link, b"/etc")], "its member assets is a link"),
        ([("config.json", b"{}")], "config.json"),
        ([("assets/vocabulary.txt", b"a")], "assets/vocabulary.txt"),
    ):
        with pytest.raises(ModelError, match=f"model.keras is cut short, damaged.*{words}"):
            keras_file.load(_archive(tmp_path / "model.keras", *members))


def test_archives_of_many_members_and_weights_of_many_groups_are_refused_at_once(
    tmp_path: Path,
) -> None:
    path = _archive(tmp_path / "many.keras", *((f"m{number}", b"") for number in range(100_000)))
    started = time.process_time()
    with pytest.raises(ModelError, match="its list of members is longer than"):
        keras_file.load(path)
    assert time.process_time() - started < 1
    with h5py.File(tmp_path / "many.h5", "w") as file:
        for number in range(60_000):
            file.create_group(f"g{number}")
    started = time.process_time()
    with pytest.raises(ModelError, match="more than 50,000 arrays and groups"):
        keras_file.load(tmp_path / "many.h5")
    assert time.process_time() - started < 3


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_h5_files_that_are_cut_short_are_told(share: float, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    _conv().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="model.h5 is cut short, damaged"):
        keras_file.load(path)
