"""The smallest file whose accuracy is sufficient."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd._common.files import written_whole
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import PixelStatement, PixelValues, pixel_values
from keras_kd.errors import ExportError
from keras_kd.exporters import Exporter, ExportReport, litert_names
from keras_kd.runtimes.litert import LiteRTModel

if TYPE_CHECKING:
    import keras

MAX_DROP = 0.01


@dataclass(frozen=True)
class Attempt:
    """One format that was tried.

    Attributes:
        format: its name.
        bytes: the file's size; None if the export failed.
        accuracy: accuracy on the validation samples, 0..1; None if the export failed.
        failure: why the export failed, else "".
    """

    format: str
    bytes: int | None
    accuracy: float | None
    failure: str = ""


def tune(
    model: keras.Model,
    path: str | Path,
    train: Samples,
    validation: Samples,
    max_drop: float = MAX_DROP,
    io: str = "float",
    app_input: tuple[int, int, int] = (48, 48, 1),
    value_range: PixelStatement | None = None,
    class_names: tuple[str, ...] | None = None,
) -> tuple[ExportReport, list[Attempt]]:
    """Write the smallest `.tflite` whose accuracy is within `max_drop` of the format float32.

    Args:
        model: as for `export`.
        path: the file to write, ending in `.tflite`.
        train: images for calibration.
        validation: images that decide; they must be neither training nor test images.
        max_drop: the largest loss of accuracy allowed, as a share: 0.01 is one point.
        io: "float" or "app", as for `export`.
        app_input: as for `export`.
        value_range: as for `export`.
        class_names: as for `export`.

    Returns:
        The report of the written file, and all attempts, float32 first.

    Raises:
        ExportError: max_drop is negative, not even float32 can be exported, or the model does not
            have exactly one set of classes.
    """
    if max_drop < 0:
        raise ExportError(f"max_drop must be 0 or more. Received: max_drop={max_drop}.")
    path = Path(path)
    attempts: list[Attempt] = []
    reports: list[ExportReport] = []
    exporter = Exporter(model, train, io, class_names, app_input, value_range)
    with tempfile.TemporaryDirectory() as folder:
        for format in litert_names():
            try:
                report = exporter.export(Path(folder) / f"{format}.tflite", format)
            except ExportError as error:
                # float32 comes first: without it there is nothing to compare with.
                if not reports:
                    raise
                attempts.append(Attempt(format, None, None, str(error)))
                continue
            reports.append(report)
            plain = io == "app" or value_range is None
            share = accuracy(
                report.path, validation, PixelValues().value_range if plain else value_range
            )
            attempts.append(Attempt(format, report.bytes, share))
        needed = attempts[0].accuracy - max_drop - 1e-9  # a drop of exactly as much is allowed
        good = {
            attempt.format
            for attempt in attempts
            if attempt.accuracy is not None and attempt.accuracy >= needed
        }
        chosen = min(
            (report for report in reports if report.format in good), key=lambda report: report.bytes
        )
        with written_whole(path) as temporary:
            # Not moved: the temporary folder may lie on another disk than the user's path.
            temporary.write_bytes(chosen.path.read_bytes())
    return dataclasses.replace(chosen, path=path), attempts


def accuracy(
    path: str | Path, samples: Samples, value_range: PixelStatement = (0.0, 255.0)
) -> float:
    """Return the accuracy of a `.tflite` classifier.

    Args:
        path: the file.
        samples: images of any size, with labels in the order of the file's outputs.
        value_range: the values that the file expects for pixels 0 and 255, or a PixelValues.

    Returns:
        The accuracy, 0..1.

    Raises:
        ExportError: the file has no classes, or several sets of them.
    """
    model = LiteRTModel(path, trusted=True)
    pixels = pixel_values(value_range).of(fitted(samples.images, model.input_shape))
    outputs = model.predict_heads(pixels)
    classes = [values for values in outputs.values() if values.shape[-1] > 1]
    if len(classes) != 1:
        raise ExportError(
            f"The model must have one set of classes, whose accuracy decides: it has "
            f"{len(classes)}."
        )
    return float(np.mean(classes[0].argmax(axis=1) == samples.hard_labels))
