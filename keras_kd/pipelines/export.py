"""Export of a model file for apps: converted or fine-tuned, checked, and scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_kd import datasets, exporters
from keras_kd._common import run_files, text
from keras_kd._common.files import places_of, require_apart, write_text
from keras_kd._common.markdown import escaped, fenced
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples, decoding, splits
from keras_kd.datasets.class_names import are_expressions, permutation
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.datasets.readers import faces
from keras_kd.errors import ConfigError, of_file
from keras_kd.evaluation import calibration, class_order, scoring
from keras_kd.exporters import ExportReport, bundle, tuning
from keras_kd.exporters.quantization_aware import export_quantization_aware
from keras_kd.models import heads, keras_file
from keras_kd.models.form import ModelSpec
from keras_kd.pipelines.export_settings import (
    QAT,
    TUNED,
    ExportSettings,
    options_of_the_run,
    require_consistent,
    resolved,
    suffix,
)
from keras_kd.reports import usage
from keras_kd.reports.layer_errors_picture import layer_errors_picture
from keras_kd.runtimes import described, labels, predictors
from keras_kd.runtimes.predictors import Predictor
from keras_kd.teachers import soft_labels, views


def export(
    model: str | Path,
    settings: ExportSettings,
    out: Path | None = None,
    terminal: Terminal | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Convert a model file; with data, calibrate it on training images and score it on test images.

    Args:
        model: a `.keras` or `.h5` file.
        settings: what to write.
        out: where to write; None for a name beside the model.
        terminal: where the user sees progress; None for nowhere.
        command: the command that the user typed, for a bundle's card.

    Returns:
        file, format, bytes and max_difference; with a target the proof; with data the scores of the
            test; by measuring the choice; for TUNED the attempts; with calibration the temperature.

    Raises:
        KerasKDError: see keras_kd.errors; nothing is written then.
    """
    terminal = terminal or Terminal(quiet=True)
    settings = resolved(settings)
    require_consistent(settings)
    source = Path(model)
    ending = suffix(settings.format)
    if settings.as_bundle:
        out = out or source.with_suffix("")
        run_files.refuse_run(Path(out))
    elif out:
        exporters.require_path(settings.format, ending, Path(out))
    if table := settings.layer_errors:
        read = [str(source), *places_of(settings.data)]
        require_apart((out, table, table.with_suffix(".png")), read)
    built, form = keras_file.load(source)
    form = labels.with_labels(form, source, settings.stated.class_names)
    form = predictors.given(form, settings.stated)
    form = _with_datas_classes(form, source, settings, built, terminal)
    if settings.as_bundle and form.class_names is None:
        raise ConfigError(
            f"A bundle needs the names of its classes, and {source} has none: give --classes."
        )
    train = _samples(settings.data, "train", form) if settings.data else None
    tried: list[tuning.Attempt] = []
    temperature, description = None, ""
    if settings.calibrate:
        terminal.say(f"Finding the temperature of {source} on {settings.data}")
        with of_file(source):
            built, temperature, description = _calibrated(
                built, form, settings.data, terminal.about(source)
            )

    def converted(path: Path) -> ExportReport:
        terminal.say(f"Converting {source} to {settings.format} and comparing the file with Keras")
        return _converted(built, form, path, settings, train, tried, terminal)

    scored: dict[str, Any] = {}

    def scores(path: Path) -> dict[str, Any]:
        scored.update(_scores(path, settings.data, _of_file(form, settings), terminal))
        return scored

    if settings.as_bundle:
        made = _bundled(
            built,
            form,
            out,
            settings,
            converted,
            description,
            _history(source, form, settings.data, command),
            scores,
        )
        if options := options_of_the_run(source):
            write_text(out / run_files.OPTIONS, options)
    else:
        made = converted(out or source.with_name(f"{source.stem}_{settings.format}{ending}"))
    if settings.layer_errors is not None:
        _write_layer_errors(made, settings.layer_errors)
    result = _reported(made, temperature, tried)
    if settings.data and made.path.suffix == ".tflite":
        result["test"] = scored or scores(made.path)
    return result


