"""An imported model against what the original program gave."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import keras
import numpy as np

from keras_kd._common.files import refuse_special
from keras_kd._common.text import plain_reason
from keras_kd.errors import DataError, ModelError
from keras_kd.models import heads

INPUTS, OUTPUTS = "inputs", "outputs"
TOLERANCE = 1e-3  # of an output's spread
LARGEST = 2**31  # bytes of all arrays


def compare(model: keras.Model, path: str | Path) -> float:
    """Return the largest difference from the original program's outputs, as a share of their
    spread.

    Args:
        model: one image input, any outputs.
        path: `.npz` of `inputs`, pixels 0..255 (N, H, W, C) as the model takes them, and what the
            original gave for them: `outputs`, (N, columns), or for a model of several heads an
            array under each one's name.

    Raises:
        DataError: the file can't be read, or its arrays have other names, shapes or values.
        ModelError: the difference is above TOLERANCE.
    """
    widths = heads.widths(model)
    names = {head: head if len(widths) > 1 else OUTPUTS for head in widths}
    inputs, *expected = _read(path, [INPUTS, *names.values()])
    _require_shape(INPUTS, inputs, (len(inputs) or 1, *model.input_shape[1:]), path)
    for (head, name), array in zip(names.items(), expected, strict=True):
        _require_shape(name, array, (len(inputs), widths[head]), path)
    found = heads.by_name(model, model.predict(inputs.astype(np.float32), verbose=0))
    differences = [
        _difference(found[head], array) for head, array in zip(names, expected, strict=True)
    ]
    largest = int(np.argmax(differences))
    if not differences[largest] <= TOLERANCE:
        raise ModelError(
            f"{model.name} differs by {differences[largest]:.2g} of the spread from the "
            f"{list(names.values())[largest]} in {path}, "
            f"more than {TOLERANCE:g}: check that the {INPUTS} are pixels 0..255 before any "
            "normalisation, and that the original ran in evaluation mode."
        )
    return differences[largest]


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    spread = max(float(np.ptp(expected)), 1e-6)
    return float(np.abs(found - expected).max() / spread)


def _read(path: str | Path, names: list[str]) -> list[np.ndarray]:
    try:
        refuse_special(path)
        _require_small(path)
        with np.load(path, allow_pickle=False) as arrays:
            found = [np.asarray(arrays[name]) for name in names]
    except Exception as error:
        # NumPy and zipfile raise what their parsers of headers raise: tokenize.TokenError, ...
        raise DataError(
            f"{path} can't be read ({plain_reason(error)}):"
            f" give an .npz of the arrays {', '.join(names)}."
        ) from error
    for name, array in zip(names, found, strict=True):
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise DataError(f"{name} in {path} is {array.dtype}: expected finite numbers alone.")
        if array.ndim == 0:
            raise DataError(f"{name} in {path} is a single number: expected an array (N, ...).")
    # A value of an image may have an axis of its own or none.
    return [array.reshape(len(array), 1) if array.ndim == 1 else array for array in found]


def _require_small(path: str | Path) -> None:
    """Check what an archive, which may be compressed, and its arrays declare to hold."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if (size := sum(member.file_size for member in members)) > LARGEST:
            raise ValueError(f"it holds {size:,} bytes, more than {LARGEST:,}")
        for member in members:
            with archive.open(member) as file:
                if (declared := _declared(file)) > member.file_size:
                    raise ValueError(
                        f"{member.filename} declares {declared:,} bytes and holds"
                        f" {member.file_size:,}"
                    )


def _declared(file: IO[bytes]) -> int:
    """Bytes of the numbers that an array's header declares."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0}
    reader = readers.get(np.lib.format.read_magic(file), np.lib.format.read_array_header_2_0)
    shape, _, kind = reader(file)
    return math.prod(shape) * kind.itemsize


def _require_shape(name: str, array: np.ndarray, shape: tuple[int, ...], path: str | Path) -> None:
    if array.shape != shape:
        raise DataError(
            f"{name} in {path} is {array.shape}: expected ({', '.join(['N', *map(str, shape[1:])])}"
            "), the same N of 1 or more for all."
        )
