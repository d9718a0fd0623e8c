"""The teachers of a student, trained first or loaded, and their outputs for every view."""

from __future__ import annotations

import functools
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from keras_kd._common.arrays import fingerprint
from keras_kd._common.files import locked
from keras_kd._common.folders import cache_folder, private
from keras_kd._common.progress import Terminal
from keras_kd.datasets import splits
from keras_kd.datasets.images import Size, height_width
from keras_kd.datasets.readers import ferplus
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError, ModelError, of_file
from keras_kd.evaluation import class_order
from keras_kd.models import sources
from keras_kd.models.surgery import precision
from keras_kd.pipelines import shard_soft_labels, unlabeled
from keras_kd.pipelines.cached_teachers import TEACHER_FILE, folder_of, trained
from keras_kd.pipelines.ensemble import Ensemble
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.supervision import Supervision, student_job
from keras_kd.pipelines.teaching_plan import TeachingPlan
from keras_kd.runtimes import multiply_accumulates, predictors
from keras_kd.runtimes.predictors import Predictor
from keras_kd.runtimes.stated import NOTHING, Stated
from keras_kd.teachers import labelling, soft_label_pass, votes
from keras_kd.teachers import soft_labels as stores
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import SoftLabels
from keras_kd.teachers.views import AtSizes, Views
from keras_kd.training import job

# Images on which a live teacher is checked for giving the same answer to all.
_PROBED_IMAGES = 256


def prepare(plan: Plan, data: Data, terminal: Terminal) -> Supervision:
    """Return the teacher and its outputs for training.

    Args:
        plan: the run's plan.
        data: the data set.
        terminal: where the user sees progress.

    Returns:
        The teacher and its outputs.
    """
    teaching = plan.teaching
    shard_soft_labels.require_possible(plan, data)
    if teaching.kind == "nobody":
        return Supervision()
    pictures = unlabeled.load(plan, data, terminal)
    learnt = data if pictures is None else unlabeled.beside(data, pictures.images)
    count = len(learnt.train) - len(data.train)
    views = job.views(plan.training, learnt, teaching.views)
    if teaching.kind == "votes":
        return Supervision("people's votes", soft_labels=_voted(teaching.votes, data, views))
    if teaching.kind == "stored":
        stored = soft_labels(teaching, learnt, views, None, terminal)
        learnt = _labelled(learnt, stored, count, data)
        return Supervision("stored soft labels", None, stored, learnt, count)
    live = _models(plan, data, terminal)
    if teaching.live:
        _remark_on_answers(live, data, terminal)
        return live
    seeing = live.teacher if pictures is None else live.teacher.beside(pictures, learnt)
    stored = soft_labels(teaching, learnt, views, seeing, terminal)
    learnt = _labelled(learnt, stored, count, data)
    return replace(live, soft_labels=stored, learnt=learnt, unlabeled=count)


def _models(plan: Plan, data: Data, terminal: Terminal) -> Supervision:
    """The teacher as it runs on each batch, and all that its student must fit checked before it
    works.
    """
    # First, because the student's own code may fail, and a teacher can take an hour to train.
    student = _student(plan, data)
    ensemble = teacher(plan, data, terminal)
    name = " + ".join(map(_called, plan.teaching.teachers)) + " mirrored" * plan.teaching.mirror
    remark_on_work(ensemble.model, student, plan, terminal)
    matched = _feature_teacher(plan, data) if plan.training.loss.matches else None
    if matched or (plan.teaching.live and data.shards):
        _require_size(ensemble, data)
    live = Supervision(name, ensemble, feature_teacher=matched)
    task = student_job(plan, data, live, Path())
    if matched or plan.student.start or plan.training.optimizer == "dot":
        job.rehearse(task, plan.training, data)
    return live


