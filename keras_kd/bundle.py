"""The folder that an app takes: model, labels, how to feed it, and one worked example."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from keras_kd.datasets import Samples
from keras_kd.errors import DataError
from keras_kd.exporters import ExportReport, export
from keras_kd.exporters._metadata import LABELS_FILE, with_metadata
from keras_kd.files import write_text, written_whole
from keras_kd.images import fitted
from keras_kd.litert import LiteRTModel

if TYPE_CHECKING:
    import keras

MODEL_FILE = "model.tflite"
# Kernels of other processors round otherwise; int8 probabilities come in steps of 1/256.
EXAMPLE_TOLERANCE = 0.02


def export_bundle(
    model: keras.Model,
    folder: str | Path,
    class_names: Sequence[str],
    samples: Samples | np.ndarray | None,
    example: np.ndarray,
    format: str = "dynamic",
    app_input: tuple[int, int, int] = (48, 48, 1),
    name: str = "",
    description: str = "",
) -> ExportReport:
    """Export with io="app" and write what an app needs beside it.

    The folder gets `model.tflite` (with TFLite metadata and labels inside), `labels.txt`,
    `preprocess.json`, `example.png` and `example.json` (the probabilities that the file gives for it).
    Other files there stay. MediaPipe's ImageClassifier takes the file if `app_input` has 3 channels.

    Args:
        model: as for `export`.
        folder: where to write; made if missing.
        class_names: the labels, in the order of the outputs.
        samples: training images, as for `export`.
        example: uint8 (H, W, 1 or 3), an image that may be published; it is fitted to `app_input`.
        format: a `.tflite` format of `exporters.names()`.
        app_input: (H, W, C) of the pixels that the app will feed.
        name: in the metadata; the model's own name by default.
        description: in the metadata.

    Raises:
        DataError: the example is no uint8 image.
        ExportError, OutputError: as `export`.
    """
    if example.dtype != np.uint8 or example.ndim != 3 or example.shape[2] not in (1, 3):
        raise DataError(f"The example must be uint8 (H, W, 1 or 3). Received: {example.dtype} {example.shape}.")
    class_names = tuple(class_names)
    folder, name = Path(folder), name or model.name
    pixels = fitted(example[None], tuple(app_input))
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / MODEL_FILE
        report = export(model, path, format, samples, "app", class_names, app_input)
        content = with_metadata(path.read_bytes(), name, description, class_names)
        path.write_bytes(content)
        outputs = LiteRTModel(path).predict_heads(pixels)
    with written_whole(folder / MODEL_FILE) as file:
        file.write_bytes(content)
    write_text(folder / LABELS_FILE, "\n".join(class_names) + "\n")
    _write_json(folder / "preprocess.json", _preprocess(model, app_input, outputs))
    with written_whole(folder / "example.png") as file:
        Image.fromarray(pixels[0] if app_input[2] == 3 else pixels[0, :, :, 0]).save(file)
    _write_json(folder / "example.json", _example(outputs, class_names))
    return dataclasses.replace(report, path=folder / MODEL_FILE, bytes=len(content))


def _preprocess(model: keras.Model, app_input: tuple[int, int, int], outputs: dict[str, np.ndarray]) -> dict:
    height, width, channels = model.inputs[0].shape[1:]
    return {
        "input": {
            "name": "image",
            "shape": [1, *app_input],
            "dtype": "uint8",
            "range": [0, 255],
            "color": "gray" if app_input[2] == 1 else "RGB",
            "order": "rows from the top, pixels from the left, then channels",
        },
        "inside_the_file": [
            f"resize to {height}x{width}, bilinear, exactly as Pillow",
            "gray to RGB" if app_input[2] < channels else "colours as they come",
            "normalisation",
            "softmax",
        ],
        "outputs": {name: [1, *values.shape[1:]] for name, values in outputs.items()},
        "labels": LABELS_FILE,
    }


def _example(outputs: dict[str, np.ndarray], class_names: tuple[str, ...]) -> dict:
    values = {name: [round(float(value), 6) for value in rows[0].ravel()] for name, rows in outputs.items()}
    named = {
        name: dict(zip(class_names, row, strict=True)) if len(row) == len(class_names) else row
        for name, row in values.items()
    }
    return {"image": "example.png", **named, "tolerance": EXAMPLE_TOLERANCE}


def _write_json(path: Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
