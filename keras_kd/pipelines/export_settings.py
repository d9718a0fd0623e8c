"""Settings of an export, and which of them can be combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from keras_kd import config, exporters
from keras_kd._common import run_files
from keras_kd._common.checked_files import read_text
from keras_kd._common.text import plain_reason
from keras_kd.datasets import DataSet
from keras_kd.errors import ConfigError
from keras_kd.exporters import bundle, measuring, targets, tuning
from keras_kd.exporters.quantization_aware import FineTuning
from keras_kd.models.output_kinds import OutputKind
from keras_kd.runtimes.stated import NOTHING, Stated

# Ways to a file besides exporters.names(): fine-tuned for int8, and the smallest that is accurate
# enough.
QAT, TUNED = "qat", "tuned"
_OF_STUDENT = ("temperature", "alpha", "beta", "soft_loss")


@dataclass(frozen=True)
class ExportSettings:
    """What `export` is to write.

    Attributes:
        format: one of `exporters.names()`, QAT or TUNED; None for the target's, or "dynamic".
        data: a data set as the option `data`, or None; its training images set int8's ranges, its
            test images score the file.
        io: "float", "app" or "int8", see `exporters.export`; None for the target's, or "app" for a
            bundle, else "float".
        app_input: height, width and channels of the image for io="app" and bundles; None for the
            model's own.
        as_bundle: write a folder for apps, see `bundle.write`; needs data.
        calibrate: divide the logits by the temperature that fits the data's validation images;
            needs data. Predicted classes do not change, except by rounding. QAT can't be combined
            with it, because it trains on.
        example: image file for the bundle's worked example; None for a drawn face if the classes
            are expressions, else for the data's first test image.
        max_drop: for TUNED, see `tuning.tune`.
        stated: the user's statements about the model: its pixel values and class names, which
            override those of its file.
        keep_float: names of layers that the format int8 leaves in float32.
        min_agreement: see `exporters.export`.
        measure: see `exporters.export`.
        layer_errors: a `.csv` file for what rounding adds in each operator, the largest first, with
            a picture of the same name; needs data and a format that rounds.
        fine_tuning: settings of QAT.
        target: where the file is to run, see `exporters.export`; None for no check of that.
        model_version: for a bundle, its version, as 1.2.3; None for 1.0.0.
        output: what the model's outputs of classes are, see `exporters.export`.
        skip_bad_rows: leave out unreadable rows of the data instead of raising.
        soft_labels: for QAT, the folder of a store made of the same data; None trains on the labels
            alone.
    """

    format: str | None = None
    data: str | None = None
    io: str | None = None
    app_input: tuple[int, int, int] | None = None
    as_bundle: bool = False
    calibrate: bool = False
    example: str | Path | None = None
    max_drop: float = tuning.MAX_DROP
    stated: Stated = NOTHING
    keep_float: tuple[str, ...] = ()
    min_agreement: float = exporters.MIN_AGREEMENT
    fine_tuning: FineTuning = FineTuning()
    soft_labels: str | Path | None = None
    model_version: str | None = None
    target: str | None = None
    measure: bool = False
    layer_errors: Path | None = None
    output: OutputKind | None = None
    skip_bad_rows: bool = False

    @cached_property
    def data_set(self) -> DataSet:
        """The data, looked up once; only with `data`."""
        return DataSet(self.data or "", self.skip_bad_rows)


def fine_tuning(model: str | Path, given: Mapping[str, Any]) -> FineTuning:
    """Return the settings of the format qat: the losses that the student was trained on, if its
    run's options lie beside the model, overridden by the user's values.

    Args:
        model: the model file.
        given: the user's values by name.

    Returns:
        The settings.

    Raises:
        ConfigError: a value is out of its range, or the run's options can't be read.
    """
    source = Path(model)
    run = config.load(source.parent / run_files.OPTIONS) if options_of_the_run(source) else {}
    return FineTuning(**{name: run[name] for name in _OF_STUDENT if name in run} | dict(given))


def resolved(settings: ExportSettings) -> ExportSettings:
    """Return the settings with format, and input and output, chosen where they are not stated.

    Args:
        settings: what to write.

    Returns:
        The same, with both.

    Raises:
        ConfigError: a target is given beside a way that chooses the format itself.
        ExportError: there is no such target.
    """
    if settings.target is not None and settings.format in (QAT, TUNED):
        raise ConfigError(
            "--target checks one file of a format without training: leave out --tune or --format"
            " qat."
        )
    io = settings.io or ("app" if settings.as_bundle and settings.target is None else None)
    format, io = targets.chosen(settings.target, settings.format, io, settings.data is not None)
    return replace(settings, format=format, io=io)


def suffix(format: str) -> str:
    """Return the suffix of a format's files.

    Args:
        format: one of `exporters.names()`, QAT or TUNED.

    Returns:
        The suffix, or "" for a folder.
    """
    return ".tflite" if format in (QAT, TUNED) else exporters.find(format).SUFFIX


def require_consistent(settings: ExportSettings) -> None:
    """Check that the settings can be combined.

    Args:
        settings: what to write, as `resolved` returned it.

    Raises:
        ConfigError: they contradict each other, or one that another needs is missing.
        ExportError: there is nothing to choose by measuring.
    """
    _require_bundle(settings)
    if settings.data is None and (settings.as_bundle or settings.format in (QAT, TUNED)):
        raise ConfigError(
            "--bundle, --tune and --format qat need --data: training images to learn or calibrate"
            " on, others to score."
        )
    if settings.stated.head is not None and settings.data is None:
        raise ConfigError(
            "--head names the output that is scored, and all outputs are written: add --data, or"
            " leave it out."
        )
    if settings.keep_float and settings.format != "int8":
        raise ConfigError(
            f"--keep-float belongs to --format int8: leave it out. Received: {settings.format}."
        )
    if settings.layer_errors is not None:
        _require_layer_errors(settings)
    if settings.measure:
        measuring.require_choice(settings.format, settings.io)
    if settings.calibrate and settings.data is None:
        raise ConfigError("--calibrate needs --data: its validation images give the temperature.")
    if settings.calibrate and settings.format == QAT:
        raise ConfigError(
            "--calibrate doesn't go with --format qat, which trains on: choose another format."
        )
    if settings.output is not None and settings.format == QAT:
        raise ConfigError(
            "--output doesn't go with --format qat, whose models show their outputs: leave it out."
        )
    if settings.soft_labels is not None and settings.format != QAT:
        raise ConfigError("Soft labels belong to --format qat: the other formats don't train.")
    _require_effect(settings)


def _require_bundle(settings: ExportSettings) -> None:
    """Refuse what a bundle can't hold, and a bundle's version without one."""
    if settings.as_bundle and settings.target is None and settings.io != "app":
        raise ConfigError(
            f"A bundle takes pixels (--io app), unless --target asks for others: leave --io out."
            f" Received: {settings.io}."
        )
    if settings.as_bundle and suffix(settings.format) != ".tflite":
        raise ConfigError(
            f"A bundle holds a .tflite file: choose another format. Received: {settings.format}."
        )
    if settings.model_version is not None:
        bundle.require_version(settings.model_version)
        if not settings.as_bundle:
            raise ConfigError("--model-version stands in a bundle: add --bundle, or leave it out.")


def _require_effect(settings: ExportSettings) -> None:
    """Refuse settings that others would leave unused."""
    if settings.example is not None and not settings.as_bundle:
        raise ConfigError("--example is a bundle's: add --bundle, or leave it out.")
    if settings.app_input is not None and settings.io != "app" and not settings.as_bundle:
        raise ConfigError(
            "--app-input is the size of the image that an app gives: add --io app, or leave it"
            f" out. Received: io {settings.io}."
        )
    of_teacher = settings.fine_tuning.loss_weights(with_teacher=True)["beta"]
    if settings.soft_labels is not None and not of_teacher:
        raise ConfigError(
            "alpha and beta give the soft labels no weight: set --beta above 0, or leave"
            " --soft-labels out."
        )


def _require_layer_errors(settings: ExportSettings) -> None:
    fits = settings.format in exporters.rounding_names() and settings.data is not None
    if not fits:
        raise ConfigError(
            "--layer-errors compares a file of rounded numbers with float32 on training images:"
            f" choose one of the formats {', '.join(exporters.rounding_names())}, and give --data."
            f" Received: format {settings.format}, data {settings.data}."
        )
    if settings.layer_errors is not None and settings.layer_errors.suffix != ".csv":
        raise ConfigError(
            "--layer-errors names a .csv file, beside which the picture is written. Received:"
            f" {settings.layer_errors}."
        )


def options_of_the_run(source: Path) -> str | None:
    """Return the options' file of the run that made a model.

    Args:
        source: the model file.

    Returns:
        The text of the file beside the model, or None.
    """
    options, scores = source.parent / run_files.OPTIONS, source.parent / run_files.METRICS
    if not (options.is_file() and scores.is_file()):
        return None
    try:
        return read_text(options)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{options} can't be read ({plain_reason(error)}):"
            " mend it, or export from another folder."
        ) from error
