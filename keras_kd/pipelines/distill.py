"""The pipelines: teach and distil; this file shows the whole program. Files are scored in
scoring.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_kd import config as configuration
from keras_kd import datasets, exporters, models
from keras_kd._common import hardware
from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import splits
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError
from keras_kd.evaluation import metrics, scoring
from keras_kd.models import keras_file
from keras_kd.models.keras_file import Form
from keras_kd.pipelines import run_folder, teaching
from keras_kd.pipelines.job import Job, seen, train
from keras_kd.pipelines.teaching import Lesson
from keras_kd.reports import pictures, report
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import KerasPredictor, Prediction
from keras_kd.teachers.soft_labels import SoftLabels


def _load_data(config: Config, terminal: Terminal) -> Data:
    """Load all splits of `config.data` and say what they are."""
    data = splits.load(config.data, config.skip_bad_rows, config.image_size)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    for line in dict.fromkeys(line for samples in parts.values() for line in samples.skipped):
        terminal.say(f"skipped: {line}")
    if passed_over := datasets.passed_over(config.data):
        terminal.say(f"Notes on the data: {'; '.join(passed_over)}")
    sizes = ", ".join(f"{len(samples)} {name}" for name, samples in parts.items())
    values = f" with {' and '.join(data.value_names)}" if data.value_names else ""
    terminal.say(f"Data {data.name}: {sizes} images of {len(data.class_names)} classes{values}")
    return data


def teach(config: Config, out: str | Path | None = None, terminal: Terminal | None = None) -> Path:
    """Train the named teacher on the data, or find it in the cache; make its soft labels where
    asked.

    Args:
        config: `teacher` must be an architecture's name; with `start_from` it can be left out, and
            the file's own layers are trained.
        out: folder for a copy `teacher.keras`; None to leave it in the cache.
        terminal: what to tell the user by; quiet if None.

    Returns:
        Path of the teacher's `.keras` file.
    """
    terminal = terminal or Terminal(quiet=True)
    config = config.effective()
    name = config.teacher or _start_name(config) or config.default_teacher
    if name not in models.names() and (config.teacher or not config.start_from):
        raise ConfigError(
            f"teach trains an architecture: teacher must be one of {', '.join(models.names())}. Received: {name!r}."
        )
    data = _load_data(config, terminal)
    path = teaching.trained(config, data, name, terminal)
    if config.soft_labels:
        teaching.soft_labels(config, data, teaching.teacher(config, data, terminal), terminal)
    if out is not None:
        model, form = keras_file.load(path)
        path = Path(out) / teaching.TEACHER_FILE
        keras_file.save(model, path, form)
    terminal.say(f"Teacher: {path}")
    return path


def _start_name(config: Config) -> str | None:
    """The architecture of the file to start from, or the file's own name where it is a foreign one."""
    if config.start_from is None:
        return None
    own = keras_file.load(config.start_from)[0].name
    return own if own in models.names() else Path(config.start_from).stem


