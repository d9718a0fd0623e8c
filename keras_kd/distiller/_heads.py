"""The loss of one head of the student, on labels and on the teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from keras_kd import losses
from keras_kd.distiller import _labels, _shapes

# The losses on labels and teacher, then both with their weights in the whole loss.
Parts: TypeAlias = tuple[Any, Any, Any, Any]


class ClassHead:
    """A head of C classes with C logits, or of two classes with one logit.

    Args:
        name: the head's name for messages, "" for the only head.
        columns: C, or 1 for one logit.
        alpha: weight of the labels' loss.
        beta: weight of the teacher's loss.
        temperature: T, above 0.
        soft_loss: a function of labels, teacher's logits, student's logits and T that returns (N,).
        normalised: whether means are divided by the sum of their weights instead of the number of
            images.
    """

    def __init__(
        self,
        name: str,
        columns: int,
        alpha: float,
        beta: float,
        temperature: float,
        soft_loss: Callable[[Any, Any, Any, float], Any],
        normalised: bool,
    ) -> None:
        self.name, self.binary, self.classes = name, columns == 1, max(columns, 2)
        self._alpha, self._beta, self._temperature = alpha, beta, temperature
        self._soft_loss, self._normalised = soft_loss, normalised
        self.class_weights: tuple[float, ...] | None = None

    @property
    def learns_from_teacher(self) -> bool:
        """Whether the teacher's loss has a weight above 0."""
        return self._beta > 0

    @property
    def learns(self) -> bool:
        """Whether the labels' loss or the teacher's has a weight above 0."""
        return self._alpha > 0 or self._beta > 0

    def require(self, labels: np.ndarray, images: int) -> None:
        """Raise DataError for rows of labels, of so many images, that are not classes of this
        head.
        """
        _labels.require_classes(labels, self.classes, self.name, images, self.binary)

    def __call__(self, labels: Any, teacher: Any, output: Any, weights: Any) -> Parts:
        """Return the loss with the labels and that with the teacher, plain and weighed."""
        logits = self._logits(output)
        hard = self._hard(labels, logits, self.class_weights, weights)
        if not self._beta > 0:
            return hard, 0.0, self._alpha * hard, 0.0
        if teacher is None:
            # The teacher lacks this head: its labels get the whole weight, not alpha.
            return hard, 0.0, hard, 0.0
        given = self._soft_loss(labels, self._logits(teacher), logits, self._temperature)
        each = _shapes.require_each(given, logits)
        soft = losses.weighted_mean(each, weights, self._normalised)
        return hard, soft, self._alpha * hard, self._beta * soft

    def plain(self, labels: Any, output: Any, weights: Any) -> Any:
        """Return the cross-entropy with the labels, without weights of classes."""
        return self._hard(labels, self._logits(output), None, weights)

    def shown_to_metrics(self, output: Any) -> Any:
        """Return the output that Keras' metrics expect: for one logit, its probability."""
        return ops.sigmoid(ops.cast(output, "float32")) if self.binary else output

    def _logits(self, output: Any) -> Any:
        return losses.two_logits(output) if self.binary else output

    def _hard(self, labels: Any, logits: Any, class_weights: Any, weights: Any) -> Any:
        each = losses.cross_entropy_each(labels, logits, class_weights)
        if not self._normalised or class_weights is None:
            return losses.weighted_mean(each, weights, self._normalised)
        # As PyTorch: the sum of the labels' class weights, times the images', stands below.
        of_rows = losses.class_weight_each(labels, class_weights)
        total = ops.sum(
            of_rows
            if weights is None
            else of_rows * ops.reshape(ops.cast(weights, "float32"), (-1,))
        )
        return losses.weighted_sum(each, weights) / ops.maximum(total, losses.TINY)


class ValueHead:
    """A head of one continuous value; rows whose value is NaN are left out of every mean.

    Args:
        name: the head's name for messages.
        value_loss: "mse" or "shake-shake".
        value_weight: weight of this head's loss.
        bound_weight: weight of the teacher-bounded error.
        margin: margin of the teacher-bounded error.
        draws: random numbers for shake-shake.
        declared: whether the user said which heads are binary.
        normalised: as for `ClassHead`.
    """

    # What a ClassHead has, so that the Distiller asks both kinds alike.
    binary, classes, class_weights = False, None, None

    def __init__(
        self,
        name: str,
        value_loss: str,
        value_weight: float,
        bound_weight: float,
        margin: float,
        draws: keras.random.SeedGenerator | None,
        declared: bool,
        normalised: bool,
    ) -> None:
        self.name, self._declared, self._normalised = name, declared, normalised
        self._value_loss, self._value_weight = value_loss, value_weight
        self._bound_weight, self._margin, self._draws = bound_weight, margin, draws

    @property
    def learns_from_teacher(self) -> bool:
        """Whether the teacher-bounded error has a weight above 0."""
        return self._bound_weight * self._value_weight > 0

    @property
    def learns(self) -> bool:
        """Whether the head's loss has a weight above 0."""
        return self._value_weight > 0

    def require(self, labels: np.ndarray, images: int) -> None:
        """Raise DataError for rows of labels, of so many images, that are not values."""
        _labels.require_values(labels, self.name, self._declared, images)

    def __call__(self, values: Any, teacher: Any, output: Any, weights: Any) -> Parts:
        """Return the loss with the values and the teacher-bounded one, plain and weighed."""
        values, known, weights = _known(values, weights)
        hard = self._mean(losses.squared_error_each(values, output), known, weights)
        if self._value_loss == "shake-shake":
            correlations = (
                losses.pearson(values, output, weights),
                losses.concordance(values, output, weights),
            )
            hard = losses.shake_shake(
                hard, *correlations, keras.random.uniform((3,), seed=self._draws)
            )
        if teacher is None or not self._bound_weight > 0:
            return hard, 0.0, self._value_weight * hard, 0.0
        soft = self._mean(
            losses.teacher_bounded_each(values, teacher, output, self._margin), known, weights
        )
        weight = self._value_weight
        return hard, soft, weight * hard, weight * self._bound_weight * soft

    def plain(self, values: Any, output: Any, weights: Any) -> Any:
        """Return the mean squared error."""
        values, known, weights = _known(values, weights)
        return self._mean(losses.squared_error_each(values, output), known, weights)

    def shown_to_metrics(self, output: Any) -> Any:
        """Return the output that Keras' metrics compare with the values."""
        return output

    def _mean(self, each: Any, known: Any, weights: Any) -> Any:
        # If no value of the batch is known, the loss is 0, not NaN.
        count = ops.sum(weights if self._normalised else known)
        return losses.weighted_sum(each, weights) / ops.maximum(
            count, losses.TINY if self._normalised else 1.0
        )


def _known(values: Any, weights: Any) -> tuple[Any, Any, Any]:
    """The values with 0 where they are NaN, 1 where they are known and 0 elsewhere, and weights
    that are 0 there.
    """
    values = ops.reshape(ops.cast(values, "float32"), (-1,))
    known = ops.logical_not(ops.isnan(values))
    mask = ops.cast(known, "float32")
    weights = mask if weights is None else mask * ops.reshape(ops.cast(weights, "float32"), (-1,))
    # NaN would stay NaN under a weight of 0, in the gradients too.
    return ops.where(known, values, 0.0), mask, weights
