"""The teacher of a student, and its outputs, stored or computed on each batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd.datasets.splits import Data, Heads
from keras_kd.runtimes.predictors import Predictor
from keras_kd.teachers.soft_labels import SoftLabels


@dataclass(frozen=True)
class Teaching:
    """The teacher and its outputs for every view; by default there is no teacher.

    Attributes:
        name: name of the teacher, for cards.
        teacher: the teacher as a predictor; None if there are only votes or stored soft labels.
        soft_labels: stored outputs for the views of the training images.
        data: the data set at the size that the teacher expects.
        learnt: the data that the student learns, if it is more than the data set: the last of its
            training images are then unlabelled pictures.
        unlabeled: number of these pictures.
    """

    name: str | None = None
    teacher: Predictor | None = None
    soft_labels: SoftLabels | None = None
    data: Data | None = None
    learnt: Data | None = None
    unlabeled: int = 0

    @property
    def is_live(self) -> bool:
        """Whether the teacher runs on each batch."""
        return self.teacher is not None and self.soft_labels is None

    @property
    def outputs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the classes and of the values that are taught."""
        if self.is_live:
            classes = self.data.class_names if self.teacher.tells_classes else ()
            return classes, tuple(self.teacher.values)
        key = self.soft_labels and self.soft_labels.key
        return (key.class_names, key.values) if key else ((), ())

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of the teacher and its outputs; "" without a teacher."""
        if self.is_live:
            return f"live {self.teacher.fingerprint}"
        return self.soft_labels.key.short if self.soft_labels else ""

    def logits(self, heads: Heads) -> Any:
        """Return the teacher's outputs for these heads, as `TrainingBatches` expects them."""
        if not self.is_live:
            return self.soft_labels and heads.teacher(self.soft_labels.logits, *self.outputs)
        predict, outputs = columns(self.teacher), self.outputs
        return lambda pixels: heads.teacher(predict(pixels), *outputs)


def columns(teacher: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    """Return a teacher as a function from images to its logits and values side by side.

    Args:
        teacher: the teacher.

    Returns:
        A function from uint8 (n, H, W, C) to float32 (n, columns).
    """
    return lambda images: teacher.predict(images).columns()
