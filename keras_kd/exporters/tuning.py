"""The smallest file whose accuracy is sufficient."""

from __future__ import annotations

import dataclasses
import functools
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
from keras_kd.exporters import Exporter, ExportReport, _fitting_samples, _request, litert_names
from keras_kd.exporters._judgement import DisagreementError
from keras_kd.models.output_kinds import OutputKind
from keras_kd.runtimes import timing
from keras_kd.runtimes.litert import LiteRTModel

if TYPE_CHECKING:
    import keras

MAX_DROP = 0.01


# A file that takes longer than this times float32's is no gain here: no kernel is made for it.
SLOW = 5.0
_SECONDS = 0.2  # of timing a file


@dataclass(frozen=True)
class Attempt:
    """One file that was tried.

    Attributes:
        format: the format's name.
        bytes: the file's size; None if the export failed.
        accuracy: accuracy on the validation samples, 0..1; None if the export failed.
        failure: why the export failed, else "".
        milliseconds: of the processor for one image on one thread; None if the export failed.
        keep_float: layers that stayed in float32.
        reason: why the file was chosen or passed over, in words.
    """

    format: str
    bytes: int | None
    accuracy: float | None
    failure: str = ""
    milliseconds: float | None = None
    keep_float: tuple[str, ...] = ()
    reason: str = ""


def tune(
    model: keras.Model,
    path: str | Path,
    train: Samples,
    validation: Samples,
    max_drop: float = MAX_DROP,
    io: str = "float",
    app_input: tuple[int, int, int] | None = None,
    value_range: PixelStatement | None = None,
    class_names: tuple[str, ...] | None = None,
    output: OutputKind | None = None,
) -> tuple[ExportReport, list[Attempt]]:
    """Write the smallest `.tflite` whose accuracy is within `max_drop` of the format float32.

    Files that take more than SLOW times as long as float32 on this machine are passed over. If int8
    changes too many answers, it is tried again with the layers at fault in float32.

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
        output: as for `export`.

    Returns:
        The report of the written file, and all attempts, float32 first.

    Raises:
        ExportError: max_drop is negative, not even float32 can be exported, or the model does not
            have exactly one set of classes.
    """
    if max_drop < 0:
        raise ExportError(f"max_drop must be 0 or more. Received: max_drop={max_drop}.")
    path = Path(path)
    _request.require_path("tuned", ".tflite", path)
    validation = _fitting_samples.in_order(validation, class_names)
    plain = io == "app" or value_range is None
    pixels = PixelValues().value_range if plain else value_range
    made = functools.partial(
        Exporter, model, train, io, class_names, app_input, value_range, output=output
    )
    found: list[tuple[Attempt, ExportReport | None]] = []
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(Path(folder), validation, pixels)
        exporter = made()
        for format in litert_names():
            attempt, report, layers = trial.of(exporter, format)
            # float32 comes first: without it there is nothing to compare with.
            if report is None and not found:
                raise ExportError(attempt.failure)
            found.append((attempt, report))
            if layers:
                found.append(trial.of(made(layers), format)[:2])
        attempts = [attempt for attempt, _ in found]
        number, attempts = _chosen(attempts, max_drop)
        chosen = found[number][1]
        assert chosen is not None
        with written_whole(path) as temporary:
            # Not moved: the temporary folder may lie on another disk than the user's path.
            temporary.write_bytes(chosen.path.read_bytes())
    return dataclasses.replace(chosen, path=path), attempts


@dataclass(frozen=True)
class _Trial:
    """Exports into a folder, and scores by these samples in these values of pixels."""

    folder: Path
    validation: Samples
    pixels: PixelStatement

    def of(
        self, exporter: Exporter, format: str
    ) -> tuple[Attempt, ExportReport | None, tuple[str, ...]]:
        """Return the attempt, its report, and the layers to keep in float32 in another one."""
        kept = exporter.keep_float
        name = f"{format}_kept" if kept else format
        try:
            report = exporter.export(self.folder / f"{name}.tflite", format)
        except ExportError as error:
            layers = error.layers if isinstance(error, DisagreementError) else ()
            return Attempt(format, None, None, str(error), keep_float=kept), None, layers
        share = accuracy(report.path, self.validation, self.pixels)
        spent = milliseconds(report.path)
        return Attempt(format, report.bytes, share, "", spent, kept), report, ()


def _chosen(attempts: list[Attempt], max_drop: float) -> tuple[int, list[Attempt]]:
    """Return the number of the smallest good file, and the attempts with their reasons."""
    against = [_against(attempt, attempts[0], max_drop) for attempt in attempts]
    good = [number for number, why in enumerate(against) if not why]
    number = min(good, key=lambda one: attempts[one].bytes or 0)
    smallest = attempts[number].bytes or 1
    reasons = [why or f"{(attempt.bytes or 0) / smallest:.2g} times the chosen file's size"
               for attempt, why in zip(attempts, against, strict=True)]  # fmt: skip
    reasons[number] = f"chosen: the smallest that loses at most {100 * max_drop:g} points"
    pairs = zip(attempts, reasons, strict=True)
    return number, [dataclasses.replace(attempt, reason=reason) for attempt, reason in pairs]


def _against(attempt: Attempt, exact: Attempt, max_drop: float) -> str:
    """What speaks against a file beside float32's; nothing where it is good."""
    if attempt.accuracy is None or exact.accuracy is None:
        return attempt.failure
    drop = exact.accuracy - attempt.accuracy
    if drop > max_drop + 1e-9:  # a drop of exactly as much is allowed
        return f"loses {100 * drop:.2f} points"
    ratio = (attempt.milliseconds or 0.0) / (exact.milliseconds or 1.0)
    return f"takes {ratio:.2g} times as long as float32 here" if ratio > SLOW else ""


def milliseconds(path: str | Path) -> float:
    """Return the processor's time for one image on one thread, the median of some runs.

    Args:
        path: a `.tflite` file that was run before, which tried it.

    Returns:
        Milliseconds.
    """
    (median,) = timing.medians([LiteRTModel(path, trusted=True).compute], _SECONDS)
    assert median is not None
    return median


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
            "The model must have one set of classes, whose accuracy decides: it has "
            f"{len(classes)}; choose a format yourself (--format), or write one number of two"
            " classes as both of them for an app (--io app, --classes)."
        )
    return float(np.mean(classes[0].argmax(axis=1) == samples.hard_labels))
