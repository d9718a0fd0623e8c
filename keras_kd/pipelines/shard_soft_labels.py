"""The teacher's outputs for training images that stay in their shards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from keras_kd._common.progress import Terminal
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError
from keras_kd.pipelines.ensemble import Ensemble
from keras_kd.pipelines.plan import Plan
from keras_kd.pipelines.teaching_plan import TeachingPlan
from keras_kd.teachers import labelling, shard_labels
from keras_kd.teachers import soft_labels as stores
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import Key
from keras_kd.teachers.views import AtSizes, Views
from keras_kd.training import job


def require_possible(plan: Plan, data: Data) -> None:
    """Refuse options that need all training images in one array.

    Args:
        plan: the run's plan.
        data: the data set.

    Raises:
        ConfigError: one is given, and the images stay in their shards.
    """
    job.require_in_memory(plan.training, data)
    given = {
        "votes": plan.teaching.votes,
        "unlabeled": plan.teaching.unlabeled,
    }
    wrong = [name for name, value in given.items() if value and data.shards]
    if wrong:
        raise ConfigError(
            f"{' and '.join(wrong)} needs all training images in one place, and those of"
            f" {data.called} stay in their shards: leave it out, or give the data in another form."
        )


def soft_labels(
    teaching: TeachingPlan, data: Data, teacher: Ensemble | None, key: Key
) -> ShardSoftLabels:
    """Return the stores of all shards, whether they are filled or not.

    Args:
        teaching: where the stores are.
        data: the data set, with shards.
        teacher: the teacher; None for stores that tell it themselves.
        key: identity of the logits of all shards.

    Returns:
        The stores.

    Raises:
        DataError: without a teacher, a shard has no store, or one of another teacher.
    """
    found = ShardSoftLabels(key, data.shards, teaching.store)
    if teacher is not None:
        return found
    shard_labels.require_all(found)
    own = found.store(0).key
    known = replace(key, teacher=own.teacher, class_names=own.class_names, values=own.values)
    found = replace(found, key=known)
    shard_labels.require_all(found)
    return found


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

    Raises:
        DataError: a store is damaged, or of another teacher, or differs from what the teacher
            answers now.
    """
    start, missing, shards = time.monotonic(), found.missing(), found.shards
    total = int(shards.rows[missing].sum()) * len(views)
    with terminal.bar("Soft labels", total) as advance:
        label = _Labelling(found, views, teacher)
        if teaching.workers > 1 and missing:
            done = _by_workers(label, missing, teaching.workers, advance)
        else:
            read, columns = label.images, teacher.columns
            done = shard_labels.fill(found, read, views, columns, advance, terminal.say)
    terminal.say(
        f"Soft labels: {len(shards)} images x {len(views)} views, {done} of"
        f" {len(shards.rows)} shards labelled here, {time.monotonic() - start:.0f} s:"
        f" {found.folder_of(0).parent}"
    )
    shard_labels.require_all(found)
    chosen = shards.spread()
    each = -(-teaching.verified // len(chosen))
    for number in chosen if each else ():
        images, store = label.images(number), found.store(number)
        stores.verify(store, images, views, teacher.columns, each, views.seed)


def remark(found: ShardSoftLabels) -> str | None:
    """Look for the same answer to all images in the stores of some shards, of which one may hold
    one class alone.

    Args:
        found: the stores.

    Returns:
        As `teachers.soft_labels.same_answers`.
    """
    some = [found.store(number).logits for number in found.shards.spread()]
    return stores.same_answers(np.concatenate(some), found.key.class_names)


@dataclass(frozen=True)
class _Labelling:
    """Labels one shard, in whatever process it is called."""

    found: ShardSoftLabels
    views: Views
    teacher: Ensemble

    def images(self, number: int) -> AtSizes:
        """A shard's images in the size of each teacher."""
        data = self.teacher.data
        read = {one.image_shape: one.shards.read(number).images for one in data}
        return AtSizes(tuple(read[one.image_shape] for one in data))

    def __call__(self, number: int) -> bool:
        teacher = self.teacher.columns
        return shard_labels.fill_one(self.found, number, self.images, self.views, teacher)


def _by_workers(
    label: _Labelling, missing: list[int], workers: int, advance: Callable[[int], None]
) -> int:
    """Fill the stores of some shards by Ray's actors, which work in another folder."""
    folder = label.found.folder and label.found.folder.resolve()
    label, done = replace(label, found=replace(label.found, folder=folder)), 0
    for number, own in labelling.shards_by_workers(workers, missing, label):
        advance(int(label.found.shards.rows[number]) * len(label.views))
        done += own
    return done
