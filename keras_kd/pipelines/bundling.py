"""The bundle of a model file: its classes, its worked example, and what its card says of data and
training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import exporters
from keras_kd._common import run_files
from keras_kd._common.files import write_text
from keras_kd._common.markdown import escaped, fenced
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples, decoding
from keras_kd.datasets.class_names import are_expressions, as_typed
from keras_kd.datasets.readers import faces
from keras_kd.errors import ConfigError, of_file
from keras_kd.evaluation import class_order
from keras_kd.exporters import ExportReport, bundle
from keras_kd.models import heads
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines.conversion import Conversion
from keras_kd.pipelines.export_settings import QAT, ExportSettings, options_of_the_run
from keras_kd.reports import usage
from keras_kd.runtimes import predictors


def with_classes_of_data(
    spec: ModelSpec,
    source: Path,
    settings: ExportSettings,
    model: keras.Model,
    train: Samples,
    terminal: Terminal,
) -> ModelSpec:
    """Return a model's specification with the classes of the data, where neither file nor user
    names them.

    Args:
        spec: the model's specification, without class names.
        source: the model's file, for messages.
        settings: what to write; has data.
        model: the model.
        train: the data's training images, which check the order: they are the most.
        terminal: where the user sees which classes these are.

    Returns:
        The specification.

    Raises:
        ConfigError: the model has another number of classes.
        ModelError: it answers in another order of classes.
    """
    names = train.class_names
    widths = heads.widths(model).values()
    if len(names) not in widths and not (len(names) == 2 and heads.gives_one_number(model)):
        raise ConfigError(
            f"{source} names no classes and has {', '.join(map(str, widths))} outputs, but the data"
            f" have {len(names)} classes: give --classes one name for each output."
        )
    spec = dataclasses.replace(spec, class_names=tuple(names))
    predictor = predictors.KerasPredictor(model, spec, head=settings.stated.head)
    with of_file(source):
        class_order.assume_order_of_data(predictor, train, terminal.about(source))
    terminal.say(f"The bundle's classes are {as_typed(names)} (--classes overrides this).")
    return spec


def write(
    conversion: Conversion,
    folder: Path,
    description: str,
    command: str,
    scores: Callable[[Path], dict[str, Any]],
) -> ExportReport:
    """Write a bundle, with the options of the training where the model is of a run.

    Args:
        conversion: the model, and how its file is written.
        folder: the bundle's folder.
        description: description in the file's metadata.
        command: the command that the user typed, for the card.
        scores: a function that scores the file at a path, for the card.

    Returns:
        The report.

    Raises:
        KerasKDError: see `exporters.bundle.write`, and what `conversion` and `scores` raise.
    """
    source, spec, settings = conversion.source, conversion.spec, conversion.settings
    made = bundle.write(
        conversion.model,
        folder,
        spec.class_names,
        _example(settings, spec),
        conversion.write,
        description=description,
        taken=spec.pixels,
        scores=scores,
        sections=_history(source, spec, settings.data_set.called, command),
        version=settings.model_version or bundle.FIRST_VERSION,
        facts=_facts(settings),
        output=settings.output,
    )
    if options := options_of_the_run(source):
        write_text(folder / run_files.OPTIONS, options)
    return made


def _example(settings: ExportSettings, spec: ModelSpec) -> np.ndarray:
    """The image of the worked example, which may be published."""
    if settings.example:
        return decoding.read(settings.example)
    if are_expressions(spec.class_names):
        return faces.load(None, "test").images[0]
    return settings.data_set.load(("test",))["test"].images[0]


def _history(source: Path, spec: ModelSpec, data: str, command: str) -> list[str]:
    """The end of a bundle's card: what the model is for, and the commands that made it."""
    of_run = (
        [f"kerakd distill --config {run_files.OPTIONS} --out run"]
        if options_of_the_run(source)
        else []
    )
    made = fenced("\n".join([*of_run, command]), "sh")
    sections = [
        *usage.use_and_limits(data, spec.class_names),
        "## How it was made",
        made,
    ]
    if of_run:
        sections.append(
            f"`{run_files.OPTIONS}` has all options of the training, and the versions that it ran "
            f"with."
        )
    return sections


def _facts(settings: ExportSettings) -> list[str]:
    """Lines of a bundle's card on its data and calibration."""
    ranges = settings.format in (QAT, *exporters.calibrated_names())
    parts = [
        *(["its training images set the ranges of integers"] if ranges else []),
        *(["its validation images set the temperature"] if settings.calibrate else []),
        "its test images give the scores below",
    ]
    none = "- Not calibrated: ECE says how far probabilities are from the share that is right."
    return [
        f"- Data: {escaped(settings.data_set.called)}; {', '.join(parts)}.",
        *([] if settings.calibrate else [none]),
    ]
