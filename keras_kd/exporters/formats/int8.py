"""`.tflite` with int8 weights and activations, calibrated by the extremes seen on training images.
Needs data.

See `_float_parts` for what stays float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.errors import ExportError
from keras_kd.exporters._float_parts import out_of_range
from keras_kd.exporters._layer_errors import Added
from keras_kd.exporters._operator_layers import tensors_of
from keras_kd.exporters.formats import _tflite
from keras_kd.exporters.formats._tflite import SUFFIX, run
from keras_kd.runtimes import tflite_graph

if TYPE_CHECKING:
    from keras_kd.exporters._serving import Serving

TOLERANCE = 0.3
NEEDS_SAMPLES = True
IO = ("float", "app", "int8")
ROUNDS = True
KIND = _tflite.Kind("int8", weights="int8", activations="int8")
__all__ = ["IO", "NEEDS_SAMPLES", "ROUNDS", "SUFFIX", "TOLERANCE", "run", "write"]


def write(serving: Serving, path: Path, images: np.ndarray) -> list[Added]:
    """Write the file; the images set the ranges of the activations. Arguments: see `exporters`."""
    errors = _tflite.write(serving, path, KIND, images)
    if serving.float_layers:
        errors = _tflite.write(serving, path, KIND, images, _float_tensors(serving, path))
    _check(path, serving.model.name)
    return errors


def _float_tensors(serving: Serving, path: Path) -> tuple[str, ...]:
    """Return the tensors of the layers that are to stay float32, by the names in an int8 file."""
    names = [operator.outputs[0].name for operator in tflite_graph.read(path)]
    for layer in serving.float_layers:
        if not tensors_of([layer], names, serving.model):
            raise ExportError(
                f"No operator of the file belongs to a layer {layer!r} of {serving.model.name}: "
                "give layers that `summary()` lists and that compute something."
            )
    return tuple(tensors_of(serving.float_layers, names, serving.model))


def _check(path: Path, name: str) -> None:
    """Refuse a file that would end the process that loads it."""
    bad = [operator for operator in tflite_graph.read(path) if out_of_range(operator)]
    if bad:
        raise ExportError(
            f"{name} has activations of too different sizes for int8 ({bad[0].name}"
            f" {bad[0].outputs[0].name}): train it further, or use the format dynamic."
        )
