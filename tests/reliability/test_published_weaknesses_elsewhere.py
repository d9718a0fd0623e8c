"""Published weaknesses of TensorFlow Lite, ONNX, HDF5, Arrow, Pillow and protobuf, 2025 and 2026,
tried by harmless stand-ins: each is refused in a sentence, and no process but a trial's ends.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import flatbuffers
import h5py
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_kd.datasets import decoding
from keras_kd.errors import DataError, ModelError
from keras_kd.models import keras_file
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.onnx_runtime import OnnxModel

SHIPPED = Path(__file__).parents[2] / "exports" / "C" / "model.tflite"


def test_a_tflite_file_of_eight_bytes(tmp_path: Path) -> None:
    """tensorflow#115308: its first number leads out of the file."""
    (tmp_path / "a.tflite").write_bytes(struct.pack("<I", 0x18) + b"TFL3")
    with pytest.raises(ModelError, match=r"a\.tflite"):
        LiteRTModel(tmp_path / "a.tflite")


def _changed(path: Path, change: Any) -> Path:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(SHIPPED.read_bytes(), 0))
    change(model)
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_weights_beyond_the_end_of_memory(tmp_path: Path) -> None:
    """tensorflow#116632: an offset and a length whose sum wraps around."""

    def wrap(model: Any) -> None:
        buffer = next(one for one in model.buffers if one.data is not None and len(one.data) > 64)
        buffer.data, buffer.offset, buffer.size = None, 2**64 - 64, 128

    with pytest.raises(ModelError, match=r"a\.tflite"):
        LiteRTModel(_changed(tmp_path / "a.tflite", wrap))


def test_a_shape_of_more_sides_than_its_tensor(tmp_path: Path) -> None:
    """tensorflow#124982: a Reshape wrote its shape behind the memory of the tensor's."""

    def deepen(model: Any) -> None:
        (graph,) = model.subgraphs
        codes = [code.builtinCode for code in model.operatorCodes]
        kind = codes.index(schema.BuiltinOperator.RESHAPE)
        reshape = next(one for one in graph.operators if one.opcodeIndex == kind)
        shape = graph.tensors[reshape.inputs[1]]
        shape.shape = np.array([22], np.int32)
        model.buffers[shape.buffer].data = np.ones(22, "<i4").view(np.uint8)
        graph.tensors[reshape.outputs[0]].shape = np.array([1], np.int32)
        reshape.builtinOptions = None
        reshape.builtinOptionsType = 0

    with pytest.raises(ModelError, match=r"a\.tflite"):
        LiteRTModel(_changed(tmp_path / "a.tflite", deepen))


def _onnx(path: Path, nodes: list[Any], arrays: dict[str, np.ndarray]) -> Any:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    floats, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("image", floats, [1, 4, 4, 1])],
        [value("logits", floats, [1, 16])],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    sets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return model


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_weights_that_are_links(link: Any, tmp_path: Path) -> None:
    """CVE-2026-27489, CVE-2026-34446, CVE-2026-34447: files of others are read as weights."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node
    nodes = [node("Flatten", ["image"], ["row"]), node("Add", ["row", "w"], ["logits"])]
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "model").mkdir()
    link(tmp_path / "secret", tmp_path / "model" / "w.bin")
    path = tmp_path / "model" / "a.onnx"
    model = _onnx(path, nodes, {"w": np.zeros(16, np.float32)})
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="w.bin")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="weights in w.bin, which is no file .* or a link"):
        OnnxModel(path)


def test_properties_of_weights_that_onnx_would_set(tmp_path: Path) -> None:
    """CVE-2026-34445: keys beside the place were set as attributes of the reader's own object."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node
    nodes = [node("Flatten", ["image"], ["row"]), node("Add", ["row", "w"], ["logits"])]
    model = _onnx(tmp_path / "a.onnx", nodes, {"w": np.zeros(16, np.float32)})
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": "w", "__class__": "x", "length": str(2**62)}.items():
        weights.external_data.add(key=key, value=value)
    (tmp_path / "w").write_bytes(bytes(64))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="can't be (loaded|run) by ONNX Runtime"):
        OnnxModel(tmp_path / "a.onnx")


def test_numbers_before_an_array(tmp_path: Path) -> None:
    """onnxruntime#27265: a negative index gave what lies before the array in memory."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node
    nodes = [
        node("Flatten", ["image"], ["row"]),
        node("ArrayFeatureExtractor", ["row", "y"], ["logits"], domain="ai.onnx.ml"),
    ]
    _onnx(tmp_path / "a.onnx", nodes, {"y": np.full((1, 16), -10)})
    with pytest.raises(ModelError, match="can't be run by ONNX Runtime"):
        OnnxModel(tmp_path / "a.onnx").predict_heads(np.zeros((1, 4, 4, 1), np.float32))


def test_messages_in_messages(tmp_path: Path) -> None:
    """CVE-2025-4565: protobuf's reader in Python called itself for each."""
    content = b""
    for _ in range(20_000):
        # Field 5 of an attribute's graph's node: a message in the message.
        content = b"\x32" + _varint(len(content)) + content
        content = b"\x2a" + _varint(len(content)) + content
        content = b"\x0a" + _varint(len(content)) + content
    (tmp_path / "a.onnx").write_bytes(b"\x3a" + _varint(len(content)) + content)
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match="can't be loaded by ONNX Runtime"):
        OnnxModel(tmp_path / "a.onnx")


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(128 | number & 127)
        number >>= 7
    return bytes([*parts, number])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"data": np.zeros(2, np.int32), "scaleoffset": 4, "chunks": (2,)}, "is packed"),
        ({"data": np.zeros(2, np.float32), "fletcher32": True, "chunks": (2,)}, "is packed"),
        ({"data": np.zeros(2, np.dtype([("a", "f4")]))}, "holds no numbers"),
        ({"data": np.array([b"ab", b"cd"])}, "holds no numbers"),
    ],
)
def test_filters_and_kinds_that_no_weights_have(
    options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """CVE-2025-2308, CVE-2025-2309 and others: HDF5's filters and conversions wrote beyond their
    memory; version 1.14.6 is what h5py has inside."""
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(
        tmp_path / "a.h5"
    )
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.create_dataset("x", **options)
    with pytest.raises(ModelError, match=f"x {told}"):
        keras_file.load(tmp_path / "a.h5")


def test_arrow_files_are_no_parquet(tmp_path: Path) -> None:
    """CVE-2026-25087: Arrow's reader of its own form used memory that it had freed."""
    pyarrow = pytest.importorskip("pyarrow")
    from keras_kd import datasets

    table = pyarrow.table({"image": [b"a"], "label": ["a"]})
    path = tmp_path / "train-00000-of-00001.parquet"
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet"):
        datasets.load(f"parquet:{tmp_path}", "train")


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"SIMPLE  =                    T", id="CVE-2026-40192 FITS"),
        pytest.param(b"8BPS\0\1", id="CVE-2026-25990 PSD"),
        pytest.param(b"DDS |\0\0\0", id="CVE-2025-48379 DDS"),
        pytest.param(b"\0\0\0\0\0\0\0\4", id="CVE-2026-54058 McIdas"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", id="CVE-2026-112398 FlashPix"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BeginBinary: 0\n", id="CVE-2026-59203 EPS"),
    ],
)
def test_forms_of_pictures_that_are_not_decoded(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(start + bytes(4000))
    with pytest.raises(DataError, match="can't be read as an image"):
        decoding.read(tmp_path / "a.png")
