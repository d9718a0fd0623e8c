"""An imported model against what the original program gave."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_kd.errors import DataError, ModelError

INPUTS, OUTPUTS = "inputs", "outputs"
TOLERANCE = 1e-3  # of the outputs' spread


def compare(model: keras.Model, path: str | Path) -> float:
    """Return the largest difference from the original program's outputs, as a share of their spread.

    Args:
        model: of one output.
        path: `.npz` of `inputs`, pixels 0..255 (N, H, W, C) as the model takes them, and `outputs`,
            (N, columns), what the original gave for them.

    Raises:
        DataError: the file can't be read, or its arrays have other names or shapes.
        ModelError: the difference is above TOLERANCE.
    """
    inputs, expected = _read(path)
    wanted = tuple(model.input_shape[1:]), tuple(model.output_shape[1:])
    if (inputs.shape[1:], expected.shape[1:]) != wanted or not 0 < len(inputs) == len(expected):
        raise DataError(
            f"{path} has {INPUTS} {inputs.shape} and {OUTPUTS} {expected.shape}: expected"
            f" (N, {', '.join(map(str, wanted[0]))}) and (N, {', '.join(map(str, wanted[1]))})."
        )
    found = model.predict(inputs.astype(np.float32), verbose=0)
    spread = max(float(np.ptp(expected)), 1e-6)
    difference = float(np.abs(found - expected).max() / spread)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{model.name} differs by {difference:.2g} of the spread from the {OUTPUTS} in {path}, "
            f"more than {TOLERANCE:g}: check that the {INPUTS} are pixels 0..255 before any "
            "normalisation, and that the original ran in evaluation mode."
        )
    return difference


def _read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs, outputs = arrays[INPUTS], arrays[OUTPUTS]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} can't be read ({error}): give an .npz of the arrays {INPUTS} and {OUTPUTS}."
        ) from error
    if not all(np.issubdtype(array.dtype, np.number) for array in (inputs, outputs)):
        raise DataError(f"{path} holds {inputs.dtype} and {outputs.dtype}: expected numbers.")
    return inputs, outputs
