"""A training as plain values: what is trained, and by which loss, optimizer and augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from keras_kd.datasets.splits import Heads
from keras_kd.distiller import FeatureMatch
from keras_kd.runtimes.stated import NOTHING, Stated
from keras_kd.teachers.views import AtSizes, Views


@dataclass(frozen=True)
class LossSettings:
    """The parts of the loss and their weights, as `Distiller` takes them.

    Attributes:
        temperature: T, above 0.
        alpha: weight of the labels, 0..1.
        beta: weight of the teacher's logits, 0 or more; None for 1 - alpha.
        soft_loss: loss on the teacher's logits, one of `losses.soft_loss_names()`.
        matches: layers of student and teacher whose outputs are matched.
        value_loss: loss on continuous values, "mse" or "shake-shake".
        value_weight: weight of each value's loss, 0 or more.
        bound_weight: weight of its teacher-bounded part, 0 or more.
        margin: margin of the teacher-bounded part, 0 or more.
    """

    temperature: float
    alpha: float
    beta: float | None
    soft_loss: str
    matches: tuple[FeatureMatch, ...]
    value_loss: str
    value_weight: float
    bound_weight: float
    margin: float

    @property
    def labels_alone(self) -> bool:
        """Whether no teacher has any weight."""
        return self.beta == 0 or (self.beta is None and self.alpha == 1)


@dataclass(frozen=True)
class TrainingSettings:
    """All settings of a training except the model and its epochs.

    Attributes:
        loss: parts and weights of the loss.
        callbacks: Keras callbacks besides the library's own, see `callbacks.create`.
        log: where each epoch's metrics go, see `logs.logged`.
        optimizer: "sgd", "adamw" or "dot".
        batch_size: images in a batch.
        learning_rate: the peak learning rate.
        head_rate: the peak learning rate of the head, or None for `learning_rate`.
        body_rate: the peak learning rate of all other layers, or None for `learning_rate`.
        schedule: "cosine" or "plateau", see `optimizers.sgd`.
        patience: epochs without a better validation score before an early stop; 0 for none.
        weight_decay: factor of the L2 penalty's gradient; of AdamW, the decoupled decay.
        clip_norm: largest global norm of the gradients; 0 for no clipping.
        ema: momentum of the moving average of the weights; 0 for none.
        conv_dropout: rate between convolutions, 0 or more and below 1.
        dense_dropout: rate between dense layers, 0 or more and below 1.
        class_weights: "none" or "balanced".
        weights_normalised: whether weighted means are divided by the sum of their weights.
        label_smoothing: share of each label that is spread over all classes, 0 or more, below 1.
        augment: the augmentation, see `teachers.augmentation`.
        shuffle_buffer: images that are shuffled together, of data that stays in its shards.
        seed: seed of weights, order, dropout and views.
        devices: number of devices to train on.
        precision: "auto" or a dtype policy.
    """

    loss: LossSettings
    callbacks: tuple[str, ...]
    log: tuple[str, ...]
    optimizer: str
    batch_size: int
    learning_rate: float
    head_rate: float | None
    body_rate: float | None
    schedule: str
    patience: int
    weight_decay: float
    clip_norm: float
    ema: float
    conv_dropout: float
    dense_dropout: float
    class_weights: str
    weights_normalised: bool
    label_smoothing: float
    augment: str
    shuffle_buffer: int
    seed: int
    devices: int
    precision: str


@dataclass(frozen=True)
class StartingPoint:
    """A trained model that a training starts from.

    Attributes:
        path: a `.keras` file.
        freeze_until: name of the last frozen layer; None if all layers are trained.
        stated: what the user says of the file's pixels and classes.
    """

    path: str
    freeze_until: str | None
    stated: Stated = NOTHING


@dataclass(frozen=True)
class Job:
    """One training within a run.

    Attributes:
        title: the name that the user sees.
        architecture: a source as in `models.sources`.
        epochs: number of epochs.
        heads: what is learnt.
        views: the augmented views of the training images.
        folder: folder of the training's state.
        teacher_logits: as for `TrainingBatches`, or `ShardLogits` of images that stay in shards;
            None trains on the labels alone.
        pretrained: "imagenet" or None.
        start: a trained model to start from, or None.
        unlabeled: as for `TrainingBatches`.
        unlabeled_share: as for `TrainingBatches`.
        feature_teacher: the model whose layers are matched, if there are any to match.
        stated: what the user says of the file that `architecture` names, if it names one.
        teacher_images: as for `TrainingBatches`.
        learner: who learns, as options are called.
    """

    title: str
    architecture: str
    epochs: int
    heads: Heads
    views: Views
    folder: Path
    teacher_logits: Any = None
    pretrained: str | None = None
    start: StartingPoint | None = None
    unlabeled: int = 0
    unlabeled_share: float = 0.0
    feature_teacher: keras.Model | None = None
    stated: Stated = NOTHING
    teacher_images: AtSizes | None = None
    learner: Literal["student", "teacher"] = "student"
