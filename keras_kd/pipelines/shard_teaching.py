"""The teacher's outputs for training images that stay in their shards."""

from __future__ import annotations

import time

from keras_kd._common.progress import Terminal
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError
from keras_kd.pipelines.ensemble import Ensemble
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.teaching_plan import TeachingPlan
from keras_kd.teachers import shard_labels
from keras_kd.teachers import soft_labels as stores
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import Key
from keras_kd.teachers.views import AtSizes, Views


def require_possible(plan: Plan, data: Data) -> None:
    """Refuse options that need all training images in one array.

    Args:
        plan: the run's plan.
        data: the data set.

    Raises:
        ConfigError: one is given, and the images stay in their shards.
    """
    given = {
        "votes": plan.teaching.votes,
        "unlabeled": plan.teaching.unlabeled,
        "label_workers": plan.teaching.workers > 1,
    }
    wrong = [name for name, value in given.items() if value and data.shards]
    if wrong:
        raise ConfigError(
            f"{' and '.join(wrong)} needs all training images in one place, and those of"
            f" {data.called} stay in their shards: leave it out, or give the data in another form."
        )


def soft_labels(
    teaching: TeachingPlan, data: Data, views: Views, teacher: Ensemble | None, key: Key
) -> ShardSoftLabels:
    """Return the stores of all shards, whether they are filled or not.

    Args:
        teaching: where the stores are.
        data: the data set, with shards.
        views: the views of the training images.
        teacher: the teacher; None for stores that tell it themselves.
        key: identity of the logits of all shards.

    Returns:
        The stores.

    Raises:
        DataError: without a teacher, the first shard has no store.
    """
    found = ShardSoftLabels(key, data.shards, teaching.store)
    if teacher is not None:
        return found
    own = stores.open_store(found.folder_of(0), found.key_of(0)).key
    return ShardSoftLabels(
        Key(own.teacher, key.images, views.names, own.class_names, own.values),
        data.shards,
        teaching.store,
    )


def fill(
    found: ShardSoftLabels,
    teaching: TeachingPlan,
    views: Views,
    teacher: Ensemble,
    terminal: Terminal,
) -> None:
    """Fill the stores that are missing, shard by shard.

    Args:
        found: the stores.
        teaching: how they are verified.
        views: the views of the training images.
        teacher: the teacher.
        terminal: where the user sees progress.
    """
    start, missing, shards = time.monotonic(), found.missing(), found.shards
    total = int(shards.rows[missing].sum()) * len(views)
    with terminal.bar("Soft labels", total) as advance:
        done = shard_labels.fill(
            found,
            lambda number: _images(teacher, number),
            views,
            teacher.columns,
            advance,
            terminal.say,
        )
    terminal.say(
        f"Soft labels: {len(shards)} images x {len(views)} views, {done} of"
        f" {len(shards.rows)} shards labelled here, {time.monotonic() - start:.0f} s:"
        f" {found.folder_of(0).parent}"
    )
    if remark := stores.remark(found.store(0)):
        terminal.say(remark)
    if teaching.verified:
        images = _images(teacher, 0)
        stores.verify(found.store(0), images, views, teacher.columns, teaching.verified, views.seed)


def _images(teacher: Ensemble, number: int) -> AtSizes:
    """A shard's images in the size of each teacher."""
    read = {data.image_shape: data.shards.read(number).images for data in teacher.data}
    return AtSizes(tuple(read[data.image_shape] for data in teacher.data))
