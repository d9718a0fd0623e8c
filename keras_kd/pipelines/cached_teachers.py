"""Trained teachers in the cache, found again by all that decides what they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_kd import models
from keras_kd._common.arrays import fingerprint
from keras_kd._common.files import locked
from keras_kd._common.folders import cache_folder, private
from keras_kd._common.identity import identity
from keras_kd._common.paths import advice
from keras_kd._common.progress import Terminal
from keras_kd._common.vocabulary import SHUFFLE_BUFFER
from keras_kd.datasets import splits
from keras_kd.datasets.splits import Data, Heads
from keras_kd.errors import ModelError
from keras_kd.models import keras_file, sources
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines.plan import Plan, TeacherPlan
from keras_kd.runtimes import labels, published
from keras_kd.teachers import augmentation
from keras_kd.training import job
from keras_kd.training.settings import Job, StartingPoint

TEACHER_FILE = "teacher.keras"
# A higher number whenever the facts by which a trained teacher is found in the cache change.
IDENTITY_VERSION = 2
# How augmentations were called when cached teachers got their names.
_NAMED_BEFORE = {
    "crops,mirror,jitter": "crops",
    "mirror,strong": "strong",
    "crops": "crops alone",
    "strong": "strong alone",
}


def trained(plan: Plan, data: Data, name: str, terminal: Terminal) -> Path:
    """Return the cached teacher of this data and these options; train it if there is none, or
    continue a training that was stopped.

    Args:
        plan: the run's plan.
        data: the data set.
        name: a source of `models.sources`.
        terminal: where the user sees progress.

    Returns:
        Path of the `.keras` file.
    """
    values = models.values(name) if name in models.names() else ()
    heads = splits.chosen(plan.student.heads, data, values)
    # Without stored logits more views cost nothing.
    count = max(plan.teaching.views, plan.teacher.epochs)
    called = sources.called(name)
    words = ",".join(augmentation.words(plan.teacher.training.augment, data.class_names))
    training = dataclasses.replace(plan.teacher.training, augment=words or "none")
    of_teacher = dataclasses.replace(plan.teacher, training=training)
    facts = teacher_facts(called, of_teacher, heads, count, data.fingerprint)
    facts |= _content_of(name, plan, heads, data)
    folder = folder_of(f"{called}-{identity('teacher', IDENTITY_VERSION, facts)}")
    path = folder / TEACHER_FILE
    with private(), locked(folder, terminal.say):
        if path.exists():
            _forget_states(folder)  # of a process that was killed as it finished
            terminal.say(f"Teacher {called} is in the cache: {path}")
            return path
        views = job.views(training, data, count)
        task = Job(
            title=f"teacher {called}",
            architecture=name,
            epochs=plan.teacher.epochs,
            heads=heads,
            views=views,
            folder=folder,
            pretrained=plan.teacher.pretrained,
            start=plan.teacher.start,
            stated=plan.teacher.stated,
            learner="teacher",
        )
        model, _ = job.train(task, training, data, terminal)
        keras_file.save(
            model, path, ModelSpec(heads.class_names or None, input_shape=data.image_shape)
        )
        _forget_states(folder)
    return path


def teacher_facts(
    architecture: str, teacher: TeacherPlan, heads: Heads, views: int, data: str
) -> dict[str, Any]:
    """Return everything that decides what a trained teacher is; its name in the cache is made of
    this.

    Args:
        architecture: its name, see `models.sources.called`.
        teacher: how it is trained; of the loss only the part of the values, because it has no
            teacher.
        heads: what it learns.
        views: number of views of each image.
        data: fingerprint of the images and labels.

    Returns:
        The facts by name, as JSON values.

    Raises:
        ModelError: there is no file to start from.
    """
    settings = dataclasses.asdict(teacher.training)
    loss, _ = settings.pop("loss"), settings.pop("devices")
    settings |= {name: loss[name] for name in ("value_loss", "value_weight")}
    # What changes no weight, and what did not exist when cached teachers got their names.
    del settings["log"]
    if settings["optimizer"] in ("sgd", "dot"):  # Nobody teaches a teacher: `dot` is sgd then.
        del settings["optimizer"]
    if not settings["callbacks"]:
        del settings["callbacks"]
    if settings["shuffle_buffer"] == SHUFFLE_BUFFER:
        del settings["shuffle_buffer"]
    settings["augment"] = _NAMED_BEFORE.get(settings["augment"], settings["augment"])
    return {
        "architecture": architecture,
        "epochs": teacher.epochs,
        "heads": heads.widths,
        "class_names": heads.class_names,
        "views": views,
        "data": data,
        "training": settings,
        "start": teacher.start and _started(teacher.start),
    }


def _content_of(name: str, plan: Plan, heads: Heads, data: Data) -> dict[str, str]:
    """What a teacher is beside its name: nothing more of an architecture that is shipped."""
    facts = {"pretrained": plan.teacher.pretrained}
    if sources.is_trainable(name) or sources.is_file(name):
        facts["content"] = sources.content(name, heads.asked, data.image_shape)
    if sources.is_file(name) and not plan.teacher.start:
        facts["pixels"] = str(plan.teacher.stated.pixels or published.pixels(Path(name)) or "")
    return {fact: value for fact, value in facts.items() if value}


def _started(start: StartingPoint) -> list[Any]:
    """The facts of a start from a trained model; what the user, or a file beside it, says of it
    where there is any.
    """
    facts: list[Any] = [_content(start.path), start.freeze_until]
    path, names = Path(start.path), start.stated.class_names
    names = names or labels.with_labels(ModelSpec(), path, None, "teacher-").class_names
    pixels = start.stated.pixels or published.pixels(path)
    return facts if pixels is None and names is None else [*facts, str(pixels), names]


def _content(path: str) -> str:
    if not Path(path).is_file():
        raise ModelError(f"No model at {path} to start from: {advice(path)}.")
    return fingerprint([Path(path).read_bytes()])


def _forget_states(folder: Path) -> None:
    for path in folder.glob("*.npz"):
        path.unlink()


def folder_of(name: str) -> Path:
    """Return where the cached teacher of that name lies, or would lie.

    Args:
        name: as `kerakd teach` prints it.

    Returns:
        Its folder in the cache.
    """
    return cache_folder("teachers") / name
