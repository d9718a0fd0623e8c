"""Knowledge distillation as a Keras model that trains its student."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd import losses
from keras_kd.errors import ConfigError, ModelError


class Distiller(keras.Model):
    """Trains `student` on α·CE(labels) + β·T²·KL(teacher ‖ student), equation (6) of arXiv 2501.18538.

    α weighs the hard labels, as in that paper. The student is trained in place: save
    `distiller.student`, the Distiller itself is not meant to be saved.

    Batches are `x, y` or `x, y, sample_weight`, where y is either the labels (then the live
    `teacher` sees each batch once) or `{"label": labels, "teacher": logits}` (then no teacher runs).
    Labels are integers (N,) or (N, 1), or shares (N, C). `sample_weight` weighs both terms, `class_weights` the
    labels' term alone. Regularisers of the student count. `evaluate` computes the plain
    cross-entropy with the labels and changes no variable; metrics see the labels alone.

    Args:
        student: keras.Model, images -> logits (N, C).
        teacher: keras.Model, the same images -> logits (N, C), or None where batches bring the
            teacher's logits or β is 0. Its `trainable` is set to False.
        temperature: T, above 0.
        alpha: α, 0..1, weight of the labels.
        beta: β, 0 or more, weight of the teacher; None for 1 - α.
        class_weights: (C,) one weight a class for the labels' term, or None.

    Raises:
        ConfigError: a value outside its range.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None = None,
        temperature: float = 3.0,
        alpha: float = 0.15,
        beta: float | None = None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        # compile() scales the loss for float16 by the policy of the model that it is called on.
        super().__init__(name="distiller", dtype=_policy(student), autocast=False)
        if not 0 < temperature < np.inf:
            raise ConfigError(f"temperature must be above 0 and finite. Received: temperature={temperature}.")
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha must be between 0 and 1. Received: alpha={alpha}.")
        if beta is not None and not 0 <= beta < np.inf:
            raise ConfigError(f"beta must be 0 or more and finite. Received: beta={beta}.")
        if class_weights is not None and len(class_weights) != student.output_shape[-1]:
            raise ConfigError(
                f"class_weights must have one value for each of the student's {student.output_shape[-1]} classes. "
                f"Received: {len(class_weights)} values."
            )
        self.student = student
        self.teacher = teacher
        if teacher is not None:
            teacher.trainable = False
        self.temperature = temperature
        self.alpha = alpha
        self.beta = 1 - alpha if beta is None else beta
        self.class_weights = None if class_weights is None else tuple(float(weight) for weight in class_weights)
        self.hard_loss = keras.metrics.Mean("hard_loss")
        self.soft_loss = keras.metrics.Mean("soft_loss")
        self._reports_parts = True
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's logits."""
        return self.student(inputs, training=training)

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data: Any) -> dict[str, Any]:
            """One step on TensorFlow: the teacher's forward pass, if any, stays off the gradient tape."""
            import tensorflow as tf

            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            y = self._with_teacher(x, y)
            with tf.GradientTape() as tape:
                logits = self(x, training=True)
                loss = self.compute_loss(x, y, logits, sample_weight, training=True)
                scaled_loss = self.optimizer.scale_loss(loss)
            # fit() counts every image alike, also in a last, smaller batch.
            self._loss_tracker.update_state(loss * _replicas(), sample_weight=tf.shape(logits)[0])
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(scaled_loss, weights), weights, strict=True))
            return self.compute_metrics(x, y, logits, sample_weight)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The scalar to minimise; divided by the number of replicas under `tf.distribute`, as Keras' own losses are."""
        self._reports_parts = training
        weights = _label(sample_weight)
        if not training:
            hard = losses.weighted_mean(losses.cross_entropy_each(_label(y), y_pred), weights)
            return hard / _replicas()
        y = self._with_teacher(x, y)
        each = losses.cross_entropy_each(_label(y), y_pred, self.class_weights)
        hard = losses.weighted_mean(each, weights)
        self.hard_loss.update_state(hard, sample_weight=ops.shape(y_pred)[0])
        total = self.alpha * hard
        if self.beta > 0:
            each = losses.soft_target_kl_each(y["teacher"], y_pred, self.temperature)
            soft = losses.weighted_mean(each, weights)
            self.soft_loss.update_state(soft, sample_weight=ops.shape(y_pred)[0])
            total = total + self.beta * soft
        for penalty in self.student.losses:
            total = total + ops.cast(penalty, "float32")
        return total / _replicas()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Keras' metrics of the labels alone."""
        return super().compute_metrics(x, _label(y), y_pred, _label(sample_weight))

    def get_metrics_result(self) -> dict[str, Any]:
        """Keras' metrics; the two parts of the loss only where they were computed, that is in training."""
        results = super().get_metrics_result()
        if not self._reports_parts or not self.beta > 0:
            results.pop("soft_loss", None)
        if not self._reports_parts:
            results.pop("hard_loss", None)
        return results

    def _with_teacher(self, x: Any, y: Any) -> Any:
        if not self.beta > 0 or (isinstance(y, dict) and "teacher" in y):
            return y
        if self.teacher is None:
            raise ModelError(
                "No teacher to learn from: give Distiller a teacher, or batches whose y is "
                '{"label": labels, "teacher": logits}, or set beta=0.'
            )
        return {"label": _label(y), "teacher": ops.stop_gradient(self.teacher(x, training=False))}


def _label(y: Any) -> Any:
    """The labels' part of y; also of the sample weights, which Keras gives the structure of y when it slices arrays."""
    return y["label"] if isinstance(y, dict) else y


def _policy(student: keras.Model) -> str:
    """A Functional model has the global policy whatever its layers have, so ask the layers."""
    halves = {layer.dtype_policy.name for layer in student._flatten_layers()} & {"mixed_float16", "float16"}
    return halves.pop() if halves else student.dtype_policy.name


def _replicas() -> int:
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