def _remark_on_answers(live: Supervision, data: Data, terminal: Terminal) -> None:
    """Report a live teacher that answers the same to all images."""
    step = -(-len(data.train) // _PROBED_IMAGES)
    images = live.teacher.training_images().arrays
    outputs = live.teacher.columns(AtSizes(tuple(one[::step] for one in images)))
    _tell(stores.same_answers(outputs, live.outputs[0]), terminal)


def _tell(remark: str | None, terminal: Terminal) -> None:
    if remark:
        terminal.say(remark)


def _feature_teacher(plan: Plan, data: Data) -> keras.Model:
    """The only teacher as a Keras model that takes the student's pixels."""
    (name,) = plan.teaching.teachers
    path, stated, _ = _file(name, plan, data, Terminal(quiet=True))
    if path.suffix not in (".keras", ".h5"):
        raise ConfigError(
            f"match compares layers of Keras models, and {path} is none: give the teacher's .keras"
            " file, or leave --match out."
        )
    model, spec = predictors.of_keras_file(path, stated)
    if not spec.expected_pixels.plain:
        raise ConfigError(
            f"match shows the student's pixels 0..255 to {path}, which takes others: put a"
            " Rescaling layer in front of it, or leave --match out."
        )
    return precision.in_precision(model, plan.training.precision)


def _labelled(learnt: Data, stored: SoftLabels | ShardSoftLabels, count: int, data: Data) -> Data:
    """The data that the student learns, `count` pictures in it with stored outputs as labels."""
    if not count or isinstance(stored, ShardSoftLabels):
        return data
    return unlabeled.labelled(learnt, stored, count)


def _student(plan: Plan, data: Data) -> keras.Model:
    """The untrained student, with every head that a teacher could teach."""
    heads = splits.chosen(plan.student.heads, data, data.value_names)
    name = plan.student.architecture
    return sources.build(name, len(heads.class_names), data.image_shape, heads=heads.named)


def remark_on_work(
    teacher: Predictor, student: keras.Model, plan: Plan, terminal: Terminal
) -> None:
    """Report a student with more operations than its teacher, which is rarely intended.

    Args:
        teacher: the teacher.
        student: the student.
        plan: the run's plan.
        terminal: where the user sees the remark.
    """
    of_teacher = teacher.multiply_accumulates
    if of_teacher is None or keras.backend.backend() != "tensorflow":
        return
    name = plan.student.architecture
    try:
        of_student = multiply_accumulates.of_model(student)
    except (TypeError, ValueError):  # A layer that is not counted: a remark must end no run.
        return
    if of_student > of_teacher:
        terminal.say(
            f"Note: the student {sources.called(name)} computes more than its teacher, "
            f"{of_student:,} against {of_teacher:,} multiply-accumulates an image: see `kerakd"
            " models` for smaller ones."
        )


def _require_size(ensemble: Ensemble, data: Data) -> None:
    """Raise ConfigError where a teacher that can see the student's pixels alone would see
    thumbnails, enlarged.
    """
    shown = data.image_shape[:2]
    for own in ensemble.data:
        height, width = own.image_shape[:2]
        if height > shown[0] or width > shown[1]:
            raise ConfigError(
                f"A teacher whose layers are matched, or that runs on images of shards, sees the "
                f"student's pictures of {shown[0]}x{shown[1]}, and one takes {height}x{width}: "
                f"leave --match or --live-teacher out, or give --image-size {height}x{width}."
            )


def _called(name: str) -> str:
    """A teacher in a card: a file with its folder, as all runs name theirs alike."""
    if sources.is_trainable(name):
        return sources.called(name)
    path = Path(name)
    return path.stem if path.parent.name == "" else f"{path.parent.name}/{path.stem}"


def _voted(path: str, data: Data, views: Views) -> SoftLabels:
    """People's votes on each training image as logits, the same for all its views."""
    counted = ferplus.training_votes(path)
    logits = votes.logits(counted, data.train.hard_labels, len(data.class_names))
    key = stores.Key(
        f"votes {fingerprint([logits])}",
        stores.image_fingerprint(data.train.images),
        views.names,
        data.class_names,
    )
    stored = logits.astype(np.float16)
    # A view of the array: the votes are stored once for all views.
    every_view = np.broadcast_to(stored[:, None], (len(stored), len(views), stored.shape[1]))
    return SoftLabels(key, every_view, float(np.abs(stored - logits).max()))


def teacher(plan: Plan, data: Data, terminal: Terminal) -> Ensemble:
    """Return the teachers as one, each with the data set at its own size; their mean logits, if
    any, are in the data's order of classes.

    Args:
        plan: the run's plan.
        data: the data set.
        terminal: where the user sees progress.

    Returns:
        The teachers.
    """
    names, stated = plan.teaching.teachers, plan.teaching.stated
    if stated.names() and not any(_is_file(name) for name in names):
        raise ConfigError(
            f"{', '.join(stated.names())} describes a model file, but the teacher is trained here "
            f"({', '.join(names)}): leave the option out, or give a model file as the teacher."
        )
    files = [_file(name, plan, data, terminal) for name in names]
    loaded = [predictors.load(*file) for file in files]

    @functools.cache
    # Teachers of one size share one copy of the images.
    def at(size: Size | None) -> Data:
        if size is None or height_width(size) == data.image_shape[:2]:
            return data
        return splits.load(plan.data.path, plan.data.skip_bad_rows, size)

    members, shown = [], [at(model.spec.size) for model in loaded]
    for (path, *_), model, own in zip(files, loaded, shown, strict=True):
        tell = functools.partial(_tell_of, path, terminal)
        with of_file(path):
            member = class_order.in_order_of_data(model, own.train, tell=tell, these_alone=True)
        members.append(member)
    mirror = plan.teaching.mirror
    each = tuple(predictors.averaged([member], mirror) for member in members)
    return Ensemble(predictors.averaged(members, mirror), each, tuple(shown))


def _tell_of(path: Path, terminal: Terminal, what: str) -> None:
    terminal.say(f"The teacher {path} {what}")


def _is_file(name: str) -> bool:
    return not sources.is_trainable(name) and not (folder_of(name) / TEACHER_FILE).exists()


def _file(name: str, plan: Plan, data: Data, terminal: Terminal) -> tuple[Path, Stated, str | None]:
    """A teacher's file, what is stated of it, and the precision to compute in; trained first where
    it is an architecture.
    """
    if not _is_file(name):
        is_new = sources.is_trainable(name)
        path = trained(plan, data, name, terminal) if is_new else folder_of(name) / TEACHER_FILE
        return path, NOTHING, plan.training.precision
    path = Path(name)
    if not path.exists():
        raise ModelError(
            f"No teacher at {name}, nor one of that name in {folder_of(name).parent}: check the"
            " path, see `kerakd models` for architectures, or make it with `kerakd teach`, which"
            " prints its name."
        )
    return path, plan.teaching.stated.of(name), None


def soft_labels(
    teaching: TeachingPlan,
    data: Data,
    views: Views,
    teacher: Ensemble | None,
    terminal: Terminal,
) -> SoftLabels | ShardSoftLabels:
    """Return the teacher's outputs for all views, from the store with the same key, which is filled
    if it is new.

    Args:
        teaching: where the store is, and how it is filled and verified.
        data: the data that the student learns.
        views: the views of the training images.
        teacher: the teacher; None if the store exists already.
        terminal: where the user sees progress.

    Returns:
        The opened store.
    """
    key = _key(data, views, teacher)
    if data.shards:
        of_shards = shard_soft_labels.soft_labels(teaching, data, teacher, key)
        if teacher is not None:
            shard_soft_labels.fill(of_shards, teaching, views, teacher, terminal)
        _tell(shard_soft_labels.remark(of_shards), terminal)
        return of_shards
    folder = teaching.store or cache_folder("soft_labels") / key.short
    if teacher is None:
        store = stores.open_store(folder, key)
    else:
        store = _filled(folder, key, teaching, views, teacher, terminal)
    _tell(stores.remark(store), terminal)
    if teacher is not None and teaching.verified:
        images, outputs = teacher.training_images(), teacher.columns
        stores.verify(store, images, views, outputs, teaching.verified, views.seed)
    return store


def _key(data: Data, views: Views, teacher: Ensemble | None) -> stores.Key:
    """What a store of the teacher's outputs must hold."""
    model = teacher.model if teacher else None
    return stores.Key(
        model.fingerprint + teacher.sizes(data.image_shape[:2]) if teacher else "",
        data.shards.fingerprint if data.shards else stores.image_fingerprint(data.train.images),
        views.names,
        data.class_names if model is None or model.tells_classes else (),
        model.values if model else (),
    )


def _filled(
    folder: Path,
    key: stores.Key,
    teaching: TeachingPlan,
    views: Views,
    teacher: Ensemble,
    terminal: Terminal,
) -> SoftLabels:
    """The store in a folder, after the pass over the images that it lacks."""
    images = teacher.training_images()
    with (
        nullcontext() if teaching.store else private(),
        locked(folder, terminal.say),
        terminal.bar("Soft labels", len(images) * len(views)) as advance,
    ):
        start = time.monotonic()
        compute = (
            labelling.by_workers(teaching.workers, folder)
            if teaching.workers > 1
            else soft_label_pass.in_turn
        )
        store = soft_label_pass.fill(
            folder, key, images, views, teacher.columns, advance, compute=compute
        )
    terminal.say(
        f"Soft labels: {len(images)} images x {len(views)} views, "
        f"{time.monotonic() - start:.0f} s: {folder}"
    )
    return store
