"""The pipelines: teach and distil; this file shows the whole program. Files are scored in scoring.py."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_kd import config as configuration
from keras_kd import (
    datasets,
    exporters,
    hardware,
    metrics,
    models,
    pictures,
    predictors,
    report,
    run_folder,
    saved,
    scoring,
    splits,
    training,
)
from keras_kd import soft_labels as stores
from keras_kd.compaction import compact, expand
from keras_kd.config import Config
from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError
from keras_kd.files import fingerprint, write_text
from keras_kd.normalization import fused, unfused
from keras_kd.predictors import KerasPredictor, Prediction, Predictor
from keras_kd.progress import Terminal
from keras_kd.saved import Form
from keras_kd.soft_labels import SoftLabels
from keras_kd.splits import Data, Heads
from keras_kd.training import Feed
from keras_kd.views import Views

TEACHER_FILE = "teacher.keras"


def _load_data(config: Config, terminal: Terminal) -> Data:
    """Load all splits of `config.data` and say what they are."""
    data = splits.load(config.data, config.skip_bad_rows, config.image_size)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    for line in dict.fromkeys(line for samples in parts.values() for line in samples.skipped):
        terminal.say(f"skipped: {line}")
    sizes = ", ".join(f"{len(samples)} {name}" for name, samples in parts.items())
    values = f" with {' and '.join(data.value_names)}" if data.value_names else ""
    terminal.say(f"Data {data.name}: {sizes} images of {len(data.class_names)} classes{values}")
    return data


def _teacher_folder(name: str) -> Path:
    return run_folder.cache_folder() / "teachers" / name


def teach(config: Config, out: str | Path | None = None, terminal: Terminal | None = None) -> Path:
    """Train the named teacher on the data, or find it in the cache; make its soft labels where asked.

    Args:
        config: `teacher` must be an architecture's name.
        out: folder for a copy `teacher.keras`; None to leave it in the cache.
        terminal: what to tell the user by; quiet if None.

    Returns:
        Path of the teacher's `.keras` file.
    """
    terminal = terminal or Terminal(quiet=True)
    config = config.effective()
    name = config.teacher or config.default_teacher
    if name not in models.names():
        raise ConfigError(
            f"teach trains an architecture: teacher must be one of {', '.join(models.names())}. Received: {name!r}."
        )
    data = _load_data(config, terminal)
    path = _taught(config, data, name, terminal)
    if config.soft_labels:
        _soft_labels(config, data, _teacher(config, data, terminal), terminal)
    if out is not None:
        model, form = saved.load(path)
        path = Path(out) / TEACHER_FILE
        saved.save(model, path, form)
    terminal.say(f"Teacher: {path}")
    return path


def _taught(config: Config, data: Data, name: str, terminal: Terminal) -> Path:
    """The cached teacher of this data and these options, trained now if there is none; a stopped training goes on."""
    heads = splits.chosen(config.heads, data, models.values(name))
    what = [data.fingerprint, name, config.teacher_epochs, config.precision, heads]
    what += [getattr(config, name) for name in _TRAINING_OPTIONS]
    # Teachers that were trained before there was an average keep their names.
    what += [config.ema] if config.ema else []
    folder = _teacher_folder(f"{name}-{fingerprint([repr(what)])}")
    path = folder / TEACHER_FILE
    with run_folder.locked(folder):
        if path.exists():
            terminal.say(f"Teacher {name} is in the cache: {path}")
            return path
        # Without stored logits more views cost nothing.
        views = _views(config, data, max(config.views, config.teacher_epochs))
        job = Job(f"teacher {name}", name, config.teacher_epochs, heads, views, folder)
        model, _ = _train(config, data, job, terminal)
        saved.save(model, path, Form(heads.class_names or None, input_shape=data.image_shape))
        for state in ("state.npz", "best.npz"):
            (folder / state).unlink()
    return path


# Everything but the epochs that decides what comes out of training.
_TRAINING_OPTIONS = (
    "batch_size", "learning_rate", "schedule", "patience", "weight_decay", "clip_norm", "conv_dropout",
    "dense_dropout", "class_weights", "augment", "views", "seed",
    "value_loss", "value_weight",
)  # fmt: skip


def _views(config: Config, data: Data, count: int) -> Views:
    return Views(config.augment, len(data.train), count, config.seed)


@dataclass(frozen=True)
class Job:
    """One training within a run: on the labels alone without `teacher_logits`, which are as `Feed` takes them."""

    title: str
    architecture: str
    epochs: int
    heads: Heads
    views: Views
    folder: Path
    teacher_logits: Any = None
    pretrained: str | None = None


def _train(
    config: Config,
    data: Data,
    job: Job,
    terminal: Terminal,
    after_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train an architecture; return it in float32 and as published, with its history."""
    train = data.train
    labels = job.heads.targets(train)
    feed = Feed(train.images, labels, job.views, config.batch_size, config.seed, job.teacher_logits)
    steps = feed.steps * job.epochs

    def tell(row: dict[str, float]) -> None:
        rate = feed.steps * config.batch_size / row["seconds"]
        scores = "  ".join(
            f"{name.removeprefix('val_').replace('_', ' ')} {score:.4f}"
            for name, score in training.validation_scores(row).items()
        )
        terminal.say(
            f"{job.title}: epoch {row['epoch']}/{job.epochs}  loss {row['loss']:.4f}  validation {scores}  "
            f"{rate:,.0f} images/s"
        )
        after_epoch(row)

    validation = (data.validation.images, job.heads.targets(data.validation))
    bar = terminal.bar(f"Training {job.title}", steps * config.batch_size)
    with bar as advance, hardware.scope(config.devices):
        distiller = _distiller(config, data, job)
        optimizer = training.optimizer(
            config.schedule, config.learning_rate, config.weight_decay, steps, config.clip_norm, config.ema
        )
        distiller.compile(optimizer, metrics=training.metrics(job.heads.named))
        callbacks = training.callbacks(config.schedule, config.patience)
        history = training.fit(distiller, feed, validation, job.epochs, job.folder, callbacks, tell, advance)
    return expand(hardware.with_policy(unfused(distiller.student), "float32")), history


