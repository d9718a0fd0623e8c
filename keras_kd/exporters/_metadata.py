"""TFLite metadata: name, description, input range and labels inside a `.tflite`, for MediaPipe and
Android.

The tables and slot numbers are those of metadata_schema.fbs, version 1.5.0 (Apache-2.0), of
MediaPipe. Their own writers don't install beside current protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from keras_kd.datasets.class_names import LABELS_FILE
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.runtimes import stored_spec
from keras_kd.runtimes.tflite_file import packed, unpacked

_TENSOR_AXIS_LABELS = 2
_FEATURE, _IMAGE = 1, 2
_RGB, _GRAYSCALE = 1, 2
_NORMALIZATION = 1
_OLDEST = "min_runtime_version"
# Slots of the model's texts; the last is the oldest parser that reads them.
_NAME, _DESCRIPTION, _VERSION, _PARSER = 0, 1, 2, 7


def with_metadata(
    content: bytes,
    name: str,
    description: str,
    class_names: Sequence[str],
    version: str,
    pixels: PixelValues,
    oldest: str,
) -> bytes:
    """Return a `.tflite` file's bytes with metadata, and with labels.txt appended as a zip archive.

    Args:
        content: the file; one image input.
        name: of the model.
        description: what it does, for people.
        class_names: the labels, one for each value of the outputs that have as many.
        version: of the model.
        pixels: the values that a float input takes for pixels 0..255.
        oldest: the TensorFlow Lite from which on the file is right, e.g. "2.8"; "" if unknown. The
            converter names the oldest that has the operators, which may compute them wrongly.
    """
    model = unpacked(content)
    texts = {LABELS_FILE: "\n".join(class_names) + "\n"} if class_names else {}
    # Packing anew leaves out the archive at the file's end.
    if spec := stored_spec.entry(content):
        texts[stored_spec.ENTRY] = spec
    texts_of_model = {_NAME: name, _DESCRIPTION: description, _VERSION: version, _PARSER: "1.0.0"}
    written = _metadata(model, texts_of_model, len(class_names), pixels)
    for one in model.metadata or [] if oldest else []:
        if one.name in (_OLDEST, _OLDEST.encode()):
            model.buffers[one.buffer].data = list(f"{oldest}.0".encode().ljust(16, b"\0"))
    model.buffers.append(schema.BufferT(data=written))
    entry = schema.MetadataT(name="TFLITE_METADATA", buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    return stored_spec.with_entries(packed(model), texts)


def _metadata(
    model: schema.ModelT, texts: dict[int, str], labels: int, pixels: PixelValues
) -> bytearray:
    builder = flatbuffers.Builder(1024)
    graph = model.subgraphs[0]
    inputs = [_input(builder, graph.tensors[index], pixels) for index in graph.inputs]
    names = _output_names(model)
    outputs = [
        _output(builder, names[index], graph.tensors[index], labels) for index in graph.outputs
    ]
    # Parts are written before what refers to them: a flatbuffer nests nothing.
    subgraph = _table(builder, {2: _vector(builder, inputs), 3: _vector(builder, outputs)})
    strings = {slot: builder.CreateString(text) for slot, text in texts.items()}
    builder.Finish(_table(builder, {**strings, 3: _vector(builder, [subgraph])}), b"M001")
    return builder.Output()


def _output_names(model: schema.ModelT) -> dict[int, str]:
    signatures = model.signatureDefs or []
    return {
        tensor.tensorIndex: tensor.name.decode()
        for signature in signatures
        for tensor in signature.outputs
    }


def _input(builder: flatbuffers.Builder, tensor: schema.TensorT, pixels: PixelValues) -> int:
    image = _table(builder, {}, {0: _RGB if tensor.shape[3] == 3 else _GRAYSCALE})
    fields = {
        0: builder.CreateString("image"),
        1: builder.CreateString("Pixels from 0 to 255, row by row."),
        3: _table(builder, {1: image}, {0: _IMAGE}),
        5: _table(builder, {0: _floats(builder, [255.0]), 1: _floats(builder, [0.0])}),
    }
    if tensor.type == schema.TensorType.FLOAT32:
        # (x - mean) / std; 0 and 1 where the model normalises inside, so that readers must not.
        scale, offset = pixels.line(tensor.shape[3])
        mean, std = _floats(builder, list(-offset / scale)), _floats(builder, list(1 / scale))
        options = _table(builder, {0: mean, 1: std})
        fields[4] = _vector(builder, [_table(builder, {1: options}, {0: _NORMALIZATION})])
    return _table(builder, fields)


def _output(builder: flatbuffers.Builder, name: str, tensor: schema.TensorT, labels: int) -> int:
    fields = {
        0: builder.CreateString(name),
        3: _table(builder, {1: _table(builder, {})}, {0: _FEATURE}),
    }
    if labels and tensor.shape[-1] == labels:
        file = builder.CreateString(LABELS_FILE)
        text = builder.CreateString("The classes, one a line, in the order of the values.")
        fields[6] = _vector(
            builder, [_table(builder, {0: file, 1: text}, {2: _TENSOR_AXIS_LABELS})]
        )
    return _table(builder, fields)


def _table(
    builder: flatbuffers.Builder, offsets: dict[int, int], numbers: dict[int, int] | None = None
) -> int:
    """Write a table from its slots: offsets of what was written before, and numbers of one byte."""
    numbers = numbers or {}
    builder.StartObject(max([-1, *offsets, *numbers]) + 1)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, number in numbers.items():
        builder.PrependUint8Slot(slot, number, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    # FlatBuffers are built from the end.
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: list[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return builder.EndVector()
