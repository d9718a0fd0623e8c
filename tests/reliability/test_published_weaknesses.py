"""The published weaknesses of Keras' loading, 2024 to 2026, tried by harmless stand-ins.

Each row is one of docs/reliability.md's table: what the file has, and why it is refused.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.models import keras_file

WEIGHTS = "model.weights.h5"
Members = dict[str, bytes]


def _model() -> keras.Model:
    image = keras.Input((8, 8, 1), name="image")
    mean = layers.GlobalAveragePooling2D(name="mean")(image)
    return keras.Model(image, layers.Dense(2, name="logits")(mean))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    _model().save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _function(name: str) -> dict[str, Any]:
    module, _, short = name.rpartition(".")
    return {"module": module, "class_name": "function", "config": short, "registered_name": short}


def _mean_is(module: str, name: str, /, **config: Any) -> Callable[[Members, Path], Members]:
    """Put another class in the place of the layer `mean`."""

    def change(members: Members, folder: Path) -> Members:
        configuration = json.loads(members["config.json"])
        layer = next(one for one in configuration["config"]["layers"] if one["name"] == "mean")
        layer.update(module=module, class_name=name, config={"name": "mean"} | config)
        return members | {"config.json": json.dumps(configuration).encode()}

    return change


def _lambda(name: str, **arguments: Any) -> Callable[[Members, Path], Members]:
    return _mean_is("keras.layers", "Lambda", function=_function(name), arguments=arguments)


def _stored_code(members: Members, folder: Path) -> Members:
    code = {"class_name": "__lambda__", "config": {"value": ["", None, None]}}
    return _mean_is("keras.layers", "Lambda", function=code)(members, folder)


def _weights(change: Callable[[h5py.Group, Path], None]) -> Callable[[Members, Path], Members]:
    def changed(members: Members, folder: Path) -> Members:
        content = io.BytesIO(members[WEIGHTS])
        with h5py.File(content, "r+") as file:
            group = file["layers/dense/vars"]
            del group["1"]
            change(group, folder)
        return members | {WEIGHTS: content.getvalue()}

    return changed


def _elsewhere(group: h5py.Group, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(8))
    group.create_dataset("1", (2,), "f4", external=[(str(folder / "secret"), 0, 8)])


def _linked(group: h5py.Group, folder: Path) -> None:
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.zeros(2, np.float32)
    group["1"] = h5py.ExternalLink(str(folder / "secret.h5"), "x")


def _virtual(group: h5py.Group, folder: Path) -> None:
    _linked(group, folder)
    del group["1"]
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", (2,))
    group.create_virtual_dataset("1", layout)


def _declared(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("1", (10**6, 10**6), "f4", chunks=(1000, 1000))


def _grown(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("1", data=np.zeros(10**6, np.float32), compression="gzip")


def _pickled(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("1", (2,), h5py.vlen_dtype(np.uint8))


def _fail_open(members: Members, folder: Path) -> Members:
    """A Lambda in a model in the model, where Keras' safe mode was not handed on."""
    configuration = json.loads(members["config.json"])
    inner = json.loads(_stored_code(members, folder)["config.json"])
    layer = next(one for one in configuration["config"]["layers"] if one["name"] == "mean")
    layer.update(inner, config=inner["config"] | {"name": "mean"})
    return members | {"config.json": json.dumps(configuration).encode()}


def _member(name: str) -> Callable[[Members, Path], Members]:
    return lambda members, folder: members | {name: b"a"}


CASES: dict[str, tuple[Callable[[Members, Path], Members], str]] = {
    "CVE-2024-3660": (_stored_code, "'mean'.*__lambda__"),
    "CVE-2024-55459": (_lambda("keras.utils.get_file", fname="a"), "'mean'.*get_file"),
    "CVE-2025-1550": (_mean_is("importlib", "reload", module="this"), "'mean'.*importlib.reload"),
    "CVE-2025-8747": (_lambda("keras.utils.get_file", origin="a"), "'mean'.*get_file"),
    "CVE-2025-9906": (_mean_is("keras.config", "enable_unsafe_deserialization"), "'mean'.*enable_"),
    "CVE-2025-12058": (
        _mean_is("keras.layers", "StringLookup", vocabulary="/etc/hostname"), "vocabulary in a file"
    ),
    "CVE-2025-12060": (_member("../outside.txt"), "it holds ../outside.txt"),
    "CVE-2025-12638": (_member("assets/a.tar"), "it holds assets/a.tar"),
    "CVE-2025-49655": (
        _mean_is("keras.layers", "TorchModuleWrapper", module="a"), "'mean'.*TorchModuleWrapper"
    ),
    "CVE-2026-0897": (_weights(_declared), "declares 4,000,000,000,0.. bytes of weights"),
    "CVE-2026-1462": (
        _mean_is("keras.layers", "TFSMLayer", filepath="elsewhere"), "'mean'.*TFSMLayer"
    ),
    "CVE-2026-12479": (
        _mean_is("keras.layers", "GlobalAveragePooling2D", name="../../outside"),
        "'mean'.*a name that TensorFlow can't use",
    ),
    "CVE-2026-12481, keras#23165": (_fail_open, "'mean'.*__lambda__"),
    "CVE-2026-12570": (_weights(_grown), "is packed, which Keras' weights never are"),
    "CVE-2026-1669": (_weights(_elsewhere), "the numbers of .* lie in another file"),
    "keras#22900": (_weights(_linked), "is a link"),
    "keras#22976": (_weights(_virtual), "the numbers of .* lie in another file"),
    "keras#23016": (_member("model.weights.npz"), "it holds model.weights.npz"),
    "GHSA-hqp4-2352-xf5r": (_member("assets/../../outside.txt"), "it holds assets/../../outside"),
    "keras#23034": (_weights(_pickled), "holds no numbers"),
    "a setting of the process": (_lambda("keras.config.set_max_epochs"), "'mean'.*set_max_epochs"),
    "a public function outside of safe mode's list": (
        _lambda("keras.datasets.mnist.load_data"), "'mean'.*load_data"
    ),
}  # fmt: skip


def _archived(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_published_weakness_is_closed(name: str, members: Members, tmp_path: Path) -> None:
    change, words = CASES[name]
    path = _archived(tmp_path / "model.keras", change(members, tmp_path))
    before = keras.config.max_epochs(), sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=words):
        keras_file.load(path)
    assert (keras.config.max_epochs(), sorted(tmp_path.rglob("*"))) == before


def test_h5_files_are_held_to_the_same(tmp_path: Path) -> None:
    """CVE-2025-9905: safe mode was not heeded in `.h5` files."""
    _model().save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        members = _stored_code({"config.json": file.attrs["model_config"].encode()}, tmp_path)
        file.attrs["model_config"] = members["config.json"].decode()
    with pytest.raises(ModelError, match="'mean'.*__lambda__"):
        keras_file.load(tmp_path / "model.h5")


def test_compressed_archives_are_refused(members: Members, tmp_path: Path) -> None:
    """keras#23010: a member that grows without end when it is unpacked."""
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with pytest.raises(ModelError, match="it is compressed, which such files never are"):
        keras_file.load(tmp_path / "model.keras")


def test_a_registered_class_does_not_stand_in_for_keras_own(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keras#22466: what a program registered takes the place of a class of Keras by its name."""
    monkeypatch.setitem(keras.saving.get_custom_objects(), "Dense", object)
    with pytest.raises(ModelError, match="'logits'.*names the class keras.layers.Dense"):
        keras_file.load(_archived(tmp_path / "model.keras", members))
