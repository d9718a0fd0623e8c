"""What a student is taught: by whom, and their answers, stored or given on each batch."""

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
    """Who teaches, and their outputs for every view; nobody and nothing, unless given.

    Attributes:
        name: of the teacher, for cards.
        teacher: None where votes or stored soft labels are all there is.
        soft_labels: of the training images' views.
        data: the data set at the size that the teacher takes.
        learnt: what the student learns of where that is more than the data set: unlabelled
            pictures, too, the last of its training images.
        unlabeled: how many those are.
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
        """The classes and the values that are taught, by name."""
        if self.is_live:
            classes = self.data.class_names if self.teacher.tells_classes else ()
            return classes, tuple(self.teacher.values)
        key = self.soft_labels and self.soft_labels.key
        return (key.class_names, key.values) if key else ((), ())

    @property
    def fingerprint(self) -> str:
        """Of the teacher and what it answers; "" where nobody teaches."""
        if self.is_live:
            return f"live {self.teacher.fingerprint}"
        return self.soft_labels.key.short if self.soft_labels else ""

    def logits(self, heads: Heads) -> Any:
        """What `TrainingBatches` takes as the teacher's outputs for these heads."""
        if not self.is_live:
            return self.soft_labels and heads.teacher(self.soft_labels.logits, *self.outputs)
        predict, outputs = columns(self.teacher), self.outputs
        return lambda pixels: heads.teacher(predict(pixels), *outputs)


def columns(teacher: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    """A teacher as a function of images that gives its logits and values side by side."""
    return lambda images: teacher.predict(images).columns()
