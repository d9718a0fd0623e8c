"""The model that a training begins with: new, of a file's layers, or with trained weights."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_kd.datasets.class_names import shortened
from keras_kd.datasets.class_permutation import permutation
from keras_kd.datasets.splits import Data, Heads
from keras_kd.errors import ModelError, of_file
from keras_kd.models import sources
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery import batch_norm, fine_tuning
from keras_kd.runtimes import predictors
from keras_kd.training.settings import Job, TrainingSettings

_PIXELS = (
    "The file does not say which pixels it takes, so 0..255 are assumed: --{}-range, mean, std and"
    " channel-order state others."
)


def build(
    job: Job, settings: TrainingSettings, data: Data, say: Callable[[str], None] = lambda text: None
) -> keras.Model:
    """Return the model that a training begins with.

    Args:
        job: what to train.
        settings: how to train.
        data: all splits.
        say: called with sentences on what is kept and assumed of a file.

    Returns:
        The model, with new weights or with those that the job starts from.

    Raises:
        KerasKDError: a file can't be used, or does not fit the data or the architecture.
    """
    if job.start:
        return _started(job, settings, data, say)
    if sources.is_file(job.architecture):
        loaded = _loaded(job)
        student = _new(job, settings, data, loaded)
        say(
            f"The {job.title} has the layers of {job.architecture} with new weights: --keep-weights"
            f" would keep the file's.{_of_file(job, loaded[1], student)}"
        )
    else:
        student = _new(job, settings, data)
    if not job.pretrained:
        batch_norm.begin_averages(student, data.train.images, settings.seed)
    return student


def _new(
    job: Job,
    settings: TrainingSettings,
    data: Data,
    loaded: tuple[keras.Model, ModelSpec] | None = None,
) -> keras.Model:
    return sources.build(
        job.architecture,
        len(job.heads.class_names),
        data.image_shape,
        dropout=(settings.conv_dropout, settings.dense_dropout),
        seed=settings.seed,
        heads=job.heads.named,
        pretrained=job.pretrained,
        loaded=loaded,
    )


def _loaded(job: Job) -> tuple[keras.Model, ModelSpec]:
    """The file whose layers are trained, and what is said of it."""
    path, stated = (
        (job.start.path, job.start.stated) if job.start else (job.architecture, job.stated)
    )
    return predictors.of_keras_file(path, stated, f"{job.learner}-")


def _started(
    job: Job, settings: TrainingSettings, data: Data, say: Callable[[str], None]
) -> keras.Model:
    """A model with a trained one's weights; of a file's own layers where `architecture` is none
    that is built anew.
    """
    source, spec = _loaded(job)
    with of_file(job.start.path):
        order, note = _kept_head(spec.class_names, job.heads)
        if sources.is_trainable(job.architecture):
            _require_usual_pixels(job, spec)
            built = _new(job, settings, data)
            fine_tuning.take_over(source, built, order)
        else:
            built = fine_tuning.with_new_head(
                source, job.heads.asked, data.image_shape, spec.expected_pixels, settings.seed
            )
            if order is not None and job.heads.single:
                fine_tuning.keep_head(source, built, order)
            elif order is not None:
                note = "its heads are new, because several are trained"
    notes = _of_file(job, spec, built)
    say(f"The {job.title} starts from {job.start.path}; {note}.{notes}")
    if job.start.freeze_until:
        fine_tuning.freeze_until(built, job.start.freeze_until)
    return built


def _require_usual_pixels(job: Job, spec: ModelSpec) -> None:
    """Refuse weights that learnt from other pixels than the architecture takes."""
    if not spec.expected_pixels.plain:
        taken = str(spec.expected_pixels).replace("--", f"--{job.learner}-")
        raise ModelError(
            f"It takes other pixels ({taken}) than {job.architecture}, which takes 0..255, so its"
            f" weights would mean something else there: give the file as --{job.learner} with"
            " --keep-weights, without --start-from."
        )


def _of_file(job: Job, spec: ModelSpec, model: keras.Model) -> str:
    """Sentences on what is assumed and kept of a file whose layers are trained."""
    note = "" if spec.pixels else f" {_PIXELS.format(job.learner)}"
    if names := fine_tuning.frozen_layers(model):
        count = f"{len(names)} layers are" if len(names) > 1 else "1 layer is"
        note += f" {count} frozen there, and not trained here: {shortened(names)}."
    return note


def _kept_head(names: tuple[str, ...] | None, heads: Heads) -> tuple[list[int] | None, str]:
    """The number in a trained model of each class of the data, and what becomes of its head; None
    if its head is new.
    """
    if not names:
        return None, "its head is new, because the file names no classes"
    try:
        order = permutation(names, heads.class_names).tolist()
    except ModelError:
        other, own = shortened(heads.class_names), shortened(names)
        return None, f"its head is new, because its classes ({own}) are not the data's ({other})"
    in_order = order == sorted(order)
    return order, "its head is kept" + ", in the data's order of classes" * (not in_order)
