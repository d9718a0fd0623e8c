"""What the metadata inside a `.tflite` says of its pixels, as Model Maker and MediaPipe write it.

The slot numbers are those of metadata_schema.fbs, version 1.5.0.
"""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from keras_kd.datasets.pixel_values import PIXELS, PixelValues
from keras_kd.runtimes import tflite_file

_NAME, _MARK = b"TFLITE_METADATA", b"M001"
_SUBGRAPHS, _INPUTS, _PROCESSES = 3, 2, 4  # of the model, a subgraph and a tensor
_KIND, _OPTIONS, _NORMALIZATION = 0, 1, 1
_MEAN, _STD = 0, 1
_MOST = 16  # elements of a vector


def pixels(path: str | Path) -> PixelValues | None:
    """Read what a file's only floating-point input takes for pixels 0..255.

    A quantized input has its scale instead.

    Args:
        path: the `.tflite` file.

    Returns:
        The pixel values; None if the metadata states none.

    Raises:
        ModelError: the file or its metadata is damaged.
        ConfigError: it states a normalisation that is none.
    """
    data = tflite_file.content(path)
    with tflite_file.damage_reported(path):
        model = schema.Model.GetRootAs(data, 0)
        graph = model.Subgraphs(0)
        if graph.InputsLength() != 1:
            return None
        if graph.Tensors(graph.Inputs(0)).Type() != schema.TensorType.FLOAT32:
            return None
        content = _content(model)
        return None if content is None else _normalization(content)


def _content(model: schema.Model) -> bytes | None:
    entries = (model.Metadata(i) for i in range(model.MetadataLength()))
    entry = next((one for one in entries if one.Name() == _NAME), None)
    if entry is None or not model.Buffers(entry.Buffer()).DataLength():
        return None
    return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()


def _normalization(content: bytes) -> PixelValues | None:
    if content[4:8] != _MARK:
        return None
    root = Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
    inputs = [one for graph in _tables(root, _SUBGRAPHS)[:1] for one in _tables(graph, _INPUTS)]
    for process in (one for tensor in inputs[:1] for one in _tables(tensor, _PROCESSES)):
        kind, options = _place(process, _KIND), _place(process, _OPTIONS)
        if kind and options and process.Get(number_types.Uint8Flags, kind) == _NORMALIZATION:
            return _stated(Table(content, process.Indirect(options)))
    return None


def _stated(options: Table) -> PixelValues | None:
    mean, std = _floats(options, _MEAN), _floats(options, _STD)
    if not mean or not std:
        return None
    if len(mean) == len(std) == 1 and std[0] > 0:
        low, high = ((value - mean[0]) / std[0] for value in (0.0, 255.0))
        return PixelValues((low, high))
    return PixelValues(PIXELS, mean, std)


def _place(table: Table, slot: int) -> int:
    """Where a field lies; 0 where the table leaves it out."""
    # A flatbuffer's list of slots has 2 bytes for each, behind 4 of its own.
    offset = table.Offset(4 + 2 * slot)
    return table.Pos + offset if offset else 0


def _tables(table: Table, slot: int) -> list[Table]:
    start, count = _vector(table, slot)
    return [Table(table.Bytes, table.Indirect(start + 4 * row)) for row in range(count)]


def _floats(table: Table, slot: int) -> tuple[float, ...]:
    start, count = _vector(table, slot)
    return tuple(
        float(table.Get(number_types.Float32Flags, start + 4 * row)) for row in range(count)
    )


def _vector(table: Table, slot: int) -> tuple[int, int]:
    """Where the elements of a vector begin, and how many are looked at."""
    if not _place(table, slot):
        return 0, 0
    offset = table.Offset(4 + 2 * slot)
    # A damaged file may state any length.
    return table.Vector(offset), min(table.VectorLen(offset), _MOST)
