"""The batches that a training is fed with."""

from __future__ import annotations

import numpy as np
from small_training import (
    IMAGES,
    LABELS,
    STEPS,
    training_batches,
)

from keras_kd.teachers.views import Views
from keras_kd.training.batches import TrainingBatches


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own():
    images, labels = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), np.arange(40)
    batches = TrainingBatches(images, labels, Views("none", 40), 8, 3).from_step(0, 0)
    epochs = [[next(batches) for _ in range(5)] for _ in range(3)]
    orders = [np.concatenate([y for _, y in epoch]) for epoch in epochs]
    for order, epoch in zip(orders, epochs, strict=True):
        assert sorted(order) == list(range(40)) and list(order) != sorted(order)
        np.testing.assert_array_equal(np.concatenate([x for x, _ in epoch]).ravel(), order)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[1], orders[2])


def test_a_feed_goes_on_from_any_step():
    whole = training_batches().from_step(0, 0)
    expected = [next(whole) for _ in range(3 * STEPS)]
    for epoch, step in ((0, 3), (1, 0), (2, 4)):
        images, y = next(training_batches().from_step(epoch, step))
        wanted = expected[epoch * STEPS + step]
        np.testing.assert_array_equal(images, wanted[0])
        np.testing.assert_array_equal(y["teacher"], wanted[1]["teacher"])
    other = next(training_batches(seed=4).from_step(0, 0))
    assert not np.array_equal(other[0], expected[0][0])


def test_logits_are_those_of_the_very_pixels():
    """Each image and its logits carry the row; the mirrored view carries it on the other side."""
    images = np.zeros((44, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(44)
    logits = (
        np.stack([np.arange(44) + 100, np.arange(44) + 200], 1)[:, :, None]
        .repeat(3, 2)
        .astype(np.float16)
    )
    batches, views = (
        training_batches(images=images, labels=np.arange(44), teacher_logits=logits).from_step(
            0, 0
        ),
        [],
    )
    for _ in range(2 * STEPS):
        pixels, y = next(batches)
        mirrored = (y["teacher"][:, 0] >= 200).astype(int)
        assert y["teacher"].dtype == np.float32 and pixels.dtype == np.uint8
        np.testing.assert_array_equal(y["teacher"][:, 0] - 100 * (1 + mirrored), y["label"])
        np.testing.assert_array_equal(pixels[np.arange(8), 0, -mirrored, 0], y["label"])
        views += list(mirrored)
    assert 0.25 < np.mean(views) < 0.75


def test_a_feed_of_few_images_has_one_step():
    batches = training_batches(
        images=IMAGES[:3], labels=LABELS[:3], views=Views("none", 3), teacher_logits=None
    )
    assert batches.steps == 1 and training_batches().steps == STEPS
    pixels, labels = next(batches.from_step(0, 0))
    assert len(pixels) == 3 and sorted(labels) == sorted(LABELS[:3])
