"""LiteRT files, arrays, images, films and configurations made to do harm: no size is believed."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image
from png_files import chunk

from keras_kd import config
from keras_kd._common import checked_files
from keras_kd._common.arrays import mapped_array
from keras_kd.datasets import decoding
from keras_kd.errors import ConfigError, DataError, KerasKDError, ModelError, TrainingError
from keras_kd.runtimes import litert, multiply_accumulates, predictors
from keras_kd.teachers import soft_labels
from keras_kd.training.state import TrainingState

SHIPPED = Path(__file__).parents[2] / "exports" / "C" / "model.tflite"


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
    assert predictors.load(_spoilt_graph(path, lambda graph, convolution: None)).spec.input_shape


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
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    Image.new("L", (2, 2)).save(tmp_path / "small.png")
    decoding.read(tmp_path / "small.png")  # imports what reads pictures
    tracemalloc.start()
    with pytest.raises(DataError, match="large.png .*(100000x100000|10000000000 pixels)"):
        decoding.read(tmp_path / "large.png")
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


@pytest.mark.parametrize("text", ['data = "a\\u0000b"', 'match = ["a", "\\u0000"]'])
def test_null_characters_in_configurations_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match="null character"):
        config.load(tmp_path / "a.toml")


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