def _distiller(config: Config, data: Data, job: Job) -> Distiller:
    """A new student of the job's architecture in the form that trains fastest, and the loss it trains on."""
    heads, dropout = job.heads, (config.conv_dropout, config.dense_dropout)
    classes = len(heads.class_names)
    built = models.build(job.architecture, classes, data.image_shape, dropout, config.seed, heads.named, job.pretrained)
    alone = job.teacher_logits is None
    balanced = config.class_weights == "balanced" and heads.label
    return Distiller(
        fused(hardware.in_precision(compact(built), config.precision)),
        temperature=config.temperature,
        alpha=1.0 if alone else config.alpha,
        beta=0.0 if alone else config.beta,
        class_weights=training.balanced_weights(data.train.labels, classes) if balanced else None,
        soft_loss=config.soft_loss,
        value_loss=config.value_loss,
        value_weight=config.value_weight,
        bound_weight=0.0 if alone else config.bound_weight,
        margin=config.margin,
        seed=config.seed,
    )


def _teacher(config: Config, data: Data, terminal: Terminal) -> Predictor:
    """The teachers as one function of images, with their mean logits, if any, in the data's order of classes."""
    members = [_one_teacher(name, config, data, terminal) for name in config.teachers]
    return predictors.averaged(members, config.teacher_mirror)


def _one_teacher(name: str, config: Config, data: Data, terminal: Terminal) -> Predictor:
    cached = _teacher_folder(name) / TEACHER_FILE
    named = name in models.names()
    path = _taught(config, data, name, terminal) if named else cached if cached.exists() else Path(name)
    predictor = predictors.load(
        path,
        configuration.numbers("teacher_input", config.teacher_input, "x", 3, int),
        configuration.numbers("teacher_range", config.teacher_range, ",", 2, float),
        config.teacher_output,
        config.precision if named or path == cached else None,
    )
    stated = config.teacher_classes and tuple(config.teacher_classes.split(","))
    return predictors.in_order_of(predictor, stated or predictor.form.class_names, data.class_names)


