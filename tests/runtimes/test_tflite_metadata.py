"""What the metadata in a `.tflite` say of pixels and labels, from public trackers: see
docs/reliability.md.
"""

import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from small_classifier import PIXELS, classifier, converted

from keras_kd.datasets import class_names
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.runtimes import predictors

NAMES = ("angry", "happy", "sad")


@pytest.fixture(scope="module")
def tflite() -> bytes:
    return converted()


@pytest.mark.parametrize(
    ("mean", "std", "pixels"),
    [
        ((127.5,), (127.5,), PixelValues((-1, 1))),
        ((0.0,), (255.0,), PixelValues((0, 1))),
        ((0.0,), (1.0,), PixelValues()),
        ((120.0, 110.0, 100.0), (60.0, 50.0, 40.0), None),
    ],
)
def test_the_normalisation_in_a_tflite_s_metadata_is_followed(
    mean: tuple[float, ...],
    std: tuple[float, ...],
    pixels: PixelValues | None,
    tflite: bytes,
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(_with_normalization(tflite, mean, std))
    found = predictors.load(path)
    assert found.spec.pixels == (pixels or PixelValues((0, 255), mean, std))
    shown = ((PIXELS - np.array(mean)) / np.array(std)).astype(np.float32)
    np.testing.assert_allclose(
        found.logits(PIXELS), classifier().predict(shown, verbose=0), atol=1e-3
    )


def test_metadata_that_contradicts_itself_is_told(tflite: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    whole = _with_normalization(tflite, (127.5,), (127.5,))
    path.write_bytes(whole.replace(b"M001", b"M001\xff\xff\xff\x7f"[:4], 1))
    assert predictors.load(path).spec.pixels == PixelValues((-1, 1))
    path.write_bytes(_with_normalization(tflite, (1.0,), (0.0,)))
    with pytest.raises(Exception, match="std must be above 0"):
        predictors.load(path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0: angry\n1: happy\n2: sad\n", NAMES),
        ("0,angry\r\n1,happy\r\n2,sad\r\n", NAMES),
        ("1 angry\n2 happy\n3 sad", NAMES),
        ("0\tangry\n1\thappy\n2\tsad\n", NAMES),
        ("0 stars\n1 stars\n2 stars\n", ("0 stars", "1 stars", "2 stars")),
        ("2 cats\n3 dogs\n4 cows\n", ("2 cats", "3 dogs", "4 cows")),
    ],
)
def test_numbers_before_labels_are_no_part_of_them(
    text: str, names: tuple[str, ...], tflite: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labelmap.txt", "\ufeff" + text)
    assert predictors.load(path).spec.class_names == names
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8-sig")
    assert tuple(class_names.read(tmp_path / "labels.txt")) == names


def _with_normalization(content: bytes, mean: tuple[float, ...], std: tuple[float, ...]) -> bytes:
    """A `.tflite` with the metadata that MediaPipe's writer gives an image classifier."""
    builder = flatbuffers.Builder(256)
    options = _table(builder, {0: _numbers(builder, mean), 1: _numbers(builder, std)})
    process = _table(builder, {1: options}, {0: 1})
    tensor = _table(builder, {4: _list(builder, [process])})
    graph = _table(builder, {2: _list(builder, [tensor])})
    builder.Finish(_table(builder, {3: _list(builder, [graph])}), b"M001")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.buffers.append(schema.BufferT(data=builder.Output()))
    entry = schema.MetadataT(name="TFLITE_METADATA", buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    whole = flatbuffers.Builder(len(content))
    whole.Finish(model.Pack(whole), b"TFL3")
    return bytes(whole.Output())


def _table(
    builder: flatbuffers.Builder, offsets: dict[int, int], numbers: dict[int, int] | None = None
) -> int:
    builder.StartObject(1 + max([*offsets, *(numbers or {})]))
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in (numbers or {}).items():
        builder.PrependUint8Slot(slot, number, 0)
    return builder.EndObject()


def _list(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _numbers(builder: flatbuffers.Builder, values: tuple[float, ...]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
