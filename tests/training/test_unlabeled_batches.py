"""Batches of labelled and unlabelled images: the share is kept and an epoch's order is its
seed's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from keras_kd.teachers.views import Views
from keras_kd.training.batches import TrainingBatches, unlabeled_a_step


def _batches(labelled: int, unlabeled: int, share: float) -> TrainingBatches:
    count = labelled + unlabeled
    images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)
    return TrainingBatches(
        images, np.arange(count), Views("none", count), 8, 0, None, unlabeled, share
    )


def _epoch(batches: TrainingBatches, epoch: int = 0, step: int = 0) -> list[np.ndarray]:
    source = batches.from_step(epoch, step)
    return [next(source)[1] for _ in range(batches.steps - step)]


@pytest.mark.parametrize("unlabeled", [3, 100])
def test_each_batch_has_its_share_and_each_labelled_image_comes_once(unlabeled):
    batches = _batches(24, unlabeled, 0.25)
    assert batches.steps == 4
    epoch = _epoch(batches)
    assert [(rows >= 24).sum() for rows in epoch] == [2] * 4
    assert sorted(np.concatenate([rows[rows < 24] for rows in epoch])) == list(range(24))
    others = np.concatenate([rows[rows >= 24] for rows in epoch])
    assert np.bincount(others).max() <= -(-8 // unlabeled)


def test_an_epoch_goes_on_where_it_was_and_without_others_is_as_before():
    batches = _batches(24, 10, 0.5)
    for whole, part in zip(_epoch(batches)[2:], _epoch(batches, 0, 2), strict=True):
        np.testing.assert_array_equal(whole, part)
    random = np.random.default_rng((0, 0))
    order = random.permutation(24)
    np.testing.assert_array_equal(np.concatenate(_epoch(_batches(24, 0, 0.5))), order)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_labels_alone_take_as_many_steps_in_batches_without_the_others(share):
    """What `--baseline` trains beside a student with unlabelled images."""
    alone = replace(_batches(24, 0, share), batch_size=8 - unlabeled_a_step(8, share))
    both = _batches(24, 10, share)
    assert alone.steps == both.steps
    for labelled, rows in zip(_epoch(alone), _epoch(both), strict=True):
        np.testing.assert_array_equal(labelled, rows[rows < 24])
