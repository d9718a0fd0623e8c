"""A model file in, a file for apps out: converted or fine-tuned, checked, and scored as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import config, datasets, exporters
from keras_kd._common.checked_files import read_text
from keras_kd._common.files import write_text
from keras_kd._common.markdown import fenced
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples, images
from keras_kd.datasets.class_names import permutation
from keras_kd.datasets.readers import faces
from keras_kd.errors import ConfigError
from keras_kd.evaluation import calibration, class_order, scoring
from keras_kd.exporters import ExportReport, bundle, tuning
from keras_kd.exporters.quantization_aware import FineTuning, export_quantization_aware
from keras_kd.models import heads, keras_file
from keras_kd.models.keras_file import Form
from keras_kd.pipelines import run_folder
from keras_kd.reports import usage
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import Predictor
from keras_kd.teachers import soft_labels, views

# Ways to a file besides exporters.names(): fine-tuned for int8, and the smallest that is accurate
# enough.
QAT, TUNED = "qat", "tuned"
_OF_STUDENT = ("temperature", "alpha", "beta", "soft_loss")


@dataclass(frozen=True)
class Wanted:
    """What `export` is to write.

    Attributes:
        format: one of `exporters.names()`, QAT or TUNED.
        data: as the option `data`; its training images set int8's ranges, its test images score the
            file. None for neither.
        io: "float", "app" or "int8", see `exporters.export`.
        app_input: height, width, channels of the image that io="app" and bundles take.
        as_bundle: write a folder for apps, see `bundle.write`; needs data.
        calibrate: divide the logits by the temperature that fits the data's validation images;
            needs data. No answer changes but by rounding. Not with QAT, which trains on.
        example: image file for the bundle's worked example; None for a drawn face, which may be
            published.
        max_drop: of TUNED, see `tuning.tune`.
        value_range: what the model takes for pixels 0 and 255; None as its file says, else as
            `exporters.export` finds.
        keep_float: layers that the format int8 leaves in float32.
        min_agreement: see `exporters.export`.
        fine_tuning: of QAT.
        soft_labels: of QAT: the folder of a store made of the same data; None trains on the labels
            alone.
    """

    format: str = "dynamic"
    data: str | None = None
    io: str = "float"
    app_input: tuple[int, int, int] = (48, 48, 1)
    as_bundle: bool = False
    calibrate: bool = False
    example: str | Path | None = None
    max_drop: float = tuning.MAX_DROP
    value_range: tuple[float, float] | None = None
    keep_float: tuple[str, ...] = ()
    min_agreement: float = exporters.MIN_AGREEMENT
    fine_tuning: FineTuning = FineTuning()
    soft_labels: str | Path | None = None


def export(
    model: str | Path,
    wanted: Wanted,
    out: Path | None = None,
    terminal: Terminal | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Convert a model file; with data, by its training images, and score the file on its test
    images.

    Args:
        model: a `.keras` or `.h5` file.
        wanted: what to write.
        out: where to write; None for a name beside the model.
        terminal: what to tell the user by; quiet if None.
        command: what the user typed, for a bundle's card.

    Returns:
        file, format, bytes, max_difference; with data the test's scores; of TUNED what was tried;
        the temperature where asked to calibrate.

    Raises:
        KerasKDError: see keras_kd.errors; nothing is written then.
    """
    terminal = terminal or Terminal(quiet=True)
    _check(wanted)
    source = Path(model)
    built, form = keras_file.load(source)
    told = form.value_range if keras_file.tells(source) else None
    wanted = dataclasses.replace(wanted, value_range=wanted.value_range or told)
    form = form.with_given(None, wanted.value_range, None)
    train = _samples(wanted.data, "train", form) if wanted.data else None
    tried: list[tuning.Attempt] = []
    if wanted.as_bundle and form.class_names is None:
        raise ConfigError(f"A bundle needs a model that names its classes, which {source} doesn't.")
    temperature, description = None, ""
    if wanted.calibrate:
        built, temperature, description = _calibrated(built, form, wanted.data)

    def converted(path: Path) -> ExportReport:
        return _converted(built, form, path, wanted, train, tried, terminal)

    if wanted.as_bundle:
        folder = out or source.with_suffix("")
        made = _bundled(
            built,
            form,
            folder,
            wanted,
            converted,
            description,
            _history(source, wanted.data, command),
        )
        if options := _options_of_the_run(source):
            write_text(folder / run_folder.RECORD, options)
    else:
        made = converted(
            out or source.with_name(f"{source.stem}_{wanted.format}{_suffix(wanted.format)}")
        )
    result = {
        "file": str(made.path),
        "format": made.format,
        "bytes": made.bytes,
        "max_difference": made.max_difference,
    }
    if made.answers is not None:
        result["answers"] = dataclasses.asdict(made.answers)
    if made.worst_layer is not None:
        result["worst_layer"] = dataclasses.asdict(made.worst_layer)
    if temperature:
        result["temperature"] = temperature
    if tried:
        result["tried"] = [dataclasses.asdict(attempt) for attempt in tried]
    if wanted.data and made.path.suffix == ".tflite":
        result["test"] = _scores(made.path, wanted.data, _of_file(form, wanted), terminal)
    return result


