"""Batches of the training images with their labels and a teacher's logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from keras_kd._common.text import sides
from keras_kd.teachers import augmentation
from keras_kd.teachers.degradation import degraded
from keras_kd.teachers.views import AtSizes, Views


class Batches(Protocol):
    """Batches of training images, from memory or from shards."""

    @property
    def batch_size(self) -> int:
        """Images in a batch."""

    @property
    def steps(self) -> int:
        """The number of steps in an epoch, at least 1."""

    def from_step(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(pixels, y)` without end, from a step of an epoch on, as Distiller expects it."""


@dataclass(frozen=True)
class TrainingBatches:
    """Batches of the training images, in an order that depends on seed and epoch alone.

    Args:
        images: uint8 (N, H, W, C).
        labels: int (N,) or float (N, classes), or a dict by head of these and of values, float
            (N,).
        views: the augmented views; every epoch shows one view of each image, drawn at random.
        batch_size: images in a batch; the last incomplete batch is dropped.
        seed: seed of the order and of the choice of views.
        teacher_logits: float16 (N, views, classes), or a dict of these by head; a function of the
            batch's pixels that returns both without rows and views; or None without a teacher.
        unlabeled: number of images at the end that have no labels of people.
        unlabeled_share: share of each batch that is taken from them, 0..1.
        mixtures: "mixup", "cutmix" or both, one of which is applied to each batch; labels are then
            shares of classes.
        degrade: whether the pixels are degraded, of which the teacher sees the good ones.
        teacher_images: the images at the sizes of teachers that run on each batch: their function
            then gets the batch's views as `AtSizes`, instead of the student's pixels.
    """

    images: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray]
    views: Views
    batch_size: int
    seed: int
    teacher_logits: Any = None
    unlabeled: int = 0
    unlabeled_share: float = 0.0
    mixtures: tuple[str, ...] = ()
    degrade: bool = False
    teacher_images: AtSizes | None = None

    def __repr__(self) -> str:
        """One line: how many images, views and images a step."""
        shape = sides(self.images.shape[1:])
        return (
            f"<TrainingBatches: {len(self.images):,} images {shape}, {len(self.views)} views of "
            f"each, {self.batch_size} a step>"
        )

    @property
    def steps(self) -> int:
        """The number of steps in an epoch, at least 1."""
        # If there are fewer images than a batch holds, they make one smaller batch.
        return max(1, self._labelled // (self.batch_size - self._unlabeled_a_step))

    @property
    def _labelled(self) -> int:
        return len(self.images) - self.unlabeled

    @property
    def _unlabeled_a_step(self) -> int:
        return unlabeled_a_step(self.batch_size, self.unlabeled_share) if self.unlabeled else 0

    def from_step(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(pixels, y)` without end, from a step of an epoch on, with y as Distiller expects
        it.
        """
        while True:
            # One generator an epoch: a training that is resumed draws what the stopped one would
            # have.
            random = np.random.default_rng((self.seed, epoch))
            order = random.permutation(self._labelled)
            views = random.integers(len(self.views), size=len(self.images))
            others, count = self._others(random), self._unlabeled_a_step
            labelled = self.batch_size - count
            for number in range(step, self.steps):
                rows = np.concatenate(
                    [
                        order[number * labelled : (number + 1) * labelled],
                        others[number * count : (number + 1) * count],
                    ]
                )
                yield self._batch(rows, views[rows], (self.seed, epoch, number))
            epoch, step = epoch + 1, 0

    def _others(self, random: np.random.Generator) -> np.ndarray:
        """Rows of images without labels for an epoch, each as often as the others."""
        count = self.steps * self._unlabeled_a_step
        rounds = -(-count // self.unlabeled) if count else 0
        drawn = [self._labelled + random.permutation(self.unlabeled) for _ in range(rounds)]
        return np.concatenate([np.zeros(0, int), *drawn])[:count]

    def _batch(
        self, rows: np.ndarray, views: np.ndarray, seed: tuple[int, int, int]
    ) -> tuple[np.ndarray, Any]:
        pixels = self.views.show(self.images, rows, views)
        for_teacher = self.teacher_images and self.views.show(self.teacher_images, rows, views)
        labels = keras.tree.map_structure(lambda column: column[rows], self.labels)
        if self.mixtures:
            # Each use draws from a stream of its own: switching one on changes no other.
            random = np.random.default_rng((*seed, 1))
            mixture = augmentation.drawn(self.mixtures, len(rows), pixels.shape[1:3], random)
            pixels = mixture.of_images(pixels)
            labels = keras.tree.map_structure(mixture.of_labels, labels)
            for_teacher = for_teacher and mixture.of_images(for_teacher)
        clean = pixels
        if self.degrade:
            pixels = degraded(clean, np.random.default_rng((*seed, 2)))
        if self.teacher_logits is None:
            return pixels, labels
        if callable(self.teacher_logits):
            answers = self.teacher_logits(clean if for_teacher is None else for_teacher)
            return pixels, {"label": labels, "teacher": answers}
        logits = keras.tree.map_structure(
            lambda column: column[rows, views].astype(np.float32), self.teacher_logits
        )
        return pixels, {"label": labels, "teacher": logits}


@dataclass(frozen=True)
class SharedBatches:
    """One process's part of each batch, where several train together.

    Args:
        batches: the batches of all processes.
        host: the number of this process.
        hosts: the number of processes, of which the batch size is a multiple.
    """

    batches: TrainingBatches
    host: int
    hosts: int

    @property
    def batch_size(self) -> int:
        """Images in a batch of all processes."""
        return self.batches.batch_size

    @property
    def steps(self) -> int:
        """The number of steps in an epoch."""
        return self.batches.steps

    def from_step(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield this process's rows of each batch without end."""
        for batch in self.batches.from_step(epoch, step):
            yield keras.tree.map_structure(
                lambda rows: np.array_split(rows, self.hosts)[self.host], batch
            )


def unlabeled_a_step(batch_size: int, share: float) -> int:
    """Return how many images of a batch have no labels; at least one is labelled.

    Args:
        batch_size: images in a batch.
        share: share of each batch that is taken from images without labels, 0..1.

    Returns:
        Their number.
    """
    return min(round(share * batch_size), batch_size - 1)
