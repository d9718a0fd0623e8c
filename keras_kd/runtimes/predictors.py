"""Any model file as one function: uint8 images in, float32 logits and values out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keras_kd.errors import of_file
from keras_kd.models import keras_file
from keras_kd.models.keras_file import ModelSpec
from keras_kd.runtimes import labels
from keras_kd.runtimes._combined import averaged, in_order_of, reordered
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes._keras_predictor import KerasPredictor, of_saved_model
from keras_kd.runtimes._litert_predictor import LiteRTPredictor
from keras_kd.runtimes._onnx_predictor import OnnxPredictor
from keras_kd.runtimes.prediction import Prediction, Predictor

__all__ = [
    "KerasPredictor",
    "LiteRTPredictor",
    "OnnxPredictor",
    "Prediction",
    "Predictor",
    "averaged",
    "in_order_of",
    "load",
    "reordered",
]


def load(
    path: str | Path,
    input_shape: tuple[int, int, int] | None = None,
    value_range: tuple[float, float] | None = None,
    output: str | None = None,
    precision: str | None = None,
) -> Predictor:
    """Load a `.keras`, `.h5`, `.tflite` or `.onnx` classifier, or a SavedModel folder.

    Args:
        path: the file or folder. A `labels.txt` beside it, or inside a `.tflite`, names its
            classes where the file itself doesn't.
        input_shape: height, width, channels, where the file doesn't fix them.
        value_range: what the model expects for pixels 0 and 255, where the file doesn't say; 0, 255
            otherwise.
        output: "logits" or "probabilities"; None to tell by the graph's end or, where that doesn't
            tell, by the outputs for some images.
        precision: to compute in; Keras models only.

    Raises:
        ModelError: the file can't be used.
    """
    path = Path(path)
    with of_file(path):
        predictor = _loaded(path, input_shape, value_range, output, precision)
        predictor.settle_output(output, path)
    predictor.source = load, (path.resolve(), input_shape, value_range, output, precision)
    return predictor


def _loaded(
    path: Path,
    input_shape: tuple[int, int, int] | None,
    value_range: tuple[float, float] | None,
    output: str | None,
    precision: str | None,
) -> FilePredictor:
    if path.suffix == ".tflite":
        return LiteRTPredictor(
            path, ModelSpec(labels.of_model(path)).with_given(None, value_range, output)
        )
    stated = ModelSpec(labels.of_model(path)).with_given(input_shape, value_range, output)
    if path.suffix == ".onnx":
        return OnnxPredictor(path, stated)
    if path.is_dir():
        return of_saved_model(path, stated)
    model, form = keras_file.load(path)
    if form.class_names is None:
        form = replace(form, class_names=stated.class_names)
    return KerasPredictor(model, form.with_given(input_shape, value_range, output), precision)