def _of_file(form: Form, wanted: Wanted) -> Form:
    """What the file takes: pixels 0..255 where the range is inside of it."""
    inside = wanted.as_bundle or wanted.io == "app"
    return dataclasses.replace(form, value_range=(0.0, 255.0)) if inside else form


def fine_tuning(model: str | Path, given: Mapping[str, Any]) -> FineTuning:
    """Return how the format qat trains on: by the losses that the student was trained by, where a
    run's options lie beside it, and by what the user gives.

    Raises:
        ConfigError: a value is out of range, or the run's options can't be read.
    """
    source = Path(model)
    run = config.load(source.with_name(run_folder.RECORD)) if _options_of_the_run(source) else {}
    return FineTuning(**{name: run[name] for name in _OF_STUDENT if name in run} | dict(given))


def _suffix(format: str) -> str:
    return ".tflite" if format in (QAT, TUNED) else exporters.find(format).SUFFIX


def _check(wanted: Wanted) -> None:
    if wanted.as_bundle and _suffix(wanted.format) != ".tflite":
        raise ConfigError(
            f"A bundle holds a .tflite file: choose another format. Received: {wanted.format}."
        )
    if wanted.data is None and (wanted.as_bundle or wanted.format in (QAT, TUNED)):
        raise ConfigError(
            "--bundle, --tune and --format qat need --data: training images to learn or calibrate"
            " on, others to score."
        )
    if wanted.keep_float and wanted.format != "int8":
        raise ConfigError(
            f"--keep-float belongs to --format int8: leave it out. Received: {wanted.format}."
        )
    if wanted.calibrate and wanted.data is None:
        raise ConfigError("--calibrate needs --data: its validation images give the temperature.")
    if wanted.calibrate and wanted.format == QAT:
        raise ConfigError(
            "--calibrate doesn't go with --format qat, which trains on: choose another format."
        )
    if wanted.soft_labels is not None and wanted.format != QAT:
        raise ConfigError("Soft labels belong to --format qat: the other formats don't train.")


def _samples(data: str, split: str, form: Form) -> Samples:
    """A split with its labels in the model's order of classes."""
    samples = datasets.load(data, split, size=form.side)
    if form.class_names is None:
        return samples
    order = permutation(samples.class_names, form.class_names)
    labels = (
        np.argsort(order)[samples.labels] if samples.labels.ndim == 1 else samples.labels[:, order]
    )
    return dataclasses.replace(samples, labels=labels, class_names=form.class_names)


def _calibrated(model: keras.Model, form: Form, data: str) -> tuple[keras.Model, float, str]:
    """The model with honest probabilities, its temperature, and a sentence for its card."""
    validation = datasets.load(data, "validation", size=form.side)
    temperature = calibration.fitted_temperature(predictors.KerasPredictor(model, form), validation)
    description = calibration.statement(temperature, len(validation))
    return heads.with_divided_logits(model, temperature), temperature, description


