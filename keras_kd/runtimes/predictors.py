"""Any model file as one function from uint8 images to float32 logits and values."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from keras_kd.datasets.class_names import LABELS_FILE
from keras_kd.errors import ModelError, of_file
from keras_kd.models import keras_file, mistaken_files
from keras_kd.models.form import ModelSpec
from keras_kd.runtimes import described, labels, tflite_metadata
from keras_kd.runtimes._combined import averaged, in_order_of, mean, reordered
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes._keras_predictor import KerasPredictor, of_saved_model
from keras_kd.runtimes._litert_predictor import LiteRTPredictor
from keras_kd.runtimes._onnx_predictor import OnnxPredictor
from keras_kd.runtimes.prediction import Prediction, Predictor
from keras_kd.runtimes.stated import NOTHING, Stated

__all__ = [
    "FilePredictor",
    "KerasPredictor",
    "LiteRTPredictor",
    "OnnxPredictor",
    "Prediction",
    "Predictor",
    "Stated",
    "averaged",
    "given",
    "in_order_of",
    "load",
    "mean",
    "reordered",
]


def load(path: str | Path, stated: Stated = NOTHING, precision: str | None = None) -> FilePredictor:
    """Load a `.keras`, `.h5`, `.tflite` or `.onnx` classifier, or a SavedModel folder.

    Args:
        path: the file or folder. If the file has no class names, those in a `labels.txt` beside it
            or inside a `.tflite` are used.
        stated: the user's statements, which override those of the file; a contradiction causes a
            warning.
        precision: dtype policy to compute in, or "auto", for Keras models only; None for the
            model's own.

    Returns:
        The predictor.

    Raises:
        ModelError: the file can't be used.
    """
    path = Path(path)
    mistaken_files.require_model(path)
    with of_file(path):
        own = _own_form(path)
        predictor = _loaded(path, own, stated, precision)
        predictor.settle_output(stated.output, described.has_spec(path))
    predictor.source = load, (path.resolve(), stated, precision)
    return predictor


def _own_form(path: Path) -> ModelSpec:
    """Return the specification in the file, with the class names of a `labels.txt` beside it."""
    form, named = described.of_model(path) or ModelSpec(), labels.of_model(path)
    if path.suffix == ".tflite" and form.pixels is None:
        form = form.with_given(pixels=tflite_metadata.pixels(path))
    if named and form.class_names and named != form.class_names:
        raise ModelError(
            f"It was written with the class names {', '.join(form.class_names)}, and its labels "
            f"are {', '.join(named)}: remove the wrong {LABELS_FILE}, or name them by --classes."
        )
    return form.with_given(class_names=named)


def _loaded(path: Path, own: ModelSpec, stated: Stated, precision: str | None) -> FilePredictor:
    if path.suffix == ".tflite":
        return LiteRTPredictor(path, given(own, replace(stated, input_shape=None)), stated.head)
    if path.suffix == ".onnx":
        return OnnxPredictor(path, given(own, stated), stated.head)
    if path.is_dir():
        return of_saved_model(path, given(own, stated), stated.head)
    model, form = keras_file.load(path)
    if form.class_names is None:
        form = replace(form, class_names=own.class_names)
    return KerasPredictor(model, given(form, stated), precision, head=stated.head)


def given(own: ModelSpec, stated: Stated) -> ModelSpec:
    """Combine a file's specification with the user's statements.

    Args:
        own: the specification in the file.
        stated: the user's statements, which override it; a contradiction causes a warning.

    Returns:
        The specification.
    """
    pairs = {
        "pixels": (own.pixels, stated.pixels),
        "classes": (own.class_names, stated.class_names),
    }
    for what, (told, said) in pairs.items():
        if told is not None and said is not None and told != said:
            warnings.warn(
                f"The file states the {what} {_shown(told)}, but the user states {_shown(said)}: "
                f"the "
                "user's statement is used.",
                stacklevel=5,
            )
    return own.with_given(stated.input_shape, stated.pixels, stated.output, stated.class_names)


def _shown(told: object) -> str:
    return ", ".join(told) if isinstance(told, tuple) else str(told)
