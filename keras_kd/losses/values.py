"""Losses of continuous values."""

from __future__ import annotations

from keras import ops

from keras_kd.losses._tensors import TINY, Tensor, flat, moments


def squared_error_each(values: Tensor, student_values: Tensor) -> Tensor:
    """(s - y)² of values y, (N,) or (N, 1): float32 (N,)."""
    return (flat(student_values) - flat(values)) ** 2


def teacher_bounded_each(
    values: Tensor, teacher_values: Tensor, student_values: Tensor, margin: float = 0.0
) -> Tensor:
    """(s - y)² where (s - y)² + m > (z - y)², else 0: nothing more is asked of a student that beats
    its teacher by m.

    Chen et al. 2017 ("Learning Efficient Object Detection Models with Knowledge Distillation",
    NeurIPS), equation (4). No gradient flows to the teacher.

    Args:
        values: y, float (N,) or (N, 1).
        teacher_values: z, of the same size.
        student_values: s, of the same size.
        margin: m, in squared units of the values.

    Returns:
        float32 (N,).
    """
    error = squared_error_each(values, student_values)
    bound = ops.stop_gradient(squared_error_each(values, teacher_values))
    return ops.where(error + margin > bound, error, ops.zeros_like(error))


def pearson(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Pearson's correlation over the batch, images weighed: float32 scalar, 0 where either side is
    constant.
    """
    variance, of_student, covariance, _ = moments(values, student_values, weights)
    return covariance * ops.rsqrt((variance + TINY) * (of_student + TINY))


def concordance(values: Tensor, student_values: Tensor, weights: Tensor | None = None) -> Tensor:
    """2·cov / (var + var + (mean - mean)²) over the batch (Lin 1989), images weighed: float32
    scalar.
    """
    variance, of_student, covariance, offset = moments(values, student_values, weights)
    return 2 * covariance / (variance + of_student + offset**2 + TINY)


def shake_shake(
    squared_error: Tensor, pearson: Tensor, concordance: Tensor, draws: Tensor
) -> Tensor:
    """[a·MSE + b·(1 - PCC) + c·(1 - CCC)] / (a + b + c): float32 scalar.

    Toisoul et al. 2021 (EmoNet, Nature Machine Intelligence 3), who draw a, b, c from (0, 1) anew
    at each step.

    Args:
        squared_error: mean squared error of the batch.
        pearson: correlation over the batch.
        concordance: concordance over the batch.
        draws: a, b, c, float (3,).
    """
    parts = ops.stack([squared_error, 1 - pearson, 1 - concordance])
    return ops.sum(draws * parts) / ops.sum(draws)