def _converted(
    model: keras.Model,
    form: Form,
    path: Path,
    wanted: Wanted,
    train: Samples | None,
    tried: list[tuning.Attempt],
    terminal: Terminal,
) -> ExportReport:
    io = "app" if wanted.as_bundle else wanted.io
    if wanted.format == TUNED:
        validation = _samples(wanted.data, "validation", form)
        made, attempts = tuning.tune(
            model, path, train, validation, wanted.max_drop, io, wanted.app_input,
            wanted.value_range,
        )  # fmt: skip
        tried += attempts
        return made
    if wanted.format == QAT:
        lesson = _lesson(wanted, train, terminal)
        return export_quantization_aware(
            model,
            path,
            train.images,
            train.labels,
            *lesson,
            wanted.fine_tuning,
            io,
            wanted.app_input,
            tell=terminal.say,
            value_range=wanted.value_range or (0.0, 255.0),
        )
    return exporters.export(
        model,
        path,
        wanted.format,
        train,
        io,
        form.class_names,
        wanted.app_input,
        wanted.value_range,
        wanted.keep_float,
        wanted.min_agreement,
    )


def _lesson(
    wanted: Wanted, train: Samples, terminal: Terminal
) -> tuple[np.ndarray | None, views.Views | None]:
    """The teacher's logits in the model's order of classes, and the views that they belong to."""
    if wanted.soft_labels is None:
        terminal.say(
            "Fine-tuning on the labels alone: --soft-labels STORE adds what a teacher saw."
        )
        return None, None
    key = soft_labels.open_store(wanted.soft_labels).key
    # Of what else the store says only the images can be wrong here.
    expected = dataclasses.replace(key, images=soft_labels.image_fingerprint(train.images))
    store = soft_labels.open_store(wanted.soft_labels, expected)
    order = permutation(key.class_names, train.class_names)
    # Behind the logits a store may hold continuous values.
    return store.logits[..., : len(order)][..., order], views.named(key.views, len(train))


def _history(source: Path, data: str, command: str) -> list[str]:
    """The end of a bundle's card: what the model is for, and the commands that made it."""
    module, _ = datasets.find(data)
    of_run = (
        [f"kerakd distill --config {run_folder.RECORD} --out run"]
        if _options_of_the_run(source)
        else []
    )
    made = fenced("\n".join([*of_run, command]), "sh")
    sections = [
        *usage.use_and_limits(module.__name__.rpartition(".")[2]),
        "## How it was made",
        made,
    ]
    if of_run:
        sections.append(
            f"`{run_folder.RECORD}` has all options of the training, and the versions that it ran with."
        )
    return sections


def _options_of_the_run(source: Path) -> str | None:
    """The options' file beside a model that a run made."""
    options, scores = source.with_name(run_folder.RECORD), source.with_name(run_folder.METRICS)
    if not (options.is_file() and scores.is_file()):
        return None
    try:
        return read_text(options)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{options} can't be read ({error}): mend it, or export from another folder."
        ) from error


def _bundled(
    model: keras.Model,
    form: Form,
    folder: Path,
    wanted: Wanted,
    converted: Callable[[Path], ExportReport],
    description: str,
    history: list[str],
) -> ExportReport:
    example = images.read(wanted.example) if wanted.example else faces.load(None, "test").images[0]
    quiet = Terminal(quiet=True)
    return bundle.write(
        model,
        folder,
        form.class_names,
        example,
        converted,
        wanted.app_input,
        description=description,
        scores=lambda path: _scores(path, wanted.data, _of_file(form, wanted), quiet),
        sections=history,
    )


def _scores(path: Path, data: str, form: Form, terminal: Terminal) -> dict[str, Any]:
    """Score the file on the test images, in the data's order of classes."""
    file: Predictor = predictors.LiteRTPredictor(path, form)
    test = datasets.load(data, "test", size=file.form.side)
    terminal.say(f"Scoring {path} on {len(test)} images")
    file = class_order.in_order_of_data(file, test, form.class_names)
    return scoring.scored(file.predict(test.images), test)
