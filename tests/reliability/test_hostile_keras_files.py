"""Keras files made to do harm: no code of theirs runs, no size of theirs is believed."""

from __future__ import annotations

import copy
import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_kd._common.archives import plain_archive
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import predictors

WEIGHTS = "model.weights.h5"
DENSE = "layers/dense/vars"


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the .keras file of a small model holds."""
    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(
        image, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D(name="mean")(image))
    )
    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras_file.save(model, path, ModelSpec(("a", "b"), input_shape=(8, 8, 1)))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _written(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _refused(path: Path, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        keras_file.load(path)
    assert str(path) in str(error.value) and str(error.value).isprintable()


def _changed(members: dict[str, bytes], layer: int, **change: Any) -> dict[str, bytes]:
    """The members with a layer's entry of the configuration changed: 0 input, 1 mean, 2 logits."""
    configuration = json.loads(members["config.json"])
    configuration["config"]["layers"][layer].update(copy.deepcopy(change))
    return members | {"config.json": json.dumps(configuration).encode()}


def _layer(module: str, class_name: str, /, **own: Any) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "registered_name": None, "config": own}


def _function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    "change",
    [
        lambda mark: _layer("os", "system", command=f"touch {mark}"),
        lambda mark: _layer("subprocess", "Popen", args=["touch", mark]),
        lambda mark: _layer("builtins", "exec", source=f"open({mark!r}, 'w')"),
        lambda mark: _layer(
            "keras.layers",
            "Lambda",
            name="l",
            function=_function("os", "system"),
            arguments={"command": f"touch {mark}"},
        ),
        lambda mark: _layer(
            "keras.layers",
            "Lambda",
            name="l",
            function=_function("keras.utils", "get_file"),
            arguments={"origin": f"file://{mark}"},
        ),
        lambda mark: _layer("keras.config", "enable_unsafe_deserialization"),
        lambda mark: _function("keras.config", "enable_unsafe_deserialization"),
        lambda mark: _layer("keras.layers", "TFSMLayer", name="t", filepath=mark),
        lambda mark: _layer("keras.layers", "StringLookup", name="s", vocabulary="/etc/passwd"),
        lambda mark: _layer(
            "keras.layers", "Activation", name="a", activation=_function("builtins", "eval")
        ),
        lambda mark: _layer("keras.layers", "Activation", name="a", activation="os.system"),
    ],
)
def test_no_code_is_run_from_a_models_configuration(
    change: Any, members: dict[str, bytes], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    changed = _changed(members, 1, **change(str(mark)))
    _refused(_written(tmp_path / "model.keras", changed), "can't be loaded as a Keras")
    assert not mark.exists()


def test_layers_take_no_memory_that_their_file_does_not_hold(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    dense = json.loads(members["config.json"])["config"]["layers"][2]["config"]
    # 1.6 GB of weights.
    path = _written(
        tmp_path / "model.keras", _changed(members, 2, config=dense | {"units": 2 * 10**8})
    )
    assert path.stat().st_size < 20_000
    command = [sys.executable, "-c", _LIMITED, path, _written(tmp_path / "whole.keras", members)]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    assert told.splitlines() == ["refused", "read"]


_LIMITED = """
import resource, sys
from keras_kd.models import keras_file
from keras_kd.errors import ModelError
used = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 2**29,) * 2)
for path in sys.argv[1:]:
    try:
        keras_file.load(path)
        print("read")
    except ModelError:
        print("refused")
"""


def test_a_load_leaves_no_weights_to_be_made_later(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    from keras.src.backend.common import global_state

    model, _ = keras_file.load(_written(tmp_path / "model.keras", members))
    assert global_state.get_global_attribute("uninitialized_variables", []) == []
    assert [weight.shape for weight in model.get_weights()] == [(1, 2), (2,)]


def test_archives_that_grow_or_lie_are_refused(members: dict[str, bytes], tmp_path: Path) -> None:
    grown = members | {WEIGHTS: bytes(2**26)}
    path = _written(tmp_path / "model.keras", grown, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    _refused(path, "it is compressed, which such files never are")
    lying = bytearray(_written(tmp_path / "lying.keras", members).read_bytes())
    directory = lying.rindex(b"PK\x01\x02")
    lying[directory + 20 : directory + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "lying.keras").write_bytes(lying)
    _refused(tmp_path / "lying.keras", "declares more content than the file holds")
    with pytest.raises(ValueError, match="no whole zip archive"):
        plain_archive(io.BytesIO(b"PK\x05\x06"), 4)


def _with_weights(members: dict[str, bytes], change: Any) -> dict[str, bytes]:
    content = io.BytesIO(members[WEIGHTS])
    with h5py.File(content, "r+") as file:
        change(file[DENSE])
    return members | {WEIGHTS: content.getvalue()}


def test_weights_that_are_links_or_declared_larger_than_their_file_are_refused(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(2.0)

    def external(group: h5py.Group) -> None:
        del group["1"]
        group["1"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")

    def soft(group: h5py.Group) -> None:
        del group["1"]
        group["1"] = h5py.SoftLink(f"/{DENSE}/0")

    def hard(group: h5py.Group) -> None:
        group["2"] = group["1"]

    def elsewhere(group: h5py.Group) -> None:
        del group["1"]
        group.create_dataset("1", (2,), "f4", external=[(str(tmp_path / "secret.h5"), 0, 8)])

    def virtual(group: h5py.Group) -> None:
        del group["1"]
        layout = h5py.VirtualLayout((2,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (2,))
        group.create_virtual_dataset("1", layout)

    def huge(group: h5py.Group) -> None:
        del group["1"]
        group.create_dataset("1", (10**6, 10**6), "f4", chunks=(1000, 1000))

    def deep(group: h5py.Group) -> None:
        """3 MB that took minutes: each level is looked up from the top."""
        for _ in range(3000):
            group = group.create_group("g")

    cases = {
        external: "is a link",
        soft: "is a link",
        hard: "is a link",
        elsewhere: "in another file",
        deep: "200 levels",
    }
    for change, words in (
        cases | {virtual: "in another file", huge: "it declares 4,000,000,000,0"}
    ).items():
        _refused(_written(tmp_path / "model.keras", _with_weights(members, change)), words)
    keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2)]).save(
        tmp_path / "old.h5"
    )
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        file.create_dataset("more", (10**6, 10**6), "f4", chunks=(1000, 1000))
    _refused(tmp_path / "old.h5", "it declares 4,000,000,0")


@pytest.mark.parametrize(
    "form",
    [
        "[" * 100_000,
        {"class_names": "ab"},
        {"class_names": ["a", 1]},
        {"class_names": ["a", "b\n"]},
        {"value_range": [0]},
        {"value_range": [0, "1"]},
        {"input_shape": [8, 8]},
        {"input_shape": [8, -8, 1]},
        {"output": ["logits"]},
    ],
    ids=str,
)
def test_forms_of_other_types_are_refused(
    form: Any, members: dict[str, bytes], tmp_path: Path
) -> None:
    usual = json.loads(members[keras_file.ENTRY])
    content = form if isinstance(form, str) else json.dumps(usual | form)
    _refused(
        _written(tmp_path / "model.keras", members | {keras_file.ENTRY: content.encode()}),
        "a damaged keras_kd.json",
    )


def test_images_of_any_size_are_not_made_for_a_model(
    members: dict[str, bytes], tmp_path: Path
) -> None:
    usual = json.loads(members[keras_file.ENTRY])
    huge = json.dumps(usual | {"input_shape": [10**5, 10**5, 1]}).encode()
    with pytest.raises(ModelError, match="takes images of shape"):
        predictors.load(_written(tmp_path / "model.keras", members | {keras_file.ENTRY: huge}))
