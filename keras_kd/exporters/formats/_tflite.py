"""What all `.tflite` formats share: conversion from a SavedModel, the check of the operators, a run
on LiteRT.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_kd._common.quiet import native_output_hidden
from keras_kd.errors import ExportError, ModelError
from keras_kd.exporters import _conversion_process, _operator_layers
from keras_kd.exporters._conversion_process import ConversionEnded
from keras_kd.exporters._layer_errors import Added
from keras_kd.models.surgery.keras_internals import all_layers, is_graph, is_of_keras_or_keras_kd
from keras_kd.runtimes import litert, tflite_operators

if TYPE_CHECKING:
    from keras_kd.exporters._conversion import Request
    from keras_kd.exporters._serving import Serving

SUFFIX = ".tflite"
IO: tuple[str, ...] = ("float", "app")
_KNOWN = "replace the layers by ones that LiteRT knows, or export as saved_model"
_KNOWN_IN_INTEGERS = (
    "use the format float16, or replace the layers by ones that LiteRT knows in integers"
)


@dataclass(frozen=True)
class Kind:
    """What a format asks of TensorFlow's converter.

    Attributes:
        format: the format's name, for messages.
        weights: as of `_conversion.Request`.
        activations: as of `_conversion.Request`.
    """

    format: str
    weights: str
    activations: str = "float32"


def write(
    serving: Serving,
    path: Path,
    kind: Kind,
    images: np.ndarray | None,
    float_tensors: tuple[str, ...] = (),
) -> list[Added]:
    """Convert, write, and return what the operators add to the error, for formats that round.

    Args:
        serving: what the file computes.
        path: where to write.
        kind: what to ask of the converter.
        images: (N, H, W, C) as the file takes them, or None.
        float_tensors: as of `_conversion.Request`.

    Raises:
        ExportError: the converter refuses or ends, or the file holds operators that plain LiteRT
            lacks.
    """
    # TensorFlow takes seconds to import: not where a format is only looked up.
    from keras_kd.exporters._conversion import Request

    # From a SavedModel alone: converting a concrete function gives NaN, a Keras model an open
    # batch size.
    graph = serving.saved_model
    exact = graph.with_name("float32.tflite")
    with tempfile.TemporaryDirectory() as folder:
        samples, file = Path(folder) / "samples.npy", Path(folder) / "model.tflite"
        if images is not None:
            np.save(samples, images.astype(serving.input_dtype.as_numpy_dtype))
        request = Request(
            saved_model=str(graph),
            exact=str(exact),
            file=str(file),
            weights=kind.weights,
            activations=kind.activations,
            samples=None if images is None else str(samples),
            integer_io=serving.io == "int8",
            float_tensors=float_tensors,
        )
        errors = _converted(request, kind.format, serving)
        path.write_bytes(file.read_bytes())
    foreign = tflite_operators.custom_or_flex(path)
    if foreign:
        raise ExportError(
            f"{serving.model.name} needs operators that LiteRT has not built in"
            f" ({', '.join(sorted(foreign))}): replace the layers that make them, or export as"
            " saved_model."
        )
    return errors


def _converted(request: Request, format: str, serving: Serving) -> list[Added]:
    from keras_kd.exporters import _conversion

    uncommon = _uncommon(serving.model)
    try:
        # Calibration, recurrent layers and layers of others can end the process that converts.
        if request.activations != "float32" or uncommon:
            return _conversion_process.convert(request)
        with native_output_hidden():
            _conversion.convert(request)
            return _conversion.errors(request)
    except ConversionEnded as ending:
        raise ExportError(_ended(format, serving.model.name, uncommon, ending)) from ending
    except Exception as error:  # the converter's own exceptions have no public name
        reason = _reason(str(error), serving.model)
        integers = request.activations != "float32" and reason.endswith(" fails")
        raise ExportError(
            f"{serving.model.name} can't be converted to LiteRT ({reason}):"
            f" {_KNOWN_IN_INTEGERS if integers else _KNOWN}."
        ) from error


def _uncommon(model: keras.Model) -> list[keras.Layer]:
    """Return the layers over which TensorFlow's converter is known or likely to end its process."""
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.RNN) or not is_of_keras_or_keras_kd(layer)
    ]


def _ended(format: str, name: str, layers: list[keras.Layer], ending: ConversionEnded) -> str:
    event = f"TensorFlow's converter was ended by {ending} over {name} in the format {format}"
    others = " or ".join(other for other in ("float16", "dynamic", "float32") if other != format)
    if not layers:
        return f"{event}: use the format {others}."
    last = layers[-1]
    return (
        f"{event}, most likely by its layer {last.name} ({type(last).__name__}): "
        f"use the format {others}, or replace that layer."
    )


def _reason(text: str, model: keras.Model) -> str:
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
    if not lacking:
        return text.strip().splitlines()[0]
    # TensorFlow names an operation's place "ResizeBicubic:", "model_1/resizing_1/…@…".
    places = re.findall(rf'"(?:{"|".join(lacking)}):", "([^"@]+)', text)
    operations = _operator_layers.operations_with(lacking, model)
    named = set().union(*(_operator_layers.layers_of(place, model) for place in places))
    # A model within has the operations that are in none of its layers.
    graphs = {layer.name for layer in all_layers(model) if is_graph(layer)} if operations else set()
    makers = [*sorted(named - graphs), *operations]
    needed = f", which {' and '.join(makers)} need{'s' * (len(makers) == 1)}" * bool(makers)
    return f"it lacks {', '.join(lacking)}{needed}"


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the file's outputs by name on LiteRT, float32 (N, ...).

    Raises:
        ExportError: LiteRT can't load the file, or refuses to compute an operator.
    """
    try:
        return litert.LiteRTModel(path, trusted=True).predict_heads(images)
    except ModelError as error:
        raise ExportError(str(error).replace(str(path), "The file", 1)) from error
    except RuntimeError as error:
        raise ExportError(
            f"LiteRT can't compute the file for these images ({litert.stopped(path, error)}):"
            " replace the layer that makes this operator, or use another format, such as float16."
        ) from error
