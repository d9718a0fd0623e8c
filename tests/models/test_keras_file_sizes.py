"""Model files that would take memory or time without bound are refused at once."""

from __future__ import annotations

import copy
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from keras import layers
from keras_config_files import BASE, conv_config, conv_model, model_around, rewritten

from keras_kd.errors import ModelError
from keras_kd.models import keras_config, keras_file


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
    path = rewritten(conv_model(), tmp_path / "model.keras", _backwards)
    monkeypatch.setattr(keras_file, "LONGEST", 0.1)
    with pytest.raises(
        ModelError, match="model.keras takes more than 0.1 s to load: give a smaller"
    ):
        keras_file.load(path)
    # Keras is as it was.
    monkeypatch.setattr(keras_file, "LONGEST", 300)
    conv_model().save(path)
    assert keras_file.load(path)[0].count_params()


def _layers(count: int) -> str:
    config = json.loads(BASE)
    config["config"]["layers"] += [
        conv_config(config) | {"name": f"conv{number}"} for number in range(count)
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
        conv_config(config)["config"].update(filters=2**24, kernel_size=[6, 6])

    with pytest.raises(ModelError, match="model.keras can't be loaded"):
        keras_file.load(rewritten(conv_model(), tmp_path / "model.keras", wide))
    model_around(lambda x: layers.UpSampling2D(2000)(x)).save(tmp_path / "large.keras")
    with pytest.raises(
        ModelError,
        match=r"its layer up_sampling2d.* makes \(64000, 64000, 3\) numbers of one image",
    ):
        keras_file.load(tmp_path / "large.keras")


def _archive(path: Path, *added: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    conv_model().save(path)
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
    conv_model().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="model.h5 is cut short, damaged"):
        keras_file.load(path)