def _reported(
    made: ExportReport, temperature: float | None, tried: list[tuning.Attempt]
) -> dict[str, Any]:
    """What `export` returns, without the scores."""
    result: dict[str, Any] = {
        "file": str(made.path),
        "format": made.format,
        "bytes": made.bytes,
        "max_difference": made.max_difference,
    }
    if made.answers is not None:
        result["answers"] = dataclasses.asdict(made.answers)
    if made.worst_layer is not None:
        result["worst_layer"] = dataclasses.asdict(made.worst_layer)
    if made.proof:
        result["proof"] = list(made.proof)
    if made.choice:
        result["choice"] = {**dataclasses.asdict(made.choice), "said": str(made.choice)}
    if temperature:
        result["temperature"] = temperature
    if tried:
        result["tried"] = [dataclasses.asdict(attempt) for attempt in tried]
    return result


def _write_layer_errors(made: ExportReport, path: Path) -> None:
    """Write what rounding adds in each operator as a table, and as a picture beside it."""
    rows = [(one.layer, one.operator, one.error) for one in made.layer_errors]
    frame = pd.DataFrame(rows, columns=["layer", "operator", "error"])
    write_text(path, text.csv(frame))
    title = f"What rounding to {made.format} adds, each operator of {made.path.name}"
    layer_errors_picture(path.with_suffix(".png"), frame, title)


def _with_datas_classes(
    form: ModelSpec, source: Path, settings: ExportSettings, model: keras.Model, terminal: Terminal
) -> ModelSpec:
    """The form of a bundle, with the classes of its data where neither file nor user names them."""
    if form.class_names is not None or not (settings.as_bundle and settings.data):
        return form
    test = datasets.load(settings.data, "test", size=form.size)
    names = test.class_names
    widths = heads.widths(model).values()
    if len(names) not in widths and not (len(names) == 2 and heads.gives_one_number(model)):
        raise ConfigError(
            f"{source} names no classes and has {', '.join(map(str, widths))} outputs, but the data"
            f" have {len(names)} classes: give --classes one name for each output."
        )
    form = dataclasses.replace(form, class_names=tuple(names))
    predictor = predictors.KerasPredictor(model, form, head=settings.stated.head)
    with of_file(source):
        class_order.assume_order_of_data(predictor, test, terminal.about(source))
    terminal.say(f"The bundle's classes are {', '.join(names)} (--classes overrides this).")
    return form


def _of_file(form: ModelSpec, settings: ExportSettings) -> ModelSpec:
    """What the file takes: pixels 0..255 where the range is inside of it."""
    return dataclasses.replace(form, pixels=PixelValues()) if settings.io == "app" else form


def _samples(data: str, split: str, form: ModelSpec) -> Samples:
    """A split with its labels in the model's order of classes."""
    samples = datasets.load(data, split, size=form.size)
    if form.class_names is None:
        return samples
    order = permutation(samples.class_names, form.class_names)
    labels = (
        # argsort inverts a permutation: labels are renumbered, shares are reordered.
        np.argsort(order)[samples.labels] if samples.labels.ndim == 1 else samples.labels[:, order]
    )
    return dataclasses.replace(samples, labels=labels, class_names=form.class_names)


def _calibrated(
    model: keras.Model, form: ModelSpec, data: str, tell: Callable[[str], None]
) -> tuple[keras.Model, float, str]:
    """The model with honest probabilities, its temperature, and a sentence for its card."""
    validation = datasets.load(data, "validation", size=form.size)
    predictor = predictors.KerasPredictor(model, form)
    if form.class_names is None and predictor.tells_classes:
        class_order.assume_order_of_data(predictor, validation, tell)
    temperature = calibration.fitted_temperature(predictor, validation)
    description = calibration.statement(temperature, len(validation))
    return heads.with_divided_logits(model, temperature), temperature, description


