"""What the losses share."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeAlias

from keras import ops

from keras_kd._common.resizing import bilinear
from keras_kd.errors import ConfigError, ModelError

# What `keras.ops` takes and gives: a tensor of the backend, or a numpy array.
Tensor: TypeAlias = Any
# Keeps roots and quotients of what may be constant differentiable.
TINY = 1e-12


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL of each row's distributions, from their logarithms."""
    return ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


def require_classes(name: str, values: Tensor, logits: Tensor) -> None:
    """Refuse values of another number of columns than the student's logits: ModelError."""
    # One column would be spread over all classes without a word.
    if values.shape[-1] not in (None, logits.shape[-1]):
        raise ModelError(
            f"The {name} are of {values.shape[-1]} classes and the student's logits of "
            f"{logits.shape[-1]}: both need the same classes in the same order."
        )


def require_alike(name: str, values: Tensor, logits: Tensor) -> None:
    """Refuse values of another shape than the student's logits: ModelError."""
    require_classes(name, values, logits)
    if _differ(values, logits):
        raise ModelError(
            f"The {name} are of shape {tuple(values.shape)} and the student's logits of "
            f"{tuple(logits.shape)}: both need one row for each image."
        )


def require_images(name: str, values: Tensor, of_student: Tensor) -> None:
    """Refuse values of another number of images than the student's: ModelError."""
    if _differ(values, of_student, slice(1)):
        raise ModelError(
            f"The {name} are of {values.shape[0]} images and the student's of "
            f"{of_student.shape[0]}: give both of the same images."
        )


def _differ(values: Tensor, others: Tensor, axes: slice = slice(None)) -> bool:
    """Whether sizes differ, as far as they are known: one image would be spread over all."""
    shapes = [values.shape, others.shape]
    if any(getattr(shape, "rank", 0) is None for shape in shapes):
        return False  # TensorFlow may not know the rank.
    given, expected = (tuple(shape)[axes] for shape in shapes)
    return len(given) != len(expected) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(given, expected, strict=True)
    )


def require_temperature(temperature: Any) -> None:
    """Refuse T that is 0, below, not finite or no number: ConfigError. A tensor's value is not
    known here.
    """
    known = isinstance(temperature, Real)
    if not (0 < float(temperature) < math.inf if known else hasattr(temperature, "dtype")):
        raise ConfigError(
            f"temperature must be above 0 and finite. Received: temperature={temperature!r}."
        )


def softened(logits: Tensor, temperature: float) -> Tensor:
    """Return logits divided by T, above 0, in float32, since float16 ends at 65,504."""
    require_temperature(temperature)
    return ops.cast(logits, "float32") / temperature


def flat(values: Tensor) -> Tensor:
    """Return values as float32 (N,)."""
    return ops.reshape(ops.cast(values, "float32"), (-1,))


def moments(
    values: Tensor, student_values: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Population variances of both, their covariance, and the difference of their means."""
    y, s = flat(values), flat(student_values)
    require_images("values", y, s)
    w = ops.ones_like(y) if weights is None else flat(weights)
    require_images("weights", w, s)
    share = w / ops.maximum(ops.sum(w), TINY)
    mean, of_student = ops.sum(share * y), ops.sum(share * s)
    # Means go before squares are summed: the difference of two large sums loses float32's digits.
    y, s = y - mean, s - of_student
    return ops.sum(share * y**2), ops.sum(share * s**2), ops.sum(share * y * s), mean - of_student


def same_size(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps as float32, the teacher's resized to the student's height and width."""
    require_images("teacher's features", teacher, student)
    teacher, student = ops.cast(teacher, "float32"), ops.cast(student, "float32")
    if len(student.shape) != 4 or len(teacher.shape) != 4:
        return teacher, student
    size = tuple(student.shape[1:3])
    if tuple(teacher.shape[1:3]) != size:
        teacher = bilinear(teacher, *size)
    return teacher, student
