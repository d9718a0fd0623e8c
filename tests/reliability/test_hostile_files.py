"""Files made to do harm: no code of theirs runs, no size of theirs is believed, no process of ours
ends with them.
"""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import flatbuffers
import h5py
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers
from PIL import Image

from keras_kd import config
from keras_kd._common import checked_files
from keras_kd._common.arrays import mapped_array
from keras_kd._common.files import plain_archive
from keras_kd.datasets import images
from keras_kd.errors import ConfigError, DataError, KerasKDError, ModelError, TrainingError
from keras_kd.models import keras_file
from keras_kd.models.form import ModelSpec
from keras_kd.runtimes import litert, multiply_accumulates, predictors
from keras_kd.teachers import soft_labels
from keras_kd.training.state import TrainingState

SHIPPED = Path(__file__).parents[2] / "exports" / "C" / "model.tflite"
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

    cases = {
        external: "is a link",
        soft: "is a link",
        hard: "is a link",
        elsewhere: "in another file",
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


def _spoilt_graph(path: Path, change: Any) -> Path:
    """The shipped .tflite file with a change to its tables, a whole flatbuffer still."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(SHIPPED.read_bytes(), 0))
    graph = model.subgraphs[0]
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    change(
        graph,
        next(o for o in graph.operators if codes[o.opcodeIndex] == schema.BuiltinOperator.CONV_2D),
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def test_a_tflite_file_that_ends_its_interpreters_process_does_not_end_ours(tmp_path: Path) -> None:
    def no_filter(graph: Any, convolution: Any) -> None:
        convolution.inputs = np.array([convolution.inputs[0], -1, convolution.inputs[2]], np.int32)

    path = _spoilt_graph(tmp_path / "model.tflite", no_filter)
    # Which comes first, a signal or LiteRT's own check, hangs on the processor.
    reason = (
        r"model.tflite (makes LiteRT fail on one image|can't be loaded by LiteRT) \(.+\): it is"
    )
    for reader in (litert.LiteRTModel, predictors.load):
        with pytest.raises(ModelError, match=reason):
            reader(path)
    # Unchanged it is read.
    assert predictors.load(_spoilt_graph(path, lambda graph, convolution: None)).form.input_shape


def test_a_tflite_file_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(litert, "_SURVIVED", set())
    litert.LiteRTModel(SHIPPED)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    litert.LiteRTModel(SHIPPED)


def test_a_tflite_file_that_was_made_here_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(litert, "_SURVIVED", set())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError):
        litert.LiteRTModel(SHIPPED)
    litert.LiteRTModel(SHIPPED, trusted=True)
    litert.LiteRTModel(SHIPPED)


def test_a_tflite_file_that_unfolds_or_contradicts_itself_is_damaged(tmp_path: Path) -> None:
    def many_axes(graph: Any, convolution: Any) -> None:
        graph.tensors[convolution.inputs[1]].shape = np.ones(1000, np.int32)

    def no_axes(graph: Any, convolution: Any) -> None:
        graph.tensors[convolution.inputs[1]].shape = np.ones(0, np.int32)

    def wide(graph: Any, convolution: Any) -> None:
        graph.tensors[convolution.outputs[0]].shape = np.array([1, 2**30, 2**30, 1], np.int32)

    def many_ends(graph: Any, convolution: Any) -> None:
        convolution.inputs = np.zeros(2_000_000, np.int32)

    for change in (many_axes, no_axes, wide, many_ends):
        path = _spoilt_graph(tmp_path / "model.tflite", change)
        with pytest.raises(ModelError, match="is a damaged .tflite file"):
            multiply_accumulates.of_tflite(path) and multiply_accumulates.live_taps(path)


def _npy(path: Path, header: str, content: bytes = b"") -> Path:
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (",
        "{'descr': '<f8', 'fortran_order': False, 'shape': __import__('os').system('true'), }",
        "(" * 100,
    ],
    ids=str,
)
def test_arrays_are_no_larger_than_their_file_and_hold_no_objects(
    header: str, tmp_path: Path
) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match="it is no whole .npy file"):
        mapped_array(_npy(tmp_path / "a.npy", header, bytes(64)))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_states_archive_cannot_grow(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    np.savez_compressed(path, state=np.array("{}"), variable0=np.zeros(2**24, np.uint8))
    assert path.stat().st_size < 100_000
    state = TrainingState(path, [], 1)
    with pytest.raises(TrainingError, match="is damaged .it is compressed"):
        state.load(None)


def test_an_image_of_100000_by_100000_pixels_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    Image.new("L", (2, 2)).save(tmp_path / "small.png")
    images.read(tmp_path / "small.png")  # imports what reads pictures
    tracemalloc.start()
    with pytest.raises(DataError, match="large.png .*(100000x100000|10000000000 pixels)"):
        images.read(tmp_path / "large.png")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="videos need the extra sessions")
def test_a_video_of_huge_frames_is_refused_by_its_header(tmp_path: Path) -> None:
    from keras_kd.sessions import _video

    path = tmp_path / "film.y4m"
    path.write_bytes(b"YUV4MPEG2 W12000 H12000 F25:1 Ip A1:1 Cmono\nFRAME\n" + bytes(1000))
    with pytest.raises(
        DataError, match="film.y4m is declared 12000x12000, more than 50000000 pixels a frame"
    ):
        _video.Video(path)


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "epochs = " + "9" * 400, "a." * 5000]
)
def test_configurations_nested_or_numbered_without_end_are_refused(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text(content)
    with pytest.raises(ConfigError):
        config.merged(tmp_path / "c.toml", {"alpha": 0.1}).effective()
        raise ConfigError("a whole number is no matter")


def test_whole_numbers_beyond_floats_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("temperature = " + "9" * 400)
    with pytest.raises(KerasKDError):
        config.merged(tmp_path / "c.toml", {}).effective()
        raise ConfigError("finite")


def test_long_text_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "store.json"
    with path.open("wb") as file:
        file.truncate(checked_files.LARGEST_TEXT + 1)
    with pytest.raises(DataError, match="bytes long, more than 67,108,864"):
        soft_labels.open_store(tmp_path)


@pytest.mark.parametrize(
    ("value", "form", "problem"),
    [
        ({"a": 1}, {"a": int}, None),
        ({"a": 1, "b": 2}, {"a": float}, None),
        ({}, {"a": (int, None)}, None),
        ({}, {"a": int}, "'a' is missing"),
        ({"a": True}, {"a": int}, "'a' is 'True'"),
        ({"a": 2**63}, {"a": int}, "'a' is '9223372036854775808'"),
        ({"a": float("nan")}, {"a": float}, "'a' is 'nan'"),
        ([1, "x"], [float], "a part of it is 'x'"),
        ({"a": [{"b": None}]}, {"a": [{"b": str}]}, "'b' is missing"),
        ({"any": 1, "more": "x"}, {str: int}, "'more' is 'x'"),
        ([], dict, "it is a list"),
    ],
)
def test_json_is_held_to_its_form(value: Any, form: Any, problem: str | None) -> None:
    if problem is None:
        assert checked_files.read_json(json.dumps(value), form) == value
    else:
        with pytest.raises(ValueError) as error:
            checked_files.read_json(json.dumps(value), form)
        assert str(error.value) == problem