def _converted(
    model: keras.Model,
    form: ModelSpec,
    path: Path,
    settings: ExportSettings,
    train: Samples | None,
    tried: list[tuning.Attempt],
    terminal: Terminal,
) -> ExportReport:
    if settings.format == TUNED:
        validation = _samples(settings.data, "validation", form)
        made, attempts = tuning.tune(
            model, path, train, validation, settings.max_drop, settings.io, settings.app_input,
            form.pixels, form.class_names, settings.output,
        )  # fmt: skip
        tried += attempts
        return made
    if settings.format == QAT:
        logits, shown = _soft_labels(settings, train, terminal)
        return export_quantization_aware(
            model,
            path,
            train.images,
            train.labels,
            logits,
            shown,
            settings.fine_tuning,
            settings.io,
            settings.app_input,
            tell=terminal.say,
            value_range=form.taken,
            min_agreement=settings.min_agreement,
            teacher_output="logits",  # as stores hold them
        )
    return exporters.export(
        model,
        path,
        settings.format,
        train,
        settings.io,
        form.class_names,
        settings.app_input,
        form.pixels,
        settings.keep_float,
        settings.min_agreement,
        settings.target,
        settings.measure,
        settings.output,
    )


def _soft_labels(
    settings: ExportSettings, train: Samples, terminal: Terminal
) -> tuple[np.ndarray | None, views.Views | None]:
    """The teacher's logits in the model's order of classes, and the views that they belong to."""
    if settings.soft_labels is None:
        terminal.say(
            "Fine-tuning on the labels alone: --soft-labels STORE adds a teacher's soft labels."
        )
        return None, None
    key = soft_labels.open_store(settings.soft_labels).key
    # Only the image fingerprint still has to be checked.
    expected = dataclasses.replace(key, images=soft_labels.image_fingerprint(train.images))
    store = soft_labels.open_store(settings.soft_labels, expected)
    order = permutation(key.class_names, train.class_names)
    # Behind the logits a store may hold continuous values.
    return store.logits[..., : len(order)][..., order], views.named(key.views, len(train))


def _history(source: Path, form: ModelSpec, data: str, command: str) -> list[str]:
    """The end of a bundle's card: what the model is for, and the commands that made it."""
    name, folder = splits.form_and_folder(*datasets.find(data))
    of_run = (
        [f"kerakd distill --config {run_files.OPTIONS} --out run"]
        if options_of_the_run(source)
        else []
    )
    made = fenced("\n".join([*of_run, command]), "sh")
    sections = [
        *usage.use_and_limits(folder or name, form.class_names),
        "## How it was made",
        made,
    ]
    if of_run:
        sections.append(
            f"`{run_files.OPTIONS}` has all options of the training, and the versions that it ran "
            f"with."
        )
    return sections


def _bundled(
    model: keras.Model,
    form: ModelSpec,
    folder: Path,
    settings: ExportSettings,
    converted: Callable[[Path], ExportReport],
    description: str,
    history: list[str],
    scores: Callable[[Path], dict[str, Any]],
) -> ExportReport:
    if settings.example:
        example = decoding.read(settings.example)
    elif are_expressions(form.class_names):
        example = faces.load(None, "test").images[0]
    else:
        example = datasets.load(settings.data, "test").images[0]
    return bundle.write(
        model,
        folder,
        form.class_names,
        example,
        converted,
        description=description,
        taken=form.pixels,
        scores=scores,
        sections=history,
        version=settings.model_version or bundle.FIRST_VERSION,
        facts=_facts(settings),
        output=settings.output,
    )


def _facts(settings: ExportSettings) -> list[str]:
    """Lines of a bundle's card on its data and calibration."""
    name, folder = splits.form_and_folder(*datasets.find(settings.data))
    ranges = settings.format in (QAT, *exporters.calibrated_names())
    parts = [
        *(["its training images set the ranges of integers"] if ranges else []),
        *(["its validation images set the temperature"] if settings.calibrate else []),
        "its test images give the scores below",
    ]
    none = "- Not calibrated: ECE says how far probabilities are from the share that is right."
    return [
        f"- Data: {escaped(folder or name)}; {', '.join(parts)}.",
        *([] if settings.calibrate else [none]),
    ]


def _scores(path: Path, data: str, form: ModelSpec, terminal: Terminal) -> dict[str, Any]:
    """Score the file on the test images, in the data's order of classes."""
    file: Predictor = predictors.LiteRTPredictor(path, described.of_model(path) or form)
    test = datasets.load(data, "test", size=file.form.size)
    terminal.say(f"Scoring {path.name} on {len(test)} images")
    file = class_order.in_order_of_data(file, test, form.class_names, terminal.about(path.name))
    return scoring.scored(file.predict(test.images), test)
