"""Pictures without labels, added to the training images with the teacher's outputs as their
labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from keras_kd._common.arrays import large_array
from keras_kd._common.progress import Terminal
from keras_kd._common.shares import as_shares
from keras_kd.datasets import unlabeled
from keras_kd.datasets.splits import Data
from keras_kd.datasets.unlabeled import Unlabeled
from keras_kd.errors import ConfigError
from keras_kd.pipelines.plan import Plan
from keras_kd.teachers.soft_labels import SoftLabels


def load(plan: Plan, data: Data, terminal: Terminal) -> Unlabeled | None:
    """Read the unlabelled pictures of a plan, without copies of the scored ones.

    Args:
        plan: the run's plan.
        data: the data set.
        terminal: where the user sees progress.

    Returns:
        The pictures; None if the plan names none.
    """
    folders = plan.teaching.unlabeled
    if not folders:
        return None
    scored = (data.validation.images, data.test.images)
    found = unlabeled.load(folders, data.image_shape, scored, plan.data.skip_bad_rows)
    terminal.skipped(found.skipped)
    terminal.say(
        f"Unlabelled: {len(found.images)} pictures in {', '.join(folders)}; left out {found.equal}"
        f" equal to and {found.near} nearly equal to validation or test pictures"
    )
    return found


def beside(data: Data, images: np.ndarray) -> Data:
    """Return the data set with pictures after the training images; their labels are equal shares of
    all classes until they are labelled.

    Args:
        data: the data set.
        images: uint8 (M, H, W, C).

    Returns:
        The larger data set.
    """
    train, count = data.train, len(images)
    shares = np.full((count, len(train.class_names)), 1 / len(train.class_names), np.float32)
    unknown = np.full(count, np.nan, np.float32)
    values = train.values and {
        name: np.concatenate([column, unknown]) for name, column in train.values.items()
    }
    whole = large_array((len(train) + count, *train.images.shape[1:]))
    whole[: len(train)], whole[len(train) :] = train.images, images
    labels = np.concatenate([as_shares(train.labels, shares.shape[1]), shares])
    return replace(
        data, train=replace(train, images=whole, labels=labels, values=values, sizes=None)
    )


def labelled(data: Data, store: SoftLabels, count: int) -> Data:
    """Return the data set of `beside` with the teacher's outputs as the labels and values of the
    pictures.

    These are the means over the views of its probabilities and of its values.

    Args:
        data: as `beside` returned it.
        store: the teacher's outputs.
        count: number of pictures at the end.

    Returns:
        The labelled data set.

    Raises:
        ConfigError: the teacher has no classes.
    """
    classes = len(store.key.class_names)
    if not classes:
        raise ConfigError(
            "A teacher without classes can't label --unlabeled pictures: leave it out."
        )
    answers = store.logits[-count:].astype(np.float32)
    labels = data.train.labels.copy()
    labels[-count:] = softmax(answers[..., :classes], axis=-1).mean(axis=1)
    values = data.train.values and dict(data.train.values)
    for number, name in enumerate(store.key.values):
        if values and name in values:
            values[name] = values[name].copy()
            values[name][-count:] = answers[..., classes + number].mean(axis=1)
    return replace(data, train=replace(data.train, labels=labels, values=values))
