"""Batches of the training images with their labels and a teacher's logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd.teachers.views import Views


@dataclass(frozen=True)
class TrainingBatches:
    """Batches of the training images, in an order that seed and epoch alone decide.

    Args:
        images: uint8 (N, H, W, C).
        labels: int (N,) or float (N, classes), or a dict of such and of values, float (N,), by
            head.
        views: how images are shown; every epoch shows one view of each, drawn at random.
        batch_size: images a step; a remainder smaller than that sits the epoch out.
        seed: of the order and the choice of views.
        teacher_logits: float16 (N, views, classes), or a dict of such by head, or None without a
            teacher.
    """

    images: np.ndarray
    labels: np.ndarray | dict[str, np.ndarray]
    views: Views
    batch_size: int
    seed: int
    teacher_logits: np.ndarray | dict[str, np.ndarray] | None = None

    def __repr__(self) -> str:
        """One line: how many images, views and images a step."""
        shape = "x".join(map(str, self.images.shape[1:]))
        return (
            f"<TrainingBatches: {len(self.images):,} images {shape}, {len(self.views)} views of each, "
            f"{self.batch_size} a step>"
        )

    @property
    def steps(self) -> int:
        """Steps an epoch, at least 1."""
        return max(1, len(self.images) // self.batch_size)

    def from_step(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(pixels, y)` without end, from the given step of the given epoch on; y as
        Distiller takes it.
        """
        while True:
            random = np.random.default_rng((self.seed, epoch))
            order = random.permutation(len(self.images))
            views = random.integers(len(self.views), size=len(self.images))
            for number in range(step, self.steps):
                rows = order[number * self.batch_size : (number + 1) * self.batch_size]
                yield self._batch(rows, views[rows])
            epoch, step = epoch + 1, 0

    def _batch(self, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, Any]:
        pixels = self.views.show(self.images, rows, views)
        labels = keras.tree.map_structure(lambda column: column[rows], self.labels)
        if self.teacher_logits is None:
            return pixels, labels
        logits = keras.tree.map_structure(
            lambda column: column[rows, views].astype(np.float32), self.teacher_logits
        )
        return pixels, {"label": labels, "teacher": logits}