def distill(
    config: Config,
    out: str | Path,
    terminal: Terminal | None = None,
    resume: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Teacher → soft labels → student → scores → export → model card, in one folder.

    Args:
        config: all options.
        out: folder for config.toml, history.csv, student.keras, student_float32.tflite, labels.txt,
            metrics.json, README.md and pictures; must be new or empty unless `resume`.
        terminal: what to tell the user by; quiet if None.
        resume: go on with a run that was stopped in `out`.
        command: what the user typed, for the model card.

    Returns:
        The content of metrics.json.

    Raises:
        KerasKDError: see keras_kd.errors.
    """
    terminal = terminal or Terminal(quiet=True)
    out = Path(out)
    config = _with_teacher_named(config.effective(), out, resume)
    _check_names(config)
    with run_folder.held(out, config, resume):
        data = _load_data(config, terminal)
        taught = teaching.prepare(config.of_teacher(), data, terminal)
        job = _student_job(config, data, taught.soft_labels, out / run_folder.STATE)
        heads = job.heads
        student, history = train(job, config, data, terminal)
        form = Form(heads.class_names or None, input_shape=data.image_shape)
        keras_file.save(student, out / "student.keras", form)
        if heads.label:
            write_text(out / "labels.txt", "".join(f"{name}\n" for name in heads.class_names))
        frame = pd.DataFrame(history)
        write_text(out / "history.csv", frame.to_csv(index=False))
        results: dict[str, Any] = {
            "student": config.student,
            "parameters": scoring.trainable_parameters(student),
        }
        results["train_seconds"] = round(sum(row["seconds"] for row in history), 1)
        predictor = KerasPredictor(student, form)
        results["multiply_accumulates"] = predictor.multiply_accumulates
        results["data"] = {"name": data.name, "counts": data.counts()}
        results["fingerprints"] = {
            "data": data.fingerprint,
            "teacher": taught.soft_labels and taught.soft_labels.key.teacher,
            "weights": keras_file.weights_fingerprint(student),
        }
        on_test = predictor.predict(data.test.images)
        results |= _scores(config, data, on_test, predictor.predict(data.validation.images), taught)
        if config.baseline and job.teacher_logits is not None:
            job = replace(
                job,
                title=f"baseline {config.student}",
                folder=job.folder / "baseline",
                teacher_logits=None,
            )
            alone = KerasPredictor(train(job, config, data, terminal)[0], form)
            results["baseline_test"] = scoring.scored(alone.predict(data.test.images), data.test)
        results["exported"] = {
            format: _exported(student, on_test, out / f"student_{format}.tflite", format, data)
            for format in config.formats.split(",")
        }
        _write_report(out, config, data, results, frame, command, on_test)
    return results


def _with_teacher_named(config: Config, out: Path, resume: bool) -> Config:
    """Name the teacher that has to fill the store given: a resumed run would take the filled one
    for all there is.
    """
    if config.teacher or not config.soft_labels:
        return config
    named = resume and run_folder.recorded(out).get("teacher") == config.default_teacher
    fills = named or (not resume and teaching.needs_model(config))
    return replace(config, teacher=config.default_teacher) if fills else config


def _student_job(config: Config, data: Data, store: SoftLabels | None, folder: Path) -> Job:
    """The training of the student, with the teacher's stored outputs for the heads that it learns."""
    heads = splits.chosen(config.heads, data, store.key.values if store else ())
    if store and not heads.shared(store.key.class_names, store.key.values):
        told = ", ".join([*store.key.class_names, *store.key.values])
        raise ConfigError(
            f"The teacher tells {told}, nothing of what the student is to learn ({', '.join(heads.widths)}): choose "
            "other --heads or another teacher."
        )
    taught = store and heads.teacher(store.logits, store.key.class_names, store.key.values)
    views = seen(config, data, config.views)
    title = f"student {config.student}"
    return Job(
        title,
        config.student,
        config.epochs,
        heads,
        views,
        folder,
        taught,
        config.pretrained,
        config.start_from,
    )


class Trials:
    """Students trained one after the other on the same data: a teacher runs once, and no test image
    is looked at.

    Args:
        config: of the data and of a teacher that is trained here.
        terminal: what to tell the user by.
    """

    def __init__(self, config: Config, terminal: Terminal) -> None:
        self._config, self._terminal = config.effective(), terminal
        self._data = _load_data(self._config, terminal)
        self._teachers: dict[str, str] = {}
        self._stores: dict[tuple, SoftLabels | None] = {}

    def train(
        self, config: Config, folder: Path, after_epoch: Callable[[dict[str, float]], None]
    ) -> list[dict[str, float]]:
        """Train the student of `config`, or go on with what was stopped in `folder`; return its
        history.

        Args:
            config: from `options`; those of the data are as above.
            folder: for the state of the training.
            after_epoch: called with each epoch's row of the history; what it raises ends the
                training.
        """
        _check_names(config)
        job = _student_job(config, self._data, self._store(config), folder)
        return train(job, config, self._data, self._terminal, after_epoch)[1]

    def options(self, config: Config) -> Config:
        """What `train` and, with the same result, `distill` take: all options, and a teacher by its
        name in the cache.

        A teacher that is trained here learns by the options that this object was made with.
        """
        config = config.effective()
        if not teaching.needs_model(config):
            return config
        for name in config.teachers:
            if name in models.names() and name not in self._teachers:
                self._teachers[name] = teaching.trained(
                    self._config.of_teacher(), self._data, name, self._terminal
                ).parent.name
        names = (self._teachers.get(name, name) for name in config.teachers)
        return replace(config, teacher=configuration.SEPARATOR.join(names))

    def _store(self, config: Config) -> SoftLabels | None:
        if teaching.alone(config):
            return None
        key = (
            config.votes,
            config.teacher,
            config.teacher_mirror,
            config.augment,
            config.views,
            config.seed,
        )
        if key not in self._stores:
            self._stores[key] = teaching.prepare(
                config.of_teacher(), self._data, self._terminal
            ).soft_labels
        return self._stores[key]


def _check_names(config: Config) -> None:
    if config.student not in models.names():
        raise ConfigError(
            f"student must be one of {', '.join(models.names())}. Received: student={config.student!r}."
        )
    for format in config.formats.split(","):
        if exporters.find(format).SUFFIX != ".tflite":
            raise ConfigError(
                f"formats must be .tflite formats. Received: formats={config.formats!r}."
            )


def _scores(
    config: Config, data: Data, on_test: Prediction, on_validation: Prediction, taught: Lesson
) -> dict[str, Any]:
    """All that metrics.json says of the student, by what it says of both splits, and of the
    teacher.
    """
    test, validation = data.test, data.validation
    results: dict[str, Any] = {
        "teacher": taught.name and {"name": taught.name, "accuracy": None},
        "test": scoring.scored(on_test, test),
        "validation": scoring.scored(on_validation, validation),
    }
    teacher = taught.teacher
    if teacher is not None:
        teacher_on_test = teacher.predict(test.images)
        if teacher.tells_classes and on_test.logits.shape[1]:
            results["test"]["agreement"] = metrics.agreement(on_test.logits, teacher_on_test.logits)
        results["teacher_test"] = scoring.scored(teacher_on_test, test)
        teacher_on_validation = scoring.scored(teacher.predict(validation.images), validation)
        results["teacher"] |= {
            "accuracy": teacher_on_validation.get("accuracy"),
            "multiply_accumulates": teacher.multiply_accumulates,
        }
    module, _ = datasets.find(config.data)
    if hasattr(module, "subsets"):
        samples = {"train": data.train, "validation": validation, "test": test}
        logits = {"validation": on_validation.logits, "test": on_test.logits}
        results[data.name] = scoring.subsets(module, samples, logits)
    return results


def _exported(
    student: keras.Model, of_keras: Prediction, path: Path, format: str, data: Data
) -> dict[str, Any]:
    """Export, then score the file itself on its runtime and compare it with Keras' outputs on the
    test images.
    """
    class_names = data.class_names if of_keras.logits.shape[1] else None
    exporters.export(student, path, format, data.train, class_names=class_names)
    of_file = predictors.load(path).predict(data.test.images)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "max_logit_difference": float(np.abs(of_file.columns() - of_keras.columns()).max()),
        "test": scoring.scored(of_file, data.test),
    }


