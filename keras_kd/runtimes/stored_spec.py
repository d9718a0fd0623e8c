"""The specification of a model that this library writes into the files it exports, as JSON.

It is stored as `keras_kd.json`: in the archive that is a `.keras` file, in the archive appended to
a `.tflite` file, and in the folder of a SavedModel. An `.onnx` file has it in its metadata.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from pathlib import Path

from keras_kd._common.archives import BAD_ARCHIVE
from keras_kd._common.checked_files import read_text
from keras_kd._common.files import refuse_special
from keras_kd._common.text import plain_reason
from keras_kd.errors import ModelError
from keras_kd.models import bundles
from keras_kd.models.spec import ENTRY, ModelSpec, read_spec

LARGEST = 2**20  # of a description; a zip member may declare any size


def has_spec(path: str | Path) -> bool:
    """Whether a file was exported here with a description, so that the user need not state
    anything.

    Args:
        path: the file or folder, also that of a bundle.

    Returns:
        True if the description is there.
    """
    path = bundles.model_file(path)
    return _in_archive(path) or of_model(path) is not None


def _in_archive(path: Path) -> bool:
    """Whether the description is in the archive that a file is or ends with."""
    try:
        with zipfile.ZipFile(path) as archive:
            return ENTRY in archive.namelist()
    except BAD_ARCHIVE:
        return False


def of_model(path: Path) -> ModelSpec | None:
    """Return the description in a `.tflite` or `.onnx` file or a SavedModel.

    Args:
        path: the file or folder.

    Returns:
        The specification; None if there is none.

    Raises:
        ModelError: it is damaged.
    """
    try:
        text = _text(path)
        return None if text is None else read_spec(text)
    except BAD_ARCHIVE as error:
        raise ModelError(
            f"{path} holds a damaged {ENTRY} ({plain_reason(error)}): export it again."
        ) from error


def write(path: Path, spec: ModelSpec, suffix: str) -> None:
    """Write a description into a file that was just exported; files of other formats are not
    changed.

    Args:
        path: the file, under any name.
        spec: its inputs and outputs. Without pixel values nothing is written, because half a
            description would be read as a whole one.
        suffix: the suffix that its name will have.
    """
    if spec.pixels is None:
        return
    text = json.dumps(spec.facts(), ensure_ascii=False)
    if suffix == ".tflite":
        path.write_bytes(with_entries(path.read_bytes(), {ENTRY: text}))
    elif path.is_dir():
        (path / ENTRY).write_text(text, encoding="utf-8")
    elif suffix == ".onnx":
        import onnx

        model = onnx.load(path)
        onnx.helper.set_model_props(model, {ENTRY: text})
        onnx.save(model, path)


def with_entries(content: bytes, texts: dict[str, str]) -> bytes:
    """Add texts to the zip archive at the end of a `.tflite` file.

    Args:
        content: the bytes of the file.
        texts: text by entry name.

    Returns:
        The new bytes of the file.
    """
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in texts.items():
            # A fixed date: equal models give equal files.
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), text)
    return file.getvalue()


def entry(content: bytes) -> str | None:
    """Return the description in a `.tflite` file.

    Args:
        content: the bytes of the file.

    Returns:
        JSON; None if there is none.

    Raises:
        BAD_ARCHIVE: it is damaged.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        if ENTRY not in archive.namelist():
            return None
        # A zip member unfolds to what it declares, however small the file is.
        if archive.getinfo(ENTRY).file_size > LARGEST:
            raise ValueError(f"it declares {archive.getinfo(ENTRY).file_size:,} bytes")
        return archive.read(ENTRY).decode()


def _text(path: Path) -> str | None:
    if path.is_dir():
        return read_text(path / ENTRY) if (path / ENTRY).is_file() else None
    if not path.is_file():
        return None
    if path.suffix == ".tflite":
        refuse_special(path)
        return entry(path.read_bytes())
    return onnx_properties(path).get(ENTRY) if path.suffix == ".onnx" else None


def onnx_properties(path: Path) -> dict[str, str]:
    """Return the metadata of an `.onnx` file.

    Args:
        path: the file.

    Returns:
        Text by key; {} where the file can't be read.
    """
    status = path.stat()
    # Remembered as long as the file is the same: several questions of one load are answered by it.
    return _onnx_properties(path.resolve(), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _onnx_properties(path: Path, written: int, size: int) -> dict[str, str]:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        return {}  # The runtime says what to install.
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError:
        return {}  # The runtime says what is damaged.
    return {one.key: one.value for one in model.metadata_props}


def range_of(path: Path, spec: ModelSpec) -> tuple[float, float]:
    """Return the values that a file expects for pixels 0 and 255.

    Args:
        path: the file, for the message.
        spec: its specification.

    Returns:
        (low, high).

    Raises:
        ModelError: the file also expects a mean, a deviation or another channel order.
    """
    if not spec.expected_pixels.range_alone:
        raise ModelError(
            f"{path} takes {spec.expected_pixels}: export the model by `kerakd export MODEL.keras"
            " --bundle`, which puts the mean, the deviation and the order of channels inside of the"
            " file."
        )
    return spec.expected_pixels.value_range
