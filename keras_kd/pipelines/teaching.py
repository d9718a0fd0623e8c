"""What a student is taught: its teachers, trained first or loaded, and their outputs for every
view.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_kd import config as configuration
from keras_kd import models
from keras_kd._common.arrays import fingerprint
from keras_kd._common.files import locked
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import splits
from keras_kd.datasets.readers import ferplus
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError, ModelError, of_file
from keras_kd.models import keras_file
from keras_kd.models.keras_file import Form
from keras_kd.pipelines import run_folder
from keras_kd.pipelines.job import Job, seen, train
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import Predictor
from keras_kd.teachers import labelling, votes
from keras_kd.teachers import soft_labels as stores
from keras_kd.teachers.soft_labels import SoftLabels

TEACHER_FILE = "teacher.keras"

# Everything but the epochs that decides what comes out of training.
_TRAINING_OPTIONS = (
    "batch_size", "learning_rate", "schedule", "patience", "weight_decay", "clip_norm", "conv_dropout",
    "dense_dropout", "class_weights", "augment", "views", "seed",
    "value_loss", "value_weight",
)  # fmt: skip


# What the user may state of a teacher's file.
_STATED = ("teacher_input", "teacher_range", "teacher_output", "teacher_classes")


def alone(config: Config) -> bool:
    """Whether the student learns from the labels alone, values included."""
    return config.beta == 0 or (config.beta is None and config.alpha == 1)


@dataclass(frozen=True)
class Lesson:
    """Who teaches, and what was said of every view: nobody and nothing, unless given.

    Attributes:
        name: of the teacher, for cards.
        teacher: None where votes or a given store tell all.
        soft_labels: of the training images' views.
    """

    name: str | None = None
    teacher: Predictor | None = None
    soft_labels: SoftLabels | None = None


def needs_model(config: Config) -> bool:
    """Whether a model must be trained or loaded to teach: neither votes nor a given store have all
    that is learnt.
    """
    has_store = config.soft_labels and (Path(config.soft_labels) / stores.RECORD).exists()
    told = has_store and config.teacher is None and not config.verify_soft_labels
    return not (alone(config) or config.votes or told)


def prepare(config: Config, data: Data, terminal: Terminal) -> Lesson:
    """The teacher and its outputs for training."""
    if alone(config):
        return Lesson()
    if config.votes:
        return Lesson("people's votes", soft_labels=_voted(config, data))
    if not needs_model(config):
        return Lesson("stored soft labels", soft_labels=soft_labels(config, data, None, terminal))
    model = teacher(config, data, terminal)
    name = " + ".join(map(_called, config.teachers)) + " mirrored" * config.teacher_mirror
    return Lesson(name, model, soft_labels(config, data, model, terminal))


def _called(name: str) -> str:
    """A teacher in a card: a file with its folder, as all runs name theirs alike."""
    path = Path(name)
    return path.stem if path.parent.name == "" else f"{path.parent.name}/{path.stem}"


def _voted(config: Config, data: Data) -> SoftLabels:
    """What people's votes say about each training image, the same for all its views."""
    if config.teacher or config.soft_labels:
        raise ConfigError(
            "--votes teach instead of a model: leave out --teacher and --soft-labels, or --votes."
        )
    told = votes.logits(
        ferplus.training_votes(config.votes), data.train.hard_labels, len(data.class_names)
    )
    views = seen(config, data, config.views)
    key = stores.Key(
        f"votes {fingerprint([told])}",
        stores.image_fingerprint(data.train.images),
        views.names,
        data.class_names,
    )
    stored = told.astype(np.float16)
    every_view = np.broadcast_to(stored[:, None], (len(stored), len(views), stored.shape[1]))
    return SoftLabels(key, every_view, float(np.abs(stored - told).max()))


def teacher(config: Config, data: Data, terminal: Terminal) -> Predictor:
    """The teachers as one function of images, with their mean logits, if any, in the data's order
    of classes.
    """
    given = [name for name in _STATED if getattr(config, name) is not None]
    if given and not any(_is_file(name) for name in config.teachers):
        raise ConfigError(
            f"{', '.join(given)} is stated of a teacher that is trained here ({', '.join(config.teachers)}), which "
            "needs no such word: leave it out, or give a model file as teacher."
        )
    members = [_one_teacher(name, config, data, terminal) for name in config.teachers]
    return predictors.averaged(members, config.teacher_mirror)


def _is_file(name: str) -> bool:
    return name not in models.names() and not (_folder(name) / TEACHER_FILE).exists()