def _write_report(
    out: Path,
    config: Config,
    data: Data,
    results: dict[str, Any],
    history: pd.DataFrame,
    command: str,
    on_test: Prediction,
) -> None:
    """Pictures, model card, and metrics.json last: where it is, the run is complete."""
    test, teacher = results["test"], results["teacher"]
    title = f"{config.student} on {data.name}, {test['n']} test images"
    values = {name: data.test.values[name] for name in test.get("values", ())}
    labels = data.test.hard_labels if "confusion" in test else None
    if labels is not None:
        pictures.confusion_picture(
            out / "confusion.png", test["confusion"], data.class_names, title
        )
    costs = report.costs(results)
    if len(costs) > 1:
        pictures.cost_picture(out / "cost.png", costs, title)
    if len(values) == 2:
        pictures.values_picture(
            out / "values.png", values, on_test.values, labels, data.class_names, title
        )
    pictures.curves_picture(out / "curves.png", history, teacher and teacher["accuracy"])
    card = report.model_card(
        results,
        config=dataclasses.asdict(config),
        data={"name": data.name, "fingerprint": data.fingerprint, "counts": data.counts()},
        command=command,
        versions=run_folder.versions(),
        hardware=hardware.describe(),
        input_shape=data.image_shape,
        pictures=[name for name in report.PICTURES if (out / name).exists()],
    )
    write_text(out / "README.md", card)
    write_text(out / "metrics.json", json.dumps(results, indent=2) + "\n")
