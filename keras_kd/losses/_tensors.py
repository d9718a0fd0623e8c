"""What the losses share."""

from __future__ import annotations

from typing import Any, TypeAlias

from keras import ops

from keras_kd._common.resizing import bilinear
from keras_kd.errors import ModelError

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
            f"{logits.shape[-1]}: "
            "both need the same classes in the same order."
        )


def flat(values: Tensor) -> Tensor:
    """Return values as float32 (N,)."""
    return ops.reshape(ops.cast(values, "float32"), (-1,))


def moments(
    values: Tensor, student_values: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Population variances of both, their covariance, and the difference of their means."""
    y, s = flat(values), flat(student_values)
    w = ops.ones_like(y) if weights is None else flat(weights)
    share = w / ops.maximum(ops.sum(w), TINY)
    mean, of_student = ops.sum(share * y), ops.sum(share * s)
    # Means go before squares are summed: the difference of two large sums loses float32's digits.
    y, s = y - mean, s - of_student
    return ops.sum(share * y**2), ops.sum(share * s**2), ops.sum(share * y * s), mean - of_student


def same_size(teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    """Return both maps as float32, the teacher's resized to the student's height and width."""
    teacher, student = ops.cast(teacher, "float32"), ops.cast(student, "float32")
    if len(student.shape) != 4 or len(teacher.shape) != 4:
        return teacher, student
    size = tuple(student.shape[1:3])
    if tuple(teacher.shape[1:3]) != size:
        teacher = bilinear(teacher, *size)
    return teacher, student