def _soft_labels(config: Config, data: Data, teacher: Predictor | None, terminal: Terminal) -> SoftLabels:
    """The teacher's outputs for all views: from the store of the same content, filled now if new."""
    views = _views(config, data, config.views)
    key = stores.Key(
        teacher.fingerprint if teacher else "",
        stores.image_fingerprint(data.train.images),
        views.names,
        data.class_names if teacher is None or teacher.tells_classes else (),
        teacher.values if teacher else (),
    )
    folder = Path(config.soft_labels) if config.soft_labels else run_folder.cache_folder() / "soft_labels" / key.short
    if teacher is None:
        store = stores.open_store(folder, key)
    else:
        with run_folder.locked(folder), terminal.bar("Soft labels", len(data.train) * len(views)) as advance:
            start = time.monotonic()
            store = stores.fill(folder, key, data.train.images, views, _columns(teacher), advance)
        terminal.say(
            f"Soft labels: {len(data.train)} images x {len(views)} views, {time.monotonic() - start:.0f} s: {folder}"
        )
        if config.verify_soft_labels:
            stores.verify(store, data.train.images, views, _columns(teacher), config.verify_soft_labels, config.seed)
    return store


def _columns(teacher: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: teacher.predict(images).columns()


def distill(
    config: Config, out: str | Path, terminal: Terminal | None = None, resume: bool = False, command: str = ""
) -> dict[str, Any]:
    """Teacher → soft labels → student → scores → export → model card, in one folder.

    Args:
        config: all options.
        out: folder for config.toml, history.csv, student.keras, student_float32.tflite, labels.txt, metrics.json,
            README.md and pictures; must be new or empty unless `resume`.
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
    config = config.effective()
    _check_names(config)
    with run_folder.held(out, config, resume):
        data = _load_data(config, terminal)
        teacher, store = _lesson(config, data, terminal)
        job = _student_job(config, data, store, out / run_folder.STATE)
        heads = job.heads
        student, history = _train(config, data, job, terminal)
        form = Form(heads.class_names or None, input_shape=data.image_shape)
        saved.save(student, out / "student.keras", form)
        if heads.label:
            write_text(out / "labels.txt", "".join(f"{name}\n" for name in heads.class_names))
        frame = pd.DataFrame(history)
        write_text(out / "history.csv", frame.to_csv(index=False))
        results: dict[str, Any] = {"student": config.student, "parameters": scoring.trainable_parameters(student)}
        results["train_seconds"] = round(sum(row["seconds"] for row in history), 1)
        predictor = KerasPredictor(student, form)
        results["multiply_accumulates"] = predictor.multiply_accumulates
        results["data"] = {"name": data.name, "counts": data.counts()}
        results["fingerprints"] = {
            "data": data.fingerprint,
            "teacher": teacher.fingerprint if teacher else store and store.key.teacher,
            "weights": saved.weights_fingerprint(student),
        }
        on_test = predictor.predict(data.test.images)
        results |= _scores(config, data, on_test, predictor.predict(data.validation.images), teacher)
        if config.baseline and job.teacher_logits is not None:
            job = replace(job, title=f"baseline {config.student}", folder=job.folder / "baseline", teacher_logits=None)
            alone = KerasPredictor(_train(config, data, job, terminal)[0], form)
            results["baseline_test"] = scoring.scored(alone.predict(data.test.images), data.test)
        results["exported"] = {
            format: _exported(student, on_test, out / f"student_{format}.tflite", format, data)
            for format in config.formats.split(",")
        }
        _write_report(out, config, data, results, frame, command, on_test)
    return results


def _student_job(config: Config, data: Data, store: SoftLabels | None, folder: Path) -> Job:
    """The training of the student, with the teacher's stored outputs for the heads that it learns."""
    heads = splits.chosen(config.heads, data, store.key.values if store else ())
    if store and not heads.shared(store.key.class_names, store.key.values):
        told = ", ".join([*store.key.class_names, *store.key.values])
        raise ConfigError(
            f"The teacher tells {told}, nothing of what the student is to learn ({', '.join(heads.widths)}): choose "
            "other --heads or another teacher."
        )
    lesson = store and heads.teacher(store.logits, store.key.class_names, store.key.values)
    views = _views(config, data, config.views)
    title = f"student {config.student}"
    return Job(title, config.student, config.epochs, heads, views, folder, lesson, config.pretrained)


class Trials:
    """Students trained one after the other on the same data: a teacher runs once, and no test image is looked at.

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
        """Train the student of `config`, or go on with what was stopped in `folder`; return its history.

        Args:
            config: from `options`; those of the data are as above.
            folder: for the state of the training.
            after_epoch: called with each epoch's row of the history; what it raises ends the training.
        """
        _check_names(config)
        job = _student_job(config, self._data, self._store(config), folder)
        return _train(config, self._data, job, self._terminal, after_epoch)[1]

    def options(self, config: Config) -> Config:
        """What `train` and, with the same result, `distill` take: all options, and a teacher by its name in the cache.

        A teacher that is trained here learns by the options that this object was made with.
        """
        config = config.effective()
        if _alone(config) or _needs_no_teacher(config):
            return config
        for name in config.teachers:
            if name in models.names() and name not in self._teachers:
                self._teachers[name] = _taught(self._config, self._data, name, self._terminal).parent.name
        names = (self._teachers.get(name, name) for name in config.teachers)
        return replace(config, teacher=configuration.SEPARATOR.join(names))

    def _store(self, config: Config) -> SoftLabels | None:
        if _alone(config):
            return None
        key = (config.teacher, config.teacher_mirror, config.augment, config.views, config.seed)
        if key not in self._stores:
            self._stores[key] = _lesson(config, self._data, self._terminal)[1]
        return self._stores[key]


def _alone(config: Config) -> bool:
    """Whether the student learns from the labels alone, values included."""
    return config.beta == 0 or (config.beta is None and config.alpha == 1)


def _needs_no_teacher(config: Config) -> bool:
    """Whether a given store has all that the student learns from."""
    has_store = config.soft_labels and (Path(config.soft_labels) / stores.RECORD).exists()
    return bool(has_store) and config.teacher is None and not config.verify_soft_labels


def _check_names(config: Config) -> None:
    if config.student not in models.names():
        raise ConfigError(f"student must be one of {', '.join(models.names())}. Received: student={config.student!r}.")
    for format in config.formats.split(","):
        if exporters.find(format).SUFFIX != ".tflite":
            raise ConfigError(f"formats must be .tflite formats. Received: formats={config.formats!r}.")


def _lesson(config: Config, data: Data, terminal: Terminal) -> tuple[Predictor | None, SoftLabels | None]:
    """The teacher and its outputs for training; no teacher where a given store has them, neither where β is 0."""
    if _alone(config):
        return None, None
    if _needs_no_teacher(config):
        return None, _soft_labels(config, data, None, terminal)
    teacher = _teacher(config, data, terminal)
    return teacher, _soft_labels(config, data, teacher, terminal)


def _scores(
    config: Config, data: Data, on_test: Prediction, on_validation: Prediction, teacher: Predictor | None
) -> dict[str, Any]:
    """All that metrics.json says of the student, by what it says of both splits, and of the teacher."""
    test, validation = data.test, data.validation
    results: dict[str, Any] = {
        "teacher": None,
        "test": scoring.scored(on_test, test),
        "validation": scoring.scored(on_validation, validation),
    }
    if teacher is not None:
        teacher_on_test = teacher.predict(test.images)
        if teacher.tells_classes and on_test.logits.shape[1]:
            results["test"]["agreement"] = metrics.agreement(on_test.logits, teacher_on_test.logits)
        results["teacher_test"] = scoring.scored(teacher_on_test, test)
        teacher_on_validation = scoring.scored(teacher.predict(validation.images), validation)
        results["teacher"] = {
            "name": " + ".join(Path(name).stem for name in config.teachers) + " mirrored" * config.teacher_mirror,
            "accuracy": teacher_on_validation.get("accuracy"),
            "multiply_accumulates": teacher.multiply_accumulates,
        }
    module, _ = datasets.find(config.data)
    if hasattr(module, "subsets"):
        samples = {"train": data.train, "validation": validation, "test": test}
        logits = {"validation": on_validation.logits, "test": on_test.logits}
        results[data.name] = scoring.subsets(module, samples, logits)
    return results


def _exported(student: keras.Model, of_keras: Prediction, path: Path, format: str, data: Data) -> dict[str, Any]:
    """Export, then score the file itself on its runtime and compare it with Keras' outputs on the test images."""
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
        pictures.confusion_picture(out / "confusion.png", test["confusion"], data.class_names, title)
    costs = report.costs(results)
    if len(costs) > 1:
        pictures.cost_picture(out / "cost.png", costs, title)
    if len(values) == 2:
        pictures.values_picture(out / "values.png", values, on_test.values, labels, data.class_names, title)
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
