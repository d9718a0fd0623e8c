"""What supervises a student besides its labels: the teacher and its outputs, stored or computed
on each batch; and the training that follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common.arrays import fingerprint, row_fingerprints
from keras_kd.datasets import splits
from keras_kd.datasets.splits import Data, Heads
from keras_kd.errors import ConfigError
from keras_kd.models import sources
from keras_kd.pipelines.ensemble import Ensemble
from keras_kd.pipelines.plan import Plan
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_label_pass import finite
from keras_kd.teachers.soft_labels import SoftLabels
from keras_kd.teachers.views import AtSizes
from keras_kd.training import job
from keras_kd.training.settings import Job


@dataclass(frozen=True)
class Supervision:
    """The teacher and its outputs for every view; by default there is no teacher.

    Attributes:
        name: name of the teacher, for cards.
        teacher: the teacher, or several; None if there are only votes or stored soft labels.
        soft_labels: stored outputs for the views of the training images.
        learnt: the data that the student learns, if it is more than the data set: the last of its
            training images are then unlabelled pictures.
        unlabeled: number of these pictures.
        feature_teacher: the teacher's Keras model, where its layers are matched.
    """

    name: str | None = None
    teacher: Ensemble | None = None
    soft_labels: SoftLabels | ShardSoftLabels | None = None
    learnt: Data | None = None
    unlabeled: int = 0
    feature_teacher: keras.Model | None = None

    @property
    def is_live(self) -> bool:
        """Whether the teacher runs on each batch."""
        return self.teacher is not None and self.soft_labels is None

    @property
    def outputs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the classes and of the values that are taught."""
        if self.is_live:
            model, data = self.teacher.model, self.teacher.data[0]
            return data.class_names if model.tells_classes else (), tuple(model.values)
        key = self.soft_labels and self.soft_labels.key
        return (key.class_names, key.values) if key else ((), ())

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of the teacher and its outputs; "" without a teacher."""
        if self.is_live:
            return f"live {self.teacher.model.fingerprint}"
        return self.soft_labels.key.short if self.soft_labels else ""

    def facts(self) -> dict[str, str]:
        """Return a fingerprint of the unlabelled pictures by what it is of; {} without any."""
        if not self.unlabeled:
            return {}
        pictures = np.sort(row_fingerprints(self.learnt.train.images[-self.unlabeled :]))
        return {"the unlabelled pictures": fingerprint([pictures])}

    def data_of_student(self, data: Data) -> Data:
        """Return the data that the student learns.

        Args:
            data: the data set.

        Returns:
            The data set, or the same with unlabelled pictures where the teacher labelled some.
        """
        return self.learnt or data

    def logits(self, heads: Heads) -> Any:
        """Return the teacher's outputs for these heads, as `TrainingBatches` expects them."""
        if isinstance(self.soft_labels, ShardSoftLabels):
            return self.soft_labels.logits(lambda stored: heads.teacher(stored, *self.outputs))
        if not self.is_live:
            return self.soft_labels and heads.teacher(self.soft_labels.logits, *self.outputs)
        teacher, outputs = self.teacher, self.outputs
        return lambda shown: heads.teacher(finite(teacher.columns(shown)), *outputs)

    def live_images(self, data: Data) -> AtSizes | None:
        """Return the training images at the sizes of teachers that run on each batch.

        Args:
            data: the data set in the student's size.

        Returns:
            The images; None where the teachers see the student's pixels or don't run.
        """
        if not self.is_live or not self.teacher.sizes(data.image_shape[:2]):
            return None
        return self.teacher.training_images()


def student_facts(task: Job, data: Data) -> dict[str, str]:
    """Return fingerprints of the files and the code that a student is made of.

    Args:
        task: the training of the student.
        data: the data set.

    Returns:
        Fingerprints by what they are of; {} where the student's name tells all.
    """
    named = {"the student's layers": task.architecture}
    if task.start:
        named["the file that the student starts from"] = task.start.path
    contents = {
        what: sources.content(source, task.heads.asked, data.image_shape)
        for what, source in named.items()
    }
    return {what: content for what, content in contents.items() if content}


def student_job(plan: Plan, data: Data, supervision: Supervision, folder: Path) -> Job:
    """Return the training of the student, with the teacher's outputs for the heads that it learns.

    Args:
        plan: the run's plan.
        data: the data set.
        supervision: the teacher and its outputs.
        folder: folder for the state of the training.

    Returns:
        The job for `training.job.train`.
    """
    heads = _heads(plan.student.heads, data, supervision)
    # Where no answers are stored, more views cost nothing.
    count = max(plan.teaching.views, plan.student.epochs * supervision.is_live)
    views = job.views(plan.training, supervision.data_of_student(data), count)
    name = plan.student.architecture
    return Job(
        title=f"student {sources.called(name)}",
        architecture=name,
        epochs=plan.student.epochs,
        heads=heads,
        views=views,
        folder=folder,
        teacher_logits=supervision.logits(heads),
        pretrained=plan.student.pretrained,
        start=plan.student.start,
        unlabeled=supervision.unlabeled,
        unlabeled_share=plan.teaching.unlabeled_share,
        feature_teacher=supervision.feature_teacher,
        stated=plan.student.stated,
        teacher_images=supervision.live_images(data),
    )


def _heads(asked: tuple[str, ...] | None, data: Data, supervision: Supervision) -> Heads:
    class_names, values = supervision.outputs
    heads = splits.chosen(asked, data, values)
    if supervision.name and not heads.shared(class_names, values):
        outputs = ", ".join([*class_names, *values])
        raise ConfigError(
            f"The teacher has the outputs {outputs}, none of which the student is to learn "
            f"({', '.join(heads.widths)}): choose other --heads or another teacher."
        )
    return heads