def _one_teacher(name: str, config: Config, data: Data, terminal: Terminal) -> Predictor:
    cached = _folder(name) / TEACHER_FILE
    named = name in models.names()
    path = (
        trained(config, data, name, terminal)
        if named
        else cached
        if cached.exists()
        else Path(name)
    )
    if named or path == cached or (len(config.teachers) > 1 and keras_file.tells(path)):
        # What the user states is of the files that don't tell.
        config = replace(config, **dict.fromkeys(_STATED))
    if not path.exists():
        raise ModelError(
            f"No teacher at {name}, nor one of that name in {cached.parents[1]}: check the path, see `kerakd models` "
            "for architectures, or make it with `kerakd teach`, which prints its name."
        )
    predictor = predictors.load(
        path,
        configuration.numbers("teacher_input", config.teacher_input, "x", 3, int),
        configuration.numbers("teacher_range", config.teacher_range, ",", 2, float),
        config.teacher_output,
        config.precision if named or path == cached else None,
    )
    stated = config.teacher_classes and tuple(config.teacher_classes.split(","))
    with of_file(path):
        return predictors.in_order_of(
            predictor, stated or predictor.form.class_names, data.class_names
        )


def trained(config: Config, data: Data, name: str, terminal: Terminal) -> Path:
    """The cached teacher of this data and these options, trained now if there is none; a stopped
    training goes on.
    """
    values = models.values(name) if name in models.names() else ()
    heads = splits.chosen(config.heads, data, values)
    what = [data.fingerprint, name, config.teacher_epochs, config.precision, heads]
    what += [getattr(config, name) for name in _TRAINING_OPTIONS]
    # Teachers that were trained before there was an average keep their names.
    what += [config.ema] if config.ema else []
    what += [config.label_smoothing] if config.label_smoothing else []
    what += [_content(config.start_from), config.freeze_until] if config.start_from else []
    rates = (config.head_rate, config.body_rate)
    what += [rates] if any(rates) else []
    folder = _folder(f"{name}-{fingerprint([repr(what)])}")
    path = folder / TEACHER_FILE
    with locked(folder, terminal.say):
        if path.exists():
            _forget_states(folder)  # of a process that was killed as it finished
            terminal.say(f"Teacher {name} is in the cache: {path}")
            return path
        # Without stored logits more views cost nothing.
        views = seen(config, data, max(config.views, config.teacher_epochs))
        job = Job(
            f"teacher {name}",
            name,
            config.teacher_epochs,
            heads,
            views,
            folder,
            start_from=config.start_from,
        )
        model, _ = train(job, config, data, terminal)
        keras_file.save(model, path, Form(heads.class_names or None, input_shape=data.image_shape))
        _forget_states(folder)
    return path


def _content(path: str) -> str:
    if not Path(path).is_file():
        raise ModelError(f"No model at {path} to start from: check the path.")
    return fingerprint([Path(path).read_bytes()])


def _forget_states(folder: Path) -> None:
    for path in folder.glob("*.npz"):
        path.unlink()


def _folder(name: str) -> Path:
    return run_folder.cache_folder() / "teachers" / name


def soft_labels(
    config: Config, data: Data, teacher: Predictor | None, terminal: Terminal
) -> SoftLabels:
    """The teacher's outputs for all views: from the store of the same content, filled now if new."""
    views = seen(config, data, config.views)
    key = stores.Key(
        teacher.fingerprint if teacher else "",
        stores.image_fingerprint(data.train.images),
        views.names,
        data.class_names if teacher is None or teacher.tells_classes else (),
        teacher.values if teacher else (),
    )
    folder = (
        Path(config.soft_labels)
        if config.soft_labels
        else run_folder.cache_folder() / "soft_labels" / key.short
    )
    if teacher is None:
        store = stores.open_store(folder, key)
    else:
        with (
            locked(folder, terminal.say),
            terminal.bar("Soft labels", len(data.train) * len(views)) as advance,
        ):
            start, several = time.monotonic(), config.label_workers > 1
            compute = (
                labelling.by_workers(config.label_workers, folder) if several else stores.in_turn
            )
            store = stores.fill(
                folder, key, data.train.images, views, _columns(teacher), advance, compute=compute
            )
        terminal.say(
            f"Soft labels: {len(data.train)} images x {len(views)} views, {time.monotonic() - start:.0f} s: {folder}"
        )
        if config.verify_soft_labels:
            stores.verify(
                store,
                data.train.images,
                views,
                _columns(teacher),
                config.verify_soft_labels,
                config.seed,
            )
    return store


def _columns(teacher: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: teacher.predict(images).columns()
