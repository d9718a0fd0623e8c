"""One training: an architecture, the heads that it learns, the views that it sees, and a teacher's
stored outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_kd import models
from keras_kd._common import hardware
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets.splits import Data, Heads
from keras_kd.distiller import Distiller
from keras_kd.errors import of_file
from keras_kd.models import keras_file
from keras_kd.models.surgery import fine_tuning, precision
from keras_kd.models.surgery.batch_norm import fused, unfused
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.teachers.views import Views
from keras_kd.training import fitting
from keras_kd.training.fitting import Feed


def seen(config: Config, data: Data, count: int) -> Views:
    """`count` views of each training image, where the kind of views has a count."""
    return Views(config.augment, len(data.train), count, config.seed)


@dataclass(frozen=True)
class Job:
    """One training within a run: on the labels alone without `teacher_logits`, which are as `Feed`
    takes them.
    """

    title: str
    architecture: str
    epochs: int
    heads: Heads
    views: Views
    folder: Path
    teacher_logits: Any = None
    pretrained: str | None = None
    start_from: str | None = None


def train(
    job: Job,
    config: Config,
    data: Data,
    terminal: Terminal,
    after_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train an architecture, or go on where it was stopped.

    Args:
        job: what to train; its folder keeps the state.
        config: all options, none left to the recipe.
        data: all splits; the validation images choose the epoch.
        terminal: what to tell the user by.
        after_epoch: called with each epoch's row of the history; what it raises ends the training.

    Returns:
        The model in float32 and as published, and its history.
    """
    train = data.train
    labels = job.heads.targets(train)
    if config.label_smoothing:
        labels = _smoothed(job.heads, labels, config.label_smoothing)
    feed = Feed(train.images, labels, job.views, config.batch_size, config.seed, job.teacher_logits)
    steps = feed.steps * job.epochs

    def tell(row: dict[str, float]) -> None:
        rate = feed.steps * config.batch_size / row["seconds"]
        scores = "  ".join(
            f"{name.removeprefix('val_').replace('_', ' ')} {score:.4f}"
            for name, score in fitting.validation_scores(row).items()
        )
        terminal.say(
            f"{job.title}: epoch {row['epoch']}/{job.epochs}  loss {row['loss']:.4f}  validation {scores}  "
            f"{rate:,.0f} images/s"
        )
        after_epoch(row)

    targets = job.heads.targets(data.validation)
    if config.label_smoothing:
        # Keras' accuracy takes labels of one form, and training's are shares now.
        targets = _smoothed(job.heads, targets, 0.0)
    validation = (data.validation.images, targets)
    bar = terminal.bar(f"Training {job.title}", steps * config.batch_size)
    with bar as advance, hardware.scope(config.devices):
        distiller = _distiller(job, config, data)
        optimizer = fitting.optimizer(
            config.schedule,
            config.learning_rate,
            config.weight_decay,
            steps,
            config.clip_norm,
            config.ema,
            _rate_factors(distiller.student, config),
        )
        distiller.compile(optimizer, metrics=fitting.metrics(job.heads.named))
        callbacks = fitting.callbacks(config.schedule, config.patience)
        history = fitting.fit(
            distiller, feed, validation, job.epochs, job.folder, callbacks, tell, advance
        )
    student = expand(precision.with_policy(unfused(distiller.student), "float32"))
    for layer in student.layers:
        layer.trainable = True  # Frozen for this training alone.
    return student, history


def _smoothed(heads: Heads, targets: Any, share: float) -> Any:
    """The targets with class labels as shares, `share` of each spread over all classes."""
    if not heads.label:
        return targets
    labels = targets if heads.single else targets[heads.label]
    smoothed = fitting.smoothed(labels, len(heads.class_names), share)
    return smoothed if heads.single else {**targets, heads.label: smoothed}


def _distiller(job: Job, config: Config, data: Data) -> Distiller:
    """A new student of the job's architecture in the form that trains fastest, and the loss it
    trains on.
    """
    heads, classes = job.heads, len(job.heads.class_names)
    built = _started(job, config, data) if job.start_from else _new(job, config, data)
    alone = job.teacher_logits is None
    balanced = config.class_weights == "balanced" and heads.label
    return Distiller(
        fused(precision.in_precision(compact(built), config.precision)),
        temperature=config.temperature,
        alpha=1.0 if alone else config.alpha,
        beta=0.0 if alone else config.beta,
        class_weights=fitting.balanced_weights(data.train.labels, classes) if balanced else None,
        soft_loss=config.soft_loss,
        value_loss=config.value_loss,
        value_weight=config.value_weight,
        bound_weight=0.0 if alone else config.bound_weight,
        margin=config.margin,
        seed=config.seed,
    )


def _rate_factors(student: keras.Model, config: Config) -> dict[str, float]:
    """What the learning rate is multiplied by, by the paths of the variables that have another."""
    heads = fine_tuning.head_layers(student)
    factors: dict[str, float] = {}
    for layer in student.layers:
        rate = config.head_rate if layer in heads else config.body_rate
        if rate is not None:
            paths = (variable.path for variable in layer.trainable_weights)
            factors |= dict.fromkeys(paths, rate / config.learning_rate)
    return factors


def _new(job: Job, config: Config, data: Data) -> keras.Model:
    return models.build(
        job.architecture,
        len(job.heads.class_names),
        data.image_shape,
        (config.conv_dropout, config.dense_dropout),
        config.seed,
        job.heads.named,
        job.pretrained,
    )


def _started(job: Job, config: Config, data: Data) -> keras.Model:
    """A model with a trained one's weights and the statistics of the data; of a file's own layers
    where `architecture` is none of the library's.
    """
    source, form = keras_file.load(job.start_from)
    with of_file(job.start_from):
        if job.architecture in models.names():
            built = _new(job, config, data)
            same = form.class_names == data.class_names
            fine_tuning.take_over(source, built, with_head=same)
        else:
            heads = job.heads.named or len(job.heads.class_names)
            built = fine_tuning.with_new_head(
                source, heads, data.image_shape, form.value_range, config.seed
            )
    if config.freeze_until:
        fine_tuning.freeze_until(built, config.freeze_until)
    fine_tuning.set_statistics(built, data.train.images, config.seed)
    return built
