"""The files of `runtimes.py`: the shipped bundles, and each format of models made here.

A model made here is trained for 200 batches of 16 images, EfficientFormer for 20 and calibrated by
20 images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

import keras_kd
from keras_kd import exporters, models
from keras_kd._common.files import write_text
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.errors import ExportError
from keras_kd.exporters import bundle
from keras_kd.models import keras_file

EXPORTS = Path(__file__).parents[1] / "exports"
SHIPPED, INTEGERS, COLOUR, ONNX = (
    "shipped",
    "int8, integers at both ends",
    "int8, app in RGB",
    "onnx",
)
KINDS = ("float32", "float16", "dynamic", "int8", INTEGERS, COLOUR, "int16x8", ONNX)
SHAPES = {"mobilenetv2": (96, 96, 3), "efficientformer-l1": (224, 224, 3)}
STEPS, BATCH = 200, 16
# A step takes seconds at its size, and so does an image on plain kernels, which calibrate.
FEW_STEPS, FEW_SAMPLES = {"efficientformer-l1": 20}, {"efficientformer-l1": 20}


@dataclass(frozen=True)
class File:
    """A model file.

    Attributes:
        model: the model's name.
        kind: SHIPPED or one of KINDS.
        path: where it lies.
        probabilities: whether it gives probabilities, not logits.
        refusal: why there is no such file; empty if there is.
    """

    model: str
    kind: str
    path: Path
    probabilities: bool
    refusal: str = ""


def shipped() -> list[File]:
    """Return the bundles of exports/."""
    paths = sorted(EXPORTS.glob("*/model.tflite"))
    return [File(path.parent.name, SHIPPED, path, True) for path in paths]


def made(name: str, train: Samples, folder: Path) -> list[File]:
    """Return a model's files in all kinds, which are written if they are missing; what the exporter
    refuses is remembered.

    Args:
        name: of `keras_kd.models.names()`.
        train: labelled images.
        folder: where the files lie.
    """
    files = [_file(name, kind, folder) for kind in KINDS]
    missing = [one for one in files if not (one.path.exists() or _refusal(one).exists())]
    model = _student(name, train, folder) if missing else None
    for file in missing:
        try:
            _write(model, file, train)
        except ExportError as error:
            write_text(_refusal(file), str(error))
    return [
        file if file.path.exists() else replace(file, refusal=_refusal(file).read_text("utf-8"))
        for file in files
    ]


def _refusal(file: File) -> Path:
    """Where it is written why there is no such file."""
    return file.path.with_name(f"{file.model} {file.kind}, refused.txt")


def _student(name: str, train: Samples, folder: Path) -> keras.Model:
    """The trained model, which is kept as a file."""
    path = folder / f"{name}.keras"
    if path.exists():
        return keras_file.load(path)[0]
    shape = SHAPES.get(name, (48, 48, 1))
    model = _trained(
        models.build(name, len(train.class_names), input_shape=shape, dropout=(0.0, 0.0), seed=0),
        train,
        FEW_STEPS.get(name, STEPS),
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def _file(name: str, kind: str, folder: Path) -> File:
    stem = f"{name} {kind}"
    if kind == COLOUR:
        return File(name, kind, folder / stem / bundle.MODEL_FILE, True)
    return File(name, kind, folder / f"{stem}{'.onnx' if kind == ONNX else '.tflite'}", False)


def _write(model: keras.Model, file: File, train: Samples) -> None:
    file.path.parent.mkdir(parents=True, exist_ok=True)
    if file.kind == COLOUR:
        size = (*model.input_shape[1:3], 3)
        bundle.write(
            model, file.path.parent, train.class_names, train.images[0],
            lambda path: _exported(model, path, "int8", train, "app", size),
        )  # fmt: skip
        return
    train = train[: FEW_SAMPLES.get(file.model, len(train))]
    format = "int8" if file.kind == INTEGERS else file.kind
    io = "int8" if file.kind == INTEGERS else "float"
    _exported(model, file.path, format, train, io)


def _exported(
    model: keras.Model, path: Path, format: str, train: Samples, io: str,
    size: tuple[int, int, int] | None = None,
) -> exporters.ExportReport:  # fmt: skip
    """Export whatever rounding costs."""
    return keras_kd.export(
        model, path, format, train.images, io, train.class_names, size, (0, 255), min_agreement=0.5
    )


def _trained(model: keras.Model, train: Samples, steps: int) -> keras.Model:
    """Train for some batches, so that its answers differ from image to image."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # which forgets the beginning within the steps
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    rows = np.random.default_rng(0).integers(0, len(train), steps * BATCH)
    images = fitted(train.images[rows], model.input_shape[1:])
    model.fit(images, train.hard_labels[rows], BATCH, shuffle=False, verbose=0)
    return model
