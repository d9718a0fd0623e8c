"""One training: an architecture, its heads, the views of the images, and a teacher's stored
outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras

from keras_kd._common import hardware, hosts
from keras_kd._common.progress import Terminal
from keras_kd.datasets.sharded import Shards
from keras_kd.datasets.splits import Data
from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError
from keras_kd.models.surgery import batch_norm, batch_statistics, fine_tuning, precision
from keras_kd.models.surgery.compaction import compact, expand
from keras_kd.teachers import augmentation
from keras_kd.teachers.shard_labels import ShardLogits
from keras_kd.teachers.views import Views
from keras_kd.training import callbacks, fitting, initial_model, logs, optimizers, scores, targets
from keras_kd.training.batches import Batches, SharedBatches, TrainingBatches
from keras_kd.training.settings import Job, TrainingSettings
from keras_kd.training.shard_batches import ShardBatches

# What to do where the loss becomes NaN, unless the caller knows better. A resumed run has the
# teacher of the rate that it began with.
_REMEDIES = {
    "student": (
        "lower --learning-rate (`kerakd distill --resume` takes a lower one, and another"
        " --clip-norm, and goes on from the last good state), or train anew in float32"
        " (--precision float32)"
    ),
    "teacher": (
        "this is the training of the {}, so give the whole command anew with a lower"
        " --learning-rate, another --clip-norm or --precision float32"
    ),
}


def views(settings: TrainingSettings, data: Data, count: int) -> Views:
    """Return the views of the training images.

    Args:
        settings: the settings, which name the augmentation.
        data: the data set.
        count: number of views, if the augmentation has seeded views.

    Returns:
        The views.
    """
    kind = augmentation.kind(settings.augment, data.class_names)
    # The rows of each shard are counted from 0.
    rows = int(data.shards.rows.max()) if data.shards else len(data.train)
    return Views(kind, rows, count, settings.seed)


def train(
    job: Job,
    settings: TrainingSettings,
    data: Data,
    terminal: Terminal,
    after_epoch: Callable[[dict[str, float]], None] = lambda row: None,
    remedy: str | None = None,
) -> tuple[keras.Model, list[dict[str, float]]]:
    """Train an architecture, or continue a training that was stopped.

    Args:
        job: what to train; its folder keeps the state.
        settings: how to train.
        data: all splits; the validation images choose the epoch.
        terminal: where the user sees progress.
        after_epoch: called with each epoch's row of the history; an exception that it raises ends
            the training.
        remedy: what to do where the loss becomes NaN, as the end of a sentence; None for what
            `kerakd distill` and `teach` can do.

    Returns:
        The model in float32 and in its published shape, and its history.
    """
    batches, validation_labels = _batches(job, settings, data)
    validation = (data.validation.images, validation_labels)
    steps = batches.steps * job.epochs
    bar = terminal.bar(f"Training {job.title}", steps * batches.batch_size)
    # Of several hosts the head writes for all.
    targets_of_logs = settings.log if hosts.number() == 0 else ()
    logged = logs.logged(targets_of_logs, job.title, _parameters(job, settings), job.folder)
    with logged as log, bar as advance, hardware.scope(settings.devices):

        def tell(row: dict[str, float]) -> None:
            terminal.say(_epoch_line(job, row, batches.steps * batches.batch_size))
            log(row)
            after_epoch(row)

        student = _initial(job, settings, data, terminal)
        distiller = _compiled(job, settings, data, student, steps)
        momenta = batch_norm.shorten_averages(distiller.student, steps)
        chosen = optimizers.schedule_callbacks(settings.schedule, settings.patience)
        chosen += [callbacks.create(source) for source in settings.callbacks]
        history = fitting.fit(
            distiller,
            batches,
            validation,
            job.epochs,
            job.folder,
            chosen,
            tell,
            advance,
            remedy or _REMEDIES[job.learner].format(job.title),
        )
    if len(history) < job.epochs:
        terminal.say(f"{job.title}: stopped after epoch {len(history)} of {job.epochs}")
    batch_norm.set_momenta(distiller.student, momenta)
    return _published(distiller.student), history


def _initial(job: Job, settings: TrainingSettings, data: Data, terminal: Terminal) -> keras.Model:
    """The model before its first step; that of a file with the statistics of these images."""
    student = initial_model.build(job, settings, data, terminal.say)
    if job.start:
        student = batch_statistics.with_factors(student)
        batch_statistics.set_statistics(student, data.train.images, settings.seed)
    return student


def _published(student: keras.Model) -> keras.Model:
    """A trained model in float32 and in its published shape."""
    student = expand(precision.with_policy(batch_norm.unfused(student), "float32"))
    for layer in student.layers:
        layer.trainable = True  # Frozen for this training alone.
    return student


def rehearse(job: Job, settings: TrainingSettings, data: Data) -> None:
    """Make all that `train` makes before its first step, once, to find what does not fit.

    Args:
        job: what to train.
        settings: how to train.
        data: all splits.

    Raises:
        KerasKDError: as `train`, for a layer that does not exist, outputs that do not fit, or an
            optimizer that this backend lacks.
    """
    _compiled(job, settings, data, initial_model.build(job, settings, data), steps=job.epochs)


def _compiled(
    job: Job, settings: TrainingSettings, data: Data, built: keras.Model, steps: int
) -> Distiller:
    distiller = _distiller(job, settings, data, built)
    optimizer = _optimizer(job, settings, steps, distiller.student)
    distiller.compile(optimizer, metrics=scores.metrics(job.heads.named))
    return distiller


def _parameters(job: Job, settings: TrainingSettings) -> dict[str, Any]:
    """The settings by name, for loggers, those of the loss beside the others."""
    named = asdict(settings)
    # The address of a server may hold a password.
    loss, _ = named.pop("loss"), named.pop("log")
    return {"architecture": job.architecture, "epochs": job.epochs, **loss, **named}


def _batches(job: Job, settings: TrainingSettings, data: Data) -> tuple[Batches, Any]:
    """The training batches, of all images where there are fewer than a batch may hold, and the
    targets of the validation images.
    """
    require_in_memory(settings, data)
    mixtures = augmentation.mixtures(settings.augment)
    labels, of_validation = targets.of(
        job.heads, data, settings.label_smoothing, as_shares=bool(mixtures)
    )
    if data.shards:
        return _of_shards(job, settings, data.shards), of_validation
    batches = TrainingBatches(
        images=data.train.images,
        labels=labels,
        views=job.views,
        batch_size=min(settings.batch_size, len(data.train)),
        seed=settings.seed,
        teacher_logits=job.teacher_logits,
        unlabeled=job.unlabeled,
        unlabeled_share=job.unlabeled_share,
        mixtures=mixtures,
        degrade=augmentation.degrades(settings.augment),
        teacher_images=job.teacher_images,
    )
    shared = SharedBatches(batches, hosts.number(), hosts.count()) if hosts.count() > 1 else batches
    return shared, of_validation


def require_in_memory(settings: TrainingSettings, data: Data) -> None:
    """Refuse augmentations that mix the images of a batch, where these stay in their shards.

    Args:
        settings: how to train.
        data: the data set.

    Raises:
        ConfigError: there is one.
    """
    mixtures = augmentation.mixtures(settings.augment)
    if mixtures and data.shards:
        raise ConfigError(
            f"{' and '.join(mixtures)} mixes images in memory, and these stay in their shards:"
            " leave it out of augment, or give the data in another form."
        )


def _of_shards(job: Job, settings: TrainingSettings, shards: Shards) -> ShardBatches:
    outputs, classes = job.teacher_logits, len(shards.class_names)
    return ShardBatches(
        shards=shards,
        targets=lambda labels: targets.of_shard(labels, classes, settings.label_smoothing),
        views=job.views,
        batch_size=min(settings.batch_size, len(shards)),
        seed=settings.seed,
        teacher_logits=outputs.of_shard if isinstance(outputs, ShardLogits) else None,
        live_teacher=outputs if callable(outputs) else None,
        buffer=settings.shuffle_buffer,
        host=hosts.number(),
        hosts=hosts.count(),
        degrade=augmentation.degrades(settings.augment),
    )


def _epoch_line(job: Job, row: dict[str, float], images: int) -> str:
    shown = "  ".join(
        f"{name.removeprefix('val_').replace('_', ' ')} {score:.4f}"
        for name, score in scores.validation_scores(row).items()
    )
    return (
        f"{job.title}: epoch {row['epoch']}/{job.epochs}  loss {row['loss']:.4f}  "
        f"validation {shown}  {images / row['seconds']:,.0f} images/s"
    )


def _optimizer(
    job: Job, settings: TrainingSettings, steps: int, student: keras.Model
) -> keras.optimizers.Optimizer:
    name = settings.optimizer
    if name == "dot" and job.teacher_logits is None:
        name = "sgd"  # Without a teacher's gradients only DOT's smaller momentum would be left.
    return optimizers.OPTIMIZERS[name](
        schedule=settings.schedule,
        rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        steps=steps,
        clip_norm=settings.clip_norm,
        ema=settings.ema,
        factors=_rate_factors(student, settings),
    )


def _distiller(job: Job, settings: TrainingSettings, data: Data, built: keras.Model) -> Distiller:
    """The student in the form that trains fastest, and the loss it trains on."""
    loss, heads = settings.loss, job.heads
    alone = job.teacher_logits is None
    weights = None
    if settings.class_weights == "balanced" and heads.label:
        weights = (
            targets.weights_of_counts(data.shards.counts)
            if data.shards
            else targets.balanced_weights(data.train.labels, len(heads.class_names))
        )
    # Trained without the weights that no pixel reaches: they cost time and change no output.
    return Distiller(
        batch_norm.fused(precision.in_precision(compact(built), settings.precision)),
        None if alone else job.feature_teacher,
        features=() if alone else loss.matches,
        temperature=loss.temperature,
        alpha=1.0 if alone else loss.alpha,
        beta=0.0 if alone else loss.beta,
        class_weights=weights,
        weights_normalised=settings.weights_normalised,
        soft_loss=loss.soft_loss,
        value_loss=loss.value_loss,
        value_weight=loss.value_weight,
        bound_weight=0.0 if alone else loss.bound_weight,
        margin=loss.margin,
        seed=settings.seed,
        # Batches bring logits; of a live model of features its graph says what it gives.
        teacher_output="logits" if job.feature_teacher is None else None,
    )


def _rate_factors(student: keras.Model, settings: TrainingSettings) -> dict[str, float]:
    """What the learning rate is multiplied by, by the paths of the variables that have another."""
    heads = fine_tuning.head_layers(student)
    # As factors, because a schedule gives one rate for all layers.
    factors: dict[str, float] = {}
    for layer in student.layers:
        rate = settings.head_rate if layer in heads else settings.body_rate
        if rate is not None:
            paths = (variable.path for variable in layer.trainable_weights)
            factors |= dict.fromkeys(paths, rate / settings.learning_rate)
    return factors
